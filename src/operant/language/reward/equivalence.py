"""Whether two mathematical expressions are equal, by math-verify (which asks SymPy)."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from operant.config.errors import ConfigError
from operant.language.reward.answer import answer_of, check_places
from operant.language.reward.trace import GoldError, Trace
from operant.language.reward.verifiable import gold_of

LONGEST = 400
"""Characters of the longest answer that is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MathEquivalence:
    r"""1 when the answer equals the gold as mathematics (1/2 and 0.5, x^2-1 and (x-1)(x+1), sets in any order), else 0.

    The answer is taken from its place first and parsed alone, so that nothing else in the completion can score.
    Decimals are compared to six places, and 50\% equals both 0.5 and 50: math-verify's own rules. An answer that chains
    equations (1=2=3), is longer than 400 characters, or has braces that do not close, scores 0.

    Simplifying may take for ever (9^{9^{9^9}}), so this runs in a worker process.

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.

    Raises:
        ConfigError: if math-verify is not installed.
        GoldError: when called, if the gold cannot be parsed.
    """

    answer: tuple[str, ...] = ("boxed",)

    pure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_places(self.answer)
        if importlib.util.find_spec("math_verify") is None:
            raise ConfigError("MathEquivalence needs a package that is not installed: run pip install math-verify")

    def prepare(self) -> None:
        """Load SymPy."""
        _parsed("1")

    def __call__(self, trace: Trace) -> float:
        from math_verify import verify

        gold = str(gold_of(trace))
        right = _parsed(gold)
        if not right:
            raise GoldError(f"the gold answer {gold!r:.80} cannot be parsed as mathematics: mend the example")
        text = answer_of(trace, self.answer)
        if text is None or len(text) > LONGEST or text.count("=") > max(1, gold.count("=")) or not _closed(text):
            return 0.0
        given = _parsed(text)
        return float(bool(given) and bool(verify(right, given, timeout_seconds=None)))


def _parsed(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no time limit: the process has one
    config = [LatexExtractionConfig()]
    read: Any = parse
    return list(read(f"\\boxed{{{text}}}", config, fallback_mode="no_fallback", parsing_timeout=None))


def _closed(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return False
    return depth == 0
