"""What batch updating converges to: TD to the certainty-equivalence estimate, Monte Carlo to averages of returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as linalg

from operant.config.errors import ConfigError
from operant.data.ranges import indices
from operant.mdp.analyse.sampler import Recorded
from operant.mdp.model import MDP
from operant.mdp.validate import public
from operant.tabular.learning import Floats


@public()
def batch_td(mdp: MDP, record: Recorded, *, initial: float = 0.0) -> Floats:
    """The limit of TD(0) when its increments over a whole batch are summed and applied again and again, [S].

    It solves N(s) v(s) = Σ over the recorded transitions of s of r + γ v(s'): the value under the model of maximum
    likelihood. States that were not visited keep `initial`, terminal ones their fixed value.

    Source: Sutton and Barto (2018), section 6.3.
    """
    _check(mdp, record)
    states, terminal_value = mdp.num_states, np.append(mdp.rows.terminal_value, 0.0)
    visits = np.bincount(record.state, minlength=states)
    seen = np.flatnonzero(visits)
    place = np.full(states + 1, -1)
    place[seen] = np.arange(len(seen))
    fixed = np.where(np.append(mdp.rows.terminal, True), terminal_value, initial)[record.following]
    inside = place[record.following] >= 0
    known = np.bincount(
        record.state, weights=record.reward + mdp.discount * np.where(inside, 0.0, fixed), minlength=states
    )
    at = (place[record.state[inside]], place[record.following[inside]])
    moves = sp.csc_array((np.full(len(at[0]), mdp.discount), at), shape=(len(seen), len(seen)))
    matrix: Any = sp.csc_array(sp.diags_array(visits[seen].astype(np.float64))) - moves
    out = np.where(mdp.rows.terminal, mdp.rows.terminal_value, initial)
    out[seen] = linalg.spsolve(sp.csc_array(matrix), known[seen])
    return out


@public()
def batch_monte_carlo(mdp: MDP, record: Recorded, *, initial: float = 0.0) -> Floats:
    """The limit of constant-α every-visit Monte Carlo over a batch: the average return behind each state, [S].

    Episodes that were cut teach nothing. States that were not visited keep `initial`, terminal ones their fixed value.

    Source: Sutton and Barto (2018), section 6.3.
    """
    _check(mdp, record)
    terminal_value = np.append(mdp.rows.terminal_value, 0.0)
    returns, total, complete = np.zeros(len(record.state)), 0.0, np.zeros(len(record.state), dtype=np.bool_)
    ends = False
    for t in range(len(record.state) - 1, -1, -1):
        if record.terminated[t] or record.truncated[t]:
            total, ends = float(terminal_value[record.following[t]]), bool(record.terminated[t])
        total = float(record.reward[t]) + mdp.discount * total
        returns[t], complete[t] = total, ends
    visits = np.bincount(record.state[complete], minlength=mdp.num_states)
    sums = np.bincount(record.state[complete], weights=returns[complete], minlength=mdp.num_states)
    out = np.where(mdp.rows.terminal, mdp.rows.terminal_value, initial)
    return np.divide(sums, visits, out=out, where=visits > 0)


def _check(mdp: MDP, record: Recorded) -> None:
    """Is it a record of such a model, whose values have a sum?

    Raises:
        ConfigError: naming what is none of its states.
    """
    if mdp.kind not in ("discounted", "total"):
        raise ConfigError(f"a batch is of discounted or total returns, and the model is {mdp.kind}.")
    indices("states of the record", record.state, mdp.num_states)
    indices("states that follow in the record", record.following, mdp.num_states + 1)
