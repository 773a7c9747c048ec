"""Rewards for the way to an answer: key steps that occur, and an order that is kept. (StepGRPO: arXiv:2503.12937.)"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from operant.config.errors import ConfigError
from operant.language.reward.answer import check_places, extract
from operant.language.reward.trace import GoldError, Reward, Trace, best, is_pure


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySteps:
    """verdict · (1 + α · matched / all) over the key steps in `metadata["key_steps"]`.

    A key step is a text, or a list of ways to say it; it is matched when one of them occurs as whole words, capitals
    and blanks aside ("3" does not occur in "13" or "3.5"). The step-wise accuracy reward of R1-VL (arXiv:2503.12937),
    but what is not right gets nothing for its steps: there, a wrong answer with every key word outranks a
    right one with none.

    Args:
        verdict: a reward in [0, 1].
        alpha: α, what all steps together add.
        within: where the steps are looked for; see `operant.language.reward.answer`.
    """

    verdict: Reward
    alpha: float = 0.1
    within: tuple[str, ...] = ("whole",)

    def __post_init__(self) -> None:
        check_places(self.within)
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"KeySteps needs 0 ≤ alpha < ∞, not {self.alpha}")

    @property
    def pure(self) -> bool:
        """Whether its verdict is."""
        return is_pure(self.verdict)

    @property
    def best(self) -> float | None:
        """The verdict's best with every step."""
        top = best(self.verdict)
        return None if top is None else top * (1.0 + self.alpha)

    def __call__(self, trace: Trace) -> float:
        steps = key_steps(trace)
        verdict = self.verdict(trace)
        if verdict <= 0.0:
            return verdict
        text = _plain(extract(trace.completion, self.within) or "")
        matched = sum(any(_occurs(way, text) for way in step) for step in steps)
        return verdict * (1.0 + self.alpha * matched / len(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """1 when the sections stand once each in order, with steps 1 … n (n ≥ 1) before the last of them, else 0.

    The step-wise validity reward of R1-VL (arXiv:2503.12937). A heading counts at the start of a line;
    every step, and the answer after the last heading, must hold something.

    Args:
        sections: headings; the last one is that of the answer.
        step: heading of a step, with {} for its number.
    """

    sections: tuple[str, ...] = ("### Rationales", "### The final answer is")
    step: str = "### Step {}"

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.sections, str) or not self.sections or "{}" not in self.step:
            raise ConfigError("StepOrder needs sections, the last for the answer, and a step with {} for its number")

    def __call__(self, trace: Trace) -> float:
        before, _, after = self.step.partition("{}")
        number = re.compile(re.escape(before) + r"(\d{1,4})" + re.escape(after) + r"(?!\w)(.*)")
        seen: list[str] = []
        empty = True  # since the last heading
        for line in trace.completion.splitlines():
            heading, rest = self._heading(line, number)
            if heading is None:
                empty = empty and not line.strip()
                continue
            if seen and empty and seen[-1] not in self.sections[:-1]:
                return 0.0
            seen.append(heading)
            empty = not rest.strip(" :.")
        steps = len(seen) - len(self.sections)
        wanted = [*self.sections[:-1], *(str(i + 1) for i in range(steps)), self.sections[-1]]
        return float(steps >= 1 and not empty and seen == wanted)

    def _heading(self, line: str, number: re.Pattern[str]) -> tuple[str | None, str]:
        for section in self.sections:
            if line.startswith(section):
                return section, line[len(section) :]
        found = number.match(line)
        return (str(int(found[1])), found[2]) if found else (None, line)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSteps:
    """A step reward: 1/n for each of the n steps in `metadata["steps"]` that stands at its place, blanks aside, else 0.

    Steps beyond the n-th get 0 and so do right ones at another place, so that no way of writing is worth more than the
    solution's, which is worth 1. The last step is judged only where the completion ended by itself.

    Args:
        separator: between steps.
    """

    separator: str = "="

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.separator:
            raise ConfigError("ExactSteps needs the text that stands between steps")

    def __call__(self, trace: Trace) -> list[tuple[int, float]]:
        steps: Any = trace.metadata.get("steps")
        if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
            raise GoldError('the example has no metadata["steps"]: a list of texts')
        wanted = [str(step).strip() for step in cast(Sequence[Any], steps)]
        written = trace.completion.split(self.separator)
        found: list[tuple[int, float]] = []
        end = 0
        for i, text in enumerate(written):
            end += len(text)
            cut = trace.finish == "length" and i + 1 == len(written)
            right = i < len(wanted) and text.strip() == wanted[i] and not cut
            found.append((end, right / len(wanted)))
            end += len(self.separator)
        return found


def token_ends(
    steps: Sequence[tuple[int, float]], tokens: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[tuple[int, float]]:
    """Step rewards at tokens: (index of the first token by which the step is written, reward).

    A step that closes the completion has its last token: the decision to end belongs to it.

    Args:
        steps: (characters, reward), as a step reward gives them.
        tokens: of the completion; there must be one at least.
        decode: token ids to text; of more tokens it gives no fewer characters.
    """
    whole, last = len(decode(tokens)), len(tokens) - 1

    def at(end: int) -> int:
        if end >= whole:
            return last
        return bisect_left(range(last), end, key=lambda i: len(decode(tokens[: i + 1])))

    return [(at(end), value) for end, value in steps]


def key_steps(trace: Trace) -> list[list[str]]:
    """The key steps of an example, each as the ways to say it. Raises GoldError where there are none."""
    steps: Any = trace.metadata.get("key_steps")
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise GoldError('the example has no metadata["key_steps"]: a list of texts, or of lists of texts')
    ways = [[step] if isinstance(step, str) else [*step] for step in cast(Sequence[Any], steps)]
    if not all(ways) or not all(isinstance(w, str) and w.strip() for way in ways for w in way):
        raise GoldError(f'metadata["key_steps"] holds an empty step: {steps!r:.80}')
    return [[_plain(w) for w in way] for way in ways]


def _occurs(words: str, text: str) -> bool:
    """Whether the words stand in the text, whole: a number not as a part of another (3 in -3, 3/4, 3%)."""
    before = r"(?<!\d[,/:])(?<![-−–^_/])" if words[0].isdigit() else ""
    after = r"(?![,/:]\d|\s?\\?%|\s?\^|!)" if words[-1].isdigit() else ""
    return re.search(rf"(?<![\w.]){before}{re.escape(words)}(?!\w|\.\d){after}", text) is not None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
