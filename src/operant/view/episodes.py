"""Episodes of many turns, turn by turn: what was done, what came of it, what it earned, and who wrote each token."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.bounded import loads
from operant.config.errors import OperantError
from operant.language.episodes.rollout_files import read_rollouts
from operant.language.episodes.world_files import first_of_each, read_pictures
from operant.run.parquet import Columns
from operant.view.completions import accuracy_curve
from operant.view.strips import strip

if TYPE_CHECKING:
    from operant.run.metrics import Metrics

LONGEST = 4000
"""Characters of a message on the page."""
CONTEXT = 4
"""Tokens before one, without which some tokenizers lose its blank."""
NAME = re.compile(r"(eval-)?step-(\d{8,})\.parquet")

Row = Mapping[str, Any]
Look = tuple[str, float, str]
"""Who wrote a token (given, drawn, up, down), how strong its advantage is from 0 to 1, and its text."""


def newest(run: Path) -> tuple[bool, int, Path] | None:
    """Whether it is an evaluation's, step and path of a run's newest file of episodes; None where there is none."""
    found: list[tuple[bool, int, Path]] = []
    for path in (run / "rollouts").glob("*.parquet"):
        name = NAME.fullmatch(path.name)
        if name is not None and _has_turns(path):
            found.append((bool(name[1]), int(name[2]), path))
    return max(found, default=None)


def read_episodes(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of episodes, `turns` of each as a list of objects.

    Raises:
        OperantError: if it cannot be read; names it.
    """
    rows = read_rollouts(path)
    try:
        return [row | {"turns": loads(row["turns"])} for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise OperantError(f"the episodes in {path} cannot be read ({error}); move it away to go on") from error


def episodes(run: Path, metrics: Metrics) -> dict[str, Any] | None:
    """The section of a run; None for one that has kept no episodes.

    Raises:
        OperantError: if the file cannot be read; names it.
    """
    file = newest(run)
    every = read_episodes(file[2]) if file is not None else []
    if file is None or not every:
        return None
    greedy = [row for row in every if row["mode"] == "greedy"]
    every = greedy or every
    shown = [every[i] for i in first_of_each([row["template"] for row in every])]
    spell = _speller(run)
    strongest = max((abs(a) for row in shown for a in _advantages(row)), default=0.0)
    return {
        "step": file[1],
        "kind": ("greedy episodes of the evaluation" if greedy else "episodes of the evaluation") if file[0] else
        "episodes of training",
        "count": len(every),
        "templates": _templates(every),
        "advantages": strongest > 0.0,
        "tokens": spell is not None,
        "episodes": [_episode(row, strongest, spell) | {"strip": _strip(file[2], row)} for row in shown],
        "curve": accuracy_curve(metrics),
    }  # fmt: skip


def solved(row: Row) -> bool:
    """Whether an episode succeeded."""
    return row.get("reward/success") == 1.0


def _has_turns(path: Path) -> bool:
    import pyarrow as pa

    try:
        return "turns" in Columns(path, ["turns"]).names
    except (pa.ArrowException, OSError, ValueError):
        return False


def _templates(every: Sequence[Row]) -> list[dict[str, Any]]:
    """How often episodes of each template were solved, over the whole file; those without a score are told apart."""
    rows: list[dict[str, Any]] = []
    for name, group in groupby(sorted(every, key=lambda row: row["template"]), lambda row: row["template"]):
        some = list(group)
        scored = [row for row in some if row["reward"] is not None]
        actions = [turn for row in some for turn in row["turns"]]
        rows.append(
            {
                "name": name,
                "count": len(some),
                "unscored": len(some) - len(scored),
                "solved": 100.0 * sum(map(solved, scored)) / len(scored) if scored else None,
                "mean": sum(row["reward"] for row in scored) / len(scored) if scored else None,
                "turns": len(actions) / len(some),
                "errors": 100.0 * sum(turn["error"] is not None for turn in actions) / max(len(actions), 1),
            }
        )
    return rows


def _episode(row: Row, strongest: float, spell: Speller | None) -> dict[str, Any]:
    runs = _by_turn(row, strongest, spell) if spell is not None else {}
    turns = [
        {
            "number": i + 1,
            "said": _cut(turn["action"]),
            "heard": _cut(turn["result"]),
            "drawn": runs.get((i, True), []),
            "given": runs.get((i, False), []),
            "error": turn["error"],
            "reward": turn["reward"],
            "cut": turn["cut"],
        }
        for i, turn in enumerate(row["turns"])
    ]
    reward = row["reward"]
    return {
        "template": row["template"],
        "scenario": row["scenario"],
        "sample": row["sample"],
        "total": reward,
        "ended": row["cause"],
        "note": row["note"],
        "grade": "unknown" if reward is None else "good" if solved(row) else "poor" if reward <= 0.0 else "fair",
        "asked": _cut(row["prompt"]),
        "begin": _cut(row["turns"][0]["shown"]) if row["turns"] else "",
        "turns": turns,
        "length": len(row["tokens"]),
        "sampled": sum(row["sampled"]),
    }


def _strip(file: Path, row: Row) -> list[str]:
    """Pictures of an episode that was filmed, one more than it has turns; those are of greedy ones."""
    pictures = read_pictures(file, int(row["scenario"]), len(row["turns"])) if row["mode"] == "greedy" else []
    return strip(pictures) if pictures else []


def _advantages(row: Row) -> Sequence[float]:
    """The advantage of each token: its own where it is kept, else that of its episode where the policy chose it."""
    own = row.get("advantages")
    if own is not None:
        return [0.0 if math.isnan(a) else a for a in own]
    whole = row["advantage"]
    return [] if whole is None else [whole if s else 0.0 for s in row["sampled"]]


def _by_turn(row: Row, strongest: float, spell: Speller) -> dict[tuple[int, bool], list[Look]]:
    """Tokens by (turn, whether the policy chose them): those that it did not choose follow the turn before them."""
    advantage = _advantages(row) or [0.0] * len(row["tokens"])
    left = [turn["tokens"] for turn in row["turns"]]
    found: dict[tuple[int, bool], list[Look]] = {}
    turn = 0
    for piece, sampled, a in zip(spell(row["tokens"]), row["sampled"], advantage, strict=True):
        while sampled and turn < len(left) - 1 and left[turn] == 0:
            turn += 1
        looks = found.setdefault((turn, sampled), [])
        kind = "given" if not sampled else "up" if a > 0.0 else "down" if a < 0.0 else "drawn"
        strength = round(abs(a) / strongest, 1) if strongest and sampled else 0.0
        if not sampled and looks:
            looks[-1] = (kind, 0.0, looks[-1][2] + piece)
        else:
            looks.append((kind, strength, piece))
        left[turn] -= bool(sampled and left)
    return found


class Speller:
    """The text of each token of a run's model.

    Args:
        tokenizer: of the package tokenizers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, tokens: Sequence[int]) -> list[str]:
        """The text that each adds to those before it; what ends within a character is told with the next."""
        pieces: list[str] = []
        begun = 0  # the first token that has not been told yet
        for i in range(len(tokens)):
            before = list(tokens[max(0, begun - CONTEXT) : begun])
            text = self._text([*before, *tokens[begun : i + 1]])[len(self._text(before)) :]
            whole = not text.endswith("\N{REPLACEMENT CHARACTER}") or i + 1 == len(tokens)
            pieces.append(text if whole else "")
            begun = i + 1 if whole else begun
        return pieces

    def _text(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False))


def _speller(run: Path) -> Speller | None:
    """That of a run's newest model; None where there is none, or nothing that reads it."""
    file = run / "checkpoints" / "latest" / "tokenizer.json"
    try:
        from tokenizers import Tokenizer

        return Speller(Tokenizer.from_file(str(file))) if file.is_file() else None
    except Exception:  # what reads a tokenizer raises what it likes; the page does without
        return None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
