"""Says what is wrong with an environment, where, and what to do about it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check

from operant.config.errors import EnvError, raised, said
from operant.env.check_values import check_answer, check_observation, check_spaces
from operant.env.findings import Fatal, Problem, Report
from operant.env.inprocess import Env, describe
from operant.env.leaf import is_picture
from operant.env.make import make_one
from operant.env.masks import KEY

_SEED_FIX = "in reset() call super().reset(seed=seed), and draw every random number from self.np_random"
_REPEATS = "does not repeat"


def check_env(env: str | Callable[..., Any] | Env, seed: int = 0, steps: int = 1000) -> list[Problem]:
    """Play `steps` random actions, and the same again from the same `seed`; return what is wrong, in order.

    `env` is anything `make_one` takes, or an environment that is already made (which is not closed). The play is
    repeated in a second copy, where one can be made, and in the same one. No exception of the environment gets out: it
    becomes a `Problem`. The last check is Gymnasium's own.
    """
    report = Report()
    with warnings.catch_warnings(), contextlib.suppress(Fatal):
        warnings.simplefilter("ignore")
        try:
            _check(env, seed, steps, report)
        except Fatal:
            raise
        except BaseException as error:
            what = f"the check stopped where it {raised(error)}"
            report.error(what, "the environment", "mend what the message names and check again")
    return list(report.problems.values())


def _check(env: Any, seed: int, steps: int, report: Report) -> None:
    """Play in one copy, then in another: never two at a time, as there may be one of a simulator."""
    made = _make(env, report)
    try:
        check_spaces(made, report)
        first = _play(made, seed, steps, report)
        if made is not env:
            report.made_twice = True
            _close(made, report)
            made = _make(env, report, "with the first copy closed, ")
            _check_repeats(first, again := _play(made, seed, steps, report), report, fresh=True)
            first = again
        _check_repeats(first, _play(made, seed, steps, report), report, fresh=False)
        _check_starts(made, seed, report)
        _check_record(made, first, steps, report)
        if not report.broken:
            _check_as_gymnasium_does(made, report)
    finally:
        if made is not env:
            _close(made, report)


def _make(env: Any, report: Report, when: str = "") -> Env:
    if isinstance(env, gymnasium.Env):
        return cast(Env, env)
    if not (isinstance(env, str) or callable(env)):
        raise report.fatal(
            f"a {type(env).__name__} is not an environment", "the environment", "subclass gymnasium.Env, not gym.Env"
        )
    try:
        return make_one(cast(Any, env))
    except EnvError as error:
        raise report.fatal(f"{when}{error}", "making it", "see the message; nothing else could be checked") from error


def _close(env: Env, report: Report) -> None:
    try:
        env.close()
    except BaseException as error:
        report.warning(f"close() {raised(error)}", "close()", "let it be called at any time")


@dataclass(slots=True)
class _Record:
    """What one play of random actions answered: plain copies, in order."""

    starts: list[Any]
    answers: list[tuple[Any, float, bool, bool]]
    ended: bool = False


def _play(env: Env, seed: int, steps: int, report: Report) -> _Record:
    """Reset with `seed`, take `steps` random actions, reset at every end; check each answer by itself."""
    global_state = _global_state()
    told: dict[str, Any] = {}
    obs = _reset(env, seed, report, told)
    kept = copy.deepcopy(obs)
    record = _Record([kept], [])
    env.action_space.seed(seed)
    for index in range(steps):
        where = f"step() {index + 1}"
        action = _legal(env, obs, told)
        given = copy.deepcopy(action)
        try:
            answer: Any = env.step(action)
        except BaseException as error:
            what = f"step({given!r}) {raised(error)}"
            raise report.fatal(what, where, "every action of the action space must be accepted") from error
        try:
            if not _same(action, given):
                report.error("step() changed the action it was given", where, "copy the action before changing it")
            _check_unchanged(obs, kept, where, report)
            obs, reward, terminated, truncated = check_answer(env, answer, where, report)
            kept, told = copy.deepcopy(obs), answer[4] if isinstance(answer[4], dict) else {}
        except Fatal:
            raise
        except BaseException as error:  # from a method of what was returned
            what = f"{where} returned what cannot be read: it {raised(error)}"
            raise report.fatal(what, where, "return plain numbers and arrays") from error
        record.answers.append((kept, reward, terminated, truncated))
        if terminated or truncated:
            record.ended = True
            told = {}
            last, obs = obs, _reset(env, None, report, told)
            _check_unchanged(last, kept, where, report)
            kept = copy.deepcopy(obs)
            record.starts.append(kept)
    for name, was in global_state.items():
        if _global_state()[name] != was:
            report.error(f"it draws from the global generator of {name}", "reset() or step()", _SEED_FIX)
    return record


def _check_unchanged(obs: Any, kept: Any, where: str, report: Report) -> None:
    if not _same(obs, kept):
        what = "an observation changed after it had been returned: the same array is written to again"
        report.error(what, where, "return a copy: obs.copy()")


def _global_state() -> dict[str, str]:
    """Fingerprints of the global generators, which are looked at and not drawn from."""
    return {"numpy": repr(np.random.get_state(legacy=False)), "random": str(hash(random.getstate()))}


def _legal(env: Env, obs: Any, info: dict[str, Any]) -> Any:
    """A random action; a legal one where the environment says which are."""
    mask = obs.get(KEY, info.get(KEY)) if isinstance(obs, dict) else info.get(KEY)
    if mask is not None:
        with contextlib.suppress(Exception):  # it is no mask of Gymnasium's
            return env.action_space.sample(mask=mask)
    return env.action_space.sample()


def _reset(env: Env, seed: int | None, report: Report, told: dict[str, Any] | None = None) -> Any:
    """The first observation; its info goes into `told`."""
    try:
        answer: Any = env.reset(seed=seed)
    except BaseException as error:
        fix = "define reset(self, *, seed=None, options=None)"
        if not isinstance(error, TypeError) or "keyword" not in str(error):
            fix = "reset() must succeed at any time, with and without a seed"
        raise report.fatal(f"reset(seed={seed}) {raised(error)}", "reset()", fix) from error
    if not (isinstance(answer, tuple) and len(cast(Any, answer)) == 2):
        what = f"reset() returned {describe(answer)}, not (observation, info): the form of Gym before 0.26"
        raise report.fatal(what, "reset()", "return observation, {}")
    obs, info = cast(tuple[Any, Any], answer)
    if not isinstance(info, dict):
        report.error(f"the info of reset() is {describe(info)}, not a dict", "reset()", "return observation, {}")
    elif told is not None:
        told |= info
    check_observation(env.observation_space, obs, "reset()", report)
    return obs


def _check_repeats(first: _Record, second: _Record, report: Report, fresh: bool) -> None:
    """The same seed and the same actions must give the same record: in a fresh copy, and again in the same one."""
    severity = report.error if fresh or not report.made_twice else report.warning
    fix = "let nothing of an earlier episode survive reset()"
    if fresh or not report.made_twice:
        fix = f"{_SEED_FIX}; {fix}"
    who = "a second copy of the environment" if fresh else "the second time"
    if not _same(first.starts[0], second.starts[0]):
        severity(f"one seed gave another first observation {who}", "reset()", fix, _REPEATS)
        return
    for index, (one, two) in enumerate(zip(first.answers, second.answers, strict=True)):
        for name, a, b in zip(("observation", "reward", "terminated", "truncated"), one, two, strict=True):
            if not _same(a, b):
                severity(f"the same seed and actions gave another {name} {who}", f"step() {index + 1}", fix, _REPEATS)
                return
    if not _same(first.starts, second.starts):
        severity(f"after one seed, the later episodes began elsewhere {who}", "reset()", fix, _REPEATS)


def _check_starts(env: Env, seed: int, report: Report) -> None:
    """Where seeds matter, resets without a seed must go on, not begin again; a seed of its own must not be a habit."""
    try:
        default = inspect.signature(env.unwrapped.reset).parameters["seed"].default
    except (KeyError, TypeError, ValueError):
        default = None
    if default not in (None, inspect.Parameter.empty):
        report.warning(
            f"reset() has the default seed {default!r}", "reset()", "make it None: def reset(self, *, seed=None)"
        )
    one, other = (copy.deepcopy(_reset(env, seed + i, report)) for i in range(2))
    later = [copy.deepcopy(_reset(env, None, report)) for _ in range(20)]
    if not _same(one, other) and all(_same(later[0], start) for start in later[1:]):
        fix = "seed a generator only where a seed is given; super().reset(seed=seed) does so"
        report.error("every reset() without a seed begins the same episode again", "reset()", fix)


def _check_record(env: Env, record: _Record, steps: int, report: Report) -> None:
    """Warn of what is legal and yet spoils learning."""
    if not record.ended and not _has_limit(env):
        what = f"no episode ended within {steps} random steps and there is no time limit"
        report.warning(what, "step()", "add max_episode_steps where it is registered, or gymnasium.wrappers.TimeLimit")
    seen: list[Any] = [*record.starts, *(answer[0] for answer in record.answers)]
    largest = max((_largest(env.observation_space, obs) for obs in seen), default=0.0)
    if largest > 100.0:
        what = f"observations reach {largest:.4g} in size"
        report.warning(what, "the observation", "scale them to about [-1, 1], or train with normalize_obs")


def _has_limit(env: Any) -> bool:
    spec = getattr(env, "spec", None)
    if spec is not None and spec.max_episode_steps is not None:
        return True
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return True
        env = cast(Any, env).env
    return False


def _largest(space: Any, value: Any) -> float:
    if isinstance(space, spaces.Dict):
        return max((_largest(inner, value[key]) for key, inner in space.spaces.items()), default=0.0)
    if isinstance(space, spaces.Tuple):
        return max((_largest(inner, part) for inner, part in zip(space.spaces, value, strict=True)), default=0.0)
    if not isinstance(space, spaces.Box) or is_picture(space):  # bytes are scaled by what sees them
        return 0.0
    return float(
        np.abs(np.asarray(value, dtype=np.float64), where=np.isfinite(value), out=np.zeros(space.shape)).max(
            initial=0.0
        )
    )


def _check_as_gymnasium_does(env: Env, report: Report) -> None:
    try:
        gymnasium_check(cast(Any, env), skip_render_check=True, skip_close_check=True)
    except BaseException as error:
        fix = "see https://gymnasium.farama.org/api/env for the contract"
        told = said(error) if isinstance(error, Exception) else raised(error)
        report.warning(f"Gymnasium's checker says: {told}", "gymnasium.utils.env_checker", fix)


def _same(a: Any, b: Any) -> bool:
    """Say whether two answers are equal to the last bit, NaN equal to NaN."""
    if isinstance(a, dict):
        left, right = cast(dict[Any, Any], a), cast(dict[Any, Any], b)
        return isinstance(b, dict) and left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(a, tuple | list):
        return (
            isinstance(b, tuple | list)
            and len(cast(Any, a)) == len(cast(Any, b))
            and all(_same(x, y) for x, y in zip(cast(Any, a), cast(Any, b), strict=True))
        )
    try:
        return bool(np.array_equal(a, b, equal_nan=True))
    except TypeError:
        return bool(np.array_equal(a, b))
