"""Policies as probabilities of a model's rows, [L], and the Markov chain that a policy makes of a model."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError, Rows, unsigned
from operant.mdp.validate import public

Ties = Literal["random", "first"]


def checked(mdp: MDP, policy: ArrayLike) -> Floats:
    """A policy [L] after a look at it: π(a | s) of each row, at least 0, summing to 1 in every state that has rows.

    Args:
        mdp: the model.
        policy: probabilities of each row, [L], or of each action, [S, A]; or an action for each state, [S]: integers as
            in `Solution.policy`, or names. States without rows are not read.

    Raises:
        ModelError: naming the state.
    """
    given = np.asarray(policy)
    named = given.dtype.kind in "US" or (given.dtype.kind == "O" and not all(isinstance(x, Real) for x in given.flat))
    if given.shape == (mdp.num_states,) and (named or given.dtype.kind in "iu"):
        return _of_actions(mdp, given)
    if given.ndim == 2 and given.shape == (mdp.num_states, mdp.num_actions):
        return _checked(mdp, _of_table(mdp, np.asarray(given, dtype=np.float64)))
    return _checked(mdp, given)


def _of_actions(mdp: MDP, given: NDArray[Any]) -> Floats:
    """An action for each state; numbers that are as well probabilities of rows, where there are S rows, are neither."""
    if given.dtype.kind not in "iu":
        return deterministic(mdp, _labels(mdp, given))
    if mdp.num_rows != mdp.num_states:
        return deterministic(mdp, given)
    meant: list[Floats] = []
    failed: ModelError | None = None
    for reading in (deterministic, _checked):
        try:
            meant.append(reading(mdp, given))
        except ModelError as error:
            failed = failed or error
    if failed and not meant:
        raise failed
    if len(meant) == 2 and not np.array_equal(meant[0], meant[1]):
        raise ModelError(
            f"the policy may be an action for each of {mdp.num_states} states or a probability for each of as many "
            "rows: give probabilities as floats, or actions by operant.mdp.policies.deterministic."
        )
    return meant[0]


def _labels(mdp: MDP, names: NDArray[Any]) -> NDArray[np.int64]:
    """The labels of actions given by name; -1 for what is none, which only a state without rows may have."""
    known = {name: label for label, name in enumerate(mdp.actions or ())}
    return np.array([known.get(name, -1) for name in names.tolist()])


def _of_table(mdp: MDP, table: Floats) -> Floats:
    """Probabilities [S, A] at the rows of a model; what is not admissible must have none."""
    other = table.copy()
    other[mdp.row_state, mdp.rows.action] = 0.0
    for state, action in np.argwhere((other != 0.0) & decides(mdp)[:, None])[:1]:
        raise ModelError(
            f"the policy gives {table[state, action]} to {mdp.action_name(int(action))}, which is not admissible in "
            f"state {mdp.name(int(state))}."
        )
    return table[mdp.row_state, mdp.rows.action]


def _checked(mdp: MDP, policy: ArrayLike) -> Floats:
    pi = np.ascontiguousarray(policy, dtype=np.float64)
    if pi.shape != (mdp.num_rows,):
        raise ModelError(
            f"the policy has shape {pi.shape}: expected an action for each of the {mdp.num_states} states as integers, "
            f"or probabilities of each of the {mdp.num_rows} rows, or [S, A] = [{mdp.num_states}, {mdp.num_actions}]."
        )
    bad = np.flatnonzero(~(pi >= 0.0))
    if len(bad):
        at = int(mdp.row_state[bad[0]])
        raise ModelError(f"the policy gives {pi[bad[0]]} to a row of state {mdp.name(at)}: not a probability.")
    total = over_actions(mdp, pi)
    bad = np.flatnonzero((np.abs(total - 1.0) > 1e-8) & decides(mdp))
    if len(bad):
        at = int(bad[0])
        raise ModelError(f"the policy's probabilities in state {mdp.name(at)} sum to {total[at]:.9g}, not to 1.")
    return pi


def decides(mdp: MDP) -> NDArray[np.bool_]:
    """[S]: which states have rows."""
    return np.diff(mdp.rows.pointer.astype(np.int64)) > 0


def table(mdp: MDP, x: Floats) -> Floats:
    """[..., S, A]: x [..., L] by state and action label, -inf where an action is not admissible."""
    out = np.full((*x.shape[:-1], mdp.num_states, mdp.num_actions), -np.inf)
    out[..., mdp.row_state, mdp.rows.action] = x
    return out


def over_actions(mdp: MDP, x: ArrayLike) -> Floats:
    """[S]: the sum of x [L] over the rows of each state, 0 where there are none."""
    weights = np.asarray(x, dtype=np.float64)
    return np.bincount(mdp.row_state, weights=weights, minlength=mdp.num_states).astype(np.float64)


def best_of(mdp: MDP, x: Floats) -> Floats:
    """[S]: the largest x [L] among the rows of each state, -inf where there are none."""
    best = np.full(mdp.num_states, -np.inf)
    filled = np.flatnonzero(decides(mdp))
    if len(filled):
        best[filled] = np.maximum.reduceat(x, mdp.rows.pointer.astype(np.int64)[filled])
    return best


@public()
def action_values(mdp: MDP, values: ArrayLike) -> Floats:
    """q(s, a) = r(s, a) + γ Σ p(s' | s, a) v(s') of every row, [L], from v [S]; γ = 1 for the average criterion.

    From the values v_t [H+1, S] of a finite horizon it is q_t(s, a), with v_{t+1} behind the sum, [H, L].

    Raises:
        ModelError: if the values have another shape.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim not in (1, 2) or v.shape[-1] != mdp.num_states or not len(v):
        raise ModelError(f"values have shape {list(v.shape)}: expected one for each of {mdp.num_states} states, [S].")
    discount = 1.0 if mdp.criterion == "average" else mdp.discount
    if v.ndim == 1:
        return mdp.rows.reward + discount * (mdp.matrix @ v)
    return np.stack([action_values(mdp, later) for later in v[1:]]) if len(v) > 1 else np.zeros((0, mdp.num_rows))


