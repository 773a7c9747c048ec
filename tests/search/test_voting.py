"""Votes."""

from __future__ import annotations

import pytest

from operant.search.voting import majority, weighted


def test_the_most_frequent_answer_wins_and_none_has_no_vote() -> None:
    assert majority(["7", None, "8", None, None, "8"]) == "8"
    assert majority(["7", "8", "8", "7"]) == "7"  # the first of two that are equal
    assert majority([None, None]) is None
    assert majority([]) is None


def test_weights_can_turn_a_majority() -> None:
    assert weighted(["7", "8", "8"], [0.9, 0.4, 0.4]) == "7"
    assert weighted(["7", "8", "8"], [0.9, 0.5, 0.5]) == "8"
    assert weighted([None, "8"], [5.0, 0.0]) == "8"


def test_bad_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="one for each"):
        weighted(["7"], [])
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="at least 0"):
            weighted(["7"], [bad])
