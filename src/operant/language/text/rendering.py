"""How a tokenizer writes texts and turns: one answer for what is trained, sampled, served and judged.

Only a chat template, and the tokenizer at the ends of a text, write control tokens: in what people and models say their
names are split into ordinary tokens. An answer is the tokens that a sampler would have written where generation begins:
what it says, and the token that ends it.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from operant.config.errors import ConfigError
from operant.language.text.pictures import is_picture, parts_of, pictures_in
from operant.language.text.turn import Sight, Turn

Message = Mapping[str, Any]
"""`role` (system, user, assistant, tool) and `content`: a text, or parts with pictures among them, as
`operant.language.text.pictures.parts_of` reads them."""

Text = str | Sequence[Message]
"""A plain text, or messages for the tokenizer's chat template."""

SEAM = "\U0010f5ea"
"""A character of nobody's, put into the name of a control token where it is not to be one; it leaves no token."""

ASKED, SAID = "Question", "Response"
"""What is said in the exchange from which a template is read."""

THOUGHTS = re.compile("think|thought|reason", re.IGNORECASE)
"""In the names of tokens around a thought: they are a model's own to write."""


class Rendering:
    """What a tokenizer makes of texts and of turns; `rendering_of` keeps one of each tokenizer.

    Args:
        tokenizer: of transformers.

    Attributes:
        control: matches the names of control tokens: those the tokenizer calls special, and those the template writes
            around what a person says; but not those around a thought.
        special: the tokens that the tokenizer calls special: they have no text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added: dict[int, Any] = dict(tokenizer.added_tokens_decoder)
        self._added = {str(t): i for i, t in added.items()}
        self.special = frozenset(i for i, t in added.items() if t.special)
        names = {str(added[i]) for i in self.special} | set(tokenizer.all_special_tokens)
        self.pictures: Sight | None = getattr(tokenizer, "pictures", None)
        if self.pictures is not None:
            names.add(self.pictures.marker)
        self.control = _names(names)
        if tokenizer.chat_template is not None:
            self.control = _names(names | self._around())

    @cached_property
    def turn(self) -> Turn:
        """How the chat template writes an answer, seen in an exchange of one turn each; empty where it refuses that."""
        asked: list[Message] = [{"role": "user", "content": ASKED}]
        try:
            begun, done = (
                self.written(asked, prompt=True),
                self.written([*asked, {"role": "assistant", "content": SAID}]),
            )
        except ConfigError:
            begun, done = "", SAID
        at = max(done.rfind(SAID), 0)
        same, lead = _same(begun, done), ""
        if same < len(begun) and not done[same:at].strip() and begun[same:].strip():
            lead = begun[same:]
        behind = self.tokens(done[at + len(SAID) :], follows=True)
        known = {i: name for name, i in self._added.items() if not name.isspace()}
        ends = [i for i in behind if i in self._control_ids] or [i for i in behind if i in known]
        stop = behind.index(ends[0]) + 1 if ends else len(behind)
        end = ends[0] if ends else None
        return Turn(lead=lead, closing=tuple(behind[:stop]), end=end, tail=tuple(behind[stop:]))

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer under the chat template: its own, and the tokenizer's."""
        return frozenset(i for i in (self.tokenizer.eos_token_id, self.turn.end) if i is not None)

    def split(self, text: str) -> str:
        """A text in which no name of a control token is one."""
        return self.control.sub(lambda name: f"{name[0][:1]}{SEAM}{name[0][1:]}", text)

    def text(self, text: str) -> list[int]:
        """The tokens of a plain text to go on from: with what the tokenizer puts before one, not what it puts behind.

        A text that begins with the token of a beginning has it once.
        """
        named = self.tokenizer.special_tokens_map.get("bos_token")
        said = text.removeprefix(str(named)) if named else text
        before, behind = self._affixes
        if said == text and self.control.search(text) is None:
            tokens = list(self.tokenizer(text, add_special_tokens=True)["input_ids"])
            return tokens[: len(tokens) - behind]
        begin = before if said == text or before else (self.tokenizer.bos_token_id,)
        return [*begin, *self.tokens(self.split(said))]

    def prompt(self, text: Text) -> list[int]:
        """The tokens to go on from: of a text, or of messages up to where the assistant begins to speak."""
        return self.text(text) if isinstance(text, str) else self.turns(text, prompt=True)

    def following(self, text: str) -> list[int]:
        """The tokens of what is said behind others: nothing before it, and no blank that is not in the text."""
        return self.tokens(self.split(text), follows=True)

    def turns(self, messages: Sequence[Message], *, prompt: bool = False) -> list[int]:
        """The tokens of messages under the chat template; with `prompt`, up to where the assistant begins to speak.

        Raises:
            ConfigError: if the tokenizer has no chat template, or the template refuses the messages.
        """
        if self.tokenizer.chat_template is None:
            raise ConfigError("the tokenizer has no chat template: set tokenizer.chat_template, or give plain texts")
        if not messages:
            return []
        if names := pictures_in(messages):
            return self.pictured(self.tokens(self.written(messages, prompt=prompt)), names)
        plain = [dict(m) for m in messages]
        if plain != self._split(messages):
            return self.tokens(self.written(messages, prompt=prompt))
        return list(_applied(self.tokenizer, plain, prompt, tokenize=True, return_dict=True)["input_ids"])

    def written(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """What the chat template makes of messages, as text: for `tokens`."""
        return str(_applied(self.tokenizer, self._split(messages), prompt, tokenize=False)) if messages else ""

    def tokens(self, text: str, *, follows: bool = False) -> list[int]:
        """The tokens of a text that went through `split` or `written`; `follows`: others stand before it.

        Raises:
            ConfigError: if the tokenizer makes a control token of what is not to be one, however it is split.
        """
        follows = follows and self.glues
        if not follows and SEAM not in text:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        encode = self._following if follows else self._seamed
        found = encode(text)
        written = len(self.control.findall(text))
        if sum(i in self._control_ids for i in found) > written:
            raise ConfigError(f"this tokenizer makes a control token of a part of {text.replace(SEAM, '')!r:.200}")
        return found

    def pictured(self, tokens: Sequence[int], names: Sequence[str]) -> list[int]:
        """Tokens with those of the pictures in place of each marker. Raises ConfigError if the model does not see."""
        if self.pictures is None:
            raise ConfigError("the messages hold a picture, and this model reads texts alone: take a model that sees")
        marker, found = self.tokenizer.convert_tokens_to_ids(self.pictures.marker), list[int]()
        if tokens.count(marker) != len(names):
            raise ConfigError(
                f"the chat template writes {tokens.count(marker)} of {len(names)} pictures: give the tokenizer a "
                f"template that writes {self.pictures.marker} for each"
            )
        left = iter(names)
        for token in tokens:
            found += self.pictures.tokens(next(left)) if token == marker else [token]
        return found

    def said(self, before: Sequence[int], tokens: Sequence[int]) -> str:
        """The text that tokens add to those before them: of themselves, but for a blank that would be lost alone."""
        context = [i for i in before[-8:] if not is_picture(i)] if self.glues else []
        text = str(self.tokenizer.decode([*context, *tokens], skip_special_tokens=True))
        return text[len(str(self.tokenizer.decode(context, skip_special_tokens=True))) :] if context else text

    def answer(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens without the one that ends it; what the template opened for it stands first."""
        said = tokens[:-1] if tokens and tokens[-1] == self.turn.end else tokens
        return self.turn.opening + self.said((), said)

    @cached_property
    def glues(self) -> bool:
        """Whether a text that is encoded by itself begins with a blank of the tokenizer's, as sentencepiece has it.

        Not where words are parted whatever is between them.
        """
        alone = self._parted(lambda text: list(self.tokenizer(text, add_special_tokens=False)["input_ids"]))
        return alone and not self._parted(self._following)

    def _parted(self, encode: Callable[[str], list[int]]) -> bool:
        """Whether a letter and another, encoded as what follows, are two words."""
        first = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        return " " in str(self.tokenizer.decode([*first, *encode("b")])).strip()

    @cached_property
    def _affixes(self) -> tuple[tuple[int, ...], int]:
        """The tokens that the tokenizer puts before a text, and how many it puts behind one."""
        bare, whole = (list(self.tokenizer("a", add_special_tokens=s)["input_ids"]) for s in (False, True))
        more = len(whole) - len(bare)
        at = next((i for i in range(more + 1) if whole[i : i + len(bare)] == bare), more)
        return tuple(whole[:at]), more - at

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(i for name, i in self._added.items() if self.control.fullmatch(name))

    @cached_property
    def _seamed(self) -> Callable[[str], list[int]]:
        return self._encoder(lambda part: part)

    @cached_property
    def _following(self) -> Callable[[str], list[int]]:
        return self._encoder(_unglued)

    def _encoder(self, change: Callable[[Any], Any]) -> Callable[[str], list[int]]:
        """Encodes texts with seams, by a copy of the tokenizer's core that was changed."""
        from tokenizers import AddedToken, Tokenizer

        core = getattr(self.tokenizer, "backend_tokenizer", None)
        if core is None:  # a tokenizer in Python
            return self._by_pieces
        spec: dict[str, Any] = json.loads(core.to_str())
        spec |= {part: change(spec[part]) for part in ("normalizer", "pre_tokenizer")}
        copy = Tokenizer.from_str(json.dumps(spec))
        copy.no_truncation()
        copy.no_padding()
        copy.add_tokens([AddedToken(SEAM, normalized=False, special=False)])
        seam = copy.token_to_id(SEAM)
        return lambda text: [i for i in copy.encode(text, add_special_tokens=False).ids if i != seam]

    def _by_pieces(self, text: str) -> list[int]:
        pieces = (self.tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in text.split(SEAM))
        return [i for piece in pieces for i in piece]

    def _around(self) -> set[str]:
        """Added tokens that the template writes around what a person says; none where it refuses to."""
        try:
            written = self.written([{"role": "user", "content": ASKED}])
        except ConfigError:
            return set()
        return {name for name in self._added if name in written and not name.isspace()}

    def _split(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        each: list[Mapping[str, Any]] = [*messages]  # a message may hold more than texts
        return [{k: self._written(m, v) if k == "content" else v if not isinstance(v, str) else self.split(v)
                 for k, v in m.items()} for m in each]  # fmt: skip

    def _written(self, message: Message, said: Any) -> Any:
        """What a template is given of what a message says: a text, or parts where there are pictures."""
        if isinstance(said, str) and not self._parted_texts:
            return self.split(said)
        if not isinstance(said, str | list | tuple):
            return said  # null, beside calls of tools
        return [
            {"type": "text", "text": self.split(p["text"])} if p["type"] == "text" else {"type": "image"}
            for p in parts_of(message)
        ]

    @cached_property
    def _parted_texts(self) -> bool:
        """Whether the template writes texts in parts alone, as some of models that see do."""
        if self.pictures is None:
            return False
        talk: list[dict[str, Any]] = [{"role": "user", "content": ASKED}]
        try:
            return ASKED not in str(_applied(self.tokenizer, talk, False, tokenize=False))
        except ConfigError:
            return True


_known: deque[tuple[object, Rendering]] = deque(maxlen=8)


def rendering_of(tokenizer: Any) -> Rendering:
    """What a tokenizer makes of texts and of turns, as it stands now; the last few are kept."""
    sight = id(getattr(tokenizer, "pictures", None))
    state = (tokenizer.chat_template, len(tokenizer), tuple(tokenizer.all_special_tokens), sight)
    found = next((kept for before, kept in _known if kept.tokenizer is tokenizer and before == state), None)
    if found is None:
        found = Rendering(tokenizer)
        _known.append((state, found))
    return found


def render(tokenizer: Any, messages: Sequence[Message], *, prompt: bool = False) -> list[int]:
    """The tokens of messages under the chat template; with `prompt`, up to where the assistant begins to speak.

    Raises:
        ConfigError: if the tokenizer has no chat template, or the template refuses the messages.
    """
    return rendering_of(tokenizer).turns(messages, prompt=prompt)


def check_alike(judge: Any, policy: Any, of: str) -> None:
    """What one tokenizer's model wrote, another's reads as it learnt to.

    Args:
        judge, policy: the tokenizers of what reads and of what writes.
        of: whose the first is, for the message.

    Raises:
        ConfigError: if they know different tokens, or write a conversation differently.
    """
    first, second = judge.get_vocab(), policy.get_vocab()
    if first != second:
        name = min(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
        raise ConfigError(
            f"{of} reads other tokens than the model writes: {name!r} is {first.get(name)} there and "
            f"{second.get(name)} here. Train it on the model that it is to judge"
        )
    talk: list[Message] = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    if None not in (judge.chat_template, policy.chat_template) and render(judge, talk) != render(policy, talk):
        raise ConfigError(f"{of} has another chat template than the model: train it on the model that it is to judge")


def _same(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _names(of: set[str]) -> re.Pattern[str]:
    """Matches any of these names, the longest first, but those around a thought."""
    names = sorted((n for n in of if n and not n.isspace() and not THOUGHTS.search(n)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or "(?!)")


def _applied(tokenizer: Any, messages: list[dict[str, Any]], prompt: bool, **how: bool) -> Any:
    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, **how)
    except Exception as error:  # a template raises what it likes
        raise ConfigError(f"the chat template refuses the messages: {error}") from error


def _unglued(part: Any) -> Any:
    """A normaliser or a pre-tokenizer that puts no blank before a text."""
    if isinstance(part, list):
        return [_unglued(each) for each in part]
    if not isinstance(part, dict):
        return part
    match part.get("type"):
        case "Prepend":
            return {"type": "Strip", "strip_left": False, "strip_right": False}
        case "Metaspace":
            return part | {"prepend_scheme": "never"}
        case "ByteLevel":
            return part | {"add_prefix_space": False}
        case _:
            return {name: _unglued(each) for name, each in part.items()}
