"""Wrappers put around each copy of an environment, from their texts (`operant.config.wrappers`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces, wrappers
from numpy.typing import NDArray

from operant.config.errors import ConfigError, EnvError, user_code
from operant.config.wrappers import Wrapper, parsed
from operant.env.text import Words, words_in

Env = gymnasium.Env[Any, Any]


def wrapped(env: Env, texts: Sequence[str], name: str, *, measured: bool = False) -> Env:
    """An environment in the wrappers of `texts`, the first innermost; `measured` as `parsed` has it.

    Raises:
        ConfigError: for a text that names no wrapper, or one that does not fit this environment.
    """
    try:
        found = parsed(texts, measured=measured)
    except ValueError as error:
        raise ConfigError(f"env.wrappers: {error}") from error
    for wrapper in found:
        with user_code(f"{name}: the wrapper {wrapper.name}", EnvError):
            try:
                env = _MAKERS[wrapper.name](env, wrapper)
            except Unfit as error:
                have = f"observes {env.observation_space}" if error.args[0].startswith("an obs") else "has none"
                raise ConfigError(f"env.wrappers: {wrapper.name} needs {error}; {name} {have}") from error
    return env


class Unfit(Exception):
    """A wrapper that does not fit: what it needs."""


class _Reset(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Takes actions after each reset, before the first observation; an episode that ends meanwhile begins again."""

    def __init__(self, env: Env, actions: Callable[[Any], Sequence[int]]) -> None:
        super().__init__(env)
        self._actions = actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        for action in self._actions(self):
            obs, _, terminated, truncated, more = self.env.step(action)
            info |= more
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        return obs, info


class _MaxAndSkip(wrappers.MaxAndSkipObservation[Any, Any, Any]):
    """Gymnasium's, whose maximum at an early end would be of frames of the step before."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action so many times."""
        self._obs_buffer[:] = 0
        total, frames = 0.0, list[Any]()
        terminated, truncated, info = False, False, dict[str, Any]()
        for _ in range(self._skip):
            obs, reward, terminated, truncated, info = self.env.step(action)
            frames.append(obs)
            total += float(reward)
            if terminated or truncated:
                break
        return np.max(frames[-2:], axis=0), total, terminated, truncated, info


