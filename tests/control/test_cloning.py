"""Behaviour cloning: its likelihoods, what they are to one another and to fine-tuning, and what it learns."""

import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.control.agent import Agent, AgentSpec
from operant.control.distributions import Parameters
from operant.control.imitation.bc import Passes
from operant.control.imitation.likelihood import likelihood_of
from operant.control.multimodal import LOG_STD, Discretised, Mixture
from operant.control.settings.imitation import BCConfig
from operant.data.streams import Streams
from operant.env import make_one
from operant.env.imitated import Lane, bend_of, driver, skier
from operant.env.interface import Interface
from operant.env.minari import write_data
from operant.math.density import histogram_logp, mixture_logp, squared_distance
from operant.math.objective import nll
from reference import distributions as slow
from reference.episodes import played
from reference.resumed import QUIET, assert_resumes
from reference.rows import close

pytest.importorskip("h5py")
TREE, LANE = "operant.env.imitated:tree", "operant.env.imitated:lane"


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- densities
@pytest.mark.parametrize("seed", range(5))
def test_densities_equal_their_loops(seed):
    n, k, d = 7, 1 + seed, 3 - seed % 3
    logits, mean, log_std, x = normal(seed, n, k), normal(9, n, k, d), normal(8, n, k, d), normal(7, n, d)
    want = []
    for i in range(n):
        w = slow.softmax(logits[i].tolist())
        parts = [w[j] * math.exp(slow.normal_logp(mean[i, j], log_std[i, j], x[i])) for j in range(k)]
        want.append(math.log(sum(parts)))
    close(mixture_logp(logits, mean, log_std, x), want)
    low, high, bins = torch.linspace(-1, 0, d).double(), torch.linspace(1, 5, d).double(), 4
    logits, x, want = normal(6, n, d, bins), 3.0 * x, []
    for i in range(n):
        total = 0.0
        for j in range(d):
            width = float(high[j] - low[j]) / bins
            place = min(max(math.floor((float(x[i, j]) - float(low[j])) / width), 0), bins - 1)
            total += math.log(slow.softmax(logits[i, j].tolist())[place] / width)
        want.append(total)
    close(histogram_logp(logits, x, low, high), want)
    want = [0.5 * sum((a - b) ** 2 for a, b in zip(x[i], mean[i, 0], strict=True)) for i in range(n)]
    close(squared_distance(mean[:, 0], x), want)


def test_a_density_is_one_in_all():
    grid = torch.linspace(-8, 8, 40_001).unsqueeze(-1)
    its = Mixture(1, 3)
    p = Parameters(torch.tensor([0.3, -1.0, 2.0, -1.0, 0.0, 2.0, 0.0, 1.2, -1.0]).expand(len(grid), -1))
    assert float(its.logp(p, grid).exp().sum() * 16 / 40_000) == pytest.approx(1.0, abs=1e-3)
    bins = Discretised(1, 5, torch.tensor([-2.0]), torch.tensor([3.0]))
    inside = torch.linspace(-2, 3, 50_001)[:-1].unsqueeze(-1)
    p = Parameters(torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5]).expand(len(inside), -1))
    assert float(bins.logp(p, inside).exp().sum() * 5 / 50_000) == pytest.approx(1.0, abs=1e-3)


def test_one_component_is_a_normal_distribution_and_its_mode_is_that_of_the_heaviest():
    from operant.control.distributions import Normal

    output, action = 0.5 * torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.randn(20, 2)
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 4.0])
    one, plain = Mixture(2, 1, low, high), Normal(2, "network")
    _, mean, log_std = one._parts(Parameters(output))
    want = plain.logp(Parameters(torch.cat([mean[:, 0], log_std[:, 0]], 1)), action)
    assert torch.allclose(one.logp(Parameters(output), action), want, atol=1e-5)
    assert torch.allclose(mean[:, 0, 1] - 2.0 * output[:, 2], mean[0, 0, 1] - 2.0 * output[0, 2], atol=1e-5)
    two = Mixture(1, 2)  # the second one is heavier
    p = Parameters(torch.tensor([[0.0, 0.1, -1.0, 1.0, -1.0, 0.0]]))
    assert torch.equal(two.mode(p), two._parts(p)[1][:, 1])
    point = Parameters(torch.tensor([[0.0, 0.0, -1.0, 1.0, 0.0, -99.0]]))  # shrunk to a point
    assert float(two.logp(point, two._parts(point)[1][:, 1])) < -LOG_STD[0]


