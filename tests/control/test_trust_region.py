"""Natural gradient and TRPO: what they learn, what they equal, and that a step of theirs never costs true return."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import operant
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.natural_gradient import fit, step, weighed
from operant.control.trpo import improve, single_path
from operant.mdp import exact_policy_gradient
from reference.tabular_env import model

IDENTITY = {"env.num": 4, "algo.horizon": 64, "algo.discount": 0.4, "algo.radius": 0.02, "algo.damping": 1e-3}
IDENTITY |= {"algo.iterations": 5, "algo.critic_epochs": 2}
TABULAR = f"{Path(__file__).parents[1] / 'reference' / 'tabular_env.py'}:Tabular"
KINDS = [{"kind": "discrete"}, {"kind": "multidiscrete"}, {"kind": "multibinary"}, {"kind": "box", "tolerance": 0.5}]


def build(algorithm, env, **overrides):
    return builder_of(algorithm)(resolve(algorithm, env, overrides=overrides, source="argument").config, env)


def run(job, steps=None):
    rows = []
    while job.counter.steps < (steps or job.total_steps):
        rows.append({name: float(x) for name, x in next(job.algorithm).items()})
    return rows


def parameters(module):
    return torch.cat([p.detach().ravel() for p in module.parameters()])


def in_double(traj):
    names = ("obs", "action", "logp", "reward")
    return replace(traj, **{n: x.double() for n in names if (x := getattr(traj, n)).is_floating_point()})


@pytest.mark.spread(3)
@pytest.mark.parametrize("algorithm", ["natural-gradient", "trpo"])
@pytest.mark.parametrize("kwargs", KINDS, ids=lambda kwargs: kwargs["kind"])
def test_identity_is_learnt_in_5000_steps(algorithm, kwargs):
    job = build(algorithm, "operant.env.probe:identity", total_steps=5000, **IDENTITY, **{"env.kwargs": kwargs})
    run(job, 4800)
    assert job.counter.steps <= 5000
    assert job.evaluate(10).returns.mean() >= 90


@pytest.mark.parametrize("algorithm", ["natural-gradient", "trpo"])
def test_a_time_limit_is_not_a_termination(algorithm):
    settings = {"env.num": 2, "algo.horizon": 64, "algo.discount": 0.98, "algo.critic_lr": 1e-2, "algo.iterations": 2}
    job = build(algorithm, "operant.env.probe:four_state", total_steps=9000, **settings)
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 50.0, rtol=0.02)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_divergence_is_within_the_radius_and_the_largest_is_told(env):
    rows = run(build("trpo", env, **{"algo.horizon": 64, "algo.radius": 0.02}), 2048)
    assert all(row["policy/kl"] <= 0.02 for row in rows)
    assert all(row["policy/kl"] <= row["policy/kl_max"] for row in rows)
    assert any(row["update/accepted"] for row in rows)
    assert all(row["policy/gain"] > 0 for row in rows if row["update/accepted"])


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_short_step_of_trpo_is_a_natural_step(env):
    """Where the first try is accepted TRPO is the natural gradient of that length."""
    agents = []
    for name in ("trpo", "natural-gradient"):
        settings = {
            "env.num": 4,
            "algo.radius": 1e-5,
            "algo.damping": 0.1,
            "algo.iterations": 15,
            "algo.discount": 0.99,
            "policy.normalize_reward": False,  # the preset of one has it
        }
        job = build(name, env, seed=4, **settings)
        cfg = resolve(name, env, overrides=settings).config.algo
        traj, agent = in_double(job.counter(128)), job.agent.double()
        before, (adv, _) = parameters(agent.policy), weighed(cfg, traj, agent)
        if name == "trpo":
            objective = single_path(adv, traj.acted, whitened=True)
            told = improve(cfg, agent.policy, traj.seen, traj.action, traj.acted, objective)
            assert told["update/tries"] == 1
        else:
            step(cfg, agent, traj, adv)
        agents.append(agent)
    ours, theirs = (parameters(agent.policy) for agent in agents)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    assert not torch.equal(before, ours)


def test_where_nothing_is_accepted_the_policy_stays_as_it_was():
    job = build("trpo", "CartPole-v1", **{"algo.horizon": 64})
    agent, traj = job.agent, job.counter(64)
    cfg = resolve("trpo", "CartPole-v1", overrides={"algo.radius": 1e-30}).config.algo
    adv, _ = weighed(cfg, traj, agent)
    before = [p.clone() for p in agent.policy.parameters()]
    objective = single_path(adv, traj.acted, whitened=True)
    told = improve(
        cfg, agent.policy, traj.seen, traj.action, traj.acted, objective
    )  # float32 has no step as short as that
    assert told["update/accepted"] == 0
    assert all(torch.equal(p, q) for p, q in zip(agent.policy.parameters(), before, strict=True))


# ---------------------------------------------------------------------------------------------------- by hand
def sb3_contrib(net, log_std, obs, action, adv, *, radius, damping, products, shrink, tries):
    """One actor's update as sb3-contrib 2.8 does it (`trpo.py`), written out for a normal policy of a perceptron."""
    dist = torch.distributions.Normal
    theta = [log_std, *net.parameters()]  # the order decides no number
    adv = (adv - adv.mean()) / (adv.std() + 1e-8)
    with torch.no_grad():
        old = dist(net(obs), log_std.exp())
        old = dist(old.mean.clone(), old.stddev.clone())
        old_logp = old.log_prob(action).sum(-1)

    def objective():
        return (adv * (dist(net(obs), log_std.exp()).log_prob(action).sum(-1) - old_logp).exp()).mean()

    def kl():
        return torch.distributions.kl_divergence(old, dist(net(obs), log_std.exp())).sum(-1).mean()

    g = torch.cat([x.ravel() for x in torch.autograd.grad(objective(), theta)])
    slope = torch.cat([x.ravel() for x in torch.autograd.grad(kl(), theta, create_graph=True)])

    def hvp(v):
        return torch.cat([x.ravel() for x in torch.autograd.grad(slope @ v, theta, retain_graph=True)]) + damping * v

    x, residual = torch.zeros_like(g), g.clone()
    direction, square = residual.clone(), residual @ residual
    for _ in range(products):
        product = hvp(direction)
        alpha = square / (direction @ product)
        x, residual = x + alpha * direction, residual - alpha * product
        square, beta = residual @ residual, residual @ residual / square
        if square < 1e-10:
            break
        direction = residual + beta * direction
    x = x * (2 * radius / (x @ hvp(x))).sqrt()
    start, before = [p.detach().clone() for p in theta], objective()
    with torch.no_grad():
        for k in range(tries):
            for p, s, part in zip(theta, start, x.split([p.numel() for p in theta]), strict=True):
                p.copy_(s + shrink**k * part.view_as(p))
            if kl() < radius and objective() > before:
                return
    raise AssertionError("nothing was accepted")


