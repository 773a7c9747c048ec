"""What a reward sees, and what a reward is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, cast

from operant.config.errors import ConfigError

Messages: TypeAlias = tuple[Mapping[str, Any], ...]
"""A conversation: {"role": …, "content": …}, oldest first; a content is a text, or a list of parts, with pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One prompt, what the model wrote, and what would have been right.

    Attributes:
        prompt: text, or messages for a chat template.
        completion: what the model wrote, without its stop token.
        tokens: its token ids, stop token included; empty where nobody tokenised it.
        gold: what the rewards compare with; JSON can hold it.
        metadata: whatever else the example knows; JSON can hold it.
        finish: "stop" when the model ended by itself, "length" when it was cut.
    """

    prompt: str | Messages
    completion: str
    tokens: tuple[int, ...] = ()
    gold: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    finish: Literal["stop", "length"] = "stop"


Reward: TypeAlias = Callable[[Trace], float]
"""A plain function of a trace. It raises when it cannot judge: that counts as missing, never as 0.

Two attributes may be set on it, by `reward` or in a class body: `best`, what a right solution scores (1.0 unless set;
None where it depends on more than being right), and `pure` (see `reward`). A worker process calls its method
`prepare()`, where it has one, before its first trace: what takes long to load is loaded there, outside the time limit.
A pure one that can judge several traces at once has a method `many(traces)`: for each the number, or why there is none.
"""

StepReward: TypeAlias = Callable[[Trace], Sequence[tuple[int, float]]]
"""For process supervision: (characters of the completion up to the end of a step, the step's reward), in order."""

Function = TypeVar("Function", bound=Callable[..., Any])


class GoldError(ConfigError):
    """A gold answer that its own reward cannot read. Exit code 2."""


def reward(*, best: float | None = 1.0, pure: bool = False) -> Callable[[Function], Function]:
    """Say of a function what it gives a right solution, and whether it may run in the training process.

    Args:
        best: what a right solution scores; None where that depends on more than being right.
        pure: promises that it neither hangs nor touches anything outside; otherwise it runs in a worker process.
    """

    def mark(function: Function) -> Function:
        function.best, function.pure = best, pure  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return mark


def best(of: Reward) -> float | None:
    """What a right solution scores, as the reward says of itself; 1.0 where it says nothing."""
    return getattr(of, "best", 1.0)


def is_pure(of: Reward | StepReward) -> bool:
    """Whether it may run in the training process: it says so, and so do the rewards inside it."""
    return getattr(of, "pure", False) is True and all(is_pure(inner) for inner in inner_rewards(of))


def prepare(of: Reward) -> None:
    """Have a reward, and those inside it, load what they need."""
    for each in (of, *inner_rewards(of)):
        if callable(load := getattr(each, "prepare", None)):
            load()


def inner_rewards(of: Reward | StepReward) -> list[Reward]:
    """The rewards that a reward of this package is made of."""
    names = [str(name) for name in getattr(of, "__dataclass_fields__", {})]
    values: list[Any] = [getattr(of, name) for name in names]
    return [cast(Reward, value) for value in values if callable(value)]
