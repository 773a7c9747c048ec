"""AppWorld's tasks, through its own server (`appworld serve environment`), for those who have its data.

A server holds one world, so as many episodes are under way at once as there are servers. Source: Trivedi et al. (2024),
AppWorld; the routes are those of its environment server, version 0.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from operant.agents.adapters.address import Post, address
from operant.agents.options import made, served
from operant.agents.spoken import block
from operant.config.bounded import decoded, read_bytes
from operant.config.errors import ConfigError, EnvError, OperantError
from operant.config.text import home_path, whole
from operant.language.episodes.world import Observation, Scenario, World

PORT = 8000
SYSTEM = """\
You do tasks for a person by calling the APIs of apps, in Python. Write one block of code a turn:
```python
print(apis.api_docs.show_app_descriptions())
```
What it prints is shown to you. Variables stay from turn to turn. When the task is done call
apis.supervisor.complete_task(), with answer=... where one was asked for."""


def make(variant: str, **options: Any) -> World:
    """AppWorld: `appworld` for a server on this machine, or `appworld/http://HOST:PORT`; several, parted by commas."""
    return made(AppWorld, "appworld", {"urls": variant, **options})


class AppWorld:
    """AppWorld as a world.

    Args:
        urls: addresses of its servers, parted by commas.
        train, test: files with the ids of the tasks of each split, one a line.
        turns: actions of an episode.
        partial: reward the share of the tests that fail if nothing is done; else all or nothing.
        timeout: seconds of one request.
        experiment: the name under which the server keeps what it writes.

    Raises:
        ConfigError: if an address is none, or a file cannot be read.
    """

    name = "appworld"
    system = SYSTEM

    def __init__(
        self, urls: str = "", *, train: str = "", test: str = "", turns: int = 40, partial: bool = True,
        timeout: float = 120.0, experiment: str = "operant",
    ) -> None:  # fmt: skip
        self.urls = [address(url.strip(), PORT, self.name) for url in urls.split(",")]
        self.partial, self.experiment = partial, experiment
        self.turns, self.timeout = served(turns, timeout)
        self._tasks = {name: _ids(file) for name, file in (("train", train), ("test", test)) if file}
        if not self._tasks:
            raise ConfigError("appworld needs the ids of its tasks: give a file with one a line as train, or as test")
        self.splits: Sequence[str] = tuple(self._tasks)
        self._free: asyncio.Queue[str] | None = None

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """The tasks of a split; their words are the server's to tell, in the first observation."""
        if split not in self._tasks:
            raise ConfigError(f"appworld has no split {split!r}: give a file of its tasks as the option {split}")
        return [
            Scenario(id=k, template=task.rpartition("_")[0] or task, seed=k, instruction="", variant=_variant(task))
            for k, task in enumerate(self._tasks[split])
        ]

    def open(self, scenario: Scenario) -> _Session:
        """A session, which waits for a server that is free."""
        found = next((ids[scenario.id] for ids in self._tasks.values() if _is(ids, scenario)), None)
        if found is None:
            raise ConfigError(f"scenario {scenario.id} is none of appworld's")
        return _Session(self, found)

    def oracle(self, scenario: Scenario) -> None:
        """Its solutions are not told by the server."""

    async def lease(self) -> str:
        """A server that nobody uses."""
        if self._free is None:
            self._free = asyncio.Queue()
            for url in self.urls:
                self._free.put_nowait(url)
        return await self._free.get()

    def give_back(self, url: str) -> None:
        """It is free again."""
        assert self._free is not None
        self._free.put_nowait(url)


class _Session:
    def __init__(self, world: AppWorld, task: str) -> None:
        self.world, self.task, self.left = world, task, world.turns
        self._server: Post | None = None

    async def reset(self) -> Observation:
        """Begin the task; its words, and for whom it is done."""
        self._server = Post(await self.world.lease(), self.world.timeout)
        begun = await self._call("initialize", experiment_name=self.world.experiment)
        if not isinstance(begun, Mapping) or "instruction" not in begun:
            raise EnvError(f"{self._server.url}/initialize: no instruction in the answer")
        person = begun["supervisor"] if isinstance(begun.get("supervisor"), Mapping) else {}
        who = " ".join(
            str(person[key]) for key in ("first_name", "last_name", "email", "phone_number") if key in person
        )
        return Observation(
            text=whole(f"Task: {begun['instruction']}\nI am {who}." if who else f"Task: {begun['instruction']}")
        )

    async def step(self, action: str) -> Observation:
        """Run the code of an action; where the task ends, what the tests say."""
        self.left -= 1
        code = block(action)[1]
        if code is None:
            error = "PARSE no block of code"
            text = f"{error}: write one, begun by ```python and ended by ```"
            if self.left > 0:
                return Observation(text=text, error=error)
        else:
            text = whole(str(await self._call("execute", code=code)))
            error = "EXECUTION failed" if text.startswith("Execution failed") else None
        done = bool(await self._call("task_completed"))
        if not done and self.left > 0:
            return Observation(text=text, error=error)
        reward, success = self._reward(await self._call("evaluate", suppress_errors=True, report=False))
        return Observation(
            text=text, error=error, reward=reward, terminated=done, truncated=not done, info={"success": success}
        )

    async def close(self) -> None:
        """End the task at the server, which is free then."""
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(OperantError):
            await server.ask("POST", "close", {"task_id": self.task})
        await server.close()
        self.world.give_back(server.url)

    async def _call(self, method: str, **fields: Any) -> Any:
        assert self._server is not None
        answer = await self._server.ask("POST", method, {"task_id": self.task, **fields})
        if not isinstance(answer, Mapping) or "output" not in answer:
            raise EnvError(f"{self._server.url}/{method}: an answer without output")
        return answer["output"]

    def _reward(self, told: Any) -> tuple[float, bool]:
        """The share of the tests that an agent who does nothing fails, or 1 where all pass."""
        try:
            passed, failed, success = told["passes"], told["failures"], bool(told["success"])
            counted = [[t for t in tests if t.get("label") != "no_op_pass"] for tests in (passed, failed)]
            harm = sum(t.get("label") == "no_op_pass" for t in failed)  # what was right before, and is not any more
        except (TypeError, KeyError, AttributeError) as error:
            raise EnvError(f"appworld's evaluation has another form ({error!r})") from error
        if success or not self.world.partial:
            return float(success), success
        needed = len(counted[0]) + len(counted[1])
        return (max(len(counted[0]) - harm, 0) / needed if needed else 0.0), False


def _ids(file: str) -> list[str]:
    try:
        found = [line.strip() for line in decoded(read_bytes(home_path(file))).splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file}: the ids of tasks cannot be read ({error})") from error
    ids = [line for line in found if line]
    if not ids:
        raise ConfigError(f"{file} names no task: write one id a line")
    return ids


def _variant(task: str) -> int:
    last = task.rpartition("_")[2]
    return int(last) if last.isdecimal() else 0


def _is(ids: Sequence[str], scenario: Scenario) -> bool:
    if scenario.id >= len(ids):
        return False
    task = ids[scenario.id]
    return (task.rpartition("_")[0] or task) == scenario.template and _variant(task) == scenario.variant