def test_an_update_is_that_of_sb3_contrib():
    """On one batch of Pendulum in float64: the policy after the update, and the critic after its ten epochs."""
    settings = {"algo.horizon": 128, "env.num": 2, "seed": 3, "algo.batch": 128, "algo.critic_epochs": 10}
    settings |= {"policy.normalize_reward": False, "algo.radius": 0.01, "algo.damping": 0.1, "algo.iterations": 15}
    job = build("trpo", "Pendulum-v1", **settings)
    cfg = resolve("trpo", "Pendulum-v1", overrides=settings).config.algo
    traj, agent = in_double(job.counter(128)), job.agent.double()
    adv, target = weighed(cfg, traj, agent)
    keep = traj.acted

    class Net(nn.Sequential):
        def __init__(self, mlp):
            layers = [copy.deepcopy(layer) for layer in mlp.layers]
            super().__init__(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])

    net, critic = Net(agent.policy.net), Net(agent.critic.net)
    log_std = agent.policy.log_std.detach().clone().requires_grad_()
    told = improve(
        cfg, agent.policy, traj.seen, traj.action, keep, single_path(adv, keep, whitened=True)
    )  # fmt: skip
    assert told["update/accepted"] == 1
    sb3_contrib(
        net, log_std, traj.seen[keep], traj.action[keep], adv[keep],
        radius=cfg.radius, damping=cfg.damping, products=cfg.iterations, shrink=cfg.shrink, tries=cfg.tries,
    )  # fmt: skip
    torch.testing.assert_close(agent.policy.log_std, log_std, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(parameters(agent.policy.net), parameters(net), rtol=1e-6, atol=1e-8)

    optimizer = torch.optim.Adam(agent.critic.parameters(), lr=cfg.critic_lr, eps=cfg.adam_eps)
    fit(cfg, agent, optimizer, traj, target, np.random.default_rng(5))
    generator, theirs = np.random.default_rng(5), torch.optim.Adam(critic.parameters(), lr=1e-3, eps=2e-5)
    for _ in range(10):  # (V − R)² without the ½, which is twice the gradient, so twice the ε
        for index in np.split(generator.permutation(256), [128]):
            loss = nn.functional.mse_loss(critic(traj.seen[keep][index])[:, 0], target[keep][index])
            theirs.zero_grad()
            loss.backward()
            theirs.step()
    torch.testing.assert_close(parameters(agent.critic.net), parameters(critic), rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------------------------------------------- true return
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", ["trpo", "natural-gradient"])
def test_every_accepted_step_raises_the_true_return_of_a_table(seed, algorithm):
    """A softmax table on a random model: the exact return before and after each update of large segments."""
    mdp = model(seed)
    settings = {"env.num": 8, "algo.horizon": 300, "algo.discount": 0.9, "algo.batch": 600, "policy.hidden": ()}
    job = build(algorithm, TABULAR, seed=seed, **settings, **{"algo.radius": 0.02, "env.kwargs": {"seed": seed}})

    def exact():
        with torch.no_grad():
            return exact_policy_gradient(mdp, job.agent.policy.output(torch.eye(4)).double().numpy()).objective

    returns = [exact()]
    for _ in range(5):
        metrics = next(job.algorithm)
        assert metrics.get("update/accepted", 1) == 1
        returns.append(exact())
    assert np.all(np.diff(returns) > 0), returns
    assert returns[-1] - returns[0] > 0.25 * (operant.mdp.solve(mdp).values @ mdp.start - returns[0])


@pytest.mark.parametrize("algorithm", ["natural-gradient", "trpo"])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(algorithm, tmp_path):
    from safetensors.torch import load_file

    settings = {"env.num": 2, "algo.horizon": 64, "save.every": 256, "eval.episodes": 2, "quiet": True}
    settings |= {"save.videos": False, "save.report": False}
    whole = operant.train(algorithm, "Pendulum-v1", runs=tmp_path / "a", total_steps=1024, **settings)
    part = operant.train(algorithm, "Pendulum-v1", runs=tmp_path / "b", total_steps=512, **settings)
    longer = operant.resume(part.path, to=1024, quiet=True)
    for file in ("model.safetensors", "optim.safetensors"):
        ours, theirs = (load_file(r.path / "checkpoints" / "latest" / file) for r in (whole, longer))
        assert all(torch.equal(x, theirs[name]) for name, x in ours.items())


def test_the_natural_step_has_its_length():
    job = build("natural-gradient", TABULAR, **{"algo.horizon": 256, "policy.hidden": ()})
    traj, agent = in_double(job.counter(256)), job.agent.double()
    for radius in (1e-6, 1e-5):
        overrides = {"algo.radius": radius, "algo.damping": 1e-6}
        cfg = resolve("natural-gradient", "CartPole-v1", overrides=overrides).config.algo
        told = step(cfg, agent, traj, weighed(cfg, traj, agent)[0])
        assert float(told["policy/kl"]) == pytest.approx(radius, rel=0.05)


@pytest.mark.parametrize("algorithm", ["natural-gradient", "trpo", "ppo-lagrangian"])
@pytest.mark.parametrize("memory", ["lstm", "gru"])
def test_policies_that_remember_are_trained_on_whole_rows(algorithm, memory):
    settings = {
        "policy.memory": memory,
        "policy.memory_size": 8,
        "algo.horizon": 16,
        "env.num": 4,
        "algo.discount": 0.9,
    }
    job = build(algorithm, TABULAR, **settings)
    before = parameters(job.agent.policy)
    rows = [next(job.algorithm) for _ in range(2)]
    assert all(np.isfinite(float(x)) for row in rows for x in row.values())
    assert not torch.equal(before, parameters(job.agent.policy))


@pytest.mark.parametrize("algorithm", ["natural-gradient", "trpo"])
def test_a_trunk_for_both_is_refused_and_none_is_the_default(algorithm):
    with pytest.raises(operant.ConfigError, match=r"policy\.shared is on, but"):
        build(algorithm, "CartPole-v1", **{"policy.memory": "gru", "policy.shared": True})
    assert not build(algorithm, "CartPole-v1", **{"policy.memory": "gru"}).agent.spec.shared
