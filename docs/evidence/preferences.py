"""Measure learning from preferences over clips: every case, every seed; each row is kept as soon as it is there.

    python docs/evidence/preferences.py [--case NAME ...] [--runs DIR] [--again]

Writes docs/evidence/preferences.jsonl, a line for each case and seed with its protocol, and the table beside it,
preferences.md. What is in the file is not measured again, so the script may be stopped at any time; `--again` begins
anew. A case whose rows are not all there stands as "not yet run".
"""

from __future__ import annotations

from typing import Any

from measured import Case, main

FEW: dict[str, Any] = {"preferences.budget": 80, "preferences.initial": 20, "preferences.ask": 10}
RANDOM = {"preferences.choose": "random"}
SAME = ("preference-ppo", "Pendulum-v1", 100_000, None)

CASES = {
    case.name: case
    for case in (
        Case("preferences-CartPole", "preference-ppo", "CartPole-v1", 100_000, 475),  # 300 judgements
        Case("preferences-Pendulum", "preference-ppo", "Pendulum-v1", 100_000, -250),  # 280 judgements
        Case("preferences-Pendulum-blind", *SAME, settings={"preferences.noise": 1.0}),  # a coin makes them
        # as many judgements of pairs that are chosen by disagreement, and of any; no claim was fixed which is better
        Case("preferences-Pendulum-80-disagreement", *SAME, settings=FEW),
        Case("preferences-Pendulum-80-random", *SAME, settings=FEW | RANDOM),
    )
}
"""By name."""


if __name__ == "__main__":
    main("preferences", "Learning from preferences over clips: evidence", CASES)
