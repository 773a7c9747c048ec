"""The state of a simulator, kept and returned to: a copy of the whole environment, or what its own methods give."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium

from operant.config.errors import EnvError, raised, user_code
from operant.config.undisturbed import undisturbed

Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Snapshot:
    """Where an environment stood: a copy of it; or its state, what its wrappers held, and its generator's."""

    whole: Env | None
    state: Any = None
    wrappers: tuple[dict[str, Any], ...] = ()
    generator: Any = None


def save(env: Env, name: str) -> Snapshot:
    """Keep the state of an environment: by its own `state()` and `restore(state)` where it has both, else by a copy.

    Raises:
        EnvError: if it cannot be copied, or `state()` raises.
    """
    bare: Any = env.unwrapped
    with undisturbed():
        if callable(getattr(bare, "state", None)) and callable(getattr(bare, "restore", None)):
            with user_code(f"{name}: state()", EnvError):
                state = copy.deepcopy(bare.state())
            wrappers = tuple(copy.deepcopy(_held(wrapper)) for wrapper in _wrappers(env))
            return Snapshot(None, state, wrappers, bare.np_random.bit_generator.state)
        try:
            return Snapshot(copy.deepcopy(env))
        except BaseException as error:
            raise EnvError(
                f"{name} cannot be copied: copying it {raised(error)}. Give it state() and restore(state), which "
                "return all of its simulator and go back to it"
            ) from error


def restore(env: Env, snapshot: Snapshot, name: str) -> Env:
    """An environment that stands where the snapshot was taken; the snapshot can be returned to again.

    Raises:
        EnvError: if `restore(state)` raises.
    """
    if snapshot.whole is not None:
        return copy.deepcopy(snapshot.whole)
    bare: Any = env.unwrapped
    with undisturbed(), user_code(f"{name}: restore(state)", EnvError):
        bare.restore(copy.deepcopy(snapshot.state))
    bare.np_random.bit_generator.state = snapshot.generator
    for wrapper, held in zip(_wrappers(env), snapshot.wrappers, strict=True):
        vars(wrapper).update(copy.deepcopy(held))
    return env


def _wrappers(env: Env) -> Iterator[gymnasium.Wrapper[Any, Any, Any, Any]]:
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _held(wrapper: gymnasium.Wrapper[Any, Any, Any, Any]) -> dict[str, Any]:
    return {k: x for k, x in vars(wrapper).items() if k != "env"}
