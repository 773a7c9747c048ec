"""What was stored, to be learnt from again: draws of transitions over n steps, by priority or not, and of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from operant.data.hindsight import Hindsight
from operant.data.lanes import ACTED, ENDED, TERMINATED, TRUNCATED, Array, Lanes
from operant.data.sum_tree import SumTree
from operant.data.trajectory import Obs, Trajectory

LEAST = 1e-6
"""Added to |δ|, so that what was right once can be drawn again (Schaul et al. 2016, section 3.3)."""

HELD = 1000
"""Decisions whose rewards are held against those of their goals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """B decisions drawn from a replay, and where they led m ≤ n decisions later."""

    obs: Tensor  # [B, D]; what was seen
    action: Tensor  # [B, ...]
    reward: Tensor  # [B]; Σ_k γ^k r_k over the m decisions
    discount: Tensor  # [B]; γ^m
    terminated: Tensor  # [B] bool; the task ended there, nothing follows
    next_obs: Tensor  # [B, D]; what was seen then; the last observation of the episode where it ended
    index: Tensor  # [B] int64; which decisions these are, for `Replay.prioritise`
    weight: Tensor  # [B]; importance weights, all 1 where the draw was uniform

    def __len__(self) -> int:
        return len(self.reward)


class Replay(Lanes):
    """The last rows of N copies (`Lanes`), and draws from them.

    Args:
        capacity: rows of all lanes together.
        lanes: N.
        device: where the tensors go that are drawn.
        stack, frame: as `Lanes` has them.
        memory: S, numbers that an agent with memory remembers; 0 without.
        alpha: α, exponent of the priorities; None draws uniformly.
        hindsight: gives decisions other goals when they are drawn, or None.
        folder: as `Lanes` has it.

    Attributes:
        tree: the priorities of all slots, lane by lane, 0 where there is no decision to be drawn; None if uniform.
        highest: the largest priority so far, |δ| + ε, which new decisions get.
    """

    def __init__(
        self, capacity: int, lanes: int, device: str = "cpu", *, stack: int = 1, frame: int = 0, memory: int = 0,
        alpha: float | None = None, hindsight: Hindsight | None = None, folder: Path | None = None,
    ) -> None:  # fmt: skip
        spans = hindsight is not None
        super().__init__(capacity, lanes, stack=stack, frame=frame, spans=spans, folder=folder)
        self.device, self.memory, self.alpha, self.hindsight = device, memory, alpha, hindsight
        self.highest = 1.0
        self.tree = None if alpha is None else SumTree(lanes * self.size)

    def extend(self, traj: Trajectory) -> None:
        """As `Lanes.extend`; at first rewards are held against those of their goals, where there are some.

        Raises:
            EnvError: if they are others.
        """
        if self.hindsight is not None and self.taken < HELD:
            obs = (traj.obs if isinstance(traj.obs, Tensor) else traj.obs["obs"]).cpu().numpy()
            self.hindsight.check(obs, traj.reward.cpu().numpy(), traj.acted.cpu().numpy())
        super().extend(traj)

    def sample(
        self, size: int, generator: np.random.Generator, *, n: int = 1, discount: float = 0.99, beta: float = 1.0
    ) -> Transitions:
        """Draw decisions with repetition: by priority where there are some, else each equally likely.

        A return is over n decisions, over fewer where its episode ends sooner or what came after is not yet known.

        Args:
            size: B.
            generator: what decides.
            n: decisions summed.
            discount: γ.
            beta: β of the importance weights, (N P)^−β divided by the largest of the B.

        Raises:
            ValueError: if there are none.

        Source: Schaul et al. (2016), Prioritized experience replay, algorithm 1.
        """
        if not len(self):
            raise ValueError("nothing can be drawn from a replay in which there is no decision")
        if self.tree is None:
            lane, row = self._uniform(size, generator)
            weight = np.ones(size, np.float32)
        else:
            leaf = self.tree.draw(size, generator)
            lane, slot = np.divmod(leaf, self.size)
            newest = self.head[lane] - 1
            row = newest - (newest - slot) % self.size
            weight = (self.tree[leaf] * (len(self) / self.tree.total)) ** -beta
            weight = (weight / weight.max()).astype(np.float32)
        return self._transitions(lane, row, weight, n, discount, generator)

    def latest(self, size: int, generator: np.random.Generator, *, n: int = 1, discount: float = 0.99) -> Transitions:
        """The newest `size` decisions of each lane, fewer where there are, in their order; the rest as of `sample`."""
        count = np.minimum(size, self.taken_of - self._first)
        lane = np.repeat(np.arange(self.lanes), count)
        back = np.concatenate([np.arange(k, 0, -1) for k in count])
        row = self._starts[lane, (self.taken_of[lane] - back) % self.size]
        return self._transitions(lane, row, np.ones(len(row), np.float32), n, discount, generator)

    def prioritise(self, index: Tensor, error: Tensor) -> None:
        """Say how wrong the estimates of these decisions are, δ [B]. Those that are gone by now are left out."""
        if self.tree is None:
            return
        row, lane = np.divmod(index.cpu().numpy(), self.lanes)
        there = row >= self.least[lane]
        priority = np.abs(error.detach().cpu().numpy().astype(np.float64))[there] + LEAST
        self._weigh(lane[there], row[there], priority)
        self.highest = max(self.highest, float(priority.max(initial=0.0)))

    def sequences(self, size: int, length: int, generator: np.random.Generator) -> Trajectory:
        """Whole pieces of lanes, `length` rows each, for what has to see them in order; all pieces are equally likely.

        A piece may hold ends of episodes, as every trajectory. With memory `obs` has, beside "obs", a "memory" of
        zeros, as nobody knows what was before, and where episodes "begins". `logp` is not known, and 0.

        Raises:
            ValueError: if no lane is so long.
        """
        pieces = np.maximum(0, self.head - length - self.least + 1)
        if not pieces.any():
            raise ValueError(f"no lane of the replay has {length:,} rows yet")
        lane, k = _spread(pieces, size, generator)
        first = self.least[lane] + k
        row, lanes = first[:, None] + np.arange(length + 1), lane[:, None]  # [B, L+1]
        flags, seen = self.at("flags", lanes, row), self.observed(np.repeat(lane, length + 1), row.ravel())
        obs: Obs = self._tensor(seen).reshape(size, length + 1, -1)
        if self.memory:
            begins = ((flags & ACTED) > 0) & ((self.at("flags", lanes, row - 1) & ACTED) == 0)
            memory = torch.zeros(1, device=self.device).expand(size, length + 1, self.memory)
            obs = {"obs": obs, "memory": memory, "begins": self._tensor(begins)}
        acted = (flags[:, :-1] & ACTED) > 0
        reward = self._tensor(np.where(acted, self.at("reward", lanes, row[:, :-1]), np.float32(0)))
        return Trajectory(
            obs=obs,
            action=self._tensor(self.at("action", lanes, row[:, :-1])),
            logp=torch.zeros_like(reward),
            reward=reward,
            terminated=self._tensor((flags[:, :-1] & TERMINATED) > 0),
            truncated=self._tensor((flags[:, :-1] & TRUNCATED) > 0),
            acted=self._tensor(acted),
            group=torch.arange(size, device=self.device),
        )

    def stood(self, columns: Mapping[str, Array], head: Array, taken: Array, weights: Array | None = None) -> None:
        """Stand where rows that were saved ended, with the weights [N, size] that their priorities gave them."""
        super().stood(columns, head, taken)
        if self.tree is not None and weights is not None:
            self.tree.fill(weights.reshape(-1))

    def _uniform(self, size: int, generator: np.random.Generator) -> tuple[Array, Array]:
        lane, k = _spread(self.taken_of - self._first, size, generator)
        return lane, self._starts[lane, (self._first[lane] + k) % self.size]

    def _transitions(
        self, lane: Array, row: Array, weight: Array, n: int, discount: float, generator: np.random.Generator
    ) -> Transitions:
        if self.compiled:
            names, read = ("obs", "action", "reward", "discount", "terminated", "next_obs"), self._compiled
            found = dict(zip(names, map(self._tensor, read(lane, row, n, discount)), strict=True))
            index = self._tensor(row * self.lanes + lane)
            return Transitions(**found, index=index, weight=self._tensor(weight))
        lanes, rows = lane[:, None], row[:, None] + np.arange(n)  # [B, n]
        flags, reward = self.at("flags", lanes, rows), self.at("reward", lanes, rows)
        over = (flags & TERMINATED) > 0
        goal = self._other_goals(lane, row, reward, over, generator)
        total, made, ahead, last = summed(reward, flags, over, discount)
        obs, after = self.observed(lane, row), self.observed(lane, row + made)
        if goal is not None and self.hindsight is not None:
            obs[: len(goal), self.hindsight.desired] = after[: len(goal), self.hindsight.desired] = goal
        return Transitions(
            obs=self._tensor(obs),
            action=self._tensor(self.at("action", lane, row)),
            reward=self._tensor(total.astype(np.float32)),
            discount=self._tensor(ahead.astype(np.float32)),
            terminated=self._tensor(last),
            next_obs=self._tensor(after),
            index=self._tensor(row * self.lanes + lane),
            weight=self._tensor(weight),
        )

    def _compiled(self, lane: Array, row: Array, n: int, discount: float) -> tuple[Array, ...]:
        """Of the decisions [B] all but which they are, as `_transitions` has it."""
        rows, count = self._rows(), len(row)
        seen = np.empty((count, rows[0].shape[1] + self.older * self.frame), rows[0].dtype)
        did, after = np.empty((count, *self.columns["action"].shape[2:]), rows[1].dtype), np.empty_like(seen)
        total, ahead = np.empty((2, count), np.float32)
        over, powers = np.empty(count, np.bool_), discount ** np.arange(n + 1.0)
        import_module("operant.data.replay_kernels").read(
            *rows, self.size, self.older, self.frame, lane, row, powers, seen, did.reshape(count, -1), total, ahead,
            over, after,
        )  # fmt: skip
        return seen, did, total, ahead, over, after

    def _other_goals(
        self, lane: Array, row: Array, reward: Array, over: Array, generator: np.random.Generator
    ) -> Array | None:
        """The goals [V, G] that the first V decisions get; their `reward` and `over` [B, n] become those of them."""
        its = self.hindsight
        if its is None or not (size := its.relabelled(len(row))):
            return None
        lane, row, obs = lane[:size], row[:size], self.columns["obs"]
        first, last = self._span[:, lane, row % self.size]
        still = last <= row  # the span of a row is not written before its episode is over
        first, last = np.where(still, self._begin[lane], first), np.where(still, self.head[lane], last)
        chosen = its.chosen(row, np.maximum(first, self.oldest[lane]), last, generator)
        goal = obs[lane, chosen % self.size, its.achieved]
        for k in range(reward.shape[1]):
            reached = its.read(obs[lane, np.minimum(row + k + 1, last) % self.size, its.achieved])
            reward[:size, k] = its.reward(reached, its.read(goal))
            if its.over is not None:
                over[:size, k] = its.over(reached, its.read(goal))
        return goal

    def _went_on(self, traj: Trajectory) -> bool:
        if self.tree is None:
            return super()._went_on(traj)
        least, head = self.least.copy(), self.head.copy()
        if not super()._went_on(traj):
            return False
        lane, nth = np.nonzero(np.arange(int((self.least - least).max())) < (self.least - least)[:, None])
        self._leave(lane, least[lane] + nth)  # before the new ones, which may lie in the same slots
        steps = int(self.head[0] - head[0])
        rows = head[:, None] + np.arange(steps)
        self._weigh(np.repeat(self._lane, steps), rows.ravel(), np.full(rows.size, self.highest))
        return True

    def _note(self, lane: Array, row: Array) -> None:
        super()._note(lane, row)
        if self.tree is not None:
            self._weigh(lane, row, np.full(len(row), self.highest))

    def _leave(self, lane: Array, row: Array) -> None:
        if self.tree is not None:
            self.tree.set(lane * self.size + row % self.size, 0.0)

    def _weigh(self, lane: Array, row: Array, priority: Array) -> None:
        assert self.tree is not None
        assert self.alpha is not None
        self.tree.set(lane * self.size + row % self.size, priority**self.alpha)

    def _tensor(self, x: Array) -> Tensor:
        found = torch.from_numpy(x)
        return found if self.device == "cpu" else found.to(self.device)


