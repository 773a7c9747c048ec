"""Goals in hindsight against lists of episodes, and against what the environment would have paid."""

import numpy as np
import pytest
import torch

import operant
from operant.config.errors import ConfigError, EnvError
from operant.config.registry import ALGORITHMS, settings_of
from operant.control import ReplayConfig, ReplayRun, off_policy
from operant.control.settings.gradients import OneCopyConfig
from operant.env import check_env, make, make_one

REACH = "operant.env.reach:"
ACHIEVED, DESIRED = slice(0, 2), slice(2, 4)  # keys of a Dict stand in the order of their names


def parts(env=REACH + "point", num=3, kwargs=None, **algo):
    cfg = ReplayRun(
        algorithm="td",
        env=OneCopyConfig(id=env, num=num, kwargs=kwargs or {}),
        algo=ReplayConfig(**({"capacity": 3000, "learning_starts": 10, "batch": 500} | algo)),
    )
    return off_policy(cfg, env)


def episodes(trajs):
    """Of each lane, all episodes: what was seen at every time, [length + 1, D] each, and rewards."""
    found = [[[]] for _ in trajs[0].reward]
    for traj in trajs:
        for lane, acted in enumerate(traj.acted.numpy()):
            for t in np.flatnonzero(acted):
                found[lane][-1].append((traj.obs[lane, t].numpy(), traj.obs[lane, t + 1].numpy()))
                if traj.terminated[lane, t] or traj.truncated[lane, t]:
                    found[lane].append([])
    return [[(np.array([s for s, _ in e]), np.array([s for _, s in e])) for e in lane if e] for lane in found]


@pytest.mark.parametrize("capacity", [3000, 240])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_goals_are_those_that_were_reached_and_rewards_those_of_the_environment(strategy, n, capacity):
    p = parts(kwargs={"limit": 9, "within": 0.4}, hindsight=strategy, n=n, capacity=capacity)
    judge, trajs, where = make_one(REACH + "point", {"within": 0.4}), [], {}
    for horizon in (40, 1, 7, 30, 2, 33):
        trajs.append(p.collect(horizon))
        p.buffer.extend(trajs[-1])
    for lives in episodes(trajs):
        for life in lives:
            for t, obs in enumerate(life[0]):
                where[obs[[*range(2), 4, 5]].tobytes()] = life, t
    drawn, kept = p.draw(), 0
    virtual = round(500 * 4 / 5)
    for b in range(500):
        obs = drawn.obs[b].numpy()
        (seen, after), t = where[obs[[*range(2), 4, 5]].tobytes()]
        goal = obs[DESIRED]
        if b >= virtual:
            assert np.array_equal(goal, seen[t, DESIRED])
        else:
            reached = {"future": after[t:], "final": after[-1:], "episode": np.concatenate([seen[:1], after])}[strategy]
            assert (reached[:, ACHIEVED] == goal).all(1).any()
        ret, m = 0.0, min(n, len(after) - t)
        for k in range(m):
            ret += 0.99**k * float(judge.compute_reward(after[t + k, ACHIEVED], goal, {}))
        assert drawn.reward[b].item() == pytest.approx(ret, abs=1e-5)
        assert drawn.discount[b].item() == pytest.approx(0.99**m)
        assert np.array_equal(drawn.next_obs[b, [*range(2), 4, 5]], after[t + m - 1, [0, 1, 4, 5]])
        assert np.array_equal(drawn.next_obs[b, DESIRED], goal)
        kept += ret > -m
    assert kept > 50  # goals that were reached are paid for


def test_every_later_state_is_equally_likely():
    p = parts(num=1, kwargs={"limit": 6}, hindsight="future", batch=60_000, hindsight_k=10**6)
    p.buffer.extend(p.collect(6))
    drawn = p.draw()
    time = drawn.index.numpy()  # one lane, one episode
    goals = p.buffer.columns["obs"][0, 1:7, ACHIEVED]
    for t in range(6):
        chosen = (drawn.obs[time == t][:, None, DESIRED].numpy() == goals).all(-1)
        share = chosen.mean(0)
        assert share[:t].sum() == 0
        assert np.abs(share[t:] - 1 / (6 - t)).max() < 0.03


