"""Settings of exploration: what a run adds so that it sees more."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section


class ExploreConfig(Section):
    """A bonus for what is new, noise on the weights; evaluations see neither."""

    bonus: Literal["none", "count", "rnd"] = Field(
        default="none", description="what is new: count (1/√visits), or rnd (the error of predicting a random network)"
    )
    coef: NonNegativeFloat = Field(default=0.1, description="β, weight of the bonus")
    cell: PositiveFloat = Field(
        default=0.1,
        description="count: edge of the cells in which observed numbers are one state, as a share of their range where "
        "they have one; discrete ones are exact",
    )
    critic: Literal["shared", "own"] = Field(
        default="shared",
        description="shared adds the bonus to the reward; own gives it a critic and a discount of its own, whose "
        "returns do not end with episodes, and adds the two advantages (ppo)",
    )
    bonus_discount: float = Field(
        default=0.99, description="γ of the bonus, where it has its own critic", ge=0.0, le=1.0
    )
    bonus_lam: float = Field(default=0.95, description="λ of the bonus, where it has its own critic", ge=0.0, le=1.0)
    bonus_hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), description="widths of its networks' hidden layers")
    features: PositiveInt = Field(default=64, description="rnd: how many random features are predicted")
    bonus_lr: PositiveFloat = Field(default=1e-4, description="Adam's learning rate for its networks")
    bonus_batch: PositiveInt = Field(
        default=256, description="steps in a minibatch of its networks, one pass a segment"
    )
    param_noise: PositiveFloat | None = Field(
        default=None,
        description="noise on the policy's weights, anew for each segment, so large that the policy moves by this many "
        "nats; off if unset",
    )
    param_noise_std: PositiveFloat = Field(default=0.02, description="deviation of that noise at the start")
    param_noise_rate: float = Field(
        default=1.1, description="factor by which its deviation changes after each segment", gt=1.0
    )
