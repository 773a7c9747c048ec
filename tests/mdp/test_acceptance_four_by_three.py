"""Published numbers: Russell & Norvig's 4×3 world, its utilities and all breakpoints of the living reward."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from operant.mdp import solve, worlds
from operant.mdp.analyse.rational import breakpoints, solve_exactly

UTILITIES = [0.811558, 0.867808, 0.917808, 1, 0.761558, 0.660274, -1, 0.705308, 0.655308, 0.611416, 0.387925]

# From which living reward up, and which policy then (rows y = 3, 2, 1; # the wall)
INTERVALS = [
    (None, "RRR/U#R/RRRU"),
    (Fraction(-40888, 24785), "RRR/U#U/RRRU"),
    (Fraction(-258048, 164965), "RRR/U#U/RRUU"),
    (Fraction(-9216, 12605), "RRR/U#U/URUU"),
    (Fraction(-36864, 81445), "RRR/U#U/URUL"),
    (Fraction(-20736, 243985), "RRR/U#U/ULUL"),
    (Fraction(-165632, 3694415), "RRR/U#U/ULLL"),
    (Fraction(-544, 19885), "RRR/U#L/ULLL"),
    (Fraction(-32, 1445), "RRR/U#L/ULLD"),
    (Fraction(0), None),
]


def arrows(policy):
    signs = ["URDL"[a] if a >= 0 else "" for a in policy]
    signs.insert(5, "#")
    return "/".join("".join(signs[k : k + 4]) for k in (0, 4, 8))


def pieces(paid_on, **options):
    mdp = worlds.four_by_three(0.0, paid_on=paid_on)
    if paid_on == "leave":
        slope = (~mdp.rows.terminal).astype(float)
    else:
        slope = 1.0 - mdp.matrix @ mdp.rows.terminal.astype(float)
    return breakpoints(mdp, slope, at=Fraction(-1), **options)


@pytest.mark.parametrize(("paid_on", "more"), [("leave", 0.0), ("enter", 0.04)])
def test_utilities(paid_on, more):
    mdp = worlds.four_by_three(paid_on=paid_on)
    found = solve(mdp, epsilon=1e-9)
    inside = ~mdp.rows.terminal
    assert found.values[inside] == pytest.approx(np.array(UTILITIES)[inside] + more, abs=1e-6)
    assert found.values[~inside] == pytest.approx([1, -1] if paid_on == "leave" else [0, 0], abs=1e-12)
    assert arrows(found.policy) == "RRR/U#U/ULLL"


@pytest.mark.parametrize("paid_on", ["leave", "enter"])
def test_all_breakpoints_of_the_living_reward(paid_on):
    found = pieces(paid_on)
    assert [piece.low for piece in found] == [low for low, _ in INTERVALS]
    assert [piece.high for piece in found] == [*(low for low, _ in INTERVALS[1:]), None]
    for piece, (_, policy) in zip(found, INTERVALS, strict=True):
        assert piece.unbounded == (policy is None)
        if policy is not None:
            assert arrows(piece.policy) == policy


def test_breakpoints_are_where_floating_point_changes_its_mind():
    inside = INTERVALS[:-1]
    for (_, before), (edge, after) in pairwise(inside):
        for side, policy in ((-1e-6, before), (1e-6, after)):
            assert arrows(solve(worlds.four_by_three(float(edge) + side), epsilon=1e-10).policy) == policy, edge


def test_the_lectures_reward():
    """-0.03 lies in the same interval as the book's -0.04; -0.02 and -0.01 share the next but one."""
    policies = {r: arrows(solve(worlds.four_by_three(r), epsilon=1e-9).policy) for r in (-0.04, -0.03, -0.02, -0.01)}
    assert policies[-0.03] == policies[-0.04] == "RRR/U#U/ULLL"
    assert policies[-0.02] == policies[-0.01] == "RRR/U#L/ULLD"


def test_values_as_functions_of_the_reward():
    piece = next(p for p in pieces("leave") if p.low is not None and p.low < Fraction(-1, 25) < p.high)
    values = [a + Fraction(-1, 25) * b for a, b in zip(piece.values, piece.slopes, strict=True)]
    assert [float(v) for v in values] == pytest.approx(UTILITIES, abs=1e-6)
    assert tuple(values) == solve_exactly(worlds.four_by_three()).values


def test_a_reward_for_living_is_reported_as_unbounded():
    piece = pieces("leave")[-1]
    assert piece.unbounded
    assert piece.low == 0
    for paid_on in ("leave", "enter"):
        found = solve(worlds.four_by_three(0.01, paid_on=paid_on))
        inside = ~found.mdp.rows.terminal
        assert (found.values[inside] == np.inf).all()
        assert (found.certificate.lower[inside] == np.inf).all()
        assert "unbounded" in found.why
