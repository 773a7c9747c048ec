"""Judged answers from JSONL files: pairs, rankings, verdicts, steps; and conversations to imitate.

One object a line. Every error names the file and the line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from operant.config.errors import ConfigError
from operant.data.jsonl import lines
from operant.language.text.conversation import Encoded, Encoder, Message, Text
from operant.language.text.pictures import is_content

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one prompt, the better one first."""

    chosen: Encoded
    rejected: Encoded
    margin: float = 0.0  # by how much it is better, in units of a reward model's score
    probability: float = 1.0  # that `chosen` is the better one, where a judge is not sure
    group: str = ""  # who preferred it
    reference: tuple[float, float] | None = None  # log π_ref of both, once computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Several answers to one prompt. Smaller ranks are better; equal ranks are not compared."""

    answers: tuple[Encoded, ...]
    rank: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One answer, and whether it is desirable."""

    answer: Encoded
    desirable: bool
    mismatched: Encoded | None = None  # another prompt's answer to this prompt
    reference: tuple[float, float] | None = None  # log π_ref of both, once computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A solution in steps; `acted` of the example is True at the last token of each step that has a verdict."""

    solution: Encoded
    correct: tuple[float, ...]  # of each such step, in [0, 1]


def mismatch(verdicts: Sequence[Verdict], length: int) -> list[Verdict]:
    """Each verdict with the answer of the next one put to its own prompt: what KTO measures its reference point on.

    Args:
        verdicts: in any order.
        length: where a prompt and the other's answer are cut.

    Raises:
        ConfigError: if there are fewer than two.
    """
    if len(verdicts) < 2:
        raise ConfigError("KTO's reference point takes another prompt's answer: give at least two verdicts")
    result: list[Verdict] = []
    for i, verdict in enumerate(verdicts):
        own, other = verdict.answer, verdicts[(i + 1) % len(verdicts)].answer
        tokens = (own.tokens[: own.prompt] + other.tokens[other.prompt :])[:length]
        acted = tuple(t >= own.prompt for t in range(1, len(tokens)))
        result.append(replace(verdict, mismatched=Encoded(tokens=tokens, acted=acted, where=own.where)))
    return result


Judged = TypeVar("Judged", Pair, Ranking)


def contrasting(judged: Sequence[Judged], length: int, *, of: str) -> list[Judged]:
    """Those in which something better differs from something worse; a warning counts the others and names them.

    Args:
        judged: pairs or rankings.
        length: where answers were cut.
        of: what they were read from, for the warning.

    Raises:
        ConfigError: if there is none.
    """
    kept = [item for item in judged if any(a != b for a, b in _compared(item))]
    if len(kept) == len(judged):
        return kept
    same = [next(_compared(item)) for item in judged if all(a == b for a, b in _compared(item))]
    cut = sum(len(a.tokens) == length for a, _ in same)
    what = f"{len(same):,} of {len(judged):,} of {of} compare equal answers" + (
        f", {cut:,} of them where they are cut at {length:,} tokens" if cut else ""
    )
    named = ", ".join(a.where for a, _ in same[:8]) + (f" and {len(same) - 8:,} more" if len(same) > 8 else "")
    if not kept:
        raise ConfigError(f"{what}, so there is nothing to learn: {named}")
    warnings.warn(f"{what}, and are left out: {named}", stacklevel=3)
    return kept


def _compared(item: Pair | Ranking) -> Iterator[tuple[Encoded, Encoded]]:
    """A better answer and a worse one, each two of them."""
    if isinstance(item, Pair):
        yield item.chosen, item.rejected
        return
    ranked = sorted(zip(item.rank, item.answers, strict=True), key=lambda x: x[0])
    yield from ((a, b) for n, (i, a) in enumerate(ranked) for j, b in ranked[n + 1 :] if i != j)


# ---------------------------------------------------------------------------------------------------- files
def read_conversations(
    path: Path | str, encoder: Encoder, *, learn: Literal["completion", "assistant", "all"] = "assistant"
) -> list[Encoded]:
    """Lines with `messages`, with `prompt` and `completion`, or with `text`.

    Raises:
        ConfigError: if the file cannot be read, a line has other fields, or nothing in it is to be learnt.
    """

    def one(line: dict[str, Any], where: str) -> Encoded:
        if line.get("messages") is not None:  # a column that other lines need is null
            return encoder.conversation(_messages(line["messages"], "messages", where), learn=learn, where=where)
        if line.get("text") is not None:
            return encoder.text(_string(line["text"], "text", where), where)
        prompt, completion = (_text(line, name, where) for name in ("prompt", "completion"))
        return encoder.completion(prompt, completion, where)

    return _read(path, encoder, one)


