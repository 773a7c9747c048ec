"""Rewards: plain functions of a trace. Every one ships with tests of what must not score."""

from operant.language.reward.answer import boxed, extract, last_number, tagged
from operant.language.reward.detection import Criteria, Detection, MeanPrecision
from operant.language.reward.equivalence import MathEquivalence
from operant.language.reward.number import number
from operant.language.reward.shape import CosineLength, Overlong, Repetition
from operant.language.reward.spatial import Acted, BoxAndPoints, BoxOverlap, Calls, PointInBox, SpanOverlap, Tolerance
from operant.language.reward.steps import ExactSteps, KeySteps, StepOrder, token_ends
from operant.language.reward.trace import GoldError, Reward, StepReward, Trace, reward
from operant.language.reward.verifiable import ByKind, Every, Exact, Format, Numeric, RelativeAccuracy

__all__ = [
    "Acted",
    "BoxAndPoints",
    "BoxOverlap",
    "ByKind",
    "Calls",
    "CosineLength",
    "Criteria",
    "Detection",
    "Every",
    "Exact",
    "ExactSteps",
    "Format",
    "GoldError",
    "KeySteps",
    "MathEquivalence",
    "MeanPrecision",
    "Numeric",
    "Overlong",
    "PointInBox",
    "RelativeAccuracy",
    "Repetition",
    "Reward",
    "SpanOverlap",
    "StepOrder",
    "StepReward",
    "Tolerance",
    "Trace",
    "boxed",
    "extract",
    "last_number",
    "number",
    "reward",
    "tagged",
    "token_ends",
]
