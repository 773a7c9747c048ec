"""Games of two players on a board: rules, exact answers, players, and what learns by playing against itself."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.games.board import GAMES as GAMES
    from operant.games.board import Board as Board
    from operant.games.board import game as game
    from operant.games.solver import Solver as Solver
    from operant.games.solver import alpha_beta as alpha_beta
    from operant.games.solver import best_of as best_of

__getattr__, __dir__ = face(
    {
        "operant.games.board": "GAMES Board game",
        "operant.games.solver": "Solver alpha_beta best_of",
    }
)
