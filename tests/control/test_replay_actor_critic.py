"""DDPG, TD3, SAC and discrete SAC: the updates of SB3 and CleanRL, each other's special cases, and known bugs."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control import ddpg as ddpg_module
from operant.control import replay_actor_critic as common
from operant.control import sac as sac_module
from operant.control import td3 as td3_module
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.explorer import Explorer, Gaussian, OrnsteinUhlenbeck
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.settings.continuous import DDPGConfig, SACConfig, TD3Config
from operant.control.spec import AgentSpec
from operant.control.target import Target
from operant.env.interface import Interface
from operant.math.logprob import normal_logp
from reference.replay_updates import Reference, noises, of, parts
from reference.resumed import assert_resumes

PROBE, CLASSIC = "operant.env.probe:", "gymnasium.envs.classic_control:"
SMALL = {"policy.hidden": (16, 16), "algo.learning_starts": 40, "algo.batch": 16, "algo.updates": 20}


def build(algorithm, env, **overrides):
    return builder_of(algorithm)(resolve(algorithm, env, overrides=overrides, source="argument").config, env)


def run(job, steps):
    rows = []
    while job.counter.steps < steps:
        rows.append({name: float(x) for name, x in next(job.algorithm).items() if not name.startswith("phase")})
    return rows


# ---------------------------------------------------------------------------------------------------- by hand
def agent_of(std="network", critics=2, **more):
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), space)
    spec = AgentSpec(
        **between.encoded(), obs_dim=3, action_kind="box", action_sizes=(2,), hidden=(24, 24), activation="relu",
        std=std, squash=True, critics=critics, **more,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(0))


def batch_of(k, size=32):
    g = torch.Generator().manual_seed(k)
    obs, next_obs = torch.randn(2, size, 3, generator=g)
    action, reward = torch.rand(size, 2, generator=g) * 2 - 1, torch.randn(size, generator=g)
    terminated = torch.rand(size, generator=g) < 0.25
    return Drawn(
        obs=obs, action=action, reward=reward, discount=torch.full((size,), 0.9), terminated=terminated,
        next_obs=next_obs, acted=torch.ones(size).bool(), weight=torch.ones(size), index=torch.arange(size),
    )  # fmt: skip


def learner(name, **settings):
    """Agent, update, and all that the update changes, in the order of `Reference`."""
    cfg = {"ddpg": DDPGConfig, "td3": TD3Config, "sac": SACConfig}[name](lr=1e-3, tau=0.05, **settings)
    agent = agent_of("network" if name == "sac" else "none", 1 if name == "ddpg" else 2)
    optimizer, generator = adam(cfg, agent), np.random.default_rng(3)
    policy_target, q_target = Target(agent.policy), Target(agent.q)
    if name == "sac":
        temperature = Temperature(cfg, agent)
        update = partial(sac_module.sac_update, cfg, agent, q_target, temperature, optimizer, generator)
        return agent, update, lambda: parts(agent.policy, agent.q, q_target.module, temperature.module)
    more = (generator,) if name == "td3" else ()
    module = {"ddpg": ddpg_module.ddpg_update, "td3": td3_module.td3_update}[name]
    update = partial(module, cfg, agent, policy_target, q_target, optimizer, *more)
    return agent, update, lambda: parts(agent.policy, agent.q, policy_target.module, q_target.module)


def difference(name, updates=4, **settings):
    """The largest difference of parameters between our updates and theirs, after so many."""
    agent, update, ours = learner(name, **settings)
    ref = Reference(agent, lr=1e-3, tau=0.05, discount=0.9)
    drawn = iter(noises(3, *[(32, 2)] * 2 * updates))
    for k in range(updates):
        b = batch_of(k)
        update(b)
        if name == "ddpg":
            ref.td3(of(b), None, sigma=0, clip=0, delay=1)
        elif name == "td3":
            ref.td3(of(b), next(drawn), sigma=0.2, clip=0.5, delay=2)
        else:
            fixed, linear = settings.get("temperature") == "fixed", settings.get("alpha_step") == "linear"
            ref.sac(of(b), next(drawn), next(drawn), target_entropy=None if fixed else -2.0, linear=linear)
    if name == "sac":
        ref.log_alpha.data.clamp_(*((0, 0) if settings.get("temperature") == "fixed" else (-9, 9)))
        theirs = torch.cat([parts(ref.actor, ref.critics, ref.critics_target), ref.log_alpha.detach()])
    else:
        theirs = parts(ref.actor, ref.critics, ref.actor_target, ref.critics_target)
    return float((ours() - theirs).abs().max())


SAME = [
    ("ddpg", {}), ("td3", {}), ("sac", {}), ("sac", {"alpha_step": "linear"}), ("sac", {"temperature": "fixed"})
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), SAME, ids=str)
def test_updates_equal_those_of_sb3_and_cleanrl(name, settings):
    assert difference(name, **settings) < 1e-6


def through_a_terminal(monkeypatch):
    for module in (ddpg_module, td3_module, sac_module):
        monkeypatch.setattr(module, "backup", lambda reward, value, terminated, discount: reward + discount * value)


def sign_of_alpha(monkeypatch):
    monkeypatch.setattr(sac_module, "soft_value", lambda q, logp, alpha: q + alpha * logp)


def sign_of_its_step(monkeypatch):
    monkeypatch.setattr(common, "temperature_loss", lambda w, entropy, target: w * (target - entropy).mean())


def no_jacobian(monkeypatch):
    monkeypatch.setattr(Normal, "logp", lambda self, p, u: normal_logp(*self._moments(p), u))


def leaking(monkeypatch):
    """The actor's loss steps the critics, too: one optimiser, and `backward()` into all that it reaches."""

    def descend(optimizer, loss, module, max_grad_norm):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return torch.zeros(())

    for module in (ddpg_module, td3_module, sac_module):
        monkeypatch.setattr(module, "descend", descend)