def deterministic(mdp: MDP, actions: ArrayLike) -> Floats:
    """[L]: probability one for the row of each state's action label; labels of states without rows are not read.

    Args:
        mdp: the model.
        actions: labels [S], such as `Solution.policy`.

    Raises:
        ModelError: if a label is not admissible, naming the state.
    """
    label = np.asarray(actions)
    if label.shape != (mdp.num_states,):
        raise ModelError(f"actions has shape {label.shape}, expected one label for each of {mdp.num_states} states.")
    pi = (mdp.rows.action == label[mdp.row_state]).astype(np.float64)
    bad = np.flatnonzero((over_actions(mdp, pi) != 1.0) & decides(mdp))
    if len(bad):
        raise ModelError(f"action {label[bad[0]]} is not admissible in state {mdp.name(int(bad[0]))}.")
    return pi


def uniform(mdp: MDP) -> Floats:
    """[L]: every admissible action of a state with the same probability."""
    return 1.0 / np.diff(mdp.rows.pointer.astype(np.int64))[mdp.row_state]


def epsilon_soft(mdp: MDP, policy: ArrayLike, epsilon: float) -> Floats:
    """[L]: (1 - ε) π(a | s) + ε / |A(s)|.

    Raises:
        ModelError: if ε lies outside of [0, 1] or `policy` is none.

    Source: Sutton and Barto (2018), section 5.4.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ModelError(f"epsilon is {epsilon}: a probability lies in [0, 1].")
    return (1.0 - epsilon) * checked(mdp, policy) + epsilon * uniform(mdp)


def epsilon_greedy(
    mdp: MDP, action_values: Floats, epsilon: float, *, ties: Ties = "random", tolerance: float = 1e-9
) -> Floats:
    """[L]: ε-soft of the greedy policy on q [L].

    Args:
        mdp: the model.
        action_values: q(s, a) of each row, [L].
        epsilon: in [0, 1].
        ties: greedy actions share the probability evenly ("random"), or the first takes it ("first").
        tolerance: rows within `tolerance · max(1, |max q|)` of the maximum tie.

    Raises:
        ModelError: if ε lies outside of [0, 1].
    """
    best = best_of(mdp, action_values)[mdp.row_state]
    greedy = (action_values >= best - tolerance * np.maximum(1.0, np.abs(best))).astype(np.float64)
    if ties == "first":
        before = np.cumsum(greedy) - greedy  # greedy rows so far, this one not counted
        first = mdp.rows.pointer.astype(np.int64)[mdp.row_state]
        greedy *= before == before[first]
    return epsilon_soft(mdp, greedy / over_actions(mdp, greedy)[mdp.row_state], epsilon)


def softmax(mdp: MDP, logits: ArrayLike) -> Floats:
    """[L]: π(a | s) ∝ exp θ(s, a) over the admissible actions.

    Args:
        mdp: the model.
        logits: θ as [S, A] (entries of other actions are not read) or as [L].

    Raises:
        ModelError: if the shape is neither.
    """
    theta = of_rows(mdp, logits)
    weight = np.exp(theta - best_of(mdp, theta)[mdp.row_state])
    return weight / over_actions(mdp, weight)[mdp.row_state]


def of_rows(mdp: MDP, table: ArrayLike) -> Floats:
    """[L]: a table [S, A] read at the rows of a model; [L] is returned as it is.

    Raises:
        ModelError: if the shape is neither.
    """
    values = np.asarray(table, dtype=np.float64)
    if values.shape == (mdp.num_rows,):
        return values
    if values.ndim == 2 and values.shape[0] == mdp.num_states and values.shape[1] >= mdp.num_actions:
        return values[mdp.row_state, mdp.rows.action]
    raise ModelError(
        f"a table of shape {values.shape} is neither [S, A] = [{mdp.num_states}, {mdp.num_actions}] "
        f"nor [L] = [{mdp.num_rows}]."
    )


def averaged(mdp: MDP, policy: Floats) -> sp.csr_array:
    """The matrix [S, L] that averages rows over a policy: row s holds π(a | s) at the rows of s."""
    pointer = mdp.rows.pointer.astype(np.int64)
    return sp.csr_array((policy, np.arange(mdp.num_rows), pointer), shape=(mdp.num_states, mdp.num_rows))


def induced(mdp: MDP, policy: ArrayLike) -> MDP:
    """The Markov reward process of a policy, as a model with one row per state: every solver evaluates it.

    p(s' | s) = Σ_a π(a | s) p(s' | s, a) and r(s) = Σ_a π(a | s) r(s, a); terminal states, start and names are kept.

    Raises:
        ModelError: if `policy` is none, naming the state.
    """
    weights = averaged(mdp, checked(mdp, policy))
    chain: Any = sp.csr_array(weights @ mdp.matrix)
    chain.eliminate_zeros()
    chain.sort_indices()
    has, old = decides(mdp), mdp.rows
    per_state = np.diff(chain.indptr)
    rows = Rows(
        pointer=unsigned(np.concatenate(([0], np.cumsum(has)))),
        action=np.zeros(int(has.sum()), dtype=np.int32),
        indptr=unsigned(np.concatenate(([0], np.cumsum(per_state[has])))),
        indices=unsigned(chain.indices),
        data=np.asarray(chain.data, dtype=np.float64),
        reward=np.asarray(weights @ old.reward)[has],
        terminal=old.terminal,
        terminal_value=old.terminal_value,
    )
    return mdp.replace(rows=rows, actions=None, grid=None)


def soften(mdp: MDP, epsilon: float) -> MDP:
    """The model in which ε-softness is the environment's doing: each action is taken with probability 1 - ε, and else a
    uniform one. Its optimal policy is the greedy part of the best ε-soft policy, whose value its optimal value is.

    Raises:
        ModelError: if ε lies outside of [0, 1].

    Source: Sutton and Barto (2018), section 5.4, the environment with the ε-soft policies moved inside of it.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ModelError(f"epsilon is {epsilon}: a probability lies in [0, 1].")
    spread = averaged(mdp, uniform(mdp))
    up = sp.csr_array((np.ones(mdp.num_rows), (np.arange(mdp.num_rows), mdp.row_state)), shape=spread.T.shape)
    mixed: Any = sp.csr_array((1.0 - epsilon) * mdp.matrix + epsilon * (up @ (spread @ mdp.matrix)))
    mixed.sort_indices()
    old = mdp.rows
    rows = Rows(
        pointer=old.pointer,
        action=old.action,
        indptr=unsigned(mixed.indptr),
        indices=unsigned(mixed.indices),
        data=np.asarray(mixed.data, dtype=np.float64),
        reward=(1.0 - epsilon) * old.reward + epsilon * (up @ (spread @ old.reward)),
        terminal=old.terminal,
        terminal_value=old.terminal_value,
    )
    return mdp.replace(rows=rows)
