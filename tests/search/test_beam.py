"""Beam search over letters, where greedy steps lose."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from operant.search.beam import beam

SCORE = {"a": 2.0, "b": 1.0, "aa": 2.5, "ab": 2.4, "ba": 9.0, "bb": 0.0}


def propose(states: Sequence[str], branch: int) -> list[list[tuple[str, bool]]]:
    return [[(s + letter, len(s) == 1) for letter in "ab"[:branch]] for s in states]


def score(states: Sequence[str]) -> list[float]:
    return [SCORE[s] for s in states]


def test_a_wide_beam_finds_what_a_greedy_one_misses() -> None:
    assert beam("", propose, score, width=1, branch=2, steps=5)[0].state == "aa"
    best = beam("", propose, score, width=2, branch=2, steps=5)
    assert [(b.state, b.score, b.ended) for b in best] == [("ba", 9.0, True), ("aa", 2.5, True)]


def test_ended_beginnings_stay_and_are_not_gone_on_from() -> None:
    asked: list[list[str]] = []

    def early(states: Sequence[str], branch: int) -> list[list[tuple[str, bool]]]:
        asked.append(list(states))
        return [[(s + "a", True), (s + "b", False)] for s in states]

    def length(states: Sequence[str]) -> list[float]:
        return [5.0 if s == "a" else len(s) / 10 for s in states]

    best = beam("", early, length, width=2, branch=2, steps=3)
    assert best[0].state == "a"
    assert asked == [[""], ["b"]]  # "ba" scores more than "bb" has room for, so that all that is kept has ended
    assert all(b.ended for b in best)


def test_the_limit_on_steps_leaves_open_beginnings() -> None:
    assert [b.ended for b in beam("", propose, score, width=2, branch=2, steps=1)] == [False, False]


def test_sizes_and_callables_are_checked() -> None:
    with pytest.raises(ValueError, match="width is 0"):
        beam("", propose, score, width=0, branch=1, steps=1)
    with pytest.raises(ValueError, match="propose must give 3"):
        beam("", propose, score, width=1, branch=3, steps=1)
    with pytest.raises(ValueError, match="score gave 0"):
        beam("", propose, lambda _: [], width=1, branch=2, steps=1)
