"""Golden runs of PPO: both updates, every kind of action, every backend of environments, every switch."""

from __future__ import annotations

from golden_cases.case import Case, command

SHORT = (
    "--total-steps 1024 --env.num 4 --algo.horizon 64 --algo.batch 64 --algo.epochs 2 --eval.episodes 2 "
    "--save.every 512 --no-save.videos --no-save.report"
)

TOYS = """
import gymnasium
import numpy as np
from gymnasium import spaces

class Toy(gymnasium.Env):
    metadata = {"render_modes": []}

    def __init__(self, actions="multidiscrete", seen="box"):
        kinds = {"multidiscrete": spaces.MultiDiscrete([3, 2]), "multibinary": spaces.MultiBinary(3),
                 "box": spaces.Box(-1.0, 1.0, (2,))}
        self.action_space, self.seen = kinds[actions], seen
        box = spaces.Box(-10.0, 10.0, (3,), np.float32)
        self.observation_space = box if seen == "box" else spaces.Dict({"a": box, "b": spaces.Discrete(3)})

    def look(self):
        x = self.x.astype(np.float32)
        return x if self.seen == "box" else {"a": x, "b": self.t % 3}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.normal(size=3), 0
        return self.look(), {}

    def step(self, action):
        push = float(np.sum(np.asarray(action, dtype=np.float64) * np.arange(1, np.size(action) + 1)))
        self.x = 0.9 * self.x + 0.1 * push + 0.1 * self.np_random.normal(size=3)
        self.t += 1
        return self.look(), float(-abs(self.x[0] - 1.0)), bool(self.x[1] > 2.5), self.t >= 40, {}
"""

AFTER = (
    "eval 1/run --episodes 3 --json",
    "report 1/run",
    "resume 1/run --to 2048",
    "eval 1/run --episodes 2 --seed 7 --stochastic --json",
)


def ppo(name: str, env: str, flags: str = "", *more: str, after: tuple[str, ...] = (), needs: str = "") -> Case:
    """A short run of PPO; all but `preset` name the backend that "auto" picked before classic control was compiled."""
    if name != "preset" and "backend" not in flags:
        flags += {"CartPole-v1": " --env.backend native", "Pendulum-v1": " --env.backend inprocess"}.get(env, "")
    files = {"toys.py": TOYS} if env.startswith("toys.py") else {}
    return Case(
        name=f"control/ppo-{name}", commands=(command("train ppo", env, SHORT, flags), *more), files=files, after=after,
        needs=needs,
    )  # fmt: skip


TWISTED = (
    "--algo.clip-high 0.3 --algo.value-clip 0.2 --algo.entropy-coef 0.01 --algo.lr-schedule linear "
    "--algo.clip-schedule linear --policy.activation relu --policy.hidden 32,16 --algo.discount 0.98 --algo.lam 0.9 "
    "--algo.value-coef 0.5 --algo.max-grad-norm 0.3"
)
BOX = "--policy.normalize-obs --policy.normalize-reward --policy.log-std-init -0.5"

CASES = (
    ppo("preset", "CartPole-v1", after=("reproduce 1/run --json", "export 1/run", "eval 1/run/export --json", *AFTER)),
    ppo("fused", "CartPole-v1", "--algo.fused on"),
    ppo("readable", "CartPole-v1", "--algo.fused off", after=AFTER),
    ppo("fused-switches", "CartPole-v1", f"--algo.fused on {TWISTED}"),
    ppo("readable-switches", "CartPole-v1", f"--algo.fused off {TWISTED}"),
    ppo("stops-at-kl", "CartPole-v1", "--algo.fused off --algo.target-kl 0.0001 --no-algo.whiten"),
    ppo("fused-stops-at-kl", "CartPole-v1", "--algo.fused on --algo.target-kl 0.0001 --no-algo.whiten"),
    ppo("baselines", "CartPole-v1", "--algo.fidelity baselines --env.kwargs.max_episode_steps 20"),
    ppo("box-fused", "Pendulum-v1", f"--algo.fused on {BOX}", after=AFTER),
    ppo("box-readable", "Pendulum-v1", f"--algo.fused off {BOX}"),
    ppo("box-plain", "Pendulum-v1", "--no-policy.normalize-obs --no-policy.normalize-reward"),
    ppo("multidiscrete", "toys.py:Toy", after=AFTER),
    ppo("multidiscrete-normalised", "toys.py:Toy", BOX),
    ppo("multibinary", "toys.py:Toy", "--env.kwargs.actions multibinary"),
    ppo("dict", "toys.py:Toy", "--env.kwargs.seen dict --env.kwargs.actions box"),
    ppo("native", "CartPole-v1", "--env.backend native"),
    ppo("inprocess", "CartPole-v1", "--env.backend inprocess"),
    ppo("process", "CartPole-v1", "--env.backend process --env.workers 2", after=AFTER),
    ppo("envpool", "CartPole-v1", "--env.backend envpool", needs="envpool"),
    ppo("measured", "CartPole-v1", "--eval.every 256 --eval.during 3 --no-eval.deterministic --save.keep 2 "
        "--save.nth 2", "eval 1/run --checkpoint best --episodes 2 --json"),
    ppo("seeds", "CartPole-v1", "--seeds 2"),
    ppo("threads", "Pendulum-v1", "--threads 2 --algo.fused off --policy.hidden 256,256 --algo.batch 256"),
    Case(name="control/loop", call=("control:loop",)),
)  # fmt: skip


def loop() -> dict[str, object]:
    """The loop driven by hand, what its agent says, and a run opened by its face."""
    import operant

    settings = {"env.num": 4, "env.backend": "native", "algo.horizon": 64, "algo.batch": 64, "algo.epochs": 2}
    loop, agent = operant.loop("ppo", "CartPole-v1", seed=3, **settings)
    metrics = [{name: float(x) for name, x in next(loop).items()} for _ in range(3)]
    short = settings | {"quiet": True, "eval.episodes": 2, "save.report": False, "save.videos": False}
    run = operant.train("ppo", "CartPole-v1", runs="1", seed=3, total_steps=512, **short)
    measured = run.evaluate(2, seed=5)
    return {
        "metrics": [{k: v for k, v in row.items() if not k.startswith(("phase/", "speed/"))} for row in metrics],
        "action": int(agent.act([0.0, 0.1, 0.0, -0.1])),
        "run/action": int(run.policy.act([0.0, 0.1, 0.0, -0.1])),
        "run/value": float(run.value([0.0, 0.1, 0.0, -0.1])),
        "run/returns": measured["returns"],
        "run/steps": run.metrics["step"].tolist(),
    }
