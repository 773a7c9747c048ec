"""The state of a simulator, kept and returned to: a copy of the whole environment, or what its own methods give."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle

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
    """Keep the state of an environment: by its own `state()` and `restore(state)` where it has both, of one of MuJoCo
    by the simulator's, else by a copy.

    Raises:
        EnvError: if it cannot be copied, or `state()` raises.
    """
    bare: Any = env.unwrapped
    with undisturbed():
        own = callable(getattr(bare, "state", None)) and callable(getattr(bare, "restore", None))
        if own or _simulates(bare):
            with user_code(f"{name}: state()", EnvError):
                state = copy.deepcopy(bare.state()) if own else _physics(bare)
            wrappers = tuple(copy.deepcopy(_held(wrapper)) for wrapper in _wrappers(env))
            return Snapshot(None, state, wrappers, bare.np_random.bit_generator.state)
        try:
            if isinstance(bare, EzPickle):  # whose copies are made anew, and stand where episodes begin
                raise TypeError("it copies the arguments that it was made with, and nothing of where it stands")
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
        if _simulates(bare):
            _physics(bare, snapshot.state)
        else:
            bare.restore(copy.deepcopy(snapshot.state))
    bare.np_random.bit_generator.state = snapshot.generator
    for wrapper, held in zip(_wrappers(env), snapshot.wrappers, strict=True):
        vars(wrapper).update(copy.deepcopy(held))
    return env


def _simulates(bare: Any) -> bool:
    """Whether it is one of Gymnasium's environments of MuJoCo."""
    return all(hasattr(bare, name) for name in ("model", "data", "do_simulation"))


def _physics(bare: Any, state: Any = None) -> Any:
    """All that MuJoCo integrates; with a state it stands there."""
    mujoco: Any = import_module("mujoco")
    what = mujoco.mjtState.mjSTATE_INTEGRATION
    if state is None:
        state = np.empty(mujoco.mj_stateSize(bare.model, what))
        mujoco.mj_getState(bare.model, bare.data, state, what)
        return state
    mujoco.mj_setState(bare.model, bare.data, state, what)
    mujoco.mj_forward(bare.model, bare.data)
    return state


def _wrappers(env: Env) -> Iterator[gymnasium.Wrapper[Any, Any, Any, Any]]:
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _held(wrapper: gymnasium.Wrapper[Any, Any, Any, Any]) -> dict[str, Any]:
    return {k: x for k, x in vars(wrapper).items() if k != "env"}
