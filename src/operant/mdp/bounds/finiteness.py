"""What the graph says about total reward: where the value is finite, where it is not, and the problem that is left.

The total reward of a policy is v_π(s) = lim E[r_0 + … + r_{n-1}] plus the terminal value: an infinite play earns what
it earns. Every policy ends in a terminal state or stays in an end component, so end components decide:

- reward 0 on all of its rows: staying is worth 0; its states have one value, and are merged into one, with a row that
  ends the episode at once (not under `must_terminate`, where only policies that terminate almost surely count);
- among what is left: reward ≥ 0 and somewhere > 0: staying earns without limit, and so does who can get there: +∞;
- reward ≤ 0: staying loses without limit. A state from which no policy avoids that is worth -∞, and others do avoid it;
- under `endless="wins"` of the model each of them is +∞, and none is merged;
- rewards of both signs: the sign of the best average reward decides, from certified bounds. Zero, or too close to zero
  to tell, is refused, and so is a state that may end both at +∞ and at -∞: its expectation does not exist.

Sources: de Alfaro (1997), chapters 3 and 4; Bertsekas & Tsitsiklis (1991); Baier, Bertrand, Dubslaff, Gburek & Sankur
(2018), Stochastic shortest paths and weight-bounded properties in Markov decision processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.gain import relative_sweeps
from operant.mdp.graph.graph import EndComponents, Graph, Quotient
from operant.mdp.kernels import graph as graph_kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Mask, ModelError

SWEEPS = 200_000  # after which the sign of an average reward counts as undecided


@dataclass(frozen=True, kw_only=True, eq=False)
class Finiteness:
    """States by the kind of their value, and the problem of those where it is finite."""

    graph: Graph
    zero: EndComponents  # merged: rewards are 0 inside
    unbounded: Mask  # [S]  v* = +∞
    hopeless: Mask  # [S]  v* = -∞
    component: NDArray[np.int64]  # states of one end component that earns without limit; empty if there is none
    core: Quotient  # the states with finite values, merged; its `block` is that of the model's states
    rows: NDArray[np.int64]  # [S]  the model's rows to take where the value is not finite, -1 elsewhere


def finiteness(mdp: MDP, *, must_terminate: bool = False) -> Finiteness:
    """Graph analysis for total reward, as the module describes. O(S + nnz) for most models.

    Raises:
        ModelError: where the value does not exist or its sign cannot be told.
    """
    graph, reward = Graph.of(mdp), _reward(mdp)
    live, excluded = graph.every_row(), np.zeros(mdp.num_states, dtype=bool)
    if must_terminate:
        sure, _, live = graph.sure(mdp.rows.terminal, live, ends=True)
        excluded = ~sure
    wins = mdp.endless == "wins"
    zero = graph.end_components(live & (reward == 0.0) & (not wins))
    block = _blocks(zero, excluded)
    stay = np.unique(block[zero.label >= 0]) if not must_terminate else np.zeros(0, dtype=np.int64)
    merged = graph.quotient(reward, block, live & ~zero.inside, stay, np.zeros(len(stay)))
    outer = Graph(merged.rows, merged.leaks)
    winning, win_rows, component = _winners(mdp, outer, block)
    safe, _, kept = outer.sure(merged.rows.terminal | winning, outer.every_row(), ends=True)
    _refuse_mixed(mdp, outer, merged, safe, winning, kept)
    to_winning, toward = outer.attractor(winning, kept, ends=False)
    finite = safe & ~to_winning
    core = _core(outer, merged, finite, kept)
    rows = np.full(mdp.num_states, -1)
    at = np.where(winning, win_rows, toward)
    lift(graph, zero, block, merged.source(at), to_winning, rows)
    unbounded, hopeless = _spread(to_winning, block), excluded | ~_spread(safe, block, fill=True)
    rows[hopeless] = mdp.rows.pointer[:-1][hopeless]
    return Finiteness(
        graph=graph,
        zero=zero,
        unbounded=unbounded,
        hopeless=hopeless,
        component=component,
        core=core,
        rows=rows,
    )


def lift(
    graph: Graph,
    zero: EndComponents,
    block: NDArray[np.int64],
    chosen: NDArray[np.int64],
    which: Mask,
    out: NDArray[np.int64],
) -> None:
    """A policy of blocks as a policy of states, into `out` [S], for the blocks in `which`.

    `chosen` is the model's row that a block takes, -1 to stay in it for ever. The other states of a merged end
    component go to the state of that row along rows inside, each a step closer with positive
    probability: almost surely there.
    """
    inside = block >= 0
    inside[inside] = which[block[inside]]
    inside &= ~graph.rows.terminal
    states = np.flatnonzero(inside)
    row = chosen[block[states]]
    mine = (row >= 0) & (graph.owner[np.maximum(row, 0)] == states) if graph.num_rows else row >= 0
    out[states[mine]] = row[mine]
    goal = np.zeros(graph.num_states, dtype=bool)
    goal[states[mine]] = True
    _, toward = graph.attractor(goal, zero.inside, ends=False)
    others = states[~mine]
    staying = row[~mine] < 0
    out[others[~staying]] = toward[others[~staying]]
    resting = np.full(graph.num_states, -1)
    kept = np.flatnonzero(zero.inside)[::-1]
    resting[graph.owner[kept]] = kept
    out[others[staying]] = resting[others[staying]]


def _reward(mdp: MDP) -> Floats:
    """r(s, a), and 0 where it is 0 but for the rounding of a mean over successors."""
    rows = mdp.rows
    if rows.outcome_reward is None or not mdp.num_rows:
        return rows.reward
    indptr = rows.indptr.astype(np.int64)
    size = np.add.reduceat(np.append(np.abs(rows.data * rows.outcome_reward), 0.0), indptr[:-1])
    return np.where(np.abs(rows.reward) <= (np.diff(indptr) + 4) * 2.0**-52 * size, 0.0, rows.reward)


def _blocks(zero: EndComponents, excluded: Mask) -> NDArray[np.int64]:
    """Blocks: one for each end component in `zero`, one for each other state, -1 for those left out."""
    states = len(excluded)
    name = np.where(zero.label >= 0, states + zero.label, np.arange(states))
    block = np.full(states, -1)
    block[~excluded] = np.unique(name[~excluded], return_inverse=True)[1]
    return block


def _spread(mask: Mask, block: NDArray[np.int64], *, fill: bool = False) -> Mask:
    """A mask of blocks as a mask of states."""
    out = np.full(len(block), fill)
    out[block >= 0] = mask[block[block >= 0]]
    return out


def _winners(mdp: MDP, outer: Graph, block: NDArray[np.int64]) -> tuple[Mask, NDArray[np.int64], NDArray[np.int64]]:
    """Blocks in end components that earn without limit; rows that do; the model's states of one such component."""
    rows, ends = outer.rows, outer.end_components(outer.every_row())
    winning, chosen = np.zeros(outer.num_states, dtype=bool), np.full(outer.num_states, -1)
    none = np.zeros(0, dtype=np.int64)
    if not ends.count:
        return winning, chosen, none
    inside = np.flatnonzero(ends.inside)
    of = ends.label[outer.owner[inside].astype(np.int64)]
    most, least = np.full(ends.count, -np.inf), np.full(ends.count, np.inf)
    np.maximum.at(most, of, rows.reward[inside])
    np.minimum.at(least, of, rows.reward[inside])
    wins = mdp.endless == "wins"
    earns = np.full(ends.count, wins) | ((most > 0) & (least >= 0))
    mixed = ~earns & (most > 0) & (least < 0)
    if earns.any():
        paying = inside[earns[of] & (wins | (rows.reward[inside] > 0))]
        goal = np.zeros(outer.num_states, dtype=bool)
        goal[outer.owner[paying]] = True
        chosen[outer.owner[paying]] = paying
        reached, toward = outer.attractor(goal, ends.inside, ends=False)
        chosen = np.where(reached & ~goal, toward, chosen)
    if mixed.any():
        _signs(mdp, outer, ends, mixed, earns, chosen, block)
    winning = (ends.label >= 0) & earns[ends.label]
    if not winning.any():
        return winning, chosen, none
    one = int(np.flatnonzero(earns)[0])
    return winning, chosen, np.flatnonzero(_spread(ends.label == one, block))


