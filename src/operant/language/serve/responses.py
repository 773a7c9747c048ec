"""Answers in OpenAI's shapes: whole, and in chunks."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from operant.language.serve.detokenize import UNSURE, Spelling, decode
from operant.language.serve.protocol import Served, Wanted
from operant.language.serve.scheduler import Delta, Token


class Answer(ABC):
    """The choices of one request.

    Args:
        served: the model.
        wanted: the request.

    Attributes:
        sampled: of each choice every token that was drawn, the one that ended it and those of a stop text too.
        scored: of each choice the prompt's tokens, where they were asked for.
    """

    prefix: str
    kind: str
    chunk: str

    def __init__(self, served: Served, wanted: Wanted) -> None:
        self.served, self.wanted = served, wanted
        self.spell = Spelling(served.policy.tokenizer)
        count = len(wanted.prompts) * wanted.samples
        self.texts, self.finish, self.drawn = [""] * count, [""] * count, [0] * count
        self.tokens: list[list[Token]] = [[] for _ in range(count)]
        self.sampled: list[list[Token]] = [[] for _ in range(count)]
        self.scored: list[tuple[Token, ...]] = [()] * count
        self._begun, self._echoed = [False] * count, [""] * count
        self._head = {"id": f"{self.prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": served.name}

    @abstractmethod
    def logprobs(self, tokens: Sequence[Token], before: int) -> Any:
        """Log-probabilities of tokens, of a completion that so many characters stand before."""
        ...

    @abstractmethod
    def choice(self, index: int) -> dict[str, Any]:
        """One choice of a whole answer, without its index and how it ended."""
        ...

    @abstractmethod
    def delta(self, text: str, first: bool) -> dict[str, Any]:
        """What is new of a choice."""
        ...

    def add(self, choice: int, delta: Delta) -> None:
        """Take what is new."""
        text, tokens = self._new(choice, delta)
        self.texts[choice] += text
        self.tokens[choice] += tokens

    def whole(self) -> dict[str, Any]:
        """The answer, once every choice has ended."""
        choices = [
            self._one(i, self.choice(i), self._logprobs(i, self.tokens[i]), self.finish[i]) | self._ids(self.sampled[i])
            for i in range(len(self.texts))
        ]
        head = {**self._head, "object": self.kind, "choices": choices, "usage": self.usage()}
        return self.with_prompts(head)

    def chunks(self, choice: int, delta: Delta) -> Iterator[dict[str, Any]]:
        """What is new, as the events of a stream."""
        first = not self._begun[choice]
        text, tokens = self._new(choice, delta)
        drawn = self._drawn(delta)
        if text or tokens or first or (self.wanted.ids and drawn):
            one = self._one(choice, self.delta(text, first), self._logprobs(choice, tokens), None) | self._ids(drawn)
            chunk = self._chunk([one])
            yield self.with_prompts(chunk) if first else chunk
        if delta.finish:
            yield self._chunk([self._one(choice, self.delta("", False), None, delta.finish)])

    def last(self) -> Iterator[dict[str, Any]]:
        """The usage, if it was asked for."""
        if self.wanted.usage:
            yield {**self._chunk([]), "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens read and written; a prompt counts once for all its choices."""
        read, written = sum(map(len, self.wanted.prompts)), sum(self.drawn)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def _new(self, choice: int, delta: Delta) -> tuple[str, list[Token]]:
        """Text and tokens; the end of a choice is noted. A stop token has no text, and is not listed."""
        text = delta.text
        if self.wanted.echo and not self._begun[choice]:
            prompt = self.wanted.prompts[choice // self.wanted.samples]
            self._echoed[choice] = decode(self.served.policy.tokenizer, prompt)
            text = self._echoed[choice] + text
        self._begun[choice] = True
        self.drawn[choice], self.finish[choice] = delta.drawn, delta.finish or ""
        self.sampled[choice] += self._drawn(delta)
        if not delta.drawn and delta.tokens:
            self.scored[choice] = delta.tokens
        listed = delta.drawn or self.wanted.echo
        return text, [t for t in delta.tokens if not t.end] if listed else []

    @staticmethod
    def _drawn(delta: Delta) -> list[Token]:
        """The tokens of a delta that are the completion's; before any was drawn they are the prompt's."""
        return [*delta.tokens, *delta.cut] if delta.drawn else []

    def _ids(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """The numbers of tokens, and the log-probabilities with which they were drawn."""
        if not self.wanted.ids:
            return {}
        return {"token_ids": [t.id for t in tokens], "token_logprobs": [t.logp for t in tokens]}

    def prompt_of(self, choice: int) -> dict[str, Any]:
        """What is told of a choice's prompt: its tokens, and how probable each was, as vLLM tells it."""
        told: dict[str, Any] = {}
        if self.wanted.ids:
            told["prompt_token_ids"] = list(self.wanted.prompts[choice // self.wanted.samples])
        if self.wanted.score and self.scored[choice]:
            told["prompt_logprobs"] = [
                None if t.logp != t.logp else {str(t.id): {"logprob": t.logp, "decoded_token": self.spell(t.id)}}
                for t in self.scored[choice]
            ]
        return told

    @abstractmethod
    def with_prompts(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer with what is told of its prompts."""
        ...

    def _logprobs(self, choice: int, tokens: Sequence[Token]) -> Any:
        return None if self.wanted.top is None else self.logprobs(tokens, len(self._echoed[choice]))

    def _one(self, choice: int, said: dict[str, Any], logprobs: Any, finish: str | None) -> dict[str, Any]:
        return {"index": choice, **said, "logprobs": logprobs, "finish_reason": finish}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head, "object": self.chunk, "choices": choices}


class ChatAnswer(Answer):
    """Of /v1/chat/completions."""

    prefix, kind, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def logprobs(self, tokens: Sequence[Token], before: int) -> Any:
        """`content`, with bytes where a token is whole characters."""
        return {"content": [{**self._entry(t.id, t.logp), "top_logprobs": self._top(t)} for t in tokens]}

    def choice(self, index: int) -> dict[str, Any]:
        """The message."""
        return {"message": {"role": "assistant", "content": self.texts[index], "refusal": None}}

    def with_prompts(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Beside the choices: they have one prompt."""
        return answer | self.prompt_of(0)

    def delta(self, text: str, first: bool) -> dict[str, Any]:
        """Who speaks, once, and what."""
        said = {"role": "assistant", "content": text} if first else {"content": text} if text else {}
        return {"delta": said}

    def _top(self, token: Token) -> list[dict[str, Any]]:
        return [self._entry(i, logp) for i, logp in token.top]

    def _entry(self, token: int, logp: float | None) -> dict[str, Any]:
        text = self.spell(token)
        return {"token": text, "logprob": logp, "bytes": None if UNSURE in text else list(text.encode())}


class CompletionAnswer(Answer):
    """Of /v1/completions."""

    prefix, kind, chunk = "cmpl", "text_completion", "text_completion"

    def logprobs(self, tokens: Sequence[Token], before: int) -> Any:
        """Lists side by side."""
        texts = [self.spell(t.id) for t in tokens]
        tops = [{self.spell(i): logp for i, logp in t.top} if t.top else None for t in tokens]
        return {
            "tokens": texts,
            "token_logprobs": [None if t.logp != t.logp else t.logp for t in tokens],
            "top_logprobs": tops if self.wanted.top else None,
            "text_offset": [before + t.begin for t in tokens],
        }

    def choice(self, index: int) -> dict[str, Any]:
        """The text."""
        return {"text": self.texts[index]}

    def with_prompts(self, answer: dict[str, Any]) -> dict[str, Any]:
        """In each choice."""
        return answer | {"choices": [each | self.prompt_of(each["index"]) for each in answer["choices"]]}

    def delta(self, text: str, first: bool) -> dict[str, Any]:
        """The new text."""
        return {"text": text}
