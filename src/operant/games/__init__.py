"""Games of two players on a board: rules, exact answers, players, and what learns by playing against itself."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.games.board import GAMES as GAMES
    from operant.games.board import Board as Board
    from operant.games.board import game as game
    from operant.games.elo import Pool as Pool
    from operant.games.elo import Ratings as Ratings
    from operant.games.elo import ratings as ratings
    from operant.games.five import Five as Five
    from operant.games.five import FiveConfig as FiveConfig
    from operant.games.lanes import Lanes as Lanes
    from operant.games.match import alpha_beta_player as alpha_beta_player
    from operant.games.match import random_player as random_player
    from operant.games.match import raw_player as raw_player
    from operant.games.match import versus as versus
    from operant.games.network import BoardPolicy as BoardPolicy
    from operant.games.network import BoardSpec as BoardSpec
    from operant.games.network import model_of as model_of
    from operant.games.solver import Solver as Solver
    from operant.games.solver import alpha_beta as alpha_beta
    from operant.games.solver import best_of as best_of
    from operant.games.surgery import grown as grown
    from operant.games.team import TeamPlay as TeamPlay
    from operant.games.team import spirited as spirited
    from operant.games.team import zero_sum as zero_sum

__getattr__, __dir__ = face(
    {
        "operant.games.board": "GAMES Board game",
        "operant.games.elo": "Pool Ratings ratings",
        "operant.games.five": "Five FiveConfig",
        "operant.games.lanes": "Lanes",
        "operant.games.match": "alpha_beta_player random_player raw_player versus",
        "operant.games.network": "BoardPolicy BoardSpec model_of",
        "operant.games.solver": "Solver alpha_beta best_of",
        "operant.games.surgery": "grown",
        "operant.games.team": "TeamPlay spirited zero_sum",
    }
)
