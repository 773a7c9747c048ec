"""On-policy training against its peers: environment steps a second, collecting and learning together.

    python bench/on_policy.py --make-peers                  # once: environments of their own for the peers, by pip
    python bench/on_policy.py [--case a2c-cartpole …] [--rounds 3] [--peers FOLDER]

Both sides do the same work: network, copies, steps between updates, minibatches, epochs, rates (`_on_policy_cases.py`).
The time is that of training alone: ours includes writing metrics and the last checkpoint, neither includes imports,
compiling (a short training, or for JAX a whole one, runs before the clock starts) or making the environments. Each side
gets the backend and the threads that served it best in one short calibration, told on stderr; `ppo-cartpole-jax` is on
one core for both. Peers: Stable-Baselines3 and sb3-contrib 2.9, and PureJaxRL's PPO with JAX 0.10 and gymnax 1.0.1.

`growth-envs` and `growth-width` train PPO on CartPole with 1 to 256 copies, and with layers of 32 to 256 units.
HalfCheetah against an older tree of ours is `revisions.py COMMIT --case ppo-halfcheetah`.

One line of JSON a case, with both figures, their ratio and its goal, the load before it, returns, versions. It refuses
to begin where the load of the last minute is above 0.5.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from _interleave import Measurement, calibrate, emit, interleave, quiet, say
from _peers import PEERS, SB3, make_peers, python_of
from ppo_vs_sb3 import agree, memory, rounded

HERE = Path(__file__).parent
NEEDED = {
    "sb3": SB3,
    "jax": ["jax==0.10.*", "gymnax==1.0.1", "optax", "six"],
}
"""What each environment of a peer holds; that of `sb3` has our torch and our gymnasium."""

STEPS = {
    "a2c-cartpole": 100_000,
    "ppo-cartpole": 100_000,
    "ppo-cartpole-jax": 500_000,
    "recurrent": 20_000,
    "masked": 50_000,
    "pixels": 10_000,
    "pixels-env": 20_000,
}
GOALS = {
    "a2c-cartpole": 4.0, "ppo-cartpole-jax": 1.2, "recurrent": 5.0, "masked": 3.0, "pixels": 1.3, "pixels-env": 3.0,
}  # fmt: skip
GROWTH = {"growth-envs": ("num", (1, 4, 16, 64, 256)), "growth-width": ("width", (32, 64, 128, 256))}
CALIBRATION = 0.1
"""The share of the steps that a calibration takes."""


def program(side: str, *words: object) -> list[str]:
    """The command of a side."""
    return [str(HERE / f"_on_policy_{side}.py"), *map(str, words)]


def candidates(side: str, case: str, steps: int) -> dict[str, list[str]]:
    """The commands that a side may choose from, by name."""
    common = ("--case", case, "--steps", steps)
    if side == "ours":
        return {f"{n} thread{'s' * (n > 1)}": program("ours", *common, "--threads", n) for n in (1, 2)}
    kinds = [("dummy", 1), ("dummy", 2), ("subproc", 1)]
    return {
        f"{b}, {n} thread{'s' * (n > 1)}": program("sb3", *common, "--backend", b, "--threads", n) for b, n in kinds
    }


def compare(case: str, rounds: int, peers: Path) -> None:
    """Calibrate, measure in turn, print the line."""
    steps, load = STEPS[case], os.getloadavg()[0]
    say(f"{case}: {rounds} rounds of {steps:,} steps")
    if case == "ppo-cartpole-jax":
        chosen, python = ["one core", "one core"], python_of(peers, "jax")
        commands = [
            program("ours", "--case", "ppo-cartpole", "--threads", 1, "--core", "--steps", steps),
            program("jax", "--steps", steps),
        ]
    else:
        short, python = max(4096, int(CALIBRATION * steps)), python_of(peers, "sb3")
        sides = (("ours", sys.executable), ("sb3", python))
        chosen = [calibrate(candidates(side, case, short), its) for side, its in sides]
        commands = [candidates(side, case, steps)[name] for (side, _), name in zip(sides, chosen, strict=True)]
    results = interleave(*commands, rounds, python)
    line(case, results, steps=steps, load=load, setting={"ours": chosen[0], "peer": chosen[1]})


def line(case: str, results: tuple[list[Measurement], list[Measurement]], **detail: Any) -> None:
    """Print what was measured."""
    name = "jax" if case.endswith("jax") else "sb3-contrib" if case in ("recurrent", "masked") else "stable-baselines3"
    returns = [[m["return"] for m in side if m["return"] is not None] for side in results]
    emit(
        case,
        *results,
        peer_name="PureJaxRL's PPO" if name == "jax" else name,
        peer_version=results[1][0]["versions"][name],
        unit="env steps/s",
        goal=GOALS.get(case),
        peak_memory_mb={"ours": memory(results[0]), "peer": memory(results[1])},
        returns={"ours": rounded(returns[0]), "peer": rounded(returns[1])},
        returns_agree=agree(*returns),
        versions={"ours": results[0][0]["versions"], "peer": results[1][0]["versions"]},
        **detail,
    )


def grow(case: str, rounds: int, peers: Path) -> None:
    """One line for each size, on one thread."""
    what, sizes = GROWTH[case]
    common = ("--case", "ppo-cartpole", "--threads", 1, "--steps", STEPS["ppo-cartpole"] // 2)
    for size in sizes:
        load, more = os.getloadavg()[0], (f"--{what}", size)
        ours, peer = program("ours", *common, *more), program("sb3", *common, "--backend", "dummy", *more)
        line(f"{case}-{size}", interleave(ours, peer, rounds, python_of(peers, "sb3")), load=load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=[*STEPS, *GROWTH], default=[*STEPS, *GROWTH])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=PEERS, help="the folder of the peers' environments")
    parser.add_argument("--make-peers", action="store_true", help="make these environments, and end")
    given = parser.parse_args()
    if given.make_peers:
        return make_peers(given.peers, NEEDED, ours=("sb3",))
    for case in given.case:
        quiet()
        (grow if case in GROWTH else compare)(case, given.rounds, given.peers)


if __name__ == "__main__":
    main()
