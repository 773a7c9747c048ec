"""Estimates off policy against loops and exact values: over all paths, over many data sets, and with known bugs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operant.data.stats import bootstrap_ratio
from operant.math.off_policy_evaluation import Terms, evaluation_terms
from operant.mdp import MDP, exact_policy_gradient
from reference import offline as slow
from reference.paths import enumerate_paths

GAMMA, HORIZON = 0.9, 4
PLAIN = ["ordinary", "per-decision", "doubly-robust"]
WEIGHTED = ["weighted", "weighted-per-decision", "weighted-doubly-robust"]


@pytest.fixture(scope="module")
def world():
    """Three states and one that ends, π and μ, J(π), and all of μ's paths of four decisions."""
    rng = np.random.default_rng(5)
    transitions = rng.dirichlet(np.ones(4), (4, 2))
    transitions[3] = np.eye(4)[3]
    reward = rng.normal(size=(4, 2)) * np.array([[1.0], [1.0], [1.0], [0.0]])
    mdp = MDP(transitions, reward, GAMMA, terminal=[3], start=[0.6, 0.4, 0.0, 0.0])
    theta, other = 0.8 * rng.normal(size=(2, mdp.num_rows))
    pi, mu = (exact_policy_gradient(mdp, x, horizon=HORIZON) for x in (theta, other))
    return mdp, pi, mu.policy, enumerate_paths(mdp, mu.policy, HORIZON, cut="terminated")


def model_of(mdp, pi, shift=0.0):
    """Q [T, L] and V [T+1, S] of π for each time left, made wrong by a table where asked."""
    state = mdp.row_state
    values = np.where(np.asarray(mdp.rows.terminal), 0.0, pi.values)
    q = pi.advantages + values[:HORIZON, state] + shift * np.sin(np.arange(mdp.num_rows))
    v = np.zeros_like(values)
    for t in range(HORIZON):
        np.add.at(v[t], state, pi.policy * q[t])
    return q, np.where(np.asarray(mdp.rows.terminal), 0.0, v)


def columns(world, rows=None, shift=0.0):
    """What `evaluation_terms` takes of some paths, all if none are named."""
    mdp, pi, mu, paths = world
    q, v = model_of(mdp, pi, shift)
    pick = slice(None) if rows is None else rows
    found = {
        "logp": paths.at_rows(np.log(pi.policy)), "behaviour_logp": paths.at_rows(np.log(mu)),
        "reward": torch.nan_to_num(paths.reward), "acted": paths.acted, "truncated": paths.truncated,
        "q": paths.at_rows(q), "value": paths.at_states(v, blank=0.0),
    }  # fmt: skip
    return {name: x[pick] for name, x in found.items()}


def each(terms):
    """Of a plain estimator what each episode gives, [N]."""
    assert (terms.denominator == 1).all()
    return terms.numerator.sum(-1)


# ---------------------------------------------------------------------------------------------------- exact
@pytest.mark.parametrize("shift", [0.0, 2.0], ids=["right model", "wrong model"])
@pytest.mark.parametrize("name", PLAIN)
def test_they_are_unbiased(world, name, shift):
    """The expectation over every path of μ is J(π)."""
    terms = evaluation_terms(name, **columns(world, shift=shift), discount=GAMMA)
    mean = float((world[3].probability * each(terms)).sum())
    assert mean == pytest.approx(world[1].objective, abs=1e-10)


def variance(world, name, shift=0.0):
    x, p = each(evaluation_terms(name, **columns(world, shift=shift), discount=GAMMA)), world[3].probability
    return float((p * x * x).sum() - (p * x).sum() ** 2)


def test_each_has_less_variance_than_the_one_before_and_a_right_model_least(world):
    ordinary, per_decision, robust = (variance(world, name) for name in PLAIN)
    assert ordinary > per_decision > robust
    assert variance(world, "doubly-robust", 2.0) > robust


