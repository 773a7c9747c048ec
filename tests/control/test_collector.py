import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from operant.config.errors import NonFiniteError
from operant.control.collector import Collector
from operant.env import make
from operant.run.evaluate import evaluate


class Counter(gymnasium.Env):
    """State (episode length planned, time); the k-th episode of seed s is 2 + (s + 3k) % 5 long, odd ones truncate."""

    observation_space = gymnasium.spaces.Box(-1e6, 1e6, (3,))
    action_space = gymnasium.spaces.Discrete(7)

    def __init__(self):
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.number, self.episode = seed, -1
        self.episode += 1
        self.length = 2 + (self.number + 3 * self.episode) % 5
        self.time = 0
        return self.state(), {}

    def state(self):
        return np.array([self.number, self.episode, self.time], np.float32)

    def step(self, action):
        self.time += 1
        end = self.time == self.length
        return (
            self.state(),
            float(action + self.time),
            end and self.length % 2 == 0,
            end and self.length % 2 == 1,
            {"cost": self.time / 8},
        )


def act(obs, generator):
    """An action and a log-probability that depend on the state alone."""
    action = (obs @ np.array([1, 2, 3])).astype(np.int64) % 7
    return action, -obs.sum(-1) / 100


def collector(mode, copies=4):
    if mode == "inprocess":
        env = make(Counter, copies, backend="inprocess")
    else:
        env = make(lambda: SyncVectorEnv([Counter] * copies, autoreset_mode=mode), copies)
    return Collector(env, act, np.random.default_rng(0), seed=10)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED, "inprocess"])
def test_every_autoreset_mode_ends_in_the_same_record(mode):
    want, got = collector(AutoresetMode.NEXT_STEP)(60), collector(mode)(60)
    width = 60
    assert got.reward.shape[1] > width
    for name in ("action", "logp", "reward", "terminated", "truncated", "acted", "cost"):
        ours, theirs = getattr(got, name)[:, :width], getattr(want, name)
        mask = want.acted
        if name in ("action", "logp"):  # what was ignored need not agree
            assert torch.equal(ours[mask], theirs[mask]), name
        else:
            assert torch.equal(ours, theirs), name
    assert torch.equal(got.obs[:, : width + 1], want.obs)


@pytest.mark.parametrize("mode", [*AutoresetMode, "inprocess"])
def test_the_record_tells_the_episodes_as_they_were(mode):
    collect = collector(mode)
    lines: dict[int, list] = {n: [] for n in range(4)}
    for horizon in (5, 1, 17, 8):
        traj = collect(horizon)
        for n in range(4):
            for t in range(traj.reward.shape[1]):
                if traj.acted[n, t]:
                    before, after = traj.obs[n, t], traj.obs[n, t + 1]
                    lines[n].append((before.tolist(), after.tolist(), traj, n, t))
                else:
                    assert traj.reward[n, t] == 0
                    assert not traj.terminated[n, t]
                    assert not traj.truncated[n, t]
    assert collect.steps == sum(map(len, lines.values()))
    for n, steps in lines.items():
        episode, time = 0, 0
        for before, after, traj, row, t in steps:
            length = 2 + (10 + n + 3 * episode) % 5
            assert before == [10 + n, episode, time]
            assert after == [10 + n, episode, time + 1]
            action = int(np.dot(before, [1, 2, 3])) % 7
            assert traj.action[row, t] == action
            assert traj.reward[row, t] == action + time + 1
            assert traj.cost[row, t] == (time + 1) / 8
            assert traj.logp[row, t] == pytest.approx(-sum(before) / 100)
            end = time + 1 == length
            assert traj.terminated[row, t] == (end and length % 2 == 0)
            assert traj.truncated[row, t] == (end and length % 2 == 1)
            episode, time = (episode + 1, 0) if end else (episode, time + 1)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, "inprocess"])
def test_stats_report_each_episode_once(mode):
    collect = collector(mode)
    total, lengths = 0.0, 0
    for horizon in (7, 20, 3, 30):
        traj, before = collect(horizon), collect.episodes
        ended = int((traj.terminated | traj.truncated).sum())
        stats = collect.stats()
        assert stats["train/episodes"] == before
        assert ("train/return" in stats) == (ended > 0)
        if ended:
            total += float(stats["train/return"]) * ended
            lengths += float(stats["train/length"]) * ended
    open_return, open_length = collect._running
    assert lengths + open_length.sum() == pytest.approx(collect.steps)
    fresh = collector(mode)
    rewards = sum(float(fresh(h).reward.sum()) for h in (7, 20, 3, 30))
    assert total + open_return.sum() == pytest.approx(rewards)


@pytest.mark.parametrize("what", ["observation", "reward", "last observation"])
def test_a_value_that_is_not_finite_is_named(what):
    class Broken(Counter):
        def step(self, action):
            obs, reward, terminated, truncated, info = super().step(action)
            if self.number == 12 and self.episode == 1:
                if what == "reward":
                    reward = float("nan")
                if what == "observation" or (what == "last observation" and (terminated or truncated)):
                    obs[1] = np.inf
            return obs, reward, terminated, truncated, info

    collect = Collector(make(Broken, 4, backend="inprocess"), act_safely, np.random.default_rng(0), seed=10)
    with pytest.raises(NonFiniteError, match=rf"{what}.* copy 2 "):
        collect(30)


def act_safely(obs, generator):
    return np.zeros(len(obs), np.int64), np.zeros(len(obs), np.float32)


@pytest.mark.parametrize("backend", ["compiled", "native", "inprocess"])
def test_cartpole_rewards_add_up(backend):
    collect = Collector(make("CartPole-v1", 3, backend=backend), act_safely, np.random.default_rng(0), seed=1)
    traj = collect(100)
    assert traj.steps == collect.steps == int(traj.reward.sum())
    assert traj.terminated.any()
    assert (traj.obs[:, :-1][~traj.acted] == 0).all(-1).sum() == 0


def test_evaluation_gives_every_copy_its_share():
    env = make(Counter, 4, backend="inprocess")
    result = evaluate(env, lambda obs: act(obs, None)[0], episodes=10, seed=10)
    want = [2 + (10 + n + 3 * k) % 5 for n, quota in enumerate((3, 3, 2, 2)) for k in range(quota)]
    assert result.lengths.tolist() == want
    assert len(result.returns) == 10
    first = sum(int(np.dot([10, 0, t], [1, 2, 3])) % 7 + t + 1 for t in range(want[0]))
    assert result.returns[0] == first
