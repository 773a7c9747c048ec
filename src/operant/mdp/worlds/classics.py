"""Small models of operations research, given as arrays."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from operant.mdp.model import MDP


def forest(states: int = 3, *, old: float = 4.0, cut: float = 2.0, fire: float = 0.1, discount: float = 0.96) -> MDP:
    """Forest management: wait (0) and the forest ages unless it burns, or cut (1) and it starts again.

    Reward `old` for waiting in the oldest state, `cut` for cutting there, 1 for cutting at a middle age, else 0.

    Source: the example `forest` of MDPtoolbox (Chadès et al. 2014).
    """
    P, R = np.zeros((states, 2, states)), np.zeros((states, 2))
    P[:, 0, 0], P[:, 1, 0] = fire, 1.0
    P[np.arange(states), 0, np.minimum(np.arange(states) + 1, states - 1)] += 1.0 - fire
    R[-1, 0], R[1:, 1], R[-1, 1] = old, 1.0, cut
    return MDP(P, R, discount, actions=["wait", "cut"])


def taxicab(discount: float = 1.0) -> MDP:
    """Howard's taxicab: three towns, reward per transition; cruise (0), drive to a stand (1), wait for the radio (2).

    Average reward unless a discount below 1 is given. There is no radio in town B.

    Source: Howard (1960), Dynamic Programming and Markov Processes, chapter 5.
    """
    P = np.array(
        [
            [[1 / 2, 1 / 4, 1 / 4], [1 / 16, 3 / 4, 3 / 16], [1 / 4, 1 / 8, 5 / 8]],
            [[1 / 2, 0, 1 / 2], [1 / 16, 7 / 8, 1 / 16], [1, 0, 0]],
            [[1 / 4, 1 / 4, 1 / 2], [1 / 8, 3 / 4, 1 / 8], [3 / 4, 1 / 16, 3 / 16]],
        ]
    )
    earned = np.array(
        [
            [[10, 4, 8], [8, 2, 4], [4, 6, 4]],
            [[14, 0, 18], [8, 16, 8], [0, 0, 0]],
            [[10, 2, 8], [6, 4, 2], [4, 0, 8]],
        ]
    )
    state, action = np.divmod(np.delete(np.arange(9), 5), 3)
    return MDP(
        csr_array(P[state, action]),
        csr_array(earned[state, action]),
        discount,
        pairs=(state, action),
        criterion="average" if discount == 1.0 else None,
        states=["A", "B", "C"],
        actions=["cruise", "stand", "radio"],
    )


def two_state(discount: float = 0.95) -> MDP:
    """Puterman's two states: in s1 earn 5 and leave with chance ½, or earn 10 and leave; in s2 pay 1 for ever.

    Source: Puterman (1994), section 3.1, example 6.1.
    """
    P = csr_array(np.array([[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]))
    return MDP(P, [5.0, 10.0, -1.0], discount, pairs=([0, 0, 1], [0, 1, 0]), states=["s1", "s2"])


def three_state(discount: float = 0.8) -> MDP:
    """The model on the first page of mdpsolver: three states, two actions.

    Source: README of github.com/areenberg/MDPSolver.
    """
    P = [
        [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]],
        [[0.4, 0.5, 0.1], [0.3, 0.5, 0.2]],
        [[0.2, 0.2, 0.6], [0.5, 0.5, 0.0]],
    ]
    return MDP(np.array(P), [[5.0, -1.0], [1.0, -2.0], [50.0, 0.0]], discount)
