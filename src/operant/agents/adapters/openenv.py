"""Environments behind an OpenEnv server: one WebSocket a session, so that each episode has an environment of its own.

The messages are those of the package `openenv` (0.10; before, `openenv-core`), which need not be installed. What a
server calls a validation error is told to the policy as an error of its action; whatever else goes wrong is a fault of
the world.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from operant.agents.adapters.address import Post, address, is_here
from operant.agents.options import made, number, served
from operant.agents.spoken import block, line
from operant.config.bounded import LARGEST, loads
from operant.config.errors import ConfigError, EnvError, shown
from operant.config.text import whole
from operant.language.episodes.world import Observation, Scenario, World

PORT = 8000
MOST = 1_000_000
"""Scenarios of a split."""
TEXTS = ("text", "message", "content", "prompt", "stdout", "echoed_message")
"""Fields of an observation that are shown alone where the option `show` names none."""


def make(variant: str, **options: Any) -> World:
    """OpenEnv: `openenv` for a server on this machine, or `openenv/http://HOST:PORT`."""
    return made(OpenEnv, "openenv", {"url": variant, **options})


class OpenEnv:
    """An OpenEnv server as a world: a scenario is a seed.

    Args:
        url: its address.
        action: the field of an action that takes the policy's text; "" asks the server's schema for the one field of
            text, "json" lets the policy write the whole action as JSON.
        show: the field of an observation that is shown; "" shows one that is a text by its name, else all as JSON.
        system: the system message.
        train, test: scenarios of each split.
        turns: actions of an episode.
        timeout: seconds of one message.

    Raises:
        ConfigError: if the address is none.
    """

    name = "openenv"
    splits: Sequence[str] = ("train", "test")

    def __init__(
        self, url: str = "", *, action: str = "", show: str = "", system: str = "", train: int = 1024, test: int = 256,
        turns: int = 20, timeout: float = 60.0,
    ) -> None:  # fmt: skip
        self.url = address(url, PORT, self.name)
        self.action, self.show, self.system = action, show, system
        self.turns, self.timeout = served(turns, timeout)
        self._sizes = {"train": train, "test": test}
        for split, size in self._sizes.items():
            number(split, size, 0, MOST, whole=True)

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Seeds; those of the splits differ."""
        if split not in self._sizes:
            raise ConfigError(f"openenv has no split {split!r}: there are train and test")
        first = 0 if split == "train" else self._sizes["train"]
        return [Scenario(id=k, template="openenv", seed=first + k, instruction="") for k in range(self._sizes[split])]

    def open(self, scenario: Scenario) -> _Session:
        """A session with a connection of its own."""
        return _Session(self, scenario)

    def oracle(self, scenario: Scenario) -> None:
        """Servers tell none."""

    async def field(self) -> str:
        """The field of an action that takes a text, as the server's schema has it.

        Raises:
            ConfigError: if there is not one alone.
        """
        if self.action:
            return self.action
        async with Post(self.url, self.timeout) as server:
            schema = await server.ask("GET", "schema")
        try:
            fields: Mapping[str, Any] = schema["action"]["properties"]
            texts = [name for name, about in fields.items() if about.get("type") == "string"]
            required = [name for name in texts if name in (schema["action"].get("required") or ())]
        except (TypeError, KeyError, AttributeError) as error:
            raise EnvError(f"{self.url}/schema: no schema of actions ({error!r})") from error
        found = required if len(required) == 1 else texts
        if len(found) != 1:
            raise ConfigError(
                f"{self.url}: its actions have the fields {', '.join(fields)}. Name the one of text as the option "
                "action, or give json, and let the policy write the whole action"
            )
        self.action = found[0]
        return self.action


