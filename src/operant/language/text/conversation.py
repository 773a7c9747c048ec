"""From conversations and texts to tokens, and which of them are learnt from.

Nothing here knows a model: a tokenizer of transformers is all that is needed, and any object with its methods will do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from operant.config.errors import ConfigError
from operant.language.text.pictures import is_picture, pictures_in, spoken
from operant.language.text.rendering import Message as Message
from operant.language.text.rendering import Rendering, rendering_of
from operant.language.text.rendering import Text as Text
from operant.language.text.rendering import render as render
from operant.language.text.special_tokens import check_known
from operant.language.text.special_tokens import check_padding as check_padding

A = TypeVar("A")
B = TypeVar("B")

PROBE: tuple[Message, ...] = (
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "<think>\nthree\n</think>\n\ntwo"},
    {"role": "user", "content": "four"},
    {"role": "assistant", "content": "<think>\nsix\n</think>\n\nfive"},
)
"""A conversation on which templates that drop what was said before show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One sequence of tokens, and which of them the policy is to be held responsible for.

    `acted[t]` belongs to the action at t, which is `tokens[t + 1]`, as in a trajectory.

    Raises:
        ValueError: if the lengths do not fit.
    """

    tokens: tuple[int, ...]  # [L]
    acted: tuple[bool, ...]  # [L-1]
    where: str = ""  # file:line, for messages

    def __post_init__(self) -> None:
        if len(self.acted) != len(self.tokens) - 1:
            raise ValueError(f"{self.where}: {len(self.tokens)} tokens need one mask fewer, got {len(self.acted)}")

    @property
    def prompt(self) -> int:
        """How many tokens stand before the first that is acted; all of them if none is."""
        return self.acted.index(True) + 1 if True in self.acted else len(self.tokens)


def check_template(tokenizer: Any, messages: Sequence[Message] = PROBE) -> None:
    """The chat template only ever appends: what the model sees in a later turn begins with what it saw and said before.

    Where it does not, a policy trained on whole conversations is trained on contexts that it never meets, and tokens
    kept from earlier turns of a rollout are not those of the conversation rendered again.

    Args:
        tokenizer: with a chat template.
        messages: the conversation to try; the default has thoughts in its answers, which some templates drop later.

    Raises:
        ConfigError: if there is no template, or it changes earlier turns; names the turn.
    """
    for end, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        seen = render(tokenizer, messages[:end], prompt=True)
        said = render(tokenizer, messages[: end + 1])
        for later, whole in (("once answered", said), ("at the end", render(tokenizer, messages))):
            before = seen if later == "once answered" else said
            if whole[: len(before)] != before:
                at = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(whole))
                raise ConfigError(
                    f"the chat template is not prefix-preserving: what stands before turn {end} changes {later}, from "
                    f"{tokenizer.decode(before[at : at + 8])!r} to {tokenizer.decode(whole[at : at + 8])!r}. Give the "
                    "tokenizer a template that only appends, or use conversations of one turn"
                )


def plain(text: Text) -> str:
    """A text as a person reads it: messages one by one, each after its role."""
    return text if isinstance(text, str) else "\n".join(f"{m['role']}: {spoken(m)}" for m in text)


class TooLongError(ConfigError):
    """Of an example nothing to learn is left within the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Turns texts into examples.

    The first conversation of several answers is the occasion to warn of a template that changes earlier turns.

    Args:
        tokenizer: of transformers.
        length: the longest sequence, in tokens; what is longer loses its end.
        too_long: what readers of files do with an example of which nothing to learn is left then.
        rows: tokens that the model embeds; None: nobody asks.

    Raises:
        ConfigError: as `check_padding`.
    """

    tokenizer: Any
    length: int
    too_long: Literal["refuse", "leave_out"] = "refuse"
    rows: int | None = None
    _seen: list[bool] = field(default_factory=list[bool], init=False, repr=False, compare=False)
    _named: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_padding(self.tokenizer)

    @property
    def rendering(self) -> Rendering:
        """How the tokenizer writes texts and turns."""
        return rendering_of(self.tokenizer)

    def each(self, one: Callable[[A], B], items: Iterable[A], *, of: str) -> list[B]:
        """`one` of each item; of those that are too long one warning tells how many are left out of `of`.

        Another tells how many hold the name of a control token, which is ordinary text there.

        Raises:
            TooLongError: for the first of them, unless they may be left out (`too_long`) and others remain.
        """
        found: list[B] = []
        left: list[TooLongError] = []
        for item in items:
            try:
                found.append(one(item))
            except TooLongError as error:
                if self.too_long == "refuse":
                    raise
                left.append(error)
        if self._named:
            warnings.warn(
                f"{len(self._named):,} texts of {of} hold the name of a control token, the first {self._named[0]}: it "
                "is read as ordinary text, as only a chat template writes control tokens. Where texts were rendered "
                "before, give their messages",
                stacklevel=3,
            )
            self._named.clear()
        if left and not found:
            raise TooLongError(f"all {len(left):,} examples of {of} are too long, the first because {left[0]}")
        if left:
            of = f"{len(left):,} of {len(found) + len(left):,} examples of {of}"
            warnings.warn(f"{of} are left out, the first because {left[0]}", stacklevel=3)
        return found

    def prompt(self, text: Text) -> list[int]:
        """The tokens to go on from."""
        if not isinstance(text, str):
            self._watch(text)
        return self.rendering.prompt(text)

    def completion(self, prompt: Text, completion: Text, where: str = "") -> Encoded:
        """A prompt and what is to be said there; only the latter is acted, and of several messages the assistant's.

        A plain completion gets the end token, and its tokens are those of the completion alone: in sampling too, the
        prompt's last token is decided before the first of the completion. An answer in messages ends with the token
        that the template ends it with.

        Raises:
            ConfigError: if nothing is left to learn from, the template does not end an answer with a control token, or
                renders the prompt otherwise once answered.
        """
        self._note(prompt, where)
        self._note(completion, where)
        if isinstance(prompt, str):
            if not isinstance(completion, str):
                raise ConfigError(
                    f"{where}: the prompt is a text and the completion is messages; give both as messages"
                )
            start = self.prompt(prompt)
            whole = start + self._ended(self.rendering.following, completion)
            return self.fit(whole, [i >= len(start) for i in range(len(whole))], where)
        self._watch(prompt)
        said = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
        return self.fit(*self._answers([*prompt, *said], len(prompt), where), where)

    def conversation(
        self, messages: Sequence[Message], *, learn: Literal["completion", "assistant", "all"], where: str = ""
    ) -> Encoded:
        """A conversation: its last answer is learnt, or all that the assistant said, or everything.

        What the assistant said is what a sampler would have written: all that an answer adds to the tokens before it,
        up to the one that ends it.

        Raises:
            ConfigError: if nothing is left to learn from, the template does not end an answer with a control token, or
                what is learnt is not what a sampler sees and writes there.
        """
        if learn == "completion":
            if not messages or messages[-1]["role"] != "assistant":
                raise ConfigError(f"{where}: the last message is not the assistant's, so there is nothing to complete")
            return self.completion(messages[:-1], messages[-1:], where)
        self._note(messages, where)
        self._watch(messages)
        if learn == "all" and not self.rendering.turn.lead:
            whole = self.rendering.turns(messages)
            return self.fit(whole, [True] * len(whole), where)
        whole, acted = self._answers(messages, 0, where)
        return self.fit(whole, [a or learn == "all" for a in acted], where)

    def text(self, text: str, where: str = "") -> Encoded:
        """A plain text with an end token; all of it is acted but its first token."""
        self._note(text, where)
        whole = self._ended(self.rendering.text, text)
        return self.fit(whole, [True] * len(whole), where)

    def fit(self, tokens: Sequence[int], acted: Sequence[bool], where: str = "") -> Encoded:
        """An example of at most `length` tokens, the first ones; `acted` [L] marks tokens.

        Raises:
            TooLongError: if the limit leaves no token that is acted.
            ConfigError: if there is none at all, or the model does not embed one.
        """
        if self.rows is not None:
            check_known(self.tokenizer, tokens, self.rows, where)
        if not any(acted[1:]):
            raise ConfigError(f"{where}: no token to learn from; an answer is missing or empty")
        if not any(acted[1 : self.length]):
            first = list(acted).index(True, 1)
            raise TooLongError(
                f"{where}: cut at {self.length} tokens, nothing to learn from is left (the first such token is number "
                f"{first + 1} of {len(tokens)}); raise the length, or set too_long to leave_out"
            )
        seen = is_picture(max(tokens))
        cut = slice(0, self._whole(tokens) if seen else self.length)
        mask = acted[cut][1:]
        if seen:
            mask = [a and not is_picture(t) for a, t in zip(mask, tokens[cut][1:], strict=True)]
            if not any(mask):
                raise TooLongError(f"{where}: cut at {self.length} tokens, before a picture, nothing to learn is left")
        return Encoded(tokens=tuple(tokens[cut]), acted=tuple(map(bool, mask)), where=where)

    def _whole(self, tokens: Sequence[int]) -> int:
        """How many tokens are kept: `length` at most, and no part of a picture without the rest."""
        end, sight = min(len(tokens), self.length), self.rendering.pictures
        last = next((t for t in reversed(tokens[:end]) if is_picture(t)), None)
        if last is None or sight is None or end == len(tokens):
            return end
        at = [i for i in range(end) if tokens[i] == last]
        beyond = len(at) % sight.places(last)
        return at[-beyond] if beyond else end

    def _watch(self, messages: Sequence[Message]) -> None:
        """Warn, once, where something follows an answer and the template changes what was said before."""
        if self._seen or not any(m["role"] == "assistant" for m in messages[:-1]):
            return
        self._seen.append(True)
        try:
            check_template(self.tokenizer)
        except ConfigError as error:
            warnings.warn(str(error), stacklevel=4)

    def _note(self, text: Text, where: str) -> None:
        """Remember a place where a text holds the name of a control token other than at its ends."""
        if where:
            ends = self.tokenizer.special_tokens_map
            told = [text] if isinstance(text, str) else [spoken(m) for m in text]
            if isinstance(text, str):
                told = [text.removeprefix(str(ends.get("bos_token"))).removesuffix(str(ends.get("eos_token")))]
            names = (found[0] for each in told if (found := self.rendering.control.search(each)))
            self._named.extend(f"{where}: {name!r}" for name in [*names][:1])

    def _ended(self, encode: Callable[[str], list[int]], text: str) -> list[int]:
        """A text's tokens and the end token, once."""
        return [*encode(text.removesuffix(str(self.tokenizer.eos_token))), self.tokenizer.eos_token_id]

    def _answers(self, messages: Sequence[Message], first: int, where: str) -> tuple[list[int], list[bool]]:
        """A conversation's tokens, up to the end of the last answer where it ends with one, and which are learnt.

        Those are, of each answer from message `first` on, what a sampler would have written.
        """
        rendering = self.rendering
        said = [i for i, m in enumerate(messages) if i >= first and m["role"] == "assistant"]
        try:
            tokens, spans = rendering.turns(messages), list[tuple[int, int]]()
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        for i in said:
            before = rendering.turns(messages[:i], prompt=True)
            after = tokens if i + 1 == len(messages) else rendering.turns(messages[: i + 1])
            if after[: len(before)] != before or tokens[: len(after)] != after:
                tokens, spans = self._rebuilt(messages, said, where)
                break
            spans.append((len(before), len(after)))
        acted, end = [False] * len(tokens), len(tokens) - 1
        for start, stop in spans:
            end = next((k for k in range(start, stop) if tokens[k] in rendering.ends), -1)
            if end < 0:
                behind = self.tokenizer.decode(rendering.turn.closing)
                raise ConfigError(
                    f"{where}: the chat template puts {behind!r} behind an answer, and no control token: nothing would "
                    "teach the model to stop, or stop a sampler. Put {{ eos_token }} behind what the assistant said"
                )
            acted[start : end + 1] = [True] * (end + 1 - start)
        if not messages or messages[-1]["role"] != "assistant":
            return tokens, acted
        return tokens[: end + 1], acted[: end + 1]  # what stands behind the end no sampler writes

    def _rebuilt(
        self, messages: Sequence[Message], said: Sequence[int], where: str
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """A conversation's tokens piece by piece, as they come to be in sampling, and where the answers lie in them.

        For templates whose generation prompt runs into the answer's first token, or opens a thought.
        """
        rendering = self.rendering
        whole, tokens, spans, done = rendering.written(messages), list[int](), list[tuple[int, int]](), 0
        for i in said:
            before, after = rendering.written(messages[:i], prompt=True), rendering.written(messages[: i + 1])
            if not (after.startswith(before) and whole.startswith(after)):
                break
            asked = rendering.tokens(whole[done : len(before)], follows=done > 0)
            names = pictures_in(messages[said[len(spans) - 1] + 1 if spans else 0 : i])
            tokens += rendering.pictured(asked, names) if names else asked
            start, done = len(tokens), len(after)
            tokens += rendering.tokens(after[len(before) :], follows=True)
            spans.append((start, len(tokens)))
        else:
            rest, names = rendering.tokens(whole[done:], follows=True), pictures_in(messages[said[-1] + 1 :])
            return [*tokens, *(rendering.pictured(rest, names) if names else rest)], spans
        turn = rendering.turn
        if len(said) > 1 or said[-1] + 1 < len(messages) or not turn.lead:
            raise ConfigError(
                f"{where}: the chat template changes earlier turns: what stands in or before turn {i} is rendered "
                "otherwise once more is said, so what a sampler sees and writes there is no part of the whole. Set "
                "algo.learn = completion, which learns the last answer alone, or give each answer as a conversation of "
                "its own"
            )
        answer = turn.begun(spoken(messages[-1]))
        if answer is None:
            raise ConfigError(
                f"{where}: the chat template opens {turn.lead.strip()!r} for every answer, and this one never closes "
                "it: give its thought with it"
            )
        start = rendering.turns(messages[:-1], prompt=True)
        tokens = [*start, *rendering.following(answer), *turn.closing]
        return tokens, [(len(start), len(tokens))]
