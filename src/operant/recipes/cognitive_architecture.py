"""A cognitive architecture on a memory maze: what each of its modules is worth, and which memory a policy is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np

from operant.agents.mind.mind import Part, mind
from operant.data.streams import Streams
from operant.env.make import make
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

MAZE = "MiniGrid-MemoryS11-v0"
EPISODES, LAST, LIMIT = 250, 100, 200
PARTS: tuple[Part, ...] = get_args(Part)
ARMS: dict[str, Part | None] = {"whole": None, **{f"without {part}": part for part in PARTS}}
WORDS: dict[Part, str] = {
    "perception": "a key and a ball look alike",
    "attention": "any known thing is looked at, also again",
    "working": "no goal is held: every step decides anew",
    "episodic": "only what is in view is known of, and nothing is recalled",
    "semantic": "no map: only the cells in view",
    "procedural": "what was learnt of options is not at hand: all are worth the same",
    "selection": "always the best option, none is tried",
    "learning": "values stay as they were at first",
    "metacognition": "doubt does not follow success, and no goal is given up",
    "motivation": "any place is a goal, and what is new is worth nothing",
}


def trial(t: Trial) -> Mapping[str, float]:
    """One mind, one life: how often it reached the match among its first and its last episodes, and its steps."""
    episodes, last = (6, 3) if t.miniature else (EPISODES, LAST)
    its, won, steps = mind(Streams(t.seed).numpy("mind"), ARMS[t.arm]), list[bool](), list[int]()
    env = make(MAZE, 1, kwargs={"max_steps": LIMIT}, wrappers=["key image"])
    try:
        obs = env.reset(t.seed)
        its.begin()
        taken = 0
        while len(won) < episodes:
            step = env.step(np.array([its.act(obs[0].reshape(7, 7, 3))]))
            over = bool(step.terminated[0] or step.truncated[0])
            taken += 1
            if step.acted[0]:
                its.learn(float(step.reward[0]), over)
            if over:
                won.append(bool(step.reward[0] > 0.0))
                steps.append(taken)
            if step.begun[0]:
                its.begin()
                taken = 0
            obs = step.obs
    finally:
        env.close()
    return {
        "first": float(np.mean(won[:last])), "success": float(np.mean(won[-last:])),
        "steps": float(np.mean(steps[-last:])),
    }  # fmt: skip


def worth(part: Part, what: str, bar: float, *, must: bool) -> Claim:
    """What a module adds."""
    return Claim(text=what, metric="success", arm="whole", over=f"without {part}", bar=bar, must=must)


RECIPE = Recipe(
    name="cognitive-architecture",
    title="A cognitive architecture",
    source="Laird, Lebiere and Rosenbloom (2017), A standard model of the mind; Kaelbling (1991) and Maes (1991) on "
    "architectures of modules; Sutton, Precup and Singh (1999) on options",
    paper="A mind is modules around a working memory: perception, attention, declarative memory (episodic and "
    "semantic), procedural memory, action selection, learning. The papers agree on the parts and give no number that "
    "could be reached.",
    here="Ten modules behind typed ports, each of a few lines, in MemoryS11 of the MiniGrid package itself: a thing "
    "stands in a room at one end of a hallway, two at the other; the one that is like the first pays, the other ends "
    "the episode. The mind sees seven by seven cells ahead, knows its place by dead reckoning, and learns by "
    "Q-learning which of three options (explore, approach, look at something else) is good in which situation. 250 "
    "episodes of at most 200 steps (the package has 605) are a life; the last 100 count. A guess is right in half of "
    "them.",
    mechanism="What was met is recalled: `met` or `not met` is what the choice is made on. Without episodic memory the "
    "same options are chosen on nothing but what is in view.",
    arms={arm: "all ten modules" if part is None else WORDS[part] for arm, part in ARMS.items()},
    controls=("without perception", "without episodic", "without learning"),
    claims=(
        Claim(text="the mind reaches the match in 90 % of its last episodes", metric="success", arm="whole", bar=0.9),
        worth("episodic", "episodic memory is worth 20 points", 0.2, must=True),
        worth("procedural", "a policy is procedural memory: without it 20 points are lost, whatever else is "
              "remembered", 0.2, must=True),
        Claim(text="and a mind that has none is within 10 points above one that never learnt", metric="success",
              arm="without procedural", over="without learning", bar=0.1, most=True, must=False),
        *(worth(part, f"{part} is worth 5 points", 0.05, must=False)
          for part in PARTS if part not in ("episodic", "procedural")),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=15.0,
)  # fmt: skip
