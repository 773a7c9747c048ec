"""What every run on a board begins with: its game, checked, and a network for it."""

from __future__ import annotations

import torch

from operant.config.errors import ConfigError
from operant.env import EnvLike
from operant.games.board import GAMES, Board, game
from operant.games.network import BoardPolicy, BoardSpec
from operant.games.settings import BoardRun


def board_of(cfg: BoardRun, env: EnvLike | None = None) -> Board:
    """The game of a run.

    Raises:
        ConfigError: if it is none of ours, or takes no such options.
    """
    name = cfg.env.id if env is None else env
    if not isinstance(name, str) or ":" in name or "/" in name:
        raise ConfigError(f"{cfg.algorithm} plays the games that are here: {', '.join(GAMES)}; not {name}")
    if unknown := cfg.env.kwargs.keys() - {"komi"}:
        raise ConfigError(f"env.kwargs has {min(unknown)}: a game takes komi, and nothing else")
    komi = cfg.env.kwargs.get("komi")
    if komi is not None and (isinstance(komi, bool) or not isinstance(komi, int | float)):
        raise ConfigError(f"env.kwargs.komi is {komi!r}: expected a number")
    return game(name, komi=komi)


def policy_of(cfg: BoardRun, env: EnvLike, generator: torch.Generator) -> BoardPolicy:
    """A new network for the game of a run."""
    board, its = board_of(cfg, env), cfg.policy
    spec = BoardSpec(
        game=board.name, options=cfg.env.kwargs, network=its.network, hidden=its.hidden, channels=its.channels,
        blocks=its.blocks, simulations=cfg.eval.simulations,
    )  # fmt: skip
    return BoardPolicy(spec, generator)
