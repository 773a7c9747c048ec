"""TD3+BC, CQL and IQL: their authors' updates, their limits, exact values of tabular problems, and known bugs."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from operant import mdp
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.offline import cql as cql_module
from operant.control.offline import discrete_cql as discrete_module
from operant.control.offline import iql as iql_module
from operant.control.offline import td3_bc as td3_bc_module
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.settings.continuous import TD3Config
from operant.control.settings.offline import CQLConfig, DiscreteCQLConfig, IQLConfig, TD3BCConfig
from operant.control.spec import AgentSpec
from operant.control.target import Target
from operant.control.td3 import td3_update
from operant.env.interface import Interface
from reference.offline_updates import OfflineReference
from reference.replay_updates import of, parts

LR, TAU, GAMMA, SIZE = 1e-3, 0.05, 0.9, 32


# ---------------------------------------------------------------------------------------------------- by hand
def agent_of(std="none", critics=2, **more):
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), space)
    spec = AgentSpec(
        **between.encoded(), obs_dim=3, action_kind="box", action_sizes=(2,), hidden=(24, 24), activation="relu",
        std=std, squash=True, critics=critics, **more,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(0))


def batch_of(k, size=SIZE):
    g = torch.Generator().manual_seed(k)
    obs, next_obs = torch.randn(2, size, 3, generator=g)
    action, reward = torch.rand(size, 2, generator=g) * 2 - 1, torch.randn(size, generator=g)
    terminated = torch.rand(size, generator=g) < 0.25
    return batch(obs, action, reward, next_obs, GAMMA, terminated)


def batch(obs, action, reward, next_obs, discount, terminated=None, weight=None):
    n = len(reward)
    end = torch.zeros(n).bool() if terminated is None else terminated
    return Drawn(
        obs=obs, action=action, reward=reward, discount=torch.full((n,), discount), terminated=end,
        next_obs=next_obs, acted=torch.ones(n).bool(), weight=torch.ones(n) if weight is None else weight,
        index=torch.arange(n),
    )  # fmt: skip


class Side:
    """An agent of a method with its update, and the reference of it."""

    def __init__(self, name, **settings):
        cls = {"td3-bc": TD3BCConfig, "cql": CQLConfig, "iql": IQLConfig}[name]
        common = {"lr": LR, "tau": TAU} | ({"critic_lr": None} if name == "cql" else {})
        self.name, self.cfg = name, cls(**common, **settings)
        self.agent = agent_of("network" if name == "cql" else "none")
        optimizer, self.generator = adam(self.cfg, self.agent), np.random.default_rng(3)
        policy_target, q_target = Target(self.agent.policy), Target(self.agent.q)
        self.modules, net = [self.agent.policy, self.agent.q, q_target.module], None
        if name == "td3-bc":
            self.modules.insert(2, policy_target.module)
            module, more = td3_bc_module.td3_bc_update, (policy_target, q_target, optimizer, self.generator)
        elif name == "cql":
            temperature = Temperature(self.cfg, self.agent)
            self.modules.append(temperature.module)
            module, more = cql_module.cql_update, (q_target, temperature, optimizer, self.generator)
        else:
            value = Trained(
                self.agent.another_critic(torch.Generator().manual_seed(1)), np.random.default_rng(0), lr=LR, batch=1
            )
            self.modules.append(value.module)
            module, more, net = iql_module.iql_update, (q_target, value, optimizer), value.module.net
        self.update = partial(module, self.cfg, self.agent, *more)
        self.ref = OfflineReference(self.agent, lr=LR, tau=TAU, discount=GAMMA, value=net)

    def reference(self, b, generator):
        def normal(*shape):
            return torch.from_numpy(generator.standard_normal(shape, np.float32))

        if self.name == "td3-bc":
            self.ref.td3_bc(of(b), normal(SIZE, 2), alpha=self.cfg.alpha, delay=self.cfg.delay)
        elif self.name == "iql":
            its = self.cfg
            self.ref.iql(of(b), expectile=its.expectile, temperature=its.inverse_temperature)
        else:
            first, M = normal(SIZE, 2), self.cfg.samples
            even = torch.from_numpy(generator.random((M, SIZE, 2), np.float32))
            noise = first, normal(M, SIZE, 2), normal(M, SIZE, 2), normal(SIZE, 2)
            self.ref.cql(of(b), noise, even, weight=self.cfg.conservative, target_entropy=-2.0)

    def numbers(self):
        return parts(*self.modules)

    def theirs(self):
        r = self.ref
        if self.name == "td3-bc":
            return parts(r.actor, r.critics, r.actor_target, r.critics_target)
        if self.name == "cql":
            return torch.cat([parts(r.actor, r.critics, r.critics_target), r.log_alpha.detach()])
        return parts(r.actor, r.critics, r.critics_target, r.value)


def difference(name, updates=4, **settings):
    """The largest difference of parameters between our updates and theirs, after so many."""
    side, generator = Side(name, **settings), np.random.default_rng(3)
    for k in range(updates):
        b = batch_of(k)
        side.update(b)
        side.reference(b, generator)
    return float((side.numbers() - side.theirs()).abs().max())


SAME = [("td3-bc", {}), ("td3-bc", {"alpha": 0.3, "delay": 1}), ("cql", {"samples": 3}), ("iql", {})]


@pytest.mark.parametrize(
    ("name", "settings"), [*SAME, ("iql", {"expectile": 0.9, "inverse_temperature": 0.5})], ids=str
)
def test_updates_equal_those_of_their_authors(name, settings):
    assert difference(name, **settings) < 1e-5


MODULES = td3_bc_module, cql_module, iql_module


def through_a_terminal(monkeypatch):
    for module in MODULES:
        monkeypatch.setattr(module, "backup", lambda reward, value, terminated, discount: reward + discount * value)


def sign_of_the_expectile(monkeypatch):
    its = iql_module.expectile_loss
    monkeypatch.setattr(iql_module, "expectile_loss", lambda error, expectile: its(-error, expectile=expectile))


def no_densities(monkeypatch):
    its = cql_module.conservative_penalty
    monkeypatch.setattr(cql_module, "conservative_penalty", lambda q, q_data, logp: its(q, q_data, 0 * logp))


def scale_with_a_gradient(monkeypatch):
    monkeypatch.setattr(td3_bc_module, "value_scale", lambda q, acted, alpha: alpha / q.abs().mean())


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        *((name, through_a_terminal) for name in ("td3-bc", "cql", "iql")),
        ("iql", sign_of_the_expectile), ("cql", no_densities), ("td3-bc", scale_with_a_gradient),
    ],
)  # fmt: skip
def test_known_bugs_are_refused_by_that_comparison(name, bug, monkeypatch):
    bug(monkeypatch)
    assert difference(name, **({"samples": 3} if name == "cql" else {})) > 1e-4


# ---------------------------------------------------------------------------------------------------- TD3+BC's limits
def test_without_its_values_it_is_cloning():
    """With α = 0 the policy's steps are those of a regression on the data's actions, whatever the critics say."""
    side = Side("td3-bc", alpha=0.0, delay=1)
    clone = agent_of()
    optimizer = torch.optim.Adam(clone.policy.parameters(), LR)
    for k in range(5):
        b = batch_of(k)
        side.update(b)
        optimizer.zero_grad()
        nn.functional.mse_loss(clone.policy.output(b.obs).tanh(), b.action).backward()
        optimizer.step()
    assert torch.equal(parts(side.agent.policy), parts(clone.policy))


def test_without_the_distance_it_is_td3():
    """Where λ is 1 and nothing is cloned it is `td3_update`."""
    plain, cfg = agent_of(), TD3Config(lr=LR, tau=TAU, delay=1)
    its = (cfg, plain, Target(plain.policy), Target(plain.q), adam(cfg, plain), np.random.default_rng(3))
    b, policy = batch_of(0), parts(plain.policy)
    with torch.no_grad():
        before = plain.policy.output(b.obs).tanh()
    td3_update(*its, b)
    size = float(plain.q(b.obs, before)[0].detach().abs().mean())
    side = Side("td3-bc", alpha=size, clone=0.0, delay=1)
    side.update(b)
    assert torch.equal(parts(side.agent.q), parts(plain.q))
    torch.testing.assert_close(parts(side.agent.policy), parts(plain.policy), rtol=0, atol=1e-6)
    assert (parts(plain.policy) - policy).abs().max() > 5e-4


# ---------------------------------------------------------------------------------------------------- tabular problems
S, A = 5, 3


@pytest.fixture(scope="module")
def problem():
    """P [S, A, S], r [S, A], and the policy [S, A] that acted, which never takes one action of each of two states."""
    rng = np.random.default_rng(11)
    chance, reward = rng.dirichlet(np.full(S, 0.5), (S, A)), rng.normal(size=(S, A))
    behaviour = rng.dirichlet(np.ones(A), S) + 0.1
    behaviour[0, 1] = behaviour[3, 2] = 0.0
    return chance, reward, behaviour / behaviour.sum(1, keepdims=True)


def value_of(chance, reward, policy, discount=GAMMA):
    """V^π [S], exactly, by `operant.mdp`."""
    model = mdp.MDP.from_arrays(chance.swapaxes(0, 1), reward, discount=discount)
    return np.asarray(mdp.evaluate(model, policy).values)


def tabular(head="", critics=2, hidden=()):
    between = Interface(spaces.Discrete(S), spaces.Discrete(A))
    spec = AgentSpec(
        **between.encoded(), obs_dim=S, action_kind="discrete", action_sizes=(A,), hidden=hidden, critics=critics,
        activation="relu", head=head,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(0))


def log_of(problem, count, seed):
    """A batch of transitions that the policy which acted makes from states drawn evenly; and counts [S, A]."""
    chance, reward, behaviour = problem
    rng = np.random.default_rng(seed)
    s = rng.integers(S, size=count)
    a = np.array([rng.choice(A, p=behaviour[k]) for k in s])
    t = np.array([rng.choice(S, p=chance[i, k]) for i, k in zip(s, a, strict=True)])
    paid = reward[s, a] + rng.normal(size=count)
    hot = torch.eye(S)
    made = batch(hot[s], torch.from_numpy(a), torch.from_numpy(paid).float(), hot[t], GAMMA)
    return made


def conservative(b, weight, backup="softmax", steps=500):
    """Q̂ [S, A] after learning from a batch again and again."""
    agent = tabular("q", 0)
    cfg = DiscreteCQLConfig(lr=0.1, tau=0.2, conservative=weight, loss="squared", backup=backup)
    optimizer = torch.optim.Adam(agent.policy.parameters(), cfg.lr)
    update = partial(discrete_module.discrete_cql_update, cfg, agent, Target(agent.policy), optimizer)
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = cfg.lr * (1 - k / steps) + 1e-4
        update(b)
    with torch.no_grad():
        return agent.policy.output(torch.eye(S)).double().numpy()


def softmax(q):
    share = np.exp(q - q.max(1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def test_conservative_values_are_nowhere_above_the_true_ones(problem):
    """From all there is to know: E_π[Q̂] ≤ V^π in every state, π = softmax(Q̂), and = where nothing is penalised."""
    even = problem[0], problem[1], np.full((S, A), 1 / A)
    moves, _, often = counted(even)
    b = repeated(problem, often)
    for weight in (0.0, 0.3, 1.0, 5.0):
        q = conservative(b, weight)
        policy = softmax(q)
        off = (policy * q).sum(1) - value_of(moves, problem[1], policy)
        assert off.max() < 0.02
        assert weight == 0.0 or off.max() < -0.001
        if weight == 0.0:
            np.testing.assert_allclose(off, 0.0, atol=0.02)


def test_where_plain_values_promise_too_much_conservative_ones_promise_less(problem):
    """From few and noisy transitions the maximum promises too much."""
    for seed in (0, 1):
        b = log_of(problem, 60, seed)
        q = conservative(b, 0.0, "greedy")
        plain = (q.max(1) - value_of(problem[0], problem[1], np.eye(A)[q.argmax(1)])).max()
        q = conservative(b, 1.0)
        policy = softmax(q)
        modest = ((policy * q).sum(1) - value_of(problem[0], problem[1], policy)).max()
        assert plain > 0.5
        assert modest < 0.4 * plain


def test_with_no_penalty_and_all_there_is_to_know_discrete_cql_is_the_optimum(problem):
    moves, _, often = counted((problem[0], problem[1], np.full((S, A), 1 / A)))
    q = conservative(repeated(problem, often), 0.0, "greedy")
    model = mdp.MDP.from_arrays(moves.swapaxes(0, 1), problem[1], discount=GAMMA)
    np.testing.assert_allclose(q.max(1), np.asarray(mdp.solve(model).values), atol=0.05)


def repeated(problem, often):
    """A batch in which each transition stands so often [S, A, S]."""
    s, a, t = np.unravel_index(np.repeat(np.arange(often.size), often.reshape(-1)), often.shape)
    hot = torch.eye(S)
    return batch(hot[s], torch.from_numpy(a), torch.from_numpy(problem[1][s, a]).float(), hot[t], GAMMA)


def implicit_values(problem, expectile, steps=700):
    """V [S], Q [S, A] and π [S, A] of IQL after so many steps on all that was done, as often as it was done."""
    agent = tabular(critics=1)
    cfg = IQLConfig(lr=0.1, tau=0.3, expectile=expectile, critics=1, inverse_temperature=1.0)
    optimizer = adam(cfg, agent)
    value = Trained(agent.another_critic(torch.Generator().manual_seed(1)), np.random.default_rng(0), lr=0.1, batch=1)
    update = partial(iql_module.iql_update, cfg, agent, Target(agent.q), value, optimizer)
    b, hot = repeated(problem, counted(problem)[2]), torch.eye(S)
    for k in range(steps):
        for group in (*optimizer.param_groups, *value.optimizer.param_groups):
            group["lr"] = cfg.lr * (1 - k / steps) + 1e-4
        update(b)
    with torch.no_grad():
        policy = agent.policy.output(hot).softmax(-1)
        return value.module(hot).numpy(), agent.q(hot)[0].numpy(), policy.numpy()


def counted(problem, of=100):
    """P and the policy that acted as counts of about so many decisions in each state have them, and these counts."""
    chance, _, behaviour = problem
    often = np.rint(behaviour[:, :, None] * chance * of).astype(int)
    taken = often.sum(-1)
    moves = np.where(taken[..., None] > 0, often / np.maximum(taken, 1)[..., None], chance)
    return moves, taken / taken.sum(-1, keepdims=True), often


def fixed_point(problem, expectile):
    """V [S] and Q [S, A] where IQL comes to rest: V(s) the τ-expectile under μ of r + γ P V."""
    moves, behaviour, _ = counted(problem)
    value = np.zeros(S)
    for _ in range(200):
        q = problem[1] + GAMMA * moves @ value
        value = np.array([expectile_of(q[s], behaviour[s], expectile) for s in range(S)])
    return value, q


def expectile_of(x, weight, tau):
    """The root of Σ w |τ − 1{x < m}| (x − m), by bisection."""
    low, high = x.min(), x.max()
    for _ in range(40):
        middle = (low + high) / 2
        slope = (weight * np.where(x >= middle, tau, 1 - tau) * (x - middle)).sum()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return middle


@pytest.fixture(scope="module")
def learnt(problem):
    """`implicit_values` at two expectiles."""
    return {tau: implicit_values(problem, tau) for tau in (0.5, 0.9)}


@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_implicit_values_come_to_rest_at_their_fixed_point(problem, learnt, tau):
    value, q, _ = learnt[tau]
    want, want_q = fixed_point(problem, tau)
    np.testing.assert_allclose(value, want, atol=0.05)
    taken = counted(problem)[1] > 0
    np.testing.assert_allclose(q[taken], want_q[taken], atol=0.05)


def test_at_one_half_it_is_the_value_of_the_policy_that_acted(problem, learnt):
    moves, behaviour, _ = counted(problem)
    want = value_of(moves, problem[1], behaviour)
    np.testing.assert_allclose(fixed_point(problem, 0.5)[0], want, atol=1e-6)
    np.testing.assert_allclose(learnt[0.5][0], want, atol=0.05)


def test_towards_one_it_is_the_best_of_the_actions_that_were_taken(problem, learnt):
    """And not of those that were not: the optimum over all actions is another."""
    moves, behaviour, _ = counted(problem)
    never = behaviour == 0
    best = mdp.MDP.from_arrays(moves.swapaxes(0, 1), np.where(never, -1e3, problem[1]), discount=GAMMA)
    over_all = mdp.MDP.from_arrays(moves.swapaxes(0, 1), np.where(never, 5.0, problem[1]), discount=GAMMA)
    want = np.asarray(mdp.solve(best).values)
    away = [np.abs(fixed_point(problem, tau)[0] - want).max() for tau in (0.5, 0.9, 0.99, 0.9999)]
    assert away[0] > 1.0
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.02
    assert np.abs(np.asarray(mdp.solve(over_all).values) - want).max() > 1.0
    assert np.abs(learnt[0.9][0] - want).max() < 0.7 * np.abs(learnt[0.5][0] - want).max()


def test_turned_around_the_expectile_is_that_of_the_worst(problem, monkeypatch):
    sign_of_the_expectile(monkeypatch)
    value, *_ = implicit_values(problem, 0.9, 300)
    assert (value < fixed_point(problem, 0.5)[0] - 0.1).all()


def test_its_policy_is_the_clone_that_its_advantages_weigh(problem, learnt):
    value, q, policy = learnt[0.9]
    want = counted(problem)[1] * np.exp(q - value[:, None])
    np.testing.assert_allclose(policy, want / want.sum(1, keepdims=True), atol=0.03)
