"""Does a task judge its own answers right? Asked before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeAlias

from operant.config.errors import ConfigError, shown, user_code
from operant.language.reward.trace import best
from operant.language.task.pool import Pool
from operant.language.task.score import Judge, Scores, score, step_rewards
from operant.language.task.task import Example, Task, example_at

CHECKED = 200
"""Examples of train, and as many of test, that are checked; all of them where there are no more."""

PAIRED = 10_000
"""Train examples among which the prompts of demonstrations are looked for."""

CLOSE = 1e-9

Encode: TypeAlias = Callable[[str], Sequence[int]]
"""Text to token ids."""

Picked: TypeAlias = Sequence[tuple[str, Example]]
"""Examples with their places."""

EMPTY = {"an empty completion": "", "blanks": " \n"}
"""What must never be worth as much as a solution."""


def check_task(
    task: Task,
    *,
    judge: Judge | None = None,
    encode: Encode | None = None,
    examples: int = CHECKED,
) -> None:
    """Score each example's solution, and what answers nothing.

    Every solution must get from each reward the best that it can give (`operant.reward.reward`), and more in all than
    an empty completion; it must not be that the solution of another example always gets as much; and no prompt of test
    may be among those of train.

    Args:
        task: to check; `examples` of train and of test are looked at, spread evenly.
        judge: for the rewards that are not pure; a `Pool` of one worker if None.
        encode: text to token ids, for rewards that count tokens; bytes of UTF-8 if None.
        examples: how many of each.

    Raises:
        ConfigError: names the example, and the reward that is at odds with it.
    """
    if judge is not None:
        return _check(task, judge, encode or _bytes, examples)
    with Pool(1) as pool:
        return _check(task, pool, encode or _bytes, examples)


def check_report(task: Task, **options: Any) -> list[str]:
    """What `operant task check` prints: what the task is, an example, and that its solutions score. See `check_task`.

    Raises:
        ConfigError: as `check_task`.
    """
    check_task(task, **options)
    example = task.train[0]
    weights = ", ".join(f"{name} × {task.weight(name):g}" for name in task.rewards)
    lines = [
        f"task {task.name}: {len(task.train):,} train, {len(task.test):,} test"
        + (f", {len(task.demonstrations):,} demonstrations" if len(task.demonstrations) else ""),
        f"rewards: {weights}; accuracy is {task.metric}",
        f"prompt: {example.prompt if isinstance(example.prompt, str) else [dict(m) for m in example.prompt]!r}",
        f"solution: {example.solution}",
        f"gold: {shown(example.gold)}",
    ]
    seen = min(options.get("examples", CHECKED), len(task.train)), min(options.get("examples", CHECKED), len(task.test))
    lines += _shown(task, options.get("judge"), options.get("encode") or _bytes, options.get("examples", CHECKED))
    lines.append(f"ok: {seen[0]} train and {seen[1]} test solutions score best, an empty completion does not")
    return lines


def _shown(task: Task, judge: Judge | None, encode: Encode, examples: int) -> list[str]:
    """How many demonstrations earn the best, of those whose prompts are examples'; no line where there are none."""
    if not len(task.demonstrations):
        return []
    known = {str(e.prompt): e for e in islice(task.train, PAIRED)}
    step = max(1, len(task.demonstrations) // examples)
    some = [task.demonstrations[i] for i in range(0, len(task.demonstrations), step)][:examples]
    pairs = [(known[str(d.prompt)], d) for d in some if str(d.prompt) in known]
    if not pairs:
        return ["demonstrations: none of their prompts is among the train examples, so they cannot be judged"]
    with nullcontext(judge) if judge is not None else Pool(1) as pool:
        solved = score([e.trace(e.solution, encode(e.solution)) for e, _ in pairs], task.rewards, task.weights, pool)
        shown = score([e.trace(d.completion, encode(d.completion)) for e, d in pairs], task.rewards, task.weights, pool)
    right = int((shown.judged & (shown.total >= solved.total - CLOSE)).sum())
    share = right / len(pairs)
    line = f"demonstrations: {right} of {len(pairs)} that were judged earn the best ({share:.0%})"
    if right == 0:
        return [f"{line}: a base that imitates them is never right, so that training by reward has nothing to choose"]
    if share < 1.0:
        line += f": a base that imitates them is right in about {share:.0%} of its samples, if it learns them"
    return [line]


def _check(task: Task, judge: Judge, encode: Encode, examples: int) -> None:
    known: dict[Any, str] = {}
    for kind, all_of in (("train", task.train), ("test", task.test)):
        picked = [*_spread(all_of, examples, f"{task.name}, {kind}")]
        for place, example in picked:
            key = example.prompt if isinstance(example.prompt, str) else repr(example.prompt)
            if kind == "test" and key in known:
                raise ConfigError(f"{place} has the same prompt as {known[key]}: a test example must be held out")
            if kind == "train":
                known[key] = place
        _check_steps(task, picked)
        right = _scored(task, picked, [example.solution for _, example in picked], judge, encode)
        _check_solutions(task, picked, right)
        _check_empty(task, picked, right, judge, encode)
        _check_wrong(task, picked, right, judge, encode)


def _check_steps(task: Task, picked: Picked) -> None:
    """Raise ConfigError for the first solution whose steps cannot be judged, or of which one is worth nothing."""
    if task.step_reward is None:
        return
    for place, example in picked:
        steps = step_rewards(task.step_reward, example.trace(example.solution))
        if isinstance(steps, str):
            raise ConfigError(f"{place}: the step reward {steps}")
        if not steps or min(value for _, value in steps) <= 0:
            raise ConfigError(f"{place}: a step of the solution {example.solution!r:.80} earns nothing: {steps!r:.80}")


def _check_empty(
    task: Task,
    picked: Picked,
    right: Scores,
    judge: Judge,
    encode: Encode,
) -> None:
    """Raise ConfigError for the first example that pays an empty completion as much as its solution."""
    for what, text in EMPTY.items():
        nothing = _scored(task, picked, [text] * len(picked), judge, encode)
        for n, (place, example) in enumerate(picked):
            if nothing.judged[n] and nothing.total[n] >= right.total[n] - CLOSE:
                raise ConfigError(
                    f"{place}: {what} scores {nothing.total[n]:g}, its solution {right.total[n]:g} "
                    f"({example.solution!r:.80}): the rewards must pay for the answer"
                )


def _check_wrong(
    task: Task,
    picked: Picked,
    right: Scores,
    judge: Judge,
    encode: Encode,
) -> None:
    """Raise ConfigError if every example pays the solution of another, with another gold, as much as its own."""
    others = [example for _, example in picked]
    others = others[1:] + others[:1]
    wrong = _scored(task, picked, [other.solution for other in others], judge, encode)
    unlike: list[int] = []
    for n, (place, example) in enumerate(picked):
        with user_code(f"{place}: its gold, compared with another,", ConfigError):
            if example.gold != others[n].gold:
                unlike.append(n)
    unjudged = [n for n in unlike if not wrong.judged[n]]
    if unlike and unjudged == unlike:
        raise ConfigError(
            f"{picked[unlike[0]][0]}: no answer but the right one can be judged; of that of another example: "
            f"{wrong.message}. A reward must give every answer a number"
        )
    paid = [n for n in unlike if not wrong.judged[n] or wrong.total[n] >= right.total[n] - CLOSE]
    if unlike and len(paid) == len(unlike):
        n = unlike[0]
        raise ConfigError(
            f"{picked[n][0]}: the solution of another example ({others[n].solution!r:.80}) scores as much as its own "
            f"({picked[n][1].solution!r:.80}), and so it is with all {len(unlike)} that were tried: the rewards must "
            "pay for the right answer alone"
        )


def _scored(
    task: Task,
    picked: Picked,
    written: Sequence[str],
    judge: Judge,
    encode: Encode,
) -> Scores:
    traces = [example.trace(w, encode(w)) for (_, example), w in zip(picked, written, strict=True)]
    return score(traces, task.rewards, task.weights, judge)


def _check_solutions(task: Task, picked: Picked, right: Scores) -> None:
    """Raise ConfigError for the first solution that is not judged, or not worth the best."""
    for n, (place, example) in enumerate(picked):
        what = f"its solution {example.solution!r:.80}, its gold {shown(example.gold)}"
        for k, name in enumerate(right.names):
            value, top = float(right.values[n, k]), best(task.rewards[name])
            if right.failed[n, k]:
                raise ConfigError(f"{place}: {_reason(task, name, right, n, k)} ({what})")
            if top is not None and abs(value - top) > CLOSE:
                raise ConfigError(
                    f"{place}: the reward {name} gives {value:g} to the right solution, not {top:g} ({what}): mend "
                    "the example or the reward, or say @reward(best=…)"
                )


def _reason(task: Task, name: str, right: Scores, n: int, k: int) -> str:
    first = not right.failed[:n].any() and not right.failed[n, :k].any()
    return right.message.partition(" (completion")[0] if first else f"the reward {name} failed"


def _spread(examples: Sequence[object], count: int, name: str) -> Iterable[tuple[str, Example]]:
    """`count` examples at even distances, with their places."""
    step = max(1, len(examples) // count)
    for i in islice(range(0, len(examples), step), count):
        yield f"{name}[{i}]", example_at(examples, i, name)


def _bytes(text: str) -> tuple[int, ...]:
    return tuple(text.encode("utf-8", "surrogatepass"))
