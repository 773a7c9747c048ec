"""A task: examples, and the rewards that judge completions of their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

from operant.config.errors import ConfigError, OperantError, raised
from operant.language.reward.trace import Messages, Reward, StepReward, Trace
from operant.language.text.pictures import is_content


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt and what answers it.

    Attributes:
        prompt: text, or messages for a chat template.
        gold: what the rewards compare with; JSON can hold it.
        solution: a completion that is right in every respect: `check` scores it before training.
        metadata: whatever else the rewards need; JSON can hold it.
    """

    prompt: str | Messages
    gold: Any
    solution: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def trace(self, completion: str, tokens: Sequence[int] = (), finish: Literal["stop", "length"] = "stop") -> Trace:
        """What the rewards see when a model has answered this prompt."""
        return Trace(
            prompt=self.prompt,
            completion=completion,
            tokens=tuple(tokens),
            gold=self.gold,
            metadata=self.metadata,
            finish=finish,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One prompt and a completion to imitate, which need not be right.

    `cells`: what each part of its pictures shows, row by row, as a number: a small base that sees is taught them.
    """

    prompt: str | Messages
    completion: str
    cells: Sequence[int] = ()


Made = TypeVar("Made", Example, Demonstration)


def example_at(items: Sequence[Any], index: int, name: str, kind: type[Made] = Example) -> Made:
    """An example of a task, or a demonstration, as whatever holds them makes it.

    Raises:
        ConfigError: if that raises, or makes something else; names it as NAME[INDEX].
    """
    try:
        made = items[index]
    except OperantError:
        raise
    except BaseException as error:
        raise ConfigError(f"{name}[{index}] {raised(error)}") from error
    if not isinstance(made, kind):
        raise ConfigError(f"{name}[{index}] is a {type(made).__name__}, not an operant.task.{kind.__name__}")
    if not isinstance(made.prompt, str) and not is_messages(made.prompt):
        raise ConfigError(f"{name}[{index}]: its prompt is neither a text nor messages, each with a role and a content")
    said = "completion" if isinstance(made, Demonstration) else "solution"
    if not isinstance(getattr(made, said), str):
        raise ConfigError(f"{name}[{index}]: its {said} is a {type(getattr(made, said)).__name__}, not a text")
    return made


def is_messages(value: object) -> bool:
    """Whether something is a list of messages for a chat template."""
    return (
        isinstance(value, Sequence)
        and len(value) > 0
        and all(
            isinstance(m, Mapping) and isinstance(m.get("role"), str) and is_content(m.get("content")) for m in value
        )
    )


class Lazy(Sequence[Any]):
    """`count` items, the i-th made by `make(i)` whenever it is asked for.

    Args:
        count: how many.
        make: a pure function of the index.
    """

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"there is no item {index} of {self._count}")
        return self._make(index % self._count)

    def __iter__(self) -> Iterator[Any]:
        return (self._make(i) for i in range(self._count))


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set and reward functions.

    Attributes:
        name: how it is called in run folders and reports.
        train: examples to learn from.
        test: examples held out; none of their prompts is among those of `train`.
        rewards: by name. The first tells whether a completion is right: its mean is the accuracy.
        weights: of the rewards in the total, by name; 1 where none is given.
        demonstrations: prompts and completions to imitate before (SFT).
        stop: texts that end a completion.
        max_tokens: tokens that a right completion may need; None where nobody knows.
        metric: the reward that is the accuracy; the first where empty.
        step_reward: for process supervision: which steps of a completion are right.

    Raises:
        ConfigError: for no reward, no example, or a weight without its reward.
    """

    name: str
    train: Sequence[Example]
    test: Sequence[Example]
    rewards: Mapping[str, Reward]
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    demonstrations: Sequence[Demonstration] = ()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    metric: str = ""
    step_reward: StepReward | None = None

    def __post_init__(self) -> None:
        if not self.rewards:
            raise ConfigError(f"task {self.name} has no reward: give rewards={{'correct': Exact()}} or the like")
        for kind, examples in (("train", self.train), ("test", self.test)):
            if not len(examples):
                raise ConfigError(f"task {self.name} has no {kind} example")
        unknown = {*self.weights, *([self.metric] if self.metric else [])} - {*self.rewards}
        if unknown:
            known = ", ".join(self.rewards)
            raise ConfigError(f"task {self.name} has no reward {', '.join(sorted(unknown))}: there is {known}")
        if not self.metric:
            object.__setattr__(self, "metric", next(iter(self.rewards)))

    def weight(self, name: str) -> float:
        """The weight of one reward."""
        return float(self.weights.get(name, 1.0))
