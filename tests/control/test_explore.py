"""Bonuses are exact where they can be, fall where one has been, survive a stop, and no evaluation sees them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

import operant
from operant.config.errors import ConfigError
from operant.config.registry import ALGORITHMS, CONTROL, builder_of, settings_of
from operant.config.resolve import resolve
from operant.control.bonus import BonusCritic, CountBonus, RandomDistillation, hashed
from operant.control.explore import NAME
from operant.control.settings.adversarial import AdversaryRun
from operant.control.settings.explore import ExploreConfig
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env import record_data, write_data
from operant.math.advantage import gae
from reference.resumed import assert_resumes

SMALL = {"env.num": 2, "algo.horizon": 32, "algo.batch": 32, "algo.epochs": 2}
SMALL |= {"algo.lr_schedule": "constant", "algo.clip_schedule": "constant", "algo.fused": "off"}


SPACE = gymnasium.make("CartPole-v1").observation_space
CELLS = 0.1 * np.array([float(SPACE.high[0]) * 2, 1.0, float(SPACE.high[2]) * 2, 1.0])  # velocities have no range


def build(env="CartPole-v1", **overrides):
    return builder_of("ppo")(resolve("ppo", env, overrides=SMALL | overrides, source="argument").config, env)


def trajectory(obs, acted=None):
    """Rows of observations [N, T+1, D] with nothing else in them."""
    n, t = obs.shape[0], obs.shape[1] - 1
    no = torch.zeros(n, t, dtype=torch.bool)
    return Trajectory(
        obs=obs, action=torch.zeros(n, t, dtype=torch.int64), logp=torch.zeros(n, t), reward=torch.zeros(n, t),
        cost=torch.zeros(n, t), terminated=no, truncated=no, acted=~no if acted is None else acted,
        group=torch.arange(n),
    )  # fmt: skip


@pytest.mark.parametrize("cell", [None, 0.5])
def test_counts_are_those_of_a_dictionary(cell):
    """Over segments, in the order of time and then of copies; steps that were not the policy's do not count."""
    rng, bonus, visits = np.random.default_rng(0), CountBonus(cell), Counter()
    for _ in range(4):
        values = rng.integers(-3, 3, (3, 21, 2)) / (1 if cell is None else 3)
        acted = rng.random((3, 20)) < 0.8
        got, metrics = bonus(trajectory(torch.tensor(values, dtype=torch.float32), torch.tensor(acted)))
        want = np.zeros((3, 20), np.float32)
        for t in range(20):
            for n in range(3):
                if acted[n, t]:
                    state = tuple(values[n, t + 1] if cell is None else np.floor(np.float32(values[n, t + 1]) / cell))
                    visits[state] += 1
                    want[n, t] = 1 / np.sqrt(visits[state])
        np.testing.assert_array_equal(got.numpy(), want)
        assert float(metrics["explore/states"]) == len(visits)


def test_hashes_tell_states_apart_and_cells_together():
    grid = np.stack(np.meshgrid(*[np.arange(40)] * 3), -1).reshape(-1, 3).astype(np.float32)
    assert len(np.unique(hashed(grid, None))) == len(grid)
    assert len(np.unique(hashed(grid, 2.0))) == 20**3
    assert hashed(np.float32([[0.0, -0.0]]), None) == hashed(np.float32([[-0.0, 0.0]]), None)
    assert hashed(np.float32([[0.1, 1.0]]), None) != hashed(np.float32([[1.0, 0.1]]), None)
    np.testing.assert_array_equal(hashed(np.float32([[-0.1], [0.1]]), 1.0) != hashed(np.float32([[0.2]]), 1.0), [1, 0])


def test_discrete_states_are_counted_exactly_whatever_the_cell():
    job = build("operant.env.probe:identity", **{"explore.bonus": "count", "explore.cell": 100.0})
    next(job.algorithm)
    assert job.agent.beside[NAME].bonus.visits.sum() == job.counter.steps == 64
    assert len(job.agent.beside[NAME].bonus.states) == 4


