# pyright: basic
"""The compiled loop of episodes on a model, and the threads that give each seed one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from operant.mdp.analyse.sampler import compiled, first_state, transition
from operant.tabular.rules import begin, estimate, observe


@compiled
def run(memory, model, g, limit, returns, lengths, truncated_out, exact, errors):
    """Episodes until `returns` is full. Returns are undiscounted, with the value of the terminal state in them.

    `limit` cuts episodes. Where `exact` [S] is given, `errors` receives the root-mean-square difference of the
    estimates from it over the states that are not terminal, after each episode.
    """
    states = len(model.pointer) - 1
    for episode in range(len(returns)):
        state = first_state(model, g)
        row = begin(memory, state)
        total, age = 0.0, 0
        while True:
            next_state, reward, terminated = transition(model, row, g)
            total += reward
            age += 1
            truncated = age >= limit and not terminated
            row = observe(memory, state, row, reward, next_state, terminated, truncated)
            state = next_state
            if terminated or truncated:
                break
        returns[episode] = total + (model.worth[state] if terminated else 0.0)
        lengths[episode] = age
        truncated_out[episode] = truncated
        if len(exact) > 0:
            squares, count = 0.0, 0
            for s in range(states):
                if not model.terminal[s]:
                    difference = estimate(memory, s) - exact[s]
                    squares += difference * difference
                    count += 1
            errors[episode] = np.sqrt(squares / count)


def run_all(jobs: Sequence[tuple[Any, ...]], threads: int, loop: Any = run) -> None:
    """One call of the compiled loop per seed, `threads` at a time; it releases the interpreter."""
    loop(*jobs[0])  # compiles
    if threads == 1:
        for job in jobs[1:]:
            loop(*job)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(loop, *job) for job in jobs[1:]]:
            done.result()
