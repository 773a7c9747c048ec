import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.learn.dpo import dpo, pair_loss
from operant.language.learn.group_weights import GroupWeights
from operant.language.learn.reference import all_logp, pairs_with_reference, verdicts_with_reference
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec, adapt
from operant.language.settings.learning import DPOConfig
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.pairs import Pair, Verdict, mismatch
from operant.math.preference import group_means
from reference.tiny_language import tiny_language, tiny_model, tiny_tokenizer

WORDS = ["one", "two three", "the quick brown fox", "42", "yes, six letters", "sorry", "a b c d e f", "lazy dog"]


@pytest.fixture(scope="module")
def policy():
    return tiny_language(seed=3)


@pytest.fixture(scope="module")
def pairs(policy):
    """With the reference of another model, so that log-ratios are not 0."""
    encoder = Encoder(tokenizer=policy.tokenizer, length=64)
    found = [
        Pair(
            chosen=encoder.completion(f"say {w}:", f" {w} {w}", where=f"line {i}"),
            rejected=encoder.completion(f"say {w}:", " no" * (i % 3 + 1)),
            group="ab"[i % 4 == 0],
        )
        for i, w in enumerate(WORDS)
    ]
    return pairs_with_reference(found, policy, reference=tiny_language(seed=4))


@pytest.fixture(scope="module")
def verdicts(policy, pairs):
    found = [Verdict(answer=(p.chosen if i % 3 else p.rejected), desirable=i % 3 > 0) for i, p in enumerate(pairs)]
    return verdicts_with_reference(mismatch(found, 64), policy, reference=tiny_language(seed=4))


def one_step(policy, items, **settings):
    cfg = DPOConfig(batch=len(items), warmup=0.0, max_grad_norm=1e9, **settings).model_copy(update={"lr": 0.0})
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    metrics = next(dpo(cfg, Shuffled(items, Streams(0)), policy, optimizer, total_steps=100))
    return metrics, torch.cat([p.grad.flatten() for p in policy.parameters()])


def test_log_probabilities_of_answers(policy, pairs):
    """Against transformers' logits, one answer at a time; the reference's are those of the model given."""
    other = tiny_language(seed=4)
    for model, got in (
        (policy, all_logp(policy, [(p.chosen, p.rejected) for p in pairs], 100)),
        (other, torch.tensor([p.reference for p in pairs])),
    ):
        for row, pair in zip(got, pairs, strict=True):
            for value, e in zip(row, (pair.chosen, pair.rejected), strict=True):
                logits = model.model(torch.tensor([e.tokens])).logits[0, :-1].log_softmax(-1)
                logp = logits.gather(-1, torch.tensor(e.tokens)[1:, None])[:, 0]
                assert float(value) == pytest.approx(float(logp[e.prompt - 1 :].sum().detach()), rel=1e-5)


