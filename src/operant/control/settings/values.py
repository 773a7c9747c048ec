"""Settings of the methods that learn action values by a network: DQN and what came of it, and PQN."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.config.errors import ConfigError
from operant.config.schema import Section
from operant.control.settings.policy import ControlRun, PolicyConfig
from operant.control.settings.replay import ReplayConfig, ReplayRun

UNUSED = ("policy.log_std_init", "policy.std", "policy.squash", "policy.shared")
"""Of the networks' settings what is of drawn actions, or of two networks."""


# ---------------------------------------------------------------------------------------------------- networks
class ValuesConfig(PolicyConfig):
    """The network of action values, and the normalisation that is stored with it."""

    activation: Literal["tanh", "relu"] = Field(default="relu", description="non-linearity between the layers")
    head: Literal["q", "c51", "qr"] = Field(
        default="q",
        description="what is learnt of each action: its value; a distribution of returns on fixed atoms (c51); or its "
        "quantiles (qr)",
    )
    atoms: PositiveInt = Field(default=51, description="atoms of c51, or quantiles of qr, for each action")
    value_min: FiniteFloat = Field(default=-10.0, description="c51: least return, the first atom")
    value_max: FiniteFloat = Field(default=10.0, description="c51: largest return, the last atom")
    dueling: bool = Field(default=False, description="a stream of its own for the state's value, one for advantages")
    noisy: NonNegativeFloat = Field(
        default=0.0,
        description="σ₀ of noisy layers, by which it explores: 0.5 is the paper's, and wants algo.epsilon 0; 0 for "
        "plain layers",
    )
    layer_norm: bool = Field(default=False, description="norm hidden layers before each non-linearity")


class C51ValuesConfig(ValuesConfig):
    """The network of C51."""

    head: Literal["q", "c51", "qr"] = Field(default="c51", description="what is learnt of each action")


class QRValuesConfig(ValuesConfig):
    """The network of QR-DQN."""

    head: Literal["q", "c51", "qr"] = Field(default="qr", description="what is learnt of each action")


class RainbowValuesConfig(C51ValuesConfig):
    """The network of Rainbow."""

    dueling: bool = Field(default=True, description="a stream of its own for the state's value, one for advantages")
    noisy: NonNegativeFloat = Field(default=0.5, description="σ₀ of noisy layers, by which it explores; 0 for plain")


class PQNValuesConfig(ValuesConfig):
    """The network of PQN."""

    head: Literal["q"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="q", description="what is learnt of each action: its value"
    )
    layer_norm: bool = Field(default=True, description="norm hidden layers before each non-linearity")


# ---------------------------------------------------------------------------------------------------- DQN
class ActingConfig(Section):
    """How a network of action values is acted on while it learns."""

    exploration: Literal["epsilon-greedy", "boltzmann"] = Field(
        default="epsilon-greedy", description="a share ε of random actions, or softmax(Q / τ)"
    )
    epsilon: float = Field(default=1.0, description="ε at the start", ge=0.0, le=1.0)
    epsilon_end: float = Field(default=0.05, description="ε at the end of its schedule", ge=0.0, le=1.0)
    temperature: PositiveFloat = Field(default=1.0, description="boltzmann: τ at the start, in units of return")
    temperature_end: PositiveFloat = Field(default=0.1, description="boltzmann: τ at the end of its schedule")
    exploration_share: float = Field(
        default=0.1, description="share of total_steps in which ε or τ falls, linearly, to its end", gt=0.0, le=1.0
    )


class DQNConfig(ReplayConfig, ActingConfig):
    """Deep Q-learning (Mnih et al. 2015), and its variants, each a switch."""

    lr: PositiveFloat = Field(default=5e-4, description="Adam's learning rate")
    batch: PositiveInt = Field(default=64, description="transitions of a gradient step")
    capacity: PositiveInt = Field(default=100_000, description="transitions that are kept; the oldest go first")
    train_freq: PositiveInt = Field(default=4, description="steps of each copy between two turns of learning")
    replay: bool = Field(
        default=True, description="learn from what was stored; else from the newest train_freq steps of each copy alone"
    )
    target: Literal["hard", "soft", "none"] = Field(
        default="hard",
        description="the network that judges what follows: a copy made every target_every steps, one that follows by "
        "tau at each gradient step, or the one that learns",
    )
    target_every: PositiveInt = Field(default=1_000, description="hard: environment steps between two copies")
    tau: float = Field(default=0.005, description="soft: share of the way that it follows", gt=0.0, le=1.0)
    double: bool = Field(
        default=False, description="the network that learns chooses the action behind, the target judges it"
    )
    munchausen: bool = Field(
        default=False, description="add the action's log-probability to its reward, and back up softly; of head q"
    )
    soft_temperature: PositiveFloat = Field(default=0.03, description="munchausen: τ, in units of return")
    loss: Literal["huber", "squared"] = Field(
        default="huber", description="of head q: squared up to an error of 1 and linear beyond, or squared"
    )
    adam_eps: PositiveFloat = Field(default=1e-8, description="Adam's ε")
    max_grad_norm: PositiveFloat | None = Field(
        default=10.0, description="bound on the global gradient norm; none if unset"
    )
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for small networks on a CPU"
    )
    length: PositiveInt = Field(default=32, description="steps of a piece that a network with memory learns from")
    burn_in: NonNegativeInt = Field(
        default=8, description="steps at the head of a piece that memory is only warmed up on"
    )


