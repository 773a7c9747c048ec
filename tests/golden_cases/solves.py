"""Golden solves: every method of `operant.mdp` on models of every criterion."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden_cases.case import Case

DISCOUNTED = (
    *("auto", "value-iteration", "gauss-seidel", "red-black", "q-value-iteration", "policy-iteration"),
    *("modified-policy-iteration", "inexact-policy-iteration", "prioritised-sweeping", "topological", "anderson"),
    "linear-programming",
)
TOTAL = ("auto", "policy-iteration", "linear-programming", "interval-iteration", "optimistic-value-iteration")
AVERAGE = ("auto", "relative-value-iteration", "multichain-policy-iteration")
MAZE = "#######\n#S..#G#\n#.#...#\n#...#.#\n#######\n"

CASES = (
    *(Case(name=f"mdp/discounted-{method}", call=("solves:discounted", method)) for method in DISCOUNTED),
    *(Case(name=f"mdp/total-{method}", call=("solves:total", method)) for method in TOTAL),
    *(Case(name=f"mdp/average-{method}", call=("solves:average", method)) for method in AVERAGE),
    Case(
        name="mdp/command",
        commands=(
            "solve FrozenLake-v1 --env.kwargs.map_name 8x8 --discount 0.99 --json",
            "solve car-rental --method modified-policy-iteration --epsilon 1e-4 --json",
            "solve maze.txt --discount 1 --env.kwargs.slip 0.2 --json",
            "solve taxicab --criterion average --json",
            "solve CliffWalking-v1 --discount 0.9 --horizon 15 --json",
        ),
        files={"maze.txt": MAZE},
        after=("report 1/run", "report 2/run"),
    ),
)


def dense(states: int, actions: int, seed: int, **more: Any) -> Any:
    """A model with random rows and rewards."""
    from operant.mdp import MDP

    draws = np.random.default_rng(seed)
    given: dict[str, Any] = {"discount": 0.95} | more
    return MDP(
        P=draws.dirichlet(np.full(states, 0.3), (states, actions)), R=draws.normal(size=(states, actions)), **given
    )


def chain(states: int, discount: float) -> Any:
    """A long chain of states that are left to one side alone, in blocks: many components."""
    from operant.mdp import MDP

    P, R = np.zeros((states, 2, states)), np.random.default_rng(5).normal(size=(states, 2))
    at = np.arange(states)
    P[at, 0, np.minimum(at + 1, states - 1)] = 0.9
    P[at, 0, at // 4 * 4] += 0.1
    P[at, 1, np.minimum(at + 2, states - 1)] = 1.0
    return MDP(P=P, R=R, discount=discount)


def grid(size: int, discount: float, slip: float = 0.2) -> Any:
    """A square with walls, pits and one goal."""
    from operant.mdp import grid_world

    draws = np.random.default_rng(3)
    signs = draws.choice(list("....#.p"), (size, size))
    signs[0, 0], signs[-1, -1] = "S", "G"
    signs[0, 1:], signs[1:, -1] = ".", np.where(np.arange(1, size) < size - 1, ".", "G")
    text = "\n".join("".join(row) for row in signs)
    rewards = {"G": 10.0, "p": -3.0}
    return grid_world(text, discount=discount, rewards=rewards, terminal="G", living_reward=-1.0, slip=slip)


def answer(solution: Any) -> dict[str, Any]:
    """The numbers of a solution and of its certificate."""
    sure = solution.certificate
    found = {name: getattr(solution, name) for name in ("values", "policy", "rows", "method", "iterations", "history")}
    found |= {f"certificate/{name}": getattr(sure, name) for name in ("lower", "upper", "policy_loss", "rounding")}
    found |= {} if solution.gain is None else {"gain": solution.gain}
    return found | {f"extra/{k}": v for k, v in solution.extra.items() if isinstance(v, int | float | np.ndarray)}


def uniform(mdp: Any) -> np.ndarray:
    """The policy that takes every action of a state as often, [L]."""
    return 1.0 / np.bincount(mdp.row_state, minlength=mdp.num_states)[mdp.row_state]


def discounted(method: str) -> dict[str, object]:
    """One method on small, random, chained and square models."""
    from operant.mdp import from_gymnasium, solve

    models = {
        "lake": from_gymnasium("FrozenLake-v1", discount=0.99),
        "dense": dense(60, 4, 1),
        "chain": chain(400, 0.99),
        "grid": grid(24, 0.97),
    }
    found = {name: answer(solve(mdp, 1e-6, method)) for name, mdp in models.items()}
    if method not in ("linear-programming", "policy-iteration"):
        found["large"] = answer(solve(grid(45, 0.99), 1e-4, method))
    if method != "linear-programming":
        found["warm"] = answer(solve(models["dense"], 1e-8, method, initial=np.linspace(-1, 1, 60), threads=2))
        found["cut"] = answer(solve(models["grid"], 1e-9, method, max_iterations=3))
    return found


def total(method: str) -> dict[str, object]:
    """One method on models without a discount that end."""
    from operant.mdp import solve, worlds

    models = {"gambler": worlds.gambler(0.4, goal=30), "corners": worlds.four_by_four(), "grid": grid(18, 1.0)}
    models |= {"cliff": worlds.cliff_walking(), "wind": worlds.windy_grid()}
    if method == "linear-programming":  # of models in which every policy that goes on loses
        del models["gambler"], models["grid"]
    found = {name: answer(solve(mdp, 1e-6, method)) for name, mdp in models.items()}
    if method != "linear-programming":
        found["must"] = answer(solve(models["grid"], 1e-6, method, must_terminate=True))
    return found


def average(method: str) -> dict[str, object]:
    """One method on models without a discount that go on."""
    from operant.mdp import solve, worlds

    models = {"taxicab": worlds.taxicab(), "dense": dense(50, 3, 2, discount=1.0, criterion="average")}
    models["forest"] = worlds.forest(40).replace(discount=1.0, criterion="average")
    return {name: answer(solve(mdp, 1e-6, method)) for name, mdp in models.items()}
