from dataclasses import replace

import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.learn.process_reward import process_reward
from operant.language.learn.reward_model import answers, judge, reward_model, score
from operant.language.model.language_model import Scalar
from operant.language.settings.learning import ProcessRewardConfig, RewardModelConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded
from operant.language.text.pairs import Pair, Ranking, Steps
from operant.math.comparison import bradley_terry
from reference.tiny_language import tiny_language


def scalar(seed=0, head=1.0):
    """A model whose head says something."""
    model = Scalar(tiny_language(seed=seed))
    torch.nn.init.normal_(model.head.weight, std=head, generator=torch.Generator().manual_seed(seed))
    return model


@pytest.fixture(scope="module")
def model():
    return scalar()


def answer(prompt, *tokens, where=""):
    return Encoded(tokens=(*prompt, *tokens), acted=(False,) * (len(prompt) - 1) + (True,) * len(tokens), where=where)


def rankings(sizes=(4, 2, 3, 4)):
    generator = torch.Generator().manual_seed(0)
    found = []
    for i, k in enumerate(sizes):
        prompt = torch.randint(10, 250, (i + 1,), generator=generator).tolist()
        drawn = [torch.randint(10, 250, (j % 3 + 1,), generator=generator).tolist() for j in range(k)]
        found.append(Ranking(answers=tuple(answer(prompt, *d) for d in drawn), rank=tuple(range(k))))
    return found


def pairs():
    return [
        Pair(chosen=r.answers[0], rejected=r.answers[1], margin=0.3 * i, probability=1.0 - 0.1 * i)
        for i, r in enumerate(rankings())
    ]


def one_step(model, items, **settings):
    cfg = RewardModelConfig(batch=len(items), max_grad_norm=1e9, warmup=0.0, **settings).model_copy(update={"lr": 0.0})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    metrics = next(reward_model(cfg, Shuffled(items, Streams(0)), model, optimizer, total_steps=9))
    used = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return {name: float(value) for name, value in metrics.items()}, torch.cat(used)


@pytest.mark.parametrize("loss", ["bradley_terry", "soft_label", "ranking"])
def test_parts_add_up(model, loss):
    items = rankings() if loss == "ranking" else pairs()
    if loss == "bradley_terry":
        items = [replace(p, probability=1.0) for p in items]
    if loss == "soft_label":
        items = [replace(p, margin=0.0) for p in items]
    whole, gradient = one_step(model, items, loss=loss)
    assert float(gradient.norm()) > 1e-3
    for tokens in (1, 24):
        parts, again = one_step(model, items, loss=loss, tokens=tokens)
        assert float((again - gradient).norm()) < 1e-5 * float(gradient.norm())
        assert parts == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_a_ranking_is_one_element(model):
    """The mean over prompts of the mean over a prompt's pairs, whatever their number (InstructGPT, equation 1)."""
    items = rankings()
    want = []
    for item in items:
        s = torch.stack([model(torch.tensor([e.tokens]))[0, -1] for e in item.answers])
        pairs = [(i, j) for i in range(len(s)) for j in range(i + 1, len(s))]
        want.append(torch.stack([bradley_terry(s[[i]], s[[j]])[0] for i, j in pairs]).mean())
    metrics, _ = one_step(model, items, loss="ranking", centring=0.0)
    assert metrics["loss/preference"] == pytest.approx(float(torch.stack(want).mean().detach()), rel=1e-5)


def test_pairs_are_rankings_of_two(model):
    plain = [replace(p, margin=0.0, probability=1.0) for p in pairs()]
    first, gradient = one_step(model, plain, loss="bradley_terry", centring=0.2)
    for loss in ("ranking", "soft_label"):
        second, again = one_step(model, plain, loss=loss, centring=0.2)
        assert second == pytest.approx(first, rel=1e-5)
        torch.testing.assert_close(again, gradient, rtol=1e-4, atol=1e-7)


def test_the_score_stands_at_the_last_token(model):
    examples = [e for item in rankings() for e in answers(item)]
    got = score(model, padded(examples, pad=0))
    for value, e in zip(got, examples, strict=True):
        assert float(value.detach()) == pytest.approx(float(model(torch.tensor([e.tokens]))[0, -1].detach()), abs=1e-5)


