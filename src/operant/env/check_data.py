"""Says what is wrong with a data set, in which episode and step, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.env.dataset import DataSet, Episode, same_spaces
from operant.env.findings import Problem, Report
from operant.env.interface import Interface
from operant.env.leaf import at, leaves

Array = NDArray[Any]
SHOWN = 3
"""Errors that a refusal lists."""
ROUNDING = 1e-5
"""By how much of its range an action may lie outside of a Box: a number written as float32 and read as float64 does."""


def check_data(data: DataSet, *, limit: int | None = None) -> list[Problem]:
    """What is wrong with the episodes, each kind once, where it is met first.

    Args:
        data: what is looked at.
        limit: steps after which the environment truncates an episode, where that is known.
    """
    report = Report()
    for k, episode in enumerate(data.episodes):
        if _check_lengths(k, episode, data, report):
            _check_numbers(k, episode, data, report)
            _check_actions(k, episode, data.action_space, report)
            _check_ends(k, episode, report)
    if not report.broken:
        _check_time_limit(data, limit, report)
        _check_twice(data, report)
    return list(report.problems.values())


def require_sound(data: DataSet, between: Interface | None = None) -> None:
    """Refuse data from which nothing should be learnt.

    Args:
        data: what is looked at.
        between: of the environment whose data they should be.

    Raises:
        ConfigError: with the first errors, or in what the spaces differ.
    """
    if between is not None and (differ := same_spaces(data, between)):
        made = f", which says that it is of {data.env_id}" if data.env_id else ""
        raise ConfigError(f"{data.source}{made}, is of another environment: {'; '.join(differ)}. Name its own.")
    found = [str(p) for p in check_data(data) if p.severity == "error"]
    if found:
        more = f" And {len(found) - SHOWN} more: operant data show {data.source}" if len(found) > SHOWN else ""
        raise ConfigError(f"{data.source}: " + " ".join(found[:SHOWN]) + more)


def refuse_leaks(train: DataSet, test: DataSet) -> None:
    """Raises ConfigError where an episode is in both: what was learnt by heart would pass for what was understood."""
    known = {episode.digest(): k for k, episode in enumerate(train.episodes)}
    for k, episode in enumerate(test.episodes):
        if (first := known.get(episode.digest())) is not None:
            raise ConfigError(
                f"episode {k} of {test.source} is episode {first} of {train.source}: what is tested must not have been "
                "learnt. Take it out, or give no data.test and let data.test_share hold some out"
            )


def _at(k: int, step: int) -> str:
    return f"episode {k}, step {step}"


def _check_lengths(k: int, episode: Episode, data: DataSet, report: Report) -> bool:
    """Whether an episode's parts belong together: T actions, rewards and flags between T+1 observations."""
    steps, fits = len(episode), True
    if not steps:
        report.error("it has no step", f"episode {k}", "leave it out", "empty")
        return False
    parts = [("terminations", episode.terminations, steps), ("truncations", episode.truncations, steps)]
    parts += [("action" + p, x, steps) for p, x, _ in _leaves(data.action_space, episode.actions)]
    parts += [("observation" + p, x, steps + 1) for p, x, _ in _leaves(data.observation_space, episode.observations)]
    if episode.action_mask is not None:
        parts.append(("action_mask", episode.action_mask, steps + 1))
    for name, x, wanted in parts:
        if len(x) != wanted:
            what = f"{name} has {len(x)} rows, and {steps} rewards need {wanted}"
            report.error(what, f"episode {k}", "there is one more observation than decisions: write it whole", "length")
            fits = False
    spaced = [*_leaves(data.action_space, episode.actions), *_leaves(data.observation_space, episode.observations)]
    for path, x, space in spaced:
        if x.shape[1:] != (space.shape or ()):
            what = f"what stands at {path or 'it'} has shape {x.shape[1:]}, and its space {space} has {space.shape}"
            report.error(what, f"episode {k}", "write the spaces of what was recorded", "shape")
            fits = False
    return fits


