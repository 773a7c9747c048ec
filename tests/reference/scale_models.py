"""Seeded models for the tests of the scale ladder, as rows."""

from __future__ import annotations

import numpy as np

from operant.mdp.rows import Rows


def ragged(
    rng: np.random.Generator, states: int, *, most_actions: int = 4, most_outcomes: int = 3, leak: bool = False
) -> Rows:
    """A random model with 1 … `most_actions` actions per state, about a tenth of the states terminal with a value."""
    terminal = rng.random(states) < 0.1
    terminal[0] = False
    worth = np.where(terminal, rng.normal(size=states), 0.0)
    pointer, indptr, action, indices, data = [0], [0], [], [], []
    for s in range(states):
        count = 0 if terminal[s] else int(rng.integers(1, most_actions + 1))
        action += sorted(rng.choice(most_actions, size=count, replace=False).tolist())
        for _ in range(count):
            size = int(rng.integers(1, most_outcomes + 1))
            indices += sorted(rng.choice(states, size=size, replace=False).tolist())
            data += (rng.dirichlet(np.ones(size)) * (rng.uniform(0.5, 1.0) if leak else 1.0)).tolist()
            indptr.append(len(indices))
        pointer.append(len(action))
    return Rows(
        pointer=np.array(pointer, dtype=np.uint32),
        action=np.array(action, dtype=np.int32),
        indptr=np.array(indptr, dtype=np.uint32),
        indices=np.array(indices, dtype=np.uint32),
        data=np.array(data),
        reward=rng.normal(size=len(action)),
        terminal=terminal,
        terminal_value=worth,
    )
