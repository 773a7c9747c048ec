"""PPO learns what it must, ignores what it must, and does the same thing twice."""

import itertools
import math

import numpy as np
import pytest
import torch

import operant
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.ppo import _update, ppo
from operant.data.trajectory import flatten, minibatches
from operant.run.evaluate import Evaluator

IDENTITY = {
    "total_steps": 1200,
    "env.num": 1,
    "algo.horizon": 60,
    "algo.batch": 30,
    "algo.epochs": 15,
    "algo.discount": 0.4,
    "algo.entropy_coef": 0.01,
    "algo.lr": 2e-3,
    "algo.lr_schedule": "constant",
}


def build(env, **overrides):
    return builder_of("ppo")(resolve("ppo", env, overrides=overrides, source="argument").config, env)


def run(job, steps=None):
    rows = []
    while job.counter.steps < (steps or job.total_steps):
        rows.append({name: float(x) for name, x in next(job.algorithm).items()})
    return rows


def parameters(agent):
    return torch.cat([p.detach().ravel() for p in agent.parameters()])


@pytest.mark.spread(3)
@pytest.mark.parametrize("fused", ["off", "auto"])
@pytest.mark.parametrize(
    "kwargs",
    [{"kind": "discrete"}, {"kind": "multidiscrete"}, {"kind": "multibinary"}, {"kind": "box", "tolerance": 0.5}],
    ids=lambda kwargs: kwargs["kind"],
)
def test_identity_is_learnt_in_1200_steps(kwargs, fused):
    job = build("operant.env.probe:identity", **IDENTITY, **{"env.kwargs": kwargs, "algo.fused": fused})
    run(job)
    assert job.counter.steps == 1200
    assert job.evaluate(10).returns.mean() >= 90


@pytest.mark.parametrize("normalize", [False, True])
def test_a_time_limit_is_not_a_termination(normalize):
    """Reward 1 for ever, cut after 8 steps: V = 1/(1 - γ). Zeroing the bootstrap on the limit gives less than 8."""
    settings = {
        "total_steps": 60_000,
        "env.num": 8,
        "algo.horizon": 64,
        "algo.discount": 0.98,
        "algo.lr": 1e-2,
        "algo.lr_schedule": "linear",
        "policy.normalize_reward": normalize,
    }
    job = build("operant.env.probe:four_state", **settings)
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 50.0, rtol=0.02)
    baselines = build("operant.env.probe:four_state", **settings, **{"algo.fidelity": "baselines"})
    run(baselines, 20_000)
    assert baselines.agent.value(np.eye(4)).max() < 10


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("fused", ["off", "on"])
def test_the_same_seed_gives_the_same_run_bit_for_bit(env, fused):
    settings = {"seed": 5, "algo.horizon": 64, "algo.batch": 64, "env.num": 4, "algo.fused": fused}
    settings |= {"policy.normalize_obs": True, "policy.normalize_reward": True}
    first, second, other = build(env, **settings), build(env, **settings), build(env, **(settings | {"seed": 6}))
    rows = [run(job, 700) for job in (first, second, other)]
    for row in itertools.chain(*rows):
        row.pop("phase/collect")
    assert repr(rows[0]) == repr(rows[1])
    assert torch.equal(parameters(first.agent), parameters(second.agent))
    assert not torch.equal(parameters(first.agent), parameters(other.agent))


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_fused_update_is_the_readable_one(env):
    settings = {"algo.horizon": 64, "algo.batch": 100, "env.num": 4, "algo.epochs": 3, "algo.entropy_coef": 0.01}
    settings |= {"policy.normalize_obs": True, "algo.clip_high": 0.3, "algo.value_clip": 0.2}
    jobs = [build(env, **settings, **{"algo.fused": fused}) for fused in ("off", "on")]
    for _ in range(3):
        slow, fast = (next(job.algorithm) for job in jobs)
        for name in slow.keys() - {"phase/collect"}:
            torch.testing.assert_close(fast[name].double(), slow[name].double(), rtol=1e-3, atol=1e-4, msg=name)
    torch.testing.assert_close(parameters(jobs[1].agent), parameters(jobs[0].agent), rtol=1e-3, atol=1e-4)


