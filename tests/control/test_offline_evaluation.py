"""A policy valued from a data set: fitted Q against its exact solution, all estimators against the exact value."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant import mdp
from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.offline.evaluation import FQE, chances, evaluate_from_data, fitted_q
from operant.control.spec import AgentSpec
from operant.data.streams import Streams
from operant.env import DataSet, Episode
from operant.env.interface import Interface
from reference.episodes import played

S, A, GAMMA, LENGTH = 4, 2, 0.8, 25
RNG = np.random.default_rng(3)
CHANCE, REWARD = RNG.dirichlet(np.ones(S), (S, A)), RNG.normal(size=(S, A))
FAST = FQE(steps=700, batch=128, lr=0.03, tau=0.1, hidden=(), resamples=5)


def agent_of(seed, scale=1.0):
    """A tabular softmax policy over a choice."""
    between = Interface(spaces.Discrete(S), spaces.Discrete(A))
    spec = AgentSpec(**between.encoded(), obs_dim=S, action_kind="discrete", action_sizes=(A,), hidden=(), critics=1)
    agent = Agent(spec, torch.Generator().manual_seed(0))
    with torch.no_grad():
        weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(A, S)) * scale)
        agent.policy.net.layers[0].weight.copy_(weight)
    return agent


def policy_of(agent):
    found = chances(agent, torch.eye(S), False).detach().numpy().astype(float)
    return found / found.sum(1, keepdims=True)


def recorded(agent, episodes, seed):
    """Episodes of a policy from states drawn evenly, cut after `LENGTH` steps."""
    rng, policy = np.random.default_rng(seed), policy_of(agent)
    found = []
    for _ in range(episodes):
        s, seen, done, paid = int(rng.integers(S)), [], [], []
        for _ in range(LENGTH):
            a = int(rng.choice(A, p=policy[s]))
            seen.append(s), done.append(a), paid.append(REWARD[s, a])
            s = int(rng.choice(S, p=CHANCE[s, a]))
        ends = np.zeros((2, LENGTH), bool)
        ends[1, -1] = True
        found.append(
            Episode(
                observations=np.array([*seen, s]), actions=np.array(done), rewards=np.array(paid),
                terminations=ends[0], truncations=ends[1],
            )
        )  # fmt: skip
    return DataSet(episodes=found, observation_space=spaces.Discrete(S), action_space=spaces.Discrete(A))


def exact(policy):
    """V^π [S] of the whole future."""
    moves, paid = np.einsum("sa,sat->st", policy, CHANCE), (policy * REWARD).sum(1)
    return np.linalg.solve(np.eye(S) - GAMMA * moves, paid)


def least_squares(data, policy):
    """Q [S, A] that solves (Φᵀ(Φ − γ Φ'_π)) θ = Φᵀ r of the data: where fitted Q comes to rest (LSTD-Q)."""
    left, right = np.zeros((S * A, S * A)), np.zeros(S * A)
    for e in data.episodes:
        for s, a, r, t in zip(e.observations, e.actions, e.rewards, e.observations[1:], strict=False):
            at = s * A + a
            left[at, at] += 1
            left[at, t * A : (t + 1) * A] -= GAMMA * policy[t]
            right[at] += r
    return np.linalg.solve(left, right).reshape(S, A)


@pytest.mark.parametrize("deterministic", [False, True])
def test_fitted_q_comes_to_rest_where_least_squares_does(deterministic):
    agent, data = agent_of(1), recorded(agent_of(2), 60, 0)
    policy = chances(agent, torch.eye(S), deterministic).detach().numpy().astype(float)
    q, counts = fitted_q(agent, data, GAMMA, FAST, Streams(0), deterministic=deterministic)
    with torch.no_grad():
        found = q(torch.eye(S)).numpy()
    np.testing.assert_allclose(found[0], least_squares(data, policy), atol=0.2)
    drawn = data.chosen(np.repeat(np.arange(len(data)), counts[3].astype(int)))
    np.testing.assert_allclose(found[3], least_squares(drawn, policy), atol=0.25)


def test_every_estimator_is_near_the_exact_value_and_its_interval_holds_it():
    behaviour, agent = agent_of(2, 0.5), agent_of(1, 0.5)
    data = recorded(behaviour, 300, 1)
    found = evaluate_from_data(agent, data, behaviour=behaviour, discount=GAMMA, deterministic=False, fqe=FAST)
    want = float(exact(policy_of(agent)).mean())
    assert set(found) == {
        "fqe", "ordinary", "weighted", "per-decision", "weighted-per-decision", "doubly-robust",
        "weighted-doubly-robust",
    }  # fmt: skip
    for name in ("fqe", "per-decision", "weighted-per-decision", "doubly-robust", "weighted-doubly-robust"):
        its = found[name]
        assert abs(its.value - want) < 0.25, name
        assert its.low - 0.15 <= want <= its.high + 0.15, name
        assert its.low < its.value < its.high
    assert found["doubly-robust"].high - found["doubly-robust"].low < found["ordinary"].high - found["ordinary"].low
    assert 1 < found["ordinary"].episodes < 300
    assert abs(float(exact(policy_of(behaviour)).mean()) - want) > 0.2  # it is not the value of who acted


def test_a_mode_is_valued_by_fitted_q_alone():
    behaviour, agent = agent_of(2, 0.5), agent_of(1)
    found = evaluate_from_data(agent, recorded(behaviour, 60, 2), behaviour=behaviour, discount=GAMMA, fqe=FAST)
    mode = chances(agent, torch.eye(S), True).numpy()
    assert set(found) == {"fqe"}
    assert abs(found["fqe"].value - float(exact(mode).mean())) < 0.4


def test_the_same_seed_gives_the_same_estimate():
    agent, data = agent_of(1), recorded(agent_of(2), 10, 3)
    short = FQE(steps=20, batch=16, resamples=3)
    assert evaluate_from_data(agent, data, fqe=short) == evaluate_from_data(agent, data, fqe=short)


def test_numbers_are_valued_as_their_policy_squashes_or_bounds_them():
    """A reward of −(a − 0.25)² at once: a policy that always does a is worth that, whatever the data's actions were."""
    low, high = np.array([-1.0], np.float32), np.array([3.0], np.float32)

    class Aim(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (1,), np.float32), spaces.Box(low, high)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), -float((action[0] - 0.25) ** 2), True, False, {}

    data = played(Aim(), count=400, steps=1)
    for squash, bias in ((True, 0.5), (False, 1.5), (False, 9.0)):  # the last lies outside of the bounds
        between = Interface(Aim.observation_space, Aim.action_space)
        spec = AgentSpec(
            **between.encoded(), obs_dim=1, action_kind="box", action_sizes=(1,), hidden=(), squash=squash,
            std="none" if squash else "parameter", critics=int(squash), log_std_init=-3.0,
        )  # fmt: skip
        agent = Agent(spec, torch.Generator().manual_seed(0))
        with torch.no_grad():
            agent.policy.net.layers[0].bias.fill_(bias)
        does = float(agent.act(np.zeros(1, np.float32))[0])
        its = FQE(steps=400, batch=64, lr=1e-2, hidden=(32, 32), resamples=2)
        found = evaluate_from_data(agent, data, fqe=its)
        assert found["fqe"].value == pytest.approx(-((does - 0.25) ** 2), rel=0.1, abs=0.3), (squash, bias)


def test_what_cannot_be_valued_is_refused_in_words():
    between = Interface(spaces.Discrete(S), spaces.Discrete(A))
    data = recorded(agent_of(0), 3, 0)
    remembers = AgentSpec(
        **between.encoded(), obs_dim=S, action_kind="discrete", action_sizes=(A,), memory="gru", memory_size=4
    )
    with pytest.raises(ConfigError, match="remembers"):
        evaluate_from_data(Agent(remembers), data)
    unknown = AgentSpec(obs_dim=S, action_kind="discrete", action_sizes=(A,))
    with pytest.raises(ConfigError, match="does not say what spaces"):
        evaluate_from_data(Agent(unknown), data)
    several = Interface(spaces.Discrete(S), spaces.MultiBinary(2))
    spec = AgentSpec(**several.encoded(), obs_dim=S, action_kind="multibinary", action_sizes=(2,))
    with pytest.raises(ConfigError, match="multibinary"):
        evaluate_from_data(Agent(spec), data)


def test_it_is_the_face_and_agrees_with_the_model_of_the_same_data():
    """On plenty of data fitted Q is `mdp.evaluate`'s value of the policy."""
    from operant.control import evaluate_from_data as face

    agent = agent_of(1)
    model = mdp.MDP.from_arrays(CHANCE.swapaxes(0, 1), REWARD, discount=GAMMA)
    want = float(np.asarray(mdp.evaluate(model, policy_of(agent)).values).mean())
    data = recorded(agent_of(2, 0.3), 400, 5)
    found = face(agent, data, discount=GAMMA, deterministic=False, fqe=FAST)
    assert abs(found["fqe"].value - want) < 0.2
