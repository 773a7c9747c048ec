"""The algorithms, a file for each family: its memory, its compiled rule, and the function that runs it on a model."""

from __future__ import annotations

from typing import Unpack

from operant.mdp.model import MDP
from operant.tabular.action_values import MEMORIES, learn_control, memory
from operant.tabular.algorithms import dyna, monte_carlo, n_step, one_step, traces
from operant.tabular.keywords import Options, keywords
from operant.tabular.learning import Learning
from operant.tabular.settings import Settings

__all__ = ["ALGORITHMS", "control", "dyna", "memory", "monte_carlo", "n_step", "one_step", "traces"]

ALGORITHMS = MEMORIES
"""The control algorithms by the name under which `operant train` knows them."""


@keywords()
def control(mdp: MDP, settings: Settings, **options: Unpack[Options]) -> Learning:
    """Run the control algorithm that the settings name; `q_learning` and its kin take the settings as keywords.

    Raises:
        ConfigError: if an option is out of range, or there is none of that name.
        ModelError: if nothing says where an episode begins.
    """
    return learn_control(mdp, settings, options)
