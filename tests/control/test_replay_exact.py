"""Actor–critics with a replay against what is known exactly: soft optima, linear–quadratic gains, endless rewards."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant import mdp
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.agent import Agent
from operant.control.ddpg import ddpg_update
from operant.control.discrete_sac import discrete_sac_update, logits_of
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.sac import sac_update
from operant.control.settings.continuous import DDPGConfig, DiscreteSACConfig, SACConfig, TD3Config
from operant.control.spec import AgentSpec
from operant.control.target import Target
from operant.control.td3 import td3_update
from operant.env.interface import Interface
from operant.env.probe import FourState

PROBE = "operant.env.probe:"


def build(algorithm, env, **overrides):
    if callable(env):
        return builder_of(algorithm)(resolve(algorithm, "own:env", overrides=overrides, source="argument").config, env)
    return builder_of(algorithm)(resolve(algorithm, env, overrides=overrides, source="argument").config, env)


def run(job):
    while job.counter.steps < job.total_steps:
        next(job.algorithm)


def agent_of(observed, acts, std="network", critics=2, hidden=(32, 32)):
    between = Interface(observed, acts)
    box = isinstance(acts, spaces.Box)
    sizes = (int(np.prod(acts.shape)),) if box else (int(acts.n),)
    spec = AgentSpec(
        **between.encoded(), obs_dim=int(observed.shape[0]), action_kind="box" if box else "discrete",
        action_sizes=sizes, hidden=hidden, activation="relu", std=std, squash=box, critics=critics,
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(0))


def drawn(obs, action, reward, next_obs, discount, terminated=None):
    n = len(reward)
    end = torch.zeros(n, dtype=torch.bool) if terminated is None else terminated
    return Drawn(
        obs=obs, action=action, reward=reward, discount=torch.full((n,), discount), terminated=end,
        next_obs=next_obs, acted=torch.ones(n, dtype=torch.bool), weight=torch.ones(n), index=torch.arange(n),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- soft optimum
def test_discrete_sac_reaches_the_soft_optimum():
    """q and π of `mdp.soft_value_iteration` at a fixed temperature, where two of four states rule an action out."""
    S, A, discount, temperature = 4, 3, 0.8, 0.5
    gen = np.random.default_rng(1)
    chance = gen.dirichlet(np.ones(S), (S, A))
    reward = gen.standard_normal((S, A))
    allowed = np.ones((S, A), bool)
    allowed[0, 2] = allowed[3, 0] = False
    rows = [(s, a) for s in range(S) for a in range(A) if allowed[s, a]]
    low = np.where(allowed, reward, -1e3)  # what is worth so little is never taken
    model = mdp.MDP.from_arrays(chance.swapaxes(0, 1), low, discount=discount)
    best = mdp.soft_value_iteration(model, temperature=temperature)
    policy = np.asarray(best.extra["policy"]).reshape(S, A)
    value = np.asarray(best.values)
    q = reward + discount * chance @ value

    seen = spaces.Dict({"s": spaces.Box(0, 1, (S,), np.float32), "m": spaces.MultiBinary(A)})
    between = Interface(seen, spaces.Discrete(A), "m")
    spec = AgentSpec(
        **between.encoded(), obs_dim=S + A, action_kind="discrete", action_sizes=(A,), hidden=(48,),
        activation="relu", critics=2,
    )  # fmt: skip
    agent = Agent(spec, torch.Generator().manual_seed(0))
    cfg = DiscreteSACConfig(lr=1e-2, tau=0.1, temperature="fixed", alpha=temperature)
    update = partial(discrete_sac_update, cfg, agent, Target(agent.q), Temperature(cfg, agent), adam(cfg, agent))
    table = torch.from_numpy(np.concatenate([np.eye(S), allowed], 1).astype(np.float32))
    s, a, after = (torch.tensor(x) for x in zip(*((s, a, t) for s, a in rows for t in range(S)), strict=True))
    each = torch.from_numpy(chance)[s, a, after].float()
    batch = drawn(table[s], a, torch.from_numpy(reward)[s, a].float(), table[after], discount)
    batch = type(batch)(**{f: getattr(batch, f) for f in batch.__slots__} | {"weight": each * len(each) / len(rows)})
    for _ in range(1000):
        update(batch)
    with torch.no_grad():
        ours = agent.q(table)
        probability = logits_of(agent, table)[0].softmax(-1).numpy()
    assert np.abs(ours.numpy() - q)[:, allowed].max() < 0.05
    assert np.abs(probability - policy).max() < 0.02
    assert (probability[~allowed] == 0).all()


# ---------------------------------------------------------------------------------------------------- linear–quadratic
A_, B_ = np.array([[1.0, 0.2], [0.0, 0.9]]), np.array([[0.0], [0.3]])
COST, EFFORT, DISCOUNT, BOUND = np.diag([1.0, 0.1]), np.array([[0.4]]), 0.9, 2.0


def riccati():
    """Gain K and action Hessian R + γ BᵀPB of the discounted problem: the best action is −K s."""
    P = COST
    for _ in range(500):
        M = EFFORT + DISCOUNT * B_.T @ P @ B_
        K = np.linalg.solve(M, DISCOUNT * B_.T @ P @ A_)
        P = COST + DISCOUNT * A_.T @ P @ (A_ - B_ @ K)
    return K, M


def quadratic(gen, size):
    s, a = gen.uniform(-0.6, 0.6, (size, 2)), gen.uniform(-BOUND, BOUND, (size, 1))
    reward = -np.einsum("bi,ij,bj->b", s, COST, s) - np.einsum("bi,ij,bj->b", a, EFFORT, a)
    tensors = (torch.from_numpy(x.astype(np.float32)) for x in (s, a / BOUND, reward, s @ A_.T + a @ B_.T))
    return drawn(*tensors, DISCOUNT)


TEMPERATURE = 0.01


@pytest.mark.spread(1)
@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_the_gain_of_a_linear_quadratic_problem(name):
    """From uniformly drawn states and actions alone; SAC's deviation is √(α/2 (R + γBᵀPB)⁻¹), the soft optimum's."""
    K, M = riccati()
    acts = spaces.Box(-BOUND, BOUND, (1,), np.float32)
    std, critics = ("network", 2) if name == "sac" else ("none", 2 if name == "td3" else 1)
    agent = agent_of(spaces.Box(-1, 1, (2,), np.float32), acts, std, critics, hidden=(64,))
    common = {"lr": 5e-3, "tau": 0.05}
    gen, noise = np.random.default_rng(0), np.random.default_rng(1)
    targets = Target(agent.policy), Target(agent.q)
    if name == "sac":
        cfg = SACConfig(temperature="fixed", alpha=TEMPERATURE, **common)
        optimizer = adam(cfg, agent)
        update = partial(sac_update, cfg, agent, targets[1], Temperature(cfg, agent), optimizer, noise)
    elif name == "td3":
        cfg = TD3Config(smoothing=0.02, delay=1, **common)
        optimizer = adam(cfg, agent)
        update = partial(td3_update, cfg, agent, *targets, optimizer, noise)
    else:
        cfg = DDPGConfig(**common)
        optimizer = adam(cfg, agent)
        update = partial(ddpg_update, cfg, agent, *targets, optimizer)
    steps = 1200
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * (1 - k / steps) + 1e-5
        update(quadratic(gen, 64))
    s = gen.uniform(-0.5, 0.5, (200, 2)).astype(np.float32)
    best = -(s @ K.T)
    error = np.abs(agent.decide(s) - best)
    assert float(error.mean()) < 0.06
    gain = np.linalg.lstsq(s, -agent.decide(s), rcond=None)[0].T
    assert np.abs(gain - K).max() < 0.12 * np.abs(K).max()
    if name == "sac":
        log_std = agent.policy.output(torch.from_numpy(s[np.abs(best[:, 0]) < 0.4])).detach()[:, 1]
        want = np.sqrt(TEMPERATURE / 2 / M[0, 0]) / BOUND
        assert abs(float(log_std.exp().mean()) / want - 1) < 0.2


# ---------------------------------------------------------------------------------------------------- for ever
class Cycle(FourState):
    """`four_state`, whose actions are numbers that do nothing."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)