def test_the_task_ends_where_compute_terminated_says(tmp_path):
    (tmp_path / "ends.py").write_text(
        "from operant.env.reach import Point\n"
        "class Ends(Point):\n"
        "    def __init__(self):\n"
        "        super().__init__(1, 20, 0.3)\n"
        "    def compute_terminated(self, achieved_goal, desired_goal, info):\n"
        "        return bool(abs(achieved_goal - desired_goal).max() <= 0.3)\n"  # of one goal, not of many
        "    def step(self, action):\n"
        "        obs, reward, _, cut, info = super().step(action)\n"
        "        return obs, reward, self.compute_terminated(self._at, self._goal, info), cut, info\n"
    )
    p = parts(f"{tmp_path / 'ends.py'}:Ends", hindsight="future", n=3)
    p.buffer.extend(p.collect(60))
    drawn = p.draw()
    near = (drawn.next_obs[:, 0] - drawn.next_obs[:, 1]).abs() <= 0.3  # achieved, desired
    assert torch.equal(drawn.terminated, near)
    assert drawn.terminated[:400].any()


@pytest.mark.parametrize("name", ["point", "bits"])
def test_the_tasks_are_sound(name):
    assert [problem for problem in check_env(REACH + name) if problem.level == "error"] == []
    env = make_one(REACH + name)
    obs, _ = env.reset(seed=3)
    for _ in range(30):
        obs, reward, *_ = env.step(env.action_space.sample())
        assert reward == env.unwrapped.compute_reward(obs["achieved_goal"], obs["desired_goal"], {})
    many = env.unwrapped.compute_reward(np.stack([obs["achieved_goal"]] * 4), np.stack([obs["achieved_goal"]] * 4), {})
    assert many.tolist() == [0.0] * 4
    assert make(REACH + name, 2).num == 2


@pytest.mark.parametrize("kwargs", [{"dim": 0}, {"limit": 0}])
def test_a_task_that_is_none_is_refused(kwargs):
    with pytest.raises(EnvError, match="give 1 or more"):
        make_one(REACH + "point", kwargs)


def test_where_there_are_no_goals_hindsight_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="needs a Dict with achieved_goal and desired_goal"):
        parts("CartPole-v1", hindsight="future")
    (tmp_path / "mute.py").write_text(
        "from operant.env.reach import Point\n"
        "import gymnasium\n"
        "class Mute(gymnasium.Env):\n"
        "    def __init__(self):\n"
        "        self.inner = Point(2, 9, 0.1)\n"
        "        self.observation_space, self.action_space = self.inner.observation_space, self.inner.action_space\n"
        "    def reset(self, **kwargs):\n"
        "        return self.inner.reset(**kwargs)\n"
        "    def step(self, action):\n"
        "        return self.inner.step(action)\n"
    )
    with pytest.raises(ConfigError, match="has no compute_reward"):
        parts(f"{tmp_path / 'mute.py'}:Mute", hindsight="future")


def test_rewards_that_are_not_of_the_goals_are_refused(tmp_path):
    (tmp_path / "paid.py").write_text(
        "from operant.env.reach import Point\n"
        "class Paid(Point):\n"
        "    def __init__(self):\n"
        "        super().__init__(2, 9, 0.1)\n"
        "    def step(self, action):\n"
        "        obs, reward, *rest = super().step(action)\n"
        "        return obs, reward + 0.5, *rest\n"
    )
    p = parts(f"{tmp_path / 'paid.py'}:Paid", hindsight="final")
    with pytest.raises(EnvError, match=r"a step paid -0.5, and compute_reward says -1"):
        p.buffer.extend(p.collect(5))


def test_a_capacity_beyond_the_memory_is_refused():
    with pytest.raises(ConfigError, match=r"algo.capacity is 1,000,000,000,000, and .* lower it"):
        off_policy(
            ReplayRun(env=OneCopyConfig(id="CartPole-v1"), algo=ReplayConfig(capacity=10**12), total_steps=10**12),
            "CartPole-v1",
        )


CONTINUOUS = ("ddpg", "td3", "sac", "crossq")
REPLAYED = [
    name
    for name in ALGORITHMS
    if issubclass(its := settings_of(name), ReplayRun) and "algo.hindsight" not in its.unused
]


@pytest.mark.parametrize("algorithm", REPLAYED)
def test_every_method_with_a_replay_learns_in_hindsight(algorithm):
    settings = {
        "algo.hindsight": "future", "algo.capacity": 200, "algo.learning_starts": 16, "algo.batch": 8,
        "algo.updates": 16, "policy.hidden": (8,),
    }  # fmt: skip
    env = REACH + ("point" if algorithm in CONTINUOUS else "bits")
    loop, _ = operant.loop(algorithm, env, total_steps=64, **settings)
    rows = [metrics for metrics, _ in zip(loop, range(3), strict=False)]
    assert all(np.isfinite(float(x)) for row in rows for x in row.values())
