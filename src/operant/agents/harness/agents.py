"""Agents without training: each is a few lines on an `Episode`, and differs from the others in what it asks.

What it adds to a model is measured against the model that only acts, at equal calls: several episodes by vote
(`Majority`), or, where an agent is told that it failed, that often again (`Reflexion` that does not reflect).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from operant.agents.harness.episode import Ended, Episode, Form, Model
from operant.language.episodes.world import Scenario, World
from operant.search.voting import majority

PLAN = "Do not act yet. Write a plan in a few lines."
REFLECT = "Do not act yet. Does the plan still lead to the goal? Write CONTINUE, or REPLAN and why."
AGAIN = "You wrote: {}\n" + PLAN
LESSON = "This attempt failed. Write in a few lines what went wrong, and what to do differently the next time."
VALUE = "Do not act yet. How near is the goal? Write a number from 0, out of reach, to 10, reached."
NUMBER = re.compile(r"\d+(?:\.\d+)?")
HIGHEST = 10.0

Agent = Callable[[Episode], Awaitable[None]]
"""Takes an episode from where it stands to its end."""


async def turns(episode: Episode, *, warm: bool = False) -> None:
    """One call, one action: by the form of the episode it only acts, or thinks before (ReAct).

    Source: Yao et al. (2022), ReAct: synergizing reasoning and acting in language models, arXiv:2210.03629.
    """
    while not episode.over:
        await episode.do(await episode.ask("act", warm=warm))


def stumbled(episode: Episode) -> bool:
    """Whether the last action had an error."""
    return episode.steps[-1].seen.error is not None


def every(turns: int) -> Callable[[Episode], bool]:
    """Whether so many turns have passed again."""
    return lambda episode: (len(episode.steps) - 1) % turns == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanActReflect:
    """A plan first; where it is time to, the question whether it still holds; and another plan where it does not.

    Attributes:
        when: it is time to reflect: after an error, or every few turns, whichever hook is given.

    Source: Wang et al. (2023), Describe, explain, plan and select, arXiv:2302.01560.
    """

    when: Callable[[Episode], bool] = stumbled

    async def __call__(self, episode: Episode) -> None:
        """Play."""
        episode.notes = [f"Plan: {await episode.ask('plan', PLAN)}"]
        while not episode.over:
            await episode.do(await episode.ask("act"))
            if not episode.over and self.when(episode):
                said = await episode.ask("reflect", REFLECT)
                if "REPLAN" in said.upper():
                    episode.notes = [f"Plan: {await episode.ask('plan', AGAIN.format(said))}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflexion:
    """Try; where the world says that it failed, write down what is to be learnt of that, and try again with it.

    Attributes:
        trials: at most.
        memory: lessons that are kept, the newest.
        reflects: without, it only tries again: the control at equal calls.

    Source: Shinn et al. (2023), Reflexion: language agents with verbal reinforcement learning, arXiv:2303.11366.
    """

    trials: int = 4
    memory: int = 3
    reflects: bool = True

    async def __call__(self, episode: Episode) -> None:
        """Play."""
        for trial in range(self.trials):
            if trial:
                await episode.begin()
            await turns(episode, warm=trial > 0)
            if episode.success or trial + 1 == self.trials:
                return
            if self.reflects:
                lesson = f"Lesson: {await episode.ask('lesson', LESSON)}"
                episode.notes = [*episode.notes, lesson][-self.memory :]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Best-first search in the world itself: what looks best is gone on from, and what was done is undone by replay.

    A state is reached, given a value by the model, and its candidates wait with that value; after so many states the
    best one is where the episode stands, and the search begins again from there.

    Attributes:
        branch: candidates of a state.
        depth: turns beyond the root.
        states: valued before one is chosen.
        enough: value at which the search ends.

    Source: Koh et al. (2024), Tree search for language model agents, arXiv:2407.01476, algorithm 1; their value is the
    mean of twenty answers, this one of one.
    """

    branch: int = 3
    depth: int = 5
    states: int = 10
    enough: float = 1.0

    async def __call__(self, episode: Episode) -> None:
        """Play."""
        while not episode.over:
            await episode.back(await self._best(episode))

    async def _best(self, episode: Episode) -> list[str]:
        """What is said on the way to the best state that is found below the one in which the episode stands."""
        root, known = episode.said, {episode.steps[-1].seen.state}
        best, worth = list[str](), -1.0
        queue, opened = list[tuple[float, int, int, list[str]]](), 0

        async def open_up(value: float) -> None:
            nonlocal opened
            opened += 1
            said = [await episode.ask("act", warm=k > 0) for k in range(self.branch)]
            for k, each in enumerate(dict.fromkeys(said)):  # of equal values the newest state: little is undone
                heappush(queue, (-value, -opened, k, [*episode.said, each]))

        try:
            await open_up(0.0)
            for _ in range(self.states):
                if not queue:
                    break
                path = heappop(queue)[3]
                await episode.back(path)
                state = episode.steps[-1].seen.state
                if state is not None and state in known and best:
                    continue
                known.add(state)
                value = await self._value(episode)
                if value > worth:
                    best, worth = path, value
                if value >= self.enough:
                    break
                if not episode.over and len(path) - len(root) < self.depth:
                    await open_up(value)
        except Ended:
            if not best:
                raise
        return best

    async def _value(self, episode: Episode) -> float:
        """From 0 to 1; what is no number counts as malformed, and as 0."""
        found = NUMBER.search(await episode.ask("value", VALUE))
        episode.malformed += found is None
        return 0.0 if found is None else min(float(found[0]) / HIGHEST, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority:
    """Several episodes, sampled; the episode stands in the end where most of them ended.

    Attributes:
        episodes: at most; the last is dropped where the calls are spent before its end.

    Source: Wang et al. (2022), Self-consistency improves chain of thought reasoning, arXiv:2203.11171, whose answers
    are here ends of episodes: the last action and what came of it.
    """

    episodes: int = 5

    async def __call__(self, episode: Episode) -> None:
        """Play."""
        ends, ways = list[tuple[str, str]](), list[list[str]]()
        for number in range(self.episodes):
            if number:
                await episode.begin()
            try:
                await turns(episode, warm=number > 0)
            except Ended:
                if not ways:
                    raise
                break
            ends.append((episode.steps[-1].action, episode.steps[-1].seen.text))
            ways.append(episode.said)
        chosen = majority(ends)
        await episode.back(ways[ends.index(chosen)] if chosen is not None else [])


AGENTS: dict[str, tuple[Agent, Form]] = {
    "act": (turns, Form(thinks=False)),
    "react": (turns, Form()),
    "plan-act-reflect": (PlanActReflect(), Form()),
    "reflexion": (Reflexion(), Form()),
    "tree-search": (TreeSearch(), Form()),
    "majority": (Majority(), Form()),
}
"""By name; each with how its model is spoken to."""


async def played(agent: Agent, episode: Episode, said: Sequence[str] = ()) -> str:
    """Play an episode from where these answers lead to; returns why it ended, "" where by itself."""
    try:
        await episode.begin(said)
        await agent(episode)
        return ""
    except Ended as why:
        return str(why)
    finally:
        await episode.close()


def play(
    agent: Agent, world: World, scenarios: Sequence[Scenario], model: Model, form: Form, *, calls: int | None = None,
    together: int = 64,
) -> list[Episode]:  # fmt: skip
    """Episodes of an agent, so many at a time, in the order of their scenarios.

    Args:
        agent, world, scenarios, model, form, calls: as of `Episode`.
        together: at a time: a model of this machine answers those that wait in one batch.
    """
    episodes = [Episode(world, s, model, form=form, calls=calls, key=k) for k, s in enumerate(scenarios)]

    async def run() -> None:
        room = asyncio.Semaphore(together)

        async def one(episode: Episode) -> None:
            async with room:
                await played(agent, episode)

        await asyncio.gather(*map(one, episodes))

    asyncio.run(run())
    return episodes
