"""From a name or a callable to a `VectorEnv`, and from what goes wrong to what to do."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from operant.config.errors import ConfigError, EnvError, user_code
from operant.config.undisturbed import undisturbed
from operant.config.wrappers import ATARI
from operant.env import atari
from operant.env.classic import Classic, has_compiled
from operant.env.envpool import Pool
from operant.env.gymvector import GymVector
from operant.env.headless import prepare_mujoco
from operant.env.inprocess import Env, InProcess, close
from operant.env.minigrid import MiniGrid, is_level
from operant.env.process import Processes, Supervisor
from operant.env.vector import VectorEnv
from operant.env.wrappers import wrapped
from operant.workers.resolve import load, needs

EnvLike = str | Callable[..., object]
"""What names an environment: an id, `module:callable`, `file.py:callable`, or a callable."""

T = TypeVar("T")
BACKENDS = ("auto", "compiled", "batched", "native", "inprocess", "envpool", "process")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What was asked of the copies."""

    kwargs: dict[str, Any]
    render_mode: str | None = None
    action_mask: str = ""
    wrappers: tuple[str, ...] = ()
    measured: bool = False


def make(
    env: str | Callable[..., Any],
    num: int = 1,
    *,
    backend: str = "auto",
    kwargs: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
    supervisor: Supervisor | None = None,
    action_mask: str = "",
    wrappers: Sequence[str] = (),
    measured: bool = False,
) -> VectorEnv:
    """Make `num` copies of an environment, stepped together.

    `env` is a Gymnasium id ("CartPole-v1"), "module:callable", "path/to/file.py:callable", or a callable that returns a
    `gymnasium.Env`, or a ready-made `gymnasium.vector.VectorEnv`: its parameter `num_envs`, where it has one, receives
    `num`, and where `num` is 1 it says how many copies there are. `kwargs` go to every copy, `render_mode` to copy 0.

    `backend`: "compiled" is Gymnasium's classic control compiled (`operant.env.classic`), or a level of MiniGrid
    (`operant.env.minigrid`), "native" the environment's own vector form, "batched" what steps all copies in one call
    (of an id the compiled form, of a callable the vector environment that it returns), "inprocess" a loop over copies,
    "envpool" another implementation of the physics, "process" a loop in worker processes that survives, within limits
    (`supervisor`), an environment which raises, hangs or dies; "auto" is the first of
    compiled, native and in process that there is and that takes `kwargs`. With `wrappers` it is in process, but for
    Atari's own vector form of the wrappers "atari".

    `action_mask`: where the environment says which actions are legal: "info" is `info["action_mask"]` of reset and
    step, any other name a key of its Dict observation; the masks then stand behind the observations (`Observations`).

    `wrappers` are put around each copy, the first innermost, as text: "frame-stack 4" (`operant.config.wrappers`). For
    copies on which a policy is `measured`, games are whole and rewards the environment's own.

    Raises EnvError, with what to do, when the environment is unknown, lacks a package, or fails to start, and
    ConfigError for a wrapper that is none or does not fit.
    """
    if num < 1:
        raise EnvError(f"{num} copies of an environment were asked for: ask for 1 or more")
    if backend not in BACKENDS:
        raise EnvError(f"there is no backend {backend!r}: use one of {', '.join(BACKENDS)}")
    asked = _Asked(
        kwargs=dict(kwargs or {}), render_mode=render_mode, action_mask=action_mask, wrappers=tuple(wrappers),
        measured=measured,
    )  # fmt: skip
    if backend == "envpool":
        if not isinstance(env, str):
            raise EnvError('the backend "envpool" needs an id, not a callable: use the backend "inprocess"')
        _unwrapped(asked, 'the backend "envpool"')
        return Pool(env, num, asked.kwargs, action_mask)
    if backend == "process":
        return Processes(
            env, num, asked.kwargs, supervisor, render_mode, action_mask, wrappers=asked.wrappers, measured=measured
        )
    builder, name = load(env)
    if backend == "batched":
        backend = "compiled" if isinstance(builder, EnvSpec) else "native"
    if not isinstance(builder, EnvSpec):
        return _called(builder, name, num, backend, asked)
    return _registered(builder, num, backend, asked)