def test_with_a_right_model_and_nothing_random_doubly_robust_is_exact():
    """One way to go, whatever is drawn: each episode gives J, up to rounding, under any weights."""
    transitions = np.zeros((3, 2, 3))
    transitions[0, :, 1] = transitions[1, :, 2] = transitions[2, :, 2] = 1.0
    mdp = MDP(transitions, np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]]), GAMMA, terminal=[2], start=[1.0, 0.0, 0.0])
    rng = np.random.default_rng(0)
    pi, mu = (exact_policy_gradient(mdp, rng.normal(size=mdp.num_rows), horizon=HORIZON) for _ in range(2))
    made = mdp, pi, mu.policy, enumerate_paths(mdp, mu.policy, HORIZON, cut="terminated")
    terms = evaluation_terms("doubly-robust", **columns(made), discount=GAMMA)
    np.testing.assert_allclose(each(terms).numpy(), pi.objective, atol=1e-12)
    robust = evaluation_terms("weighted-doubly-robust", **columns(made), discount=GAMMA)
    assert robust.value == pytest.approx(pi.objective, abs=1e-12)
    plain = each(evaluation_terms("per-decision", **columns(made), discount=GAMMA))
    assert float(plain.std()) > 0.1


@pytest.mark.parametrize("name", WEIGHTED)
def test_the_weighted_are_consistent_and_bounded_by_what_was_seen(world, name):
    _, pi, _, paths = world
    rng = np.random.default_rng(2)
    wrong = []
    for n in (30, 30_000):
        rows = torch.from_numpy(rng.choice(len(paths.probability), n, p=paths.probability.numpy()))
        wrong.append(abs(evaluation_terms(name, **columns(world, rows, 1.0), discount=GAMMA).value - pi.objective))
    assert wrong[1] < 0.05
    few = columns(world, torch.from_numpy(rng.choice(len(paths.probability), 3)))
    value = evaluation_terms("weighted", **few, discount=GAMMA).value
    returns = few["reward"].double() @ GAMMA ** torch.arange(HORIZON).double()
    assert float(returns.min()) - 1e-9 <= value <= float(returns.max()) + 1e-9


@pytest.mark.parametrize("name", [*PLAIN, *WEIGHTED])
def test_on_policy_without_a_model_all_are_the_mean_return(world, name):
    mdp, pi, _, _ = world
    made = mdp, pi, pi.policy, enumerate_paths(mdp, pi.policy, HORIZON, cut="terminated")
    few = columns(made, torch.arange(7))
    few |= {"q": torch.zeros_like(few["q"]), "value": torch.zeros_like(few["value"])}
    returns = few["reward"].double() @ GAMMA ** torch.arange(HORIZON).double()
    got = evaluation_terms(name, **few, discount=GAMMA)
    assert got.value == pytest.approx(float(returns.mean()), abs=1e-12)
    assert got.effective == pytest.approx(7)


# ---------------------------------------------------------------------------------------------------- loops
def episodes(seed, n=9, longest=6):
    """Padded tensors with NaN behind the ends, and the same as lists."""
    g = torch.Generator().manual_seed(seed)
    length = torch.randint(1, longest + 1, (n,), generator=g)
    logp, behaviour, reward, q = torch.randn(4, n, longest, generator=g, dtype=torch.float64)
    value = torch.randn(n, longest + 1, generator=g, dtype=torch.float64)
    acted = torch.arange(longest) < length[:, None]
    cut = torch.rand(n, generator=g) < 0.5
    truncated = (torch.arange(longest) == length[:, None] - 1) & cut[:, None]
    blank = torch.where(acted, 0.0, torch.nan)
    given = {
        "logp": logp + blank, "behaviour_logp": behaviour + blank, "reward": reward + blank, "acted": acted,
        "truncated": truncated, "q": q + blank, "value": value,
    }  # fmt: skip
    lists = [
        [(float(logp[i, t]), float(behaviour[i, t]), float(reward[i, t])) for t in range(length[i])] for i in range(n)
    ]
    values = [[*map(float, value[i, : length[i]]), float(value[i, length[i]]) * bool(cut[i])] for i in range(n)]
    return given, lists, q.tolist(), values


