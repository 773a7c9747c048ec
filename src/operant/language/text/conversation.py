"""From conversations and texts to tokens, and which of them are learnt from.

Nothing here knows a model: a tokenizer of transformers is all that is needed, and any object with its methods will do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from operant.config.errors import ConfigError

A = TypeVar("A")
B = TypeVar("B")

Message = Mapping[str, str]
"""`role` (system, user, assistant, tool) and `content`."""

Text = str | Sequence[Message]
"""A plain text, or messages for the tokenizer's chat template."""

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
            f"{name} has {what}: a mask read off the tokens would hide every end from learning. Name an unused token, "
            'for instance tokenizer.pad_token = "<|unused0|>", and save the tokenizer'
        )


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
    return text if isinstance(text, str) else "\n".join(f"{m['role']}: {m['content']}" for m in text)


def render(tokenizer: Any, messages: Sequence[Message], *, prompt: bool = False) -> list[int]:
    """The tokens of messages under the chat template; with `prompt`, up to where the assistant begins to speak.

    Raises:
        ConfigError: if the tokenizer has no chat template, or the template refuses the messages.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        raise ConfigError("the tokenizer has no chat template: set tokenizer.chat_template, or give plain texts")
    if not messages:
        return []
    try:
        return list(
            tokenizer.apply_chat_template(
                [dict(m) for m in messages], add_generation_prompt=prompt, tokenize=True, return_dict=True
            )["input_ids"]
        )
    except Exception as error:  # a template raises what it likes
        raise ConfigError(f"the chat template refuses the messages: {error}") from error


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

    Raises:
        ConfigError: as `check_padding`.
    """

    tokenizer: Any
    length: int
    too_long: Literal["refuse", "leave_out"] = "refuse"
    _seen: list[bool] = field(default_factory=list[bool], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_padding(self.tokenizer)

    def each(self, one: Callable[[A], B], items: Iterable[A], *, of: str) -> list[B]:
        """`one` of each item; of those that are too long one warning tells how many are left out of `of`.

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
        if left and not found:
            raise TooLongError(f"all {len(left):,} examples of {of} are too long, the first because {left[0]}")
        if left:
            of = f"{len(left):,} of {len(found) + len(left):,} examples of {of}"
            warnings.warn(f"{of} are left out, the first because {left[0]}", stacklevel=3)
        return found

    def prompt(self, text: Text) -> list[int]:
        """The tokens to go on from."""
        if isinstance(text, str):
            return list(self.tokenizer(text, add_special_tokens=True)["input_ids"])
        self._watch(text)
        return render(self.tokenizer, text, prompt=True)

    def completion(self, prompt: Text, completion: Text, where: str = "") -> Encoded:
        """A prompt and what is to be said there; only the latter is acted, and of several messages the assistant's.

        A plain completion gets the end token, and its tokens are those of the completion alone: in sampling too, the
        prompt's last token is decided before the first of the completion.

        Raises:
            ConfigError: if nothing is left to learn from, or the template renders the prompt otherwise once answered.
        """
        start = self.prompt(prompt)
        if isinstance(completion, str) and not isinstance(prompt, str):
            completion = [{"role": "assistant", "content": completion}]
        if isinstance(completion, str):
            said = list(self.tokenizer(completion, add_special_tokens=False)["input_ids"])
            whole = start + self._ended(said)
        elif isinstance(prompt, str):
            raise ConfigError(f"{where}: the prompt is a text and the completion is messages; give both as messages")
        else:
            whole = render(self.tokenizer, [*prompt, *completion])
        if whole[: len(start)] != start:
            raise ConfigError(f"{where}: the chat template renders the prompt otherwise once it is answered")
        acted = [i >= len(start) for i in range(len(whole))]
        if not isinstance(prompt, str) and not isinstance(completion, str) and len(completion) > 1:
            said = self._assistant([*prompt, *completion], whole, where)
            acted = [a and b for a, b in zip(acted, said, strict=True)]
        return self.fit(whole, acted, where)

    def conversation(
        self, messages: Sequence[Message], *, learn: Literal["completion", "assistant", "all"], where: str = ""
    ) -> Encoded:
        """A conversation: its last answer is learnt, or all that the assistant said, or everything.

        What the assistant said is what the template marks with `{% generation %}`; where it marks nothing, what each
        answer adds to the tokens before it.

        Raises:
            ConfigError: if nothing is left to learn from, or the template neither marks nor only appends.
        """
        if learn == "completion":
            if not messages or messages[-1]["role"] != "assistant":
                raise ConfigError(f"{where}: the last message is not the assistant's, so there is nothing to complete")
            return self.completion(messages[:-1], messages[-1:], where)
        self._watch(messages)
        whole = render(self.tokenizer, messages)
        if learn == "all":
            return self.fit(whole, [True] * len(whole), where)
        return self.fit(whole, self._assistant(messages, whole, where), where)

    def text(self, text: str, where: str = "") -> Encoded:
        """A plain text with an end token; all of it is acted but its first token."""
        whole = self._ended(list(self.tokenizer(text, add_special_tokens=True)["input_ids"]))
        return self.fit(whole, [True] * len(whole), where)

    def fit(self, tokens: Sequence[int], acted: Sequence[bool], where: str = "") -> Encoded:
        """An example of at most `length` tokens, the first ones; `acted` [L] marks tokens.

        Raises:
            TooLongError: if the limit leaves no token that is acted.
            ConfigError: if there is none at all.
        """
        if not any(acted[1:]):
            raise ConfigError(f"{where}: no token to learn from; an answer is missing or empty")
        if not any(acted[1 : self.length]):
            first = list(acted).index(True, 1)
            raise TooLongError(
                f"{where}: cut at {self.length} tokens, nothing to learn from is left (the first such token is number "
                f"{first + 1} of {len(tokens)}); raise the length, or set too_long to leave_out"
            )
        cut = slice(0, self.length)
        return Encoded(tokens=tuple(tokens[cut]), acted=tuple(bool(a) for a in acted[cut][1:]), where=where)

    def _watch(self, messages: Sequence[Message]) -> None:
        """Warn, once, where something follows an answer and the template changes what was said before."""
        if self._seen or not any(m["role"] == "assistant" for m in messages[:-1]):
            return
        self._seen.append(True)
        try:
            check_template(self.tokenizer)
        except ConfigError as error:
            warnings.warn(str(error), stacklevel=4)

    def _ended(self, tokens: list[int]) -> list[int]:
        end = self.tokenizer.eos_token_id
        return tokens if tokens[-1:] == [end] else [*tokens, end]

    def _assistant(self, messages: Sequence[Message], whole: list[int], where: str) -> list[bool]:
        if re.search(r"\{%[-+]?\s*generation\b", self.tokenizer.chat_template):
            marked = self.tokenizer.apply_chat_template(
                [dict(m) for m in messages], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
            return [bool(m) for m in marked["assistant_masks"]]
        acted = [False] * len(whole)
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = (
                render(self.tokenizer, messages[:i], prompt=True),
                render(self.tokenizer, messages[: i + 1]),
            )
            if after[: len(before)] != before or whole[: len(after)] != after:
                raise ConfigError(
                    f"{where}: the chat template changes earlier turns (turn {i}) and does not mark what the assistant "
                    "said; put {% generation %} … {% endgeneration %} around it in the template"
                )
            acted[len(before) : len(after)] = [True] * (len(after) - len(before))
        return acted