def test_components_begin_apart():
    for size in (1, 3):
        its = Mixture(size, 5)
        mean = its._parts(Parameters(torch.zeros(1, its.outputs)))[1][0]
        assert torch.cdist(mean, mean)[~torch.eye(5, dtype=torch.bool)].min() > 0.2
        assert mean.abs().max() <= 1.0


def test_a_mixture_refuses_its_divergence_in_words():
    p = Parameters(torch.zeros(1, 6))
    with pytest.raises(ConfigError, match="no closed form"):
        Mixture(1, 2).kl(p, p)


# ---------------------------------------------------------------------------------------------------- likelihoods
def agent_of(likelihood, **more):
    space = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (2,), np.float32))
    kinds = {"mixture": {"components": 4}, "discretised": {"bins": 8}}
    spec = AgentSpec(
        obs_dim=3, action_kind="box", action_sizes=(2,), hidden=(8,), **space.encoded(), **kinds.get(likelihood, {}),
        **more,
    )  # fmt: skip
    agent = Agent(spec, torch.Generator().manual_seed(1))
    return agent, likelihood_of(BCConfig(likelihood=likelihood), agent)


def gradient(agent, loss):
    agent.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in agent.policy.net.parameters()])


def test_squared_error_is_a_normal_likelihood_of_fixed_deviation_but_for_its_constant():
    obs, action = torch.rand(32, 3), torch.rand(32, 2) - 0.5
    (one, mse), (other, gaussian) = agent_of("mse"), agent_of("gaussian")
    acted = torch.ones(32, dtype=torch.bool)
    ours, theirs = nll(mse(obs, action), acted)[0], nll(gaussian(obs, action), acted)[0]
    assert float(theirs - ours) == pytest.approx(math.log(2 * math.pi), abs=1e-5)
    assert torch.allclose(gradient(one, ours), gradient(other, theirs), atol=1e-7)
    assert one.policy.log_std.grad is None
    narrow, likelihood = agent_of("gaussian", log_std_init=-1.0)
    loss = nll(likelihood(obs, action), acted)[0]
    assert torch.allclose(gradient(narrow, loss), math.e**2 * gradient(one, nll(mse(obs, action), acted)[0]), rtol=1e-4)


def test_cloning_of_choices_is_supervised_fine_tuning():
    """The same loss and the same gradient on the same data: of a language model's last layer, by both."""
    pytest.importorskip("transformers")
    from operant.language.learn.sft import _loss
    from reference.tiny_language import tiny_language

    model = tiny_language("llama")
    rows = torch.randint(0, model.vocab, (3, 12), generator=torch.Generator().manual_seed(0))
    acted = torch.rand(3, 11, generator=torch.Generator().manual_seed(1)) < 0.6
    part = SimpleNamespace(tokens=rows, acted=acted, position=None, segment=None, to=lambda _: part)
    told, _ = _loss(model, int(acted.sum()), part)
    told.backward()
    head = model.model.get_output_embeddings()
    with torch.no_grad():
        states = model.hidden(rows, None, None)[:, :-1][acted]
    width = states.shape[-1]
    agent = Agent(AgentSpec(obs_dim=width, action_kind="discrete", action_sizes=(model.vocab,), hidden=()))
    (layer,) = (m for m in agent.policy.net.modules() if isinstance(m, torch.nn.Linear))
    layer.weight.data.copy_(head.weight)
    layer.bias.data.zero_()
    logp_of = likelihood_of(BCConfig(likelihood="categorical"), agent)
    loss, _ = nll(logp_of(states, rows[:, 1:][acted]), torch.ones(len(states), dtype=torch.bool))
    loss.backward()
    assert float(loss) == pytest.approx(float(told), rel=1e-5)
    assert head.weight is not model.model.get_input_embeddings().weight
    assert torch.allclose(layer.weight.grad, head.weight.grad, rtol=1e-4, atol=1e-6)


def test_squashed_actions_are_learnt_between_their_bounds():
    for likelihood in ("mse", "gaussian"):
        agent, logp_of = agent_of(likelihood, squash=True)
        unit = torch.tensor([[1.0, -1.0], [0.0, 0.5]])  # the bounds themselves are finite too
        assert torch.isfinite(logp_of(torch.zeros(2, 3), unit)).all()
        its = agent.policy.distribution
        assert torch.allclose(its.unit(its.scaled(unit)), unit)


