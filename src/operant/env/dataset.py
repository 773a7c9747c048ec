"""Whole episodes that somebody recorded: what was seen, done and paid, in the spaces of the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.env.interface import Interface
from operant.env.leaf import FLOAT, at, leaves
from operant.env.masks import INFO, KEY
from operant.env.spaces import Actions, Observations, action_dtype
from operant.env.text import TEXT, Codes

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """T decisions between T+1 observations, as the environment gave and took them.

    Of Dict and Tuple spaces observations and actions are dicts and tuples of arrays.
    """

    observations: Any  # [T+1, *shape]
    actions: Any  # [T, *shape]
    rewards: Array  # [T]
    terminations: Array  # [T] bool; the task ended here, nothing follows
    truncations: Array  # [T] bool; one stopped looking, something follows
    action_mask: Array | None = None  # [T+1, K], info["action_mask"] of reset and steps, where there was one
    seed: int | None = None  # with which the environment was reset

    def __len__(self) -> int:
        return len(self.rewards)

    def digest(self) -> bytes:
        """The same for equal episodes: of what was seen and done."""
        sha = hashlib.sha256()
        for tree in (self.observations, self.actions):
            for x in _arrays(tree):
                sha.update(np.ascontiguousarray(x).tobytes())
        return sha.digest()


class Rows(NamedTuple):
    """An episode as a policy sees it: rows of numbers, and plain actions (`Interface`).

    It is truncated where the episode just stops; where it is both, it is terminated.
    """

    obs: Array  # [T+1, D]
    action: Array  # [T, *width]
    reward: NDArray[np.float32]  # [T]
    terminated: NDArray[np.bool_]  # [T]
    truncated: NDArray[np.bool_]  # [T]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """Episodes of one environment.

    Attributes:
        episodes: in the order in which they were recorded.
        observation_space, action_space: of the environment that they are of.
        env_id: its name, for people: nothing is made of it. Empty where it is not known.
        source: where it was read, for messages.
    """

    episodes: Sequence[Episode]
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    env_id: str = ""
    source: str = "the data"

    def __len__(self) -> int:
        """How many episodes."""
        return len(self.episodes)

    @property
    def steps(self) -> int:
        """How many decisions."""
        return int(self.lengths.sum())

    @property
    def returns(self) -> NDArray[np.float64]:
        """[E], the undiscounted return of each episode."""
        return np.array([np.sum(e.rewards, dtype=np.float64) for e in self.episodes], np.float64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[E], the decisions of each episode."""
        return np.array([len(e) for e in self.episodes], np.int64)

    def chosen(self, index: Sequence[int] | Array) -> DataSet:
        """Some of the episodes, in the order given."""
        return DataSet(
            episodes=[self.episodes[int(i)] for i in index], observation_space=self.observation_space,
            action_space=self.action_space, env_id=self.env_id, source=self.source,
        )  # fmt: skip

    def best(self, share: float) -> DataSet:
        """The best ⌈share · E⌉ episodes by their return, in their own order; of equal ones the earlier."""
        count = max(1, ceil(share * len(self) - 1e-9))
        return self.chosen(sorted(np.argsort(-self.returns, kind="stable")[:count].tolist()))

    def split(self, share: float, generator: np.random.Generator) -> tuple[DataSet, DataSet]:
        """Episodes to learn from, and about a share of them to test on, drawn by `generator`; at least one of each.

        Episodes that are the same lie on the same side: what is tested was not learnt.

        Raises:
            ConfigError: if all episodes are the same, or there is one alone.
        """
        groups: dict[bytes, list[int]] = {}
        for k, episode in enumerate(self.episodes):
            groups.setdefault(episode.digest(), []).append(k)
        kinds = [*groups.values()]
        if len(kinds) < 2:
            raise ConfigError(
                f"{self.source} has {len(self)} episodes and {len(kinds)} that differ, too few to hold one out: record "
                "more, or set data.test_share 0"
            )
        wanted, test = min(max(1.0, share * len(self)), len(self) - 1), list[int]()
        for k in generator.permutation(len(kinds))[:-1]:
            if len(test) >= round(wanted):
                break
            test += kinds[int(k)]
        held = set(test)
        return self.chosen([k for k in range(len(self)) if k not in held]), self.chosen(sorted(test))

    def rows(self, between: Interface) -> Iterator[Rows]:
        """Each episode as a policy sees it.

        Raises:
            ConfigError: if an observation or a mask lies outside the space; says which episode.
        """
        dtype = action_dtype(between.actions.space)
        for k, episode in enumerate(self.episodes):
            terminated = np.asarray(episode.terminations, np.bool_)
            truncated = np.asarray(episode.truncations, np.bool_) & ~terminated
            if len(truncated):
                truncated[-1] = ~terminated[-1]
            try:
                obs = self._observed(episode, between, terminated | truncated)
                action = plain_actions(between.actions, episode.actions).astype(dtype, copy=False)
            except ValueError as error:
                raise ConfigError(f"{self.source}: episode {k}: {error}") from error
            yield Rows(obs, action, np.asarray(episode.rewards, np.float32), terminated, truncated)

    def _observed(self, episode: Episode, between: Interface, ended: Array) -> Array:
        seen = between.observations
        obs = seen.batch(episode.observations, len(episode) + 1)
        if seen.mask and seen.action_mask == INFO and episode.action_mask is None:
            raise ValueError('it holds no info["action_mask"]: record it anew, or leave out env.action_mask')
        infos = {} if episode.action_mask is None else {KEY: episode.action_mask}
        seen.write_masks(episode.observations, infos, np.append(False, ended), obs)
        return obs


