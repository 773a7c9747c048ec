# pyright: basic
"""A model as a simulator: draw a start state, take a row, get the next state, the reward and whether the episode ended.

Randomness is explicit: every run owns the 256-bit state of a xoshiro256++ generator (Blackman and Vigna 2021), derived
from its seed alone, so what a run draws depends neither on how many run beside it nor on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.data.compiled import compiled as kernel
from operant.data.ranges import whole
from operant.mdp.model import MDP
from operant.mdp.policies import checked
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


def compiled(function: Any, **more: Any) -> Any:
    """The one way in which simulators and learners are compiled.

    No reassociation and no fused multiply–add, so that a compiled rule rounds as the same rule written in Python does.
    Everything is inlined and references are not counted, so nothing here allocates: with memories that are tuples of
    arrays, calls and counts cost twenty times what the rules do (2.9 against 58 million steps a second).
    """
    return kernel(function, **({"nogil": True, "error_model": "numpy", "forceinline": True, "_nrt": False} | more))


def part(function: Any) -> Any:
    """As `compiled`, for what only compiled functions call: without the way in from Python, which costs more time to
    compile than the function does."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


LONG_ROW = 16
"""Rows with more entries than this are searched by bisection."""


def generators(seeds: ArrayLike, stream: int = 0) -> NDArray[np.uint64]:
    """The generator state of each seed, [..., 4]: four outputs of SplitMix64 from a mix of seed and stream.

    Args:
        seeds: non-negative integers, any shape.
        stream: generators of one seed with different streams are independent.
    """
    with np.errstate(over="ignore"):
        key = _mix(_mix(np.asarray(seeds, dtype=np.uint64)) + np.uint64(stream) * np.uint64(0xD1B54A32D192ED03))
        return np.stack([_mix(key + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15)) for k in range(4)], axis=-1)


