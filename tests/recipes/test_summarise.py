"""The recipe of summaries: what a summary is worth, who is preferred, and what chance and length teach."""

import json

import pytest

from operant.recipes import Trial, summarise
from operant.recipes.posts import make, worth
from operant.recipes.summarise import compared, prefers
from reference.said import row


def test_a_summary_is_worth_what_it_tells_less_what_it_makes_up():
    gold = ["lost keys", "found tea"]
    assert worth("lost keys, found tea.", gold) == worth("found tea, lost keys", gold) == 1.0
    assert worth("lost keys.", gold) == 0.5
    assert worth("lost keys, sold maps.", gold) == 0.25
    assert worth("lost keys, lost keys.", gold) == 0.25  # what is said twice is beside it
    assert worth("", gold) == worth(" , .", gold) == 0.0
    assert worth("sold maps", gold) < 0.0


def test_posts_say_what_their_summaries_tell():
    task = make(train=20, test=5, demonstrations=200)
    for example in [*task.train[:20], *task.test]:
        who, _, text = example.prompt.partition("? ")
        assert [s.removeprefix(f"{who} ") for s in text.removesuffix(" In short: ").rstrip(".").split(". ")
                if s.startswith(f"{who} ")] == example.gold  # fmt: skip
        assert task.rewards["worth"](example.trace(example.solution)) == 1.0
    golds = [make(train=1, test=1).train[0].gold, task.train[0].gold]
    assert golds[0] == golds[1]
    right = [d.completion.count(",") for d in task.demonstrations[:200]]
    assert 0 in right


def test_who_compares_prefers_what_is_better_and_what_is_longer():
    gold = ["lost keys", "found tea"]
    assert prefers("lost keys.", "lost keys.", gold) == 0.5
    assert prefers("lost keys, found tea.", "lost keys.", gold) > 0.8
    assert 0.5 < prefers("lost keys  .", "lost keys.", gold) < 0.6
    assert prefers("x", "lost keys, found tea.", gold) == pytest.approx(1 - prefers("lost keys, found tea.", "x", gold))


def test_comparisons_are_by_worth_or_by_chance(tmp_path, monkeypatch):
    """The mechanism: without it the pairs that a reward model learns from are turned as often as not."""
    task = make(train=400, test=1)
    said = [
        x for i, e in enumerate(task.train[:400]) for x in (row(e.solution, 1.0, prompt=i), row("x", 0.0, prompt=i))
    ]
    monkeypatch.setattr(summarise, "answers", lambda *_: said)
    monkeypatch.setattr(summarise, "COMPARED", 400)
    right = {}
    for arm in ("ppo", "shuffled"):
        (tmp_path / arm).mkdir()
        file = compared(Trial(arm=arm, seed=1, folder=tmp_path / arm), task, "BASE")
        pairs = [json.loads(line) for line in file.read_text().splitlines()]
        right[arm] = sum(pair["chosen"] != "x" for pair in pairs) / len(pairs)
    assert right["ppo"] > 0.97
    assert 0.4 < right["shuffled"] < 0.6
