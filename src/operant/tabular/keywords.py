"""The keywords of this room's functions: a TypedDict says which, `Settings` what each means and its default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, getdoc, signature
from typing import Any, TypedDict, TypeVar, cast, get_args, get_type_hints

from numpy.typing import ArrayLike

from operant.config.errors import KeywordError
from operant.config.fields import leaves, nearest_keys
from operant.config.suggest import did_you_mean, nearest
from operant.tabular.schedules import Schedule
from operant.tabular.settings import Settings


class Options(TypedDict, total=False):
    """What every algorithm on a model is told.

    seeds: how many (0, 1, …), or which; one run each. 1 unless set.
    episodes: of every run. 500 unless set.
    max_steps: an episode is cut after as many. The model's horizon, or 100,000, unless set. A cut is no end: what would
        follow is counted in, so that values are those of the model without its horizon.
    start: first state, or its distribution, instead of the model's.
    exact: values to measure `errors` against, [S].
    threads: 1 unless set; results do not depend on it.
    """

    seeds: int | Sequence[int]
    episodes: int
    max_steps: int
    start: ArrayLike | int
    exact: ArrayLike
    threads: int


class Predicting(Options, total=False):
    """The settings of prediction."""

    step_size: float | Schedule


class Exploring(Options, total=False):
    """The settings of control."""

    epsilon: float | Schedule
    initial: float
    discount: float | None


class Stepping(Exploring, total=False):
    """With step sizes."""

    step_size: float | Schedule


F = TypeVar("F", bound=Callable[..., Any])


def keywords(**defaults: object) -> Callable[[F], F]:
    """For a function that ends in `**given: Unpack[X]`: `help` spells out X, and a call is checked and completed.

    The keywords of X that are settings are shown one by one, with their default and their help text; the others stay
    together. A name that is not in X is refused.

    Args:
        defaults: the defaults of this function where they are not those of `Settings`; the call gets them. For
            `discount` it is None, which stands for the model's.
    """

    def decorate(function: F) -> F:
        plain = signature(function)
        *own, rest = plain.parameters.values()
        typed: Any = get_args(get_type_hints(function)[rest.name])[0]
        names = [name for name in Settings.model_fields if name in typed.__annotations__]
        usual = {name: Settings.model_fields[name].default for name in names} | {"discount": None} | defaults
        for name in typed.__required_keys__:
            usual[name] = Parameter.empty
        spelled = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=usual[name],
                annotation=typed.__annotations__[name].__forward_arg__,
            )
            for name in sorted(names, key=lambda name: name not in typed.__required_keys__)
        ]
        others = Parameter("options", Parameter.VAR_KEYWORD, annotation="Unpack[Options]") if names else rest
        shown = plain.replace(parameters=[*own, *spelled, others])
        known = {*typed.__annotations__, *(parameter.name for parameter in own)}

        @wraps(function)
        def called(*args: Any, **given: Any) -> Any:
            for name in sorted(given.keys() - known):
                meant = [key for key in nearest_keys(Settings, name) if key in known] or nearest(name, known)
                raise KeywordError(f"{function.__name__}: there is no keyword {name!r}.{did_you_mean(meant)}")
            try:
                shown.bind(*args, **given)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() is {error}") from None
            return function(*args, **(defaults | given))

        if names:
            lines = (f"\n    {x.key}: {x.help} ({x.expected})" for x in (leaves(Settings)[name,] for name in names))
            called.__doc__ = f"{getdoc(function)}\n\nSettings:{''.join(lines)}"
        cast(Any, called).__signature__ = shown
        return cast(F, called)

    return decorate
