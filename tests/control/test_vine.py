"""TRPO's second way to sample: the simulator goes back, and several actions are tried with the same random numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from operant.config.errors import ConfigError, EnvError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.setup import on_policy
from operant.control.vine import Vine, one_copy
from operant.env import make
from operant.math.objective import self_normalised_surrogate
from operant.mdp import evaluate, exact_policy_gradient
from reference.resumed import assert_resumes
from reference.tabular_env import model

TABULAR = f"{Path(__file__).parents[1] / 'reference' / 'tabular_env.py'}:Tabular"
SMALL = {"algo.sampling": "vine", "algo.horizon": 64, "algo.states": 16, "algo.branches": 4, "algo.length": 10}


def config(env, **overrides):
    return resolve("trpo", env, overrides=SMALL | overrides, source="argument").config


def vine(env, **overrides):
    cfg = config(env, **overrides)
    return Vine(cfg.algo, on_policy(one_copy(cfg), env))


def test_the_surrogate_is_that_of_the_paper():
    gen = torch.Generator().manual_seed(0)
    logp, old, q = (torch.randn(5, 3, generator=gen, dtype=torch.float64) for _ in range(3))
    ratio = (logp - old).exp()
    want = -((ratio * q).sum(-1) / ratio.sum(-1)).mean()
    shift = q.mean(-1).mean()  # each state's own mean is left out, which no gradient sees
    torch.testing.assert_close(self_normalised_surrogate(logp, old, q)[0], want + shift)
    logp = old.clone().requires_grad_()
    (got,) = torch.autograd.grad(self_normalised_surrogate(logp, old, q)[0], logp)
    torch.testing.assert_close(got, -(q - q.mean(-1, keepdim=True)) / 15)
    (far,) = torch.autograd.grad(self_normalised_surrogate(logp, old, q + 1e3)[0], logp)
    torch.testing.assert_close(far, got)


def test_at_one_state_its_variance_is_below_that_of_single_paths():
    """The gradient by the logits of one state, of as many rollouts from it, each estimate 200 times."""
    discount, actions, times = 0.9, 4, 200
    collector = vine(TABULAR, **{"algo.branches": actions, "algo.length": 40, "env.kwargs": {"length": 200}})
    env, state = collector._env, torch.eye(4)[1]
    generator = np.random.default_rng(0)
    with torch.no_grad():
        policy = collector.parts.agent.policy.output(torch.eye(4)).double().softmax(-1)
    exact = evaluate(model(0, discount), policy.numpy().ravel())
    score = torch.eye(3, dtype=torch.float64) - policy[1]  # ∇ log π(a|s) by the logits, for each a
    tried = collector.try_actions([somewhere(env, generator) for _ in range(times)], state.expand(times, 4))
    q = tried.q.double() - tried.q.double().mean(-1, keepdim=True)
    branched = (score[tried.action] * q[..., None]).sum(1) / (actions - 1)

    single = []
    for _ in range(times):
        total = torch.zeros(3, dtype=torch.float64)
        for _ in range(actions):  # as many rollouts, each with noise of its own and the exact value as its baseline
            action = collector._sample(state[None].numpy(), generator)[0]
            G, weight, last = collector._follow(somewhere(env, generator), action, int(generator.integers(2**62)))
            G += weight * float(exact.values[int(last.argmax())])
            total += score[int(action[0])] * (G - exact.values[1]) / actions
        single.append(total)
    single = torch.stack(single)
    want = (score * (policy[1] * torch.from_numpy(exact.advantages.reshape(4, 3)[1]))[:, None]).sum(0)
    for estimate in (branched, single):  # both are right on average
        error = (estimate.mean(0) - want).abs()
        assert (error < 5 * estimate.std(0) / times**0.5 + 0.02).all()
    assert branched.var(0).sum() < 0.7 * single.var(0).sum()


def somewhere(env, generator):
    """State 1 at the start of an episode, with random numbers to come that no other has."""
    bare = env._envs[0].unwrapped
    bare.state, bare.time = 1, 0
    bare.np_random.bit_generator.state = np.random.PCG64(int(generator.integers(2**62))).state
    return env.save()


def test_tries_of_one_state_share_their_random_numbers():
    collector = vine("CartPole-v1")
    traj, tried = collector(64)
    assert tried.obs.shape == (16, 4, 4)
    assert tried.q.shape == tried.action.shape == (16, 4)
    assert collector.parts.collect.steps > 64 + 16 * 4
    assert int(traj.acted.sum()) == 64
    for actions, q in zip(tried.action, tried.q, strict=True):
        for a in (0, 1):
            assert len({float(x) for x in q[actions == a]}) <= 1  # the same action comes to the same, to the bit


def test_the_path_goes_on_where_it_stood():
    straight = on_policy(one_copy(config("CartPole-v1")), "CartPole-v1")
    branching = vine("CartPole-v1")
    branching.parts.collect.begin(make("CartPole-v1", 1, backend="inprocess"), 5)
    straight.collect.begin(make("CartPole-v1", 1, backend="inprocess"), 5)
    for _ in range(3):
        ours, _ = branching(20)
        assert torch.equal(ours.obs, straight.collect(20).obs)


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_it_raises_what_an_environment_pays(kind):
    settings = {
        "env.kwargs": {"kind": kind, "tolerance": 0.5},
        "algo.length": 1,
        "algo.discount": 0.4,
        "algo.horizon": 32,
    }
    settings |= {"algo.states": 32, "algo.radius": 0.05, "algo.damping": 1e-3, "algo.critic_epochs": 1}
    env = "operant.env.probe:identity"
    job = builder_of("trpo")(config(env, total_steps=5000, **settings), env)
    while job.counter.steps < 4800:
        next(job.algorithm)
    assert job.evaluate(10).returns.mean() >= 90


def test_it_raises_the_true_return_of_a_table():
    settings = {"algo.states": 64, "algo.branches": 6, "algo.length": 20, "algo.discount": 0.9, "policy.hidden": ()}
    job = builder_of("trpo")(config(TABULAR, **settings, **{"algo.damping": 1e-3}), TABULAR)

    def exact():
        with torch.no_grad():
            return exact_policy_gradient(model(0), job.agent.policy.output(torch.eye(4)).double().numpy()).objective

    returns = [exact()]
    for _ in range(3):
        next(job.algorithm)
        returns.append(exact())
    assert np.all(np.diff(returns) > 0), returns


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path):
    """Every iteration is 16 steps of a path and 4 · 2 · 4 of tries; a CartPole does not fall within them."""
    settings = SMALL | {"algo.horizon": 16, "algo.states": 4, "algo.branches": 2, "algo.length": 4}
    del settings["algo.sampling"]
    assert_resumes(
        tmp_path, "trpo", "Pendulum-v1", every=48 * 4, **settings, **{"algo.sampling": "vine", "algo.critic_epochs": 1}
    )


CODE = """
import threading
import numpy as np
from operant.env.probe import FourState


