"""From tokens to text as they are made: no character is cut, and a text that ends a completion is never shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from operant.language.text.rendering import rendering_of

UNSURE = "\N{REPLACEMENT CHARACTER}"
"""What tokenizers write for the bytes of a character that is not whole."""
LONGEST = 4
"""Tokens of one character, at most: its bytes."""
PATIENCE = 2 * LONGEST
"""Tokens after which an end that is not whole is not waited for: these bytes are no text."""


@lru_cache(maxsize=8)
def longest_token(tokenizer: Any) -> int:
    """Characters of the longest token."""
    return max(map(len, tokenizer.get_vocab()), default=1)


class Pieces:
    """The text of tokens, piece by piece; all pieces together are the text of all tokens.

    Args:
        tokenizer: of transformers.
        before: tokens that the text goes on from: their text is not given, but tells whether it goes on with a blank.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        rendering = rendering_of(tokenizer)
        self._special = rendering.special
        self.tokens = list(before)[-PATIENCE:] if before and rendering.glues else []
        self._begin, self._read = 0, len(self.tokens)  # a window begins with tokens whose text was given, for context
        self._given = len(self._text(self._read))  # characters of the window's text

    def push(self, token: int) -> str:
        """The text that one more token makes certain; empty in the middle of a character, and for a special token."""
        if token in self._special:  # it has no text, and a blank behind it would be lost at a window's beginning
            return ""
        self.tokens.append(token)
        count, whole = len(self.tokens), self._text(len(self.tokens))
        if not whole.endswith(UNSURE):
            return self._give(whole, count)
        if count - self._read <= PATIENCE:
            return ""
        for end in range(count - LONGEST, count - 2 * LONGEST, -1):
            part = self._text(end)
            if len(part) >= self._given and whole.startswith(part):  # no character lies across
                return self._give(part, end)
        certain = whole.rstrip(UNSURE)  # each token ends within a character, and the next one begins there
        piece, self._given = certain[self._given :], max(self._given, len(certain))
        return piece

    def end(self) -> str:
        """What is left, characters that were never whole included."""
        return self._give(self._text(len(self.tokens)), len(self.tokens))

    def _text(self, end: int) -> str:
        return decode(self.tokenizer, self.tokens[self._begin : end])

    def _give(self, text: str, end: int) -> str:
        """What of a window's text is new; the next window begins with its tokens."""
        piece = text[self._given :]
        self._begin, self._read = self._read, end
        self._given = len(self._text(end))
        return piece


class Words:
    """The text of a completion, cut before the first stop text that it completes.

    It does not depend on how the text falls into tokens: it is read character by character.

    Args:
        tokenizer: of transformers.
        stops: texts that end a completion.
        before: as in `Pieces`.

    Attributes:
        stopped: whether one was met.
        length: characters given.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = (), before: Sequence[int] = ()) -> None:
        self.pieces, self.stops = Pieces(tokenizer, before), stops
        self.stopped, self.length = False, 0
        self._held = ""

    @property
    def reached(self) -> int:
        """Characters that stand before the next token, those held back included."""
        return self.length + len(self._held)

    def push(self, token: int) -> str:
        """The text that one more token makes certain."""
        return self._certain(self.pieces.push(token), last=False)

    def end(self) -> str:
        """The text that is left when no token follows."""
        return self._certain(self.pieces.end(), last=True)

    def _certain(self, piece: str, *, last: bool) -> str:
        if self.stopped:
            return ""
        self._held += piece
        found = [(at + len(stop), at) for stop in self.stops if (at := self._held.find(stop)) >= 0]
        keep = len(self._held)
        if found:
            self.stopped, keep = True, min(found)[1]
        elif not last:
            keep -= max((_begun(self._held, stop) for stop in self.stops), default=0)
        text, self._held = self._held[:keep], "" if self.stopped else self._held[keep:]
        self.length += len(text)
        return text


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop text."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def decode(tokenizer: Any, tokens: Sequence[int], *, special: bool = False) -> str:
    """The text of tokens, spaces as they are."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=not special, clean_up_tokenization_spaces=False))


class Spelling:
    """How single tokens are written, a space before them included.

    Args:
        tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._before: list[int] = list(tokenizer("a", add_special_tokens=False)["input_ids"])[-1:]
        self._known: dict[int, str] = {}

    def __call__(self, token: int) -> str:
        """Its text, with `UNSURE` where it is a part of a character."""
        if token not in self._known:
            before = decode(self.tokenizer, self._before, special=True)
            self._known[token] = decode(self.tokenizer, [*self._before, token], special=True)[len(before) :]
        return self._known[token]