FOREVER = {
    "total_steps": 600, "algo.discount": 0.8, "algo.lr": 5e-3, "algo.tau": 0.2, "algo.learning_starts": 40,
    "algo.batch": 32, "policy.hidden": (32,), "algo.updates": 100,
}  # fmt: skip
WIDE = {"algo.noise_std": 1.0}
SLOW = WIDE | {"total_steps": 1200, "algo.lr": 2e-3}
SOFT = {"algo.temperature": "fixed", "algo.alpha": 0.0}


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [("ddpg", SLOW), ("td3", WIDE | {"algo.n": 3}), ("sac", SOFT), ("discrete-sac", SOFT)],
    ids=str,
)
def test_a_time_limit_is_not_a_termination(algorithm, settings):
    """Reward 1 for ever, cut after 8 steps: Q = 1/(1 − γ)."""
    env = partial(FourState if algorithm == "discrete-sac" else Cycle, 8)
    job = build(algorithm, env, **FOREVER | settings)
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 5.0, rtol=0.02)


def test_a_truncation_taken_for_an_end_is_seen_there():
    job = build("ddpg", partial(Cycle, 8), **FOREVER | WIDE | {"total_steps": 300})
    buffer = job.algorithm.gi_frame.f_locals["parts"].buffer
    extend = buffer.extend

    def ending(traj):
        object.__setattr__(traj, "terminated", traj.terminated | traj.truncated)
        extend(traj)

    buffer.extend = ending
    run(job)
    assert np.abs(job.agent.value(np.eye(4)) - 5.0).max() > 0.5


