"""A web agent that sees: pages as pictures with marks, and what was seen before, cloned and then learnt by reward."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from operant.api import train
from operant.language.episodes.played import Played
from operant.recipes.acting import cloned, flat, greedy, readable, settings
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seen_pages import make

WORLD, EPISODES = f"{make.__module__}:make", 300
ALL: dict[str, Any] = {"base": {"examples": 48_000, "traces": 8_000}, "sampling": {"max_tokens": 12}, "preset": "loop"}
LOOP: dict[str, Any] = {"total_steps": 100, "algo": {"batch": None}}
NOW = {"episode": {"history": "lines"}}
"""Of earlier turns the prompt has what was done, and no picture."""
ARMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "marks": ("pictures with a number on each widget, the last one and this one", "marks", {}),
    "memoryless": ("this picture, and in words what was done before", "marks", NOW),
    "text": ("the accessibility trees in place of pictures, the last one and this one", "text", {}),
    "unmarked": ("pictures without numbers", "plain", {}),
    "blind": ("pictures of another site, with its numbers", "other", {}),
}
"""In words, what is shown, and settings."""


def told(played: Sequence[Played]) -> dict[str, float]:
    """Of episodes: the share that succeeds, also by kind of task; of turns that can be read; and how many there are."""
    found = {"success": fmean(float(p.success) for p in played), "format": readable(played),
             "turns": fmean(len(p.turns) for p in played)}  # fmt: skip
    for kind in ("told", "recall"):
        found[kind] = fmean(float(p.success) for p in played if p.asked.scenario.template == kind)
    return found


def trial(t: Trial) -> Numbers:
    """How often a clone does what it is told on held-out sites, and how often after LOOP."""
    _, shown, more = ARMS[t.arm]
    options = {"shown": shown, "train": 60 if t.miniature else 20_000, "test": EPISODES}
    its = settings(t, WORLD, ALL, LOOP, more, {"task": {"options": options}})
    clone = cloned(t, its)
    run = train("loop", WORLD, runs=t.folder, quiet=True, **flat(its, clone))
    before, after = (told(greedy(t, its, model, EPISODES)) for model in (clone, str(run.path)))
    first = {f"{name} cloned": x for name, x in before.items()}
    return after | first | {"gain": after["success"] - before["success"]}


RECIPE = Recipe(
    name="web-agent-that-sees",
    title="A web agent that sees: marks, history, and LOOP",
    source="Koh et al. (2024), VisualWebArena: evaluating multimodal agents on realistic visual web tasks, "
    "arXiv:2401.13649; Yang et al. (2023), Set-of-mark prompting unleashes extraordinary visual grounding in GPT-4V, "
    "arXiv:2310.11441; Chen et al. (2025), arXiv:2502.01600 (LOOP)",
    paper="GPT-4V acted on the sites of VisualWebArena, whose elements were boxed and numbered in the picture so that "
    "it could name what it clicks; it did better so than with an accessibility tree and captions, and far worse than "
    "people. LOOP taught an agent of many turns by its own episodes' rewards, each group's others as the critic.",
    here="Sites of two pages of our own, 96 pixels wide, with 3 to 6 buttons, fields, boxes to tick and links in eight "
    "colours, boxed and numbered by the renderer of the browser's agents; numbers are drawn, so that only marks tell "
    "them. `Open the blue link. Then click the red checkbox.`, or the button in the colour of a field of the first "
    "page. A model of half a million parameters clones two clicks in each of 8,000 sites, then LOOP for 100 steps of "
    "16 sites with 6 episodes. Sites of a browser are not run: a model of this size reads no letters.",
    mechanism="A number beside each widget ties what is seen to what can be said; `unmarked` has none. The last "
    "picture stands in the prompt; `memoryless` has only what was done.",
    arms={name: text for name, (text, *_) in ARMS.items()},
    controls=("unmarked", "blind", "memoryless"),
    claims=(
        Claim(text="it succeeds more often than blind", metric="success", arm="marks", over="blind", bar=0.2),
        Claim(text="what it says can be read", metric="format", arm="marks", bar=0.95),
        Claim(text="LOOP adds 10 points to the clone", metric="gain", arm="marks", bar=0.1, must=False),
        Claim(text="a fact of another page needs the last picture", metric="recall", arm="marks", over="memoryless",
              bar=0.3, must=False),
        Claim(text="marks are better than pictures without", metric="success", arm="marks", over="unmarked", bar=0.05,
              must=False),
        Claim(text="pictures with marks are no worse than text", metric="success", arm="marks", over="text", bar=-0.05,
              must=False),
    ),
    trial=trial,
    minutes=120.0,
)  # fmt: skip
