"""Settings of deep reinforcement learning for control; torch-free, so help and errors are instant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import CopiesConfig, RunConfig, Section


class PolicyConfig(Section):
    """The networks, and the normalisation that is stored with them."""

    network: str = Field(
        default="mlp",
        description="mlp, or file.py:make: your make(obs_dim) returns a torch module from observations to features",
    )
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


class ControlRun(RunConfig):
    """A run of deep reinforcement learning: copies of an environment, networks, and where they live."""

    device: str = Field(default="cpu", description="where the networks live: cpu, cuda, cuda:1, …")
    env: CopiesConfig = Field(default_factory=CopiesConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    policy: PolicyConfig = Field(default_factory=PolicyConfig)


class PPORun(ControlRun):
    """A run of PPO."""

    algorithm: str = Field(default="ppo", description="name of the algorithm")
    algo: PPOConfig = Field(default_factory=PPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


RUNS: dict[str, type[RunConfig]] = {"ppo": PPORun}
"""The settings of a run of each algorithm."""
