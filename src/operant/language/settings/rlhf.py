"""Settings of reinforcement learning from a learnt reward, and of its relatives that need no policy gradient."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.language.settings.grpo import KLSchedule


class RLHFConfig(Section):
    """PPO on a learnt reward (Stiennon et al. 2020, arXiv:2009.01325; Ouyang et al. 2022, arXiv:2203.02155)."""

    prompts: PositiveInt = Field(default=64, description="prompts a step")
    samples: PositiveInt = Field(default=1, description="completions of each prompt")
    batch: PositiveInt | None = Field(default=None, description="completions in a gradient step; all if unset")
    epochs: PositiveInt = Field(default=4, description="passes over the completions of a step")
    tokens: PositiveInt = Field(
        default=32_768, description="tokens of one forward and backward; those of a gradient step add up exactly"
    )
    lr: PositiveFloat = Field(default=3e-6, description="AdamW's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    weight_decay: NonNegativeFloat = Field(default=0.0, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")
    discount: float = Field(default=1.0, description="γ, per token", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation", ge=0.0, le=1.0)
    clip: PositiveFloat = Field(default=0.2, description="how far the ratio may fall below 1")
    clip_high: PositiveFloat | None = Field(
        default=None, description="how far it may rise above 1; equal to clip when unset"
    )
    value_coef: NonNegativeFloat = Field(default=0.1, description="weight of the value loss, which has a factor ½")
    value_clip: PositiveFloat | None = Field(
        default=0.2, description="how far a value may move from the old one and still gain by it; unset: no clip"
    )
    whiten: bool = Field(default=True, description="shift and scale the advantages of a step")
    scale_reward: bool = Field(
        default=False, description="divide the rewards of a step, penalty included, by their deviation over its tokens"
    )
    beta: NonNegativeFloat = Field(
        default=0.05, description="β, weight of the divergence from the reference, at the start; 0 holds no reference"
    )
    beta_schedule: KLSchedule = Field(
        default="constant",
        description="linear falls to 0 at total_steps; rising and cosine rise from 0 to beta there; adaptive steers "
        "towards kl_target",
    )
    kl_target: PositiveFloat = Field(default=6.0, description="nats per completion that an adaptive β steers towards")
    kl_horizon: PositiveInt = Field(default=10_000, description="completions over which an adaptive β changes")
    truncated: Literal["score", "bootstrap"] = Field(
        default="score",
        description="a completion cut at the limit: score it like any other, and nothing follows; or do not score it, "
        "and the critic's value follows",
    )
    eos_penalty: NonNegativeFloat = Field(
        default=0.0, description="subtracted from the reward of a completion that was cut at the limit"
    )
    ptx_coef: NonNegativeFloat = Field(
        default=0.0, description="γ of PPO-ptx: weight of the likelihood of texts, by token, beside the reward"
    )
    ptx_batch: PositiveInt = Field(default=64, description="texts in a gradient step, where ptx_coef is above 0")
    mismatch_alarm: PositiveFloat = Field(
        default=0.05, description="mean |log π of the sampler − log π of the trainer| above which a step warns"
    )


class ExpertIterationConfig(Section):
    """Sample, keep what is good, imitate it, repeat (Anthony et al. 2017; RAFT: Dong et al. 2023, arXiv:2304.06767)."""

    prompts: PositiveInt = Field(default=64, description="prompts a round")
    samples: PositiveInt = Field(default=8, description="completions of each prompt")
    keep: Literal["correct", "best"] = Field(
        default="correct",
        description="correct: every different completion that scores at least threshold (ReST); best: of each prompt "
        "the one that scores highest (RAFT), if it scores at least threshold",
    )
    threshold: float = Field(default=1.0, description="the lowest score that is kept")
    epochs: PositiveInt = Field(default=1, description="passes over what a round kept")
    batch: PositiveInt = Field(default=64, description="completions in a gradient step")
    tokens: PositiveInt = Field(
        default=32_768, description="tokens of one forward and backward; those of a gradient step add up exactly"
    )
    lr: PositiveFloat = Field(default=2e-5, description="AdamW's learning rate")
    weight_decay: NonNegativeFloat = Field(default=0.0, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")


class ConstitutionalConfig(Section):
    """Critiques, revisions and labels by a model under written principles (Bai et al. 2022, arXiv:2212.08073)."""

    outward: ClassVar[tuple[str, ...]] = ("principles", "judge", "judge_model", "judge_key")
    stage: Literal["revision", "feedback"] = Field(
        default="revision",
        description="revision: the model learns what became of its answers (SFT); feedback: a reward model learns "
        "which of two of its answers a judge prefers",
    )
    prompts: PositiveInt = Field(default=1000, description="prompts that are answered, the first ones of the task")
    revisions: NonNegativeInt = Field(default=4, description="times a response is criticised and revised")
    certain: float = Field(
        default=1.0,
        description="the highest probability a label may have, and 1 less it the lowest; 0.6 for labels after thought",
        ge=0.5,
        le=1.0,
    )
    principles: str = Field(
        default="",
        description="FILE.jsonl of principles, each with critique, revision and comparison; four short ones if empty",
    )
    judge: str = Field(
        default="", description="address of the server whose model compares answers; the model itself if empty"
    )
    judge_model: str | None = Field(default=None, description="the model there; the only one if unset")
    judge_key: str | None = Field(default=None, description="name of the environment variable with the server's key")
