"""PPO against Stable-Baselines3: environment steps a second in training, collecting and learning together.

Both sides train the same network (separate 64×64 tanh actor and critic) with the same hyper-parameters (8
environments × 256 steps, minibatches of 256, 10 epochs, Adam at 3e-4, no normalisation) for the same number of steps.
The time is that of training alone: ours includes writing metrics and the last checkpoint, neither includes imports,
compiling (a short training runs before the clock starts) or making the environments. Each side gets the backend and
the number of threads that served it best in one short calibration, told on stderr.

Cases: `cartpole` (CartPole-v1; ours steps compiled copies or Gymnasium's native vector form), `halfcheetah`
(HalfCheetah-v5; ours steps EnvPool or Gymnasium's, whichever is faster), `halfcheetah-gymnasium` (HalfCheetah-v5 of
Gymnasium on both sides: what is gained without another simulator).

A final return is the mean over the training episodes that ended in the last quarter of a run. The returns "agree" if
the interquartile means over the rounds (seeds) of the two sides are no further apart than the wider of their ranges.
Peak memory is the largest resident set of a process; for worker processes, that of the largest times their number is
added.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from _interleave import Measurement, calibrate, emit, interleave, quiet, say
from operant.data.stats import iqm

CASES = {
    "cartpole": ("CartPole-v1", ["compiled", "native"]),
    "halfcheetah": ("HalfCheetah-v5", ["envpool", "inprocess"]),
    "halfcheetah-gymnasium": ("HalfCheetah-v5", ["inprocess"]),
}
"""Environment, and the backends our side may choose from."""
CALIBRATION_STEPS = 10_000


def candidates(side: str, env: str, backends: list[str], steps: int) -> dict[str, list[str]]:
    """A command for every backend with one thread and with two."""
    program = str(Path(__file__).parent / f"_peer_{side}.py")
    return {
        f"{backend}, {threads} thread{'s' * (threads > 1)}": [
            program, "--env", env, "--backend", backend, "--threads", str(threads), "--steps", str(steps),
        ]
        for backend in backends for threads in (1, 2)
    }  # fmt: skip


def compare(case: str, rounds: int, steps: int) -> None:
    """Calibrate, measure in turn, print the line."""
    env, backends = CASES[case]
    say(f"{case}: {env}, {rounds} rounds of {steps:,} steps")
    ours, peer = ("operant", backends), ("sb3", ["dummy", "subproc"])
    chosen: list[str] = []
    commands: list[list[str]] = []
    for side, choice in (ours, peer):
        say(f" {side}")
        chosen.append(calibrate(candidates(side, env, choice, CALIBRATION_STEPS)))
        commands.append(candidates(side, env, choice, steps)[chosen[-1]])
    results = interleave(*commands, rounds)
    returns = [[m["return"] for m in side if m["return"] is not None] for side in results]
    emit(
        case,
        *results,
        peer_name="stable-baselines3",
        peer_version=results[1][0]["versions"]["stable-baselines3"],
        unit="env steps/s",
        env=env,
        steps=steps,
        setting={"ours": chosen[0], "peer": chosen[1]},
        peak_memory_mb={"ours": memory(results[0]), "peer": memory(results[1])},
        returns={"ours": rounded(returns[0]), "peer": rounded(returns[1])},
        returns_agree=agree(*returns),
        versions={"ours": results[0][0]["versions"], "peer": results[1][0]["versions"]},
    )


def agree(ours: list[float], peer: list[float]) -> bool | None:
    """Are the interquartile means as near to each other as the rounds of the wider side are? None without returns."""
    if not ours or not peer:
        return None
    return abs(iqm(ours) - iqm(peer)) <= max(max(side) - min(side) for side in (ours, peer))


def memory(side: list[Measurement]) -> float:
    """The median over the rounds."""
    return statistics.median(m["peak_memory_mb"] for m in side)


def rounded(values: list[float]) -> list[float]:
    """To one decimal, for reading."""
    return [round(value, 1) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    given = parser.parse_args()
    quiet()
    for case in CASES if given.case == "all" else [given.case]:
        compare(case, given.rounds, given.steps)


if __name__ == "__main__":
    main()