def test_the_bonus_is_in_the_reward_and_not_in_the_return():
    plain, more = build(), build(**{"explore.bonus": "count", "explore.coef": 0.3})
    a, b = plain.counter(32), more.counter(32)
    bonus = CountBonus(CELLS)(a)[0]
    torch.testing.assert_close(b.reward, a.reward + 0.3 * bonus, rtol=0, atol=0)
    assert float(more.counter.stats()["train/return"]) == float(plain.counter.stats()["train/return"])
    assert (b.reward[~b.acted] == 0).all()


def test_nothing_asked_for_changes_nothing():
    assert build().counter.explore is None
    jobs = [build(), build(**{"explore.bonus": "count", "explore.coef": 0.0})]
    for job in jobs:
        next(job.algorithm)
    for a, b in zip(*(job.agent.parameters() for job in jobs), strict=True):
        assert torch.equal(a, b)


CFG = ExploreConfig(bonus="rnd", bonus_lr=1e-3, bonus_batch=32)


def distillation(cfg=CFG, dim=2):
    streams = Streams(0)
    return RandomDistillation(dim, cfg, streams.torch("init"), streams.numpy("order"), torch.device("cpu"))


def test_the_bonus_of_rnd_falls_where_it_has_been_and_not_elsewhere():
    rnd, gen = distillation(), torch.Generator().manual_seed(0)
    near, far = torch.randn(4, 33, 2, generator=gen), torch.randn(4, 33, 2, generator=gen) + 4.0
    both = torch.cat([near, far])
    rnd.networks.normalizer.update(both.flatten(0, 1))  # so that both are seen on one scale

    def errors():
        with torch.no_grad():
            return [float(rnd.networks.error(rnd.networks.normalizer(x)).mean()) for x in (near, far)]

    before = errors()
    for _ in range(30):
        rnd(trajectory(near))
    after = errors()
    assert after[0] < 0.1 * before[0]
    assert after[1] > 3 * after[0]


def test_the_bonus_of_rnd_is_scaled_by_its_own_return_which_no_episode_ends():
    rnd = distillation(CFG.model_copy(update={"bonus_discount": 0.5}))
    traj = trajectory(torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(1)))
    ended = torch.zeros_like(traj.acted)
    ended[:, 3] = True
    acted = traj.acted.clone()
    acted[0, 4] = False
    bonus, _ = rnd(replace(traj, terminated=ended, acted=acted))
    x = traj.obs[:, 1:]
    twin = distillation(CFG.model_copy(update={"bonus_discount": 0.5}))
    twin.networks.normalizer.update(x[acted])
    with torch.no_grad():
        raw = torch.where(acted, twin.networks.error(twin.networks.normalizer(x)), 0.0).double()
    returns = []
    for n in range(3):
        total = 0.0
        for t in range(8):
            if acted[n, t]:
                total = float(raw[n, t]) + 0.5 * total
                returns.append(total)
    torch.testing.assert_close(bonus.double(), raw / (np.var(returns) + 1e-8) ** 0.5, rtol=1e-5, atol=1e-6)
    assert bonus[0, 4] == 0


def test_the_target_of_rnd_is_never_trained():
    rnd = distillation()
    before = [p.clone() for p in rnd.networks.target.parameters()]
    rnd(trajectory(torch.randn(2, 20, 2)))
    assert all(torch.equal(a, b) for a, b in zip(before, rnd.networks.target.parameters(), strict=True))