@pytest.mark.parametrize("bug", [through_a_terminal, sign_of_alpha, sign_of_its_step, no_jacobian, leaking])
@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_known_bugs_are_refused_by_that_comparison(name, bug, monkeypatch):
    if name != "sac" and bug in (sign_of_alpha, sign_of_its_step, no_jacobian):
        pytest.skip("it has no temperature")
    bug(monkeypatch)
    assert difference(name) > 1e-4


def test_the_target_waits_and_the_policy_with_it():
    agent, update, all_of = learner("td3", delay=3)
    before, policy = all_of(), parts(agent.policy)
    for k in (1, 2):
        update(batch_of(k))
    assert torch.equal(parts(agent.policy), policy)
    assert not torch.equal(all_of(), before)
    update(batch_of(3))
    assert not torch.equal(parts(agent.policy), policy)


def test_no_gradient_is_left_where_a_loss_only_passed():
    agent, update, _ = learner("sac")
    update(batch_of(0))
    assert all(p.grad is None for p in agent.q.parameters())
    assert all(p.grad is not None for p in agent.policy.parameters())


# ---------------------------------------------------------------------------------------------------- reduces to
def test_td3_without_its_three_corrections_is_ddpg_bit_for_bit():
    same = SMALL | {"seed": 4, "algo.lr": 1e-3, "env.num": 2}
    plain = {"algo.critics": 1, "algo.delay": 1, "algo.smoothing": 0.0}
    jobs = [build("ddpg", CLASSIC + "PendulumEnv", **same)]
    jobs += [build("td3", CLASSIC + "PendulumEnv", **same, **more) for more in (plain, {})]
    rows = [run(job, 240) for job in jobs]
    assert rows[0] == rows[1] != rows[2]
    assert torch.equal(parts(jobs[0].agent), parts(jobs[1].agent))


