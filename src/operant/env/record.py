"""Episodes recorded as they are played: by a function, a stored policy, or a person's keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from operant.config.errors import EnvError, user_code
from operant.env.dataset import DataSet, Episode, stacked
from operant.env.inprocess import Env, close, describe
from operant.env.make import EnvLike, make_one
from operant.env.masks import KEY

Act = Callable[[Any, dict[str, Any]], Any]
"""The action for an observation and its info, both as the environment gives them."""


class Draft:
    """An episode that is going on; each step is played in the environment, and kept.

    Args:
        env: one environment.
        name: what it is called, for messages.
        seed: with which it is reset.
        longest: steps after which the episode is cut, and truncated.
    """

    def __init__(self, env: Env, name: str, seed: int, longest: int) -> None:
        self.env, self.name, self.seed, self.longest = env, name, seed, longest
        with user_code(f"{name}: reset()", EnvError):
            answer: Any = env.reset(seed=seed)
        with user_code(f"{name}: reset() returned {describe(answer)}, which cannot be recorded: it", EnvError):
            self.obs, self.info = answer
            self._seen, self._masks = [_copy(self.obs)], [self.info.get(KEY)]
        self._done, self._rewards = list[Any](), list[float]()
        self.terminated = self.truncated = False

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.terminated or self.truncated

    @property
    def total(self) -> float:
        """The return so far."""
        return float(sum(self._rewards))

    def __len__(self) -> int:
        """Steps so far."""
        return len(self._rewards)

    def step(self, action: Any) -> None:
        """Do an action, which must lie in the action space.

        Raises:
            EnvError: if it does not, or the environment raises.
        """
        if not self.env.action_space.contains(action):
            raise EnvError(
                f"{self.name}: at step {len(self)} the action is {action!r:.80}, which is none of "
                f"{self.env.action_space}: give one of these, of its type and shape"
            )
        kept = _copy(action)
        with user_code(f"{self.name}: step()", EnvError):
            answer: Any = self.env.step(action)
        with user_code(f"{self.name}: step() returned {describe(answer)}, which cannot be recorded: it", EnvError):
            self.obs, reward, terminated, truncated, self.info = answer
            self._rewards.append(float(reward))
            self._seen.append(_copy(self.obs))
            self._masks.append(self.info.get(KEY))
            self.terminated = bool(terminated)
            self.truncated = not self.terminated and (bool(truncated) or len(self) >= self.longest)
        self._done.append(kept)

    def episode(self) -> Episode:
        """All of it, as it stands; one that has not ended is truncated.

        Raises:
            EnvError: if its observations are not of the observation space.
        """
        with user_code(f"{self.name}: the observations of an episode are not of its space: stacking them", EnvError):
            observations = stacked(self.env.observation_space, self._seen)
        ends = np.zeros((2, len(self)), np.bool_)
        ends[:, -1] = self.terminated, not self.terminated
        masks = [self._masks[-2] if m is None else m for m in self._masks]  # the last state may have none
        told = all(m is not None for m in masks) and all(isinstance(m, np.ndarray | list) for m in masks)
        return Episode(
            observations=observations,
            actions=stacked(self.env.action_space, self._done),
            rewards=np.array(self._rewards),
            terminations=ends[0],
            truncations=ends[1],
            action_mask=np.stack([np.asarray(m) for m in masks]) if told else None,
            seed=self.seed,
        )


def play_episodes(
    env: Env, name: str, act: Act, *, episodes: int, seed: int, longest: int,
    begins: Callable[[int], None] | None = None, done: list[Episode] | None = None,
) -> list[Episode]:  # fmt: skip
    """Whole episodes by `act`, the k-th from `seed + k`; `begins(k)` is called before each.

    Each goes into `done` as it ends, so that whoever gave that list has them where a later one fails.

    Raises:
        EnvError: if an action lies outside of the space, or the environment raises.
    """
    done = [] if done is None else done
    for k in range(episodes):
        if begins is not None:
            begins(k)
        draft = Draft(env, name, seed + k, longest)
        while not draft.over:
            draft.step(act(draft.obs, draft.info))
        done.append(draft.episode())
    return done


def data_of(env: Env, name: str, episodes: list[Episode]) -> DataSet:
    """Episodes of an environment as a data set."""
    return DataSet(
        episodes=episodes, observation_space=env.observation_space, action_space=env.action_space, env_id=name
    )


def _copy(value: Any) -> Any:
    """The same, which nothing later writes into."""
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_copy(inner) for inner in value)
    return np.array(value)


def acting(function: Callable[..., Any], name: str, generator: np.random.Generator) -> Act:
    """A person's function of an observation as what acts; it gets `info` and `generator` too where it names them."""
    try:
        named = inspect.signature(function).parameters
    except (TypeError, ValueError):  # it has none that can be read
        named = {}

    def act(obs: Any, info: dict[str, Any]) -> Any:
        more = {k: x for k, x in (("info", info), ("generator", generator)) if k in named}
        with user_code(name, EnvError):
            return function(obs, **more)

    return act


def record_data(
    env: EnvLike, act: Callable[..., Any], *, episodes: int = 10, seed: int = 0, longest: int = 10_000,
    kwargs: Mapping[str, Any] | None = None,
) -> DataSet:  # fmt: skip
    """Record whole episodes.

    Args:
        env: a Gymnasium id, "module:callable", or a callable that returns an environment.
        act: what acts, a function of an observation; of `info` and `generator` too where it names them.
        episodes: how many; the k-th is reset with `seed + k`.
        seed: of the first episode, and of what `act` draws by its generator.
        longest: steps after which an episode is cut, and truncated.
        kwargs: options of the environment.

    Raises:
        EnvError: if the environment cannot be made or raises, or an action is none of its space.
    """
    from operant.data.streams import Streams  # which imports torch

    name = env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
    made = make_one(env, kwargs, measured=True)
    try:
        drawn = acting(act, "what acts", Streams(seed).numpy("record"))
        return data_of(made, name, play_episodes(made, name, drawn, episodes=episodes, seed=seed, longest=longest))
    finally:
        close(made, name)