def test_fused_on_says_why_it_does_not_apply():
    job = build("operant.env.probe:identity", **{"algo.fused": "on", "env.kwargs": {"kind": "multibinary"}})
    with pytest.raises(operant.ConfigError, match="neither categorical nor normal"):
        next(job.algorithm)


def test_the_ratio_is_one_on_the_first_minibatch():
    job = build("Pendulum-v1", **{"policy.normalize_obs": True, "algo.fused": "off", "algo.horizon": 32})
    for _ in range(2):
        next(job.algorithm)
    collect = job.counter
    traj = collect(32)
    value = torch.zeros_like(traj.reward)
    batch = next(minibatches(flatten(traj, adv=value, target=value, value=value), 64, np.random.default_rng(0)))
    logp, _ = job.agent.policy.evaluate(batch.obs, batch.action)
    torch.testing.assert_close(logp, batch.logp, rtol=0, atol=1e-5)
    cfg = resolve("ppo", "Pendulum-v1").config.algo
    metrics = _update(cfg, job.agent, job.learned.optimizer, batch, clip=0.2, clip_high=0.2)
    assert float(metrics["policy/kl"]) == pytest.approx(0, abs=1e-6)
    assert float(metrics["policy/clip_fraction"]) == 0


def test_schedules_fall_to_zero_and_constants_do_not():
    settings = {"total_steps": 512, "env.num": 2, "algo.horizon": 64, "algo.lr": 1e-3, "algo.clip_schedule": "linear"}
    rows = run(build("Pendulum-v1", **settings, **{"algo.lr_schedule": "linear"}))
    assert [row["schedule/lr"] for row in rows] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert [row["schedule/clip"] for row in rows] == pytest.approx([0.2, 0.15, 0.1, 0.05])
    rows = run(build("Pendulum-v1", **(settings | {"algo.lr_schedule": "constant", "algo.clip_schedule": "constant"})))
    assert [row["schedule/lr"] for row in rows] == pytest.approx([1e-3] * 4)


@pytest.mark.parametrize("fused", ["off", "on"])
def test_the_kl_bound_ends_an_update_early(fused):
    settings = {"algo.lr": 0.05, "algo.horizon": 64, "env.num": 4, "algo.epochs": 10, "algo.fused": fused}
    free, bound = (
        next(build("CartPole-v1", **settings, **extra).algorithm) for extra in ({}, {"algo.target_kl": 0.01})
    )
    assert float(free["update/epochs"]) == 10
    assert float(bound["update/epochs"]) < 10


@pytest.mark.parametrize("fused", ["off", "on"])
def test_steps_that_only_reset_do_not_teach(fused):
    """Poison everything at steps with `acted` False: nothing may change."""

    class Poison:
        def __init__(self, collect):
            self.collect, self.stats, self.steps = collect, collect.stats, 0

        def __call__(self, horizon):
            traj = self.collect(horizon)
            assert not traj.acted.all()
            for name in ("action", "logp"):
                x = getattr(traj, name)
                x[~traj.acted] = 1 if name == "action" else 77.0
            return traj

    agents = []
    for poisoned in (False, True):
        job = build("CartPole-v1", **{"algo.fused": fused, "algo.horizon": 128, "env.backend": "native"})
        if poisoned:
            cfg = resolve("ppo", "CartPole-v1", overrides={"algo.fused": fused, "algo.horizon": 128}).config.algo
            gen = job.algorithm.gi_frame.f_locals["generator"]
            collect = Poison(job.counter)
            job.algorithm = ppo(cfg, collect, job.agent, job.learned.optimizer, gen, total_steps=job.total_steps)
        next(job.algorithm)
        agents.append(parameters(job.agent))
    assert torch.equal(*agents)


def test_continuous_policies_report_their_deviation():
    metrics = next(build("Pendulum-v1", **{"algo.horizon": 32, "policy.log_std_init": -1.0}).algorithm)
    assert float(metrics["policy/std"]) == pytest.approx(math.exp(-1), rel=0.05)


@pytest.mark.spread(1)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cartpole_is_solved_within_100k_steps(seed):
    job = build("CartPole-v1", seed=seed)
    assert job.total_steps <= 100_000
    run(job)
    evaluator = job.evaluate
    assert isinstance(evaluator, Evaluator)
    assert evaluator(100).returns.mean() >= 475
