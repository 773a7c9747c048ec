"""Bugs of others, put into a copy of ours: each is seen by what holds the replay."""

import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation

from control.test_collector import Counter, act, collector
from data.test_replay import HORIZONS, Lists, assert_same, decisions
from operant.control.collector import Collector
from operant.data import replay as module
from operant.data.lanes import ACTED, TERMINATED, Lanes
from operant.data.replay import LEAST, Replay
from operant.env import make


@pytest.fixture(autouse=True)
def _readable(monkeypatch):
    """The bugs are put into what can be read; that the kernels do the same `data/test_replay.py` shows."""
    monkeypatch.setattr(Lanes, "compiled", False)


def told(buffer, collect, n=3):
    lists = Lists(4)
    for horizon in HORIZONS:
        traj = collect(horizon)
        buffer.extend(traj)
        lists.extend(traj)
    assert_same(buffer, lists, n)


def test_a_target_through_a_terminal(monkeypatch):
    told(Replay(10_000, 4), collector("inprocess"), n=1)
    monkeypatch.setattr(module, "TERMINATED", np.uint8(0))
    with pytest.raises(AssertionError):
        told(Replay(10_000, 4), collector("inprocess"), n=1)


def test_a_return_across_a_truncation(monkeypatch):
    class Across(Replay):
        def _transitions(self, *args):
            """The last observation of an episode is taken for one like any other."""
            kept = self.columns["flags"]
            self.columns["flags"] = kept | ACTED
            drawn = super()._transitions(*args)
            self.columns["flags"] = kept
            return drawn

    told(Replay(10_000, 4), collector("inprocess"))
    monkeypatch.setattr(module, "ENDED", TERMINATED)
    with pytest.raises(AssertionError):
        told(Across(10_000, 4), collector("inprocess"))


def test_a_stack_across_the_beginning_of_an_episode():
    class Across(Replay):
        def _write_older(self, obs, begins, rows):
            """Whatever stands there is taken."""

    def stacks():
        env = make(lambda: FrameStackObservation(Counter(), 3), 4, backend="inprocess")
        return Collector(env, lambda obs, rng: act(obs[:, -3:], rng), np.random.default_rng(0), seed=10)

    told(Replay(10_000, 4, stack=3, frame=3), stacks())
    with pytest.raises(AssertionError):
        told(Across(10_000, 4, stack=3, frame=3), stacks())


def test_a_priority_of_a_row_that_was_overwritten():
    class Late(Replay):
        def prioritise(self, index, error):
            row, lane = np.divmod(index.numpy(), self.lanes)
            self._weigh(lane, row, error.abs().numpy() + LEAST)

    def changes(replay):
        collect = collector("inprocess")
        replay.extend(collect(5))
        index = replay.sample(8, np.random.default_rng(0)).index
        for _ in range(20):
            replay.extend(collect(5))
        before = replay.tree.leaves.copy()
        replay.prioritise(index, torch.full((8,), 9.0))
        return (replay.tree.leaves != before).any()

    assert not changes(Replay(60, 4, alpha=1.0))
    assert changes(Late(60, 4, alpha=1.0))


def test_draws_after_a_load_without_the_tree():
    replay, collect = Replay(200, 4, alpha=1.0), collector("inprocess")
    replay.extend(collect(30))
    index = decisions(replay)[1].index
    replay.prioritise(index, torch.arange(120.0))

    def loaded(weights):
        again = Replay(200, 4, alpha=1.0)
        again.stood(replay.columns, replay.head, replay.taken_of, weights)
        return again

    def draws(of):
        return of.sample(50, np.random.default_rng(0)).index

    assert torch.equal(draws(loaded(replay.tree.leaves.copy())), draws(replay))
    with pytest.raises(IndexError):  # nothing has any weight
        draws(loaded(None))
