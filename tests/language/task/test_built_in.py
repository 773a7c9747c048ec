from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from operant.config.errors import ConfigError
from operant.language.task.check import check_task
from operant.language.task.load import load_task
from operant.task import Example, Task, score


def answered_by_hand(name: str, prompt: str, options: Mapping[str, Any]) -> str:
    text = prompt.removesuffix("=")
    if name == "reverse":
        return "".join(reversed(text))
    if name == "sort":
        return " ".join(sorted(text.split()))
    value, modulus = int(text[0]), options.get("modulus", 7)
    for sign, number in re.findall(r"([+*])(\d)", text):
        value = (value + int(number) if sign == "+" else value * int(number)) % modulus
    return str(value)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("reverse", {"shortest": 2, "longest": 5}),
    ("sort", {"count": 4, "digits": 2}),
    ("modular", {"depth": 6, "modulus": 10}),
    ("modular", {"depth": 3, "steps": True}),
    ("modular", {"depth": 1, "steps": True, "test": 5}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gold_answers_are_right_and_held_out(name: str, options: dict[str, Any]):
    task = load_task(name, {"train": 500, "demonstrations": 500, "test": 20, **options})
    check_task(task)
    held = {example.prompt for example in task.test}
    for example in [*task.train, *task.test]:
        assert example.gold == answered_by_hand(name, str(example.prompt), options)
        assert len(example.solution) < (task.max_tokens or 0)
    assert held.isdisjoint(example.prompt for example in task.train)
    assert held.isdisjoint(shown.prompt for shown in task.demonstrations)
    again = load_task(name, {"train": 500, "demonstrations": 500, "test": 20, **options})
    assert [*task.train] == [*again.train]
    assert task.test == again.test


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_share_of_mistaken_demonstrations_is_what_was_asked_for(name: str, options: dict[str, Any]):
    task = load_task(name, {"demonstrations": 400, "test": 5, **options, "forgets_last": 0.6})
    wrong = 0
    for shown in task.demonstrations:
        gold = answered_by_hand(name, str(shown.prompt), options)
        example = Example(prompt=shown.prompt, gold=gold, solution=gold)
        wrong += 1 - score([example.trace(shown.completion)], task.rewards).values[0, 0]
    assert 0.35 < wrong / 400 < 0.7  # some mistakes are right by chance


@pytest.mark.parametrize(("name", "options"), CASES)
def test_nothing_but_the_answer_scores(name: str, options: dict[str, Any]):
    task = load_task(name, {"test": 5, **options})
    for text in ("", " ", "=", "0 1 2 3 4 5 6 7 8 9", "0123456789", "abcdefghijklmnopqrstuvwxyz", "0,1,2,3,4,5,6"):
        assert not score([example.trace(text) for example in task.test], task.rewards).values.any()
    both = [example.trace(f"{example.gold} {example.gold}") for example in task.test]
    assert not score(both, task.rewards).values.any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("reverse", {"shortest": 9}),
        ("reverse", {"letters": "aa"}),
        ("reverse", {"forgets_last": 2}),
        ("sort", {"count": 1}),
        ("modular", {"modulus": 11}),
        ("modular", {"depth": 1, "modulus": 2, "test": 50}),
    ],
)
def test_settings_that_make_no_task_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(ConfigError):
        load_task(name, options)


@pytest.fixture(scope="module")
def products() -> Task:
    pytest.importorskip("reasoning_gym")
    return load_task("reasoning-gym:chain_sum", {"train": 50, "test": 5, "min_terms": 3, "max_terms": 3})


def test_reasoning_gym_judges_by_its_own_verifier_and_pays_no_part(products: Task):
    example = products.test[0]
    reward = products.rewards["correct"]
    assert reward(example.trace(example.solution)) == 1.0
    gold = example.gold
    for text in ("", gold, f"<answer>{gold}", f"<answer>{gold} {gold}</answer>", f"<answer>{gold} or 3</answer>"):
        assert reward(example.trace(text)) == 0.0
    spray = " ".join(str(n) for n in range(-99, 100))
    assert reward(example.trace(f"<answer>{spray}</answer>")) == 0.0
    assert {e.prompt for e in products.test}.isdisjoint(e.prompt for e in products.train)


def test_reasoning_gym_passes_its_check_in_a_worker(products: Task):
    check_task(products, examples=5)


def test_reasoning_gym_tells_what_it_does_not_know():
    pytest.importorskip("reasoning_gym")
    with pytest.raises(ConfigError, match="no task 'chain_sun'; nearest: chain_sum"):
        load_task("reasoning-gym:chain_sun")
    with pytest.raises(ConfigError, match="does not take"):
        load_task("reasoning-gym:chain_sum", {"min_words": 3})