class Locked(FourState):
    def __init__(self, limit=50):
        super().__init__(limit)
        self.lock = threading.Lock()


class Stored(Locked):
    def state(self):
        return self._step

    def restore(self, state):
        self._step = state


class Shared(FourState):
    count = [0]

    def step(self, action):
        self.count[0] += 1
        state, _, *rest = super().step(action)
        return state, float(self.count[0]), *rest

    def __deepcopy__(self, memo):
        other = Shared(self.limit)
        other._step = self._step
        return other
"""


def test_what_cannot_be_copied_or_answers_differently_is_refused_and_its_own_state_is_taken(tmp_path):
    file = tmp_path / "env.py"
    file.write_text(CODE)
    with pytest.raises(EnvError, match=r"cannot be copied: .*state\(\) and restore\(state\)"):
        vine(f"{file}:Locked", **{"env.kwargs": {"limit": 50}})
    with pytest.raises(EnvError, match="answer the same actions differently"):
        vine(f"{file}:Shared", **{"env.kwargs": {"limit": 50}})
    stored = vine(f"{file}:Stored", **{"env.kwargs": {"limit": 50}})
    traj, tried = stored(64)
    assert torch.equal(traj.obs[0, :4], torch.eye(4))
    torch.testing.assert_close(tried.q, tried.q[:, :1].expand_as(tried.q))  # the actions do nothing there
    with pytest.raises(ConfigError, match="vine"):
        one_copy(config("CartPole-v1", **{"env.backend": "process"}))
