"""SAC of several actions at once: SAC and discrete SAC are its special cases, gradients without bias, its optimum."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import operant
from operant import mdp
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.agent import Agent
from operant.control.composite import composed
from operant.control.discrete_sac import discrete_sac_update
from operant.control.explorer import Explorer
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.sac import sac_update
from operant.control.sac_hybrid import considered, hybrid, value_of
from operant.control.settings.continuous import DiscreteSACConfig, SACConfig
from operant.control.spec import AgentSpec, action_sizes
from operant.control.target import Target
from operant.env.interface import Interface
from reference.replay_updates import parts
from reference.resumed import assert_resumes, files

WHEEL = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
MIXED = spaces.Dict(
    {"a": spaces.MultiDiscrete([2, 3]), "b": WHEEL, "c": spaces.MultiBinary(2), "d": spaces.Discrete(3)}
)
SMALL = {"policy.hidden": (16, 16), "algo.learning_starts": 40, "algo.batch": 16, "algo.updates": 20}


def agent_of(acts, hidden=(24, 24), std="network", seed=0):
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), acts)
    spec = AgentSpec(
        **between.encoded(), obs_dim=3, action_kind=between.actions.kind, action_sizes=action_sizes(acts),
        hidden=hidden, activation="relu", std=std, squash=True, critics=2,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(seed))


def batch_of(k, action, size=32):
    g = torch.Generator().manual_seed(k)
    obs, next_obs = torch.randn(2, size, 3, generator=g)
    return Drawn(
        obs=obs, action=action(g), reward=torch.randn(size, generator=g), discount=torch.full((size,), 0.9),
        terminated=torch.rand(size, generator=g) < 0.25, next_obs=next_obs, acted=torch.ones(size).bool(),
        weight=torch.ones(size), index=torch.arange(size),
    )  # fmt: skip


def learner(agent, make, cfg, generator=3):
    target, temperature = Target(agent.q), Temperature(cfg, agent)
    its = (cfg, agent, target, temperature, adam(cfg, agent))
    return make(*its, np.random.default_rng(generator)), lambda: parts(agent.policy, agent.q, target.module)


# ---------------------------------------------------------------------------------------------------- reduces to
def test_of_numbers_alone_it_is_sac():
    cfg = SACConfig(lr=1e-3, tau=0.05)
    both = agent_of(WHEEL), agent_of(spaces.Tuple([WHEEL]))
    plain = partial(partial, sac_update)
    updates = [learner(agent, make, cfg) for agent, make in zip(both, (plain, hybrid), strict=True)]
    assert torch.equal(updates[0][1](), updates[1][1]())
    for k in range(4):
        b = batch_of(k, lambda g: torch.rand(32, 2, generator=g) * 2 - 1)
        (one, metrics), (other, theirs) = (update(b) for update, _ in updates)
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6)
        assert all(float((theirs[name] - x).abs()) < 1e-5 for name, x in metrics.items())
    torch.testing.assert_close(updates[1][1](), updates[0][1](), rtol=0, atol=1e-6)


class Asked(nn.Module):
    """A network of all values, asked for that of one choice."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return (self.inner(x[..., :3]) * x[..., 3:]).sum(-1, keepdim=True)