def test_a_pass_has_each_decision_once_wherever_it_begins():
    passes = Passes(10, Streams(3))
    one = [passes(4 * k, 4) for k in range(5)]
    assert sorted(torch.cat(one)[:10].tolist()) == list(range(10))
    assert sorted(torch.cat(one)[10:].tolist()) == list(range(10))
    assert torch.equal(Passes(10, Streams(3))(8, 4), one[2])
    assert torch.equal(Passes(3, Streams(3))(0, 20)[:3].sort().values, torch.arange(3))


# ---------------------------------------------------------------------------------------------------- runs
FAST = QUIET | {"policy.hidden": (32,), "algo.batch": 64, "algo.lr": 0.01, "algo.updates": 50, "seed": 101}


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """Of the skier, the driver, and CartPole at random."""
    home, generator = tmp_path_factory.mktemp("demos"), np.random.default_rng(7)
    down = played(make_one(TREE), 60, steps=20, act=partial(skier, generator=generator))
    road = played(Lane(25, 300), 6, steps=99, act=driver)
    cart = played("CartPole-v1", 8, steps=200)
    return {name: str(write_data(x, home / name)) for name, x in {"tree": down, "lane": road, "cart": cart}.items()}


def cloned(tmp_path, env, data, steps=300, **more):
    settings = FAST | {"data.path": data} | more
    return operant.train("bc", env, runs=tmp_path, total_steps=steps, **settings)


