"""A small model that writes what a teacher writes for an agent: thoughts, actions, plans, lessons, values.

What is learnt is what the agent's own harness asked and the teacher answered, call by call, in the messages in which
the model will be asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from copy import copy
from functools import lru_cache

from operant.agents.harness.agents import Agent, played
from operant.agents.harness.episode import Episode, Form
from operant.agents.harness.teachers import Taught, teacher_of
from operant.data.streams import Streams
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.message_graph import MessageGraph
from operant.language.episodes.runner import Asked, Played
from operant.language.episodes.world import Scenario, World
from operant.language.learn.oracle import examples
from operant.language.learn.setup import adamw
from operant.language.learn.sft import sft
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.model.small_base import kept
from operant.language.settings.worlds import CloneConfig, WorldBaseConfig
from operant.language.text.epochs import Shuffled
from operant.run.job import Say

KNOWN_BY = 16
"""Episodes by which a clone is found again: another agent, or another teacher, says something else in them."""


def demonstrations(
    world: World, scenarios: Sequence[Scenario], agent: Agent, form: Form, *, slip: float = 0.1, seed: int = 0
) -> list[tuple[Episode, Taught]]:
    """Episodes of an agent that a teacher answers."""
    teacher, found = teacher_of(world), list[tuple[Episode, Taught]]()

    async def run() -> None:
        for k, scenario in enumerate(scenarios):
            taught = Taught(teacher, thinks=form.thinks, slip=slip, seed=1_000_000 * seed + k)
            taught.episode = Episode(world, scenario, taught, form=form, key=k)
            await played(agent, taught.episode)
            found.append((taught.episode, taught))

    asyncio.run(run())
    return found


def rows(policy: LanguageModel, shown: Sequence[tuple[Episode, Taught]]) -> list[Played]:
    """The calls of demonstrations as episodes to imitate; slips are read, and not learnt."""
    dialogue, found = Dialogue(policy), list[Played]()
    dialogue.rendering = its = copy(dialogue.rendering)
    its.following = lru_cache(1_000)(its.following)  # each call says again what all before it said
    for episode, taught in shown:
        graph = MessageGraph()
        for number, call in enumerate(line for line in episode.log if "call" in line):
            leaf = graph.prompt(dialogue.prompt(call["messages"]), number)
            tokens = dialogue.answer(call["said"])
            if number in taught.slips:
                graph.forced(leaf, number, tokens)
            else:
                graph.sampled(leaf, number, tokens, none := (0.0,) * len(tokens), none)
        scenario = episode.scenario
        found.append(Played(asked=Asked(id=scenario.id, group=0, member=0, scenario=scenario), graph=graph))
    return found


def shuffled(shown: Sequence[tuple[Episode, Taught]], seed: int) -> None:
    """The control, for an agent of one call a turn: each thought becomes that of another turn, where it is learnt and
    where it is read."""
    calls = [line for episode, _ in shown for line in episode.log if line.get("call") == "act"]
    thoughts = [line["said"].rpartition("\n")[0] for line in calls]
    random.Random(seed).shuffle(thoughts)
    for episode, _ in shown:
        told = list[str]()
        for line in (line for line in episode.log if line.get("call") == "act"):
            before = iter(told)
            line["messages"] = [
                {**m, "content": next(before)} if m["role"] == "assistant" else m for m in line["messages"]
            ]
            told.append(f"{thoughts.pop()}\n{line['said'].rpartition(chr(10))[2]}")
            line["said"] = told[-1]


def clone(
    world: World,
    agent: Agent,
    form: Form,
    base: WorldBaseConfig,
    *,
    about: Sequence[str],
    say: Say,
    mixed: bool = False,
) -> LanguageModel:
    """A small model cloned on what a teacher says for an agent, made at the first call and found later.

    Args:
        world, agent, form: of the demonstrations, in the first scenarios of train.
        base: the model, and how it is trained.
        about: the world's name and options, under which it is kept, beside what the teacher said in its first episodes.
        say: given a line for the person who waits.
        mixed: thoughts are shuffled: the control.
    """

    def make() -> LanguageModel:
        shown = demonstrations(world, world.scenarios("train")[: base.traces], agent, form, seed=base.seed)
        if mixed:
            shuffled(shown, base.seed)
        texts = (text for episode, _ in shown for text in _texts(episode))
        policy = fresh(base, texts)
        data = Shuffled(examples(rows(policy, shown), everything=base.learn == "all"), Streams(base.seed))
        settings = CloneConfig(batch=base.batch, length=base.positions, lr=base.lr, warmup=0.05)
        for _ in sft(settings, data, policy, adamw([policy], base.lr, 0.0), total_steps=base.examples):
            if data.steps >= base.examples:
                break
        return policy

    first = demonstrations(world, world.scenarios("train")[: min(KNOWN_BY, base.traces)], agent, form, seed=base.seed)
    known = [episode.log for episode, _ in first]
    where = kept(["agent", 1, base.model_dump(), *about, known, mixed], "a teacher of agents", make, say)
    return LanguageModel.load(str(where))


def _texts(episode: Episode) -> list[str]:
    """What stands in the last conversation, and what was said besides."""
    calls = [line for line in episode.log if "call" in line]
    last = [message["content"] for message in calls[-1]["messages"]] if calls else []
    return [*last, *(line["said"] for line in calls if line["call"] != "act")]
