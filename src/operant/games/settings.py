"""The settings of runs on boards; torch-free, so help and errors are instant."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.config.schema import EnvConfig, EvalConfig, RunConfig, Section


class BoardConfig(EnvConfig):
    """The game, and how many are played together."""

    id: str = Field(default="", description="tictactoe, connect4, gomoku7, go5, hex3, hex5 or hex7")
    num: PositiveInt = Field(default=64, description="games played together, one call of the network a simulation")


class NetworkConfig(Section):
    """The network: stones to a logit for each action, and a value."""

    network: Literal["mlp", "residual"] = Field(default="mlp", description="perceptron, or convolutions with skips")
    hidden: tuple[PositiveInt, ...] = Field(default=(128, 128), description="widths of the perceptron's layers")
    channels: PositiveInt = Field(default=32, description="channels of the convolutions")
    blocks: PositiveInt = Field(default=3, description="residual blocks of two convolutions each")


class AlphaZeroConfig(Section):
    """Games against oneself by search: AlphaZero (Silver et al. 2018)."""

    simulations: PositiveInt = Field(default=50, description="walks down the tree for each move of self-play")
    explore: PositiveFloat = Field(default=2.5, description="c of PUCT, for values within -1 and 1")
    noise: float = Field(default=0.25, description="share of Dirichlet noise in the root's prior", ge=0.0, le=1.0)
    alpha: PositiveFloat | None = Field(
        default=None, description="α of that noise; 10 over the number of actions if unset"
    )
    temperature: NonNegativeFloat = Field(default=1.0, description="moves are drawn by visits^(1/temperature)")
    warm: NonNegativeInt = Field(default=12, description="plies of a game that are drawn so; then the best")
    horizon: PositiveInt = Field(default=8, description="plies of each game between two bouts of learning")
    window: PositiveInt = Field(default=40_000, description="newest positions that are learnt from")
    batch: PositiveInt = Field(default=256, description="positions of a gradient step")
    reuse: PositiveFloat = Field(default=4.0, description="times that a new position is learnt from, on average")
    lr: PositiveFloat = Field(default=2e-3, description="learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="linear", description="linear falls to a tenth at total_steps"
    )
    weight_decay: NonNegativeFloat = Field(default=1e-4, description="of AdamW")
    value_coef: NonNegativeFloat = Field(default=1.0, description="weight of the squared error of the value")
    symmetries: bool = Field(default=True, description="learn from each position as one of its mirror images")


class MatchConfig(EvalConfig):
    """The opponent, how hard the policy thinks, and moves beside the exact ones."""

    opponent: Literal["random", "alpha-beta"] = Field(default="alpha-beta", description="whom it plays, with X and O")
    depth: PositiveInt = Field(default=3, description="plies that alpha-beta looks ahead")
    simulations: PositiveInt = Field(default=100, description="walks down the tree for each move that is measured")
    positions: NonNegativeInt = Field(
        default=60, description="Connect-4: positions at which its moves are held against the solver's; 0 for none"
    )


class BoardRun(RunConfig):
    """A run on a board; its steps are plies."""

    kind: ClassVar[str] = "board"
    unused: ClassVar[tuple[str, ...]] = ("eval.copies", "eval.max_steps", "stop_at")

    env: BoardConfig = Field(default_factory=BoardConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    eval: MatchConfig = Field(default_factory=MatchConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    policy: NetworkConfig = Field(default_factory=NetworkConfig)


class AlphaZeroRun(BoardRun):
    """A run of AlphaZero."""

    algorithm: str = Field(default="alphazero", description="name of the algorithm")
    algo: AlphaZeroConfig = Field(default_factory=AlphaZeroConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


RUNS: dict[str, type[RunConfig]] = {"alphazero": AlphaZeroRun}
"""The settings of a run of each algorithm."""
