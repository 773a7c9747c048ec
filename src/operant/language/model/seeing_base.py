"""A small model that sees, from nothing: patches straight into a transformer, taught what each patch shows.

A model of less than a million numbers that is shown pictures and answers alone does not learn to see: the loss of every
patch, which is told what it shows, does it in a minute. That head is dropped when the base is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.learn.optim_step import learning_rate
from operant.language.model.fresh import tokenizer_for
from operant.language.model.language_model import LanguageModel
from operant.language.model.seeing import Pictures
from operant.language.settings.learning import SFTConfig
from operant.language.settings.runs import BaseConfig
from operant.language.task.task import Demonstration, Task
from operant.language.text import pictures as store
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<say>{{ m['content'] if m['content'] is string else "
    "m['content'][0]['text'] }}<eos>{% elif m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<say>{% endif %}"
)
REPORTS = 5
PATCHES = 1.0
"""Weight of the loss of the patches beside that of the words."""


def fresh_seeing(cfg: BaseConfig, texts: Sequence[str], *, side: int, cells: int) -> LanguageModel:
    """A LLaVA with random weights whose tower is one block over `cells` × `cells` patches.

    Args:
        cfg: sizes, positions and seed; 96 wide with 3 blocks it has 0.43 M parameters with 16 patches, 128 wide with 4
            0.92 M.
        texts: what its BPE is made from.
        side: pixels of a picture.
        cells: patches a side.

    Raises:
        ConfigError: if they do not divide the picture.
    """
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    if side % cells:
        raise ConfigError(f"{cells} patches a side do not divide a picture of {side} pixels")
    tokenizer = tokenizer_for(cfg, texts)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<say>"]})
    tokenizer.chat_template = TEMPLATE
    patch = side // cells
    eyes = {"model_type": "siglip_vision_model", "hidden_size": cfg.width, "intermediate_size": cfg.width,
            "num_hidden_layers": 1, "num_attention_heads": cfg.heads, "image_size": side, "patch_size": patch,
            "vision_use_head": False}  # fmt: skip
    words = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": cfg.width,
             "intermediate_size": 8 * cfg.width // 3 // 8 * 8, "num_hidden_layers": cfg.layers,
             "num_attention_heads": cfg.heads, "num_key_value_heads": cfg.heads, "bos_token_id": None,
             "max_position_embeddings": cfg.positions, "eos_token_id": tokenizer.eos_token_id,
             "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    kind: Any = LlavaConfig
    shape = kind(
        vision_config=eyes, text_config=words, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, vision_feature_select_strategy="full",
    )  # fmt: skip
    processor = LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size={"height": side, "width": side}), tokenizer=tokenizer,
        patch_size=patch, vision_feature_select_strategy="full", num_additional_image_tokens=0,
        chat_template=TEMPLATE,
    )  # fmt: skip
    tokenizer.pictures = Pictures(processor)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(cfg.seed).integer("init"))
        return LanguageModel(LlavaForConditionalGeneration(shape).float(), tokenizer)


def _words(of: Demonstration) -> list[str]:
    return [p["text"] for p in store.parts_of(of.prompt[-1]) if p["type"] == "text"]  # type: ignore[arg-type]


def imitate_seeing(task: Task, cfg: BaseConfig, say: Callable[[str], None]) -> LanguageModel:
    """A fresh model that sees, trained on a task's demonstrations: a function of the task and `cfg` alone.

    Raises:
        ConfigError: if a demonstration does not say what the cells of its pictures show.
    """
    shown: list[Demonstration] = list(task.demonstrations)
    names = [store.pictures_in(d.prompt) if not isinstance(d.prompt, str) else [] for d in shown]
    sizes = {len(d.cells) / len(n) if n else -len(d.cells) for n, d in zip(names, shown, strict=True)} - {0}
    cells = math.isqrt(int(max(sizes, default=0)))
    if sizes != {cells * cells} or not cells:
        raise ConfigError(
            f"{task.name}: a small base that sees is made from demonstrations with `cells` that say what each part of "
            "their pictures shows, as many for each picture as a square has. Or name a model, as in --model DIR"
        )
    said = [text for d in shown[:5000] for text in (*_words(d), d.completion)]
    policy = fresh_seeing(cfg, said, side=store.read(next(n[0] for n in names if n)).shape[0], cells=cells)
    encoder = Encoder(tokenizer=policy.tokenizer, length=cfg.positions)
    learnt = [(encoder.completion(d.prompt, d.completion, f"demonstration {i}"), d.cells) for i, d in enumerate(shown)]
    size = sum(p.numel() for p in policy.parameters())
    say(f"  {size:,} parameters, {cells * cells} patches, {cfg.examples / len(shown):.1f} passes over {len(shown):,}")
    head = nn.Linear(policy.width, 1 + max(x for d in shown for x in d.cells))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW([*policy.parameters(), *head.parameters()], lr=cfg.lr, weight_decay=0.0)
    data, schedule = Shuffled(learnt, Streams(cfg.seed)), SFTConfig(lr=cfg.lr, warmup=0.05)
    reported = 0
    while data.steps < cfg.examples:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, data.steps / cfg.examples)
        batch = data(cfg.batch)
        rows = padded([e for e, _ in batch], policy.tokenizer.pad_token_id)
        states = policy.hidden(rows.tokens)
        words = F.cross_entropy(policy.base.lm_head(states[:, :-1][rows.acted]), rows.tokens[:, 1:][rows.acted])
        eyes = F.cross_entropy(head(states[rows.tokens >= store.FIRST]), torch.tensor([c for _, x in batch for c in x]))
        optimizer.zero_grad()
        (words + PATCHES * eyes).backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if int(REPORTS * data.steps / cfg.examples) > reported:
            reported = int(REPORTS * data.steps / cfg.examples)
            say(f"  {data.steps / cfg.examples:.0%}, loss of words {words.item():.3f}, of patches {eyes.item():.3f}")
    return policy
