"""MetaSpatial: rooms that are furnished over several turns, each with a look at what came of the last one."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from operant.agents.spoken import line
from operant.api import train
from operant.language.episodes.played import Played
from operant.recipes.acting import cloned, flat, greedy, readable, settings
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.rooms import Layout, room_of

WORLD, EPISODES, STEPS = "operant.recipes.rooms:make", 200, 60
BASE: dict[str, Any] = {"base": {"examples": 40_000, "traces": 8_000}}
ONCE = {"scenarios": 48}
"""As many turns a step as in three turns of 16 rooms."""
ARMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "base": ("a clone of the teacher, three turns", {}, {}),
    "three": ("GRPO in three turns, each shown what came of the last", {}, {}),
    "one": ("GRPO in one turn, with as many turns in all", {"turns": 1}, ONCE),
    "unseen": ("three turns, each shown another room", {"shown": "other"}, {}),
    "shuffled": ("three turns, paid by chance", {"paid": "chance"}, {}),
}
"""In words, options of the room, settings of the algorithm."""


def layouts(p: Played) -> list[Layout]:
    """The layouts that an episode said, in order."""
    room = room_of(p.asked.scenario.seed)
    said = [room.read(line(turn.action)[1]) for turn in p.turns]
    return [layout for layout in said if layout is not None]


def told(played: list[Played]) -> dict[str, float]:
    """Of episodes: the shares of things with a fault and of relations that hold, in their last layout and in their
    first; and of those in which all is right."""
    found: dict[str, float] = {"format": readable(played), "turns": fmean(len(p.turns) for p in played)}
    for name, at in (("", -1), ("first ", 0)):
        shares = [room_of(p.asked.scenario.seed).shares(said[at] if (said := layouts(p)) else None) for p in played]
        found |= {f"{name}faulty": 1.0 - fmean(a for a, _ in shares), f"{name}holds": fmean(b for _, b in shares)}
    return found | {"right": fmean(float(p.success) for p in played)}


def trial(t: Trial) -> Numbers:
    """What an arm's last layouts of held-out rooms are worth, and its first ones."""
    _, options, algo = ARMS[t.arm]
    rooms = {"train": 60 if t.miniature else 20_000, "test": EPISODES}
    model = cloned(t, settings(t, WORLD, BASE, {"task": {"options": rooms}}))
    its = settings(t, WORLD, BASE, {"preset": "grpo", "total_steps": STEPS, "algo": algo},
                   {"task": {"options": rooms | options}})  # fmt: skip
    if t.arm != "base":
        run = train("loop", WORLD, runs=t.folder, quiet=True, **flat(its, model))
        model = str(run.path)
    return told([*greedy(t, its, model, EPISODES)])


RECIPE = Recipe(
    name="metaspatial",
    title="MetaSpatial: furnish a room, look, and mend it",
    source="Pan and Liu (2025), MetaSpatial: reinforcing 3D spatial reasoning in VLMs for the metaverse, "
    "arXiv:2503.18470",
    paper="Qwen2.5-VL of 3 and 7 billion parameters said as JSON where furniture stands, was shown the room that came "
    "of it, and said it again, for several turns; GRPO paid for the form, for objects that neither collide nor stick "
    "out, and for what a large model thought of the picture. Layouts became more stable and collided less.",
    here="A room of 10 by 10 units, seen from above in 40 pixels, four to six rectangles whose sizes are told, and two "
    "or three relations that are asked for, as `lamp beside bed`. The judge of the picture is replaced by the share of "
    "relations that hold: no large model is at hand, and this one cannot be talked round. A turn pays by how much "
    "better the layout is than the last. The base, of half a million parameters, imitated a teacher who is right at "
    "once, or mends two loose drafts. 60 steps of 16 rooms with 6 episodes, whose advantages are the episode's, as in "
    "the paper's first version; its later one weighs them by object.",
    mechanism="What came of a layout is shown before the next one is said. `unseen` shows another room.",
    arms={name: text for name, (text, *_) in ARMS.items()},
    controls=("base", "unseen", "shuffled"),
    claims=(
        Claim(text="things with a fault are half as many as the base's", metric="faulty", arm="three", over="base",
              ratio=True, bar=0.5, most=True),
        Claim(text="layouts have their form", metric="format", arm="three", bar=0.95),
        Claim(text="what is paid by chance teaches nothing", metric="holds", arm="shuffled", over="base", bar=0.05,
              most=True),
        Claim(text="more relations hold after three turns than after one", metric="holds", arm="three", over="one",
              bar=0.05, must=False),
        Claim(text="looking mends faults that are not seen else", metric="faulty", arm="unseen", over="three", bar=0.02,
              must=False),
    ),
    trial=trial,
    minutes=90.0,
)  # fmt: skip