# ---------------------------------------------------------------------------------------------------- identity
IDENTITY = {
    "total_steps": 800, "algo.discount": 0.4, "algo.lr": 5e-3, "algo.learning_starts": 100, "algo.batch": 64,
    "policy.hidden": (32, 32), "seed": 2, "algo.updates": 100,
}  # fmt: skip


def test_identity_is_learnt_in_800_steps():
    """A number in [-1, 1], to be met within 0.25."""
    job = build("sac", PROBE + "identity", **IDENTITY, **{"env.kwargs": {"kind": "box", "tolerance": 0.25}})
    run(job)
    assert job.evaluate(5).returns.mean() >= 90


def test_identity_of_choices_is_learnt_in_800_steps():
    job = build("discrete-sac", PROBE + "identity", **IDENTITY, **{"algo.alpha": 0.1})
    run(job)
    assert job.evaluate(5).returns.mean() >= 95


class Recall(gymnasium.Env):
    """A number is shown once; the action two steps later should be it. What is seen then says nothing."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.number = 0, float(self.np_random.uniform(-0.8, 0.8))
        return np.array([self.number, 0.0], np.float32), {}

    def step(self, action):
        self.steps += 1
        last = self.steps == 3
        reward = 1.0 - abs(float(action[0]) - self.number) if last else 0.0
        return np.array([0.0, float(self.steps == 2)], np.float32), reward, last, False, {}


def test_memory_recalls():
    """Without memory the best answer is 0, worth 0.6."""
    settings = {
        "total_steps": 2000, "algo.discount": 0.9, "algo.lr": 5e-3, "algo.learning_starts": 200, "algo.length": 12,
        "algo.burn_in": 0, "algo.batch": 192, "algo.train_freq": 5, "policy.hidden": (32,), "policy.memory": "gru",
        "policy.memory_size": 16, "algo.alpha": 0.1, "algo.updates": 100,
    }  # fmt: skip
    job = build("sac", Recall, **settings)
    run(job)
    assert job.evaluate(50).returns.mean() > 0.8
