"""Plan, act, reflect: a plan first, and every few turns the question whether it still holds."""

from __future__ import annotations

from operant.agents.harness.agents import PlanActReflect, every
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.thinking import HERE, VOTE, Arm, claims, measured, named

PLANS = PlanActReflect(when=every(4))
ARMS = {
    "plan": Arm(what="a plan, thoughts, and every four turns a reflection", agent=PLANS, shown=PLANS),
    "act": VOTE,
    "blank": Arm(what="the plan is blank, and is never given up", agent=PLANS, shown=PLANS,
                 fixed={"plan": "none.", "reflect": "CONTINUE"}),
}  # fmt: skip


def trial(t: Trial) -> Numbers:
    """One arm on one seed."""
    return measured(t, ARMS)


RECIPE = Recipe(
    name="plan-act-reflect",
    title="Plan, act, reflect",
    source="Wang et al. (2023), Describe, explain, plan and select, arXiv:2302.01560; the course's agent framework: "
    "plan, reflect and replan around a model",
    paper="A large model writes a plan of sub-goals, a controller follows it, and after a failure the model explains "
    "it and plans anew. In 71 tasks of Minecraft this nearly doubled what plans alone achieved.",
    here=HERE,
    mechanism="Actions are conditioned on a plan, and what was seen can replace it. With a blank plan that is never "
    "given up (`blank`) the same model acts and thinks at the same turns.",
    arms=named(ARMS),
    controls=("blank-grid", "blank-quests"),
    claims=claims("plan", "act", "blank"),
    trial=trial,
    minutes=60.0,
    takes_model=True,
)