def test_of_one_choice_alone_it_is_discrete_sac():
    choice = spaces.Discrete(3)
    plain, alone = agent_of(choice), agent_of(spaces.Tuple([choice]))
    alone.policy.load_state_dict(plain.policy.state_dict())
    nets = agent_of(choice).q.net
    alone.q.net = nn.ModuleList([Asked(net) for net in nets])
    same = {"lr": 1e-3, "tau": 0.05}
    one = learner(plain, lambda *its: partial(discrete_sac_update, *its[:5]), DiscreteSACConfig(**same))
    other = learner(alone, hybrid, SACConfig(**same, choice_entropy=0.5))
    assert torch.equal(one[1](), other[1]())
    for k in range(4):
        b = batch_of(k, lambda g: torch.randint(3, (32,), generator=g))
        error, metrics = one[0](b)
        mixed = batch_of(k, lambda g: torch.randint(3, (32,), generator=g).unsqueeze(-1).float())
        theirs, told = other[0](mixed)
        torch.testing.assert_close(theirs, error, rtol=0, atol=1e-6)
        for name in ("loss/value", "loss/policy", "policy/entropy"):
            torch.testing.assert_close(told[name], metrics[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(told["schedule/choice_temperature"], metrics["schedule/temperature"])
    torch.testing.assert_close(other[1](), one[1](), rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- its optimum
STATES, GAMMA, ALPHA = 2, 0.8, 0.5
SPREAD = np.array([-0.5, -0.9])


def exact_problem(rng):
    """A model whose soft optimum is known: one of 3 choices moves and is paid, and so are a bit and a number beside it.

    The number is paid α times a log-density, so that the best it can be is drawn from that, and is worth nothing.
    """
    chance, moved = rng.dirichlet(np.ones(STATES), (STATES, 3)), rng.normal(size=(STATES, 3))
    bit, mean = rng.normal(size=(STATES, 2)), rng.normal(size=STATES) * 0.7
    free = ALPHA * np.log(np.exp(bit / ALPHA).sum(1))  # what the bit is worth
    best = mdp.soft_value_iteration(mdp.MDP(chance, moved + free[:, None], GAMMA), temperature=ALPHA)
    heads = np.exp(bit / ALPHA) / np.exp(bit / ALPHA).sum(1, keepdims=True)
    return chance, moved, bit, mean, best.extra["policy"].reshape(STATES, 3), heads, best.values


def steps_of(rng, size, chance, moved, bit, mean):
    """Decisions of any policy in it."""
    s, c, on = (rng.integers(n, size=size) for n in (STATES, 3, 2))
    u = rng.normal(size=size) * 0.9
    z = (u - mean[s]) / np.exp(SPREAD[s])
    density = -0.5 * z**2 - SPREAD[s] - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2)
    after = (chance[s, c].cumsum(1) > rng.random(size)[:, None]).argmax(1)
    paid = moved[s, c] + bit[s, on] + ALPHA * density
    ended, eye = torch.zeros(size).bool(), torch.eye(3)
    return Drawn(
        obs=eye[s], action=torch.from_numpy(np.stack([c, np.tanh(u), on], 1)).float(), terminated=ended,
        reward=torch.from_numpy(paid).float(), discount=torch.full((size,), GAMMA), next_obs=eye[after], acted=~ended,
        weight=torch.ones(size), index=torch.arange(size),
    )  # fmt: skip


def test_it_arrives_at_the_soft_optimum():
    rng = np.random.default_rng(2)
    *model, best, heads, worth = exact_problem(rng)
    agent = agent_of(spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (1,)), spaces.MultiBinary(1)]), (48, 48))
    cfg = SACConfig(lr=5e-3, tau=0.1, temperature="fixed", alpha=ALPHA, discount=GAMMA)
    update, _ = learner(agent, hybrid, cfg)
    for k in range(300):
        update(steps_of(rng, 128, *model))
        if k == 220:
            for group in update.args[4].param_groups:
                group["lr"] /= 10
    its, eye = composed(agent.policy.distribution), torch.eye(3)[:STATES]
    p, alphas = agent.policy.parameters_of(eye), tuple(price.value for price in update.args[3])
    first, coin = (x.softmax(-1).detach().numpy() for x in its.choices_of(p))
    assert np.abs(first - best).max() < 0.06
    assert np.abs(coin - heads).max() < 0.06
    assert np.abs(p.output[:, 3].detach().numpy() - model[3]).max() < 0.2
    assert np.abs(p.output[:, 4].detach().numpy() - SPREAD).max() < 0.3
    many = eye.repeat(500, 1)
    value = value_of(agent.q, its, many, considered(agent, its, many, np.random.default_rng(0)), alphas)
    assert np.abs(value.view(500, STATES).mean(0).detach().numpy() - worth).max() < 0.25


# ---------------------------------------------------------------------------------------------------- the agent
def test_a_critic_reads_numbers_and_ones_and_each_choice_is_tried():
    its = composed(agent_of(MIXED).policy.distribution)
    assert (its.numbers, its.sizes) == (2, (2, 3, 2, 2, 3))
    action = torch.tensor([[1, 2, 0.25, -0.5, 0, 1, 2]])
    code = its.encoded(action)
    assert code[0].tolist() == [0.25, -0.5, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1]
    tried = its.tried(code)
    assert tried.shape == (1, 12, 14)
    assert (tried[..., :2] == code[:, None, :2]).all()
    blocks = np.split(np.arange(12), np.cumsum(its.sizes)[:-1])
    for k, block in enumerate(blocks):
        for j, row in enumerate(block):
            for other, columns in enumerate(blocks):
                got = tried[0, row, 2:][columns]
                assert got.tolist() == (np.eye(len(block))[j] if k == other else code[0, 2:][columns]).tolist()


def test_a_value_is_the_lower_critics_of_the_policys_own_action():
    agent = agent_of(MIXED)
    obs = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    its, p = composed(agent.policy.distribution), agent.policy.parameters_of(obs)
    code = its.encoded(its.squashed(its.mode(p)))
    assert code[:, :2].abs().max() < 1
    each = torch.stack([net(torch.cat([obs, code], -1)).squeeze(-1) for net in agent.q.net])
    np.testing.assert_allclose(agent.estimate(obs.numpy()), each.amin(0).detach().numpy(), rtol=1e-5)


