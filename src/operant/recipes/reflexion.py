"""Reflexion: what failed is put into words, and tried again with them."""

from __future__ import annotations

from operant.agents.harness.agents import Reflexion
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.thinking import AGAIN, HERE, Arm, claims, measured, named

REFLECTS = Reflexion(trials=4)
ARMS = {
    "reflexion": Arm(what="up to four attempts, a lesson after each that failed", agent=REFLECTS, shown=REFLECTS),
    "act": AGAIN,
    "blank": Arm(what="as many attempts, their lessons blank", agent=REFLECTS, shown=REFLECTS,
                 fixed={"lesson": "none."}),
}  # fmt: skip


def trial(t: Trial) -> Numbers:
    """One arm on one seed."""
    return measured(t, ARMS)


RECIPE = Recipe(
    name="reflexion",
    title="Reflexion",
    source="Shinn et al. (2023), Reflexion: language agents with verbal reinforcement learning, arXiv:2303.11366",
    paper="After a failed attempt a large model writes what went wrong; the next attempt reads it. No weight moves. In "
    "ALFWorld 130 of 134 tasks were solved after twelve attempts, 22 points more than by ReAct.",
    here=f"{HERE} Every arm is told whether an attempt succeeded, as in the paper: the world is then an oracle, and "
    "trying again alone is worth something, so acting alone tries again, too.",
    mechanism="The next attempt is conditioned on a lesson of the last. With blank lessons (`blank`) the same model "
    "makes the same number of attempts.",
    arms=named(ARMS),
    controls=("blank-grid", "blank-quests"),
    claims=claims("reflexion", "act", "blank"),
    trial=trial,
    minutes=75.0,
    takes_model=True,
)
