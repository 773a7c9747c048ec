"""A tokenizer trained on the text below, and language models of a few thousand parameters; nothing is downloaded."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from operant.language.model.language_model import LanguageModel

TEXT = (
    "What is 12 + 30? The sum of 12 and 30 is 42.",
    "Reverse the word: hello. The answer is olleh.",
    "Sort 3 1 2. Sorted: 1 2 3. Thank you, that is right!",
    "I am sorry, I cannot help with that. Please ask me something else.",
    "The quick brown fox jumps over the lazy dog, 0123456789 times.",
    "you are a helpful assistant who answers questions about numbers, words and lists",
    "user asks: how many letters are in the word banana? assistant says: six letters.",
)
SPECIAL = ("<pad>", "<eos>", "<user>", "<assistant>", "<system>", "<end>")

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<assistant>"
    "{% generation %}{{ message['content'] }}<end>{% endgeneration %}"
    "{% else %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""A chat template that marks what the assistant says. Each message ends with `<end>`."""

NOT_PREFIX_PRESERVING = TEMPLATE.replace(
    "{{ message['content'] }}<end>{% endgeneration %}",
    "{{ message['content'] if loop.last else message['content'][:2] }}<end>{% endgeneration %}",
)
"""The same, but what the assistant said is cut to two letters as soon as something follows (as some drop thoughts)."""


def tiny_tokenizer(template: str | None = TEMPLATE, vocabulary: int = 300) -> Any:
    """A byte-level BPE tokenizer with at most `vocabulary` tokens; `<pad>` and `<eos>` differ."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=512,
    )
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(
    family: str = "qwen3",
    *,
    vocabulary: int = 300,
    width: int = 32,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    positions: int = 512,
    seed: int = 0,
) -> Any:
    """A causal language model of transformers with random weights in float32, in evaluation mode (no dropout).

    `family` is one of qwen3, qwen2, llama, gemma, gpt2.
    """
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "gpt2":
            config = transformers.GPT2Config(
                vocab_size=vocabulary, n_embd=width, n_head=heads, n_layer=layers, n_positions=positions,
                bos_token_id=1, eos_token_id=1, pad_token_id=0,
                resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            )  # fmt: skip
            return transformers.GPT2LMHeadModel(config).float().eval()
        kind = {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama", "gemma": "Gemma"}[family]
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=vocabulary, hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads,
            head_dim=width // heads, num_hidden_layers=layers, intermediate_size=2 * width,
            max_position_embeddings=positions, bos_token_id=1, eos_token_id=1, pad_token_id=0,
        )  # fmt: skip
        return getattr(transformers, f"{kind}ForCausalLM")(config).float().eval()


def tiny_language(family: str = "qwen3", **sizes: int) -> LanguageModel:
    """`tiny_model` and `tiny_tokenizer` as a policy."""
    from operant.language.model.language_model import LanguageModel

    return LanguageModel(tiny_model(family, **sizes), tiny_tokenizer())


def tiny_folder(path: Any, positions: int = 64) -> Any:
    """A folder with a tiny model of so many positions and its tokenizer; returns it."""
    tiny_model(positions=positions).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path
