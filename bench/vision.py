"""A model that sees: rollouts and a step of GRPO against transformers' `generate` and a plain step of torch.

    python bench/vision.py [--rounds 5] [--steps 6] [--threads 2] [--case 16x256 64x256 16x64] [--clock wall]

A LLaVA of 0.92 M parameters and random weights, from its config, float32. A case is visual tokens × completions a step,
8 of each question about a scene, of up to 24 tokens; AdamW, the clipped surrogate with every token counting the same,
no reference model. The peer's pictures are made pixels beforehand, and it may not write the placeholder of a picture,
which its own forward refuses; ours are kept from one step to the next. One process a side and round, taking turns; a
process warms up with two steps and reports the median of the next ones. A line of JSON a case, with the seconds of
both phases: how cost grows with visual tokens and with the batch.
"""

from __future__ import annotations

import warnings
from typing import Any

from _steps import Clock, compare_steps

GROUP, LIMIT = 8, 24
CASES = {"16x256": (32, 4, 32), "64x256": (64, 8, 32), "16x64": (32, 4, 8)}
"""Pixels of a picture, patches a side, questions a step."""


def made(case: str, seed: int, steps: int) -> tuple[Any, list[Any]]:
    """The model, and the messages of every question of every step."""
    from operant.language.model.seeing_base import fresh_seeing
    from operant.language.settings.runs import BaseConfig
    from operant.language.task.load import load_task

    side, cells, questions = CASES[case]
    task = load_task("vision/ask", {"side": side, "train": questions * steps, "test": 1, "seed": seed})
    asked: list[Any] = [example.prompt for example in task.train]
    words = [part["text"] for prompt in asked for part in prompt[0]["content"] if part["type"] == "text"]
    return fresh_seeing(BaseConfig(width=128, layers=4, seed=seed), words, side=side, cells=cells), asked


def earned(tokens: list[int]) -> float:
    """The share of even tokens: dense, so that every group has a contrast."""
    return sum(t % 2 == 0 for t in tokens) / max(len(tokens), 1)


def ours(case: str, seed: int, steps: int, clock: Clock) -> dict[str, Any]:
    """Seconds of each step, and of its phases."""
    import torch

    from operant.data.streams import Streams
    from operant.language.episodes.episodes import Prompts, Rollouts
    from operant.language.learn.grpo import grpo
    from operant.language.sample.engine import Engine, Sampling
    from operant.language.settings.grpo import PRESETS
    from operant.language.text.conversation import Encoder

    policy, asked = made(case, seed, steps)
    seconds, sampling = list[float](), list[float]()

    class Timed(Engine):
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            start = clock()
            found = super().generate(*args, **kwargs)
            sampling.append(clock() - start)
            return found

    encoder = Encoder(tokenizer=policy.tokenizer, length=policy.max_positions)
    questions = CASES[case][2]
    cfg = PRESETS["trl_1_16"].model_copy(
        update={"prompts": questions, "samples": GROUP, "lr_schedule": "constant", "tokens": 1 << 20}
    )
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0)
    collect = Rollouts(
        Timed(policy, seed=seed, slots=questions * GROUP), Prompts([encoder.prompt(p) for p in asked], seed=seed),
        lambda found: [earned(list(c.tokens)) for c in found],
        Sampling(max_tokens=LIMIT, stop=(policy.tokenizer.eos_token_id,)), samples=GROUP,
    )  # fmt: skip
    run = grpo(cfg, collect, policy, optimizer, Streams(seed).numpy("minibatch"), total_steps=steps)
    metrics: dict[str, Any] = {}
    for _ in range(steps):
        start = clock()
        metrics = next(run)
        seconds.append(clock() - start)
    phases = {"sample": sampling, "train": [a - b for a, b in zip(seconds, sampling, strict=True)]}
    return {"seconds": seconds, "phases": phases, "length": float(metrics["completion/length"])}


def plain(case: str, seed: int, steps: int, clock: Clock) -> dict[str, Any]:
    """The same with transformers and torch alone."""
    import torch
    from PIL import Image

    from operant.language.text import pictures

    policy, asked = made(case, seed, steps)
    model, processor = policy.base, policy.tokenizer.pictures.processor
    processor.tokenizer.padding_side = "left"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0)
    eos, pad = policy.tokenizer.eos_token_id, policy.tokenizer.pad_token_id
    text = [processor.apply_chat_template(list(p), add_generation_prompt=True) for p in asked]
    image = [[Image.fromarray(pictures.read(p[0]["content"][0]["image"]))] for p in asked]
    count = CASES[case][2]
    batches = [
        processor(text=text[i : i + count], images=image[i : i + count], padding=True, return_tensors="pt")
        for i in range(0, len(asked), count)
    ]
    seconds, sampling, length = list[float](), list[float](), 0.0
    torch.manual_seed(seed)
    for inputs in batches:
        start = clock()
        with torch.no_grad():
            rows = model.generate(
                **inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=LIMIT, num_return_sequences=GROUP,
                eos_token_id=eos, pad_token_id=pad, suppress_tokens=[model.config.image_token_id],
            )  # fmt: skip
        sampling.append(clock() - start)
        said = rows[:, inputs["input_ids"].shape[1] :]  # [N, T]
        ended = (said == eos).cumsum(1)
        acted = (ended - (said == eos).int()) == 0  # up to the stop token, and with it
        reward = torch.tensor([earned(t[a].tolist()) for t, a in zip(said, acted, strict=True)]).view(-1, GROUP)
        adv = ((reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)).view(-1, 1)
        mask = torch.cat([inputs["attention_mask"].repeat_interleave(GROUP, 0), acted.long()], 1)
        pixels = inputs["pixel_values"].repeat_interleave(GROUP, 0)
        logits = model(input_ids=rows, attention_mask=mask, pixel_values=pixels).logits
        logp = logits[:, -said.shape[1] - 1 : -1].log_softmax(-1).gather(-1, said[..., None])[..., 0]
        ratio = (logp - logp.detach()).exp()
        loss = -(torch.minimum(ratio * adv, ratio.clamp(0.8, 1.2) * adv) * acted).sum() / acted.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(clock() - start)
        length = float(acted.sum()) / len(rows)
    phases = {"sample": sampling, "train": [a - b for a, b in zip(seconds, sampling, strict=True)]}
    return {"seconds": seconds, "phases": phases, "length": length}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", ".*goes through transformers")
    lines = {case: {"completions": asked * GROUP, "visual_tokens": side**2} for case, (_, side, asked) in CASES.items()}
    compare_steps(__file__, __doc__, ours, plain, name="vision_grpo_step", peer="transformers", cases=lines)