@pytest.mark.parametrize("loss", ["dpo", "cdpo", "rdpo", "ipo", "hinge", "gr_dpo", "gr_ipo", "kto"])
def test_parts_add_up(policy, pairs, verdicts, loss):
    items = verdicts if loss == "kto" else pairs
    whole, gradient = one_step(policy, items, loss=loss, group_step=0.5)
    assert float(whole["grad/norm"]) > 1e-3
    for tokens in (1, 64):
        parts, again = one_step(policy, items, loss=loss, group_step=0.5, tokens=tokens)
        assert float((again - gradient).norm()) < 1e-5 * float(gradient.norm())
        for name, value in whole.items():
            assert float(parts[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), name


def test_metrics_are_rewards(policy, pairs):
    logp = all_logp(policy, [(p.chosen, p.rejected) for p in pairs], 1000)
    reward = 0.3 * (logp - torch.tensor([p.reference for p in pairs]))
    metrics, _ = one_step(policy, pairs, beta=0.3)
    assert float(metrics["reward/chosen"]) == pytest.approx(float(reward[:, 0].mean()), rel=1e-4)
    assert float(metrics["reward/rejected"]) == pytest.approx(float(reward[:, 1].mean()), rel=1e-4)
    assert float(metrics["reward/margin"]) == pytest.approx(float((reward[:, 0] - reward[:, 1]).mean()), rel=1e-4)
    assert float(metrics["reward/accuracy"]) == pytest.approx(float((reward[:, 0] > reward[:, 1]).float().mean()))


def test_at_the_reference_the_loss_is_log_two(policy, pairs):
    here = pairs_with_reference([replace(p, reference=None) for p in pairs], policy)
    metrics, gradient = one_step(policy, here)
    assert float(metrics["loss/preference"]) == pytest.approx(np.log(2.0), rel=1e-5)
    assert float(metrics["reward/margin"]) == pytest.approx(0.0, abs=1e-5)
    assert float(gradient.norm()) > 1e-3


@pytest.mark.parametrize("loss", ["dpo", "cdpo", "rdpo", "ipo", "hinge", "gr_dpo", "gr_ipo", "kto"])
def test_every_loss_learns(pairs, verdicts, loss):
    """Within fifteen steps each tells all chosen answers from the rejected, by rewards that were equal at first."""
    policy = tiny_language(seed=3)
    if loss == "kto":
        bare = [Verdict(answer=a, desirable=a is p.chosen) for p in pairs for a in (p.chosen, p.rejected)]
        items = verdicts_with_reference(mismatch(bare, 64), policy)
    else:
        items = pairs_with_reference(pairs, policy)
    cfg = DPOConfig(batch=len(items), loss=loss, lr=1e-3, lr_schedule="constant", warmup=0.0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=cfg.lr)
    steps = dpo(cfg, Shuffled(items, Streams(0)), policy, optimizer, total_steps=10**6)
    metrics = [next(steps) for _ in range(15)]
    assert float(metrics[-1]["loss/preference"]) < float(metrics[0]["loss/preference"])
    assert float(metrics[-1]["reward/accuracy"]) > 0.9
    if loss == "kto":
        assert float(metrics[-1]["reward/desirable"]) > float(metrics[-1]["reward/undesirable"]) + 0.1
    else:
        assert float(metrics[0]["reward/margin"]) == pytest.approx(0.0, abs=1e-5)
        assert float(metrics[-1]["reward/margin"]) > 0.1


def test_the_reference_of_an_adapted_model_is_the_one_before(pairs):
    """With adapters that have moved, and no model beside it."""
    before = tiny_language(seed=5)
    adapted = LanguageModel(adapt(tiny_model(seed=5), LoraSpec(r=2)), tiny_tokenizer())
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:
                p.normal_(generator=torch.Generator().manual_seed(0))
    bare = [replace(p, reference=None) for p in pairs]
    want = pairs_with_reference(bare, before)
    got = pairs_with_reference(bare, adapted)
    torch.testing.assert_close(
        torch.tensor([p.reference for p in got]), torch.tensor([p.reference for p in want]), rtol=1e-5, atol=1e-5
    )
    moved = pairs_with_reference(bare, adapted, reference=adapted)
    assert abs(moved[0].reference[0] - want[0].reference[0]) > 1e-2
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.0)
    cfg = DPOConfig(batch=len(got), warmup=0.0)
    assert float(next(dpo(cfg, Shuffled(got, Streams(0)), adapted, optimizer, total_steps=9))["grad/norm"]) > 0


