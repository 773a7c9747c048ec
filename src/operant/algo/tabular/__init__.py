"""Learning without the model: tabular prediction and control, bandits, linear values over tiles."""

from operant.algo.tabular.control import control, q_learning
from operant.algo.tabular.learner import Learner
from operant.algo.tabular.learning import Learning
from operant.algo.tabular.schedules import (
    Constant,
    ConvergenceWarning,
    Exponential,
    Harmonic,
    Linear,
    Polynomial,
)
from operant.algo.tabular.settings import Settings

__all__ = [
    "Constant",
    "ConvergenceWarning",
    "Exponential",
    "Harmonic",
    "Learner",
    "Learning",
    "Linear",
    "Polynomial",
    "Settings",
    "control",
    "q_learning",
]