def _signs(
    mdp: MDP,
    outer: Graph,
    ends: EndComponents,
    mixed: Mask,
    earns: Mask,
    chosen: NDArray[np.int64],
    block: NDArray[np.int64],
) -> None:
    """Decides the end components with rewards of both signs: for any v and d = Tv - v, min d ≤ g* ≤ max d."""
    is_open, low, high = mixed.copy(), np.zeros(ends.count), np.zeros(ends.count)
    sweeps = relative_sweeps(outer.rows, ends, np.zeros(outer.num_states), is_open)
    for states, of, low, high, slack, choice in islice(sweeps, SWEEPS):
        up, down = is_open & (low > slack), is_open & (high < -slack)
        earns |= up
        gained = states[up[of]]
        chosen[gained] = choice[gained]
        stuck = is_open & (high - low <= 4.0 * slack) & ~up & ~down
        is_open &= ~(up | down)
        if stuck.any():
            break
    if not is_open.any():
        return
    bad = int(np.flatnonzero(is_open)[0])
    where = np.flatnonzero(_spread(ends.label == bad, block))
    raise ModelError(
        f"the end component of state {mdp.name(int(where[0]))} ({len(where)} states) has rewards of both signs whose "
        f"best average lies in [{low[bad]:.3g}, {high[bad]:.3g}]: zero, or too close to zero to tell, so that the "
        "total reward of staying in it may not exist. Use γ < 1 or the average criterion, or change a reward so that "
        "the sign is plain."
    )


