# pyright: basic
# Numba compiles these for one transition function; a type would not tell more than the comment at each argument.
"""The sweeps of a model without a matrix: a compiled transition function, compiled into them.

Arguments: v, out [S] values; choice [S] actions in a small signed type, -1 where there is none; successor [K] int64,
probability and reward [K] float64 are the transition's buffers. Each function does the states begin … end-1 alone and
holds no lock, so that threads share a sweep; a state is computed by one thread in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from operant.mdp.kernels.bellman import OPTIONS

FINE, COUNT, SUCCESSOR, PROBABILITY, SUM, REWARD = range(6)
"""What `check` may find."""


def compiled(transition: Any) -> tuple[Any, Any, Any]:
    """(improve, evaluate, check) of one transition function.

    They are compiled anew in each process: Numba cannot cache a function that holds another one.
    """
    return *_sweeps(transition), _check(transition)


def _sweeps(transition: Any) -> tuple[Any, Any]:
    serial = numba.njit(**OPTIONS)

    @serial
    def action_value(s, a, discount, v, successor, probability, reward):
        """The number of outcomes, and q(s, a) = Σ p r + γ Σ p v(s')."""
        outcomes = transition(s, a, successor, probability, reward)
        mean, total = 0.0, 0.0
        for k in range(outcomes):
            mean += probability[k] * reward[k]
            if successor[k] >= 0:
                total += probability[k] * v[np.uint64(successor[k])]
        return outcomes, mean + discount * total

    @serial
    def improve(begin, end, actions, discount, v, out, choice, successor, probability, reward):
        """out(s) = max over a of q(s, a), choice(s) the first maximal action; the least and the greatest change."""
        low, high = np.inf, -np.inf
        for s in range(begin, end):
            best, at = v[s], -1
            for a in range(actions):
                outcomes, q = action_value(s, a, discount, v, successor, probability, reward)
                if outcomes > 0 and (at < 0 or q > best):
                    best, at = q, a
            out[s], choice[s] = best, at
            low, high = min(low, best - v[s]), max(high, best - v[s])
        return low, high

    @serial
    def evaluate(begin, end, discount, v, out, choice, successor, probability, reward):
        """out(s) = q(s, choice(s)); the least and the greatest change."""
        low, high = np.inf, -np.inf
        for s in range(begin, end):
            value = v[s]
            if choice[s] >= 0:
                _, value = action_value(s, np.int64(choice[s]), discount, v, successor, probability, reward)
            out[s] = value
            low, high = min(low, value - v[s]), max(high, value - v[s])
        return low, high

    return improve, evaluate


def _check(transition: Any) -> Any:
    @numba.njit(**OPTIONS)
    def check(begin, end, states, actions, successor, probability, reward):
        """Is every pair's outcome a distribution?

        What is found first (`FINE` if all are), its state, action and number; then the least and the greatest mass that
        stays in the model, max |r| and the longest row.
        """
        least, most, greatest, longest = np.inf, -np.inf, 0.0, 0
        for s in range(begin, end):
            for a in range(actions):
                outcomes = transition(s, a, successor, probability, reward)
                what, value = (FINE, 0.0) if 0 <= outcomes <= len(successor) else (COUNT, float(outcomes))
                stays, mass = 0.0, 0.0
                for k in range(outcomes if what == FINE else 0):
                    if successor[k] < -1 or successor[k] >= states:
                        what, value = SUCCESSOR, float(successor[k])
                    elif not probability[k] >= 0.0:
                        what, value = PROBABILITY, probability[k]
                    elif not np.isfinite(reward[k]):
                        what, value = REWARD, reward[k]
                    mass += probability[k]
                    if successor[k] >= 0:
                        stays += probability[k]
                    greatest = max(greatest, abs(reward[k]))
                if what == FINE and outcomes > 0 and not abs(mass - 1.0) <= 1e-8:
                    what, value = SUM, mass
                if what != FINE:
                    return what, s, a, value, least, most, greatest, longest
                if outcomes > 0:
                    least, most, longest = min(least, stays), max(most, stays), max(longest, outcomes)
        return FINE, begin, actions, 0.0, least, most, greatest, longest

    return check
