"""Models from logs: counts by a loop, smoothing on what was seen, ends, and the truth in the limit."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from operant.data.trajectory import Trajectory
from operant.mdp import MDP, ModelError, from_logs
from reference.model_table import outcomes_of, table_of


def log(seed, n=400, states=6, actions=3):
    generator = np.random.default_rng(seed)
    state, action = generator.integers(0, states, size=n), generator.integers(0, actions, size=n)
    successor = (state + generator.integers(0, 3, size=n)) % states
    return state, action, generator.normal(size=n), successor, np.zeros(n, dtype=bool)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("n", [30, 400])
def test_counts_equal_a_loop(alpha, n):
    state, action, reward, successor, done = log(n, n)
    mdp = from_logs((state, action, reward, successor, done), discount=0.9, smoothing=alpha, unvisited=0.0)
    count, paid, support = Counter(), defaultdict(list), defaultdict(set)
    for s, a, r, t in zip(state.tolist(), action.tolist(), reward.tolist(), successor.tolist(), strict=True):
        count[s, a, t] += 1
        paid[s, a, t].append(r)
        paid[s, a].append(r)
        support[s].add(t)
    found, outcomes = table_of(mdp), outcomes_of(mdp)
    assert set(found) == {key[:2] for key in count}
    for (s, a), (entries, _) in found.items():
        seen = support[s] if alpha else {t for t in support[s] if count[s, a, t]}
        assert set(entries) == seen
        total = sum(count[s, a, t] + alpha for t in seen)
        for t, p in entries.items():
            assert p == pytest.approx((count[s, a, t] + alpha) / total, abs=1e-14)
            assert outcomes[s, a, t] == pytest.approx(np.mean(paid.get((s, a, t), paid[s, a])), abs=1e-12)


def test_ends_and_states_that_were_never_left():
    columns = [0, 0, 1], [0, 1, 0], [1.0, 2.0, 3.0], [1, 2, 3], [False, True, False]
    with pytest.raises(ModelError, match=r"state 3 was never left .* give unvisited=0.0"):
        from_logs(columns, discount=0.9)
    mdp = from_logs(columns, discount=0.9, unvisited=-5.0, start=0)
    assert mdp.rows.terminal.tolist() == [False, False, True, True]
    assert mdp.rows.terminal_value.tolist() == [0, 0, 0, -5]
    assert mdp.start.tolist() == [1, 0, 0, 0]
    again = [*columns[0], 0], [*columns[1], 1], [*columns[2], 4.0], [*columns[3], 2], [*columns[4], False]
    twin = from_logs([[*c, d] for c, d in zip(again, (2, 0, 0.0, 0, False), strict=True)], discount=0.9, unvisited=0.0)
    assert table_of(twin)[0, 1] == ({2: 0.5, 4: 0.5}, 3.0)
    assert twin.rows.terminal.tolist() == [False, False, False, True, True]
    assert from_logs(columns, discount=0.9, unvisited=0.0, states=9).num_states == 9


def test_steps_out_of_a_terminal_state_are_left_out():
    mdp = from_logs(([0, 1, 1], [0, 0, 0], [1.0, 9.0, 9.0], [1, 0, 1], [True, False, False]), discount=0.9)
    assert table_of(mdp) == {(0, 0): ({1: 1.0}, 1.0)}
    assert mdp.rows.terminal.tolist() == [False, True]


def test_a_trajectory_counts_where_it_acted():
    obs = torch.tensor([[0, 1, 2, 0], [1, 1, 0, 1]])
    flags = torch.zeros(2, 3, dtype=torch.bool)
    terminated, acted = flags.clone(), ~flags
    terminated[0, 1] = True
    acted[0, 2] = False  # the reset
    row = Trajectory(
        obs=obs,
        action=torch.tensor([[0, 1, 0], [1, 1, 0]]),
        logp=torch.zeros(2, 3),
        reward=torch.tensor([[1.0, 5.0, 0.0], [2.0, 3.0, 7.0]]),
        terminated=terminated,
        truncated=flags,
        acted=acted,
        group=torch.arange(2),
    )
    mdp = from_logs(row, discount=0.9)
    assert table_of(mdp) == {
        (0, 0): ({1: 1.0}, 4.0),
        (1, 1): ({0: 1 / 3, 1: 1 / 3, 2: 1 / 3}, pytest.approx(10 / 3)),
    }
    assert mdp.rows.terminal.tolist() == [False, False, True]


def test_the_estimate_tends_to_the_truth():
    generator = np.random.default_rng(0)
    truth = MDP(generator.dirichlet(np.ones(4), size=(4, 2)), generator.normal(size=(4, 2)), 0.9)
    state, action = generator.integers(0, 4, size=200_000), generator.integers(0, 2, size=200_000)
    cumulative = truth.matrix.toarray().cumsum(axis=1)[2 * state + action]
    successor = (generator.random(200_000)[:, None] > cumulative).sum(axis=1)
    reward = truth.rows.reward[2 * state + action] + generator.normal(size=200_000)
    found = from_logs((state, action, reward, successor, np.zeros(200_000)), discount=0.9, smoothing=1.0)
    standard_error = np.sqrt(truth.rows.data * (1 - truth.rows.data) / 25_000)
    assert np.all(np.abs(found.rows.data - truth.rows.data) < 4.5 * standard_error + 1e-4)
    assert np.all(np.abs(found.rows.reward - truth.rows.reward) < 4.5 / np.sqrt(25_000))


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (([0], [0], [0.0], [0]), {}, "a log is"),
        (3, {}, "a log is"),
        (([0, 1], [0], [0.0, 0], [0, 0], [0, 0]), {}, "action has shape"),
        (([], [], [], [], []), {}, "state has shape"),
        (([0.5], [0], [0.0], [0], [0]), {}, r"state\[0\] is 0.5"),
        (([0], [-1], [0.0], [0], [0]), {}, r"action\[0\] is -1"),
        (([0], [0], [0.0], [7], [0]), {"states": 5}, r"successor\[0\] is 7"),
        (([0], [0], [np.nan], [0], [0]), {}, r"reward\[0\] is not finite"),
        (([0], [0], [0.0], [0], [0]), {"smoothing": -1.0}, "smoothing is -1.0"),
    ],
)
def test_faulty_logs_are_refused(columns, options, message):
    with pytest.raises(ModelError, match=message):
        from_logs(columns, discount=0.9, **options)