def summed(reward: Array, flags: Array, over: Array, discount: float) -> tuple[Array, Array, Array, Array]:
    """Rewards over m ≤ n decisions: as many as there are of the first one's episode.

    Args:
        reward: [B, n], of a decision and of those behind it.
        flags: [B, n], as the rows have them; the first is a decision, and none that is not made counts.
        over: [B, n] bool, where the task ended.
        discount: γ.

    Returns:
        Σ_k γ^k r_k, m, γ^m, and whether the task ended with the last of them; [B] each.
    """
    (size, n), each = reward.shape, np.arange(len(reward))
    if n == 1:
        return reward[:, 0], np.ones(size, np.int64), np.full(size, discount), over[:, 0]
    goes = np.ones(flags.shape, np.bool_)  # whether the k-th decision is of this episode, and made
    goes[:, 1:] = ((flags[:, :-1] & ENDED) == 0) & ~over[:, :-1] & ((flags[:, 1:] & ACTED) > 0)
    goes = np.logical_and.accumulate(goes, 1)
    made, powers = goes.sum(1), discount ** np.arange(n + 1)
    return (reward * goes) @ powers[:n], made, powers[made], over[each, made - 1]


def _spread(counts: Array, size: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Draw of all the things that lanes hold `counts` [N] of: the lane [B], and which of its things [B]."""
    if len(counts) == 1:
        return np.zeros(size, np.int64), generator.integers(counts[0], size=size)
    end = counts.cumsum()
    k = generator.integers(end[-1], size=size)
    lane = end.searchsorted(k, side="right")
    return lane, k - (end - counts)[lane]
