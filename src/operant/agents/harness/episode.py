"""An episode as an agent has it: it asks a model, acts in a world, and all of it is written down.

    observation → formatter → messages → model → parser → tool or world → observation

An action that cannot be read is answered in words and counted, and ends nothing. A world is taken back to an earlier
turn by beginning anew and doing the same again, which is exact where its scenarios are deterministic; so is one that
broke, to the turn in which it did, and no call is made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from operant.agents.spoken import parts
from operant.agents.watch import Step, success
from operant.language.episodes.history import LEFT_OUT, Past, messages_of
from operant.language.episodes.world import Observation, Scenario, Session, World
from operant.language.text.rendering import Message

THINK = "Each turn first write in a line or two what you think, then, last, the action."
TOOLS = "In place of an action you may call a tool, on a last line of its own: tool NAME TEXT. The tools:"
TOOL = "tool "
RETRIES = 2
"""Times that a world is begun anew in a turn, after it broke."""
UNREADABLE = "PARSE"
"""How the errors of actions begin that could not be read."""

Tool = tuple[str, Callable[[str], str]]
"""What it does, and the function of the text behind its name; a ValueError of it is told to the model."""


class Ended(Exception):
    """No more can be asked: the calls are spent, or the conversation does not fit into the model."""


class Model(Protocol):
    """Whatever answers messages: a server, a model of this machine, a teacher."""

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        """An answer.

        Args:
            messages: the conversation.
            purpose: what for: act, plan, reflect, lesson, value.
            draw: (episode, call), which key what is drawn.
            warm: sampled at temperature 1, whatever the model's own is.

        Raises:
            Ended: if they do not fit.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a model is spoken to, and how it is read.

    Attributes:
        thinks: it is asked to think before it acts; else the world's own words are all it is told.
        tools: by name.
        most: characters of an observation.
    """

    thinks: bool = True
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    most: int = 8_000

    def system(self, world: World) -> str:
        """The system message."""
        told = [world.system, THINK if self.thinks else ""]
        if self.tools:
            told += [TOOLS, *(f"{name}: {what}" for name, (what, _) in self.tools.items())]
        return "\n".join(filter(None, told))

    def shown(self, seen: Observation) -> str:
        """An observation as it is shown."""
        return seen.text if len(seen.text) <= self.most else seen.text[: self.most] + LEFT_OUT

    def calls(self, action: str) -> bool:
        """Whether an action is for a tool, and not for the world."""
        return bool(self.tools) and action.startswith(TOOL)

    def used(self, action: str) -> Observation | None:
        """What a tool says to an action; None where it calls none."""
        if not self.calls(action):
            return None
        name, _, text = action[len(TOOL) :].partition(" ")
        if name not in self.tools:
            error = f"{UNREADABLE} there is no tool {name!r}: there is {', '.join(self.tools)}"
            return Observation(text=error, error=error)
        try:
            return Observation(text=self.tools[name][1](text))
        except ValueError as why:
            error = f"{UNREADABLE} {name} cannot read it: {why}"
            return Observation(text=error, error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question to the model."""

    purpose: str
    messages: Sequence[Message]
    said: str


