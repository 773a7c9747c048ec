"""Published rewards with holes, as they are defined: the cases that ours must not pay do tell these apart."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from operant.language.reward.published import (
    number_anywhere,
    overwritten_cosine,
    steps_pay_the_wrong,
    substring_both_ways,
    unparsable_gold_pays,
)
from operant.reward import CosineLength, Exact, Format, GoldError, KeySteps, Numeric, Trace


def format_by_search(trace: Trace) -> float:
    """A format reward that searches for the layout instead of matching all of the text."""
    return float(re.search(r"<think>.*?</think>\s*<answer>.*?</answer>", trace.completion, re.DOTALL) is not None)


TAG = ("tag:answer",)
HOLES: list[tuple[Callable[[Trace], float], str, object, Callable[[Trace], float]]] = [
    (substring_both_ways, "<answer></answer>", "cat", Exact(answer=TAG)),
    (substring_both_ways, "<answer>a</answer>", "cat", Exact(answer=TAG)),
    (substring_both_ways, "<answer>dog, cat, bird</answer>", "cat", Exact(answer=TAG)),
    (number_anywhere, "12 or 13 <answer>7</answer>", "12", Numeric(answer=TAG)),
    (overwritten_cosine, "<answer>13</answer>", "12", CosineLength(verdict=Numeric(answer=TAG), limit=100)),
    (steps_pay_the_wrong, "area base <answer>13</answer>", "12", KeySteps(verdict=Numeric(answer=TAG))),
]


@pytest.mark.parametrize(("theirs", "completion", "gold", "ours"), HOLES)
def test_what_the_published_reward_pays_ours_does_not(
    theirs: Callable[[Trace], float], completion: str, gold: object, ours: Callable[[Trace], float]
):
    given = Trace(
        prompt="p", completion=completion, gold=gold, tokens=(1, 2, 3), metadata={"key_steps": ["area", "base"]}
    )
    assert theirs(given) > 0.0
    assert ours(given) <= 0.0


def test_a_gold_that_cannot_be_parsed_pays_nobody():
    given = Trace(prompt="p", completion="", gold="twelve")
    assert unparsable_gold_pays(given) == 1.0
    with pytest.raises(GoldError):
        Numeric(answer=TAG)(given)


def test_a_layout_within_anything_else_is_none():
    spray = "<think>a</think><answer>1</answer>" * 9
    assert format_by_search(Trace(prompt="p", completion=spray)) == 1.0
    assert Format()(Trace(prompt="p", completion=spray)) == 0.0
