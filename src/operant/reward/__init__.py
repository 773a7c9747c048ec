"""Rewards: plain functions of a trace. Every one ships with tests of what must not score."""

from operant.reward.answer import boxed, extract, last_number, tagged
from operant.reward.number import number
from operant.reward.trace import GoldError, Reward, Trace, reward
from operant.reward.verifiable import Exact, Format, Numeric, RelativeAccuracy

__all__ = [
    "Exact",
    "Format",
    "GoldError",
    "Numeric",
    "RelativeAccuracy",
    "Reward",
    "Trace",
    "boxed",
    "extract",
    "last_number",
    "number",
    "reward",
    "tagged",
]
