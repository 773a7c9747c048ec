"""Traces in, numbers out; what could not be judged stands apart from what scored 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError, raised, shown
from operant.language.reward.trace import Reward, StepReward, Trace, is_pure

LARGEST = 1e18
"""The largest reward: its square is a number in the precision of training (float32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What k rewards gave n traces.

    Attributes:
        names: of the rewards.
        values: [n, k] float64; 0 where failed.
        failed: [n, k] bool: the reward raised, hung, died or gave no finite number. Not a score of 0.
        total: [n] float64, Σ weight · value; 0 where not judged.
        judged: [n] bool: no reward failed. Training leaves the others out, of their group's mean too.
        message: why the first that failed did, with the reward and the trace; "" if none did.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    failed: NDArray[np.bool_]
    total: NDArray[np.float64]
    judged: NDArray[np.bool_]
    message: str = ""


class Judge(Protocol):
    """Runs rewards elsewhere; `operant.language.task.pool.Pool` is one."""

    def run(self, calls: Sequence[tuple[Reward, Trace]]) -> list[float | str]:
        """For every call the number, or why there is none."""
        ...


def score(
    traces: Sequence[Trace],
    rewards: Mapping[str, Reward],
    weights: Mapping[str, float] | None = None,
    judge: Judge | None = None,
) -> Scores:
    """Score every trace with every reward.

    Args:
        traces: n of them.
        rewards: k of them, by name.
        weights: by name; 1 where none is given.
        judge: runs the rewards that are not pure (`operant.reward.reward`); they may hang, so there must be one.

    Raises:
        ConfigError: if a reward is not pure and there is no judge.
    """
    names = tuple(rewards)
    values = np.zeros((len(traces), len(names)))
    failed = np.zeros((len(traces), len(names)), np.bool_)
    reasons: dict[tuple[int, int], str] = {}

    def record(row: int, column: int, answer: float | str) -> None:
        if isinstance(answer, str):
            failed[row, column] = True
            reasons[row, column] = answer
        else:
            values[row, column] = answer

    remote = [k for k, name in enumerate(names) if not is_pure(rewards[name])]
    if remote and judge is None:
        raise ConfigError(
            f"the reward {names[remote[0]]} may hang and needs a worker process: give a Pool, or mark it "
            "@reward(pure=True) if it neither hangs nor touches anything outside"
        )
    for k, name in enumerate(names):
        if k not in remote:
            for n, answer in enumerate(_score_in_process(rewards[name], traces)):
                record(n, k, answer)
    if remote and judge is not None:
        cells = [(n, k) for n in range(len(traces)) for k in remote]
        answers = judge.run([(rewards[names[k]], traces[n]) for n, k in cells])
        for (n, k), answer in zip(cells, answers, strict=True):
            record(n, k, answer)
    judged: NDArray[np.bool_] = np.asarray(~failed.any(1))
    weight = np.array([float((weights or {}).get(name, 1.0)) for name in names])
    total = np.where(judged, values @ weight, 0.0)
    return Scores(
        names=names,
        values=values,
        failed=failed,
        total=total,
        judged=judged,
        message=_first_failure(reasons, names, traces),
    )


def _score_in_process(of: Reward, traces: Sequence[Trace]) -> list[float | str]:
    """All calls of a reward in this process: by its method `many`, where it judges several at once, or one by one."""
    many: Callable[[Sequence[Trace]], Sequence[object]] | None = getattr(of, "many", None)
    if many is None:
        return [call(of, trace) for trace in traces]
    try:
        found = list(many(traces))
        answers = [value if isinstance(value, str) else finite(value) for value in found]
    except BaseException as error:
        return [raised(error)] * len(traces)
    if len(answers) != len(traces):
        return [f"returned {len(answers)} numbers for {len(traces)} completions"] * len(traces)
    return answers


def call(of: Reward, trace: Trace) -> float | str:
    """One call in this process: the number, or why there is none; what the code gives is read here too."""
    try:
        return finite(of(trace))
    except BaseException as error:
        return raised(error)


def finite(value: object) -> float | str:
    """What a reward gave as a number, or why it is none."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return f"returned {shown(value)}, not a number"
    except OverflowError:
        number = LARGEST * 10
    except BaseException as error:  # it is their class
        return f"returned {shown(value)}, not a number: to read it {raised(error)}"
    if isinstance(value, str) or not math.isfinite(number):
        return f"returned {shown(value)}, not a finite number"
    if abs(number) > LARGEST:
        return f"returned {shown(value)}, too large to train on: at most {LARGEST:g} counts"
    return number


def step_rewards(judge: StepReward, trace: Trace) -> list[tuple[int, float]] | str:
    """What a step reward gives a trace: (characters up to the end of a step, its reward) of each; or why nothing."""
    try:
        rewards = [(int(end), finite(value)) for end, value in judge(trace)]
    except BaseException as error:
        return raised(error)
    bad = next((value for _, value in rewards if isinstance(value, str)), None)
    return bad if bad is not None else [(end, float(value)) for end, value in rewards]


def _first_failure(reasons: Mapping[tuple[int, int], str], names: Sequence[str], traces: Sequence[Trace]) -> str:
    if not reasons:
        return ""
    (n, k), why = min(reasons.items())
    return f"reward {names[k]} {why} (completion {n}: {traces[n].completion!r:.80})"