def _check_numbers(k: int, episode: Episode, data: DataSet, report: Report) -> None:
    named = [("observation" + p, x) for p, x, _ in _leaves(data.observation_space, episode.observations)]
    named += [("action" + p, x) for p, x, _ in _leaves(data.action_space, episode.actions)]
    for name, x in [*named, ("reward", episode.rewards)]:
        if x.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):  # what is learnt from is float32
            finite = np.isfinite(x.reshape(len(x), -1).astype(np.float32))
        if not finite.all():
            step = int(np.argmin(finite.all(1)))
            bad = x.reshape(len(x), -1)[step][~finite[step]][0]
            what = f"the {name} is {bad:g}" + (", too large for float32" if np.isfinite(bad) else "")
            report.error(what, _at(k, step), "leave the episode out, or cut it before", f"{name} nan")


def _check_actions(k: int, episode: Episode, space: gymnasium.Space[Any], report: Report) -> None:
    for path, x, inner in _leaves(space, episode.actions):
        inside = _inside(inner, x.reshape(len(x), -1))
        if not inside.all():
            step = int(np.argmin(inside))
            what = f"the action{path} is {x[step].tolist()!s:.80}, outside of {inner}"
            fix = "record what the environment was given, clipped to its space"
            report.error(what, _at(k, step), fix, f"outside{path}")


def _inside(space: Any, flat: Array) -> Array:
    """[T], whether actions [T, A] lie in a plain space."""
    if isinstance(space, spaces.Box):
        low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            slack = np.where(np.isfinite(high - low), ROUNDING * (high - low), 0.0)
            fits = (flat >= low - slack) & (flat <= high + slack)
            return np.asarray((fits | ~np.isfinite(flat)).all(1))
    if isinstance(space, spaces.MultiBinary):
        return ((flat == 0) | (flat == 1)).all(1)
    start = np.atleast_1d(np.asarray(space.start)).ravel()
    count = np.atleast_1d(np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec)).ravel()
    return ((flat >= start) & (flat < start + count) & (flat == np.floor(flat))).all(1)


def _check_ends(k: int, episode: Episode, report: Report) -> None:
    ended = episode.terminations | episode.truncations
    if ended[:-1].any():
        step = int(np.argmax(ended))
        what = f"it ends there and goes on for {len(episode) - step - 1} steps"
        report.error(what, _at(k, step), "cut it behind its end: one episode is one task", "goes on")
    elif not ended[-1]:
        what = "it just stops: neither terminated nor truncated, and is read as truncated"
        report.warning(what, _at(k, len(episode) - 1), "say truncated, as something follows", "stops")


def _check_time_limit(data: DataSet, limit: int | None, report: Report) -> None:
    """Episodes of one and the same greatest length that all say terminated were rather cut by a clock."""
    lengths = data.lengths
    longest = int(limit or lengths.max())
    at_it = [data.episodes[k] for k in np.flatnonzero(lengths == longest).tolist()]
    varies = limit is not None or (len(at_it) >= 3 and len(at_it) < len(data))  # else each may be as long as its task
    if varies and len(at_it) >= 2 and longest > 1 and all(e.terminations[-1] and not e.truncations[-1] for e in at_it):
        k = int(np.argmax(lengths == longest))
        whose = "the environment's time limit" if limit else "the greatest length"
        report.warning(
            f"{len(at_it)} episodes have {longest:,} steps, {whose}, and all say terminated: a time limit would be "
            "truncated, and what is behind it counts", _at(k, longest - 1),
            "if it was the clock, write truncations there and no terminations", "time limit",
        )  # fmt: skip


def _check_twice(data: DataSet, report: Report) -> None:
    first: dict[bytes, int] = {}
    for k, episode in enumerate(data.episodes):
        before = first.setdefault(episode.digest(), k)
        if before != k:
            what = f"it is the same as episode {before}, in all that was seen and done"
            fix = "leave it out; where episodes are held out, both lie on one side"
            report.warning(what, f"episode {k}", fix, "twice")


def _leaves(space: gymnasium.Space[Any], tree: Any) -> Iterator[tuple[str, Array, Any]]:
    """(path, array, plain space) of all that stands in observations or actions."""
    for path, keys, inner in leaves(space):
        yield path, np.asarray(at(tree, keys)), inner
