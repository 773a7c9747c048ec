"""Benchmark models of probabilistic model checking whose answers are known as exact rationals, γ = 1.

Source of models and answers: Quantitative Verification Benchmark Set (Hartmanns, Klauck, Parker, Quatmann & Ruijters,
TACAS 2019), CC-BY 4.0.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from operant.mdp import MDP
from operant.mdp.graph.reachability import proper
from operant.mdp.solvers.total import interval_iteration, optimistic_value_iteration

pytest.importorskip("stormpy", reason="stormpy builds these models")
if "OPERANT_DATA" not in os.environ:
    pytest.skip("OPERANT_DATA names no folder with qvbs/", allow_module_level=True)
FOLDER = Path(os.environ["OPERANT_DATA"]) / "qvbs"
if not FOLDER.is_dir():
    pytest.skip("OPERANT_DATA has no folder qvbs/", allow_module_level=True)

ZEROCONF = {"N": 20, "K": 2, "reset": True}
CASES = [  # model, constants, states, property, reward (None: probability), max or min, answer
    ("consensus.2", {"K": 2}, 272, "c2", None, "min", "49/128"),
    ("consensus.2", {"K": 2}, 272, "disagree", None, "max", "13/120"),
    ("consensus.2", {"K": 2}, 272, "steps_max", "steps", "max", "75"),
    ("consensus.2", {"K": 2}, 272, "steps_min", "steps", "min", "48"),
    ("consensus.2", {"K": 16}, 2064, "steps_max", "steps", "max", "3267"),
    ("consensus.2", {"K": 16}, 2064, "steps_min", "steps", "min", "3072"),
    ("consensus.2", {"K": 16}, 2064, "c2", None, "min", "133143986177/274877906944"),
    ("consensus.4", {"K": 4}, 43136, "c2", None, "min", "852021/2097152"),
    ("consensus.4", {"K": 4}, 43136, "steps_max", "steps", "max", "1083"),
    ("consensus.4", {"K": 4}, 43136, "steps_min", "steps", "min", "768"),
    ("csma.2-2", {}, 1038, "time_max", "time", "max", "227630345357/3221225472"),
    ("csma.2-2", {}, 1038, "time_min", "time", "min", "53954981353/805306368"),
    ("wlan.0", {"COL": 0}, 2954, "cost_max", "cost", "max", "5852200/209"),
    ("wlan.0", {"COL": 0}, 2954, "time_max", "time", "max", "79630/21"),
    (
        "zeroconf",
        ZEROCONF,
        659,
        "correct_max",
        None,
        "max",
        "65341/3250265341",
    ),  # 670 states, of which 11 lie beyond the target
]


def exact_value(mdp: MDP, rows: np.ndarray) -> np.ndarray:
    """The policy's value by a sparse solve over the states from which it terminates; 0 elsewhere (it rests there)."""
    ends, matrix = proper(mdp, rows), mdp.matrix
    v = np.where(mdp.rows.terminal, mdp.rows.terminal_value, 0.0)
    closed = np.zeros(mdp.num_states, dtype=bool)
    at = np.flatnonzero(~mdp.rows.terminal)
    P = matrix[rows[at]]
    count, label = sp.csgraph.connected_components(P[:, at], directed=True, connection="strong")
    leaves = np.zeros(count, dtype=bool)
    coo = sp.coo_array(P)
    place = np.full(mdp.num_states, -1)
    place[at] = np.arange(len(at))
    out = (place[coo.col] < 0) | (label[place[coo.col]] != label[coo.row])
    leaves[label[coo.row[out & (coo.data > 0)]]] = True
    closed[at] = ~leaves[label]
    assert not (ends & closed).any()
    assert (mdp.rows.reward[rows[closed]] == 0).all(), "rests where something is earned"
    inner = np.flatnonzero(~mdp.rows.terminal & ~closed)
    P = matrix[rows[inner]]
    v[inner] = spsolve(sp.csc_array(sp.eye_array(len(inner)) - P[:, inner]), mdp.rows.reward[rows[inner]] + P @ v)
    return v


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join([c[0], *map(str, c[1].values()), c[3]]))
@pytest.mark.parametrize("solver", [interval_iteration, optimistic_value_iteration])
def test_exact_rational(case, solver) -> None:
    from reference import storm

    name, constants, states, property_, reward, which, answer = case
    if solver is optimistic_value_iteration and states > 3000:
        pytest.skip("sweeps alone take ten seconds here")
    source = FOLDER / f"{name}.prism"
    listed = (FOLDER / f"{name.split('.')[0]}.props").read_text().splitlines()
    wanted = "\n".join(line for line in listed if any(f'"{c[3]}"' in line for c in CASES if c[0] == name))
    stored = storm.arrays(source, wanted, constants)
    sign = 1.0 if which == "max" else -1.0
    mdp = storm.model_of(stored, property_, reward, sign)
    assert mdp.num_states == states
    found = solver(mdp, epsilon=1e-6, must_terminate=reward is not None and which == "min")
    start, want = int(stored["start"]), Fraction(answer) * int(sign)
    lower, upper = found.certificate.lower[start], found.certificate.upper[start]
    assert Fraction(float(lower)) <= want <= Fraction(float(upper))
    assert upper - lower <= 1e-6
    assert abs(float(want) - found.values[start]) <= 1e-6
    finite = np.isfinite(found.values)
    assert finite[start]
    if finite.all():
        mine = exact_value(mdp, found.rows)
        scale = 1e-9 * max(1.0, float(np.abs(mine).max()))
        assert (mine >= found.certificate.lower - scale).all()
        assert (mine <= found.certificate.upper + scale).all()


def test_stormpy_agrees_within_its_own_bounds_and_ours() -> None:
    import stormpy

    from reference import storm

    source, text = FOLDER / "consensus.2.prism", (FOLDER / "consensus.props").read_text()
    model, named = storm.checked(source, text, {"K": 16})
    wanted = "\n".join(line for line in text.splitlines() if "steps_max" in line)
    stored = storm.arrays(source, wanted, {"K": 16})
    found = interval_iteration(storm.model_of(stored, "steps_max", "steps", 1.0))
    start = int(stored["start"])
    result = stormpy.model_checking(model, named["steps_max"])
    first = model.initial_states[0]
    below, above = result.get_lower_bound(first), result.get_upper_bound(first)
    lower, upper = found.certificate.lower[start], found.certificate.upper[start]
    assert below <= result.get_value(first) <= above
    assert max(below, lower) <= 3267 <= min(above, upper), "the intervals meet where the answer is"
    assert upper - lower < above - below, "and ours is the narrower"
