"""Tree search for agents: best-first search in the world itself, undone by replay."""

from __future__ import annotations

from operant.agents.harness.agents import VALUE, TreeSearch
from operant.agents.harness.episode import Episode
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.thinking import HERE, VOTE, Arm, claims, measured, named

SEARCH = TreeSearch(branch=2, depth=6, states=8)


async def judged(episode: Episode) -> None:
    """One call, one action, and a judgement of what came of it: what the teacher shows."""
    while not episode.over:
        await episode.do(await episode.ask("act"))
        await episode.ask("value", VALUE)


ARMS = {
    "tree": Arm(what="two candidates a state, the best state first", agent=SEARCH, shown=judged),
    "act": VOTE,
    "flat": Arm(what="the same search, every state worth the same", agent=SEARCH, shown=judged, fixed={"value": "5"}),
}


def trial(t: Trial) -> Numbers:
    """One arm on one seed."""
    return measured(t, ARMS)


RECIPE = Recipe(
    name="web-search-tree",
    title="Tree search for language model agents",
    source="Koh et al. (2024), Tree search for language model agents, arXiv:2407.01476",
    paper="On pages of shops and forums a large model proposes five actions a state, the same model judges screenshots "
    "(the mean of twenty answers), and best-first search goes on from the best; what was done is undone by doing the "
    "rest again. GPT-4o rose from 18.9 % to 26.4 % of VisualWebArena's tasks.",
    here=f"{HERE} Worlds of text stand in place of the paper's sites: they are deterministic, so that undoing by "
    "replay is exact; two candidates a state, one judgement, at most eight states before a move.",
    mechanism="The state that is gone on from is the one that the model judges best. With the same number for every "
    "state (`flat`) as much is searched, and the first that was found is taken.",
    arms=named(ARMS),
    controls=("flat-grid", "flat-quests"),
    claims=claims("tree", "act", "flat"),
    trial=trial,
    minutes=75.0,
    takes_model=True,
)
