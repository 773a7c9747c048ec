"""What is drawn and paid by how groups fare: variance-aware sampling, and the bonus for pictures in their order."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from operant.language.learn.order_bonus import OrderBonus, helped
from operant.language.learn.variance_sampling import OUTCOME, VarianceSampler
from operant.language.sample.sampling import Prompts
from reference.groups import completion

TOKENS = [[5, 6, 7]] * 8


def group(drawn, count=4, same=True):
    said = [completion(drawn, k, 2) for k in range(count)]
    return [replace(c, tokens=(1, 2)) for c in said] if same else said


def test_a_share_is_drawn_where_answers_differed():
    sampler = VarianceSampler(TOKENS, seed=3, share=0.5)
    plain = Prompts(TOKENS, seed=3)
    assert [sampler.example(i) for i in range(16)] == [plain.example(i) for i in range(16)]  # nothing is known yet
    by = {sampler.example(i): i for i in range(8)}
    score = sampler.noting(lambda done: [float(c.sample % 2 == 0 and c.prompt.id == by[2]) for c in done])
    for example in (2, 5):
        score(group(by[example]))
    assert sampler.worth == {2: OUTCOME * 0.25, 5: 0.0}
    drawn = [sampler.example(i) for i in range(100, 1100)]
    assert drawn.count(2) / 1000 == pytest.approx(0.5 + 0.5 / 8, abs=0.05)
    score(group(by[5], same=False))
    assert sampler.worth[5] == pytest.approx(1 - OUTCOME)  # all are wrong, each in its own way


def test_a_sampler_that_is_restored_draws_on_as_it_would_have():
    sampler, again = (VarianceSampler(TOKENS, seed=3, share=0.7) for _ in range(2))
    sampler.noting(lambda done: [float(c.sample == 0) for c in done])([*group(0), *group(1)])
    again.restore(sampler.state())
    sampler.drawn = again.drawn = 50
    assert [p.id for p in sampler(20)] == [p.id for p in again(20)]
    assert [sampler.example(i) for i in range(50, 90)] == [again.example(i) for i in range(50, 90)]


def test_answers_that_are_not_judged_say_nothing():
    sampler = VarianceSampler(TOKENS, seed=0, share=0.5)
    assert sampler.noting(lambda done: [None] * len(done))(group(0)) == [None] * 4
    assert sampler.worth == {}


class Scorer:
    """Scores by a table: (prompt, sample) to accuracy; samples from 4 on are those out of order."""

    def __init__(self, paid, mixed=True):
        self.paid, self.values, self.message = paid, {}, "none"
        self.tokenizer = None
        self.task = SimpleNamespace(rewards={"format": 0, "correct": 1}, metric="correct")
        self.example = lambda _: SimpleNamespace(metadata={"mixed": "frames"} if mixed else {})

    def __call__(self, completions):
        for c in completions:
            self.values[c.prompt.id, c.sample] = [1.0, self.paid[c.prompt.id][c.sample]]
        return [1.0 + self.paid[c.prompt.id][c.sample] for c in completions]

    def scores(self, completions):
        import numpy as np

        values = np.array([[1.0, self.paid[c.prompt.id][c.sample]] for c in completions])
        return SimpleNamespace(values=values, names=("format", "correct"))


class Engine:
    """Answers, numbered from where it is told to."""

    def __init__(self):
        self.asked = []

    def generate(self, prompts, sampling, *, samples):
        self.asked += prompts
        return [completion(p.id, p.sample + k, 2) for p in prompts for k in range(samples)]


@pytest.mark.parametrize(("mixed", "paid"), [((0, 0), [1.3, 0, 0, 1.3]), ((1, 1), [1.0, 0, 0, 1.0])])
def test_what_is_right_in_order_earns_more_where_order_helped(mixed, paid, monkeypatch):
    from operant.language.learn import order_bonus

    monkeypatch.setattr(order_bonus, "rendering_of", lambda _: SimpleNamespace(prompt=lambda text: [9, 9]))
    engine = Engine()
    bonus = OrderBonus(Scorer({7: (1.0, 0.0, 0.0, 1.0, *mixed)}), engine, None, bonus=0.3)
    assert bonus(group(7)) == [1.0 + x for x in paid]
    assert [(p.id, p.sample, p.tokens) for p in engine.asked] == [(7, 4, (9, 9))]  # other draws than those in order
    assert bonus.message == "none"


def test_without_other_orders_nothing_is_sampled_and_nothing_added(monkeypatch):
    from operant.language.learn import order_bonus

    monkeypatch.setattr(order_bonus, "rendering_of", lambda _: SimpleNamespace(prompt=list))
    engine = Engine()
    bonus = OrderBonus(Scorer({7: (1.0, 0.0, 1.0, 1.0)}, mixed=False), engine, None, bonus=0.3)
    assert bonus(group(7)) == [2.0, 1.0, 2.0, 2.0]
    assert engine.asked == []


def test_the_comparison_is_that_of_the_released_code():
    assert helped([0.4, 0.4], [0.5])  # 0.8 of it is enough
    assert not helped([0.39, 0.39], [0.5])
