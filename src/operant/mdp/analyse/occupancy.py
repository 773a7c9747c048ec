"""Where a policy spends its time: occupancy measures, stationary distributions, lengths of episodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import splu

from operant.mdp.analyse.chain import Chain
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


@public("discounted", "total")
def occupancy(mdp: MDP, policy: ArrayLike, *, start: ArrayLike | None = None) -> Floats:
    """μ(s, a) = Σ_t γ^t P(S_t = s, A_t = a) of every row, [L]: under γ = 1 expected visits.

    J(π) = Σ_s,a μ(s, a) r(s, a) (plus what terminal states are worth), and Σ μ = 1 / (1 - γ) if nothing ends.

    Args:
        mdp: the model.
        policy: π(a | s) of each row, [L].
        start: distribution of the first state [S]; the model's own if None.

    Raises:
        ModelError: if there is no start distribution, or the policy is not proper under γ = 1.

    Source: Puterman (1994), section 6.9.2.
    """
    chain = Chain(mdp, policy)
    return state_occupancy(chain, start_of(mdp, start))[mdp.row_state] * chain.policy


def state_occupancy(chain: Chain, start: Floats) -> Floats:
    """Σ_t γ^t P(S_t = s), [S], of states that run; 0 at the others."""
    return chain.solve(start, transposed=True)


@public("discounted", "total", "average")
def expected_steps(mdp: MDP, policy: ArrayLike) -> Floats:
    """The expected number of decisions until the episode ends, [S], 0 where terminal.

    Raises:
        ModelError: if from some state the policy never ends, naming it.

    Source: Kemeny and Snell (1976), Finite Markov chains, theorem 3.2.4.
    """
    chain = Chain(mdp, policy).transient
    stuck = np.flatnonzero(chain.recurrent)
    if len(stuck):
        raise ModelError(f"from state {mdp.name(int(stuck[0]))} the policy never ends.")
    return chain.solve(np.ones(mdp.num_states))


@public("discounted", "total")
def return_variance(mdp: MDP, policy: ArrayLike) -> Floats:
    """Var[G | S_0 = s], [S], of the return G = R + γ G', from E[G²] = E[R² + 2 γ R v(S') + γ² G'²].

    Uses r(s, a, s') where the model keeps it; otherwise the reward of a pair counts as certain.

    Raises:
        ModelError: if the policy is not proper under γ = 1.

    Source: Sobel (1982), The variance of discounted Markov decision processes.
    """
    chain = Chain(mdp, policy)
    values = chain.worth + chain.solve(chain.known())
    rows = mdp.rows
    per_entry = np.repeat(np.arange(mdp.num_rows), np.diff(rows.indptr.astype(np.int64)))
    earned = rows.reward[per_entry] if rows.outcome_reward is None else rows.outcome_reward
    now = rows.data * earned * (earned + 2.0 * mdp.discount * values[rows.indices])
    second = chain.weights @ np.bincount(per_entry, weights=now, minlength=mdp.num_rows)
    squared, worth = chain.under(chain.discount**2), chain.worth**2
    moment = worth + squared.solve(second + squared.discount * (chain.matrix @ worth))
    return np.maximum(moment - values**2, 0.0)


def recurrent_classes(chain: Chain) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Each recurrent class: (its states [M], their stationary distribution [M]).

    With the first column of I - P replaced by ones, μ B = e_1.
    """
    label, closed = chain.classes
    order = np.argsort(label, kind="stable")
    first = np.searchsorted(label[order], np.arange(len(closed) + 1))
    for group in np.flatnonzero(closed):
        members = order[first[group] : first[group + 1]]
        system: Any = sp.eye_array(len(members)) - chain.matrix[members][:, members]
        ones = sp.csc_array(np.ones((len(members), 1)))
        factors = splu(sp.csc_array(sp.hstack([ones, sp.csc_array(system)[:, 1:]])))
        unit = np.zeros(len(members))
        unit[0] = 1.0
        weight = np.maximum(factors.solve(unit, "T"), 0.0)
        yield members, weight / weight.sum()


@public("discounted", "total", "average")
def stationary(mdp: MDP, policy: ArrayLike, *, start: ArrayLike | None = None) -> Floats:
    """The limit of the time averages of P(S_t = s), [S]: the stationary distribution of a policy's chain.

    With several recurrent classes it depends on the start, which weighs the classes; terminal states absorb.

    Args:
        mdp: the model; its discount is not read.
        policy: π(a | s) of each row, [L].
        start: distribution of the first state [S]; the model's own if None, and not needed for one recurrent class.

    Raises:
        ModelError: if there are several classes and no start.

    Source: Puterman (1994), appendix A.
    """
    chain = Chain(mdp, policy).transient
    classes = list(recurrent_classes(chain))
    ends = np.flatnonzero(mdp.rows.terminal)
    distribution = np.zeros(mdp.num_states)
    if len(classes) == 1 and not len(ends) and not mdp.leak:
        members, weight = classes[0]
        distribution[members] = weight
        return distribution
    first = start_of(mdp, start)
    reached = first + chain.matrix.T @ chain.solve(first, transposed=True)  # arrivals, counted at their first class
    for members, weight in classes:
        distribution[members] = weight * reached[members].sum()
    distribution[ends] = reached[ends]
    return distribution


def start_of(mdp: MDP, start: ArrayLike | None) -> Floats:
    """[S]: the distribution of the first state that was passed, or the model's own.

    Raises:
        ModelError: if there is neither, or its shape does not fit.
    """
    if start is None and mdp.start is None:
        raise ModelError("the model has no start distribution: pass start=, probabilities [S].")
    distribution = np.asarray(mdp.start if start is None else start, dtype=np.float64)
    if distribution.shape != (mdp.num_states,):
        raise ModelError(
            f"start has shape {distribution.shape}, expected one probability for each of {mdp.num_states} states."
        )
    return distribution