def preferences(count=32):
    """The answer with the larger token is better."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for i in range(count):
        a, b = sorted(torch.randperm(20, generator=generator)[:2].tolist())
        prompt = (5, 40 + i % 7)
        found.append(Pair(chosen=answer(prompt, 100 + b), rejected=answer(prompt, 100 + a)))
    return found


def test_it_learns_and_is_centred():
    """A level of 3 at the start is gone with the penalty; without it nothing moves it on purpose."""
    model = Scalar(tiny_language())
    with torch.no_grad():
        model.head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    data = Shuffled(preferences(), Streams(0))
    cfg = RewardModelConfig(batch=32, lr=3e-3, lr_schedule="constant", warmup=0.0, centring=0.05)
    steps = reward_model(cfg, data, model, torch.optim.Adam(model.parameters(), lr=cfg.lr), total_steps=10**6)
    metrics = [next(steps) for _ in range(60)][-1]
    assert float(metrics["reward/accuracy"]) == 1.0
    assert float(metrics["reward/margin"]) > 1.0
    assert abs(float(metrics["reward/level"])) < 0.15


def test_the_penalty_pulls_the_level_to_zero():
    scores = torch.tensor([4.0, 3.0, 5.0, 4.5], requires_grad=True)
    for centring, sign in ((0.1, 1.0), (0.0, 0.0)):
        loss, metrics = judge(RewardModelConfig(centring=centring), scores, preferences(2), count=2)
        (gradient,) = torch.autograd.grad(loss, scores)
        assert float(gradient.sum()) == pytest.approx(sign * 0.1 * 2 * (7.0 + 9.5), abs=1e-5)
        assert float(metrics["level"]) == pytest.approx(4.125)


def test_refusals(model):
    with pytest.raises(ConfigError, match=r"set algo\.loss = ranking"):
        one_step(model, rankings())
    with pytest.raises(ConfigError, match=r"a pair with a probability; set algo\.loss = soft_label"):
        one_step(model, [replace(p, margin=0.0) for p in pairs()])
    with pytest.raises(ConfigError, match=r"a pair with a margin; set algo\.loss = bradley_terry"):
        one_step(model, pairs(), loss="soft_label")
    empty = Encoded(tokens=(3, 4), acted=(False,), where="f:2")
    with pytest.raises(ConfigError, match="f:2: no token to learn from"):
        one_step(model, [Pair(chosen=empty, rejected=empty)])


# ------------------------------------------------------------------ steps
def solutions(count=24):
    """Steps of two tokens; a step is right if its first token is below 60."""
    generator = torch.Generator().manual_seed(2)
    found = []
    for i in range(count):
        first = torch.randint(50, 70, (i % 3 + 1,), generator=generator).tolist()
        tokens = [7, 8, *(t for x in first for t in (x, 9))]
        acted = [False] + [flag for _ in first for flag in (False, True)]
        found.append(
            Steps(
                solution=Encoded(tokens=tuple(tokens), acted=tuple(acted)), correct=tuple(float(x < 60) for x in first)
            )
        )
    return found


def process_step(model, items, tokens):
    cfg = ProcessRewardConfig(batch=len(items), tokens=tokens, max_grad_norm=1e9, warmup=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    steps = process_reward(
        cfg.model_copy(update={"lr": 0.0}), Shuffled(items, Streams(0)), model, optimizer, total_steps=9
    )
    metrics = next(steps)
    return float(metrics["loss/step"]), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_verdicts_stand_at_the_ends_of_steps(model):
    """Each step is one binary verdict on what is read up to its last token; every step of the batch counts the same."""
    items, losses = solutions(5), []
    for item in items:
        logit = model(torch.tensor([item.solution.tokens]))[0]
        ends = [t + 1 for t, a in enumerate(item.solution.acted) if a]
        target = torch.tensor(item.correct)
        losses += torch.nn.functional.binary_cross_entropy_with_logits(logit[ends], target, reduction="none").tolist()
    whole, gradient = process_step(model, items, 10_000)
    assert whole == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    for tokens in (1, 16):
        parts, again = process_step(model, items, tokens)
        assert parts == pytest.approx(whole, rel=1e-5)
        assert float((again - gradient).norm()) < 1e-5 * float(gradient.norm())


def test_steps_are_learnt():
    model = Scalar(tiny_language())
    cfg = ProcessRewardConfig(batch=24, lr=3e-3, lr_schedule="constant", warmup=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    steps = process_reward(cfg, Shuffled(solutions(), Streams(0)), model, optimizer, total_steps=10**6)
    metrics = [next(steps) for _ in range(60)]
    assert float(metrics[0]["loss/step"]) == pytest.approx(0.6931, abs=1e-3)  # the head begins at 0
    assert float(metrics[-1]["reward/accuracy"]) > 0.95