class Episode:
    """One episode of an agent.

    Args:
        world, scenario: where.
        model: who answers.
        form: how it is spoken to.
        calls: of the model at most; without limit if None.
        key: of its draws.
        tell: told each step and call when it has been made.

    Attributes:
        steps: those that led to where it stands, the beginning first.
        notes: plans and lessons, shown behind the first observation.
        asked, malformed: calls, and answers that could not be read.
        undone: times that the world was begun anew to stand at an earlier turn.
        log: every begin, call and step, as a trace keeps them.
    """

    def __init__(
        self, world: World, scenario: Scenario, model: Model, *, form: Form | None = None, calls: int | None = None,
        key: int = 0, tell: Callable[[Step | Call], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.world, self.scenario, self.model, self.form = world, scenario, model, form or Form()
        self.calls, self.key, self.tell = calls, key, tell
        self.steps, self.notes, self.log = list[Step](), list[str](), list[dict[str, Any]]()
        self.asked = self.malformed = self.undone = 0
        self._session: Session | None = None
        self._done: set[tuple[str, ...]] = set()

    @property
    def said(self) -> list[str]:
        """The answers that were acted on."""
        return [step.said for step in self.steps[1:]]

    @property
    def over(self) -> bool:
        """Whether no turn is left."""
        seen = self.steps[-1].seen
        return seen.terminated or seen.truncated or len(self.steps) > self.world.turns

    @property
    def success(self) -> bool:
        """Whether it stands at a success."""
        return success([step.seen for step in self.steps])

    async def begin(self, said: Sequence[str] = (), *, again: bool = False) -> None:
        """Begin, or begin anew, and do what was said; `again` says that it is not the first time."""
        self.steps = []
        self._stepped(Step(number=0, thought="", action="", seen=await self._answer(None), again=again))
        for each in said:
            await self.do(each, again=again)

    async def back(self, said: Sequence[str]) -> None:
        """Stand where these answers lead, of which the last may be new: from here, or by beginning anew."""
        here = self.said
        if list(said[: len(here)]) != here:
            self.undone += 1
            here = [*said] if tuple(said) in self._done else [*said[:-1]]
            await self.begin(here, again=True)
        for each in said[len(here) :]:
            await self.do(each)

    async def do(self, said: str, *, again: bool = False) -> Observation:
        """Act on an answer: a tool's, or the world's."""
        thought, action = parts(said)
        seen = self.form.used(action) or await self._answer(said)
        self._done.add((*self.said, said))
        self.malformed += not again and (seen.error or "").startswith(UNREADABLE)
        self._stepped(
            Step(number=len(self.steps), thought=thought, action=action, seen=seen, said=said, again=again)
        )  # fmt: skip
        return seen

    async def ask(self, purpose: str, question: str = "", *, warm: bool = False) -> str:
        """An answer of the model to all of the conversation, with a question behind it.

        Raises:
            Ended: if the calls are spent, or it does not fit.
        """
        if self.calls is not None and self.asked >= self.calls:
            raise Ended("calls")
        messages = self.messages(question)
        said = await self.model(messages, purpose=purpose, draw=(self.key, self.asked), warm=warm)
        self.asked += 1
        call = Call(purpose=purpose, messages=messages, said=said)
        self.log.append({"call": purpose, "messages": [*messages], "said": said})
        self.tell(call)
        return said

    def messages(self, question: str = "") -> list[Message]:
        """The conversation: what was shown and said, plans and lessons behind the first observation."""
        shown = [self.form.shown(step.seen) for step in self.steps]
        shown[0] = "\n".join([shown[0], *self.notes])
        past = [Past(a, said, b) for a, said, b in zip(shown, self.said, shown[1:], strict=False)]
        now = f"{shown[-1]}\n{question}" if question else shown[-1]
        return messages_of("full", self.form.system(self.world), self.scenario.instruction, past, now)

    async def close(self) -> None:
        """End the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _answer(self, said: str | None) -> Observation:
        """What the world says to an answer, or, to None, where it begins; the last thing it raises where it breaks."""
        faults = 0
        while True:
            try:
                if said is None:
                    return await self._open()
                if faults or self._session is None:
                    await self._open()
                assert self._session is not None
                return await self._session.step(said)
            except Exception:
                faults += 1
                if faults > RETRIES:
                    raise

    async def _open(self) -> Observation:
        """Begin a session, and do what was done; returns what is seen there."""
        await self.close()
        self._session = self.world.open(self.scenario)
        seen = await self._session.reset()
        for each in self.said:
            if not self.form.calls(parts(each)[1]):
                seen = await self._session.step(each)
        return seen

    def _stepped(self, step: Step) -> None:
        self.steps.append(step)
        seen = step.seen
        kept = {"step": step.number, "said": step.said, "thought": step.thought, "action": step.action,
                "result": seen.text, "reward": seen.reward, "error": seen.error, "state": seen.state,
                "again": step.again}  # fmt: skip
        self.log.append(kept)
        self.tell(step)
