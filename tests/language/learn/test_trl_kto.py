"""KTO against TRL 1.16 on the same tokens: reference point, loss, gradient; CPU, float32.

One known difference: TRL takes the mismatched answers from the batch it prepared (shifted by one), we from the next
verdict of the data. Both are answers to other prompts; here TRL's are put into ours.
"""

from dataclasses import replace

import pytest
import torch

pytest.importorskip("trl")

from operant.data.streams import Streams
from operant.language.learn.dpo import dpo
from operant.language.learn.reference import verdicts_with_reference
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import DPOConfig
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.pairs import Verdict
from reference.tiny_language import tiny_language, tiny_model, tiny_tokenizer
from reference.trl_peer import PLAIN, agree, batch_of, gradients, loss_and_gradient

TALKS = [
    ("what is 1 + 1?", "The answer is 2.", True),
    ("sort 3 1 2", "sorry, I cannot help with that", False),
    ("the quick brown", "fox jumps over the lazy dog", True),
    ("reverse the word", "olleh", True),
]


@pytest.mark.parametrize("beta", [0.3, 2.0])
@pytest.mark.parametrize("seed", [1, 5])  # a reference point above 0, and one that is clamped there
def test_loss_and_gradient(tmp_path, beta, seed):
    from datasets import Dataset
    from trl import KTOConfig as Arguments
    from trl import KTOTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": p}],
            "completion": [{"role": "assistant", "content": c}],
            "label": label,
        }
        for p, c, label in TALKS
    ]
    weights = {"desirable_weight": 1.2, "undesirable_weight": 0.7}
    trainer = KTOTrainer(
        model=tiny_model(seed=seed),
        ref_model=tiny_model(seed=2),
        args=Arguments(
            output_dir=str(tmp_path), beta=beta, disable_dropout=True, per_device_train_batch_size=4, **weights, **PLAIN
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )
    batch = batch_of(trainer, 4)
    want = loss_and_gradient(trainer, batch)

    policy = LanguageModel(trainer.model, trainer.processing_class)
    encoder = Encoder(tokenizer=policy.tokenizer, length=128)
    verdicts = []
    for i, (p, c, label) in enumerate(TALKS):
        answer = encoder.completion([{"role": "user", "content": p}], c)
        assert list(answer.tokens) == batch["input_ids"][i][batch["attention_mask"][i].bool()].tolist()
        there = batch["KL_attention_mask"][i].bool()
        acted = batch["KL_completion_mask"][i][there].bool().tolist()
        other = Encoded(tokens=tuple(batch["KL_input_ids"][i][there].tolist()), acted=tuple(acted[1:]))
        verdicts.append(Verdict(answer=answer, desirable=label, mismatched=other))
    verdicts = verdicts_with_reference(verdicts, policy, reference=tiny_language(seed=2))
    cfg = DPOConfig(loss="kto", batch=4, beta=beta, max_grad_norm=1e9, warmup=0.0, **weights)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    data = Shuffled([replace(v) for v in verdicts], Streams(0))
    metrics = next(dpo(cfg.model_copy(update={"lr": 0.0}), data, policy, optimizer, total_steps=8))
    agree((float(metrics["loss/preference"]), gradients(policy.model)), want)
    assert (float(metrics["policy/kl_reference"]) > 0.0) == (seed == 1)
    assert float(metrics["policy/kl_reference"]) == pytest.approx(trainer._metrics["train"]["kl"][-1], rel=1e-4)
