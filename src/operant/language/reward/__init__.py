"""Rewards: plain functions of a trace. Every one ships with tests of what must not score."""

from operant.language.reward.answer import boxed, extract, last_number, tagged
from operant.language.reward.equivalence import MathEquivalence
from operant.language.reward.number import number
from operant.language.reward.shape import CosineLength, Overlong, Repetition
from operant.language.reward.steps import ExactSteps, KeySteps, StepOrder, token_ends
from operant.language.reward.trace import GoldError, Reward, StepReward, Trace, reward
from operant.language.reward.verifiable import Exact, Format, Numeric, RelativeAccuracy

__all__ = [
    "CosineLength",
    "Exact",
    "ExactSteps",
    "Format",
    "GoldError",
    "KeySteps",
    "MathEquivalence",
    "Numeric",
    "Overlong",
    "RelativeAccuracy",
    "Repetition",
    "Reward",
    "StepOrder",
    "StepReward",
    "Trace",
    "boxed",
    "extract",
    "last_number",
    "number",
    "reward",
    "tagged",
    "token_ends",
]
