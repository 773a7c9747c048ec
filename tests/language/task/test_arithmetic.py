from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from operant.config.errors import ConfigError
from operant.language.task.arithmetic import arithmetic
from operant.reward import token_ends
from operant.task import score


def value(text: str) -> int:
    return sum(int(part) for part in re.findall(r"[+-]?\d+", text))


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("operators", ["+", "-", "+-"])
def test_solutions_are_right_line_by_line(steps: bool, operators: str):
    task = arithmetic(digits=2, terms=4, operators=operators, steps=steps, test=20)
    for example in [*task.train[:30], *task.test]:
        right = value(example.prompt.removesuffix("="))  # type: ignore[union-attr]
        assert example.gold == str(right)
        parts = example.solution.split("=")
        assert len(parts) == (3 if steps else 1)
        assert all(value(part) == right for part in parts)
        assert len(example.solution) < (task.max_tokens or 0)


def test_units_first_reverses_every_number():
    plain, turned = arithmetic(terms=3, steps=True), arithmetic(terms=3, steps=True, units_first=True)

    def turn(text: str) -> str:
        return re.sub(r"\d+", lambda m: m.group()[::-1], text)

    # the split hashes the prompt, so the two tasks hold out other problems: compare one problem's writing by hand
    for example in turned.train[:20]:
        assert value(turn(str(example.prompt)).removesuffix("=")) == int(turn(example.gold))
        assert turn(example.solution).split("=")[-1] == turn(example.gold)
    assert plain.train[0].gold


def test_no_test_problem_is_trained_on():
    for options in ({"digits": 1, "test": 8}, {"digits": 2, "test": 200, "forgets_carry": 0.5}):
        task = arithmetic(**options, train=3000, demonstrations=3000)
        held = {example.prompt for example in task.test}
        assert len(held) == options["test"]
        assert held.isdisjoint(example.prompt for example in task.train)
        assert held.isdisjoint(shown.prompt for shown in task.demonstrations)


def test_the_same_seed_gives_the_same_task_and_another_another():
    one, same, other = arithmetic(seed=3), arithmetic(seed=3), arithmetic(seed=4)
    assert one.train[:20] == same.train[:20]
    assert one.test == same.test
    assert list(one.demonstrations[:20]) == list(same.demonstrations[:20])
    assert one.train[:20] != other.train[:20]
    assert one.train[7] == list(one.train[:8])[7]


def test_the_noise_forgets_the_units_carry_and_nothing_else():
    task = arithmetic(forgets_carry=0.6, demonstrations=2000)
    wrong = carries = 0
    for shown in task.demonstrations:
        a, b = map(int, str(shown.prompt).removesuffix("=").split("+"))
        carry = a % 10 + b % 10 >= 10
        carries += carry
        off = a + b - int(shown.completion)
        assert off in ((0, 10) if carry else (0,))
        wrong += off == 10
    assert abs(carries / 2000 - 0.45) < 0.04  # so that a base that always slips is right in 0.55
    assert abs(wrong / carries - 0.6) < 0.05


def test_noise_in_a_chain_is_carried_through_its_steps():
    task = arithmetic(forgets_carry=1.0, terms=3, steps=True)
    slipped = 0
    for shown in task.demonstrations[:200]:
        first, second = shown.completion.split("=")
        right = value(str(shown.prompt).removesuffix("="))
        assert value(first) - right in (0, -10)
        assert right - value(second) in (0, 10)  # one slip in all
        slipped += value(second) != right
    assert slipped > 100


def test_steps_are_judged_one_by_one():
    task = arithmetic(terms=4, steps=True, test=20)
    assert arithmetic(test=20).step_reward is None
    judge = task.step_reward
    assert judge is not None
    for example in task.test:
        a, b, c = example.solution.split("=")
        ends = [len(a), len(a) + 1 + len(b), len(example.solution)]
        right = judge(example.trace(example.solution))
        assert right == [(end, pytest.approx(1 / 3)) for end in ends]
        assert [v > 0 for _, v in judge(example.trace(f"{a}={b}0={c}"))] == [True, False, True]
        assert [v > 0 for _, v in judge(example.trace(f"{a}={b}={c}", (), "length"))] == [True, True, False]
        for stuffed in (c, f"{c}={c}={a}", "=", "", f"{b}={a}={b}"):  # right somewhere else
            assert not any(v for _, v in judge(example.trace(stuffed)))
        assert sum(v for _, v in judge(example.trace("=".join([a, b, c, c, c, a])))) == pytest.approx(1.0)


def test_the_ends_of_steps_are_found_among_tokens_of_several_characters():
    pieces = ["4", "6-", "5=4", "1", ""]

    def decode(ids: Sequence[int]) -> str:
        return "".join(pieces[i] for i in ids)

    assert token_ends([(4, 0.5), (6, 0.25)], range(5), decode) == [(2, 0.5), (2, 0.25)]
    assert token_ends([(2, 0.5), (7, 0.25)], range(5), decode) == [(1, 0.5), (4, 0.25)]  # with the stop token
    assert token_ends([(0, 1.0), (99, 0.5)], range(5), decode) == [(0, 1.0), (4, 0.5)]


@pytest.mark.parametrize("completion", ["", "=", "1 2 3 4 5", "12=", "abc", "0=1=2=3"])
def test_nothing_but_the_answer_scores(completion: str):
    for steps in (False, True):
        task = arithmetic(steps=steps, test=20)
        scores = score([example.trace(completion) for example in task.test], task.rewards)
        assert not scores.values.any()
        assert scores.judged.all()


def test_every_number_at_once_does_not_score():
    task = arithmetic(test=5)
    spray = " ".join(str(n) for n in range(200))
    assert not score([e.trace(spray) for e in task.test], task.rewards).values.any()
    assert not score([e.trace(f"{e.gold} {e.gold}") for e in task.test], task.rewards).values.any()


@pytest.mark.parametrize(
    "options", [{"digits": 0}, {"terms": 1}, {"operators": "*"}, {"operators": ""}, {"forgets_carry": 1.5}]
)
def test_settings_that_make_no_task_are_refused(options: dict[str, object]):
    with pytest.raises(ConfigError):
        arithmetic(**options)  # type: ignore[arg-type]


def test_too_few_problems_are_told():
    with pytest.raises(ConfigError, match=r"only \d+ different test problems"):
        arithmetic(digits=1, test=200)
