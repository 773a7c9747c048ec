"""Settings of learning from preferences over clips."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.ppo import PPORun


class PreferencesConfig(Section):
    """Which clips are compared, by whom, and the reward that is learnt from it (Christiano et al. 2017)."""

    outward: ClassVar[tuple[str, ...]] = ("labels",)
    labels: str = Field(
        default="",
        description="JSONL of a person's judgements, one of a pair a line; if empty the environment's reward judges",
    )
    budget: PositiveInt = Field(default=500, description="pairs that are asked for in all")
    initial: PositiveInt = Field(default=100, description="pairs asked for before the policy learns")
    ask: NonNegativeInt = Field(default=20, description="pairs asked for each time after that")
    every: PositiveInt = Field(default=5_000, description="environment steps from one time to the next")
    clip: PositiveInt = Field(default=25, description="steps of a clip; one in which the episode terminates ends there")
    choose: Literal["disagreement", "random"] = Field(
        default="disagreement",
        description="which of the pairs drawn are asked for: those about which the networks differ most, or any",
    )
    candidates: PositiveInt = Field(default=10, description="disagreement: pairs drawn for each that is asked for")
    noise: float = Field(
        default=0.0, description="share of the environment's judgements that a coin makes instead", ge=0.0, le=1.0
    )
    error: float = Field(
        default=0.1, description="share of blind judgements that the networks reckon with", ge=0.0, lt=1.0
    )
    members: PositiveInt = Field(default=3, description="networks of the reward, each with a resampling of the pairs")
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), description="widths of their hidden layers")
    lr: PositiveFloat = Field(default=1e-3, description="their learning rate, Adam's")
    batch: PositiveInt = Field(default=64, description="pairs in a minibatch")
    updates: PositiveInt = Field(
        default=100, description="gradient steps whenever there are new judgements, in whole passes over all of them"
    )
    l2: NonNegativeFloat = Field(
        default=1e-5,
        description="weight decay at the start; adapted so that the loss on pairs that a network was not taught stays "
        "between 1.1 and 1.5 times the other",
    )
    shift: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="whether rewards are shifted to mean 0, as in the paper; where episodes terminate that changes "
        "what is best, so that auto does it only as long as none has",
    )


class PreferencePPORun(PPORun):
    """A run of PPO on a reward that is learnt from preferences over clips."""

    algorithm: str = Field(default="preference-ppo", description="name of the algorithm")
    preferences: PreferencesConfig = Field(default_factory=PreferencesConfig)
