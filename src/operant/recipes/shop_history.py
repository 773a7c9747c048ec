"""What a web agent keeps of earlier pages: all of them, or a line for each, where the fact is on another page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from operant.language.episodes.played import Played
from operant.recipes.acting import cloned, greedy, readable, settings
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial

ELSEWHERE, ASKED = ("across-phone", "across-price"), ("shop-phone", "classifieds-price")
"""Templates whose number stands on an earlier page, and templates whose number stands in the goal itself."""
WORLD = "web/" + ",".join((*ELSEWHERE, *ASKED))
PASSES, EPISODES, TURNS = 8_000, 200, 6
"""Episodes that are imitated, repeats counted; episodes that are judged; turns of one, rounded down."""
BASE: dict[str, Any] = {
    "width": 96, "layers": 3, "heads": 3, "tokenizer": "words", "vocabulary": 2048, "tied": True, "init": 0.085,
    "traces": 3_000, "lr": 2e-3, "learn": "all",
}  # fmt: skip
ALL: dict[str, Any] = {
    "task": {"options": {"engine": "plain", "seeds": 300, "turns": 12}},
    "sampling": {"max_tokens": 40, "slots": 16},
}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "history": (
        "all earlier pages in the prompt, an episode in a row",
        {"episode": {"history": "full"}, "base": {"positions": 5_120, "examples": PASSES, "batch": 8}},
    ),
    "memoryless": (
        "of earlier turns a line of what was done, a turn in a row",
        {"episode": {"history": "lines"},
         "base": {"positions": 1_536, "examples": TURNS * PASSES, "batch": TURNS * 8}},
    ),
}  # fmt: skip
"""In words, and settings: as many gradient steps on as many pages."""


def trial(t: Trial) -> Numbers:
    """How often a clone with so much of the past does what is asked in shops of held-out seeds."""
    its = settings(t, WORLD, {"base": BASE}, ALL, ARMS[t.arm][1])
    return told(greedy(t, its, cloned(t, its), EPISODES))


def told(played: Sequence[Played]) -> dict[str, float]:
    """The share that succeeds, where the number is elsewhere and where it is in the goal; of turns that can be read."""
    kinds = {"elsewhere": ELSEWHERE, "in the goal": ASKED}
    shares = {name: [float(p.success) for p in played if p.asked.scenario.template in of] for name, of in kinds.items()}
    return {name: fmean(x) for name, x in shares.items() if x} | {"format": readable(played)}


RECIPE = Recipe(
    name="shop-history",
    title="History on the web: a fact that stands on another page",
    source="Zhou et al. (2024), WebArena: a realistic web environment for building autonomous agents, "
    "arXiv:2307.13854; Koh et al. (2024), VisualWebArena, arXiv:2401.13649",
    paper="The agents that came with WebArena are prompted with the goal, the present page and their previous action. "
    "That a page is only a part of the state, so that a policy needs a history or a memory, is the lectures' argument.",
    here="Our own shop and classifieds, read without a browser, in four kinds of tasks: write a seller the phone "
    "number that one's own account has, give an offer the price that the shop asks for a ware; and, for comparison, "
    "enter a phone number, or a price, that stands in the goal. A Llama of 0.4 million parameters, made from nothing, "
    "clones 3,000 episodes of the scripts, 8,000 counting repeats; 200 held-out scenarios in shops of other seeds, "
    "played greedily. Both arms see as many pages in as many gradient steps. Sites and model are small.",
    mechanism="`history` has the earlier pages in its prompt; `memoryless` has the goal, a line for each action, and "
    "the present page: it knows where it is in the task, and not what it read on the way.",
    arms={name: words for name, (words, _) in ARMS.items()},
    controls=("memoryless",),
    claims=(
        Claim(text="history is worth 30 points where the fact is elsewhere", metric="elsewhere", arm="history",
              over="memoryless", bar=0.3),
        Claim(text="with it such tasks are done", metric="elsewhere", arm="history", bar=0.5),
        Claim(text="without it tasks whose goal has the number are done all the same", metric="in the goal",
              arm="memoryless", bar=0.5),
        Claim(text="and no worse than with it", metric="in the goal", arm="memoryless", over="history", bar=-0.1,
              must=False),
    ),
    trial=trial,
    minutes=170.0,
)  # fmt: skip
