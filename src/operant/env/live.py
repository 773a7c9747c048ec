"""An environment that is already made, where one must be named or made: copies of it, if its entry says how."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from operant.config.errors import EnvError, shown, user_code
from operant.env.make import EnvLike

_OF_VECTORS = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers", "render_mode")


def makers(env: Any) -> tuple[EnvLike, dict[str, Any]]:
    """What makes copies of an environment, and the settings that go with it.

    A name or a callable is itself. Of an environment that `gymnasium.make` or `make_vec` made, it is the id with its
    arguments, and as many copies as it has; where wrappers or another limit were put around it, it is a callable that
    makes them again.

    Raises:
        EnvError: for an environment of which no copies can be made, and for what is none; says what to give instead.
    """
    if isinstance(env, gymnasium.Env | gymnasium.vector.VectorEnv):
        return _again(env)
    if isinstance(env, str) or callable(env):
        return env, {}
    raise EnvError(
        f"{shown(env)} names no environment: give an id, module:callable, file.py:callable, or a callable that "
        "returns a gymnasium.Env"
    )


def _again(env: Any) -> tuple[EnvLike, dict[str, Any]]:
    many = isinstance(env, gymnasium.vector.VectorEnv)
    kind = type(env.unwrapped).__name__
    with user_code(f"an environment that is already made, {kind}, was given: reading its spec", EnvError):
        spec: Any = env.spec
    if not isinstance(spec, EnvSpec) or any(wrapper.kwargs is None for wrapper in spec.additional_wrappers):
        make = f"lambda num_envs: {kind}(num_envs)" if many else f"lambda: {type(env).__name__}(…)"
        raise EnvError(
            f"an environment that is already made, {kind}, was given, and nothing says how to make copies of it, which "
            f"training and evaluation need: give what makes one, {make}, or file.py:callable"
        )
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in _OF_VECTORS}
    known = gymnasium.registry.get(spec.id)
    if many and known is not None and kwargs.get("max_episode_steps") == known.max_episode_steps:
        kwargs.pop("max_episode_steps", None)
    settings: dict[str, Any] = {"env.kwargs": kwargs} if kwargs else {}
    settings |= {"env.num": int(env.num_envs)} if many else {}
    if known is not None and not spec.additional_wrappers and _alike(known, spec) and _plain(kwargs):
        return spec.id, settings
    return _maker(spec, kwargs), {"env.num": settings["env.num"]} if many else {}


def _alike(known: EnvSpec, spec: EnvSpec) -> bool:
    """Whether an id makes the same environment, apart from its arguments."""
    names = ("entry_point", "max_episode_steps", "order_enforce")
    return all(getattr(known, name) == getattr(spec, name) for name in names)


def _plain(kwargs: dict[str, Any]) -> bool:
    """Whether settings can hold these arguments."""
    try:
        return json.loads(json.dumps(kwargs)) == kwargs
    except (TypeError, ValueError):
        return False


def _maker(spec: EnvSpec, kwargs: dict[str, Any]) -> Callable[..., Any]:
    def made(render_mode: str | None = None) -> Any:
        return gymnasium.make(spec, render_mode=render_mode, **kwargs)

    made.__name__ = made.__qualname__ = f"{spec.id}, as it was given"
    return made