def test_exploring_begins_evenly_and_within_bounds():
    agent, gen = agent_of(MIXED), np.random.default_rng(0)
    explorer, obs = Explorer(agent), np.zeros((6000, 3), np.float32)
    explorer.evenly = True
    action, logp = explorer(obs, gen)
    assert np.allclose(logp, -np.log(2.0 * 3 * 2 * 2 * 3 * 4))
    for column, options in ((0, 2), (1, 3), (4, 2), (5, 2), (6, 3)):
        assert np.abs(np.bincount(action[:, column].astype(int), minlength=options) / 6000 - 1 / options).max() < 0.03
    assert np.abs(np.quantile(action[:, 2:4], [0.25, 0.5, 0.75]) - [-0.5, 0.0, 0.5]).max() < 0.05
    explorer.evenly = False
    unit, logp = explorer(obs, gen)
    p = agent.policy.parameters_of(torch.from_numpy(obs))
    u = np.concatenate([unit[:, :2], np.arctanh(unit[:, 2:4]), unit[:, 4:]], 1)
    np.testing.assert_allclose(logp, agent.policy.distribution.logp(p, torch.from_numpy(u)).detach(), atol=2e-3)
    taken = explorer.finish(unit)
    assert (taken[:, 2:4] >= WHEEL.low).all()
    assert (taken[:, 2:4] <= WHEEL.high).all()
    np.testing.assert_allclose(composed(agent.policy.distribution).unit(torch.from_numpy(taken)), unit, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- whole runs
def build(env, **overrides):
    return builder_of("sac")(resolve("sac", env, overrides=overrides, source="argument").config, env)


@pytest.mark.parametrize("kind", ["hybrid", "multidiscrete"])
def test_identity_is_learnt(kind):
    settings = {"seed": 1, "algo.discount": 0.0, "algo.lr": 1e-2, "policy.hidden": (48,), "algo.train_freq": 4}
    settings |= {"algo.learning_starts": 100, "algo.batch": 64, "algo.choice_entropy": 0.05, "algo.alpha": 0.1}
    kwargs = {"kind": kind, "size": 3, "length": 50, "tolerance": 0.3}
    job = build("operant.env.probe:identity", **settings, **{"env.kwargs": kwargs, "total_steps": 800})
    while job.counter.steps < 800:
        next(job.algorithm)
    got = job.evaluate(10).returns.mean() / 50
    job.close()
    assert got >= 0.9, got


class Masked(gymnasium.Env):
    """A choice of three, one of them ruled out in turn, beside two numbers; pictures are seen."""

    observation_space, action_space = spaces.Box(0, 255, (8, 8), np.uint8), spaces.Tuple([spaces.Discrete(3), WHEEL])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._next(), {"action_mask": self.mask}

    def step(self, action):
        assert self.action_space.contains(action), action
        assert self.mask[action[0]]
        self.steps += 1
        seen, over = self._next(), self.steps == 6
        return seen, float(action[0]), over, False, {"action_mask": np.zeros(3, np.int8) if over else self.mask}

    def _next(self):
        self.mask = (np.arange(3) != self.np_random.integers(3)).astype(np.int8)
        return self.np_random.integers(0, 256, (8, 8)).astype(np.uint8)


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_masks_pictures_and_memory(memory, tmp_path):
    settings = {
        "total_steps": 48, "env.num": 2, "policy.network": "minatar-cnn", "policy.memory": memory,
        "policy.hidden": (16,), "policy.memory_size": 8, "eval.episodes": 1, "save.videos": False, "save.report": False,
        "algo.length": 4,
        "algo.burn_in": 1, "algo.learning_starts": 16, "algo.batch": 8, "algo.updates": 4, "env.action_mask": "info",
    }  # fmt: skip
    run = operant.train("sac", Masked, runs=tmp_path, quiet=True, **settings)
    assert run.metrics["loss/policy"].notna().any()
    assert {"schedule/temperature", "schedule/choice_temperature"} <= set(run.metrics)
    policy, seen = operant.Run(run.path, env=Masked).policy, np.zeros((8, 8), np.uint8)
    choice, wheel = policy.act(seen, mask=np.array([0, 1, 0], np.int8))
    assert choice == 1
    assert WHEEL.contains(wheel)
    policy.forget()
    assert np.isfinite(policy.value(seen))


@pytest.mark.spread(1)
@pytest.mark.parametrize("kind", ["hybrid", "multidiscrete"])
def test_it_goes_on_bit_for_bit(tmp_path, kind):
    kwargs = {"kind": kind, "length": 7}
    whole = assert_resumes(tmp_path, "sac", "operant.env.probe:identity", every=80, **SMALL, **{"env.kwargs": kwargs})
    assert "choice_temperature.safetensors" in files(whole)


def test_what_cannot_be_is_refused_in_words():
    with pytest.raises(ConfigError, match="hold choices"):
        build("operant.env.probe:identity", **{"env.kwargs": {"kind": "hybrid"}, "algo.fused": "on"})
    with pytest.raises(ConfigError, match="finite bounds"):
        agent_of(spaces.Tuple([spaces.Discrete(2), spaces.Box(-np.inf, np.inf, (1,))]))
