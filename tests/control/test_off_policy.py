"""Actor–critics that learn from older policies reduce to A2C, lag as far as was asked for, and go on bit for bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import operant
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control import impala as impala_module
from operant.control import off_policy_actor_critic as module
from operant.control.impala import Actors
from operant.control.past_segments import Past, Segments
from operant.math.off_policy import off_policy_weighting
from reference.resumed import assert_resumes

PROBE, CLASSIC = "operant.env.probe:", "gymnasium.envs.classic_control:"
NAMES = ("impala", "off-policy-actor-critic")
KINDS = [
    {"kind": "discrete"}, {"kind": "multidiscrete", "size": 3}, {"kind": "multibinary", "size": 3},
    {"kind": "box", "tolerance": 0.5},
]  # fmt: skip


FEW = {"off-policy-actor-critic": {"algo.reuse": 1}}


def build(algorithm, env, **overrides):
    return builder_of(algorithm)(resolve(algorithm, env, overrides=overrides, source="argument").config, env)


def run(job, steps=None):
    rows = []
    while job.counter.steps < (steps or job.total_steps):
        rows.append({name: float(x) for name, x in next(job.algorithm).items() if name != "phase/collect"})
    return rows


def parameters(agent):
    return torch.cat([p.detach().ravel() for p in agent.parameters()])


# ---------------------------------------------------------------------------------------------------- learns
@pytest.mark.spread(3)
@pytest.mark.parametrize("algorithm", NAMES)
@pytest.mark.parametrize("kwargs", KINDS, ids=lambda kwargs: kwargs["kind"])
def test_identity_is_learnt_in_5000_steps(algorithm, kwargs):
    settings = {"seed": 2, "total_steps": 5000, "env.num": 8, "algo.discount": 0.4, "algo.lr": 0.01}
    settings |= {"algo.horizon": 5, "algo.entropy_coef": 0.01} | FEW.get(algorithm, {})
    job = build(algorithm, PROBE + "identity", **settings, **{"env.kwargs": kwargs})
    run(job)
    assert job.evaluate(10).returns.mean() >= 90


@pytest.mark.parametrize("algorithm", NAMES)
def test_a_time_limit_is_not_a_termination(algorithm):
    """Reward 1 for ever, cut after 8 steps: V = 1/(1 − γ), whatever the ratios."""
    settings = {"total_steps": 12_000, "env.num": 8, "algo.horizon": 8, "algo.discount": 0.9, "algo.lr": 0.02}
    settings |= {"algo.lr_schedule": "linear"} | FEW.get(algorithm, {})
    job = build(algorithm, PROBE + "four_state", **settings)
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 10.0, rtol=0.02)


# ---------------------------------------------------------------------------------------------------- reduces to
SAME = {
    "seed": 3, "env.num": 2, "algo.horizon": 5, "algo.updates": 4, "algo.lr": 1e-3, "algo.optimizer": "adam",
    "algo.value_coef": 0.5, "algo.entropy_coef": 0.01, "algo.max_grad_norm": 0.5, "algo.lam": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("env", [CLASSIC + "CartPoleEnv", CLASSIC + "PendulumEnv"])  # which have no presets
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("off-policy-actor-critic", {"algo.replay": 0, "algo.ratio": "none"}),
        ("off-policy-actor-critic", {"algo.replay": 0, "algo.ratio": "per-trajectory", "algo.truncation": None}),
        ("impala", {"algo.lag": 0}),
    ],
    ids=["no ratio", "ratios of 1", "no lag"],
)
def test_without_a_past_they_are_a2c(env, algorithm, settings):
    ours, a2c = build(algorithm, env, **SAME, **settings), build("a2c", env, **SAME, **{"algo.fused": "off"})
    for job in (ours, a2c):
        run(job, 120)
    exact = settings.get("algo.ratio") == "none"
    torch.testing.assert_close(parameters(ours.agent), parameters(a2c.agent), rtol=0, atol=0 if exact else 1e-5)


def test_a_lag_or_a_past_is_seen_in_what_is_learnt():
    for algorithm, off, on in (
        ("impala", {"algo.lag": 0}, {"algo.lag": 2}),
        ("off-policy-actor-critic", {"algo.replay": 0}, {"algo.replay": 4}),
    ):
        jobs = [build(algorithm, "CartPole-v1", **SAME, **extra) for extra in (off, on)]
        rows = [run(job, 120) for job in jobs]
        assert (parameters(jobs[0].agent) - parameters(jobs[1].agent)).abs().max() > 1e-4
        assert abs(rows[0][-1]["policy/kl"]) < 1e-6 < abs(rows[1][-1]["policy/kl"])


# ---------------------------------------------------------------------------------------------------- the lag
@pytest.mark.parametrize("lag", [0, 1, 3])
def test_actors_act_with_the_policy_of_so_many_updates_ago(lag, monkeypatch):
    job = build("impala", "CartPole-v1", **SAME, **{"algo.lag": lag, "algo.queue": 2})
    policy, learner, acted = job.agent.policy, [], []

    def values():
        return torch.cat([p.detach().ravel() for p in policy.parameters()])

    collect, remember = type(job.counter).__call__, Actors.remember
    monkeypatch.setattr(type(job.counter), "__call__", lambda self, h: acted.append(values()) or collect(self, h))
    monkeypatch.setattr(Actors, "remember", lambda self: learner.append(values()) or remember(self))
    for _ in range(2):
        next(job.algorithm)
    assert len(learner) == 8
    assert len(acted) == 16
    for k in range(8):
        for segment in acted[2 * k : 2 * k + 2]:
            assert torch.equal(segment, learner[max(k - lag, 0)])
    assert not torch.equal(learner[0], learner[1])


def test_vtrace_is_given_the_policy_that_acted(monkeypatch):
    """The ratio of π to μ is of what the record says of μ; a learner's own would be 1. Its bounds are the settings'."""
    job = build("impala", "CartPole-v1", **SAME, **{"algo.lag": 2, "algo.clip_rho": 0.8, "algo.clip_c": 0.6})
    seen, bounds, vtrace = [], [], impala_module.vtrace

    def recorded(*args, **kwargs):
        seen.append((args[0] - args[1])[args[6]])
        bounds.append((kwargs["clip_rho"], kwargs["clip_c"], kwargs["lam"]))
        return vtrace(*args, **kwargs)

    monkeypatch.setattr(impala_module, "vtrace", recorded)
    for _ in range(2):
        next(job.algorithm)
    assert set(bounds) == {(0.8, 0.6, 1.0)}
    assert seen[0].abs().max() < 1e-5  # nothing has been learnt yet
    assert all(x.abs().max() > 1e-4 for x in seen[1:])


# ---------------------------------------------------------------------------------------------------- the replay
def test_the_newest_segments_are_kept_and_each_is_drawn_as_often():
    job = build("off-policy-actor-critic", "CartPole-v1", **SAME | {"algo.replay": 3, "algo.updates": 1})
    for _ in range(5):
        next(job.algorithm)
    past = job.agent.beside["replay"]
    assert len(past.kept) == 3
    drawn = past.draw(3000, np.random.default_rng(0))
    counts = [sum(x is segment for x in drawn) for segment in past.kept]
    assert min(counts) > 900
    assert Segments(3).draw(4, np.random.default_rng(0)) == []


@pytest.mark.parametrize("named", [False, True])
def test_segments_come_back_bit_for_bit(named):
    job = build("off-policy-actor-critic", "CartPole-v1", **{"env.num": 2})
    past = Segments(4)
    for horizon in (3, 7):
        traj = job.counter(horizon)
        if named:
            traj = replace(traj, obs={"a": traj.obs, "b": traj.obs * 2})
        past.add(Past(traj, job.counter.elapsed))
    other = Segments(4)
    other.prepared({k: x.clone() for k, x in past.tensors().items()}, "file")()
    assert len(other.kept) == 2
    for a, b in zip(past.kept, other.kept, strict=True):
        assert torch.equal(a.elapsed, b.elapsed)
        for field in fields(a.traj):
            x, y = getattr(a.traj, field.name), getattr(b.traj, field.name)
            assert x is y is None or (
                all(torch.equal(x[k], y[k]) for k in x) if isinstance(x, dict) else torch.equal(x, y)
            )
    with pytest.raises(ConfigError, match="other segments"):
        Segments(1).prepared(past.tensors(), "file")
    broken = past.tensors()
    broken.pop("1.reward")
    with pytest.raises(ConfigError, match="cannot be read"):
        Segments(4).prepared(broken, "file")


@pytest.mark.parametrize("ratio", ["step", "per-decision", "per-trajectory"])
def test_ratios_are_of_the_policy_that_collected_each_segment(ratio, monkeypatch):
    """Past segments weigh by π/μ of their own μ; forgetting them, or leaving them at 1, is another step."""
    agents = {}
    for bug in ("none", "fresh"):
        job = build("off-policy-actor-critic", "CartPole-v1", **SAME, **{"algo.ratio": ratio, "algo.truncation": None})
        if bug == "fresh":  # μ is taken to be π, as where log-probabilities are computed again

            def weighting(*args, **kwargs):
                weigh = off_policy_weighting(*args, **kwargs)
                return lambda logp, _, *rest: weigh(logp, logp.detach(), *rest)

            monkeypatch.setattr(module, "off_policy_weighting", weighting)
        run(job, 80)
        agents[bug] = parameters(job.agent)
    assert (agents["none"] - agents["fresh"]).abs().max() > 1e-5


# ---------------------------------------------------------------------------------------------------- the run
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("impala", {"algo.lag": 3, "algo.queue": 2}),
        ("off-policy-actor-critic", {"algo.replay": 5, "policy.normalize_reward": True, "policy.normalize_obs": True}),
        ("off-policy-actor-critic", {"explore.bonus": "count", "explore.param_noise": 0.05}),
    ],
    ids=["impala", "replay", "explored"],
)
def test_they_go_on_bit_for_bit(tmp_path, algorithm, settings):
    small = {"env.num": 2, "algo.horizon": 8, "algo.updates": 4, "algo.lr": 1e-3}
    whole = assert_resumes(tmp_path, algorithm, "CartPole-v1", every=256, **small, **settings)
    name = "actors" if algorithm == "impala" else "replay"
    file = whole.path / "checkpoints" / "latest" / f"{name}.safetensors"
    assert file.is_file()
    assert whole.policy.beside == {}  # what is exported, evaluated or shown is the policy alone
    file.unlink()
    with pytest.warns(match=f"{name}.safetensors"):
        operant.resume(whole.path, to=768, quiet=True)


def test_noise_on_weights_that_do_not_act_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"explore\.param_noise"):
        build("impala", "CartPole-v1", **{"explore.param_noise": 0.1})
    build("off-policy-actor-critic", "CartPole-v1", **{"explore.param_noise": 0.1}).close()


@pytest.mark.parametrize("algorithm", NAMES)
def test_policies_with_memory_are_replayed_row_by_row(algorithm):
    """From what was remembered where the segment began; without lag or past the ratio is 1 all along the row."""
    on = {"algo.lag": 0} if algorithm == "impala" else {"algo.replay": 0}
    off = {"algo.lag": 2} if algorithm == "impala" else {"algo.replay": 4}
    small = {"env.num": 2, "algo.horizon": 12, "algo.updates": 3, "algo.lr": 3e-3, "policy.memory": "gru"}
    apart = []
    for settings in (on, off):
        job = build(algorithm, "operant.env.memory:cartpole_positions", **small, **settings)
        apart.append(max(abs(float(next(job.algorithm)["policy/kl"])) for _ in range(4)))
    assert apart[0] < 1e-5 < apart[1]
