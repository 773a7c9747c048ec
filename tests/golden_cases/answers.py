"""Golden answers: every other exact answer of `operant.mdp`, beside the solves of `solves.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from golden_cases.case import Case
from golden_cases.solves import MAZE, answer, chain, dense, grid, uniform

QUESTIONS = (
    *("finite", "robust", "soft", "rational", "irl", "occupancy", "gradients", "evaluation", "graphs", "building"),
    *("matrix_free", "on_device", "files", "bookworlds"),
)

CASES = tuple(Case(name=f"mdp/{what.replace('_', '-')}", call=(f"answers:{what}",)) for what in QUESTIONS)


def record(of: Any) -> dict[str, Any]:
    """The numbers of a record."""
    without = ("mdp", "seconds", "certificate", "why")
    return {f.name: getattr(of, f.name) for f in fields(of) if f.name not in without}


def finite() -> dict[str, object]:
    """Backward induction."""
    from operant.mdp import finite_horizon, finite_horizon_values, from_gymnasium, solve

    lake = from_gymnasium("FrozenLake-v1", discount=0.95)
    ends = finite_horizon(dense(40, 3, 3), horizon=7, final=np.linspace(0, 1, 40))
    values = finite_horizon_values(lake, uniform(lake), horizon=9)
    return {"lake": answer(solve(lake.replace(horizon=30))), "dense": answer(ends), "uniform": values}


def robust() -> dict[str, object]:
    """Uncertain probabilities, by intervals and by distance, feared and hoped for."""
    from operant.mdp import Distance, Intervals, robust_value_iteration

    mdp, found = dense(25, 3, 4, discount=0.9), {}
    low, high = np.maximum(mdp.rows.data - 0.05, 0.0), np.minimum(mdp.rows.data + 0.05, 1.0)
    sets = {"intervals": Intervals(lower=low, upper=high), "distance": Distance(radius=0.2)}
    for name, uncertainty in sets.items():
        for attitude in ("pessimistic", "optimistic"):
            solution = robust_value_iteration(mdp, uncertainty=uncertainty, attitude=attitude)
            found[f"{name}/{attitude}"] = answer(solution)
    return found


def soft() -> dict[str, object]:
    """With the entropy of the policy."""
    from operant.mdp import soft_evaluate, soft_policy_iteration, soft_value_iteration

    mdp = dense(40, 4, 5)
    return {
        "values": answer(soft_value_iteration(mdp, temperature=0.3)),
        "cold": answer(soft_value_iteration(grid(20, 0.95), temperature=0.01, epsilon=1e-4)),
        "policy": record(soft_policy_iteration(mdp, temperature=0.3)),
        "uniform": record(soft_evaluate(mdp, uniform(mdp), temperature=0.3)),
    }


def rational() -> dict[str, object]:
    """Answers in fractions."""
    from operant.mdp import breakpoints, evaluate_exactly, solve_exactly, worlds

    world, walk = worlds.four_by_three(), worlds.random_walk(5)
    exact = solve_exactly(worlds.two_state())
    pieces = breakpoints(world, (~world.rows.terminal)[world.row_state].astype(float), low=-2, high=0)
    return {
        "two": record(exact),
        "world": record(solve_exactly(world)),
        "walk": {"values": evaluate_exactly(walk, uniform(walk))},
        "pieces": {str(k): record(piece) for k, piece in enumerate(pieces)},
    }


def irl() -> dict[str, object]:
    """A reward that explains what an expert did."""
    from operant.mdp import feature_expectations, maxent_irl, soft_policy_iteration

    mdp = dense(12, 3, 6, discount=0.8, start=np.full(12, 1 / 12))
    features = np.random.default_rng(7).random((12, 3))
    shown = [(np.arange(5) % 12, np.arange(5) % 3), (np.arange(3, 9), np.arange(6) % 2)]
    expert = feature_expectations(mdp, features, shown)
    own = soft_policy_iteration(mdp, temperature=1.0)
    found = maxent_irl(mdp, features, expert, penalty=0.1)
    timed = maxent_irl(mdp, features, expert, penalty=0.1, horizon=6)
    return {"expert": expert, "own": record(own), "found": record(found), "horizon": record(timed)}


def occupancy() -> dict[str, object]:
    """How often a policy visits what, how long it takes, and how its return varies."""
    from operant.mdp import expected_steps, from_gymnasium, occupancy, return_variance, stationary

    lake, other = from_gymnasium("FrozenLake-v1", discount=0.95), dense(30, 3, 8)
    return {
        "visits": occupancy(lake, uniform(lake)),
        "started": occupancy(other, uniform(other), start=np.full(30, 1 / 30)),
        "steps": expected_steps(lake, uniform(lake)),
        "variance": return_variance(lake, uniform(lake)),
        "stationary": stationary(other, uniform(other)),
    }


def gradients() -> dict[str, object]:
    """The exact policy gradient of every criterion."""
    from operant.mdp import exact_policy_gradient, from_gymnasium

    lake, start = from_gymnasium("FrozenLake-v1", discount=0.95), np.full(20, 1 / 20)
    other = dense(20, 3, 9, start=start)
    logits = np.random.default_rng(10).normal(size=(20, 3))
    ways = {
        "discounted": exact_policy_gradient(other, logits),
        "lake": exact_policy_gradient(lake, np.zeros(lake.num_rows)),
        "average": exact_policy_gradient(other.replace(discount=1.0, criterion="average"), logits),
        "horizon": exact_policy_gradient(other, logits, horizon=5),
        "timed": exact_policy_gradient(other, np.stack([logits.ravel()] * 4), horizon=4),
    }
    return {name: record(way) for name, way in ways.items()}


def evaluation() -> dict[str, object]:
    """What a policy is worth, by every way to find out."""
    from operant.mdp import best_epsilon_soft, evaluate, evaluation_sweeps, worlds

    square, taxi = grid(15, 0.95), worlds.taxicab()
    policy, found = uniform(square), {}
    for method in ("exact", "iterative"):
        found[method] = record(evaluate(square, policy, method=method))
    found["average"] = record(evaluate(taxi, uniform(taxi)))
    found["total"] = record(evaluate(worlds.four_by_four(), uniform(worlds.four_by_four())))
    for order in ("synchronous", "in-place"):
        sweeps = evaluation_sweeps(square, policy, order=order)
        found[order] = [(values.copy(), change) for _, (values, change) in zip(range(4), sweeps, strict=False)]
    best, pi = best_epsilon_soft(worlds.cliff_walking(), 0.1)
    return found | {"epsilon-soft": answer(best), "epsilon-soft/pi": pi}


def graphs() -> dict[str, object]:
    """What is connected, what ends, and what a model is checked for."""
    from operant.mdp import can_terminate, check, components, maximal_end_components, proper, reachable, solve

    models = {"chain": chain(60, 0.9), "grid": grid(15, 1.0), "dense": dense(20, 2, 11)}
    found: dict[str, object] = {}
    for name, mdp in models.items():
        parts, ends = components(mdp), maximal_end_components(mdp)
        found[name] = {
            "components": record(parts), "ends": record(ends), "reachable": reachable(mdp, [0]),
            "terminate": can_terminate(mdp), "problems": len(check(mdp)),
        }  # fmt: skip
    return found | {"proper": proper(models["grid"], solve(models["grid"]).rows)}


def building() -> dict[str, object]:
    """Models made from functions, steps, logs and tables."""
    from operant.mdp import enumerate_mdp, from_gymnasium, from_logs, from_mdptoolbox, from_step

    def transition(s: int, a: int) -> list[tuple[float, int, float]]:
        return [(0.7, (s + a + 1) % 11, float(a)), (0.3, s // 2, -1.0)]

    def step(s: int, a: int) -> tuple[int, float, bool]:
        return (s * 2 + a) % 23, float(s % 3 - a), s == 22

    draws = np.random.default_rng(12)
    s, a = draws.integers(0, 9, 400), draws.integers(0, 3, 400)
    log = (s, a, s * 0.1 - a, (s + a * draws.integers(0, 2, 400)) % 9, np.zeros(400, dtype=bool))
    P, R = draws.dirichlet(np.ones(6), (2, 6)), draws.normal(size=(6, 2))
    made: dict[str, Callable[[], Any]] = {
        "function": lambda: enumerate_mdp(transition, 0, discount=0.9, actions=[0, 1, 2], quiet=True),
        "steps": lambda: from_step(step, 1, actions=[0, 1], discount=0.9, quiet=True),
        "logs": lambda: from_logs(log, discount=0.9, smoothing=0.5),
        "toolbox": lambda: from_mdptoolbox(P, R, discount=0.9),
        "taxi": lambda: from_gymnasium("Taxi-v4", discount=0.99),
    }
    return {name: {"rows": record(build().rows)} for name, build in made.items()}


def matrix_free() -> dict[str, object]:
    """A model that is never written down."""
    from operant.mdp import MatrixFree, solve_matrix_free

    def transition(s: Any, a: Any, successors: Any, probabilities: Any, rewards: Any) -> int:
        successors[0], probabilities[0], rewards[0] = (s * 7 + a) % 500, 0.8, 1.0 * a
        successors[1], probabilities[1], rewards[1] = s // 2, 0.2, -0.5
        return 2

    model = MatrixFree(transition=transition, states=500, actions=3, successors=2, discount=0.95)
    ways = ("value-iteration", "modified-policy-iteration")
    return {method: record(solve_matrix_free(model, method=method)) for method in ways}


def on_device() -> dict[str, object]:
    """By torch, on the CPU."""
    from operant.mdp import solve_on_device

    ways = ("value-iteration", "modified-policy-iteration")
    return {method: answer(solve_on_device(grid(20, 0.95), device="cpu", method=method)) for method in ways}


def files() -> dict[str, object]:
    """Models written and read again."""
    from operant.mdp import from_prism, load, open_mapped, save_mapped, solve, to_prism

    mdp = grid(10, 0.9).replace(states=None)
    save_mapped(mdp, "mapped")
    to_prism(mdp, "model.tra")
    Path("maze.txt").write_text(MAZE)
    maze = load("maze.txt", discount=0.9, rewards={"G": 1.0}, terminal="G", slip=0.1)
    return {
        "mapped": answer(solve(open_mapped("mapped"))),
        "prism": {"rows": record(from_prism("model.tra", discount=0.9).rows)},
        "maze": answer(solve(maze)),
    }


def bookworlds() -> dict[str, object]:
    """Every world of the books, as its rows."""
    from operant.mdp import worlds

    names = ("blackjack", "blocking_maze", "car_rental", "cliff_walking", "dyna_maze", "five_by_five", "forest",
             "four_by_four", "four_by_three", "gambler", "maximisation_bias", "random_walk", "shortcut_maze", "taxicab",
             "three_state", "two_state", "windy_grid")  # fmt: skip
    found: dict[str, object] = {}
    for name in names:
        made = getattr(worlds, name)()
        for k, mdp in enumerate(made if isinstance(made, tuple) else (made,)):
            found[f"{name}/{k}"] = {"rows": record(mdp.rows), "start": mdp.start, "discount": mdp.discount}
    return found
