"""What makes arrays a Markov decision process; every failure names its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from operant.mdp.model import MDP


def check_scalars(mdp: MDP) -> None:
    """Discount, horizon, criterion, start."""
    from operant.mdp.model import ModelError

    if not 0.0 <= mdp.discount <= 1.0:
        raise ModelError(f"discount is {mdp.discount}: γ lies in [0, 1].")


def check_rows(mdp: MDP) -> None:
    """Probabilities, indices, rewards."""
    from operant.mdp.model import ModelError

    total = np.asarray(mdp.matrix.sum(axis=1)).ravel()
    bad = np.flatnonzero((np.abs(total - 1.0) > 1e-8) if not mdp.leak else (total > 1.0 + 1e-8))
    if len(bad):
        row = int(bad[0])
        state = int(mdp.row_state[row])
        raise ModelError(
            f"the probabilities of state {mdp.name(state)}, action {mdp.rows.action[row]} sum to {total[row]:.9g}, not to 1."
        )
