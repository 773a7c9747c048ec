"""Exact arithmetic: known fractions, every breakpoint of a parameter, and agreement with floating point."""

import itertools
from fractions import Fraction as F

import numpy as np
import pytest

from operant.mdp import MDP, ModelError, evaluate
from operant.mdp.analyse.exact import simplest
from operant.mdp.analyse.rational import breakpoints, evaluate_exactly, solve_exactly
from operant.mdp.policies import uniform
from operant.mdp.worlds.grids import four_by_four, four_by_three

LIVING = [
    F(-40888, 24785),
    F(-258048, 164965),
    F(-9216, 12605),
    F(-36864, 81445),
    F(-20736, 243985),
    F(-165632, 3694415),
    F(-544, 19885),
    F(-32, 1445),
    F(0),
]
POLICIES = [
    f"{top} {middle} {bottom}"
    for top, middle, bottom in (
        ("RRR", "UR", "RRRU"),
        ("RRR", "UU", "RRRU"),
        ("RRR", "UU", "RRUU"),
        ("RRR", "UU", "URUU"),
        ("RRR", "UU", "URUL"),
        ("RRR", "UU", "ULUL"),
        ("RRR", "UU", "ULLL"),
        ("RRR", "UL", "ULLL"),
        ("RRR", "UL", "ULLD"),
    )
]


def random_model(seed, states=5, actions=3, discount=0.9, parts=12):
    """Probabilities in twelfths, rewards in eighths, so that the floats have simple fractions."""
    rng = np.random.default_rng(seed)
    P = np.stack([rng.multinomial(parts, np.full(states, 1 / states), size=actions) for _ in range(states)]) / parts
    return MDP(P, rng.integers(-20, 20, (states, actions)) / 8, discount)


def arrows(mdp, policy):
    words = "".join(mdp.actions[a][0].upper() if a >= 0 else " " for a in policy)
    return words.strip()


@pytest.mark.parametrize("paid_on", ["leave", "enter"])
def test_every_breakpoint_of_the_living_reward(paid_on):
    """Russell and Norvig's 4×3 world: nine breakpoints, exact, the same under both conventions of the reward."""
    base, one = four_by_three(0.0, paid_on=paid_on), four_by_three(1.0, paid_on=paid_on)
    pieces = breakpoints(base, one.rows.reward - base.rows.reward)
    assert [p.high for p in pieces[:-1]] == LIVING == [p.low for p in pieces[1:]]
    assert [arrows(base, p.policy) for p in pieces[:-1]] == POLICIES
    assert pieces[0].low is None
    assert pieces[-1].high is None
    assert pieces[-1].unbounded
    assert pieces[-1].policy is None
    assert not any(p.unbounded for p in pieces[:-1])


def test_the_lecture_policy():
    """At -0.03 and at -0.04 the same policy is optimal; at -0.02 and -0.01 another."""
    policies = {
        r: arrows(four_by_three(r), solve_exactly(four_by_three(r)).policy) for r in (-0.04, -0.03, -0.02, -0.01)
    }
    assert policies == {-0.04: POLICIES[6], -0.03: POLICIES[6], -0.02: POLICIES[8], -0.01: POLICIES[8]}


def test_unbounded_is_an_error_and_not_a_loop():
    with pytest.raises(ModelError, match="unbounded"):
        solve_exactly(four_by_three(0.01))
    base, one = four_by_three(0.0), four_by_three(1.0)
    with pytest.raises(ModelError, match="unbounded at x = 1"):
        breakpoints(base, one.rows.reward - base.rows.reward, at=1)


def test_utilities_as_fractions():
    found = solve_exactly(four_by_three(-0.04))
    assert found.values[:3] == (F(9479, 11680), F(1267, 1460), F(67, 73))
    assert found.values[-1] == F(3823, 9855)