@pytest.mark.parametrize("seed", range(3))
def test_they_equal_their_loops(seed):
    given, lists, q, value = episodes(seed)
    want = {
        "ordinary": slow.ordinary(lists, GAMMA), "weighted": slow.weighted(lists, GAMMA),
        "per-decision": slow.per_decision(lists, GAMMA),
        "weighted-per-decision": slow.per_decision(lists, GAMMA, weigh=True),
        "doubly-robust": slow.doubly_robust(lists, q, value, GAMMA),
    }  # fmt: skip
    for name, expected in want.items():
        assert evaluation_terms(name, **given, discount=GAMMA).value == pytest.approx(expected, rel=1e-9), name


def test_a_cut_episode_goes_on_with_what_was_seen_last():
    """Taken for a termination, as some do, it would count as if nothing came."""
    no = torch.zeros(1, 2, dtype=torch.float64)
    given = {
        "logp": no, "behaviour_logp": no, "reward": no, "acted": torch.ones(1, 2).bool(),
        "truncated": torch.tensor([[False, True]]), "q": no, "value": torch.tensor([[0.0, 0.0, 10.0]]),
    }  # fmt: skip
    assert evaluation_terms("doubly-robust", **given, discount=0.5).value == pytest.approx(2.5)
    given["truncated"] = torch.tensor([[False, False]])
    assert evaluation_terms("doubly-robust", **given, discount=0.5).value == 0.0


# ---------------------------------------------------------------------------------------------------- intervals
@pytest.mark.parametrize("name", ["per-decision", "weighted-per-decision", "doubly-robust", "weighted-doubly-robust"])
def test_intervals_cover_the_exact_value(world, name):
    """Of 150 data sets of 250 episodes at least 88 % of the intervals of 95 % do; percentiles of few are narrow."""
    _, pi, _, paths = world
    rng, hits = np.random.default_rng(3), 0
    whole = evaluation_terms(name, **columns(world, shift=0.5), discount=GAMMA)
    for k in range(150):
        rows = rng.choice(len(paths.probability), 250, p=paths.probability.numpy())
        low, high = bootstrap_ratio(whole.numerator[rows], whole.denominator[rows], resamples=300, seed=k)
        hits += low <= pi.objective <= high
    assert hits / 150 >= 0.88


def test_the_bootstrap_draws_whole_episodes_and_keeps_its_seed():
    rng = np.random.default_rng(4)
    top, bottom = rng.normal(size=(12, 3)), rng.uniform(0.5, 2, size=(12, 3))
    low, high = bootstrap_ratio(top, bottom, resamples=4000)
    drawn = rng.integers(0, 12, (4000, 12))
    want = np.quantile((top[drawn].sum(1) / bottom[drawn].sum(1)).sum(-1), [0.025, 0.975])
    np.testing.assert_allclose([low, high], want, atol=0.06)
    assert bootstrap_ratio(top, bottom, resamples=4000) == (low, high)
    assert all(map(math.isnan, bootstrap_ratio(top[:1], bottom[:1])))
    with pytest.raises(ValueError, match="one shape"):
        bootstrap_ratio(top, bottom[:5])


def test_what_cannot_be_is_refused():
    given, *_ = episodes(0)
    del given["q"]
    with pytest.raises(ValueError, match="needs q"):
        evaluation_terms("doubly-robust", **given, discount=GAMMA)
    with pytest.raises(ValueError, match="discount"):
        evaluation_terms("ordinary", **given, discount=1.5)
    with pytest.raises(KeyError):
        evaluation_terms("weighted-other", **given, discount=GAMMA)
    assert math.isnan(Terms(torch.zeros(3, 1), torch.zeros(3, 1)).value)
