"""Golden runs of the methods that came after PPO: each shortly, those with an update by hand by both of their ways."""

from __future__ import annotations

from golden_cases.case import Case, command

SINCE = "95bdb9c"
"""The first commit that has them all."""

SHORT = "--total-steps 600 --eval.episodes 2 --save.every 300 --no-save.videos --no-save.report"
FEW = "--algo.learning-starts 100 --algo.batch 16 --algo.updates 20 --policy.hidden 16,16"
COPIES = "--env.num 4 --policy.hidden 16,16"
AFTER = ("eval 1/run --episodes 2 --json", "resume 1/run --to 1200")
PIECES = "--policy.memory gru --policy.memory-size 8 --algo.length 8 --algo.burn-in 2"

BY_HAND = {"dqn": "CartPole-v1", "qr-dqn": "CartPole-v1", "ddpg": "Pendulum-v1", "td3": "Pendulum-v1",
           "sac": "Pendulum-v1"}  # fmt: skip
OTHER = {
    "c51": ("c51", "CartPole-v1", "--policy.value-max 100"),
    "rainbow": ("rainbow", "CartPole-v1", "--policy.value-max 100"),
    "double-dueling-per": ("dqn", "CartPole-v1", "--algo.double --policy.dueling --algo.priority proportional"),
    "n-step": ("dqn", "CartPole-v1", "--algo.n 3 --algo.target soft"),
    "munchausen": ("dqn", "CartPole-v1", "--algo.munchausen"),
    "recurrent-dqn": ("dqn", "CartPole-v1", f"{PIECES} --algo.n 3"),
    "recurrent-sac": ("sac", "Pendulum-v1", PIECES),
    "hindsight": ("sac", "operant.env.reach:point", "--algo.hindsight future"),
    "discrete-sac": ("discrete-sac", "CartPole-v1", ""),
    "stacked": ("dqn", "CartPole-v1", "--env.wrappers '[\"frame-stack 3\"]'"),
}
STEPS, SEGMENTS = "--algo.updates 20", "--algo.horizon 16"
ON_POLICY = {
    "reinforce": "--algo.episodes 1",
    "actor-critic": STEPS,
    "online-actor-critic": STEPS,
    "q-actor-critic": STEPS,
    "impala": SEGMENTS,
    "off-policy-actor-critic": SEGMENTS,
    "natural-gradient": SEGMENTS,
    "trpo": SEGMENTS,
    "a2c": f"{SEGMENTS} --algo.fused off",
    "pqn": f"{SEGMENTS} --algo.batch 32",
}


def run(name: str, algorithm: str, env: str, *flags: str) -> Case:
    """A short run."""
    return Case(
        name=f"control/{name}", commands=(command(f"train {algorithm}", env, SHORT, *flags),), after=AFTER, since=SINCE
    )


CASES = (
    *(
        run(f"{name}-{way}", name, env, FEW, f"--algo.fused {fused}")
        for name, env in BY_HAND.items()
        for way, fused in (("readable", "off"), ("fused", "on"))
    ),
    *(run(name, algorithm, env, FEW, more) for name, (algorithm, env, more) in OTHER.items()),
    *(run(name, name, "CartPole-v1", COPIES, more) for name, more in ON_POLICY.items()),
    run("a2c-fused", "a2c", "CartPole-v1", COPIES, SEGMENTS, "--algo.fused on"),
)
