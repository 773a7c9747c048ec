"""Jack's car rental, with the whole tails of its Poisson distributions."""

from __future__ import annotations

import numpy as np

from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Rows, unsigned


def _overnight(request: float, back: float, most: int) -> tuple[Floats, Floats]:
    """P(cars in the evening | cars in the morning) [M, M] and the mean number rented [M], M = most + 1.

    The tail of the requests falls on "all cars rented", that of the returns on "the lot is full": nothing is cut.
    """
    from scipy.stats import poisson  # a second to import

    size = most + 1
    wanted, returned = poisson.pmf(np.arange(size), request), poisson.pmf(np.arange(size), back)
    move, rented = np.zeros((size, size)), np.zeros(size)
    for cars in range(size):
        out = np.append(wanted[:cars], poisson.sf(cars - 1, request))  # [cars + 1]  number rented
        rented[cars] = out @ np.arange(cars + 1)
        for gone, p in enumerate(out):
            left = cars - gone
            move[cars, left:most] += p * returned[: most - left]
            move[cars, most] += p * poisson.sf(most - left - 1, back)
    return move, rented


def car_rental(
    discount: float = 0.9,
    *,
    cars: int = 20,
    most_moved: int = 5,
    credit: float = 10.0,
    cost: float = 2.0,
    requests: tuple[float, float] = (3.0, 4.0),
    returns: tuple[float, float] = (3.0, 2.0),
) -> MDP:
    """Jack's car rental: 21 × 21 states named (cars at the first lot, at the second); moves -5 … +5.

    Action label k means k - `most_moved` cars are moved overnight from the first lot to the second, at 2 each; a lot
    keeps at most 20 cars. During the day each car rented earns 10; requests and returns are Poisson with means 3, 4 and
    3, 2; cars returned can be rented from the next day.

    Source: Sutton & Barto (2018), example 4.2 (figure 4.2).
    """
    (first, earn_first), (second, earn_second) = (
        _overnight(*means, cars) for means in zip(requests, returns, strict=True)
    )
    size = cars + 1
    one, two = np.divmod(np.arange(size * size), size)
    moved = np.arange(-most_moved, most_moved + 1)
    possible = (moved <= one[:, None]) & (-moved <= two[:, None])  # [S, A]
    state, label = np.nonzero(possible)
    shift = moved[label]
    after_one, after_two = np.minimum(one[state] - shift, cars), np.minimum(two[state] + shift, cars)
    joint = (first[after_one][:, :, None] * second[after_two][:, None, :]).reshape(len(state), size * size)
    filled = joint > 0.0
    rows = Rows(
        pointer=unsigned(np.append(0, np.cumsum(possible.sum(axis=1)))),
        action=label.astype(np.int32),
        indptr=unsigned(np.append(0, np.cumsum(filled.sum(axis=1)))),
        indices=unsigned(np.nonzero(filled)[1]),
        data=joint[filled],
        reward=credit * (earn_first[after_one] + earn_second[after_two]) - cost * np.abs(shift),
        terminal=np.zeros(size * size, dtype=bool),
        terminal_value=np.zeros(size * size),
    )
    names = list(zip(one.tolist(), two.tolist(), strict=True))
    return MDP.from_rows(rows, discount, states=names, actions=[f"{number:+d}" for number in moved])
