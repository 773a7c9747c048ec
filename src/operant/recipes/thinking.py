"""Small models cloned to think, act, plan, reflect and judge, and agents that are made of them: for the recipes of
agents without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch

from operant.agents.harness.agents import Agent, Majority, Reflexion, play, turns
from operant.agents.harness.clone import clone
from operant.agents.harness.episode import Episode, Form, Model
from operant.agents.harness.models import Local
from operant.language.episodes.world import load_world
from operant.language.model.language_model import LanguageModel
from operant.language.settings.worlds import WorldBaseConfig
from operant.language.text.rendering import Message
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Trial

EPISODES = 200
WORLDS: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "grid": ("text/grid", {"train": 4_000, "test": EPISODES}, 64, 1_024),
    "quests": ("text/quests", {"train": 4_000, "test": EPISODES, "rooms": 3}, 96, 2_048),
}
"""Each world with its options, the calls of an episode, and the tokens of a row."""
BASE: dict[str, Any] = {
    "width": 144, "layers": 4, "tokenizer": "words", "tied": True, "init": 0.085, "batch": 8, "lr": 2e-3,
    "examples": 12_000, "traces": 4_000, "learn": "all",
}  # fmt: skip
SMALL: dict[str, Any] = {"width": 16, "layers": 1, "examples": 4, "traces": 4, "batch": 2}
HERE = (
    "A Llama of 1.1 million parameters, made from nothing and cloned, seed by seed, on what a teacher thinks and does "
    "in 4,000 scenarios of `text/grid` and of `text/quests`, a tenth of its actions slips that are mended and not "
    "learnt. 200 held-out scenarios; at most 64 calls of an episode on the grid and 96 in the quests, in every arm. "
    "World, model and language are small, the method is whole; what a model that was trained on the world's texts "
    "makes of the same agents is not measured here, and `--model` runs it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """An agent, and what its model was shown.

    Attributes:
        what: it is, in words.
        agent: plays.
        shown: the agent that the teacher demonstrated.
        thinks: before it acts.
        mixed: the thoughts that it was shown are those of other turns.
        fixed: what is said in the model's place, by purpose.
    """

    what: str
    agent: Agent
    shown: Agent = turns
    thinks: bool = True
    mixed: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])


VOTE = Arm(what="only acts; several episodes by vote, at equal calls", agent=Majority(episodes=8), thinks=False)
AGAIN = Arm(what="only acts; tries again until it succeeds, at equal calls",
            agent=Reflexion(trials=8, reflects=False), thinks=False)  # fmt: skip


def named(arms: Mapping[str, Arm]) -> dict[str, str]:
    """The arms of a recipe: each in each world."""
    return {f"{name}-{world}": f"{arm.what}, {world}" for world in WORLDS for name, arm in arms.items()}


def claims(name: str, over: str, off: str) -> tuple[Claim, ...]:
    """What each recipe of an agent claims: its form is learnt; what it gains is an open question."""
    return tuple(
        claim
        for world in WORLDS
        for claim in (
            Claim(text=f"at most one answer in twenty cannot be read, {world}", metric="malformed",
                  arm=f"{name}-{world}", bar=0.05, most=True),
            Claim(text=f"more succeeds than by acting alone at equal calls, {world}", metric="success",
                  arm=f"{name}-{world}", over=f"{over}-{world}", bar=0.0, must=False),
            Claim(text=f"and than with its mechanism off, {world}", metric="success", arm=f"{name}-{world}",
                  over=f"{off}-{world}", bar=0.0, must=False),
        )
    )  # fmt: skip


def measured(t: Trial, arms: Mapping[str, Arm]) -> Numbers:
    """What an agent does on held-out scenarios: success with Wilson's share, answers that cannot be read, calls."""
    name, _, place = t.arm.rpartition("-")
    arm, (spec, options, calls, positions) = arms[name], WORLDS[place]
    torch.set_num_threads(2)
    world = load_world(spec, options | ({"train": 8, "test": 2} if t.miniature else {}))
    form = Form(thinks=arm.thinks)
    if t.model:
        policy = LanguageModel.load(t.model)
    else:
        its = BASE | (SMALL if t.miniature else {}) | {"positions": positions, "seed": t.seed}
        about = [spec, repr(options), repr(arm.shown if arm.shown is not turns else "turns"), repr(t.miniature)]
        policy = clone(
            world, arm.shown, form, WorldBaseConfig.model_validate(its), about=about, say=t.say, mixed=arm.mixed
        )
    speaks = Local(policy, seed=t.seed, max_tokens=4 if t.miniature else 96)
    model: Model = _Fixed(speaks, arm.fixed) if arm.fixed else speaks
    limit = 8 if t.miniature else calls
    return told(play(arm.agent, world, world.scenarios("test"), model, form, calls=limit))


def told(episodes: Sequence[Episode]) -> dict[str, float]:
    """Of episodes: the share that succeeded, of answers that could not be read, and what they took."""
    return {
        "success": fmean(e.success for e in episodes),
        "malformed": sum(e.malformed for e in episodes) / max(1, sum(e.asked for e in episodes)),
        "calls": fmean(e.asked for e in episodes),
        "undone": fmean(e.undone for e in episodes),
    }


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A model that is not asked for some purposes."""

    model: Model
    fixed: Mapping[str, str]

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        if purpose in self.fixed:
            return self.fixed[purpose]
        return await self.model(messages, purpose=purpose, draw=draw, warm=warm)
