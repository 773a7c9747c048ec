"""What can be done with a stored policy of a board: read, measured, filmed, played against (`operant.run.world`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from operant.config.schema import RunConfig
from operant.env import EnvLike
from operant.games.match import Match, opponent
from operant.games.network import BoardPolicy
from operant.games.settings import BoardRun
from operant.games.setup import board_of
from operant.games.table import Table, against_person

NO_FILM = ""
NO_EXPORT = "a policy of a board needs no export: {path}/checkpoints/latest holds its weights and its policy.json"
NEXT = "play {path} --against me"


def read(folder: Path, *, trust: bool = False) -> BoardPolicy:
    """The policy in a folder; it names no code. Raises ConfigError if it cannot be read."""
    return BoardPolicy.load(folder)


def measure(cfg: RunConfig, policy: BoardPolicy, env: EnvLike) -> Match:
    """Games against the opponent of the run's protocol."""
    assert isinstance(cfg, BoardRun)
    return Match(cfg, policy)


def copies(cfg: RunConfig, env: EnvLike, num: int, *, render_mode: str | None = None) -> Table:
    """One game at a time against the opponent of the run's protocol, to be filmed."""
    assert isinstance(cfg, BoardRun)
    board = board_of(cfg, env)
    return Table(board, opponent(cfg, board))


def against(policy: BoardPolicy, ask: Callable[[str], str], tell: Callable[[str], None], *, games: int) -> None:
    """Games with a person who types moves."""
    against_person(policy, ask, tell, games=games)


def advice(cfg: RunConfig, path: Path) -> list[str]:
    """What to do after training."""
    again = f"operant train {cfg.algorithm} {cfg.env.id} --seed {cfg.seed + 1}"
    return [f"Next: operant play {path} --against me, or {again}"]