def _registered(builder: EnvSpec, num: int, backend: str, asked: _Asked) -> VectorEnv:
    """Copies of what is registered with Gymnasium, as fast as there is a form of it."""
    action_mask, render_mode, wrappers, measured = asked.action_mask, asked.render_mode, asked.wrappers, asked.measured
    if backend in ("auto", "compiled") and is_level(builder, asked.kwargs, wrappers, action_mask, render_mode):
        return _together(num, lambda _: _one(builder, asked, None), builder.id, partial(MiniGrid, wrappers=wrappers))
    if backend == "compiled" or (backend == "auto" and has_compiled(builder, asked.kwargs, action_mask, wrappers)):
        return Classic(builder, num, asked.kwargs, render_mode, action_mask, wrappers)
    if backend != "inprocess" and wrappers == (ATARI,) and atari.expresses(builder, asked.kwargs, measured):
        return atari.AtariVector(builder, num, asked.kwargs) if render_mode is None else _copies(num, builder, asked)
    if backend == "native" or (backend == "auto" and not wrappers and has_native(builder, asked.kwargs)):
        return _native(builder, num, asked)
    return _copies(num, builder, asked)


def make_one(
    env: str | Callable[..., Any],
    kwargs: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
    wrappers: Sequence[str] = (),
    *,
    measured: bool = False,
) -> Env:
    """Make one plain `gymnasium.Env`, from the same names as `make` and with the same errors."""
    builder, name = load(env)
    asked = _Asked(kwargs=dict(kwargs or {}), wrappers=tuple(wrappers), measured=measured)
    if isinstance(builder, EnvSpec):
        return _one(builder, asked, render_mode)
    made = _env(_call(builder, name, _accepted(builder, asked.kwargs, render_mode=render_mode)), name)
    return wrapped(made, asked.wrappers, name, measured=measured)


def has_native(spec: EnvSpec, kwargs: Mapping[str, Any]) -> bool:
    """Say whether an id has a vector form of its own that needs no jax and takes `kwargs`.

    That of Atari is none of it, as it observes and is paid otherwise: it is that of the wrappers "atari".
    """
    if spec.vector_entry_point is None or spec.additional_wrappers or needs(spec) in ("jax", "atari"):
        return False
    entry = spec.vector_entry_point
    parameters = inspect.signature(entry if callable(entry) else load_env_creator(entry)).parameters
    return set(kwargs) <= set(parameters) or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _unwrapped(asked: _Asked, what: str) -> None:
    if asked.wrappers:
        raise ConfigError(f'{what} takes no env.wrappers, {", ".join(asked.wrappers)}: use the backend "inprocess"')


def _native(spec: EnvSpec, num: int, asked: _Asked) -> VectorEnv:
    kwargs: dict[str, Any] = asked.kwargs
    _unwrapped(asked, f"the native vector form of {spec.id}")
    if not has_native(spec, kwargs):
        raise EnvError(
            f"{spec.id} has no native vector form"
            + (f" that takes {', '.join(kwargs)}" if kwargs else "")
            + ': use the backend "auto"'
        )
    if asked.render_mode is not None:
        kwargs = dict[str, Any](kwargs, render_mode=asked.render_mode)
    with undisturbed(), user_code(f"{spec.id}: making it", EnvError):
        made = gymnasium.make_vec(spec, num_envs=num, vectorization_mode="vector_entry_point", **kwargs)
    adapted = GymVector(made, spec.id, "native", asked.action_mask)
    adapted.foreign = not str(spec.vector_entry_point).startswith("gymnasium.")
    return adapted


def _one(spec: EnvSpec, asked: _Asked, render_mode: str | None) -> Env:
    """One copy, wrapped."""
    kwargs = asked.kwargs
    if ATARI in asked.wrappers and needs(spec) == "atari":
        kwargs = atari.beneath(kwargs)
    return wrapped(_bare(spec, kwargs, render_mode), asked.wrappers, spec.id, measured=asked.measured)


