"""Learning without the model: tabular prediction and control, linear values over tiles; `operant.tabular.bandits`.

Importing this imports nothing heavy: NumPy and the compiled rules come with the first name that needs them.
"""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.tabular.algorithms import ALGORITHMS as ALGORITHMS
    from operant.tabular.algorithms import control as control
    from operant.tabular.algorithms.dyna import dyna_q as dyna_q
    from operant.tabular.algorithms.dyna import dyna_q_plus as dyna_q_plus
    from operant.tabular.algorithms.dyna import prioritised_sweeping as prioritised_sweeping
    from operant.tabular.algorithms.linear import LinearLearner as LinearLearner
    from operant.tabular.algorithms.linear import semi_gradient_td as semi_gradient_td
    from operant.tabular.algorithms.monte_carlo import monte_carlo as monte_carlo
    from operant.tabular.algorithms.monte_carlo import off_policy_monte_carlo as off_policy_monte_carlo
    from operant.tabular.algorithms.monte_carlo_prediction import monte_carlo_prediction as monte_carlo_prediction
    from operant.tabular.algorithms.monte_carlo_prediction import off_policy_prediction as off_policy_prediction
    from operant.tabular.algorithms.monte_carlo_prediction import offline_lambda_return as offline_lambda_return
    from operant.tabular.algorithms.n_step import n_step_sarsa as n_step_sarsa
    from operant.tabular.algorithms.n_step import q_sigma as q_sigma
    from operant.tabular.algorithms.n_step import tree_backup as tree_backup
    from operant.tabular.algorithms.one_step import double_q_learning as double_q_learning
    from operant.tabular.algorithms.one_step import expected_sarsa as expected_sarsa
    from operant.tabular.algorithms.one_step import q_learning as q_learning
    from operant.tabular.algorithms.one_step import sarsa as sarsa
    from operant.tabular.algorithms.temporal_difference import n_step_td as n_step_td
    from operant.tabular.algorithms.temporal_difference import td as td
    from operant.tabular.algorithms.temporal_difference import td_lambda as td_lambda
    from operant.tabular.algorithms.temporal_difference import true_online_td as true_online_td
    from operant.tabular.algorithms.traces import sarsa_lambda as sarsa_lambda
    from operant.tabular.algorithms.traces import true_online_sarsa as true_online_sarsa
    from operant.tabular.algorithms.traces import watkins_q as watkins_q
    from operant.tabular.batch import batch_monte_carlo as batch_monte_carlo
    from operant.tabular.batch import batch_td as batch_td
    from operant.tabular.learner import Learner as Learner
    from operant.tabular.learning import Learning as Learning
    from operant.tabular.schedules import Constant as Constant
    from operant.tabular.schedules import ConvergenceWarning as ConvergenceWarning
    from operant.tabular.schedules import Exponential as Exponential
    from operant.tabular.schedules import Harmonic as Harmonic
    from operant.tabular.schedules import Linear as Linear
    from operant.tabular.schedules import Polynomial as Polynomial
    from operant.tabular.schedules import Schedule as Schedule
    from operant.tabular.settings import Settings as Settings
    from operant.tabular.settings.runs import TabularRun as TabularRun
    from operant.tabular.table import TablePolicy as TablePolicy
    from operant.tabular.tiled import TilesPolicy as TilesPolicy
    from operant.tabular.tiles import TileCoder as TileCoder

__getattr__, __dir__ = face(
    {
        "operant.tabular.algorithms": "ALGORITHMS control",
        "operant.tabular.algorithms.dyna": "dyna_q dyna_q_plus prioritised_sweeping",
        "operant.tabular.algorithms.linear": "LinearLearner semi_gradient_td",
        "operant.tabular.algorithms.monte_carlo": "monte_carlo off_policy_monte_carlo",
        "operant.tabular.algorithms.monte_carlo_prediction": (
            "monte_carlo_prediction off_policy_prediction offline_lambda_return"
        ),
        "operant.tabular.algorithms.n_step": "n_step_sarsa q_sigma tree_backup",
        "operant.tabular.algorithms.one_step": "double_q_learning expected_sarsa q_learning sarsa",
        "operant.tabular.algorithms.temporal_difference": "n_step_td td td_lambda true_online_td",
        "operant.tabular.algorithms.traces": "sarsa_lambda true_online_sarsa watkins_q",
        "operant.tabular.batch": "batch_monte_carlo batch_td",
        "operant.tabular.learner": "Learner",
        "operant.tabular.learning": "Learning",
        "operant.tabular.schedules": "Constant ConvergenceWarning Exponential Harmonic Linear Polynomial Schedule",
        "operant.tabular.settings": "Settings",
        "operant.tabular.settings.runs": "TabularRun",
        "operant.tabular.table": "TablePolicy",
        "operant.tabular.tiled": "TilesPolicy",
        "operant.tabular.tiles": "TileCoder",
    }
)
