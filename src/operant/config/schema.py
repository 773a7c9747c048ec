"""What a person may set. Frozen pydantic models; nothing here imports torch, so help and errors are instant.

Every field carries its help text. Unknown keys are refused. `resolve.py` says where each value came from.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EnvConfig(Section):
    """The environment."""

    id: str = Field(default="", description="Gymnasium id, or module:callable that returns an environment")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="keyword arguments for the environment")


class CopiesConfig(EnvConfig):
    """The environment and how many copies of it are stepped together."""

    num: PositiveInt = Field(default=8, description="copies stepped together")
    backend: Literal["auto", "native", "inprocess", "envpool", "process"] = Field(
        default="auto",
        description="who vectorises: Gymnasium's own vector form, a loop in this process, EnvPool, or worker processes",
    )
    workers: PositiveInt | None = Field(default=None, description="worker processes; as many as cores if unset")
    timeout: PositiveFloat = Field(
        default=60.0, description="seconds after which a worker process that does not answer is ended and restarted"
    )
    restarts: NonNegativeInt = Field(default=10, description="restarts of worker processes before the run fails")


class PolicyConfig(Section):
    """The networks, and the normalisation that is stored with them."""

    hidden: tuple[PositiveInt, ...] = Field(
        default=(64, 64), description="widths of the hidden layers, actor and critic each"
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="non-linearity between the layers")
    log_std_init: FiniteFloat = Field(default=0.0, description="initial log standard deviation of continuous actions")
    normalize_obs: bool = Field(
        default=False, description="divide observations by running statistics, kept in the policy file"
    )
    obs_clip: PositiveFloat = Field(default=10.0, description="bound on normalised observations")
    normalize_reward: bool = Field(
        default=False,
        description="divide rewards by the running deviation of the discounted return, kept in the policy file",
    )
    reward_clip: PositiveFloat = Field(default=10.0, description="bound on normalised rewards")


class PPOConfig(Section):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    horizon: PositiveInt = Field(default=256, description="steps collected from each environment before an update")
    batch: PositiveInt = Field(default=256, description="steps in a minibatch")
    epochs: PositiveInt = Field(default=10, description="passes over the collected steps")
    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation", ge=0.0, le=1.0)
    lr: PositiveFloat = Field(default=3e-4, description="Adam's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(default="linear", description="linear falls to 0 at total_steps")
    adam_eps: PositiveFloat = Field(default=1e-5, description="Adam's ε")
    clip: PositiveFloat = Field(default=0.2, description="how far the probability ratio may fall below 1, at the start")
    clip_high: PositiveFloat | None = Field(
        default=None, description="how far it may rise above 1; equal to clip when unset"
    )
    clip_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    value_coef: NonNegativeFloat = Field(default=1.0, description="weight of the value loss, ½(V - target)²")
    value_clip: PositiveFloat | None = Field(
        default=None, description="bound on the change of the value estimate; off if unset"
    )
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="weight of the entropy bonus")
    max_grad_norm: PositiveFloat = Field(default=0.5, description="bound on the global gradient norm")
    target_kl: PositiveFloat | None = Field(
        default=None, description="end an update after an epoch whose mean KL exceeds this; off if unset"
    )
    whiten: bool = Field(
        default=True, description="shift and scale advantages to mean 0, deviation 1 in each minibatch"
    )
    fidelity: Literal["operant", "baselines"] = Field(
        default="operant", description="baselines: treat a time limit as a termination, as openai/baselines did"
    )
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for small networks on a CPU"
    )


class EvalConfig(Section):
    """How the policy is measured."""

    episodes: PositiveInt = Field(default=100, description="episodes of the final evaluation")
    every: PositiveInt | None = Field(
        default=None, description="environment steps between evaluations in training; off if unset"
    )
    during: PositiveInt = Field(default=10, description="episodes of an evaluation in training")
    deterministic: bool = Field(default=True, description="take the mode of the policy instead of a sample")
    seed: int = Field(default=1_000_003, description="first seed of the evaluation episodes", ge=0)


class SaveConfig(Section):
    """What the run folder keeps."""

    every: PositiveInt | None = Field(
        default=None,
        description="environment steps between checkpoints; a tenth of total_steps, at least 50,000, if unset",
    )
    keep: PositiveInt = Field(default=3, description="checkpoints kept, beside the best")
    nth: PositiveInt | None = Field(default=None, description="also keep every n-th checkpoint for ever; off if unset")
    videos: bool = Field(default=True, description="record the last policy when training ends")
    report: bool = Field(default=True, description="write report.html when training ends")


class RunConfig(Section):
    """Everything that decides what a run does, whatever the algorithm; each algorithm has a class of its own.

    `target` is the setting that says what is trained on: the word after the algorithm on the command line.
    """

    target: ClassVar[tuple[str, ...]] = ("env", "id")

    algorithm: str = Field(default="", description="name of the algorithm")
    seed: int = Field(default=1, description="the one seed from which all randomness flows", ge=0)
    total_steps: PositiveInt = Field(default=100_000, description="environment steps of training")
    threads: PositiveInt = Field(default=1, description="threads torch may use; small networks are fastest with one")
    env: EnvConfig = Field(default_factory=EnvConfig)
    algo: Section = Field(default_factory=Section)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    save: SaveConfig = Field(default_factory=SaveConfig)


class PPORun(RunConfig):
    """A run of PPO."""

    algorithm: str = Field(default="ppo", description="name of the algorithm")
    device: str = Field(default="cpu", description="where the networks live: cpu, cuda, cuda:1, …")
    env: CopiesConfig = Field(default_factory=CopiesConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    algo: PPOConfig = Field(default_factory=PPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
