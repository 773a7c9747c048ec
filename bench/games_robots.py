"""Boards, search and simulators: moves a second of games at random, simulations a second with a small network, and
steps a second of robots and of classic control, beside Gymnasium's one copy at a time.

    python bench/games_robots.py [seconds]

Where `OPENSPIEL_PYTHON` names a Python that has OpenSpiel, its games are played beside ours, in turn, three times each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

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


def main() -> None:
    """Print each row: the median of three."""
    torch.set_num_threads(1)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    peer = os.environ.get("OPENSPIEL_PYTHON", "")
    for name in ("tictactoe", "connect4", "gomoku7", "go5", "hex7"):
        moves(name, 0.01)
        ours, theirs = list[float](), list[float]()
        for _ in range(3):
            ours.append(moves(name, seconds))
            if peer and name in PEERS:
                text = subprocess.run([peer, "-c", PEER, PEERS[name], str(seconds)], capture_output=True, check=True)
                theirs.append(float(text.stdout))
        beside = f"; OpenSpiel from Python {statistics.median(theirs):>12,.0f}" if theirs else ""
        print(f"moves a second, {name:<10} {statistics.median(ours):>12,.0f}{beside}")
    for num, leaves in ((1, 1), (1, 8), (64, 1), (256, 1), (256, 8)):
        rate = statistics.median(simulations(num, leaves, seconds) for _ in range(3))
        print(f"simulations a second, {num:>3} games, {leaves} leaves {rate:>10,.0f}")
    for env, single in SIMULATORS.items():
        rate = statistics.median(steps(env, 1_024, "batched", seconds) for _ in range(3))
        theirs = statistics.median(steps(single, 1, "inprocess", seconds) for _ in range(3)) if single else 0.0
        beside = f"; {single} one at a time {theirs:>12,.0f}" if single else ""
        print(f"steps a second, {env:<24} {rate:>12,.0f}{beside}")
    board, rng, states = game("connect4"), np.random.default_rng(1), game("connect4").start(60)
    for _ in range(16):
        states = board.play(states, best_of(np.where(board.legal(states), 0.0, np.nan), rng))
        states = states[~board.over(states)]
    solver = Solver()
    solver.scores(states[:1])
    began = time.perf_counter()
    solver.scores(states[1:21])
    print(f"Connect-4 solved from ply 16, a position {(time.perf_counter() - began) / len(states[1:21]):.3f} s")


if __name__ == "__main__":
    main()
