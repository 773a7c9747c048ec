"""Control that also learns from memory: Dyna-Q, Dyna-Q+, prioritised sweeping on many seeds at once."""

from __future__ import annotations

from typing import Unpack

from operant.mdp.model import MDP
from operant.tabular.algorithms import Settings
from operant.tabular.control_methods import control
from operant.tabular.learning import Learning, Options
from operant.tabular.schedules import Schedule


def dyna_q(
    mdp: MDP,
    *,
    planning: int = 5,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Dyna-Q: Q-learning with imagined updates; planning = 0 is Q-learning.

    Arguments and errors as `control.q_learning`, and

    Args:
        planning: imagined updates per step.

    Source: Sutton (1990); Sutton and Barto (2018), section 8.2.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="dyna-q", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial, planning=planning
    )
    return control(mdp, settings, **options)


def dyna_q_plus(
    mdp: MDP,
    *,
    planning: int = 5,
    kappa: float = 1e-4,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Dyna-Q+: Dyna-Q with a bonus for what was not tried for long.

    Arguments and errors as `control.q_learning`, and

    Args:
        planning: imagined updates per step.
        kappa: κ of the bonus κ √τ.

    Source: Sutton (1990); Sutton and Barto (2018), section 8.3.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="dyna-q-plus",
        discount=gamma,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        planning=planning,
        kappa=kappa,
    )
    return control(mdp, settings, **options)


def prioritised_sweeping(
    mdp: MDP,
    *,
    planning: int = 5,
    threshold: float = 1e-4,
    step_size: float | Schedule = 1.0,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Prioritised sweeping over what was seen: the updates with the largest errors first.

    Arguments and errors as `control.q_learning`, and

    Args:
        planning: updates per step, the real one included.
        threshold: smaller errors are not worth an update.

    Source: Moore and Atkeson (1993); Sutton and Barto (2018), section 8.4.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="prioritised-sweeping",
        discount=gamma,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        planning=planning,
        threshold=threshold,
    )
    return control(mdp, settings, **options)
