"""System identification: the parameters of a simulator under which it does what was seen of another world.

    minimise over λ  (1/K) Σ_k Σ_t ‖(obs_λ[k, t] − obs[k, t]) / s‖²

Short windows k of what was seen are played again from their first states with the same actions; s is the deviation of
each number. The search is CMA-ES over log λ of factors, within their limits (Hansen 2016, arXiv:1604.00772).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.config.randomise import Range
from operant.robots.simulator import Simulator
from operant.search.black_box import CMAES

State = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Positions and speeds [nq], [nv] of MuJoCo from what is observed [D]."""


class Window(NamedTuple):
    """What was seen: observations [T+1, D], and the actions [T, A] between them."""

    obs: NDArray[np.float64]
    action: NDArray[np.float32]


class Identified(NamedTuple):
    """The parameters that were found, and the error under them and under the model as it was made."""

    values: dict[str, float]
    error: float
    as_made: float


def windows(env: Any, act: Callable[[Any], Any], *, episodes: int, length: int, seed: int) -> list[Window]:
    """Play `episodes` from `seed` on, and cut them into windows of `length` steps; what is left over is not used."""
    found: list[Window] = []
    for k in range(episodes):
        obs, _ = env.reset(seed=seed + k)
        seen, done, over = [np.asarray(obs, np.float64)], list[NDArray[np.float32]](), False
        while not over:
            done.append(np.asarray(act(obs), np.float32))
            obs, _, terminated, truncated, _ = env.step(done[-1])
            seen.append(np.asarray(obs, np.float64))
            over = bool(terminated or truncated)
            if len(done) == length:
                found.append(Window(np.stack(seen), np.stack(done)))
                seen, done = seen[-1:], []
    return found


def identify(
    env: Any, parameters: Sequence[Range], seen: Sequence[Window], state: State, *, evaluations: int = 400,
    seed: int = 1,
) -> Identified:  # fmt: skip
    """The factors within their ranges under which `env` does most nearly what was seen; its model is put back.

    Args:
        env: a MuJoCo environment, without wrappers that change actions or observations.
        parameters: factors, whose least value is more than 0, and where they may lie.
        seen: windows of the other world.
        state: from what is observed to where the model stands.
        evaluations: how many parameters are tried, at most.
        seed: of the search.

    Raises:
        Unfit: as `Simulator`.
        ValueError: if there is nothing that was seen, or a parameter is none that a model has.
    """
    if not seen:
        raise ValueError("there are no windows: let episodes be longer, or windows shorter")
    if any(one.calibrated != 1.0 or one.low <= 0.0 for one in parameters):
        raise ValueError("only factors of more than 0 are identified: mass, size, friction, damping, gravity, gear")
    simulator = Simulator(env, parameters)
    scale = np.maximum(np.concatenate([window.obs for window in seen]).std(0), 1e-6)
    low, high = (np.log([one[side] for one in parameters]) for side in (1, 2))

    def error(values: Mapping[str, float]) -> float:
        simulator.write(values)
        return float(np.mean([_error(env, window, state, scale) for window in seen]))

    def named(x: NDArray[np.float64]) -> dict[str, float]:
        return {one.name: float(np.exp(value)) for one, value in zip(parameters, x, strict=True)}

    try:
        as_made = error({})
        search = CMAES(np.clip(np.zeros(len(low)), low, high), (high - low) / 4, seed=seed, low=low, high=high)
        while search.evaluations < evaluations:
            search.tell([-error(named(x)) for x in search.ask()])
    finally:
        simulator.restore()
    best, score = search.best
    return Identified(named(best), -score, as_made)


def _error(env: Any, window: Window, state: State, scale: NDArray[np.float64]) -> float:
    """The squared error of a window that is played again, of each number and step; as far as an episode goes."""
    env.reset()
    env.unwrapped.set_state(*state(window.obs[0]))
    total, steps = 0.0, 0
    for action, after in zip(window.action, window.obs[1:], strict=True):
        obs, _, terminated, truncated, _ = env.step(action)
        total, steps = total + float((((obs - after) / scale) ** 2).mean()), steps + 1
        if terminated or truncated:
            break
    return total / steps