def read_pairs(path: Path | str, encoder: Encoder) -> list[Pair]:
    """Lines with `chosen` and `rejected`, and `prompt`, `margin`, `probability`, `group` where they have them.

    Without a prompt, both are conversations (messages, or a text of turns that begin with "Human:" and "Assistant:"),
    and the prompt is what they share, up to an answer; of the rest what the assistant says is compared. Pairs without a
    difference teach nothing: they are left out, and a warning names them.

    Raises:
        ConfigError: if the file cannot be read, a line is not a pair (names the field), or no pair has a difference.
    """

    def one(line: dict[str, Any], where: str) -> Pair:
        chosen, rejected = (_text(line, name, where) for name in ("chosen", "rejected"))
        if "prompt" in line:
            prompt = _text(line, "prompt", where)
        else:
            both = [_conversation(x, where) for x in (chosen, rejected)]
            shared = _shared(both[0], both[1], where)
            prompt, chosen, rejected = both[0][:shared], both[0][shared:], both[1][shared:]
        return Pair(
            chosen=encoder.completion(prompt, chosen, where),
            rejected=encoder.completion(prompt, rejected, where),
            margin=_number(line.get("margin", 0.0), "margin", where),
            probability=_number(line.get("probability", 1.0), "probability", where, 0.0, 1.0),
            group=str(line.get("group", "")),
        )

    return contrasting(_read(path, encoder, one), encoder.length, of=str(path))


def read_rankings(path: Path | str, encoder: Encoder) -> list[Ranking]:
    """Lines with `prompt`, `answers` (a list), and `ranks` (numbers, smaller is better; else the first is the best).

    Rankings in which nothing better differs from anything worse are left out, and a warning names them.

    Raises:
        ConfigError: if the file cannot be read, a line is not a ranking of at least two answers, or none has a
            difference.
    """

    def one(line: dict[str, Any], where: str) -> Ranking:
        prompt, answers = _text(line, "prompt", where), line.get("answers")
        if not isinstance(answers, list) or len(answers) < 2:
            raise ConfigError(f"{where}: answers is not a list of at least two answers")
        ranks = line.get("ranks", list(range(len(answers))))
        whole = isinstance(ranks, list) and all(isinstance(r, int) for r in ranks)
        if not whole or len(ranks) != len(answers) or len(set(ranks)) < 2:
            raise ConfigError(f"{where}: ranks is not a list of {len(answers)} whole numbers that are not all equal")
        encoded = tuple(encoder.completion(prompt, _text({"answers": a}, "answers", where), where) for a in answers)
        return Ranking(answers=encoded, rank=tuple(ranks))

    return contrasting(_read(path, encoder, one), encoder.length, of=str(path))


def read_verdicts(path: Path | str, encoder: Encoder) -> list[Verdict]:
    """Lines with `prompt`, `completion` and `label` (true or false).

    Raises:
        ConfigError: if the file cannot be read, or a line is not a verdict; names the field.
    """

    def one(line: dict[str, Any], where: str) -> Verdict:
        prompt, completion = (_text(line, name, where) for name in ("prompt", "completion"))
        if not isinstance(line.get("label"), bool):
            raise ConfigError(f"{where}: label is {line.get('label')!r}; give true or false")
        return Verdict(answer=encoder.completion(prompt, completion, where), desirable=line["label"])

    return _read(path, encoder, one)


def read_steps(path: Path | str, encoder: Encoder, *, separator: str = "\n") -> list[Steps]:
    """Lines with `prompt`, `steps` (texts) and `labels` (true, false, a share in [0, 1], or null: not judged).

    Each step is tokenized by itself and closed by the separator, on whose last token its verdict stands.

    Raises:
        ConfigError: if the file cannot be read, a line is no such solution, or a cut leaves no verdict.
    """

    def one(line: dict[str, Any], where: str) -> Steps:
        steps, labels = line.get("steps"), line.get("labels")
        if not isinstance(steps, list) or not isinstance(labels, list) or len(steps) != len(labels) or not steps:
            raise ConfigError(f"{where}: steps and labels are not two lists of one length, at least one step each")
        correct = [
            None if y is None else _number(float(y) if isinstance(y, bool) else y, "labels", where, 0.0, 1.0)
            for y in labels
        ]
        texts = [_string(step, "steps", where) for step in steps]
        return encode_steps(encoder, _text(line, "prompt", where), texts, correct, separator=separator, where=where)

    return _read(path, encoder, one)


def encode_steps(
    encoder: Encoder,
    prompt: Text,
    steps: Sequence[str],
    labels: Sequence[float | None],
    *,
    separator: str,
    where: str = "",
) -> Steps:
    """A solution as tokens: each step by itself, closed by the separator, on whose last token its verdict stands.

    Args:
        encoder: cuts what is too long; verdicts behind the cut are dropped.
        prompt: text or messages.
        steps: texts.
        labels: of each step; None: not judged.
        separator: at least one token.
        where: for messages.

    Raises:
        ConfigError: if no verdict is left.
    """
    tokens = encoder.prompt(prompt)
    judged = [False] * len(tokens)
    texts = [step + separator for step in steps]
    if not isinstance(prompt, str) and (begun := encoder.rendering.turn.begun(texts[0])) is not None:
        texts[0] = begun  # the opening stands in the prompt
    for text, label in zip(texts, labels, strict=True):
        tokens = tokens + encoder.rendering.following(text)
        judged += [False] * (len(tokens) - len(judged))
        judged[-1] = judged[-1] or label is not None
    solution = encoder.fit(tokens, judged, where)
    correct = tuple(label for label in labels if label is not None)
    return Steps(solution=solution, correct=correct[: sum(solution.acted)])


# ---------------------------------------------------------------------------------------------------- lines
def dialogue(text: str) -> list[Message]:
    """Messages of a text in which turns begin with "Human:" and "Assistant:" on lines of their own.

    Raises:
        ValueError: if it does not begin with one.
    """
    parts = re.split(r"(?:^|\n\n)(Human|Assistant):", text)
    if parts[0].strip() or len(parts) < 3:
        raise ValueError('a dialogue begins with "Human:" or "Assistant:"')
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[1::2], parts[2::2], strict=True)]


def _read(path: Path | str, encoder: Encoder, one: Callable[[dict[str, Any], str], T]) -> list[T]:
    def example(line: tuple[str, dict[str, Any]]) -> T:
        where, fields = line
        return one(fields, where)

    found = encoder.each(example, lines(path), of=str(path))
    if not found:
        raise ConfigError(f"{path}: no line in it; give a file with at least one example")
    return found


def _text(line: dict[str, Any], name: str, where: str) -> Text:
    if name not in line:
        raise ConfigError(f"{where}: no {name}; the line has {', '.join(line) or 'nothing'}")
    value = line[name]
    return _messages(value, name, where) if isinstance(value, list) else _string(value, name, where)


def _string(value: object, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {name} is not a text")
    return value


def _messages(value: object, name: str, where: str) -> list[Message]:
    def is_message(item: object) -> bool:
        return isinstance(item, dict) and isinstance(item.get("role"), str) and is_content(item.get("content"))

    if not isinstance(value, list) or not value or not all(is_message(item) for item in value):
        raise ConfigError(f"{where}: {name} is not a list of messages, each with a role and a content")
    return value


def _number(value: object, name: str, where: str, low: float = -float("inf"), high: float = float("inf")) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        span = "" if low == -float("inf") else f" in [{low:g}, {high:g}]"
        raise ConfigError(f"{where}: {name} is {value!r}; give a number{span}")
    return float(value)


def _conversation(text: Text, where: str) -> Sequence[Message]:
    try:
        return dialogue(text) if isinstance(text, str) else text
    except ValueError as error:
        raise ConfigError(f"{where}: no prompt, and {error}") from error


def _shared(first: Sequence[Message], second: Sequence[Message], where: str) -> int:
    """How many messages stand before the first answer in which two conversations may differ."""
    same = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    for start in range(min(same, len(first) - 1, len(second) - 1), -1, -1):
        if first[start]["role"] == second[start]["role"] == "assistant":
            return start
    raise ConfigError(f"{where}: no answer of the assistant in which chosen and rejected differ; give a prompt")