def test_a_critic_of_its_own_values_bonuses_for_ever():
    """A bonus of 1 at every step, in episodes of 4: V = 1/(1 − γ), which ends would cut to less than 4."""
    cfg, streams = (
        ExploreConfig(bonus="count", critic="own", bonus_discount=0.9, bonus_lr=1e-2, bonus_batch=64),
        Streams(0),
    )
    critic = BonusCritic(4, cfg, streams.torch("init"), streams.numpy("order"), torch.device("cpu"))
    states = torch.eye(4)[torch.arange(65) % 4].expand(4, -1, -1)
    traj = trajectory(states)
    ended = torch.arange(64).expand(4, -1) % 4 == 3
    traj = replace(traj, terminated=ended)
    for _ in range(150):
        critic.advantage(traj, torch.ones(4, 64))
    with torch.no_grad():
        value = critic.values(torch.eye(4))
    torch.testing.assert_close(value, torch.full((4,), 10.0), rtol=0.02, atol=0)


def test_two_advantages_are_added_and_the_critic_of_the_task_sees_no_bonus():
    settings = {"explore.bonus": "count", "explore.critic": "own", "explore.coef": 0.3, "explore.bonus_discount": 0.8}
    job = build(**settings)
    critic = build(**settings).agent.beside[NAME].critic.values  # as it is before the segment
    traj = job.counter(32)
    with torch.no_grad():
        assert set(traj.reward.unique().tolist()) <= {0.0, 1.0}
        bonus, never = CountBonus(CELLS)(traj)[0], torch.zeros_like(traj.acted)
        want = gae(bonus, critic(traj.obs), never, never, traj.acted, discount=0.8, lam=0.95)
    adv = torch.randn(traj.reward.shape)
    torch.testing.assert_close(job.agent.combined(adv), adv + 0.3 * want)
    next(job.algorithm)


def test_noise_is_there_while_learning_and_gone_after():
    job = build(**{"explore.param_noise": 0.05, "explore.param_noise_std": 0.1})
    policy, noise = job.agent.policy, job.agent.beside[NAME].noise
    clean = [p.detach().clone() for p in policy.parameters()]
    traj = job.counter(32)
    assert not any(torch.equal(p, q) for p, q in zip(policy.parameters(), clean, strict=True))
    logp, _ = policy.evaluate(traj.seen, traj.action)  # of what collected: the ratio is 1
    torch.testing.assert_close(logp[traj.acted], traj.logp[traj.acted], rtol=0, atol=1e-5)
    with torch.no_grad():
        next(policy.parameters()).add_(1.0)  # a step of learning
    job.counter.stats()
    first, *rest = policy.parameters()
    torch.testing.assert_close(first, clean[0] + 1.0)
    assert all(torch.equal(p, q) for p, q in zip(rest, clean[1:], strict=True))
    assert noise.parameters


def test_each_segment_has_its_own_noise_and_a_checkpoint_has_none():
    job = build(**{"explore.param_noise": 0.05, "explore.param_noise_std": 0.1})
    first = next(iter(job.agent.policy.parameters()))
    clean, seen = first.detach().clone(), []
    for _ in range(3):  # as a method that collects several segments before it says its metrics
        job.counter(32)
        seen.append(first.detach() - clean)
    assert all(0.05 < float(x.std()) < 0.2 for x in seen)
    assert float((seen[1] - seen[0]).abs().max()) > 0.05
    job.agent.beside[NAME].tensors()  # what a checkpoint asks for before it asks for the weights
    assert torch.equal(first, clean)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_scale_of_the_noise_follows_the_distance(env):
    """From far too small and far too large, it comes to where half of the distances are below what was asked for."""
    for start, falls in ((0.005, False), (0.5, True)):
        settings = {"explore.param_noise": 0.05, "explore.param_noise_std": start, "explore.param_noise_rate": 1.25}
        job = build(env, **settings, **{"algo.lr": 1e-6, "algo.epochs": 1, "algo.horizon": 16})
        rows = [next(job.algorithm) for _ in range(60)]
        distances = [float(row["explore/noise_kl"]) for row in rows]
        assert (np.mean(distances[:5]) > 0.05) == falls
        assert 0.02 < np.median(distances[30:]) < 0.1
        deviations = [float(row["explore/noise_std"]) for row in rows]
        for d, now, after in zip(distances, deviations, deviations[1:], strict=False):
            assert after == pytest.approx(now * 1.25 if d <= 0.05 else now / 1.25)