def _mix(x: Any) -> Any:
    """SplitMix64's step and output (Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@part
def uniform(g):
    """A double in [0, 1) of 53 random bits; g [4] is the generator's state and moves on."""
    s0, s1, s2, s3 = g[0], g[1], g[2], g[3]
    total = s0 + s3
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    g[0], g[1], g[2], g[3] = s0, s1, s2, s3
    return (word >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@part
def below(g, n):
    """A uniform integer in [0, n)."""
    return min(np.int64(uniform(g) * n), np.int64(n - 1))


@part
def normal(g):
    """A standard normal number (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(g)))
    return radius * np.cos(2.0 * np.pi * uniform(g))


@part
def pick(cumulative, first, last, u):
    """The first k in [first, last) with u < cumulative[k]; `last` if there is none."""
    if last - first <= LONG_ROW:
        k = first
        while k < last and u >= cumulative[k]:
            k += 1
        return k
    while first < last:
        middle = (first + last) // 2
        if u < cumulative[middle]:
            last = middle
        else:
            first = middle + 1
    return first


class Sampler(NamedTuple):
    """The arrays that a compiled loop draws transitions from; `sampler(mdp)` builds it.

    Index S stands for "nowhere": where missing mass of a leaking row goes.
    """

    pointer: Any  # [S+1]  int64
    indptr: Any  # [L+1]  int64
    indices: Any  # [nnz]
    cumulative: Any  # [nnz]  running sum of each row's probabilities; inf at its last entry unless rows may leak
    reward: Any  # [L]
    outcome_reward: Any  # [nnz], or [0] where rewards do not depend on the successor
    terminal: Any  # [S+1]  bool, True for nowhere
    worth: Any  # [S+1]  terminal values, 0 for nowhere
    starts: Any  # [K]    states in which an episode can begin
    start_cumulative: Any  # [K]


def sampler(mdp: MDP, *, start: ArrayLike | int | None = None) -> Sampler:
    """A model made ready for drawing; 8 bytes per entry more than the model.

    Args:
        mdp: the model.
        start: the first state, or its distribution [S], instead of the model's own.

    Raises:
        ModelError: if neither the model nor `start` says where an episode begins, or it may begin in a terminal state.
    """
    rows = mdp.rows
    begin = (mdp if start is None else mdp.replace(start=start)).start
    if begin is None:
        raise ModelError("the model has no start distribution: give start=, a state or probabilities [S].")
    starts = np.flatnonzero(begin)
    ended = starts[rows.terminal[starts]]
    if len(ended):
        raise ModelError(f"state {mdp.name(int(ended[0]))} is terminal and cannot start an episode: change start.")
    indptr = rows.indptr.astype(np.int64)
    return Sampler(
        pointer=rows.pointer.astype(np.int64),
        indptr=indptr,
        indices=rows.indices,
        cumulative=_running(rows.data, indptr, closed=not mdp.leak),
        reward=rows.reward,
        outcome_reward=np.empty(0) if rows.outcome_reward is None else rows.outcome_reward,
        terminal=np.append(rows.terminal, True),
        worth=np.append(rows.terminal_value, 0.0),
        starts=starts,
        start_cumulative=_running(begin[starts], np.array([0, len(starts)]), closed=True),
    )


def running_policy(mdp: MDP, policy: ArrayLike) -> Floats:
    """The running sum of a policy's row probabilities within each state, [L], for `choose_row`.

    Raises:
        ModelError: naming the first state whose probabilities are not a distribution.
    """
    return _running(checked(mdp, policy), mdp.rows.pointer.astype(np.int64), closed=True)


def _running(data: Floats, indptr: NDArray[np.int64], *, closed: bool) -> Floats:
    out = np.empty(len(data))
    _run_up(data, indptr, closed, out)
    return out


@compiled
def _run_up(data, indptr, closed, out):
    for row in range(len(indptr) - 1):
        total, last = 0.0, np.int64(-1)
        for k in range(indptr[row], indptr[row + 1]):
            total += data[k]
            out[k] = total
            if data[k] > 0.0:
                last = k
        if closed and last >= 0:  # rounding must not let a draw fall behind the last possible entry
            for k in range(last, indptr[row + 1]):
                out[k] = np.inf


@compiled
def first_state(model, g):
    """Draw the state in which an episode begins."""
    if len(model.starts) == 1:
        return np.int64(model.starts[0])
    return np.int64(model.starts[pick(model.start_cumulative, 0, len(model.starts), uniform(g))])


@compiled
def transition(model, row, g):
    """Draw (next state, reward, terminated) of a row; rows with one sure successor draw nothing."""
    first, last = model.indptr[row], model.indptr[row + 1]
    k = first
    if last - first != 1 or model.cumulative[first] != np.inf:
        k = pick(model.cumulative, first, last, uniform(g))
    by_outcome = len(model.outcome_reward) > 0
    if k == last:  # mass is missing here; rewards by successor give it none
        return np.int64(len(model.terminal) - 1), 0.0 if by_outcome else model.reward[row], True
    following = np.int64(model.indices[k])
    reward = model.outcome_reward[k] if by_outcome else model.reward[row]
    return following, reward, model.terminal[following]


@part
def choose_row(pointer, running, state, g):
    """Draw a row of a state under a policy given by its running sums."""
    first, last = pointer[state], pointer[state + 1]
    if last - first == 1:
        return first
    return pick(running, first, last, uniform(g))


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """T transitions in order; episodes follow each other, each ends where `terminated` or `truncated` is True."""

    state: NDArray[np.int64]  # [T]
    row: NDArray[np.int64]  # [T]
    reward: Floats  # [T]
    following: NDArray[np.int64]  # [T]  the state behind the transition; S where a leaking row ended the episode
    terminated: NDArray[np.bool_]  # [T]
    truncated: NDArray[np.bool_]  # [T]  the episode was cut after `max_steps`, or the recording ended here


@public()
def simulate(
    mdp: MDP,
    policy: ArrayLike,
    *,
    steps: int,
    seed: int,
    max_steps: int | None = None,
    start: ArrayLike | int | None = None,
) -> Recorded:
    """Follow a policy for `steps` transitions, episode after episode.

    Args:
        mdp: the model.
        policy: probabilities of the rows, [L].
        steps: T.
        seed: what is drawn depends on it and on nothing else.
        max_steps: episodes are cut after as many; None takes the model's horizon, and no limit without one.
        start: as in `sampler`.

    Raises:
        ModelError: if the policy is not one, nothing says where an episode begins, or a number is out of range.
    """
    limit = max_steps if max_steps is not None else mdp.horizon
    steps, seed = whole("steps", steps, error=ModelError), whole("seed", seed, 0, error=ModelError)
    if limit is not None:
        limit = whole("max_steps", limit, error=ModelError)
    record = Recorded(
        state=np.empty(steps, dtype=np.int64),
        row=np.empty(steps, dtype=np.int64),
        reward=np.empty(steps),
        following=np.empty(steps, dtype=np.int64),
        terminated=np.empty(steps, dtype=np.bool_),
        truncated=np.empty(steps, dtype=np.bool_),
    )
    _follow(
        sampler(mdp, start=start),
        running_policy(mdp, policy),
        np.iinfo(np.int64).max if limit is None else limit,
        generators(seed),
        (record.state, record.row, record.reward, record.following, record.terminated, record.truncated),
    )
    return record


@compiled
def _follow(model, running, limit, g, out):
    state_out, row_out, reward_out, following_out, terminated_out, truncated_out = out
    state, age = first_state(model, g), 0
    for t in range(len(state_out)):
        row = choose_row(model.pointer, running, state, g)
        following, reward, terminated = transition(model, row, g)
        age += 1
        truncated = not terminated and (age >= limit or t == len(state_out) - 1)
        state_out[t], row_out[t], reward_out[t], following_out[t] = state, row, reward, following
        terminated_out[t], truncated_out[t] = terminated, truncated
        if terminated or truncated:
            state, age = first_state(model, g), 0
        else:
            state = following