def _refuse_mixed(mdp: MDP, outer: Graph, merged: Quotient, safe: Mask, winning: Mask, kept: Mask) -> None:
    """No state may end both at +∞ and at -∞."""
    if not winning.any() or safe.all():
        return
    to_winning, _ = outer.attractor(winning, outer.every_row(), ends=False)
    rows, to_rich, to_poor = outer.rows, np.zeros(outer.num_rows, dtype=bool), np.zeros(outer.num_rows, dtype=bool)
    graph_kernels.leads(rows.indptr, rows.indices, rows.data, to_winning, to_rich)
    graph_kernels.leads(rows.indptr, rows.indices, rows.data, ~safe, to_poor)
    certain, _ = outer.attractor(winning, kept, ends=False)
    owner = outer.owner.astype(np.int64)
    bad = np.flatnonzero(to_rich & to_poor & ~certain[owner])
    if len(bad):
        row = int(merged.origin[bad[0]])
        state = int(np.searchsorted(mdp.rows.pointer, row, side="right")) - 1
        raise ModelError(
            f"state {mdp.name(state)}, action {mdp.rows.action[row]} may lead to an end component that earns without "
            "limit and to one that loses without limit: the expected total reward does not exist. Make one of them "
            "terminal, or use γ < 1 or the average criterion."
        )


def _core(outer: Graph, merged: Quotient, finite: Mask, kept: Mask) -> Quotient:
    """The blocks with finite values as a model of their own."""
    if finite.all() and kept.all():
        return merged
    name = np.where(finite, np.cumsum(finite) - 1, -1)
    part = outer.quotient(outer.rows.reward, name, kept & finite[outer.owner])
    origin = merged.origin[part.origin]
    block = np.where(merged.block >= 0, name[merged.block], -1)
    return Quotient(rows=part.rows, leaks=part.leaks, block=block, origin=origin)
