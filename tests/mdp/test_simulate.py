"""What the simulator draws, against the model's own probabilities, and that it depends on the seed alone."""

import numpy as np
import pytest

from operant.mdp import MDP, ModelError
from operant.mdp.analyse.sampler import below, generators, sampler, simulate, transition
from operant.mdp.analyse.sampler import uniform as draw
from operant.mdp.policies import uniform


def model(states=5, actions=2, seed=0, **more):
    g = np.random.default_rng(seed)
    P = g.dirichlet(np.full(states, 0.5), size=(states, actions))
    return MDP(P, g.normal(size=(states, actions, states)), 0.9, terminal=[states - 1], start=0, **more)


def reference_words(state, count):
    """xoshiro256++ in Python's integers."""
    s, mask, out = [int(x) for x in state], 2**64 - 1, []
    turn = lambda x, k: ((x << k) | (x >> (64 - k))) & mask  # noqa: E731
    for _ in range(count):
        out.append((turn((s[0] + s[3]) & mask, 23) + s[0]) & mask)
        t = (s[1] << 17) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = turn(s[3], 45)
    return out


def in_kernel():
    """The draws are only called from compiled code."""
    import numba

    @numba.njit
    def take(g, count, n):
        out = np.empty(count)
        for k in range(count):
            out[k] = draw(g) if n == 0 else below(g, n)
        return out

    return take


TAKE = in_kernel()


def test_the_generator_is_xoshiro256_plus_plus():
    state = generators(7)
    expected = [(word >> 11) / 2**53 for word in reference_words(state, 100)]
    assert TAKE(state, 100, 0).tolist() == expected
    assert reference_words([1, 2, 3, 4], 3) == [41943041, 58720359, 3588806011781223]  # of the published code


def test_draws_are_uniform_and_streams_differ():
    draws = np.sort(TAKE(generators(0), 100_000, 0))
    assert np.abs(draws - (np.arange(100_000) + 0.5) / 100_000).max() < 1.95 / np.sqrt(100_000)  # Kolmogorov, 1 in 1000
    counts = np.bincount(TAKE(generators(1), 70_000, 7).astype(int), minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 22.5  # χ² of 6 degrees, 1 in 1000
    states = np.concatenate([generators(np.arange(1000), stream) for stream in (0, 1)])
    assert len(np.unique(states)) == states.size
    assert np.array_equal(generators([3, 5])[1], generators(5))


@pytest.mark.parametrize("states", [5, 40])
def test_frequencies_and_rewards_are_the_models(states):
    mdp = model(states)
    record = simulate(mdp, uniform(mdp), steps=200_000, seed=1, max_steps=20)
    at = record.row.astype(np.int64)
    counts = np.zeros((mdp.num_rows, states))
    np.add.at(counts, (at, record.following), 1)
    visits, exact = counts.sum(axis=1, keepdims=True), mdp.matrix.toarray()
    assert visits.min() > 50
    assert np.abs(counts - visits * exact).max() < 6 * np.sqrt(visits * exact * (1 - exact) + 1).max()
    z = (counts - visits * exact)[exact > 1e-3] / np.sqrt(visits * exact * (1 - exact))[exact > 1e-3]
    assert 0.8 < np.mean(z**2) < 1.2
    rows, kept = mdp.rows, mdp.rows.outcome_reward
    for t in range(500):
        entries = slice(int(rows.indptr[at[t]]), int(rows.indptr[at[t] + 1]))
        place = entries.start + int(np.flatnonzero(rows.indices[entries] == record.following[t])[0])
        assert record.reward[t] == kept[place]


def test_episodes_follow_each_other():
    mdp = model()
    record = simulate(mdp, uniform(mdp), steps=5000, seed=2, max_steps=7)
    over = record.terminated | record.truncated
    assert not np.any(record.terminated & record.truncated)
    assert np.array_equal(record.terminated, record.following == 4)
    assert over[-1]
    assert np.array_equal(record.state[1:][over[:-1]], np.zeros(over[:-1].sum()))
    assert np.array_equal(record.state[1:][~over[:-1]], record.following[:-1][~over[:-1]])
    ends = np.flatnonzero(over)
    lengths = np.diff(np.concatenate(([-1], ends)))
    assert lengths.max() == 7
    assert np.array_equal(record.truncated[ends[:-1]], (lengths == 7)[:-1] & ~record.terminated[ends[:-1]])
    again = simulate(mdp, uniform(mdp), steps=1000, seed=2, max_steps=7)
    assert np.array_equal(again.following[:999], record.following[:999])
    assert not np.array_equal(simulate(mdp, uniform(mdp), steps=1000, seed=3, max_steps=7).following, again.following)


def test_missing_mass_ends_the_episode():
    mdp = MDP(np.array([[[0.25, 0.25]], [[0.0, 0.0]]]), np.array([[2.0], [0.0]]), 1.0, terminal=[1], start=0, leak=True)
    record = simulate(mdp, uniform(mdp), steps=40_000, seed=0)
    share = np.bincount(record.following, minlength=3) / 40_000
    np.testing.assert_allclose(share, [0.25, 0.25, 0.5], atol=4 * 0.5 / 200)
    assert np.array_equal(record.terminated[:-1], record.following[:-1] > 0)
    assert set(record.reward) == {2.0}


def test_a_draw_at_the_edge_stays_inside():
    """Rounding may leave the sum of a row below one; the largest draw still takes an entry that is possible."""
    mdp = MDP(np.full((10, 1, 10), 0.1), np.zeros((10, 1)), 0.5, start=0)
    model = sampler(mdp)
    assert np.isinf(model.cumulative[model.indptr[1:] - 1]).all()
    for seed in range(200):
        assert transition(model, 0, generators(seed))[0] < 10


def test_errors_name_what_is_missing():
    mdp = model()
    with pytest.raises(ModelError, match="start"):
        sampler(MDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 0.5))
    with pytest.raises(ModelError, match="state 4 is terminal"):
        sampler(mdp, start=4)
    with pytest.raises(ModelError, match="shape"):
        simulate(mdp, [1.0], steps=1, seed=0)
