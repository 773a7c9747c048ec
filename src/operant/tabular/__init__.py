"""Learning without the model: tabular prediction and control, linear values over tiles; `operant.tabular.bandits`.

Importing this imports nothing heavy: NumPy and the compiled rules come with the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from operant.tabular.algorithms import ALGORITHMS, control
    from operant.tabular.algorithms.dyna import dyna_q, dyna_q_plus, prioritised_sweeping
    from operant.tabular.algorithms.linear import semi_gradient_td
    from operant.tabular.algorithms.monte_carlo import monte_carlo, off_policy_monte_carlo
    from operant.tabular.algorithms.monte_carlo_prediction import (
        monte_carlo_prediction,
        off_policy_prediction,
        offline_lambda_return,
    )
    from operant.tabular.algorithms.n_step import n_step_sarsa, q_sigma, tree_backup
    from operant.tabular.algorithms.one_step import double_q_learning, expected_sarsa, q_learning, sarsa
    from operant.tabular.algorithms.temporal_difference import n_step_td, td, td_lambda, true_online_td
    from operant.tabular.algorithms.traces import sarsa_lambda, true_online_sarsa, watkins_q
    from operant.tabular.batch import batch_monte_carlo, batch_td
    from operant.tabular.learner import Learner, LinearLearner
    from operant.tabular.learning import Learning
    from operant.tabular.schedules import (
        Constant,
        ConvergenceWarning,
        Exponential,
        Harmonic,
        Linear,
        Polynomial,
        Schedule,
    )
    from operant.tabular.settings import Settings
    from operant.tabular.tiles import TileCoder

__all__ = [
    "ALGORITHMS",
    "Constant",
    "ConvergenceWarning",
    "Exponential",
    "Harmonic",
    "Learner",
    "Learning",
    "Linear",
    "LinearLearner",
    "Polynomial",
    "Schedule",
    "Settings",
    "TileCoder",
    "batch_monte_carlo",
    "batch_td",
    "control",
    "double_q_learning",
    "dyna_q",
    "dyna_q_plus",
    "expected_sarsa",
    "monte_carlo",
    "monte_carlo_prediction",
    "n_step_sarsa",
    "n_step_td",
    "off_policy_monte_carlo",
    "off_policy_prediction",
    "offline_lambda_return",
    "prioritised_sweeping",
    "q_learning",
    "q_sigma",
    "sarsa",
    "sarsa_lambda",
    "semi_gradient_td",
    "td",
    "td_lambda",
    "tree_backup",
    "true_online_sarsa",
    "true_online_td",
    "watkins_q",
]

_MODULES = (
    *("schedules", "settings", "learning", "batch", "tiles", "algorithms.one_step", "algorithms.n_step"),
    *("algorithms.traces", "algorithms.monte_carlo", "algorithms.dyna", "algorithms.temporal_difference"),
    *("algorithms.monte_carlo_prediction", "algorithms.linear", "learner", "algorithms"),
)
"""Where the names are; the folder last, because its files may be called what a function is."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in (import_module(f"{__name__}.{module}") for module in _MODULES):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
