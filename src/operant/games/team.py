"""Games of teams as an environment of heroes: what each is paid, and who plays the other side."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from numpy.typing import NDArray

from operant.control.agent import Agent
from operant.env import Observations, Step
from operant.games.elo import Pool
from operant.games.lanes import Lanes

Rewards = NDArray[np.float64]  # [N, 2, K] of two teams of K


def zero_sum(reward: Rewards) -> Rewards:
    """r_i − mean_j r_j over the other team: what the one team is paid the other pays, so that all sum to 0.

    Source: OpenAI (2018), OpenAI Five, "each agent's reward minus the other team's mean".
    """
    return reward - reward.mean(-1, keepdims=True)[:, ::-1]


def spirited(reward: Rewards, spirit: float) -> Rewards:
    """(1 − τ) r_i + τ mean_j r_j over the hero's own team: at τ = 0 each for itself, at τ = 1 all alike.

    Sums over a team stay what they were, so a zero sum stays one.

    Source: Berner et al. (2019), Dota 2 with large scale deep reinforcement learning, arXiv:1912.06680, team spirit.
    """
    return (1.0 - spirit) * reward + spirit * reward.mean(-1, keepdims=True)


def drawn(
    agent: Agent, seen: NDArray[np.float32], memory: torch.Tensor, generator: np.random.Generator
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """[R] what an agent does, by draws, that sees the first of the numbers [R, D] and remembers [R, S]; what it
    remembers then."""
    with torch.no_grad():
        rows = torch.from_numpy(np.ascontiguousarray(seen[:, : agent.spec.obs_dim]))
        p, _, after = agent.step(rows, memory)
        return agent.policy.distribution.sample(p, generator).numpy(), after


class TeamPlay:
    """N games as a `VectorEnv` of N · 2 · K heroes, game by game and team by team, whom one policy plays.

    Each game draws who plays team 1: the policy itself, or a past self of the pool, which then acts by draws and with a
    memory of its own; its heroes' rows have `acted` False, and their actions are ignored. A past self that loses is
    drawn less often.

    Args:
        world: the games.
        pool: of past selves.
        generator: draws opponents and what past selves do.
        columns: D, how many of the numbers that a hero sees are shown, from the first on; None for all.

    Attributes:
        spirit: τ.
        shuffle: where given, it mixes the rewards of all heroes of all games: a control, which says nothing of who did
            what.
        filmed: whether pictures are taken, so that an ended game's last one is kept.
        rival: [N], the number of the past self that plays team 1; −1 for none.
        results: games against past selves so far, and those that were won.
    """

    backend, fps, foreign = "compiled", 4, False

    def __init__(
        self, world: Lanes, pool: Pool[Agent], generator: np.random.Generator, columns: int | None = None
    ) -> None:
        self.world, self.pool, self.generator = world, pool, generator
        self.spirit, self.filmed = 0.0, False
        self.shuffle: np.random.Generator | None = None
        self._last: NDArray[np.uint8] | None = None
        self.num = world.num * 2 * world.heroes
        self.show(world.obs_dim if columns is None else columns)
        self.action_space: Space[Any] = spaces.Discrete(world.actions)
        self.rival = np.full(world.num, -1)
        self.results = np.zeros(2, np.int64)

    def show(self, columns: int) -> None:
        """From now on heroes are shown so many numbers of what they see."""
        self.obs_dim = columns
        self.observation_space: Space[Any] = spaces.Box(-2.0, 2.0, (columns,), np.float32)
        self.observations = Observations(self.observation_space)

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin all games, against opponents drawn anew."""
        self.world.reset(seed)
        self._last = None
        self.rival[:] = [self._drawn() for _ in self.rival]
        width = max((past.remembers for past in self.pool.past), default=0)
        self._memory = torch.zeros(self.world.num, self.world.heroes, width)
        self._seen = self.world.observe()
        return self._rows(self._seen)

    def step(self, action: NDArray[np.int64]) -> Step:
        """All heroes act; a game that ended has begun again. A past self's row is truncated where its game ends."""
        world = self.world
        chosen = action.reshape(world.num, 2, world.heroes).copy()
        mine = np.ones(chosen.shape, np.bool_)
        mine[self.rival >= 0, 1] = False
        for k in np.unique(self.rival[self.rival >= 0]).tolist():
            at = self.rival == k
            chosen[at, 1] = self._acts(k, at)
        told = world.step(chosen)
        reward = zero_sum(told.reward)
        if self.shuffle is not None:
            reward = self.shuffle.permutation(reward.ravel()).reshape(reward.shape)
        reward = np.where(mine, spirited(reward, self.spirit), 0.0)
        last = world.observe()
        self._last = world.picture() if self.filmed and told.over[0] else None
        if told.over.any():
            self._ended(told.over, told.outcome)
        self._seen = world.observe()
        over = np.broadcast_to(told.over[:, None, None], mine.shape)
        return Step(
            obs=self._rows(self._seen), reward=reward.astype(np.float32).ravel(), terminated=(over & mine).ravel(),
            truncated=(over & ~mine).ravel(), acted=mine.ravel(), final_obs=self._rows(last),
        )  # fmt: skip

    def render(self) -> NDArray[np.uint8]:
        """The picture of the first game; where it just ended, its last one if `filmed`."""
        return self.world.picture() if self._last is None else self._last

    def close(self) -> None:
        """There is nothing to free."""

    def _acts(self, k: int, at: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[G, K], what a past self does in its games."""
        past, games, seen = self.pool.past[k], torch.from_numpy(at), self._seen[at, 1]
        memory = self._memory[games][..., : past.remembers]
        action, after = drawn(past, seen.reshape(-1, seen.shape[-1]), memory.flatten(0, 1), self.generator)
        self._memory[games, :, : past.remembers] = after.view(memory.shape)
        return action.reshape(-1, self.world.heroes)

    def _ended(self, over: NDArray[np.bool_], outcome: NDArray[np.int64]) -> None:
        """Count games against past selves, and begin those that are over again, with opponents drawn anew."""
        for n in np.flatnonzero(over).tolist():
            if (k := int(self.rival[n])) >= 0:
                self.results += (1, int(outcome[n] > 0))
                if outcome[n] > 0:
                    self.pool.beaten(k)
            self.rival[n] = self._drawn()
        self._memory[torch.from_numpy(over)] = 0.0
        self.world.again(over)

    def _drawn(self) -> int:
        past = self.pool.draw(self.generator)
        return -1 if past is None else past

    def _rows(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(seen[..., : self.obs_dim]).reshape(self.num, self.obs_dim)