def skiers(demos, likelihood, steps=400):
    """A clone of the skier, driven by hand."""
    settings = {k: x for k, x in FAST.items() if k not in QUIET} | {"algo.likelihood": likelihood}
    loop, agent = operant.loop("bc", TREE, **settings | {"data.path": demos["tree"], "data.test_share": 0.0})
    for _ in range(steps // 50):
        next(loop)
    return agent


def comes_down(agent):
    """The share of runs in which it does not hit the tree."""
    env, down = make_one(TREE), []
    for k in range(20):
        obs, over = env.reset(seed=1000 + k)[0], False
        while not over:
            obs, reward, over, *_ = env.step(agent.act(obs))
        down.append(reward)
    return np.mean(down)


def test_the_mean_hits_the_tree_and_the_humps_do_not(demos):
    """Which way round the tree: what an expert did on both sides is not to be averaged."""
    for likelihood, share in (("mse", 0.0), ("mixture", 1.0), ("flow", 1.0), ("discretised", 1.0)):
        agent = skiers(demos, likelihood)
        act = float(agent.act(np.float32([0, 0]))[0])
        assert abs(act) < 0.4 if share == 0.0 else abs(act) > 0.8, (likelihood, act)
        assert comes_down(agent) == share, likelihood
    agent = skiers(demos, "mixture")
    rows = np.tile(np.float32([0, 0]), (200, 1))
    acts = agent.decide(rows, generator=np.random.default_rng(0))[:, 0]  # drawn, it goes round on both sides
    assert 0.2 < (acts > 0).mean() < 0.8
    assert (np.abs(acts) > 0.6).mean() > 0.85


def test_what_is_held_out_is_measured_and_not_learnt(demos, tmp_path):
    run = cloned(tmp_path, LANE, demos["lane"], 100, **{"data.test_share": 0.34})
    table = run.metrics
    assert table["test/loss"].notna().all()
    assert table["test/error"].iloc[-1] > 0.0  # views that were never seen
    assert table["loss/policy"].iloc[-1] < table["test/loss"].iloc[-1]
    none = cloned(tmp_path, LANE, demos["lane"], 50, **{"data.test_share": 0.0})
    assert "test/loss" not in none.metrics


def test_two_runs_are_equal(demos, tmp_path):
    runs = [cloned(tmp_path / str(k), "CartPole-v1", demos["cart"], 60) for k in range(2)]
    assert runs[0].metrics["loss/policy"].equals(runs[1].metrics["loss/policy"])
    assert runs[0].metrics["test/loss"].equals(runs[1].metrics["test/loss"])


def test_a_flow_resumes(demos, tmp_path):
    settings = {k: x for k, x in FAST.items() if k not in QUIET} | {"data.path": demos["tree"], "algo.updates": 10}
    assert_resumes(tmp_path, "bc", TREE, every=20, **settings, **{"algo.likelihood": "flow", "algo.flow_steps": 3})


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_it_resumes(demos, memory, tmp_path):
    settings = {k: x for k, x in FAST.items() if k not in QUIET} | {"data.path": demos["cart"], "algo.length": 8}
    settings |= {"policy.memory": memory, "policy.memory_size": 8, "policy.normalize_obs": True, "algo.updates": 10}
    assert_resumes(tmp_path, "bc", "CartPole-v1", every=20, **settings)


def test_the_best_episodes_alone(demos):
    said = []
    from operant.config.resolve import resolve
    from operant.control.imitation.bc import build

    cfg = resolve(
        "bc", "CartPole-v1", overrides={"data": demos["cart"], "data.best": 0.25, "data.test_share": 0}
    ).config
    build(cfg, "CartPole-v1", said.append)
    assert "Learns from 2 episodes" in said[0]


def test_changed_data_are_told_of(demos, tmp_path):
    run = cloned(tmp_path, "CartPole-v1", demos["cart"], 50)
    files = json.loads((run.path / "run.json").read_text())["sources"]["data.path"]["files"]
    assert set(files) == {"main_data.hdf5", "metadata.json"}


WRONG = {
    "no data": ({"data.path": ""}, "CartPole-v1", "name one with --data"),
    "none there": ({"data.path": "nowhere/at/all"}, "CartPole-v1", "there is no data set"),
    "another environment": ({}, "Acrobot-v1", "is of another environment"),
    "a density of choices": ({"algo.likelihood": "mixture"}, "CartPole-v1", "leave it at auto"),
    "too long": ({"policy.memory": "gru", "algo.length": 10_000}, "CartPole-v1", "give fewer"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_is_refused_in_words(demos, kind, tmp_path):
    settings, env, said = WRONG[kind]
    with pytest.raises(ConfigError, match=said):
        cloned(tmp_path, env, settings.pop("data.path", demos["cart"]), **settings)


def test_a_choice_of_continuous_actions_is_refused(demos, tmp_path):
    with pytest.raises(ConfigError, match="continuous: mse, gaussian"):
        cloned(tmp_path, TREE, demos["tree"], **{"algo.likelihood": "categorical"})
    settings = {"algo.likelihood": "mixture", "policy.squash": True}
    with pytest.raises(ConfigError, match="does not squash"):
        cloned(tmp_path, TREE, demos["tree"], **settings)


# ---------------------------------------------------------------------------------------------------- the worlds
def test_the_driver_stays_on_the_lane_and_comes_back():
    env = Lane(200, 300)
    obs, _ = env.reset(seed=0)
    bends = {bend_of(k) for k in range(300)}
    assert bends == {0, 1, 2}
    for _ in range(200):
        obs, reward, *_ = env.step(driver(obs))
        assert reward == 0.0
    env._offset = 3
    obs, left = env._next(), 0.0
    for _ in range(10):
        obs, reward, *_ = env.step(driver(obs))
        left += reward
    assert -9 < left < 0
    assert reward == 0.0


def test_the_skier_never_hits_the_tree():
    env, generator, sides = make_one(TREE), np.random.default_rng(0), []
    for k in range(50):
        obs, _ = env.reset(seed=k)
        over = False
        while not over:
            obs, reward, over, *_ = env.step(skier(obs, generator))
            sides += [np.sign(obs[1])] if abs(obs[1]) > 0.3 else []
        assert reward == 1.0
    assert 0.2 < np.mean(np.array(sides) > 0) < 0.8


def test_the_report_shows_where_a_clone_leaves_its_data(demos, tmp_path):
    run = cloned(tmp_path, "CartPole-v1", demos["cart"], 50, **{"save.report": True})
    told = json.loads((run.path / "departure.json").read_text())
    assert len(told["step"]) == len(told["outside"]) > 2
    assert all(0.0 <= share <= 1.0 for share in (*told["outside"], told["share"]))
    assert "Where it leaves its data" in (run.path / "report.html").read_text()
    (run.path / "departure.json").write_text('{"step": [0, 1], "outside": [0, "x"]}')  # as a stranger might
    with pytest.raises(ConfigError, match=r"departure\.json"):
        run.report()
