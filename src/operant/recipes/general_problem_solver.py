"""The General Problem Solver: what knowing the operators is worth, and where looking at one difference fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from operant.env.make import make_one
from operant.mdp import MDP, enumerate_mdp
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.search.means_ends import means_ends
from operant.search.planning_problem import Operator, Problem, apply, holds
from operant.search.planning_worlds import door_and_key, hanoi, jugs, sussman
from operant.search.regression import regression_plan
from operant.tabular import q_learning

DOOR = "MiniGrid-DoorKey-5x5-v0"
ACTIONS = {"left": 0, "right": 1, "forward": 2, "pickup": 3, "toggle": 5}
LETTERS = {"wall": "#", "door": "D", "key": "K", "goal": "G"}
Planner = Callable[[Problem], Sequence[Operator] | None]


def trial(t: Trial) -> Mapping[str, float]:
    """One arm: moves of each puzzle (0 where there is no plan), doors opened in MiniGrid itself, samples it took."""
    if t.arm == "q-learning":
        towers = (2,) if t.miniature else (2, 3, 4)
        return {f"samples hanoi {n}": samples(hanoi(n), t.seed, t.miniature) for n in towers}
    its = PLANNERS[t.arm]
    puzzles = {f"hanoi {n}": hanoi(n) for n in range(1, 6)} | {"sussman": sussman(), "jugs": jugs()}
    moves = {f"moves {name}": float(len(its(p) or ())) for name, p in puzzles.items()}
    excess = max(moves[f"moves hanoi {n}"] - (2**n - 1) for n in range(1, 6))
    solved = min(moves[f"moves hanoi {n}"] >= 2**n - 1 for n in range(1, 6))
    opened = [opens(its, 1000 * t.seed + k) for k in range(3 if t.miniature else 50)]
    return moves | {
        "hanoi solved": float(solved), "hanoi excess": excess, "doors": float(np.mean(opened)), "samples hanoi 4": 0.0
    }  # fmt: skip


PLANNERS: dict[str, Planner] = {
    "means-ends": means_ends,
    "protected": lambda problem: means_ends(problem, protect=True),
    "regression": regression_plan,
}


def opens(planner: Planner, seed: int) -> bool:
    """Whether a plan, made from what the grid looks like, earns the reward when MiniGrid carries it out."""
    env = make_one(DOOR, {}, None, (), measured=True)
    try:
        env.reset(seed=seed)
        grid: Any = env.unwrapped
        letters = [[LETTERS.get(getattr(grid.grid.get(x, y), "type", ""), ".") for x in range(5)] for y in range(5)]
        x, y = grid.agent_pos
        letters[y][x] = "S"
        plan = planner(door_and_key(["".join(line) for line in letters], int(grid.agent_dir)))
        rewards = [float(env.step(ACTIONS[operator.name])[1]) for operator in plan or ()]
        return bool(rewards) and rewards[-1] > 0.0
    finally:
        env.close()


def model_of(problem: Problem) -> MDP:
    """The problem as it is for someone who does not know what the operators do: all can be tried, −1 a step."""

    def transition(state: tuple[Any, ...], action: int) -> list[tuple[float, tuple[Any, ...], float]]:
        now = dict(zip(problem.initial, state, strict=True))
        its = problem.operators[action]
        after = apply(its, now) if holds(its.before, now) else now
        return [(1.0, tuple(after.values()), -1.0)]

    return enumerate_mdp(
        transition, tuple(problem.initial.values()), discount=1.0, actions=range(len(problem.operators)),
        terminal=lambda state: holds(problem.goal, dict(zip(problem.initial, state, strict=True))), quiet=True,
    )  # fmt: skip


def samples(problem: Problem, seed: int, miniature: bool) -> float:
    """Steps of the shortest Q-learning, in 10 · 2^k episodes, whose greedy policy takes as few moves as there are."""
    model, fewest = model_of(problem), len(regression_plan(problem) or ())
    for k in range(6 if miniature else 14):
        learned = q_learning(model, step_size=0.5, seeds=[seed], episodes=10 * 2**k, max_steps=5000)
        if greedy_moves(problem, model, learned.tables[0]) == fewest:
            return float(learned.steps)
    return float("nan")


def greedy_moves(problem: Problem, model: MDP, table: np.ndarray) -> int | None:
    """Moves to the goal by the greedy policy of action values [S, A]; None where it walks in circles."""
    number = {state: n for n, state in enumerate(model.states or ())}
    now = dict(problem.initial)
    for moves in range(model.num_states):
        if holds(problem.goal, now):
            return moves
        chosen = problem.operators[int(np.nanargmax(table[number[tuple(now.values())]]))]
        now = apply(chosen, now) if holds(chosen.before, now) else now
    return None


RECIPE = Recipe(
    name="general-problem-solver",
    title="The General Problem Solver",
    source="Newell, Shaw and Simon (1959); Ernst and Newell (1969), GPS: a case study in generality",
    paper="One program solved the towers of Hanoi, water jugs, integration and eight other kinds of task by "
    "means–ends analysis: find the most difficult difference between what is and what is wanted, take an operator that "
    "reduces it, and make it applicable first. It was given the operators and a table of which reduces what.",
    here="The towers of up to five disks, three blocks, two jugs, and DoorKey-5x5 of the MiniGrid package itself, in "
    "which plans are carried out. Everything is as in the literature; nothing is learnt but by Q-learning, which "
    "is told no operator's effect.",
    mechanism="Differences in an order of difficulty, one at a time. Without an order, all wishes at once, it is "
    "regression planning: a search, and complete.",
    arms={
        "means-ends": "differences one by one; what was done may be undone",
        "protected": "a difference that was reduced must stay so",
        "regression": "all that is wanted at once, backwards from the goal",
        "q-learning": "no operator is known: each has to be tried",
    },
    controls=("q-learning",),
    claims=(
        Claim(text="towers of one to five disks are solved", metric="hanoi solved", arm="means-ends", bar=1.0),
        Claim(text="in the fewest moves", metric="hanoi excess", arm="means-ends", bar=0.0, most=True),
        Claim(text="DoorKey's doors are opened", metric="doors", arm="means-ends", bar=1.0),
        Claim(text="the anomaly costs means–ends analysis moves that regression does not need",
              metric="moves sussman", arm="means-ends", over="regression", bar=1.0),
        Claim(text="with protection the anomaly has no plan in this order", metric="moves sussman", arm="protected",
              bar=0.0, most=True),
        Claim(text="Q-learning needs a thousand samples where planning needs none", metric="samples hanoi 4",
              arm="q-learning", over="means-ends", bar=1000.0, must=False),
    ),
    trial=trial,
    minutes=2.0,
)  # fmt: skip
