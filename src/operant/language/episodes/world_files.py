"""Episodes on disk, turn by turn: rows of `rollouts/*.parquet` beside the columns that completions have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operant.config.bounded import read_bytes
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.episodes.runner import Played
from operant.run.disk import writing

SHOWN = 6
"""Episodes that reports show: the first of each template in turn, not chosen ones."""
PICTURE = 16 * 2**20
"""Bytes of a picture that is read, at most."""


def first_of_each(templates: Sequence[str]) -> list[int]:
    """The places of the first episode of each template, then of the second of each, and so on; `SHOWN` of them."""
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int]] = []
    for i, name in enumerate(templates):
        seen[name] = seen.get(name, 0) + 1
        ranked.append((seen[name], i))
    return [i for _, i in sorted(ranked)[:SHOWN]]


def write_pictures(rollouts: Path, played: Sequence[Played]) -> None:
    """Keep the pictures of filmed episodes: `FILE/SCENARIO-TURN.png` beside the file of episodes.

    Raises:
        DiskError: if the disk refuses.
    """
    folder = rollouts.with_suffix("")
    for p in played:
        for turn, picture in enumerate(p.pictures):
            path = folder / f"{p.asked.scenario.id}-{turn}.png"
            with writing(path, len(picture)):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture)


def read_pictures(rollouts: Path, scenario: int, turns: int) -> list[bytes]:
    """What was seen in an episode of so many turns, as PNG: before each action and at the end; [] where it was not
    filmed, or a picture is missing."""
    try:
        paths = [rollouts.with_suffix("") / f"{scenario}-{turn}.png" for turn in range(turns + 1)]
        return [read_bytes(path, PICTURE) for path in paths]
    except (OSError, ValueError):
        return []


def episode_rows(
    played: Sequence[Played],
    *,
    mode: str,
    learnt: Sequence[Played] = (),
    advantages: Sequence[float] | None = None,
) -> list[RolloutRow]:
    """Episodes as they are kept, those without a score too.

    Args:
        played: all of them.
        mode: sampled, greedy.
        learnt: those that were learnt from.
        advantages: of each of these, its last decision's.
    """
    by_id = {id(p): a for p, a in zip(learnt, advantages or (), strict=bool(advantages))}
    rows: list[RolloutRow] = []
    for p in played:
        branches = p.graph.rows()
        rows.append(
            RolloutRow(
                prompt_id=p.asked.group,
                sample=p.asked.member,
                prompt=p.asked.scenario.instruction,
                completion=told(p),
                finish="length" if p.cut else "stop" if p.scored else p.cause,
                mode=mode,
                rewards={"success": float(p.success) if p.scored else float("nan")},
                reward=p.ret if p.scored else None,
                advantage=by_id.get(id(p)),
                tokens=tuple(t for row in branches for t in row.tokens),
                logp=tuple(x for row in branches for x in row.logp),
                more=about(p),
            )
        )
    return rows


def about(p: Played) -> Mapping[str, Any]:
    """What an episode has besides: how it began and ended, its turns as JSON, and which tokens the policy chose."""
    scenario = p.asked.scenario
    turns = [
        {"shown": t.shown, "action": t.action, "result": t.result, "reward": t.reward, "error": t.error,
         "tokens": t.tokens, "cut": t.cut}
        for t in p.turns
    ]  # fmt: skip
    return {
        "template": scenario.template,
        "scenario": scenario.id,
        "cause": p.cause,
        "faults": p.faults,
        "note": p.note,
        "turns": json.dumps(turns),
        "sampled": [s for row in p.graph.rows() for s in row.sampled],
        "row": [n for n, row in enumerate(p.graph.rows()) for _ in row.tokens],
    }


def told(p: Played) -> str:
    """An episode as a person reads it: what was shown, and each action with what came of it."""
    lines = [p.turns[0].shown] if p.turns else []
    for t in p.turns:
        beside = f"   [reward {t.reward:g}]" if t.reward else ""
        lines += [f"> {t.action}{beside}", t.result]
    return "\n".join([*lines, f"({p.cause}{': ' + p.note if p.note else ''})"])
