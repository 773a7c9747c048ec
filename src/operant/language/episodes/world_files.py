"""Episodes on disk, turn by turn: rows of `rollouts/*.parquet` beside the columns that completions have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.episodes.runner import Played


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