class DQNRun(ReplayRun):
    """A run of DQN."""

    unused: ClassVar[tuple[str, ...]] = UNUSED

    algorithm: str = Field(default="dqn", description="name of the algorithm")
    policy: ValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ValuesConfig
    )
    algo: DQNConfig = Field(default_factory=DQNConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class C51Run(DQNRun):
    """A run of C51 (Bellemare et al. 2017): DQN that learns distributions on fixed atoms."""

    algorithm: str = Field(default="c51", description="name of the algorithm")
    policy: C51ValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=C51ValuesConfig
    )


class QRDQNRun(DQNRun):
    """A run of QR-DQN (Dabney et al. 2018): DQN that learns quantiles."""

    algorithm: str = Field(default="qr-dqn", description="name of the algorithm")
    policy: QRValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=QRValuesConfig
    )


class RainbowConfig(DQNConfig):
    """Rainbow (Hessel et al. 2018): double, dueling, n-step, prioritised, distributional and noisy DQN."""

    double: bool = Field(
        default=True, description="the network that learns chooses the action behind, the target judges it"
    )
    n: PositiveInt = Field(default=3, description="rewards summed before the value of what follows them")
    priority: Literal["none", "proportional"] = Field(
        default="proportional",
        description="none: all transitions are equally likely; proportional: by their last error",
    )
    priority_alpha: float = Field(default=0.5, description="α, exponent of the error", ge=0.0, le=1.0)
    epsilon: float = Field(default=0.0, description="ε at the start", ge=0.0, le=1.0)
    epsilon_end: float = Field(default=0.0, description="ε at the end of its schedule", ge=0.0, le=1.0)


class RainbowRun(DQNRun):
    """A run of Rainbow."""

    algorithm: str = Field(default="rainbow", description="name of the algorithm")
    policy: RainbowValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=RainbowValuesConfig
    )
    algo: RainbowConfig = Field(default_factory=RainbowConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


def refuse(cfg: DQNRun) -> None:
    """Raises ConfigError where settings contradict one another; says which."""
    algo, its = cfg.algo, cfg.policy
    if algo.munchausen and (its.head != "q" or algo.double):
        raise ConfigError("algo.munchausen backs values up softly: leave algo.double off, and policy.head at q")
    if not algo.replay and algo.priority != "none":
        raise ConfigError("algo.priority says what is drawn from the replay, and algo.replay is off: leave it at none")
    if its.memory == "none":
        return
    if algo.priority != "none" or not algo.replay:
        raise ConfigError(
            "with policy.memory it learns from sequences of a replay, each alike: leave algo.replay on and "
            "algo.priority at none, or leave out policy.memory"
        )
    least = cfg.env.num * (algo.length + 1)
    if algo.learning_starts < least or algo.capacity < 2 * least:
        raise ConfigError(
            f"pieces of algo.length {algo.length} need algo.learning_starts of {least} and an algo.capacity of "
            f"{2 * least}: there are {algo.learning_starts} and {algo.capacity}"
        )
    if algo.burn_in >= algo.length:
        raise ConfigError(
            f"algo.burn_in is {algo.burn_in}, and a piece has algo.length {algo.length} steps: give fewer"
        )


# ---------------------------------------------------------------------------------------------------- PQN
class PQNConfig(ActingConfig):
    """Parallelised Q-network (Gallici et al. 2024): no replay and no target network."""

    horizon: PositiveInt = Field(default=32, description="steps collected from each environment before an update")
    batch: PositiveInt = Field(default=64, description="steps in a minibatch")
    epochs: PositiveInt = Field(default=4, description="passes over the collected steps")
    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    lam: float = Field(default=0.65, description="λ of the return that is learnt", ge=0.0, le=1.0)
    lr: PositiveFloat = Field(default=5e-4, description="Adam's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(default="linear", description="linear falls to 0 at total_steps")
    adam_eps: PositiveFloat = Field(default=1e-5, description="Adam's ε")
    max_grad_norm: PositiveFloat | None = Field(
        default=10.0, description="bound on the global gradient norm; none if unset"
    )
    exploration_share: float = Field(
        default=0.5, description="share of total_steps in which ε or τ falls, linearly, to its end", gt=0.0, le=1.0
    )


class PQNRun(ControlRun):
    """A run of PQN."""

    unused: ClassVar[tuple[str, ...]] = UNUSED

    algorithm: str = Field(default="pqn", description="name of the algorithm")
    policy: PQNValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=PQNValuesConfig
    )
    algo: PQNConfig = Field(default_factory=PQNConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