def test_sac_without_entropy_or_deviation_is_ddpg():
    """α = 0 and a deviation of e^-20: the policy is its mean, as DDPG's, whose target network is then the network."""
    cfg = {"lr": 1e-3, "tau": 1.0}
    soft, hard = agent_of("network", 1), agent_of("none", 1)
    with torch.no_grad():
        soft.policy.net.layers[-1].weight[2:] = 0
        soft.policy.net.layers[-1].bias[2:] = -20
        for into, source in zip(hard.policy.parameters(), soft.policy.parameters(), strict=True):
            into.copy_(source[: len(into)])
    hard.q.load_state_dict(soft.q.state_dict())
    sac_cfg, ddpg_cfg = SACConfig(temperature="fixed", alpha=0.0, critics=1, **cfg), DDPGConfig(**cfg)
    sac = partial(
        sac_module.sac_update, sac_cfg, soft, Target(soft.q), Temperature(sac_cfg, soft), adam(sac_cfg, soft),
        np.random.default_rng(0),
    )  # fmt: skip
    ddpg = partial(ddpg_module.ddpg_update, ddpg_cfg, hard, Target(hard.policy), Target(hard.q), adam(ddpg_cfg, hard))
    for k in range(4):
        sac(batch_of(k))
        ddpg(batch_of(k))
    torch.testing.assert_close(parts(soft.q), parts(hard.q), rtol=0, atol=1e-6)
    for ours, theirs in zip(soft.policy.parameters(), hard.policy.parameters(), strict=True):
        torch.testing.assert_close(ours[: len(theirs)], theirs, rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- the agent
def test_a_value_is_the_lower_critics_of_the_policys_own_action():
    agent = agent_of(critics=3, obs_clip=5.0)
    obs = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    agent.observe(torch.randn(50, 3, generator=torch.Generator().manual_seed(2)) * 3 + 1)
    seen = agent.normalizer(obs)
    action = agent.policy.net(seen)[:, :2].tanh()
    each = torch.stack([net(torch.cat([seen, action], -1)).squeeze(-1) for net in agent.q.net])
    np.testing.assert_allclose(agent.estimate(obs.numpy()), each.amin(0).detach().numpy(), rtol=1e-6)
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([3.0, 0.5])
    want = low + (high - low) * (action + 1) / 2
    np.testing.assert_allclose(agent.decide(obs.numpy()), want.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("std", ["none", "network"])
def test_it_is_read_back_as_it_was(std, tmp_path):
    agent = agent_of(std, obs_clip=5.0)
    agent.save(tmp_path)
    again = Agent.load(tmp_path)
    obs = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert np.array_equal(again.decide(obs), agent.decide(obs))
    assert np.array_equal(again.estimate(obs), agent.estimate(obs))
    assert again.spec == agent.spec


def test_exploring_stays_within_bounds_and_begins_evenly():
    agent, gen = agent_of("none"), np.random.default_rng(0)
    obs = gen.standard_normal((4000, 3)).astype(np.float32)
    explorer = Explorer(agent, Gaussian(0.3))
    unit, _ = explorer(obs, gen)
    clean = agent.policy.output(torch.from_numpy(obs)).tanh().detach().numpy()
    assert np.abs(unit).max() <= 1.0
    assert abs(float((unit - clean).std()) - 0.3) < 0.01
    finished = explorer.finish(unit)
    assert finished[:, 0].min() >= -1
    assert finished[:, 1].max() <= 0.5
    explorer.evenly = True
    unit, logp = explorer(obs, gen)
    assert np.abs(np.quantile(unit, [0.25, 0.5, 0.75]) - [-0.5, 0.0, 0.5]).max() < 0.05
    assert np.allclose(logp, -2 * math.log(2))


def test_ornstein_uhlenbeck_remembers_within_an_episode_only():
    noise, gen = OrnsteinUhlenbeck(0.2, 0.15), np.random.default_rng(0)
    noise.begin(20_000)
    for _ in range(60):
        x = noise((20_000, 1), gen).copy()
    assert abs(float(x.std()) - 0.2 / math.sqrt(1 - 0.85**2)) < 0.01
    after = noise((20_000, 1), gen)
    assert abs(float(np.corrcoef(x.ravel(), after.ravel())[0, 1]) - 0.85) < 0.02
    rows = np.arange(20_000) % 2 == 0
    noise.forget(rows)
    x = noise((20_000, 1), gen)
    assert abs(float(x[rows].std()) - 0.2) < 0.01
    assert float(x[~rows].std()) > 0.3


def test_noise_is_let_go_where_an_episode_ends():
    """The collector tells whatever acts, with a memory or without."""
    job = build("ddpg", PROBE + "identity", **SMALL, **{"env.kwargs": {"kind": "box", "length": 5}, "algo.noise": "ou"})
    told = []
    job.counter._sample._noise.forget = lambda rows: told.append(rows.copy())
    job.counter(12)
    assert len(told) == 2


# ---------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("algorithm", "env", "settings", "match"),
    [
        ("sac", "CartPole-v1", {}, "discrete-sac"),
        ("ddpg", PROBE + "identity", {"env.kwargs": {"kind": "multidiscrete"}}, "use sac"),
        ("discrete-sac", "Pendulum-v1", {}, "use sac"),
        ("sac", "Pendulum-v1", {"explore.param_noise": 0.1}, r"explore\.noise|explore\.param_noise"),
        ("sac", "Pendulum-v1", {"policy.shared": True}, "policy.shared"),
        ("td3", "Pendulum-v1", {"policy.memory": "gru", "algo.n": 3}, "leave out algo.n"),
        ("td3", "Pendulum-v1", {"policy.memory": "gru", "algo.burn_in": 32}, "burn_in"),
        ("sac", "Pendulum-v1", {"algo.alpha": 0.0}, "alpha"),
    ],
)
def test_what_cannot_be_is_refused_in_words(algorithm, env, settings, match):
    with pytest.raises(ConfigError, match=match):
        next(build(algorithm, env, **settings).algorithm)


@pytest.mark.parametrize("high", [np.inf, 3e38])
def test_actions_without_bounds_are_refused(high):
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-high, high, (2,), np.float32))
    spec = AgentSpec(**between.encoded(), obs_dim=3, action_kind="box", action_sizes=(2,), squash=True, critics=2)
    with pytest.raises(ConfigError, match=r"finite bounds.*RescaleAction"):
        Agent(spec)


# ---------------------------------------------------------------------------------------------------- goes on
@pytest.mark.spread(2)
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("ddpg", {"algo.noise": "ou", "env.num": 2, "algo.n": 3}),
        ("td3", {"algo.priority": "proportional", "algo.priority_beta": 1.0, "algo.delay": 3}),
        ("sac", {"policy.normalize_obs": True, "policy.normalize_reward": True, "algo.gradient_steps": 2}),
        ("crossq", {"algo.norm_warmup": 60, "algo.delay": 2}),
        ("sac", {"policy.memory": "gru", "policy.memory_size": 8, "algo.length": 8, "algo.burn_in": 2}),
        ("discrete-sac", {"algo.priority": "proportional", "algo.priority_beta": 1.0}),
    ],
    ids=["ddpg", "td3", "sac", "crossq", "memory", "discrete"],
)
def test_they_go_on_bit_for_bit(tmp_path, algorithm, settings):
    env = "CartPole-v1" if algorithm == "discrete-sac" else "Pendulum-v1"
    assert_resumes(tmp_path, algorithm, env, every=80, **SMALL, **settings)