class _Session:
    def __init__(self, world: OpenEnv, scenario: Scenario) -> None:
        self.world, self.scenario, self.left = world, scenario, world.turns
        self._socket: Any = None

    async def reset(self) -> Observation:
        """Connect, and begin with the scenario's seed."""
        try:
            from websockets.asyncio.client import connect
            from websockets.exceptions import WebSocketException
        except ImportError as error:
            raise ConfigError(f"an OpenEnv server needs a package ({error}): pip install websockets") from None
        await self.world.field()
        self._faults = (WebSocketException, OSError, TimeoutError)
        here: dict[str, Any] = {"proxy": None} if is_here(self.world.url) else {}
        where = f"ws{self.world.url.removeprefix('http')}/ws"
        try:
            self._socket = await connect(where, open_timeout=self.world.timeout, max_size=LARGEST, **here)
        except self._faults as error:
            raise EnvError(f"{where}: cannot be reached ({error or type(error).__name__})") from error
        data, fault = await self._say("reset", {"seed": self.scenario.seed})
        if fault is not None:
            raise EnvError(f"{where}: the server refuses to begin: {fault}")
        return self._seen(data)

    async def step(self, action: str) -> Observation:
        """Send an action; an action that the server finds invalid is told so."""
        self.left -= 1
        field = await self.world.field()
        try:
            payload = _object(action) if field == "json" else {field: line(action)[1]}
        except ValueError as error:
            return self._cut(Observation(text=f"PARSE {error}", error=f"PARSE {error}"))
        data, fault = await self._say("step", payload)
        if fault is not None:
            return self._cut(Observation(text=f"INVALID {fault}", error=f"INVALID {fault}"))
        return self._cut(self._seen(data))

    async def close(self) -> None:
        """Say so, and end the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(*self._faults):
                await socket.send(json.dumps({"type": "close"}))
                await socket.close()

    def _cut(self, seen: Observation) -> Observation:
        from dataclasses import replace

        return seen if seen.terminated or self.left > 0 else replace(seen, truncated=True)

    async def _say(self, kind: str, data: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
        """What the server answers, and what it finds wrong with what was sent."""
        import asyncio

        try:
            await self._socket.send(json.dumps({"type": kind, "data": data}))
            raw = await asyncio.wait_for(self._socket.recv(), self.world.timeout)
            answer = loads(raw if isinstance(raw, bytes) else raw.encode())
            told, what = answer["data"], answer["type"]
        except self._faults as error:
            raise EnvError(f"{self.world.url}: the connection broke ({error or type(error).__name__})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise EnvError(f"{self.world.url}: an answer of another form ({error!r})") from error
        if what == "error":
            told = told if isinstance(told, Mapping) else {"message": told}
            said = " ".join(str(told.get("message", told)).split())[:300]
            if told.get("code") == "VALIDATION_ERROR":
                return {}, said
            raise EnvError(f"{self.world.url}: {told.get('code', 'error')}: {said}")
        if what != "observation" or not isinstance(told, Mapping):
            raise EnvError(f"{self.world.url}: {what!r} where an observation was to come")
        return told, None

    def _seen(self, data: Mapping[str, Any]) -> Observation:
        fields, reward = data.get("observation", {}), data.get("reward")
        if not isinstance(fields, Mapping):
            raise EnvError(f"{self.world.url}: the observation is {type(fields).__name__}, not an object")
        name = self.world.show or next((n for n in TEXTS if isinstance(fields.get(n), str)), "")
        if self.world.show and self.world.show not in fields:
            raise ConfigError(f"observations have no field {self.world.show!r}: they have {', '.join(fields)}")
        text = fields[name] if name else fields
        if not isinstance(reward, int | float | None) or not math.isfinite(reward or 0.0):
            raise EnvError(f"{self.world.url}: the reward is {shown(reward)}, not a number")
        return Observation(
            text=whole(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)),
            reward=float(reward or 0.0), terminated=bool(data.get("done")),
        )  # fmt: skip


def _object(action: str) -> Mapping[str, Any]:
    code = block(action)[1]
    found = loads((code if code is not None else action.strip()).encode())
    if not isinstance(found, Mapping):
        raise ValueError("the action is no JSON object")
    return found
