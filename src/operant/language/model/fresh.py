"""A small language model before it learns: a tokenizer made from texts, and a Llama with random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from operant.data.streams import Streams
from operant.language.model.language_model import LanguageModel
from operant.language.settings.runs import BaseConfig


def fresh(cfg: BaseConfig, texts: Iterable[str]) -> LanguageModel:
    """A Llama with random weights, and a byte-level BPE tokenizer, digits apart, trained on `texts`; on none of them,
    so that every byte is a token, where `cfg.tokenizer` is "bytes"."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer_for(cfg, texts)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=cfg.width, intermediate_size=8 * cfg.width // 3 // 8 * 8,
        num_hidden_layers=cfg.layers, num_attention_heads=cfg.heads, num_key_value_heads=cfg.heads,
        max_position_embeddings=cfg.positions, tie_word_embeddings=cfg.tied, initializer_range=cfg.init,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(cfg.seed).integer("init"))
        return LanguageModel(LlamaForCausalLM(shape).float(), tokenizer)


def tokenizer_for(cfg: BaseConfig, texts: Iterable[str]) -> Any:
    """The tokenizer that a small base's settings ask for."""
    shown = () if cfg.tokenizer == "bytes" else texts
    return train_tokenizer(shown, cfg.positions, cfg.vocabulary, cfg.tokenizer == "words")


def train_tokenizer(texts: Iterable[str], positions: int, vocabulary: int = 512, apart: bool = False) -> Any:
    """A tokenizer of at most so many tokens, with `<pad>` apart from `<eos>`, and where `apart` spaces from words."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    parts: list[Any] = [pre_tokenizers.Split(Regex(r"\s+"), "isolated")] if apart else []
    parts += [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    core.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore[reportAttributeAccessIssue]
    core.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )
