"""How often `MathEquivalence`, and the maintained library alone, are wrong on pairs whose truth is known.

    python tests/language/reward/answers.py            # both, on the pairs beside this file; the table of the page
    python tests/language/reward/answers.py --library  # where ours and the library's own pairs differ (OPERANT_DATA)

The library is math-verify with its own defaults: `verify(parse(gold), parse(answer))`, each in a box. What may take it
for ever runs in a process that is ended after `LIMIT` seconds; no answer pays nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from operant.language.reward.answer import boxed
from operant.language.reward.equivalence import equivalent

PAIRS = Path(__file__).with_name("answers.jsonl")
LIMIT = 5.0
Pair = Mapping[str, Any]


def pairs() -> list[Pair]:
    """Our own: kind, gold, answer, and whether they are equal."""
    return [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]


def ours(pair: Pair) -> bool:
    """What `MathEquivalence` says."""
    return equivalent(pair["gold"], pair["answer"])


def library(pair: Pair) -> bool:
    """What math-verify says."""
    if pair["kind"] == "hostile":
        return _apart(pair)
    from math_verify import parse, verify

    logging.disable(logging.WARNING)
    gold, answer = (parse(f"\\boxed{{{pair[side]}}}", parsing_timeout=None) for side in ("gold", "answer"))
    return bool(verify(gold, answer, timeout_seconds=None))


def _apart(pair: Pair) -> bool:
    """The same in a process of its own, for `LIMIT` seconds."""
    command = [sys.executable, __file__, "--one", json.dumps({**pair, "kind": "apart"})]
    try:
        run = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False, text=True)
    except subprocess.TimeoutExpired:
        return False
    return run.stdout.strip() == "True"


def count(judge: Callable[[Pair], bool], rows: Iterable[Pair]) -> dict[str, tuple[int, int]]:
    """By kind: answers paid that are wrong, and answers not paid that are right."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for pair in rows:
        paid, kind = judge(pair), found[pair["kind"]]
        kind[0] += paid and not pair["equal"]
        kind[1] += pair["equal"] and not paid
    return {kind: (wrongly, refused) for kind, (wrongly, refused) in found.items()}


def table(rows: list[Pair], mine: Mapping[str, tuple[int, int]], theirs: Mapping[str, tuple[int, int]]) -> list[str]:
    """The table of the page."""
    lines = [
        "| kind | equal | not equal | ours: paid wrongly | refused wrongly "
        "| math-verify: paid wrongly | refused wrongly |"
    ]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    kinds = list(dict.fromkeys(pair["kind"] for pair in rows))
    sums = [0] * 6
    for kind in kinds:
        equal = sum(pair["equal"] for pair in rows if pair["kind"] == kind)
        numbers = [equal, sum(pair["kind"] == kind for pair in rows) - equal, *mine[kind], *theirs[kind]]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        lines.append(f"| {kind} | " + " | ".join(map(str, numbers)) + " |")
    return [*lines, "| **all** | " + " | ".join(f"**{n}**" for n in sums) + " |"]


def library_pairs() -> list[Pair]:
    """The library's own pairs that are one expression on either side: one formula, or a short text without any."""
    path = Path(os.environ["OPERANT_DATA"]) / "math_pairs" / "pairs.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["gold"].count("\\boxed") < 2]
    single = [(_single(row["gold"]), _single(row["pred"]), row["equal"]) for row in rows]
    return [{"gold": g, "answer": a, "equal": e} for g, a, e in single if g is not None and a is not None]


def in_place(pair: Pair) -> bool:
    """What `MathEquivalence` says of an answer that may be a box."""
    gold, answer = pair["gold"], pair["answer"]
    inside = boxed(answer) if "\\boxed" in answer else answer
    return inside is not None and equivalent(gold, inside)


def _single(text: str) -> str | None:
    """The expression that the whole of a text is, None where it is none."""
    text = text.strip().removesuffix(".")
    if text.count("\\boxed{") == 1:
        return boxed(text)
    if match := re.fullmatch(r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\(([^$]+)\\\)", text):
        return next(part for part in match.groups() if part)
    prose = re.search(r"(?<![\\{])\b(?!quad|and|or)[a-z]{2,},? [a-z]{2,}", text)
    return text if not prose and len(text) < 80 and not re.search(r"\$|\\\(|\\\[", text) else None


def main(arguments: list[str]) -> None:
    """Print what is asked for."""
    if arguments[:1] == ["--one"]:
        print(library(json.loads(arguments[1])))
    elif arguments == ["--library"]:
        rows = library_pairs()
        differ = [pair for pair in rows if in_place(pair) != pair["equal"]]
        for pair in differ:
            print("equal" if pair["equal"] else "not equal", pair["gold"], "|", pair["answer"])
        print(f"{len(differ)} of {len(rows)}; {sum(not pair['equal'] for pair in differ)} of them paid")
    else:
        rows = pairs()
        print(*table(rows, count(ours, rows), count(library, rows)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
