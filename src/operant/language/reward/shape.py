"""Rewards for how a completion is written: its length and its repetitions. None of them can make a wrong answer pay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from operant.config.errors import ConfigError
from operant.language.reward.trace import Reward, Trace, best, is_pure


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlong:
    """0 up to `limit - margin` tokens, then falling linearly to -1 at `limit`, and -1 beyond.

    The soft overlong punishment of DAPO (arXiv:2503.14476, equation 13). With `margin` equal to `limit` every token
    costs 1/limit: a plain length penalty.

    Args:
        limit: L_max, in tokens.
        margin: L_cache, in tokens.
    """

    limit: int
    margin: int

    pure: ClassVar[bool] = True
    best: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.margin <= self.limit:
            raise ConfigError(f"Overlong needs 0 < margin ≤ limit, not margin={self.margin}, limit={self.limit}")

    def __call__(self, trace: Trace) -> float:
        over = tokens_in(trace) - (self.limit - self.margin)
        return -min(max(over / self.margin, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """-(1 - distinct n-grams / n-grams) over token ids, in (-1, 0]; 0 where there are fewer than n tokens.

    (Yeo et al. 2025, arXiv:2502.03373, as a share of the n-grams.)

    Args:
        n: tokens in an n-gram.
    """

    n: int = 3

    pure: ClassVar[bool] = True
    best: ClassVar[None] = None  # a right solution may repeat itself

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"Repetition needs n ≥ 1, not {self.n}")

    def __call__(self, trace: Trace) -> float:
        tokens = trace.tokens[: tokens_in(trace)]
        grams = [tokens[i : i + self.n] for i in range(len(tokens) - self.n + 1)]
        return len({*grams}) / len(grams) - 1.0 if grams else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineLength:
    """A verdict scaled by length: with t tokens, η_T + ½(η_0 - η_T)(1 + cos(πt/T)).

    (η_0, η_T) is `right` for a right answer and `wrong` for a wrong one: short right answers are worth most, and long
    wrong ones cost least. A completion that was cut, or is longer than T, gets `exceeded` whatever it says. (Yeo et al.
    2025, arXiv:2502.03373; defaults from there.)

    Args:
        verdict: a reward with a fixed best value; the answer is right when it gives that.
        limit: T, in tokens.
        right, wrong: (at no token, at T tokens).
        exceeded: beyond.

    Raises:
        ConfigError: if some wrong answer would be worth as much as some right one.
    """

    verdict: Reward
    limit: int
    right: tuple[float, float] = (2.0, 1.0)
    wrong: tuple[float, float] = (-10.0, 0.0)
    exceeded: float = -10.0

    best: ClassVar[None] = None

    def __post_init__(self) -> None:
        if best(self.verdict) is None:
            raise ConfigError("CosineLength needs a verdict with a fixed best value, such as Exact")
        if self.limit < 1:
            raise ConfigError(f"CosineLength needs limit ≥ 1, not {self.limit}")
        if min(self.right) <= max(*self.wrong, self.exceeded):
            raise ConfigError(
                f"CosineLength would pay some wrong answer (wrong={self.wrong}, exceeded={self.exceeded}) as much as "
                f"some right one (right={self.right}): make right larger"
            )

    @property
    def pure(self) -> bool:
        """Whether its verdict is."""
        return is_pure(self.verdict)

    def __call__(self, trace: Trace) -> float:
        length = tokens_in(trace)
        right = self.verdict(trace) == best(self.verdict)
        if trace.finish == "length" or length > self.limit:
            return self.exceeded
        first, last = self.right if right else self.wrong
        return last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * length / self.limit))


def tokens_in(trace: Trace) -> int:
    """How many tokens were written. Raises ValueError for text that nobody tokenised: its length is not 0."""
    if trace.completion and not trace.tokens:
        raise ValueError("the trace has a completion but no token ids, which this reward counts: give its tokens")
    return len(trace.tokens)
