"""The worlds of the books, each a function that returns an `MDP`."""

from operant.mdp.worlds.car_rental import car_rental
from operant.mdp.worlds.chains import maximisation_bias, random_walk
from operant.mdp.worlds.classics import forest, taxicab, three_state, two_state
from operant.mdp.worlds.games import blackjack, gambler
from operant.mdp.worlds.grids import (
    COMPASS,
    KING,
    KING_AND_STAY,
    blocking_maze,
    cliff_walking,
    dyna_maze,
    five_by_five,
    four_by_four,
    four_by_three,
    shortcut_maze,
    windy_grid,
)
from operant.mdp.worlds.table import table

__all__ = [
    "COMPASS",
    "KING",
    "KING_AND_STAY",
    "blackjack",
    "blocking_maze",
    "car_rental",
    "cliff_walking",
    "dyna_maze",
    "five_by_five",
    "forest",
    "four_by_four",
    "four_by_three",
    "gambler",
    "maximisation_bias",
    "random_walk",
    "shortcut_maze",
    "table",
    "taxicab",
    "three_state",
    "two_state",
    "windy_grid",
]
