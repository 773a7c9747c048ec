"""Reward models against TRL 1.16: Bradley–Terry, with margins, with centring; loss and gradient; CPU, float32."""

import pytest
import torch

pytest.importorskip("trl")

from operant.data.streams import Streams
from operant.language.learn.reward_model import reward_model
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.settings.learning import RewardModelConfig
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.pairs import Pair
from reference.tiny_language import tiny_model, tiny_tokenizer
from reference.trl_peer import PLAIN, agree, batch_of, gradients, loss_and_gradient

TALKS = [
    ("what is 1 + 1?", "The answer is 2.", "no", 1.5),
    ("sort 3 1 2", "1 2 3", "sorry, I cannot help with that", 0.0),
    ("the quick brown", "fox jumps over the lazy dog", "six letters", 0.25),
]


def messages(*turns):
    return [{"role": who, "content": text} for who, text in zip(("user", "assistant"), turns, strict=False)]


@pytest.fixture(scope="module")
def classifier():
    import transformers

    config = tiny_model().config
    config.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.Qwen3ForSequenceClassification(config).float()


@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("centring", [None, 0.1])
def test_losses_and_gradients(classifier, tmp_path, margins, centring):
    from datasets import Dataset
    from trl import RewardConfig as Arguments
    from trl import RewardTrainer

    rows = [{"chosen": messages(p, c), "rejected": messages(p, r), "margin": m} for p, c, r, m in TALKS]
    data = Dataset.from_list(rows)
    trainer = RewardTrainer(
        model=classifier,
        args=Arguments(output_dir=str(tmp_path), center_rewards_coefficient=centring, disable_dropout=True, **PLAIN),
        train_dataset=data if margins else data.remove_columns("margin"),
        processing_class=tiny_tokenizer(),
    )
    batch = batch_of(trainer, 3)
    want = loss_and_gradient(trainer, batch)

    body = tiny_model()
    body.model = classifier.model  # the same parameters, by reference
    model = Scalar(LanguageModel(body, tiny_tokenizer()))
    model.head.weight = classifier.score.weight
    encoder = Encoder(tokenizer=tiny_tokenizer(), length=128)
    pairs = [
        Pair(
            chosen=encoder.completion(messages(p), c),
            rejected=encoder.completion(messages(p), r),
            margin=m if margins else 0.0,
        )
        for p, c, r, m in TALKS
    ]
    theirs = [t[m.bool()].tolist() for t, m in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert theirs == [list(p.chosen.tokens) for p in pairs] + [list(p.rejected.tokens) for p in pairs]

    for tokens in (1, 10_000):
        cfg = RewardModelConfig(batch=3, centring=centring or 0.0, max_grad_norm=1e9, warmup=0.0, tokens=tokens)
        optimizer = torch.optim.SGD(classifier.parameters(), lr=0.0)
        steps = reward_model(
            cfg.model_copy(update={"lr": 0.0}), Shuffled(pairs, Streams(0)), model, optimizer, total_steps=9
        )
        metrics = next(steps)
        agree((float(metrics["loss/preference"]), gradients(classifier)), want)
        told = trainer._metrics["train"]
        assert float(metrics["reward/margin"]) == pytest.approx(told["margin"][-1], rel=1e-4)
        assert float(metrics["reward/accuracy"]) == pytest.approx(told["accuracy"][-1])
        assert float(metrics["reward/level"]) == pytest.approx(told["mean_reward"][-1], rel=1e-4)
