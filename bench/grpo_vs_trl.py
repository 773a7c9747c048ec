"""A step of GRPO against TRL's on the CPU: the same model, prompts, group, lengths, objective and optimiser.

    python bench/grpo_vs_trl.py [--rounds 5] [--steps 6] [--threads 2] [--case 0.8M 4.7M] [--clock wall]

64 completions (8 prompts of 16 tokens, 8 each) of up to 64 tokens a step, a Llama of random weights from its config,
float32, AdamW, token-mean clipped surrogate, no reference model. TRL runs with its fastest settings that keep these:
no gradient checkpointing, no bfloat16, no logging. One process a side and round, taking turns; a process warms up with
two steps and reports the median of the next ones. A line of JSON a case; takes about a minute a round. On a machine
with neighbours `--clock cpu --threads 1` counts the time of these processes alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from _steps import compare_steps

VOCABULARY, PROMPTS, GROUP, PROMPT, LIMIT = 512, 8, 8, 16, 64
SIZES: dict[str, dict[str, int]] = {
    "0.8M": {"hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 4, "num_attention_heads": 4},
    "4.7M": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 8},
}


def model(case: str, seed: int) -> Any:
    """A Llama with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    size = SIZES[case]
    config = LlamaConfig(
        vocab_size=VOCABULARY, num_key_value_heads=size["num_attention_heads"], max_position_embeddings=256,
        bos_token_id=1, eos_token_id=1, pad_token_id=0, tie_word_embeddings=True, **size,
    )  # fmt: skip
    return LlamaForCausalLM(config).float()


def tokenizer() -> Any:
    """A token is a word: w0, w1, …"""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def prompts(seed: int, n: int) -> list[list[int]]:
    """n prompts of the same length."""
    import numpy as np

    return np.random.default_rng(seed).integers(2, VOCABULARY, (n, PROMPT)).tolist()


def earned(tokens: list[int]) -> float:
    """The share of even tokens: dense, so that every group has a contrast."""
    return sum(t % 2 == 0 for t in tokens) / max(len(tokens), 1)


def ours(case: str, seed: int, steps: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Seconds of each step, and of its phases."""
    import torch

    from operant.data.streams import Streams
    from operant.language.episodes.episodes import Prompts, Rollouts
    from operant.language.learn.grpo import grpo
    from operant.language.model.language_model import LanguageModel
    from operant.language.sample.engine import Engine, Sampling
    from operant.language.settings.grpo import PRESETS

    seconds: list[float] = []
    sampling: list[float] = []

    class Timed(Engine):
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            start = clock()
            made = super().generate(*args, **kwargs)
            sampling.append(clock() - start)
            return made

    policy = LanguageModel(model(case, seed), tokenizer())
    cfg = PRESETS["trl_1_16"].model_copy(update={"prompts": PROMPTS, "samples": GROUP, "lr_schedule": "constant"})
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0, fused=True)
    collect = Rollouts(
        Timed(policy, seed=seed, slots=PROMPTS * GROUP),
        Prompts(prompts(seed, PROMPTS * 64), seed=seed),
        lambda found: [earned(list(c.tokens)) for c in found],
        Sampling(max_tokens=LIMIT, stop=(1,)),
        samples=GROUP,
    )
    run = grpo(cfg, collect, policy, optimizer, Streams(seed).numpy("minibatch"), total_steps=steps)
    metrics: dict[str, Any] = {}
    for _ in range(steps):
        start = clock()
        metrics = next(run)
        seconds.append(clock() - start)
    phases = {"sample": sampling, "train": [a - b for a, b in zip(seconds, sampling, strict=True)]}
    return {"seconds": seconds, "phases": phases, "length": float(metrics["completion/length"])}


def trl(case: str, seed: int, steps: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The same of TRL."""
    import tempfile

    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    seconds: list[float] = []
    lengths: list[float] = []
    sampling: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = clock()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            seconds.append(clock() - self.start)

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        lengths.append(statistics.fmean(map(len, completion_ids)))
        return [earned(ids) for ids in completion_ids]

    class Timed(GRPOTrainer):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            start = clock()
            made = super()._generate(*args, **kwargs)
            sampling.append(clock() - start)
            return made

    text = [" ".join(f"w{t}" for t in p) for p in prompts(seed, PROMPTS * 64)]
    with tempfile.TemporaryDirectory() as folder:
        args = GRPOConfig(
            output_dir=folder, per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP, beta=0.0,
            max_completion_length=LIMIT, steps_per_generation=1, learning_rate=1e-6, lr_scheduler_type="constant",
            bf16=False, gradient_checkpointing=False, disable_dropout=True, use_cpu=True, report_to="none",
            save_strategy="no", logging_strategy="no", max_steps=steps, temperature=1.0, seed=seed, disable_tqdm=True,
        )  # fmt: skip
        trainer = Timed(
            model=model(case, seed), args=args, reward_funcs=reward, processing_class=tokenizer(),
            train_dataset=Dataset.from_dict({"prompt": text}), callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    phases = {"sample": sampling, "train": [a - b for a, b in zip(seconds, sampling, strict=True)]}
    return {"seconds": seconds, "phases": phases, "length": lengths[-1]}


if __name__ == "__main__":
    lines = {case: {"completions": PROMPTS * GROUP} for case in SIZES}
    compare_steps(__file__, __doc__, ours, trl, name="grpo_step", peer="trl", cases=lines, versions=("transformers",))
