"""Tasksets and environments of the package `verifiers`: `verifiers/module:Taskset`, `verifiers/file.py:make`.

Of version 1 a taskset whose tasks are answered in one message: their `@reward` functions judge it. Of version 0 an
environment with a data set, a rubric, and, where it has several turns, `env_response`. What needs a runtime or a
container is refused, and tools over MCP are not served. Naming one imports its code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from operant.agents.options import made
from operant.config.errors import ConfigError, EnvError
from operant.language.episodes.world import Observation, Scenario, Session, World
from operant.workers.resolve import own_code

MOST = 10_000
"""Tasks of a split."""
UNSERVED = ("NEEDS_CONTAINER",)


def make(variant: str, **options: Any) -> World:
    """A taskset or an environment by the name of what makes it, `module:callable` or `file.py:callable`."""
    if not variant:
        raise ConfigError("verifiers needs the name of a taskset: verifiers/module:Taskset, or verifiers/file.py:make")
    maker = own_code(variant, "taskset")
    return made(Verifiers, f"verifiers/{variant}", {"name": f"verifiers/{variant}", "maker": maker, **options})


class Verifiers:
    """A taskset or environment as a world.

    Args:
        name: what it is called.
        maker: a class of tasksets, or a function that returns a taskset or an environment.
        train: how many tasks are for training; those behind them are for testing, where the environment has no data
            set for that.
        turns: the most actions of an episode; those of the environment if None.

    Raises:
        ConfigError: if it is neither, has no tasks, or needs what is not served here.
    """

    splits: Sequence[str] = ("train", "test")
    system = ""

    def __init__(
        self, name: str, maker: Callable[..., Any], *, train: int | None = None, turns: int | None = None
    ) -> None:
        self.name, self.made = name, _instance(maker)
        tasks, tests = _tasks(self.made, name)
        most = len(tasks) if tests else max(1, round(0.8 * len(tasks)))
        count = min(most if train is None else train, len(tasks))
        self._tasks = {"train": tasks[:count], "test": tests or tasks[count:]}
        known = getattr(self.made, "max_turns", None)
        several = hasattr(self.made, "env_response")
        self.turns = turns or (known if several and isinstance(known, int) and known > 0 else 10 if several else 1)

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """The tasks of a split, in their order."""
        if split not in self._tasks:
            raise ConfigError(f"{self.name} has no split {split!r}: there are train and test")
        first = 0 if split == "train" else len(self._tasks["train"])
        return [
            Scenario(id=k, template=task.kind, seed=first + k, instruction=task.prompt[-1]["content"])
            for k, task in enumerate(self._tasks[split])
        ]

    def open(self, scenario: Scenario) -> Session:
        """A session on a task."""
        return _Session(self, [*self._tasks["train"], *self._tasks["test"]][scenario.seed])

    def oracle(self, scenario: Scenario) -> None:
        """Tasksets tell none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What both versions have."""

    prompt: list[dict[str, str]]
    kind: str = "task"
    one: Any = None  # a task of version 1
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the data set of version 0


@dataclass(slots=True)
class Trace:
    """What reward functions of version 1 are shown of an episode."""

    task: Any
    messages: list[dict[str, str]]
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    state: Any = None

    @property
    def last_reply(self) -> str:
        """What the policy said last."""
        return next((m["content"].strip() for m in reversed(self.messages) if m["role"] == "assistant"), "")

    @property
    def num_turns(self) -> int:
        """Messages of the policy."""
        return sum(m["role"] == "assistant" for m in self.messages)


class _Session:
    def __init__(self, world: Verifiers, task: _Task) -> None:
        self.world, self.task, self.left = world, task, world.turns
        self.said: list[dict[str, str]] = []
        row = dict(task.row)
        self.state: dict[str, Any] = {
            "prompt": task.prompt, "completion": self.said, "turn": 0, "trajectory": [], "responses": [],
            "answer": row.get("answer", ""), "info": row.get("info", {}), "task": row.get("task", "default"),
        }  # fmt: skip

    async def reset(self) -> Observation:
        """The prompt of the task."""
        made = self.world.made
        if hasattr(made, "setup_state"):
            self.state = await _called(made.setup_state, {"state": self.state}, self.state) or self.state
        return Observation(text="\n\n".join(message["content"] for message in self.task.prompt))

    async def step(self, action: str) -> Observation:
        """Judge an answer, or hear what the environment says to it."""
        self.left -= 1
        self.said.append({"role": "assistant", "content": action})
        self.state["turn"] += 1
        made = self.world.made
        if not hasattr(made, "env_response"):
            return Observation(text="", reward=await self._judged(), terminated=True)
        messages = [*self.task.prompt, *self.said]
        done = await _called(made.is_completed, {"messages": messages, "state": self.state}) if hasattr(
            made, "is_completed") else False  # fmt: skip
        if not done and self.left > 0:
            answer = await _called(made.env_response, {"messages": messages, "state": self.state})
            answer, self.state = answer if isinstance(answer, tuple) else (answer, self.state)
            told = [answer] if isinstance(answer, str | Mapping) else list(answer or ())
            heard = [{"role": "user", "content": m} if isinstance(m, str) else _message(m) for m in told]
            self.said += heard
            return Observation(text="\n\n".join(message["content"] for message in heard))
        return Observation(text="", reward=await self._judged(), terminated=bool(done), truncated=not done)

    async def close(self) -> None:
        """Nothing is held."""

    async def _judged(self) -> float:
        """The sum of the weighted rewards."""
        made, task, messages = self.world.made, self.task, [*self.task.prompt, *self.said]
        if task.one is not None:
            trace = Trace(task=task.one, messages=messages)
            shown = {"trace": trace, "task": getattr(task.one, "data", task.one)}
            functions = [(f, getattr(f, "_vf_weight", 1.0)) for of in (task.one, made) for f in _marked(of, "reward")]
        else:
            rubric = made.rubric
            names = ("reward_funcs", "funcs"), ("reward_weights", "weights")
            funcs, weights = (next((getattr(rubric, n) for n in each if hasattr(rubric, n)), []) for each in names)
            functions = list(zip(funcs, weights or [1.0] * len(funcs), strict=True))
            shown = {**self.state, "prompt": task.prompt, "completion": self.said, "state": self.state,
                     "parser": getattr(rubric, "parser", None)}  # fmt: skip
        if not functions:
            raise ConfigError(f"{self.world.name} has no reward function")
        total = 0.0
        for function, weight in functions:
            value = await _called(function, shown)
            parts = value.values() if isinstance(value, Mapping) else (value,)
            total += float(weight) * sum(map(float, parts))
        return total


def _instance(maker: Callable[..., Any]) -> Any:
    """What a class or a function makes; a class of tasksets is given its own settings as they are."""
    kind: Any = maker
    settings = getattr(kind, "config_type", None)
    return kind(settings()()) if inspect.isclass(maker) and settings is not None else kind()


def _tasks(made: Any, name: str) -> tuple[list[_Task], list[_Task]]:
    """Those for training, and those for testing where they are apart."""
    for needs in UNSERVED:
        if getattr(made, needs, False):
            raise ConfigError(f"{name} needs a container, which is not served here")
    load = getattr(made, "load", None) or getattr(made, "load_tasks", None)
    if callable(load):
        found: Iterable[Any] = load()  # type: ignore[assignment]
        return _some([_first(task, name) for task in islice(found, MOST)], name), []
    data = getattr(made, "dataset", None)
    if data is None or not hasattr(made, "rubric"):
        raise ConfigError(f"{name} makes a {type(made).__name__}: neither a taskset nor an environment of verifiers")
    tests = getattr(made, "eval_dataset", None)
    return _some(_rows(data), name), _rows(tests) if tests is not None else []


def _some(tasks: list[_Task], name: str) -> list[_Task]:
    if not tasks:
        raise ConfigError(f"{name} has no tasks")
    return tasks


def _first(task: Any, name: str) -> _Task:
    """A task of version 1."""
    data = getattr(task, "data", task)
    if getattr(task, "NEEDS_CONTAINER", False) or getattr(data, "image", None):
        raise ConfigError(f"{name} has tasks that need a container, which is not served here")
    for function in _marked(task, "reward"):
        runtime = inspect.signature(function).parameters.get("runtime")
        if runtime is not None and runtime.default is inspect.Parameter.empty:
            raise ConfigError(f"{name}: its reward {function.__name__} needs a runtime, which is not served here")
    prompt = getattr(data, "prompt", None)
    if not prompt:
        raise ConfigError(f"{name} has a task without a prompt: its user would begin, which is not served here")
    said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [_message(m) for m in prompt]
    system = getattr(data, "system_prompt", None)
    return _Task(
        prompt=[{"role": "system", "content": system}, *said] if system else said,
        kind=str(getattr(data, "name", None) or type(task).__name__), one=task,
    )  # fmt: skip


def _rows(data: Iterable[Any]) -> list[_Task]:
    """The rows of a data set of version 0."""
    found: list[_Task] = []
    for row in islice(data, MOST):
        prompt = row.get("prompt", row.get("question", ""))
        said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [_message(m) for m in prompt]
        found.append(_Task(prompt=said, kind=str(row.get("task") or "task"), row=row))
    return found


def _message(message: Any) -> dict[str, str]:
    """A message of either version, as text."""
    role, content = (
        (message.get("role"), message.get("content"))
        if isinstance(message, Mapping)
        else (getattr(message, "role", None), getattr(message, "content", None))
    )
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    if not isinstance(role, str) or not isinstance(content, str):
        raise EnvError(f"a message of another form: {message!r:.200}")
    return {"role": role, "content": content}


def _marked(of: Any, mark: str) -> list[Callable[..., Any]]:
    """The methods that a decorator of verifiers marked, the first by priority, then by name."""
    names = {n for kind in type(of).__mro__ for n, f in vars(kind).items() if callable(f) and hasattr(f, mark)}
    found = [method for name in names if hasattr(method := getattr(of, name), mark)]
    return sorted(found, key=lambda f: (-getattr(f, f"{mark}_priority", 0), f.__name__))


async def _called(function: Callable[..., Any], shown: Mapping[str, Any], *otherwise: Any) -> Any:
    """Call a function with those of its arguments that are known, by name."""
    parameters = inspect.signature(function).parameters
    given = {name: value for name, value in shown.items() if name in parameters}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        given = dict(shown)
    value = function(**given) if given or not otherwise else function(*otherwise)
    return await value if inspect.isawaitable(value) else value