def test_deviations_and_layer_norms_are_left_alone():
    job = build("Pendulum-v1", **{"explore.param_noise": 0.05})
    noise, policy = job.agent.beside[NAME].noise, job.agent.policy
    assert len(noise.parameters) == len(list(policy.parameters())) - 1
    assert all(p is not policy.log_std for p in noise.parameters)


@pytest.mark.parametrize(
    "settings",
    [
        {"explore.bonus": "count"},
        {"explore.bonus": "rnd", "explore.critic": "own", "policy.normalize_reward": True},
        {"explore.bonus": "rnd", "explore.param_noise": 0.05},
    ],
    ids=["count", "rnd", "noise"],
)
def test_exploration_goes_on_bit_for_bit(tmp_path, settings):
    whole = assert_resumes(tmp_path, "ppo", "CartPole-v1", every=256, **SMALL, **settings)
    latest = whole.path / "checkpoints" / "latest"
    assert (latest / "explore.safetensors").is_file()
    (latest / "explore.safetensors").write_bytes(b"damaged")
    with pytest.warns(match="damaged"):
        operant.resume(whole.path, to=1024, quiet=True)


def test_a_policy_and_its_evaluation_know_nothing_of_it(tmp_path):
    quiet = {"quiet": True, "save.videos": False, "save.report": False, "eval.episodes": 3, "total_steps": 256}
    settings = {"explore.bonus": "rnd", "explore.param_noise": 0.05}
    run = operant.train("ppo", "CartPole-v1", runs=tmp_path, **quiet, **SMALL, **settings)
    bare = operant.train("ppo", "CartPole-v1", runs=tmp_path, **quiet, **SMALL)
    assert run.policy.stored().keys() == bare.policy.stored().keys()
    assert run.policy.beside == {}
    assert run.evaluate(3)["mean"] == run.folder.info()["evaluation"]["mean"]


def test_contradictions_are_refused_in_words():
    with pytest.raises(ConfigError, match="no bonus to value"):
        build(**{"explore.critic": "own"})
    with pytest.raises(ConfigError, match=r"explore\.bonus"):
        build(**{"explore.bonus": "surprise"})


ACTING = [
    n for n, (where, _) in ALGORITHMS.items() if where.startswith(CONTROL) and "explore" not in settings_of(n).unused
]


@pytest.mark.spread(3)
@pytest.mark.parametrize("algorithm", sorted(ACTING))
def test_every_method_explores_or_says_why_not(algorithm, tmp_path):
    env = "Pendulum-v1" if algorithm in ("ddpg", "td3", "sac", "crossq") else "CartPole-v1"
    if algorithm == "ppo-lagrangian":
        pytest.skip("needs an environment with costs; its loop asks the same collector")
    shown = {}
    if issubclass(settings_of(algorithm), AdversaryRun):
        pytest.importorskip("h5py")
        shown = {
            "data.path": str(write_data(record_data(env, lambda obs: int(obs[2] > 0), episodes=2), tmp_path / "d"))
        }
    for settings, metric in (({"explore.bonus": "count"}, "bonus"), ({"explore.param_noise": 0.05}, "noise_kl")):
        config = resolve(algorithm, env, overrides={"env.num": 2} | shown | settings, source="argument").config
        noiseless = ("impala", "reinforce", "ddpg", "td3", "sac", "crossq", "dqn", "c51", "qr-dqn", "rainbow", "pqn")
        if algorithm == "a3c" or (metric == "noise_kl" and algorithm in noiseless):
            with pytest.raises(ConfigError, match="explor"):
                builder_of(algorithm)(config, env)
            continue
        job = builder_of(algorithm)(config, env)
        assert np.isfinite(float(next(job.algorithm)[f"explore/{metric}"]))
        job.close()
