"""Settings of what a language model learns from data: texts, judged answers, judged steps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section


class LearningConfig(Section):
    """What learning from examples shares: how they are laid out, and AdamW."""

    batch: PositiveInt = Field(
        default=64, description="examples in a gradient step; a pair or ranking is one, with all of its answers"
    )
    tokens: PositiveInt = Field(
        default=32_768, description="tokens of one forward and backward; those of a gradient step add up exactly"
    )
    length: PositiveInt = Field(
        default=1024, description="longest example with its prompt, in tokens; what is longer loses its end"
    )
    too_long: Literal["refuse", "leave_out"] = Field(
        default="refuse", description="an example of which `length` leaves nothing to learn: an error, or left out"
    )
    lr: PositiveFloat = Field(default=1e-5, description="AdamW's learning rate after the warm-up")
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        default="linear", description="linear and cosine fall to 0 at total_steps"
    )
    warmup: float = Field(default=0.03, description="share of the steps in which lr rises from 0", ge=0.0, lt=1.0)
    weight_decay: NonNegativeFloat = Field(default=0.0, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")


class SFTConfig(LearningConfig):
    """Supervised fine-tuning: maximum likelihood of the tokens to learn."""

    learn: Literal["completion", "assistant", "all"] = Field(
        default="assistant",
        description="which tokens of a conversation: the last answer, everything the assistant says, or all",
    )
    packing: bool = Field(default=True, description="lay several examples into one row of `length` tokens")
    lr: PositiveFloat = Field(default=2e-5, description="AdamW's learning rate after the warm-up")


class RewardModelConfig(LearningConfig):
    """A reward model: scores whose differences explain comparisons (Bradley and Terry 1952)."""

    loss: Literal["bradley_terry", "soft_label", "ranking"] = Field(
        default="bradley_terry",
        description="bradley_terry: pairs, with their margins; soft_label: pairs, with a judge's probabilities; "
        "ranking: all pairs of a prompt's answers as one element",
    )
    centring: NonNegativeFloat = Field(
        default=0.01, description="weight of the squared sum of a pair's scores, which holds their level at 0"
    )


class SoftLabelConfig(RewardModelConfig):
    """A reward model of a judge's probabilities."""

    loss: Literal["soft_label"] = Field(default="soft_label", description="pairs, with a judge's probabilities")  # pyright: ignore[reportIncompatibleVariableOverride]


class ProcessRewardConfig(LearningConfig):
    """A process reward model: is each step of a solution right? (Lightman et al. 2023, arXiv:2305.20050)"""

    separator: str = Field(
        default="\n", description="the text that closes a step; the verdict stands on its last token", min_length=1
    )
    prompts: PositiveInt = Field(
        default=1000, description="of a task in place of a file: prompts whose completions its step reward labels"
    )
    samples: PositiveInt = Field(default=4, description="completions of each of these prompts, sampled from the model")


class DPOConfig(LearningConfig):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its relatives."""

    loss: Literal["dpo", "cdpo", "rdpo", "ipo", "hinge", "kto", "gr_dpo", "gr_ipo"] = Field(
        default="dpo",
        description="cdpo and rdpo: labels may be flipped; ipo: a margin to reach; hinge: a margin to exceed; "
        "kto: verdicts in place of pairs; gr_dpo, gr_ipo: the group that fares worst counts most",
    )
    beta: PositiveFloat = Field(default=0.1, description="β, how dear it is to leave the reference; ipo's τ")
    flipped: float = Field(default=0.1, description="ε of cdpo and rdpo: share of flipped labels", ge=0.0, lt=0.5)
    divergence: Literal["reverse_kl", "forward_kl", "jensen_shannon"] = Field(
        default="reverse_kl", description="from the reference, in the losses on pairs"
    )
    desirable_weight: NonNegativeFloat = Field(default=1.0, description="λ_D of kto")
    undesirable_weight: NonNegativeFloat = Field(default=1.0, description="λ_U of kto")
    group_step: NonNegativeFloat = Field(default=0.01, description="η of the groups' weights")
    group_adjustment: NonNegativeFloat = Field(
        default=0.0, description="C: favours small groups by C over the root of their size"
    )
    lr: PositiveFloat = Field(default=1e-6, description="AdamW's learning rate after the warm-up")
    warmup: float = Field(default=0.1, description="share of the steps in which lr rises from 0", ge=0.0, lt=1.0)
