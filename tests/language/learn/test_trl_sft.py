"""Supervised fine-tuning against TRL 1.16: the tokens and their masks, and loss and gradient of any division into
micro-batches; CPU, float32."""

import pytest
import torch

pytest.importorskip("trl")

from operant.data.streams import Streams
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import SFTConfig
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from reference.tiny_language import tiny_model, tiny_tokenizer
from reference.trl_peer import PLAIN, agree, batch_of, gradients, loss_and_gradient

TURNS = ["what is 1 + 1?", "The answer is 2.", "thank you", "please ask me something else", "sort 3 1 2", "1 2 3"]


def talk(turns):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


TALKS = [talk(TURNS), talk(TURNS[2:]), talk(TURNS[4:]), talk(["how many letters", "six letters. " * 3])]


def prepared(folder, rows, **settings):
    from datasets import Dataset
    from trl import SFTConfig as Arguments
    from trl import SFTTrainer

    return SFTTrainer(
        model=tiny_model(seed=1),
        args=Arguments(output_dir=str(folder), **PLAIN, **settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )


@pytest.fixture(scope="module", params=["assistant", "completion"])
def both(request, tmp_path_factory):
    """TRL's trainer and our examples, of the same conversations."""
    folder, encoder = tmp_path_factory.mktemp("trl"), Encoder(tokenizer=tiny_tokenizer(), length=128)
    examples = [encoder.conversation(t, learn=request.param) for t in TALKS]
    if request.param == "assistant":
        trainer = prepared(folder, [{"messages": t} for t in TALKS], assistant_only_loss=True)
    else:
        trainer = prepared(folder, [{"prompt": t[:-1], "completion": t[-1:]} for t in TALKS])
    return trainer, examples


def test_the_labels_are_the_same(both):
    trainer, examples = both
    batch = batch_of(trainer, 4)
    for e, tokens, labels, there in zip(
        examples, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        assert list(e.tokens) == tokens[there.bool()].tolist()
        assert [False, *e.acted] == (labels[there.bool()] != -100).tolist()


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("settings", [{"packing": True}, {"packing": False}, {"packing": False, "tokens": 1}])
def test_losses_and_gradients(both, size, settings):
    """One batch of four, two of two, four of one there; packed, padded and one by one here."""
    trainer, examples = both
    count = sum(sum(e.acted) for e in examples)
    rows = [trainer.train_dataset[i] for i in range(4)]
    micro = [trainer.data_collator(rows[i : i + size]) for i in range(0, 4, size)]
    for batch in micro:
        batch.pop("prompt", None)
    want = loss_and_gradient(trainer, *micro, count=count)
    policy = LanguageModel(trainer.model, trainer.processing_class)
    cfg = SFTConfig(batch=4, max_grad_norm=1e9, warmup=0.0, **settings).model_copy(update={"lr": 0.0})
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    metrics = next(sft(cfg, Shuffled(examples, Streams(0)), policy, optimizer, total_steps=8))
    agree((float(metrics["loss/nll"]), gradients(policy.model)), want)