class _EpisodicLife(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Lets an episode end with each life; the game begins anew only when the last is lost."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._lives, self._over, self._kept = 0, True, cast("tuple[Any, dict[str, Any]]", (None, {}))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take an action; terminated where it cost a life."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        before, self._lives = self._lives, _lives(self.env)
        self._over, self._kept = bool(terminated or truncated), (obs, info)
        return obs, reward, bool(terminated) or 0 < self._lives < before, bool(truncated), info

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Go on with the next life, or begin a game where there is none or a seed is given."""
        if self._over or seed is not None:
            self._kept = self.env.reset(seed=seed, options=options)
            self._over = False
        self._lives = _lives(self.env)
        return self._kept


def _lives(env: Env) -> int:
    return int(cast("Any", env.unwrapped).ale.lives())


def _noop_start(env: Env, wrapper: Wrapper) -> Env:
    _named_actions(env, "NOOP")
    most = int(wrapper.numbers[0])
    return _Reset(env, lambda its: [0] * int(its.np_random.integers(1, most + 1)))


def _fire_reset(env: Env, _: Wrapper) -> Env:
    names = _named_actions(env, "")
    return _Reset(env, lambda its: [names.index("FIRE")]) if "FIRE" in names else env


def _named_actions(env: Env, first: str) -> list[str]:
    """The names of the actions. Raises Unfit where there are none, or the first has another."""
    names: list[str] = [*getattr(env.unwrapped, "get_action_meanings", list)()]
    if not names or (first and names[0] != first):
        raise Unfit(f"named actions{first and ' of which the first is ' + first}, as Atari has them")
    return names


def _episodic_life(env: Env, _: Wrapper) -> Env:
    if not hasattr(env.unwrapped, "ale"):
        raise Unfit("lives, as Atari has them")
    return _EpisodicLife(env)


def _grey(env: Env, _: Wrapper) -> Env:
    shape = _image(env)
    return env if len(shape) == 2 else wrappers.GrayscaleObservation(env)


def _resize(env: Env, wrapper: Wrapper) -> Env:
    shape, (height, width) = _image(env), (int(n) for n in wrapper.numbers)
    down, across = shares(shape[0], height), shares(shape[1], width)
    space = spaces.Box(0, 255, (height, width, *shape[2:]), np.uint8)
    return wrappers.TransformObservation(env, lambda obs: resized(obs, down, across), space)


def _image(env: Env) -> tuple[int, ...]:
    """The shape of a picture [H, W] or [H, W, 3] of bytes. Raises Unfit for another observation."""
    space = env.observation_space
    shape = tuple(space.shape or ())
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or not (len(shape) == 2 or shape[2:] == (3,)):
        raise Unfit("an observation of bytes, [H, W] or [H, W, 3]")
    return shape


Shares = tuple[NDArray[np.int64], NDArray[np.float32]]


def shares(size: int, into: int) -> Shares:
    """[into, K]: which of the old rows each new one is of, and their shares, by the area in which they overlap."""
    edges, old = np.arange(into + 1) * (size / into), np.arange(size)
    overlap = np.clip(np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old), 0.0, None)
    most = int((overlap > 0.0).sum(1).max())
    index = np.sort(np.argsort(-overlap, axis=1, kind="stable")[:, :most], axis=1)
    return index, (np.take_along_axis(overlap, index, 1) * (into / size)).astype(np.float32)


def resized(obs: NDArray[np.uint8], down: Shares, across: Shares) -> NDArray[np.uint8]:
    """A picture [H, W] or [H, W, 3] in another size: each new point is the mean of the area that it covers.

    Without a product of matrices: NumPy's would wake threads that stand in the way of torch's.
    """
    (rows, height), (columns, width) = down, across
    more = (1,) * (obs.ndim - 2)
    high = (obs.astype(np.float32)[rows] * height.reshape(*height.shape, 1, *more)).sum(1)  # [h, W, ...]
    return np.rint((high[:, columns] * width.reshape(*width.shape, *more)).sum(2)).astype(np.uint8)


def _key(env: Env, wrapper: Wrapper) -> Env:
    space, keys = env.observation_space, wrapper.word.split()
    has: Any = space.spaces if isinstance(space, spaces.Dict) else {}
    if wrapper.word in has:
        return wrappers.TransformObservation(env, lambda obs: obs[wrapper.word], has[wrapper.word])
    if missing := [key for key in keys if key not in has]:
        raise Unfit(f"an observation with a key {missing[0]!r}")
    its = spaces.Dict({key: has[key] for key in keys})
    return wrappers.TransformObservation(env, lambda obs: {key: obs[key] for key in its}, its)


def _words(env: Env, wrapper: Wrapper) -> Env:
    """A text is read by words: those that its space tells, or those that are named."""
    space, (key, *named) = env.observation_space, wrapper.word.split()
    inner = space.spaces.get(key) if isinstance(space, spaces.Dict) else None
    if not isinstance(space, spaces.Dict) or inner is None or getattr(inner.dtype, "kind", "") != "U":
        raise Unfit(f"an observation with a text at a key {key!r}")
    its = words_in(inner)
    if named:
        its = Words(named, int(wrapper.numbers[0]))
    elif its is None:
        raise Unfit(f"an observation that tells its words, or to be told them: words {key} LENGTH WORD WORD …")
    elif wrapper.numbers:
        its = Words(its.words, int(wrapper.numbers[0]))
    return wrappers.TransformObservation(env, lambda obs: obs, spaces.Dict({**space.spaces, key: its}))


def _one_hot(env: Env, wrapper: Wrapper) -> Env:
    """Symbols [..., K] as planes [..., Σ n] of 0 and 1: what a symbol is called says nothing of how large it is.

    Of a Dict that is its one part of such symbols.
    """
    space, counts = env.observation_space, np.array(wrapper.numbers, np.int64)
    if not isinstance(space, spaces.Dict):
        if not _symbols(space, len(counts)):
            raise Unfit(f"an observation of whole numbers whose last axis has {len(counts)}")
        return wrappers.TransformObservation(env, lambda obs: planes(obs, counts), _planes_of(space, counts))
    fitting = [key for key, inner in space.spaces.items() if _symbols(inner, len(counts))]
    if len(fitting) != 1:
        raise Unfit(f"an observation with one part of whole numbers whose last axis has {len(counts)}")
    its = spaces.Dict({**space.spaces, fitting[0]: _planes_of(space[fitting[0]], counts)})
    return wrappers.TransformObservation(env, lambda obs: {**obs, fitting[0]: planes(obs[fitting[0]], counts)}, its)


def _symbols(space: gymnasium.Space[Any], last: int) -> bool:
    """Whether a space is of whole numbers whose last axis is so long."""
    plain = isinstance(space, spaces.Box | spaces.MultiDiscrete) and (space.dtype or np.dtype(float)).kind in ("i", "u")
    return plain and (space.shape or ())[-1:] == (last,)


def _planes_of(space: gymnasium.Space[Any], counts: NDArray[np.int64]) -> spaces.Box:
    return spaces.Box(0, 1, (*(space.shape or ())[:-1], int(counts.sum())), np.uint8)


def planes(obs: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Symbols [..., K] as planes [..., Σ n] of 0 and 1.

    Raises:
        EnvError: for a symbol that is none of its n.
    """
    if (wrong := (obs < 0) | (obs >= counts)).any():
        k = int(np.argwhere(wrong)[0][-1])
        raise EnvError(
            f"wrapper 'one-hot': number {k} of the last axis is {obs[wrong][0]}, and may have {counts[k]} values, "
            f"0 to {counts[k] - 1}: give it more"
        )
    return np.concatenate([obs[..., k, None] == np.arange(n) for k, n in enumerate(counts)], -1).astype(np.uint8)


def _max_and_skip(env: Env, wrapper: Wrapper) -> Env:
    if not isinstance(env.observation_space, spaces.Box):
        raise Unfit("an observation that is one Box")
    return _MaxAndSkip(env, skip=int(wrapper.numbers[0]))


def _clip_reward(env: Env, wrapper: Wrapper) -> Env:
    if wrapper.numbers:
        return wrappers.ClipReward(env, *wrapper.numbers)
    return wrappers.TransformReward(env, lambda reward: float(np.sign(float(reward))))


_MAKERS: dict[str, Callable[[Env, Wrapper], Env]] = {
    "action-repeat": lambda env, w: wrappers.RepeatAction(env, int(w.numbers[0])),
    "clip-reward": _clip_reward,
    "episodic-life": _episodic_life,
    "fire-reset": _fire_reset,
    "frame-stack": lambda env, w: wrappers.FrameStackObservation(
        env, int(w.numbers[0]), padding_type=w.word or "reset"
    ),
    "grey": _grey,
    "key": _key,
    "max-and-skip": _max_and_skip,
    "noop-start": _noop_start,
    "one-hot": _one_hot,
    "randomise": lambda env, w: import_module("operant.robots.randomisation").randomised(env, w.word),
    "resize": _resize,
    "sticky": lambda env, w: wrappers.StickyAction(env, w.numbers[0]),
    "time-limit": lambda env, w: wrappers.TimeLimit(env, int(w.numbers[0])),
    "words": _words,
}
