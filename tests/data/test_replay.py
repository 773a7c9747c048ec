"""The replay against lists: every decision, its return over n, and what followed."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FrameStackObservation

from control.test_collector import Counter, act, collector
from operant.control.collector import Collector
from operant.data.lanes import ACTED
from operant.data.replay import Replay
from operant.data.sum_tree import SumTree
from operant.data.trajectory import Trajectory
from operant.env import make

MODES = [*AutoresetMode, "inprocess"]


class Lists:
    """The same decisions, lane by lane, as nobody would keep them."""

    def __init__(self, lanes):
        self.rows = [[] for _ in range(lanes)]  # (obs, action, next obs, reward, terminated, truncated)

    def extend(self, traj: Trajectory):
        for lane, rows in enumerate(self.rows):
            for t in np.flatnonzero(traj.acted[lane].numpy()):
                ends = traj.terminated[lane, t].item(), traj.truncated[lane, t].item()
                here, after = traj.obs[lane, t].numpy(), traj.obs[lane, t + 1].numpy()
                rows.append((here, traj.action[lane, t].numpy(), after, traj.reward[lane, t].item(), *ends))

    def drawn(self, lane, k, n, discount):
        """obs, action, return, γ^m, terminated and next obs of the k-th decision of a lane."""
        obs, action = self.rows[lane][k][:2]
        ret, weight, after, terminated = 0.0, 1.0, None, False
        for row in self.rows[lane][k : k + n]:
            after, reward, terminated, truncated = row[2:]
            ret, weight = ret + weight * reward, weight * discount
            if terminated or truncated:
                break
        return obs, action, ret, weight, terminated, after


def decisions(buffer: Replay, n=1, discount=0.9):
    """Every decision that is there, once, in the order of lanes and time."""
    lane = np.repeat(np.arange(buffer.lanes), buffer.taken_of - buffer._first)
    rows = [
        buffer._starts[i, np.arange(a, b) % buffer.size]
        for i, (a, b) in enumerate(zip(buffer._first, buffer.taken_of, strict=True))
    ]
    weight = np.ones(len(lane), np.float32)
    return lane, buffer._transitions(lane, np.concatenate(rows), weight, n, discount, np.random.default_rng(0))


def assert_same(buffer, lists, n, most=None):
    """Everything that can be drawn is the newest of what happened."""
    lanes, got = decisions(buffer, n)
    for lane, rows in enumerate(lists.rows):
        mine = np.flatnonzero(lanes == lane)
        assert len(mine) == len(rows) if most is None else most // 3 <= len(mine) <= most or len(mine) == len(rows)
        for at, k in zip(mine, range(len(rows) - len(mine), len(rows)), strict=True):
            obs, action, ret, weight, terminated, after = lists.drawn(lane, k, n, 0.9)
            assert np.array_equal(got.obs[at], obs)
            assert np.array_equal(got.action[at], action)
            assert got.reward[at].item() == pytest.approx(ret)
            assert got.discount[at].item() == pytest.approx(weight)
            assert got.terminated[at].item() == terminated
            assert np.array_equal(got.next_obs[at], after)


HORIZONS = (5, 1, 17, 8, 1, 1, 2, 30, 3)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("capacity", [10_000, 90])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_drawn_is_what_happened(mode, capacity, n, compiled):
    collect, buffer, lists = collector(mode), Replay(capacity, 4), Lists(4)
    buffer.compiled = compiled
    for horizon in HORIZONS:
        traj = collect(horizon)
        buffer.extend(traj)
        lists.extend(traj)
        assert_same(buffer, lists, n, None if capacity == 10_000 else 23)


def test_every_decision_is_equally_likely():
    collect, buffer = collector("inprocess"), Replay(10_000, 4)
    buffer.extend(collect(40))
    drawn = buffer.sample(160_000, np.random.default_rng(0)).index
    count = torch.unique(drawn, return_counts=True)[1]
    assert len(count) == len(buffer) == 160
    assert ((count - 1000).abs() < 6 * 1000**0.5).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_seam_truncates_what_is_open(mode):
    buffer, lists = Replay(10_000, 4), Lists(4)
    for horizon in (7, 9, 1, 1, 4):
        traj = collector(mode)(horizon)  # copies that are new
        buffer.extend(traj)
        lists.extend(traj)
        buffer.seam()
        for rows in lists.rows:
            if rows and not (rows[-1][4] or rows[-1][5]):
                rows[-1] = (*rows[-1][:5], True)
        assert_same(buffer, lists, 20)


# ---------------------------------------------------------------------------------------------------- stacks
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("capacity", [10_000, 120])
@pytest.mark.parametrize("padding", ["reset", "zero"])
def test_a_stack_is_put_together_from_frames(capacity, n, padding, compiled):
    """Known bug: a stack across the beginning of an episode, or across what was overwritten."""
    env = make(lambda: FrameStackObservation(Counter(), 3, padding_type=padding), 4, backend="inprocess")
    collect = Collector(env, lambda obs, rng: act(obs[:, -3:], rng), np.random.default_rng(0), seed=10)
    buffer, lists = Replay(capacity, 4, stack=3, frame=3), Lists(4)
    buffer.compiled = compiled
    for horizon in HORIZONS:
        traj = collect(horizon)
        buffer.extend(traj)
        lists.extend(traj)
        assert_same(buffer, lists, n, None if capacity == 10_000 else 30)
    assert buffer.columns["obs"].shape[-1] == 3  # once each


def test_what_is_no_stack_is_refused():
    traj = collector("inprocess")(5)
    wrong = Trajectory(
        **{f: getattr(traj, f) for f in traj.__dataclass_fields__ if f != "obs"}, obs=torch.rand(*traj.obs.shape[:2], 6)
    )
    with pytest.raises(ValueError, match="moved on by a frame of 3 numbers"):
        Replay(100, 4, stack=2, frame=3).extend(wrong)


def test_a_million_frames_of_atari_take_less_than_8_gb():
    buffer = Replay(1_000_000, 1, stack=4, frame=84 * 84, alpha=0.6)
    buffer.allocate(
        obs=(np.uint8, (4 * 84 * 84,)), action=(np.int64, ()), reward=(np.float32, ()), flags=(np.uint8, ())
    )
    assert buffer.columns["obs"].nbytes == (1_000_000 + 4) * 7056
    assert 7.0e9 < buffer.bytes(1_000_000) < 7.2e9
    held = sum(x.nbytes for x in (*buffer.columns.values(), buffer._starts, *buffer.tree._levels))
    assert held < 7.2e9  # address space: pages that nothing was written to are not there


# ---------------------------------------------------------------------------------------------------- priorities
def test_a_sum_tree_draws_as_sums_say():
    rng = np.random.default_rng(0)
    for size in (1, 5, 64, 65, 4096, 5000):
        tree, weights = SumTree(size), np.zeros(size)
        for _ in range(20):
            index = rng.integers(size, size=7)
            weight = rng.random(7) * (rng.random(7) < 0.7)
            tree.set(index, weight)
            weights[index] = weight
            assert np.array_equal(tree.leaves, weights)
            assert tree.total == pytest.approx(weights.sum())
            if weights.sum() == 0:
                continue
            mass = rng.random(200) * tree.total
            want = np.searchsorted(weights.cumsum(), mass, side="right")
            got = tree.find(mass)
            assert (weights[got] > 0).all()
            assert (got == want).mean() > 0.99  # but for roundings at an edge
        anew = SumTree(size)
        anew.fill(weights)
        assert all(np.array_equal(a, b) for a, b in zip(anew._levels, tree._levels, strict=True))  # bit for bit


def test_a_mass_at_the_end_falls_on_something():
    tree = SumTree(200)
    tree.set(np.array([3, 150]), np.array([0.1, 0.2]))
    assert tree.find(np.array([0.0, tree.total, 2 * tree.total])).tolist() == [3, 150, 150]


def test_draws_follow_priorities_and_weights_undo_them():
    buffer = Replay(10_000, 4, alpha=0.7)
    buffer.extend(collector("inprocess")(25))
    all_ = decisions(buffer)[1]
    error = torch.linspace(0.0, 3.0, 100)
    buffer.prioritise(all_.index, error)
    p = (error.double() + 1e-6) ** 0.7
    p /= p.sum()
    drawn = buffer.sample(100_000, np.random.default_rng(0), beta=0.5)
    order = torch.argsort(all_.index)
    at = order[torch.searchsorted(all_.index[order], drawn.index)]
    share = torch.bincount(at, minlength=100) / 100_000
    assert (share - p).abs().max() < 0.002  # stratified, so closer than chance
    want = (100 * p) ** -0.5
    assert torch.allclose(drawn.weight.double(), want[at] / want[at].max(), rtol=1e-5)


def test_new_decisions_get_the_highest_priority():
    buffer, collect = Replay(10_000, 4, alpha=1.0), collector("inprocess")
    buffer.extend(collect(3))
    index = decisions(buffer)[1].index
    buffer.prioritise(index, torch.arange(12.0))
    buffer.prioritise(index, torch.ones(12))
    buffer.extend(collect(1))
    lane, row = np.arange(4), buffer.head - 1
    flags = buffer.columns["flags"][lane, row % buffer.size]
    new = buffer.tree[lane * buffer.size + row % buffer.size]
    assert np.array_equal(new, np.where(flags & ACTED, 11 + 1e-6, 0.0))


@pytest.mark.parametrize("mode", MODES)
def test_only_decisions_that_are_there_have_weight(mode):
    """Known bug: a priority that comes when its row was overwritten goes to whatever is there now."""
    buffer, collect, rng = Replay(60, 4, alpha=0.5), collector(mode), np.random.default_rng(0)
    late = []
    for horizon in HORIZONS * 4:
        buffer.extend(collect(horizon))
        drawn = buffer.sample(8, rng)
        late.append(drawn.index)
        for index in late[-4:]:
            before, (row, lane) = buffer.tree.leaves.copy(), np.divmod(index.numpy(), 4)
            there = row >= buffer.oldest[lane]
            buffer.prioritise(index, torch.rand(8) + 5)
            changed = np.flatnonzero(buffer.tree.leaves != before)
            assert set(changed) <= set((lane * buffer.size + row % buffer.size)[there])
        row, lane = np.divmod(decisions(buffer)[1].index.numpy(), 4)
        assert set(np.flatnonzero(buffer.tree.leaves)) == set(lane * buffer.size + row % buffer.size)


# ---------------------------------------------------------------------------------------------------- sequences
@pytest.mark.parametrize("capacity", [10_000, 160])
def test_a_sequence_is_a_piece_of_what_happened(capacity):
    """Whatever lies between two rows of the record lies between them in the piece, resets included."""
    collect, buffer = collector(AutoresetMode.NEXT_STEP), Replay(capacity, 4, memory=2)
    parts = []
    for horizon in HORIZONS:
        parts.append(collect(horizon))
        buffer.extend(parts[-1])
    whole = {f: torch.cat([getattr(p, f) for p in parts], 1) for f in ("action", "reward", "terminated", "truncated")}
    acted, obs = torch.cat([p.acted for p in parts], 1), torch.cat([p.obs[:, :-1] for p in parts], 1)
    pieces = buffer.sequences(64, 6, np.random.default_rng(0))
    for b in range(64):
        seen = pieces.obs["obs"][b]
        lane = int(seen[0, 0]) - 10
        (at,) = [
            t
            for t in range(obs.shape[1] - 5)
            if torch.equal(obs[lane, t], seen[0]) and acted[lane, t] == pieces.acted[b, 0]
        ]
        assert torch.equal(obs[lane, at : at + 6], seen[:6])
        assert torch.equal(acted[lane, at : at + 6], pieces.acted[b])
        for f, x in whole.items():
            mask = pieces.acted[b] if f == "action" else slice(None)
            assert torch.equal(x[lane, at : at + 6][mask], getattr(pieces, f)[b][mask]), f
        begins = [bool(acted[lane, t] and (t == 0 or not acted[lane, t - 1])) for t in range(at, at + 6)]
        assert pieces.obs["begins"][b, 1:6].tolist() == begins[1:]
    assert pieces.obs["memory"].shape == (64, 7, 2)
    assert not pieces.obs["memory"].any()


def test_pieces_that_are_not_there_yet_are_refused():
    buffer = Replay(100, 4)
    buffer.extend(collector("inprocess")(3))
    with pytest.raises(ValueError, match="no lane of the replay has 6 rows yet"):
        buffer.sequences(4, 6, np.random.default_rng(0))
