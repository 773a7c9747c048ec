"""A model that is learnt, and plans in it."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

import operant
from operant.config.errors import ConfigError
from operant.control.dynamics import Dynamics
from operant.control.pets import bootstrap
from operant.control.planner import Planner
from reference.resumed import assert_resumes

FEW = {
    "policy.hidden": (32,), "algo.population": 30, "algo.elites": 6, "algo.iterations": 2, "algo.particles": 4,
    "algo.models": 2, "algo.horizon": 5, "algo.train_freq": 20, "algo.learning_starts": 60, "algo.gradient_steps": 10,
    "algo.batch": 32, "algo.updates": 2, "eval.episodes": 2,
}  # fmt: skip


class Point(gymnasium.Env):
    """A point is to be brought to 0: x' = x + ½ a, for the reward −x'²; beyond 2 it falls off."""

    observation_space, action_space = spaces.Box(-9, 9, (1,), np.float32), spaces.Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1.5, 1.5, 1), 0
        return self.x.astype(np.float32), {}

    def step(self, a):
        self.x, self.t = self.x + 0.25 * a, self.t + 1  # half of what lies in [-1, 1]
        fell = bool(abs(self.x[0]) > 2.0)
        return self.x.astype(np.float32), -float(self.x[0] ** 2), fell, self.t == 10, {}


def model(hidden=(16,), models=3, observed=2, acted=1):
    made = Dynamics(observed, acted, hidden, models, torch.Generator().manual_seed(1))
    g = torch.Generator().manual_seed(2)
    rows = [torch.randn(40, n, generator=g) for n in (observed, acted, observed)] + [torch.randn(40, generator=g)]
    made.observe(*rows)
    return made, rows


def test_the_loss_is_that_of_a_slow_loop():
    made, (obs, action, next_obs, reward) = model()
    ended, weight = torch.arange(40) % 7 == 0, bootstrap(np.arange(40), 3)
    mean_in, mean_out = made.inputs.mean.float(), made.outputs.mean.float()
    dev_in, dev_out = (1e-8 + made.inputs.var).sqrt().float(), (1e-8 + made.outputs.var).sqrt().float()
    total = 0.0
    for k in range(3):
        own = 0.0
        for row in range(40):
            x = (torch.cat((obs[row], action[row])) - mean_in) / dev_in
            for n, layer in enumerate(made.layers):
                x = (x if n == 0 else x * torch.sigmoid(x)) @ layer.weight[k] + layer.bias[k, 0]
            mean, log_var, end = x[:3], x[3:6], x[6]
            log_var = made.high - softplus(made.high - log_var)
            log_var = made.low + softplus(log_var - made.low)
            y = (torch.cat((next_obs[row] - obs[row], reward[row : row + 1])) - mean_out) / dev_out
            told = 0.5 * ((y - mean) ** 2 / log_var.exp() + log_var).sum()
            own = own + weight[k, row] * (told + binary_cross_entropy_with_logits(end, ended[row].float()))
        total = total + own / weight[k].sum()
    total = total + 0.01 * (made.high - made.low).sum()
    assert torch.allclose(made.loss(obs, action, next_obs, reward, ended, weight), total, rtol=1e-5)


@pytest.mark.parametrize("mix", [False, True])
def test_what_plans_bring_is_that_of_a_slow_loop(mix):
    made, (obs, *_) = model()
    plans = torch.rand(2, 4, 3, 1, generator=torch.Generator().manual_seed(3)) * 2 - 1
    got = made.returns(obs[:2], plans, particles=6, generator=np.random.default_rng(5), mix=mix)
    draws, networks = np.random.default_rng(5), np.arange(6) // 2  # two particles of each of three networks
    mean_in, mean_out = made.inputs.mean.float(), made.outputs.mean.float()
    dev_in, dev_out = (1e-8 + made.inputs.var).sqrt().float(), (1e-8 + made.outputs.var).sqrt().float()
    state = {(p, n, k): obs[n] for p in range(6) for n in range(2) for k in range(4)}
    total, alive = dict.fromkeys(state, 0.0), dict.fromkeys(state, 1.0)
    for t in range(3):
        noise = draws.standard_normal((3, 2 * 2 * 4, 3), np.float32).reshape(6, 2, 4, 3)
        for p, n, k in state:
            x = (torch.cat((state[p, n, k], plans[n, k, t])) - mean_in) / dev_in
            with torch.no_grad():
                mean, log_var, end = (y[networks[p], 0] for y in made(x.expand(3, 1, -1)))
            y = (mean + (0.5 * log_var).exp() * torch.from_numpy(noise[p, n, k])) * dev_out + mean_out
            total[p, n, k] += alive[p, n, k] * float(y[-1])
            alive[p, n, k] *= 1.0 - float(torch.sigmoid(end))
            state[p, n, k] = state[p, n, k] + y[:-1]
        if mix:  # those that were in other places stand here now
            order = draws.permutation(6)
            state, total, alive = ({(p, n, k): of[order[p], n, k] for p, n, k in of} for of in (state, total, alive))
    slow = torch.tensor([[sum(total[p, n, k] for p in range(6)) / 6 for k in range(4)] for n in range(2)])
    assert torch.allclose(got, slow, atol=1e-4)


def test_each_network_has_a_bootstrap_of_its_own_that_stays():
    counts = bootstrap(np.arange(20_000), 3).numpy()
    assert np.abs(counts.mean(1) - 1.0).max() < 0.03
    assert np.abs(counts.var(1) - 1.0).max() < 0.05
    assert np.abs(np.corrcoef(counts) - np.eye(3)).max() < 0.03
    assert (bootstrap(np.arange(100, 200), 3).numpy() == counts[:, 100:200]).all()


def test_networks_differ_where_they_have_seen_nothing():
    """Trained on x in [-1, 1] they agree there, and not far from it: what is not known yet."""
    made = Dynamics(1, 1, (32, 32), 3, torch.Generator().manual_seed(1))
    obs, action = torch.rand(400, 1) * 2 - 1, torch.rand(400, 1) * 2 - 1
    rows = obs, action, obs + 0.5 * torch.sin(3 * obs) + 0.2 * action, -(obs.squeeze(-1) ** 2)
    made.observe(*rows)
    weight, none = bootstrap(np.arange(400), 3), torch.zeros(400, dtype=torch.bool)
    optimizer = torch.optim.Adam(made.parameters(), 5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        made.loss(*rows, none, weight).backward()
        optimizer.step()
    assert float(made.error(*rows)) < 0.05
    with torch.no_grad():
        apart = [float(made(made._read(x, action).expand(3, -1, -1))[0].std(0).mean()) for x in (obs, obs + 6.0)]
    assert apart[1] > 5 * apart[0]


@pytest.mark.parametrize("planner", ["cross-entropy", "path-integral"])
def test_a_point_is_brought_to_rest(planner):
    settings = FEW | {"algo.gradient_steps": 40, "algo.lr": 5e-3, "algo.iterations": 3, "algo.planner": planner}
    loop, agent = operant.loop("pets", Point, total_steps=240, seed=1, **settings)
    metrics = [m for m, _ in zip(loop, range(6), strict=False)]
    assert float(metrics[-1]["model/error"]) < 0.3
    x = start = np.array([[-1.5], [-0.4], [0.0], [0.3], [1.2]], np.float32)
    agent.forget()
    for _ in range(6):
        x = x + 0.25 * agent.decide(x)
    assert np.abs(x).max() < 0.4
    assert (agent.estimate(start)[[0, 4]] < agent.estimate(start)[2]).all()


def test_a_plan_is_gone_on_with_until_the_episode_ends():
    _, agent = operant.loop("pets", Point, total_steps=60, seed=1, **FEW)
    x = np.array([[-1.0], [1.0]], np.float32)
    first = agent.decide(x)
    again = agent.decide(x)
    assert not np.allclose(first, again)  # from what is left of the first
    agent.forget(np.array([True, False]))
    assert np.allclose(agent.decide(x)[0], first[0])
    agent.forget()
    assert np.allclose(agent.decide(x), first)


def test_it_goes_on_bit_for_bit(tmp_path):
    assert_resumes(tmp_path, "pets", f"{__name__}:Point", every=80, **FEW)


def test_a_stored_planner_decides_as_it_did(tmp_path):
    run = operant.train("pets", Point, total_steps=100, runs=tmp_path, quiet=True, **FEW | {"save.videos": False})
    policy, x = run.policy, np.array([0.7], np.float32)
    assert isinstance(policy, Planner)
    policy.forget()
    first = policy.act(x)
    again = operant.Run(run.path, trust=True).policy
    assert np.array_equal(again.act(x), first)
    assert Point.action_space.contains(first)


def test_what_it_cannot_plan_is_said():
    with pytest.raises(ConfigError, match="plans numbers"):
        operant.loop("pets", "CartPole-v1", total_steps=60)
    for wrong, said in (
        ({"algo.particles": 3}, "no multiple of models 2"),
        ({"algo.elites": 99}, "elites 99 are more"),
    ):
        with pytest.raises(ConfigError, match=said):
            operant.loop("pets", Point, total_steps=60, **FEW | wrong)


def test_ends_are_foreseen():
    """Off the edge there is no more reward: where staying costs less than falling does not end it, it falls."""
    made = Dynamics(1, 1, (32,), 2, torch.Generator().manual_seed(1))
    obs, action = torch.rand(600, 1) * 4 - 2, torch.rand(600, 1) * 2 - 1
    rows = obs, action, obs + action, -torch.ones(600)
    ended = (obs + action).abs().squeeze(-1) > 2.0
    made.observe(*rows)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        made.loss(*rows, ended, torch.ones(2, 600)).backward()
        optimizer.step()
    plans = torch.tensor([[[[1.0]] * 4, [[0.0]] * 4]])  # over the edge, or where it is
    over, stays = made.returns(torch.tensor([[1.5]]), plans, particles=2, generator=np.random.default_rng(0))[0]
    assert abs(float(over) + 1.0) < 0.3
    assert abs(float(stays) + 4.0) < 0.6
