"""Small tokenizers built like those of the common families of models, with their chat templates, from nothing."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from functools import cache
from typing import Any

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "user assistant system model good bad yes no 0123456789 + - = ?",
]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}[INST] {{ m['content'] }} [/INST]{% endif %}{% endfor %}"
)
"""It has no generation prompt: the assistant speaks behind what closes the user's turn."""
QWEN_3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% if loop.index0 > ns.last %}<think>\n{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\n') "
    "if '</think>' in m.content else '' }}\n</think>\n\n{% endif %}{{ m.content.split('</think>')[-1].lstrip('\n') }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""It writes the last answer's thought, an empty one if need be, and drops those of earlier answers."""
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}<|Assistant|>"
    "{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% else %}<|User|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
"""It opens a thought where generation begins, and drops every thought once there is an answer."""
SPACED = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""Its generation prompt ends in a blank, which goes into the first token of an answer that is rendered with it."""
ENDLESS = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""It ends no answer with a control token."""


def byte_level(
    template: str | None, special: tuple[str, ...] = (), *, eos: str = "<eos>", bos: str | None = None,
    own: tuple[str, ...] = (), adds: str = "{}", prefix: bool = False,
) -> Any:  # fmt: skip
    """A byte-level BPE tokenizer.

    Args:
        template: of chats.
        special: tokens that the template writes.
        eos, bos: the tokens of an end and a beginning.
        own: added tokens that are not special.
        adds: what the tokenizer writes around a text, as "<bos> {} <eos>".
        prefix: whether a text begins with a blank of the tokenizer's.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    core.decoder = decoders.ByteLevel()
    names = dict.fromkeys(("<pad>", eos, *([bos] if bos else []), *special))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXTS * 9,
        trainers.BpeTrainer(vocab_size=400, special_tokens=[*names], initial_alphabet=alphabet, show_progress=False),
    )
    if adds != "{}":
        core.post_processor = processors.TemplateProcessing(
            single=adds.replace("{}", "$A"), special_tokens=[(n, core.token_to_id(n)) for n in (bos, eos) if n]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=eos, bos_token=bos, pad_token="<pad>",
        additional_special_tokens=[n for n in special if n not in (eos, bos)], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.add_tokens([AddedToken(name, special=False, normalized=False) for name in own])
    made.chat_template = template
    return made


def sentencepiece(template: str | None, *, adds: str = "<s> {}", special: tuple[str, ...] = ()) -> Any:
    """A tokenizer that writes blanks as ▁, one before a text, and other characters as bytes, as that of Llama 2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", "<pad>", *special, *(f"<0x{i:02X}>" for i in range(256)), "▁"]
    words += [*"abcdefghijklmnopqrstuvwxyz0123456789=+?-[]/INST", "▁t", "▁g", "oo", "▁goo", "▁good", "▁12"]
    merges = [("▁", "t"), ("▁", "g"), ("o", "o"), ("▁g", "oo"), ("▁goo", "d")]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.post_processor = processors.TemplateProcessing(
        single=adds.replace("{}", "$A"), special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=[*special], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.chat_template = template
    return made


IM = ("<|im_start|>", "<|im_end|>")
THINK = ("<think>", "</think>")
MAKERS = {
    "plain": lambda: byte_level(None),
    "gpt2": lambda: byte_level(None, eos="<|endoftext|>", bos="<|endoftext|>"),
    "prefix": lambda: byte_level(None, prefix=True),
    "sentencepiece": lambda: sentencepiece(None),
    "adds_both": lambda: byte_level(None, bos="<bos>", adds="<bos> {} <eos>"),
    "chatml": lambda: byte_level(CHATML, IM, eos="<|im_end|>"),
    "chatml_other_end": lambda: byte_level(CHATML, IM),
    "chatml_adds_both": lambda: byte_level(CHATML, IM, bos="<bos>", adds="<bos> {} <eos>"),
    "llama3": lambda: byte_level(
        LLAMA_3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), eos="<|end_of_text|>",
        bos="<|begin_of_text|>", adds="<|begin_of_text|> {}",
    ),
    "gemma": lambda: byte_level(GEMMA, ("<start_of_turn>", "<end_of_turn>"), bos="<bos>", adds="<bos> {}"),
    "mistral": lambda: sentencepiece(MISTRAL),
    "qwen3": lambda: byte_level(QWEN_3, IM, eos="<|im_end|>", own=THINK),
    "r1": lambda: byte_level(R1, ("<|User|>", "<|Assistant|>"), bos="<bos>", own=THINK, adds="<bos> {}"),
    "spaced": lambda: byte_level(SPACED),
}  # fmt: skip
FAMILIES = tuple(MAKERS)
TALKING = tuple(name for name in MAKERS if name not in ("plain", "gpt2", "prefix", "sentencepiece", "adds_both"))


@cache
def family(name: str) -> Any:
    """The tokenizer of a family; nobody may change it."""
    return MAKERS[name]()


def small_llama(tokenizer: Any, *, rows: int | None = None, **more: Any) -> Any:
    """A Llama of a few thousand random weights that embeds `rows` tokens, the tokenizer's if None."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = LlamaConfig(
            vocab_size=rows or len(tokenizer), max_position_embeddings=128, tie_word_embeddings=False,
            eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
            pad_token_id=None, **sizes | more,
        )  # fmt: skip
        return LlamaForCausalLM(config).float().eval()
