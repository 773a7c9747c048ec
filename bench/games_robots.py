"""Boards, search and simulators: moves a second of games at random, simulations a second with a small network, and
steps a second of robots and of classic control, beside Gymnasium's one copy at a time.

    python bench/games_robots.py [--case boards search simulators solver] [--seconds 2]

Prints a JSON line a row. Where `OPENSPIEL_PYTHON` names a Python that has OpenSpiel,
its games are played beside ours, in turn, three times each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from _interleave import quiet
from operant.env import make
from operant.games import BoardPolicy, BoardSpec, Solver, best_of, game
from operant.search.tree import Search

PEERS = {"connect4": "connect_four", "go5": "go(board_size=5)", "hex7": "hex(board_size=7)"}
PEER = """
import random, sys, time, pyspiel
game, rng, moves, began = pyspiel.load_game(sys.argv[1]), random.Random(1), 0, time.perf_counter()
while time.perf_counter() - began < float(sys.argv[2]):
    state = game.new_initial_state()
    while not state.is_terminal():
        state.apply_action(rng.choice(state.legal_actions()))
        moves += 1
print(moves / (time.perf_counter() - began))
"""


def moves(name: str, seconds: float) -> float:
    """Moves a second of games played at random, a thousand at once; a move counts once for each game."""
    board, rng, done = game(name), np.random.default_rng(1), 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        states = board.start(1_000)
        while len(states):
            states = board.play(states, best_of(np.where(board.legal(states), 0.0, np.nan), rng))
            done += len(states)
            states = states[~board.over(states)]
    return done / (time.perf_counter() - began)


def simulations(num: int, leaves: int, seconds: float) -> float:
    """Simulations a second of so many searches of Connect-4 at once, by a perceptron of 128, 128."""
    policy = BoardPolicy(BoardSpec(game="connect4"), torch.Generator().manual_seed(1))
    states, search, done = policy.board.start(num), Search(simulations=200, leaves=leaves), 0
    policy.search(states, search)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        policy.search(states, search)
        done += num * search.simulations
    return done / (time.perf_counter() - began)


SIMULATORS = {
    "CartPole-v1": "CartPole-v1", "Pendulum-v1": "Pendulum-v1", "operant.robots:hopper": "Hopper-v5",
    "operant.robots:quadrotor": "",
}  # fmt: skip
"""With what Gymnasium has of the kind; MuJoCo's hopper is another model."""


def steps(env: str, num: int, backend: str, seconds: float) -> float:
    """Steps a second of so many copies, by actions that were drawn before."""
    copies, done = make(env, num, backend=backend), 0
    copies.action_space.seed(1)
    actions = np.stack([copies.action_space.sample() for _ in range(num)])
    copies.reset(1)
    copies.step(actions)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        copies.step(actions)
        done += num
    took = time.perf_counter() - began
    copies.close()
    return done / took


def in_turn(ours: Callable[[], float], theirs: Callable[[], float] | None) -> dict[str, float]:
    """The medians of both sides, three times each in turn, and how many times theirs ours is."""
    found = [(ours(), theirs() if theirs is not None else 0.0) for _ in range(3)]
    mine, other = (round(statistics.median(side), 1) for side in zip(*found, strict=True))
    return {"ours": mine} | ({"peer": other, "ratio": round(mine / other, 2)} if theirs is not None else {})


def boards(seconds: float) -> Iterator[dict[str, Any]]:
    """Moves a second of games at random."""
    peer = os.environ.get("OPENSPIEL_PYTHON", "")
    for name in ("tictactoe", "connect4", "gomoku7", "go5", "hex7"):
        moves(name, 0.01)

        def theirs(name: str = name) -> float:
            run = [peer, "-c", PEER, PEERS[name], str(seconds)]
            return float(subprocess.run(run, capture_output=True, check=True).stdout)

        yield {"game": name} | in_turn(partial(moves, name, seconds), theirs if peer and name in PEERS else None)


def search(seconds: float) -> Iterator[dict[str, Any]]:
    """Simulations a second, by how many games are searched at once and how many leaves are valued together."""
    for num, leaves in ((1, 1), (1, 8), (64, 1), (256, 1), (256, 8)):
        yield {"games": num, "leaves": leaves} | in_turn(partial(simulations, num, leaves, seconds), None)


def simulators(seconds: float) -> Iterator[dict[str, Any]]:
    """Steps a second of 1,024 copies, and of Gymnasium's one copy."""
    for env, single in SIMULATORS.items():
        theirs = partial(steps, single, 1, "inprocess", seconds) if single else None
        yield {"env": env, "theirs": single} | in_turn(partial(steps, env, 1_024, "batched", seconds), theirs)


def solver(_: float) -> Iterator[dict[str, Any]]:
    """Seconds in which a position of Connect-4 is solved, from ply 16 on."""
    board, rng, states = game("connect4"), np.random.default_rng(1), game("connect4").start(60)
    for _ in range(16):
        states = board.play(states, best_of(np.where(board.legal(states), 0.0, np.nan), rng))
        states = states[~board.over(states)]
    exact = Solver()
    exact.scores(states[:1])
    began = time.perf_counter()
    exact.scores(states[1:21])
    yield {"seconds_a_position": round((time.perf_counter() - began) / len(states[1:21]), 3)}


CASES = {"boards": boards, "search": search, "simulators": simulators, "solver": solver}


def main() -> None:
    """Print a JSON line for each row of the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement [2]")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    versions = {name: version(name) for name in ("operant", "gymnasium", "mujoco", "numba", "torch")}
    for case in args.case:
        for row in CASES[case](args.seconds):
            print(json.dumps({"bench": "games_robots", "case": case} | row | {"versions": versions}), flush=True)


if __name__ == "__main__":
    main()
