"""The desk as a world of many turns: messages, contacts, payments, notes, mail, shop, calendar, behind typed calls.

`desk` has all apps and tasks, `desk/tiny` three apps and the tasks that they suffice for. The form is a block of
Python a turn, which runs in the sandbox (`operant.workers.sandbox`) with variables that stay, or, in `desk/calls` and
`desk/tiny/calls`, one call a turn. Databases, requirements and solutions are in this process, never in the sandbox's.
After AppWorld (Trivedi et al. 2024), of which nothing is used; its numbers are not comparable.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from operant.agents.cases import FIRST_SEED, Cases, Scenarios, Task, open_at_start
from operant.agents.desk import codecs
from operant.agents.desk.apps import calendar, contacts, desk, mail, messages, notes, payments, shop
from operant.agents.desk.draft import FULL, NOW, TINY, Draft, base
from operant.agents.desk.endpoints import ENDPOINTS, Desk, Endpoint
from operant.agents.desk.tasks import calendar as of_calendar
from operant.agents.desk.tasks import office, phone
from operant.agents.desk.tasks import payments as of_payments
from operant.agents.desk.tasks import shop as of_shop
from operant.agents.desk.tasks.template import TEMPLATES, Template
from operant.agents.goals import Verdict, judge
from operant.agents.options import made, number
from operant.agents.store import Store
from operant.config.errors import ConfigError, EnvError
from operant.config.suggest import nearest_are
from operant.language.episodes.world import Observation, Scenario
from operant.workers.sandbox import Interpreter, Limits, Sandbox

APPS = (desk, messages, contacts, payments, notes, mail, shop, calendar)
TASKS = (of_payments, phone, office, of_shop, of_calendar)
TINY_CALLS = (
    "desk.now desk.complete api_docs.apps api_docs.app api_docs.call messages.search messages.thread messages.unread "
    "messages.get messages.send messages.star messages.delete contacts.search contacts.get contacts.by_number "
    "contacts.add contacts.update payments.search_users payments.user payments.balance payments.send payments.request "
    "payments.transactions payments.requests payments.approve payments.decline"
)
SPLITS = ("train", "test", "template", "app")
MEMORY = 256 << 20
"""Bytes of an episode's process: hundreds may be in flight."""
PRELOAD = ("math", "json", "re", "datetime", "time", "collections", "itertools", "functools", "string")
"""What blocks may import: every module costs each fork some microseconds."""

SYSTEM = """\
You do tasks for the owner of a desk by calling its apps. {form}
api_docs.apps() lists the apps, api_docs.app(name) the calls of one. Lists come in pages: page=0, 1, and so on.
When the task is done call desk.complete(), or desk.complete(answer=...) where an answer is asked for."""
BLOCKS = "Each turn write one block of Python, ```python ... ```; you see what it prints, and variables stay."
CALLS = "Each turn write one call on a line of its own, like app.name(key=value)."


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario's world and task, and the calls that solve it."""

    snapshot: bytes
    task: Task
    calls: Sequence[tuple[str, dict[str, Any]]] = ()


