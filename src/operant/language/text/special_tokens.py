"""The tokens that a tokenizer names for a purpose: can padding be told from an end, and does the model know them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from operant.config.errors import ConfigError
from operant.language.text.pictures import is_picture
from operant.language.text.rendering import ASKED, SAID, rendering_of

SPARE = re.compile(r"pad|unused|reserved", re.IGNORECASE)
"""In the names of tokens that no text has."""


def check_padding(tokenizer: Any) -> None:
    """Padding can be told from the end of a text.

    Raises:
        ConfigError: if the tokenizer has no end token, no padding token, or both are the same.
    """
    name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"{name} has no end token, so no completion could end; set tokenizer.eos_token and save it")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        what = "no padding token" if tokenizer.pad_token_id is None else "one token for padding and for the end"
        raise ConfigError(
            f"{name} has {what}: a mask read off the tokens would hide every end from learning. "
            f"{_advice(tokenizer, len(tokenizer))}"
        )


def check_embedded(tokenizer: Any, rows: int, folder: str) -> None:
    """A model embeds the tokens that its tokenizer names for a purpose, and those that its chat template writes.

    Args:
        tokenizer: its tokenizer.
        rows: tokens that it embeds.
        folder: whose they are, for the message.

    Raises:
        ConfigError: names the first token that it does not.
    """
    named = {
        f"its {role.removesuffix('_token')} token": tokenizer.convert_tokens_to_ids(
            str(tokenizer.special_tokens_map[role])
        )
        for role in ("eos_token", "bos_token", "pad_token")
        if tokenizer.special_tokens_map.get(role) is not None
    }
    written: list[int] = []
    if tokenizer.chat_template is not None:
        try:
            talk = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
            written = rendering_of(tokenizer).turns(talk)
        except ConfigError:  # refuses this exchange; others are checked when they are read
            pass
    for what, token in [*named.items(), *(("its chat template's", i) for i in written)]:
        if token is not None and token >= rows:
            raise ConfigError(
                f"{folder}: the tokenizer knows {len(tokenizer):,} tokens and the model embeds {rows:,}: {what} "
                f"{tokenizer.convert_ids_to_tokens(token)!r} is number {token:,}. {_advice(tokenizer, rows, what)}"
            )


def check_known(tokenizer: Any, tokens: Sequence[int], rows: int, where: str) -> None:
    """A model that embeds `rows` tokens embeds these.

    Raises:
        ConfigError: names one that it does not.
    """
    token = max(tokens, default=0)
    if is_picture(token):
        token = max((t for t in tokens if not is_picture(t)), default=0)
    if token >= rows:
        raise ConfigError(
            f"{where}: {tokenizer.convert_ids_to_tokens(token)!r} is token {token:,}, and the model embeds {rows:,}: "
            "make room with model.resize_token_embeddings(len(tokenizer)), and save both"
        )


def _advice(tokenizer: Any, rows: int, what: str = "its pad token") -> str:
    """How a padding token is named that the model embeds, or others are made room for."""
    taken = {tokenizer.eos_token_id, *(i for i in (tokenizer.special_tokens_map.get("bos_token"),) if i is None)}
    found = sorted((i, t) for t, i in tokenizer.get_vocab().items() if i < rows and i not in taken and SPARE.search(t))
    if found and what == "its pad token":
        return f'Name one that no text has: tokenizer.pad_token = "{found[0][1]}", and save the tokenizer'
    add = (
        'tokenizer.add_special_tokens({"pad_token": "<pad>"}); '
        if what == "its pad token" and rows == len(tokenizer)
        else ""
    )
    return f"Make room: {add}model.resize_token_embeddings(len(tokenizer)), and save both"