def plain_actions(actions: Actions, values: Any) -> Array:
    """A policy's actions [N, *width] for those of the environment: what `Actions.decode` takes back.

    Args:
        actions: of the space.
        values: arrays [N, *shape], in the dict or tuple of the space.

    Raises:
        ValueError: if a value has another shape than the space's.
    """
    columns: list[Array] = []
    for part in actions.parts:
        x, space = np.asarray(at(values, part.keys)), part.space
        if x.shape[1:] != (space.shape or ()):
            raise ValueError(f"actions of shape {x.shape[1:]}, and the action space says {space.shape}")
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            x = x.astype(np.int64) - np.asarray(space.start, np.int64)
        columns.append(x.reshape(len(x), -1))
    if actions.kind == "discrete":
        return columns[0][:, 0]
    return columns[0] if len(columns) == 1 else np.concatenate(columns, 1, dtype=np.float32)


def stacked(space: gymnasium.Space[Any], values: Sequence[Any]) -> Any:
    """Observations or actions one by one as arrays [N, *shape], in the dict or tuple of the space."""
    if isinstance(space, spaces.Dict):
        return {key: stacked(inner, [v[key] for v in values]) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(inner, [v[k] for v in values]) for k, inner in enumerate(space.spaces))
    return np.stack([np.asarray(v) for v in values]).astype(space.dtype, copy=False)


def same_spaces(data: DataSet | Interface, between: Interface) -> list[str]:
    """In what the spaces of data, or of a policy, differ from an environment's, in words; nothing where they do not.

    Observations may have other bounds, as those of versions of an environment differ; actions of a data set may not.
    """
    policy = isinstance(data, Interface)
    its = (data.observations.space, data.actions.space) if policy else (data.observation_space, data.action_space)
    pairs = (
        ("observation", its[0], between.observations.space, False),
        ("action", its[1], between.actions.space, not policy),
    )
    found: list[str] = []
    for what, its, ours, bounded in pairs:
        mine, other = [*leaves(its)], [*leaves(ours)]
        if [x[0] for x in mine] != [x[0] for x in other]:
            found.append(f"its {what} space is {its}, the environment's {ours}")
            continue
        for (path, _, a), (_, _, b) in zip(mine, other, strict=True):
            if not _alike(a, b, bounded):
                found.append(f"its {what} space{path and ' at ' + path} is {a}, the environment's {b}")
    return found


def _alike(a: Any, b: Any, bounded: bool) -> bool:
    if type(a) is not type(b) or a.shape != b.shape or np.dtype(a.dtype).kind != np.dtype(b.dtype).kind:
        return False
    if isinstance(a, spaces.Box):
        return not bounded or (np.allclose(a.low, b.low, rtol=1e-5) and np.allclose(a.high, b.high, rtol=1e-5))
    return bool(a == b)


def _arrays(tree: Any) -> Iterator[Array]:
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from _arrays(tree[key])
    elif isinstance(tree, tuple | list):
        for inner in tree:
            yield from _arrays(inner)
    else:
        yield np.asarray(tree)


def raw_observations(seen: Observations, rows: Array) -> list[Any]:
    """Observations as the environment gives them, for rows [N, D]: what `Observations.rows` takes.

    Numbers have gone through float32; a mask that stands in `info` is left out.
    """
    held: dict[tuple[Any, ...], Array] = {}
    for part in seen.parts:
        columns = rows[:, part.columns]
        x = columns if part.picture or rows.dtype != np.uint8 else columns.view(FLOAT)
        held[part.keys] = _decoded(part.space, x)
    if seen.mask and seen.action_mask != INFO:
        space = at(seen.space.spaces, (seen.action_mask,)) if isinstance(seen.space, spaces.Dict) else seen.space
        held[(seen.action_mask,)] = (
            rows[:, seen.features :].reshape(len(rows), *(space.shape or ())).astype(space.dtype)
        )
    return [_picked(seen.space, held, (), k) for k in range(len(rows))]


def texts(seen: Observations, row: Array) -> list[tuple[list[str], int]]:
    """Of each text in a row [D] its pieces, words with a blank behind each or characters, and how many there may be."""
    found = list[tuple[list[str], int]]()
    for part in seen.parts:
        if isinstance(part.space, TEXT):
            codes, x = Codes(part.space), row[part.columns]
            found.append((codes.pieces(x if row.dtype != np.uint8 else x.view(FLOAT)), codes.length))
    return found


def _decoded(space: Any, x: Array) -> Array:
    """The values [N, *shape] of a plain space, or the texts [N], for its columns."""
    if isinstance(space, TEXT):
        codes = Codes(space)
        return np.array([codes.text(row) for row in x])
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return x.reshape(len(x), *space.shape).astype(space.dtype)
    counts = np.atleast_1d(np.asarray(space.n if isinstance(space, spaces.Discrete) else space.nvec)).ravel()
    each = np.split(x, np.cumsum(counts)[:-1], axis=1)
    index = np.stack([part.argmax(1) for part in each], 1).reshape(len(x), *(space.shape or ()))
    return (index + space.start).astype(space.dtype)


def _picked(space: Any, held: Mapping[tuple[Any, ...], Array], keys: tuple[Any, ...], row: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _picked(inner, held, (*keys, key), row) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_picked(inner, held, (*keys, k), row) for k, inner in enumerate(space.spaces))
    return held[keys][row]