def test_the_minimiser_is_the_closed_form():
    """Five answers of one token, labels of a Bradley–Terry judge: π ends at π_ref exp(r/β), normalised."""
    policy = tiny_language("gpt2", layers=1, vocabulary=300, seed=1)
    answers, beta = (10, 11, 12, 13, 14), 0.5
    reward = np.array([0.4, -0.2, 0.1, 0.5, -0.6])
    example = [Encoded(tokens=(2, 3, a), acted=(False, True)) for a in answers]
    ordered = list(itertools.permutations(range(5), 2))
    pairs = pairs_with_reference([Pair(chosen=example[i], rejected=example[j]) for i, j in ordered], policy)
    win = torch.tensor([1 / (1 + np.exp(reward[j] - reward[i])) for i, j in ordered], dtype=torch.float32)
    reference = torch.tensor([p.reference for p in pairs])
    ref = all_logp(policy, [(e,) for e in example], 1000)[:, 0]
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for rate in (3e-3, 3e-4):
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(150):
            states = policy.hidden(torch.tensor([[2, 3]]))[0, -1]
            logp = policy.decoder.head(states).log_softmax(-1)[list(answers)]
            both = torch.stack([torch.stack([logp[i], logp[j]]) for i, j in ordered])
            loss, _ = pair_loss(DPOConfig(beta=beta), both, reference, lambda x, mask: (win * x).sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    want = (ref + torch.tensor(reward, dtype=torch.float32) / beta).softmax(-1)
    torch.testing.assert_close(logp.softmax(-1).detach(), want, rtol=0.02, atol=1e-3)


# ------------------------------------------------------------------ groups
def numpy_gr_dpo(logp, reference, group, alpha, counts, beta, eta, adjustment, ipo):
    """One step of group-robust preference optimisation, written out: the new α and the loss."""
    batch, losses = len(logp), np.zeros(len(alpha))
    for (w, l), (rw, rl), g in zip(logp, reference, group, strict=True):
        delta = (w - rw) - (l - rl)
        loss = (delta - 1 / (2 * beta)) ** 2 if ipo else np.log1p(np.exp(-beta * delta))
        losses[g] += loss * sum(counts) / counts[g] / batch
    new = [a * np.exp(eta * (l + adjustment / np.sqrt(n))) for a, l, n in zip(alpha, losses, counts, strict=True)]
    new = np.array(new) / sum(new)
    return new, losses, float(new @ losses)


@pytest.mark.parametrize("loss", ["gr_dpo", "gr_ipo"])
def test_group_robust_equals_numpy(policy, pairs, loss):
    groups = GroupWeights(pairs)
    groups.weight = torch.tensor([0.3, 0.7])
    cfg = DPOConfig(batch=6, loss=loss, beta=0.2, group_step=0.4, group_adjustment=1.5, warmup=0.0)
    data = Shuffled(pairs, Streams(2))
    batch = Shuffled(pairs, Streams(2))(6)
    logp = all_logp(policy, [(p.chosen, p.rejected) for p in batch], 1000).double().numpy()
    index = [0 if p.group == "a" else 1 for p in batch]
    alpha, by_group, want = numpy_gr_dpo(
        logp, [p.reference for p in batch], index, [0.3, 0.7], [6, 2], 0.2, 0.4, 1.5, loss == "gr_ipo"
    )
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    metrics = next(dpo(cfg.model_copy(update={"lr": 0.0}), data, policy, optimizer, total_steps=9, groups=groups))
    assert groups.names == ["a", "b"]
    np.testing.assert_allclose(groups.weight.numpy(), alpha, rtol=1e-4)
    assert float(metrics["loss/preference"]) == pytest.approx(want, rel=1e-4)
    assert float(metrics["group/loss/b"]) == pytest.approx(by_group[1], rel=1e-4)
    assert float(metrics["group/weight/a"]) == pytest.approx(alpha[0], rel=1e-4)


def test_group_robust_lifts_the_worst_group():
    """Nine people in ten prefer A, one in ten B, and nothing tells them apart: DPO sides with the many."""

    def train(loss):
        policy = tiny_language(layers=1, seed=7)
        made = []
        for i in range(40):
            a, b = (Encoded(tokens=(3, 20 + i % 4, t), acted=(False, True)) for t in (80, 81))
            few = i % 10 == 0
            made.append(Pair(chosen=b if few else a, rejected=a if few else b, group="few" if few else "many"))
        data = Shuffled(pairs_with_reference(made, policy), Streams(0))
        cfg = DPOConfig(batch=20, loss=loss, beta=0.5, lr=3e-3, lr_schedule="constant", warmup=0.0, group_step=0.2)
        optimizer = torch.optim.Adam(policy.parameters(), lr=cfg.lr)
        steps = dpo(cfg, data, policy, optimizer, total_steps=10**6)
        for _ in range(80):
            next(steps)
        logp = all_logp(policy, [(p.chosen, p.rejected) for p in data.items], 10_000)
        reference = torch.tensor([p.reference for p in data.items])
        group = GroupWeights(data.items)
        mean = partial(group_means, group=group.index(data.items), groups=2)
        return pair_loss(cfg, logp, reference, mean)[0].tolist()  # few, many

    plain, robust = train("dpo"), train("gr_dpo")
    assert plain[0] > 1.3
    assert plain[1] < 0.4
    assert max(robust) < 0.9, (plain, robust)


def test_a_judge_s_probabilities_are_learnt_pair_by_pair(policy, pairs):
    """−p log σ(βΔ) − (1 − p) log σ(−βΔ): at p = ½ nothing says which is better, at 1 it is DPO."""
    sure = [1.0, 0.5, 0.9, 0.2, 1.0, 0.7, 0.0, 0.6]
    judged = [replace(p, probability=x) for p, x in zip(pairs, sure, strict=True)]
    got, gradient = one_step(policy, judged, loss="cdpo", beta=0.3)
    margin = torch.tensor([float(one_step(policy, [p], beta=1.0)[0]["reward/margin"]) for p in pairs]) * 0.3
    p = torch.tensor(sure)
    wanted = -(p * torch.nn.functional.logsigmoid(margin) + (1 - p) * torch.nn.functional.logsigmoid(-margin)).mean()
    assert float(got["loss/preference"]) == pytest.approx(float(wanted), rel=1e-5)
    _, again = one_step(policy, judged, loss="cdpo", beta=0.3, tokens=1)
    assert float((again - gradient).norm()) < 1e-5 * float(gradient.norm())


def test_refusals(policy, pairs, verdicts):
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)

    def first(items, **settings):
        next(dpo(DPOConfig(**settings), Shuffled(items, Streams(0)), policy, optimizer, total_steps=1))

    with pytest.raises(ConfigError, match="line 1: a pair without its reference"):
        first([pairs[0], replace(pairs[1], reference=None)])
    with pytest.raises(ConfigError, match=r"set algo\.loss = kto"):
        first(verdicts)
    with pytest.raises(ConfigError, match="these are pairs"):
        first(pairs, loss="kto")
    with pytest.raises(ConfigError, match="without its mismatched answer"):
        first([replace(verdicts[0], mismatched=None)], loss="kto")
    with pytest.raises(ConfigError, match="at least two groups"):
        first([replace(p, group="a") for p in pairs], loss="gr_dpo")
    with pytest.raises(ConfigError, match=r"line 0: a pair with a probability; set algo\.loss = cdpo"):
        first([replace(pairs[0], probability=0.7), *pairs[1:]])
