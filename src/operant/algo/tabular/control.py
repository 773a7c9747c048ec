"""Control on a model whose transitions the learner does not see: one function per algorithm, many seeds at once."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from operant.algo.tabular.learning import Learning, Options, learn
from operant.algo.tabular.schedules import Schedule
from operant.algo.tabular.settings import Settings, memory, warn_of_settings
from operant.mdp.model import MDP


def control(mdp: MDP, settings: Settings, **options: Unpack[Options]) -> Learning:
    """Run the algorithm that the settings name; the functions below spell the settings out.

    Raises:
        ConfigError: if a setting or an option is out of range.
        ModelError: if nothing says where an episode begins.
    """
    warn_of_settings(settings, noisy=noisy(mdp))
    pointer = mdp.rows.pointer.astype(np.int64)
    worth = np.append(mdp.rows.terminal_value, 0.0)
    return learn(mdp, lambda random: memory(settings, pointer, worth, random.copy()), options)


def noisy(mdp: MDP) -> bool:
    """Whether any row of the model has more than one outcome."""
    return mdp.leak or mdp.nnz > mdp.num_rows


def q_learning(
    mdp: MDP,
    *,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Q-learning: q(s, a) += α [r + γ max q(s', ·) - q(s, a)].

    Args:
        mdp: the model to learn on.
        step_size: α in [0, 1], or a schedule.
        epsilon: ε of the ε-greedy behaviour, ties broken at random, or a schedule.
        initial: value with which every pair begins.
        discount: γ, if not the model's.
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError, ModelError: as `control`.

    Source: Watkins (1989); Sutton and Barto (2018), section 6.5.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="q-learning", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial
    )
    return control(mdp, settings, **options)
