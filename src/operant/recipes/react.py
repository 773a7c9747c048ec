"""ReAct: a thought before each action, against acting alone and against thoughts that say nothing."""

from __future__ import annotations

from operant.agents.harness.agents import turns
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.thinking import HERE, Arm, claims, measured, named

ARMS = {
    "react": Arm(what="a thought, then an action", agent=turns),
    "act": Arm(what="only acts, one call a turn as well", agent=turns, thinks=False),
    "shuffled": Arm(what="cloned on thoughts of other turns", agent=turns, mixed=True),
}


def trial(t: Trial) -> Numbers:
    """One arm on one seed."""
    return measured(t, ARMS)


RECIPE = Recipe(
    name="react",
    title="ReAct",
    source="Yao et al. (2022), ReAct: synergizing reasoning and acting in language models, arXiv:2210.03629",
    paper="A large model is shown a few episodes in which a thought stands before each action, and writes both. In "
    "ALFWorld it succeeded in 71 % of the tasks, 45 % by actions alone; fine-tuned on 3,000 traces, smaller models "
    "gained most.",
    here=HERE,
    mechanism="The action is conditioned on a thought that the model wrote about this turn. With thoughts of other "
    "turns in what is cloned (`shuffled`), as much is written and it says nothing of the action.",
    arms=named(ARMS),
    controls=("shuffled-grid", "shuffled-quests"),
    claims=claims("react", "act", "shuffled"),
    trial=trial,
    minutes=45.0,
    takes_model=True,
)
