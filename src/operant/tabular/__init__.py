"""Learning without the model: tabular prediction and control, bandits, linear values over tiles."""

from operant.tabular.algorithms import ALGORITHMS, Settings
from operant.tabular.batch import batch_monte_carlo, batch_td
from operant.tabular.control_methods import (
    control,
    double_q_learning,
    expected_sarsa,
    monte_carlo,
    n_step_sarsa,
    off_policy_monte_carlo,
    q_learning,
    q_sigma,
    sarsa,
    sarsa_lambda,
    tree_backup,
    true_online_sarsa,
    watkins_q,
)
from operant.tabular.learner import Learner, LinearLearner
from operant.tabular.learning import Learning
from operant.tabular.planning import dyna_q, dyna_q_plus, prioritised_sweeping
from operant.tabular.prediction_methods import (
    monte_carlo_prediction,
    n_step_td,
    off_policy_prediction,
    offline_lambda_return,
    semi_gradient_td,
    td,
    td_lambda,
    true_online_td,
)
from operant.tabular.schedules import (
    Constant,
    ConvergenceWarning,
    Exponential,
    Harmonic,
    Linear,
    Polynomial,
    Schedule,
)
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
