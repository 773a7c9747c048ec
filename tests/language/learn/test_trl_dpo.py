"""DPO and its relatives against TRL 1.16 on the same tokens: loss, gradient, metrics; CPU, float32.

One known disagreement: TRL divides each log-ratio by the answer's length in IPO; the equation, and we, do not. Given
means in place of sums, our function reproduces TRL's number.
"""

import math
from functools import partial

import pytest
import torch

pytest.importorskip("trl")

from operant.data.streams import Streams
from operant.language.learn.dpo import dpo, pair_loss
from operant.language.learn.reference import all_logp, answer_logp, pairs_with_reference
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import DPOConfig
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.pairs import Pair
from operant.math import preference as losses
from operant.math.reduce import token_mean
from reference.tiny_language import tiny_language, tiny_model, tiny_tokenizer
from reference.trl_peer import PLAIN, agree, batch_of, gradients, loss_and_gradient

BETA = 0.3
TALKS = [
    ("what is 1 + 1?", "The answer is 2.", "no"),
    ("sort 3 1 2", "1 2 3", "sorry, I cannot help with that"),
    ("the quick brown", "fox jumps over the lazy dog", "six letters"),
    ("reverse the word", "olleh", "hello hello hello hello"),
]


def messages(who, text):
    return [{"role": who, "content": text}]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    from datasets import Dataset
    from trl import DPOConfig as Arguments
    from trl import DPOTrainer

    rows = [
        {"prompt": messages("user", p), "chosen": messages("assistant", c), "rejected": messages("assistant", r)}
        for p, c, r in TALKS
    ]
    arguments = Arguments(output_dir=str(tmp_path_factory.mktemp("trl")), beta=BETA, disable_dropout=True, **PLAIN)
    return DPOTrainer(
        model=tiny_model(seed=1),
        ref_model=tiny_model(seed=2),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )


@pytest.fixture(scope="module")
def policy(trainer):
    """The same parameters, by reference."""
    return LanguageModel(trainer.model, trainer.processing_class)


@pytest.fixture(scope="module")
def pairs(policy):
    encoder = Encoder(tokenizer=policy.tokenizer, length=128)
    found = [
        Pair(
            chosen=encoder.completion(messages("user", p), messages("assistant", c)),
            rejected=encoder.completion(messages("user", p), messages("assistant", r)),
        )
        for p, c, r in TALKS
    ]
    return pairs_with_reference(found, policy, reference=tiny_language(seed=2))


def ours(policy, pairs, loss_of):
    """Loss and gradients of a function of log-probabilities [N, 2] now and under the reference."""
    policy.zero_grad()
    logp = answer_logp(policy, [e for p in pairs for e in (p.chosen, p.rejected)]).view(-1, 2)
    loss = loss_of(logp, torch.tensor([p.reference for p in pairs]))
    loss.backward()
    return float(loss.detach()), gradients(policy.model)


def test_the_tokens_are_the_same(trainer, pairs):
    batch = batch_of(trainer, 4)
    rows = [p.chosen for p in pairs] + [p.rejected for p in pairs]
    for e, tokens, mask, there in zip(
        rows, batch["input_ids"], batch["completion_mask"], batch["attention_mask"], strict=True
    ):
        assert list(e.tokens) == tokens[there.bool()].tolist()
        assert [False, *e.acted] == mask[there.bool()].bool().tolist()


@pytest.mark.parametrize("loss", ["dpo", "rdpo", "hinge", "ipo"])
def test_losses_and_gradients(trainer, policy, pairs, loss):
    trainer.loss_types = [{"dpo": "sigmoid", "rdpo": "robust", "hinge": "hinge", "ipo": "ipo"}[loss]]
    trainer.label_smoothing = 0.2
    want = loss_and_gradient(trainer, batch_of(trainer, 4))
    cfg = DPOConfig(loss=loss, beta=BETA, flipped=0.2)
    length = torch.tensor([[sum(e.acted) for e in (p.chosen, p.rejected)] for p in pairs])

    def of(logp, reference):
        if loss == "ipo":  # the known disagreement
            logp, reference = logp / length, reference / length
        return pair_loss(cfg, logp, reference, token_mean)[0]

    agree(ours(policy, pairs, of), want)


def test_ipo_without_lengths_is_another_number(trainer, policy, pairs):
    trainer.loss_types = ["ipo"]
    want, _ = loss_and_gradient(trainer, batch_of(trainer, 4))
    got, _ = ours(policy, pairs, lambda x, r: pair_loss(DPOConfig(loss="ipo", beta=BETA), x, r, token_mean)[0])
    assert abs(got - want) > 0.1


def test_flipped_labels(trainer, policy, pairs):
    """TRL has no cDPO: its robust loss times (1 − 2ε), plus twice the flipped term, is cDPO."""
    trainer.loss_types, trainer.label_smoothing = ["robust"], 0.2
    robust = loss_and_gradient(trainer, batch_of(trainer, 4))[0]
    logp = all_logp(policy, [(p.chosen, p.rejected) for p in pairs], 10_000)
    reference = torch.tensor([p.reference for p in pairs])
    wrong = pair_loss(DPOConfig(beta=BETA), logp.flip(1), reference.flip(1), token_mean)[0]
    got = pair_loss(DPOConfig(loss="cdpo", beta=BETA, flipped=0.2), logp, reference, token_mean)[0]
    assert float(got) == pytest.approx(0.6 * robust + 0.4 * float(wrong), rel=1e-5)


@pytest.mark.parametrize(
    ("theirs", "score"),
    [
        ("reverse_kl", losses.reverse_kl),
        ("forward_kl", losses.forward_kl),
        ("js_divergence", losses.jensen_shannon),
        ("alpha_divergence", partial(losses.alpha_divergence, alpha=0.5)),
    ],
)
def test_divergences(trainer, policy, pairs, theirs, score):
    trainer.loss_types, trainer.f_divergence_type, trainer.f_alpha_divergence_coef = ["sigmoid"], theirs, 0.5
    want = loss_and_gradient(trainer, batch_of(trainer, 4))
    trainer.f_divergence_type = "reverse_kl"
    agree(ours(policy, pairs, lambda x, r: losses.dpo(*x.unbind(-1), *r.unbind(-1), beta=BETA, score=score)[0]), want)


def test_metrics(trainer, policy, pairs):
    trainer.loss_types = ["sigmoid"]
    trainer._metrics["train"].clear()
    loss, gradient = loss_and_gradient(trainer, batch_of(trainer, 4))
    told = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    cfg = DPOConfig(beta=BETA, batch=4, warmup=0.0).model_copy(update={"lr": 0.0})
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    got = next(dpo(cfg, Shuffled(pairs, Streams(0)), policy, optimizer, total_steps=8))
    names = {"chosen": "chosen", "rejected": "rejected", "margin": "margins", "accuracy": "accuracies"}
    for mine, name in names.items():
        assert float(got[f"reward/{mine}"]) == pytest.approx(told[f"rewards/{name}"], rel=1e-4), name
    assert float(got["loss/preference"]) == pytest.approx(loss, rel=1e-5)
    norm = math.sqrt(sum(float(g.norm()) ** 2 for g in gradient.values()))
    assert float(got["grad/norm"]) == pytest.approx(norm, rel=1e-4)