@pytest.mark.parametrize("seed", range(6))
def test_breakpoints_are_where_the_optimum_changes(seed):
    """Each piece is optimal inside, at both ends its neighbour ties, and a fine grid of parameters finds no other."""
    mdp = random_model(seed)
    slope = np.random.default_rng(100 + seed).integers(-8, 9, mdp.num_rows) / 4
    pieces = breakpoints(mdp, slope)
    assert pieces[0].low is None
    assert pieces[-1].high is None
    assert len(pieces) > 2
    for before, after in itertools.pairwise(pieces):
        assert before.high == after.low
        assert not np.array_equal(before.policy, after.policy)
        x = before.high
        for va, sa, vb, sb in zip(before.values, before.slopes, after.values, after.slopes, strict=True):
            assert va + x * sa == vb + x * sb  # v* is continuous
            assert sb >= sa  # and convex, as a maximum of affine functions
    edges = [p.high for p in pieces[:-1]]
    for x in np.linspace(float(edges[0]) - 1, float(edges[-1]) + 1, 60):
        piece = next(p for p in pieces if p.high is None or x <= p.high)
        rows = mdp.rows
        shifted = MDP.from_rows(
            type(rows)(**{f: getattr(rows, f) for f in rows.__slots__} | {"reward": rows.reward + x * slope}), 0.9
        )
        policy = np.zeros(mdp.num_rows)
        policy[[shifted.row(s, a) for s, a in enumerate(piece.policy)]] = 1.0
        found = evaluate(shifted, policy)
        assert found.advantages.max() < 1e-9
        want = [float(v) + x * float(s) for v, s in zip(piece.values, piece.slopes, strict=True)]
        np.testing.assert_allclose(found.values, want, atol=1e-10)


@pytest.mark.parametrize("at", [-3, 0, F(1, 3), 7])
def test_breakpoints_do_not_depend_on_where_the_walk_begins(at):
    mdp, slope = random_model(3), np.random.default_rng(103).integers(-8, 9, 15) / 4
    want = breakpoints(mdp, slope)
    assert [(p.low, p.high, p.values) for p in breakpoints(mdp, slope, at=at)] == [
        (p.low, p.high, p.values) for p in want
    ]
    edge = want[0].high
    assert [p.high for p in breakpoints(mdp, slope, at=edge)] == [p.high for p in want]  # on a breakpoint itself


def test_breakpoints_within_limits():
    mdp, slope = random_model(3), np.random.default_rng(103).integers(-8, 9, 15) / 4
    want = breakpoints(mdp, slope)
    low, high = want[1].low + F(1, 10**6), want[-1].low
    got = breakpoints(mdp, slope, at=high, low=low, high=high)
    assert got[0].low == low
    assert got[-1].high == high
    assert [p.high for p in got[:-1]] == [p.high for p in want[1:-2]]


def test_the_four_by_four_grid_in_integers():
    mdp = four_by_four()
    values = evaluate_exactly(mdp, uniform(mdp))
    assert values == tuple(map(F, (0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0)))


@pytest.mark.parametrize("seed", range(8))
def test_exact_equals_floating_point(seed):
    mdp = random_model(seed, states=6)
    found = solve_exactly(mdp)
    policy = np.zeros(mdp.num_rows)
    policy[found.rows] = 1.0
    got = evaluate(mdp, policy)
    np.testing.assert_allclose([float(v) for v in found.values], got.values, atol=1e-11)
    assert got.advantages.max() < 1e-11
    np.testing.assert_allclose(
        [float(v) for v in evaluate_exactly(mdp, uniform(mdp))], evaluate(mdp, uniform(mdp)).values
    )


def test_ties_are_exact():
    """Two actions whose values differ by one part in 2⁴⁰ do not tie; equal ones do, though floats would differ."""
    P = np.zeros((2, 3, 2))
    P[:, :, 1] = 1.0
    R = np.array([[0.3, 0.1 + 0.2, 0.3 + 2.0**-40], [0.0, 0.0, 0.0]])
    found = solve_exactly(MDP(P, R, 1.0, terminal=[1]))
    assert found.optimal.tolist() == [False, False, True]
    found = solve_exactly(MDP(P[:, :2], R[:, :2], 1.0, terminal=[1]))
    assert found.optimal.tolist() == [True, True]


@pytest.mark.parametrize(
    ("x", "want"),
    [(0.8, F(4, 5)), (1 / 3, F(1, 3)), (-2.5, F(-5, 2)), (0.1 + 0.2, F(3, 10)), (7.0, F(7)), (1e-20, F(0))],
)
def test_simplest(x, want):
    assert simplest(x) == want


def test_rows_that_are_no_fractions_are_refused():
    mdp = MDP(np.random.default_rng(0).dirichlet(np.ones(3), (3, 1)), np.zeros((3, 1)), 0.5)
    with pytest.raises(ModelError, match=r"state 0, action 0"):
        solve_exactly(mdp)


def test_no_end_is_an_error():
    mdp = MDP(np.eye(2)[:, None, :], np.array([[-1.0], [0.0]]), 1.0, terminal=[1])
    with pytest.raises(ModelError, match="state 0"):
        solve_exactly(mdp)
