"""Settings of GRPO and its relatives, and the presets named by paper or library."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from operant.config.schema import Section

KLSchedule = Literal["constant", "linear", "rising", "cosine", "adaptive"]


class GRPOConfig(Section):
    """Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) and its relatives."""

    prompts: PositiveInt = Field(default=8, description="prompts a step")
    samples: PositiveInt = Field(default=8, description="G, completions of each prompt: a group")
    batch: PositiveInt | None = Field(
        default=None, description="completions in a gradient step, drawn regardless of their group; all if unset"
    )
    epochs: PositiveInt = Field(default=1, description="passes over the completions of a step")
    tokens: PositiveInt | None = Field(
        default=None,
        description="tokens of one forward and backward; those of a gradient step add up exactly. If unset, 1,536 on a "
        "CPU, whose cache they fit, and 16,384 elsewhere",
    )
    lr: PositiveFloat = Field(default=1e-6, description="AdamW's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    weight_decay: NonNegativeFloat = Field(default=0.0, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")
    objective: Literal["clip", "gspo", "cispo", "reinforce"] = Field(
        default="clip",
        description="clip: the clipped surrogate by token; gspo: by sequence; cispo: clipped weights; reinforce: none",
    )
    clip: PositiveFloat = Field(default=0.2, description="how far the ratio may fall below 1")
    clip_high: PositiveFloat | None = Field(
        default=None, description="how far it may rise above 1; equal to clip when unset"
    )
    max_ratio: PositiveFloat = Field(default=5.0, description="the largest weight of cispo")
    baseline: Literal["group", "leave_one_out", "none"] = Field(
        default="group", description="what is subtracted: the group's mean, the mean of the others in it, or nothing"
    )
    scale: Literal["group", "batch", "tokens", "none"] = Field(
        default="group",
        description="what advantages are divided by: the deviation of returns in the group, or in the step; "
        "tokens: shifted and scaled over all tokens of the step",
    )
    scale_eps: NonNegativeFloat = Field(default=1e-4, description="added to the deviation")
    aggregation: Literal["sum_then_normalise", "normalise_then_sum"] = Field(
        default="sum_then_normalise",
        description="of a task with several rewards. sum_then_normalise: baseline and scale are of their weighted sum; "
        "normalise_then_sum: of each in its group, then of their weighted sum over the step (GDPO)",
    )
    supervision: Literal["outcome", "process", "both"] = Field(
        default="outcome",
        description="what is judged. outcome: the completion, by the task's rewards; process: its steps, by the task's "
        "step reward or process.model; both: their advantages are added",
    )
    credit: Literal["whole", "onward"] | None = Field(
        default=None,
        description="whole: a token carries the whole return of its completion; onward: the rewards from it on. If "
        "unset, whole where supervision = outcome, else onward",
    )
    reduce: Literal["token", "sequence", "fixed"] = Field(
        default="token",
        description="what counts the same: every token, every completion, or every completion by a fixed length",
    )
    fixed_length: PositiveInt | None = Field(
        default=None, description="the length that reduce = fixed divides by; the limit on completions if unset"
    )
    beta: NonNegativeFloat = Field(
        default=0.0, description="β, weight of the divergence from the reference, at the start; 0 holds no reference"
    )
    beta_schedule: KLSchedule = Field(
        default="constant",
        description="linear falls to 0 at total_steps; rising and cosine rise from 0 to beta there; adaptive steers "
        "towards kl_target",
    )
    kl_target: PositiveFloat = Field(default=6.0, description="nats per completion that an adaptive β steers towards")
    kl_horizon: PositiveInt = Field(default=10_000, description="completions over which an adaptive β changes")
    kl: Literal["k1", "k2", "k3"] = Field(default="k3", description="the estimator of the divergence")
    kl_in: Literal["loss", "reward"] = Field(default="loss", description="where the divergence is subtracted")
    kl_corrected: bool = Field(
        default=True, description="in the loss, multiply it by the ratio, so that its gradient is the divergence's"
    )
    reference_every: PositiveInt | None = Field(
        default=None, description="steps after which the reference becomes the policy (iterative GRPO); never if unset"
    )
    truncated: Literal["score", "mask"] = Field(
        default="score",
        description="a completion cut at the limit: score it like any other, or give it advantage 0 and no say in "
        "the baseline",
    )
    overlong: float = Field(
        default=0.0,
        description="share of the limit over which the reward falls by up to 1 (soft overlong punishment)",
        ge=0.0,
        lt=1.0,
    )
    resample: NonNegativeInt = Field(
        default=0, description="rounds in which prompts whose completions all score the same are replaced by others"
    )
    variance_share: float = Field(
        default=0.0,
        description="share of the prompts that is drawn in proportion to how much their last answers differed (MMR1)",
        ge=0.0,
        lt=1.0,
    )
    order_bonus: NonNegativeFloat = Field(
        default=0.0,
        description="added to what is right, of prompts with several pictures that are answered as well in their order "
        "as in another (T-GRPO); samples half as many completions again",
    )
    correction: Literal["none", "step_truncate", "step_mask", "sequence_truncate", "sequence_mask"] = Field(
        default="none",
        description="weigh advantages by π of the trainer over that of the sampler, by token or by completion, moved "
        "into [correction_min, correction_max] or 0 outside; costs a pass",
    )
    correction_min: NonNegativeFloat = Field(default=0.0, description="the smallest weight of correction")
    correction_max: PositiveFloat = Field(default=3.0, description="the largest weight of correction")
    off_policy: NonNegativeFloat | None = Field(
        default=None,
        description="leave out a completion with a negative advantage once its mean log π has fallen by more, in nats "
        "a token, since it was sampled",
    )
    mismatch_alarm: PositiveFloat = Field(
        default=0.05, description="mean |log π of the sampler − log π of the trainer| above which a step warns"
    )

    @model_validator(mode="after")
    def _normalises_once(self) -> Self:
        """Refuse what has no meaning where every reward is normalised in its group before they are summed."""
        if self.aggregation == "normalise_then_sum":
            for clash, why in (
                (self.supervision != "outcome", "steps are judged by one reward: set supervision = outcome"),
                (self.onward, "a token carries the whole advantage: leave credit unset"),
                (self.baseline != "group" or self.scale != "group", "baseline and scale are group: leave them unset"),
                (self.beta > 0.0 and self.kl_in == "reward", "the divergence is no reward: set kl_in = loss"),
                (self.overlong > 0.0, "overlong changes their sum: give the task the reward Overlong instead"),
                (self.resample > 0, "resample looks at their sum, which may be equal where they differ: leave it at 0"),
            ):
                if clash:
                    raise ValueError(f"with aggregation = normalise_then_sum {why}")
        return self

    @property
    def onward(self) -> bool:
        """Whether a token carries the rewards from it on."""
        return self.supervision != "outcome" if self.credit is None else self.credit == "onward"


PRESETS: Mapping[str, GRPOConfig] = MappingProxyType(
    {
        "deepseekmath": GRPOConfig(
            prompts=16, samples=64, reduce="sequence", beta=0.04, kl="k3", kl_corrected=False, lr=1e-6
        ),
        "deepseekmath_process": GRPOConfig(
            prompts=16, samples=64, reduce="sequence", beta=0.04, kl="k3", kl_corrected=False, lr=1e-6,
            supervision="process",
        ),
        "dr_grpo": GRPOConfig(samples=8, scale="none", reduce="fixed"),
        "dapo": GRPOConfig(
            prompts=512, samples=16, batch=512, clip=0.2, clip_high=0.28, reduce="token", resample=10, overlong=0.2
        ),
        "gspo": GRPOConfig(objective="gspo", clip=3e-4, clip_high=4e-4, reduce="sequence", samples=16),
        "cispo": GRPOConfig(objective="cispo", max_ratio=5.0, reduce="token", samples=16),
        "rloo": GRPOConfig(
            samples=4, objective="reinforce", baseline="leave_one_out", scale="none", reduce="fixed", fixed_length=1,
            beta=0.05, kl="k1", kl_in="reward",
        ),
        "reinforce_pp": GRPOConfig(
            samples=1, prompts=128, baseline="none", scale="tokens", credit="onward", reduce="token",
            beta=0.01, kl="k1", kl_in="reward",
        ),
        "loop": GRPOConfig(samples=6, baseline="leave_one_out", scale="none", reduce="token", epochs=2, batch=64),
        "gdpo": GRPOConfig(prompts=512, samples=4, batch=512, aggregation="normalise_then_sum", reduce="token"),
        "trl_1_16": GRPOConfig(samples=8, prompts=1, reduce="token", lr=1e-6, lr_schedule="linear"),
    }
)  # fmt: skip
"""By paper: DeepSeekMath (arXiv:2402.03300; also with process supervision), Dr. GRPO (2503.20783), DAPO (2503.14476),
GSPO (2507.18071), MiniMax-M1 (CISPO, 2506.13585), RLOO (2402.14740), REINFORCE++ (2501.03262), LOOP (2502.01600), GDPO
(2601.05242); by library: the defaults of TRL."""