class DeskWorld:
    """Scenarios and sessions of the desk.

    Args:
        tiny: three apps and no passwords.
        form: a block of Python a turn, or one call a turn.
        seeds: worlds of each split; every template asks three variants in each.
        reward: `score` pays what was brought about less what was damaged (`goals.Verdict`), `solved` 1 or 0. Either is
            paid where the policy says that the task is complete; damage costs wherever the episode ends.
        docs: have every call's signature in the system message.
        terse: for policies that know what to do: no system message but `docs`, and calls answer in tables, not in JSON.
        turns: the most actions of an episode.
        output: characters of an observation.
        seconds: of a block, on the clock.
        calls: of a block.
    """

    def __init__(
        self, tiny: bool = False, form: Literal["blocks", "calls"] = "blocks", *, seeds: int = 200,
        reward: Literal["score", "solved"] = "score", docs: bool = False, terse: bool = False, turns: int | None = None,
        output: int = 3_000, seconds: float = 10.0, calls: int = 1_000,
    ) -> None:  # fmt: skip
        for name, value, low, high, whole in (
            ("seeds", seeds, 1, 100_000, True),
            ("turns", 1 if turns is None else turns, 1, 10_000, True),
            ("output", output, 100, 100_000, True),
            ("seconds", seconds, 0.1, 600, False),
            ("calls", calls, 1, 100_000, True),
        ):
            number(name, value, low, high, whole=whole)
        yes = (True, False)
        for name, value, known in (("reward", reward, ("score", "solved")), ("docs", docs, yes), ("terse", terse, yes)):
            if value not in known:
                raise ConfigError(f"option {name} is {value!r}: give one of {', '.join(map(str, known))}")
        self.tiny, self.form, self.seeds, self.reward, self.output = tiny, form, seeds, reward, output
        self.name = "desk" + "/tiny" * tiny + "/calls" * (form == "calls")
        self.turns = turns or (12 if tiny else 50 if form == "blocks" else 200)
        names = (
            TINY_CALLS.split() if tiny else [e.full for app in desk.DOES for e in ENDPOINTS.values() if e.app == app]
        )
        self.offered: dict[str, Endpoint] = {name: ENDPOINTS[name] for name in names}
        self.templates = {name: TEMPLATES[name] for name in sorted(TEMPLATES) if TEMPLATES[name].tiny or not tiny}
        self.splits: Sequence[str] = tuple(s for s in SPLITS if s != "app" or not tiny)
        lines = "\n".join(f"{e.signature}: {e.doc}" for e in self.offered.values()) if docs else ""
        system = "" if terse else SYSTEM.format(form=BLOCKS if form == "blocks" else CALLS)
        self.system = f"{system}\nThe calls:\n{lines}".lstrip() if docs else system
        self.shown: Callable[[Any], str] = codecs.table if terse else partial(json.dumps, ensure_ascii=False)
        self._limits = Limits(seconds=seconds, calls=calls, output=max(output, 1_000), memory=MEMORY)
        self._sandbox: Sandbox | None = None
        self.case = Cases(self._draw)

    @property
    def sandbox(self) -> Sandbox:
        """Where blocks run; started when it is first asked for, and again where it is gone."""
        if self._sandbox is None or not self._sandbox.alive:
            self._sandbox = Sandbox(list(self.offered), limits=self._limits, preload=PRELOAD)
        return self._sandbox

    def of(self, split: str) -> list[Template]:
        """The templates of a split. Raises ConfigError if there is no such split."""
        if split not in self.splits:
            raise ConfigError(f"{self.name} has no split {split!r}{nearest_are(split, self.splits)}")
        return [t for t in self.templates.values() if t.split == ("train" if split == "test" else split)]

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Three variants of every template in every world: what stands at 3k, 3k + 1, 3k + 2 is one scenario's."""
        names = [t.name for t in self.of(split)]
        return Scenarios(names, self.seeds, FIRST_SEED[split], self._asked)

    def _asked(self, template: str, seed: int, variant: int) -> str:
        return self.case(template, seed, variant).task.instruction

    def _draw(self, template: str, seed: int, rng: random.Random) -> Case | None:
        """World and task of draws, if there is all to do and the oracle does it."""
        draft = Draft(base(seed, TINY if self.tiny else FULL), rng, locks=not self.tiny)
        try:
            task = self.templates[template].make(draft)
            if not open_at_start(task.expected, draft.store):
                return None
            found = Case(draft.store.snapshot(), task)
        finally:
            draft.store.close()
        solved, calls = self._replay(found, task.steps)
        return replace(found, calls=calls) if solved.solved else None

    def solved_by(self, case: Case, blocks: Sequence[str]) -> Verdict:
        """What blocks of Python make of a task, run here and now.

        Raises:
            EnvError: if the sandbox ended one of them: that says nothing about the task.
        """
        return self._replay(case, blocks)[0]

    def _replay(self, case: Case, blocks: Sequence[str]) -> tuple[Verdict, Sequence[tuple[str, dict[str, Any]]]]:
        desk = self.begin(case)
        interpreter = self.sandbox.open(desk.call)
        try:
            for block in blocks:
                outcome = interpreter.run(block)
                if outcome.ended is not None:
                    raise EnvError(f"the sandbox ended a block of {self.name}'s own: {outcome.ended}")
            return judge(case.task.expected, case.task.answer, desk.store.changes(), desk.answer), desk.calls
        finally:
            interpreter.close()
            desk.store.close()

    def begin(self, case: Case) -> Desk:
        """A scenario's desk at its beginning."""
        return Desk(Store(case.snapshot, NOW), self.offered, locks=not self.tiny)

    def open(self, scenario: Scenario) -> DeskSession:
        """An episode."""
        return DeskSession(self, self.case(scenario.template, scenario.seed, scenario.variant))

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """Actions that solve it; in the form of calls, those that its blocks make."""
        case = self.case(scenario.template, scenario.seed, scenario.variant)
        if self.form == "blocks":
            return [codecs.fenced(block) for block in case.task.steps]
        return [codecs.written(name, arguments) for name, arguments in case.calls]

    def close(self) -> None:
        """End the sandbox."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None


class DeskSession:
    """One episode."""

    def __init__(self, world: DeskWorld, case: Case) -> None:
        self._world, self._case, self._turn = world, case, 0
        self.desk: Desk | None = None
        self._interpreter: Interpreter | None = None

    async def reset(self) -> Observation:
        """The task in words."""
        if self._world.form == "blocks":
            await asyncio.sleep(0)  # whoever runs coroutines that never wait in place sees at once that these do
        await self.close()
        self.desk, self._turn = self._world.begin(self._case), 0
        return Observation(text=f"Task: {self._case.task.instruction}")

    async def step(self, action: str) -> Observation:
        """Do what the action says; the reward comes with the end."""
        assert self.desk is not None, "reset() comes first"
        self._turn += 1
        if self._world.form == "calls":
            text, error = codecs.do(self.desk, action, self._world.output, self._world.shown)
        else:
            text, error = await self._run(action)
        return self._observe(self.desk, text, error)

    async def close(self) -> None:
        """Forget the database, end the process."""
        if self._interpreter is not None:
            self._interpreter.close()
            self._interpreter = None
        if self.desk is not None:
            self.desk.store.close()
            self.desk = None

    async def _run(self, action: str) -> tuple[str, str | None]:
        code = codecs.code_of(action)
        if code is None:
            return codecs.NO_BLOCK, codecs.NO_BLOCK
        assert self.desk is not None
        if self._interpreter is None:
            self._interpreter = self._world.sandbox.open(self.desk.call)
        return codecs.said(await self._interpreter.arun(code), self._world.output)

    def _observe(self, desk: Desk, text: str, error: str | None) -> Observation:
        truncated = not desk.completed and self._turn >= self._world.turns
        info: dict[str, float | str | bool] = {"calls": float(len(desk.calls)), "docs": float(len(desk.read))}
        reward = 0.0
        if desk.completed or truncated:
            task = self._case.task
            verdict = judge(task.expected, task.answer, desk.store.changes(), desk.answer)
            reward, told = verdict.paid(desk.completed, self._world.reward)
            info |= told
        return Observation(
            text=text, reward=reward, terminated=desk.completed, truncated=truncated, error=error, info=info,
            state=state_of(desk),
        )  # fmt: skip


def state_of(desk: Desk) -> str:
    """Equal for equal databases, logins and answers of one scenario."""
    return desk.store.digest(sorted(desk.logged_in), desk.completed, desk.answer)


VARIANTS: dict[str, tuple[bool, Literal["blocks", "calls"]]] = {
    "": (False, "blocks"),
    "calls": (False, "calls"),
    "tiny": (True, "blocks"),
    "tiny/calls": (True, "calls"),
}


def make(variant: str = "", **options: Any) -> DeskWorld:
    """The desk, by what stands behind `desk/`: nothing, `calls`, `tiny`, `tiny/calls`.

    Raises:
        ConfigError: for another variant, an option that it does not take, or one out of range.
    """
    name = f"desk/{variant}".rstrip("/")
    if variant not in VARIANTS:
        hint = nearest_are(name, [f"desk/{v}".rstrip("/") for v in VARIANTS])
        raise ConfigError(
            f"there is no world {name}{hint or ': there is desk, desk/calls, desk/tiny, desk/tiny/calls'}"
        )
    tiny, form = VARIANTS[variant]
    return made(partial(DeskWorld, tiny, form), name, options)