def _bare(spec: EnvSpec, kwargs: dict[str, Any], render_mode: str | None) -> Env:
    try:
        if render_mode == "rgb_array" and needs(spec) == "mujoco":
            prepare_mujoco(spec.id)
        loading = _mujoco_loading() if needs(spec) == "mujoco" else contextlib.nullcontext()
        with undisturbed(), user_code(f"{spec.id}: making it", EnvError), loading:
            return gymnasium.make(spec, render_mode=render_mode, disable_env_checker=True, **kwargs)
    except EnvError as told:
        extra, error = needs(spec), told.__cause__
        missing = isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled)
        if missing and extra is not None:
            raise EnvError(f"{spec.id} needs a package that is not installed: run {install(extra)}") from error
        raise


@contextlib.contextmanager
def _mujoco_loading() -> Generator[None]:
    """Turn what MuJoCo says of a model into warnings of Python; else it writes MUJOCO_LOG.TXT where the user stands."""
    try:
        mujoco: Any = importlib.import_module("mujoco")
    except ImportError:
        yield
        return
    except Exception as error:
        chosen = os.environ.get("MUJOCO_GL")
        if chosen is None:
            raise
        told = (
            f"MuJoCo did not load the library that MUJOCO_GL={chosen} asks for: unset MUJOCO_GL or install the library"
        )
        raise EnvError(told) from error

    def warn(message: str) -> None:
        warnings.warn(message, DeprecationWarning if "deprecated" in message else UserWarning, stacklevel=2)

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(warn)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def install(extra: str) -> str:
    """Return the one command that installs what an extra needs."""
    return f'pip install "gymnasium[{extra}]"' if extra in ("jax", "toy-text") else f'pip install "operant[{extra}]"'


def _called(builder: Callable[..., Any], name: str, num: int, backend: str, asked: _Asked) -> VectorEnv:
    if backend == "compiled":
        raise EnvError(f'{name} has no compiled form: use the backend "auto"')
    first = _call(builder, name, _accepted(builder, asked.kwargs, render_mode=asked.render_mode, num_envs=num))
    if isinstance(first, gymnasium.vector.VectorEnv):
        made: Any = first
        _unwrapped(asked, f"{name} returns copies that are stepped together; it")
        adapted = GymVector(made, name, "native", asked.action_mask)
        if num not in (1, adapted.num):
            adapted.close()
            raise EnvError(f"{name} returned {adapted.num} copies where {num} were asked for: let it take num_envs")
        return adapted
    if backend == "native":
        raise EnvError(f'{name} returns no gymnasium.vector.VectorEnv: use the backend "auto"')

    def one(index: int) -> Env:
        made = _env(first if index == 0 else _call(builder, name, asked.kwargs), name)
        return wrapped(made, asked.wrappers, name, measured=asked.measured)

    return _together(num, one, name, partial(InProcess, action_mask=asked.action_mask))


def _copies(num: int, spec: EnvSpec, asked: _Asked) -> InProcess:
    its = partial(InProcess, action_mask=asked.action_mask)
    return _together(num, lambda i: _one(spec, asked, None if i else asked.render_mode), spec.id, its)


def _together(num: int, one: Callable[[int], Env], name: str, stepped: Callable[[list[Env], str], T]) -> T:
    """Copies in this process; where one cannot be made, those before it are closed."""
    made: list[Env] = []
    try:
        for index in range(num):
            made.append(one(index))
        return stepped(made, name)
    except BaseException:
        for env in made:
            close(env, name)
        raise


def _env(made: Any, name: str) -> Env:
    if not isinstance(made, gymnasium.Env):
        raise EnvError(f"{name} returned a {type(made).__name__}, not a gymnasium.Env: subclass gymnasium.Env")
    return cast(Env, made)


def _accepted(builder: Callable[..., Any], kwargs: Mapping[str, Any], **offered: Any) -> dict[str, Any]:
    """Add to kwargs what is offered, not None, and named in the signature of the callable."""
    try:
        named = inspect.signature(builder).parameters
    except Exception:  # it has none that can be read
        return dict(kwargs)
    return {**{k: v for k, v in offered.items() if v is not None and k in named}, **kwargs}


def _call(builder: Callable[..., Any], name: str, kwargs: dict[str, Any]) -> Any:
    with undisturbed(), user_code(f"{name}: making it", EnvError):
        return builder(**kwargs)
