"""Classic control compiled by Numba: the equations of Gymnasium's environments, in their order and their precision.

State is [N, S] float64. What Gymnasium computes in float32 (a torque, the state of MountainCarContinuous) is computed
so here, and no multiplication is fused with an addition, so that a step gives the same numbers to the last bit wherever
sine and cosine do. First states come from a counter-based stream of each copy: a hash of its seed, its episode and the
component. Gymnasium draws from the same distribution with another generator.

Sources: Barto, Sutton and Anderson (1983), cart-pole; Sutton (1996), Acrobot; Moore (1990), mountain car; each as in
`gymnasium.envs.classic_control`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from operant.data.compiled import inner, outer
from operant.data.counter import GOLDEN, mix, uniform_at

Array = np.ndarray

CART_POLE, PENDULUM, ACROBOT, MOUNTAIN_CAR, CONTINUOUS_CAR = range(5)
EXACT = frozenset[str]()
"""No reordering: the numbers are those of Python."""

exact: Any = partial(inner, flags=EXACT)
F = np.float32


@exact
def clamp(x: Any, low: Any, high: Any) -> Any:
    """NaN passes."""
    x = low if x < low else x
    return high if x > high else x


# ---------------------------------------------------------------------------------------------------- the first state
@exact
def begin(kind: int, state: Array, n: int, seed: np.uint64, episode: np.uint64) -> None:
    """Fill state[n] with the first state of an episode of the copy that has this seed."""
    key = mix(mix(seed * GOLDEN) + episode * GOLDEN)
    if kind in (CART_POLE, ACROBOT):
        half = 0.05 if kind == CART_POLE else 0.1
        for k in range(4):
            x = -half + 2.0 * half * uniform_at(key, np.uint64(k))
            state[n, k] = x if kind == CART_POLE else F(x)
    elif kind == PENDULUM:
        state[n, 0] = -math.pi + 2.0 * math.pi * uniform_at(key, np.uint64(0))
        state[n, 1] = -1.0 + 2.0 * uniform_at(key, np.uint64(1))
    else:
        state[n, 0] = -0.6 + 0.2 * uniform_at(key, np.uint64(0))
        state[n, 1] = 0.0


@exact
def observe(kind: int, state: Array, n: int, obs: Array) -> None:
    """obs[n], float32, of state[n]."""
    if kind == PENDULUM:
        obs[n, 0], obs[n, 1], obs[n, 2] = math.cos(state[n, 0]), math.sin(state[n, 0]), state[n, 1]
    elif kind == ACROBOT:
        obs[n, 0], obs[n, 1] = math.cos(state[n, 0]), math.sin(state[n, 0])
        obs[n, 2], obs[n, 3] = math.cos(state[n, 1]), math.sin(state[n, 1])
        obs[n, 4], obs[n, 5] = state[n, 2], state[n, 3]
    else:
        for k in range(state.shape[1]):
            obs[n, k] = state[n, k]


# ---------------------------------------------------------------------------------------------------- the equations
@exact
def _cart_pole(s: Array, n: int, action: Any) -> tuple[float, bool]:
    x, x_dot, theta, theta_dot = s[n, 0], s[n, 1], s[n, 2], s[n, 3]
    force = 10.0 if action == 1 else -10.0
    cos, sin = math.cos(theta), math.sin(theta)
    temp = (force + 0.05 * (theta_dot * theta_dot) * sin) / 1.1
    theta_acc = (9.8 * sin - cos * temp) / (0.5 * (4.0 / 3.0 - 0.1 * (cos * cos) / 1.1))
    x_acc = temp - 0.05 * theta_acc * cos / 1.1
    x, x_dot = x + 0.02 * x_dot, x_dot + 0.02 * x_acc
    theta, theta_dot = theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc
    s[n, 0], s[n, 1], s[n, 2], s[n, 3] = x, x_dot, theta, theta_dot
    bound = 12 * 2 * math.pi / 360
    return 1.0, x < -2.4 or x > 2.4 or theta < -bound or theta > bound


@exact
def _pendulum(s: Array, n: int, action: Any) -> tuple[float, bool]:
    theta, speed = s[n, 0], s[n, 1]
    u = clamp(F(action), F(-2.0), F(2.0))
    angle = (theta + math.pi) % (2 * math.pi) - math.pi
    cost = angle * angle + 0.1 * (speed * speed) + np.float64(F(0.001) * (u * u))
    speed = clamp(speed + (15.0 * math.sin(theta) + np.float64(F(3.0) * u)) * 0.05, -8.0, 8.0)
    s[n, 0], s[n, 1] = theta + speed * 0.05, speed
    return -cost, False


@exact
def _acrobot_slope(theta1: float, theta2: float, speed1: float, speed2: float, torque: float) -> tuple[float, float]:
    """The accelerations of both links, by the equations of Sutton and Barto's book."""
    cos2, sin2 = math.cos(theta2), math.sin(theta2)
    d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0
    d2 = (0.25 + 0.5 * cos2) + 1.0
    phi2 = 4.9 * math.cos(theta1 + theta2 - math.pi / 2.0)
    phi1 = -0.5 * (speed2 * speed2) * sin2 - speed2 * speed1 * sin2 + 1.5 * 9.8 * math.cos(theta1 - math.pi / 2) + phi2
    acc2 = (torque + d2 / d1 * phi1 - 0.5 * (speed1 * speed1) * sin2 - phi2) / (1.25 - d2 * d2 / d1)
    return -(d2 * acc2 + phi1) / d1, acc2


@exact
def _acrobot(s: Array, n: int, action: Any) -> tuple[float, bool]:
    """One step of the classical Runge–Kutta method, of 0.2 s."""
    torque = np.float64(action) - 1.0
    a, b, c, d = s[n, 0], s[n, 1], s[n, 2], s[n, 3]
    e1, f1 = _acrobot_slope(a, b, c, d, torque)
    c2, d2 = c + 0.1 * e1, d + 0.1 * f1
    e2, f2 = _acrobot_slope(a + 0.1 * c, b + 0.1 * d, c2, d2, torque)
    c3, d3 = c + 0.1 * e2, d + 0.1 * f2
    e3, f3 = _acrobot_slope(a + 0.1 * c2, b + 0.1 * d2, c3, d3, torque)
    c4, d4 = c + 0.2 * e3, d + 0.2 * f3
    e4, f4 = _acrobot_slope(a + 0.2 * c3, b + 0.2 * d3, c4, d4, torque)
    sixth = 0.2 / 6.0
    a, b = a + sixth * (c + 2.0 * c2 + 2.0 * c3 + c4), b + sixth * (d + 2.0 * d2 + 2.0 * d3 + d4)
    c, d = c + sixth * (e1 + 2.0 * e2 + 2.0 * e3 + e4), d + sixth * (f1 + 2.0 * f2 + 2.0 * f3 + f4)
    a, b = _wrapped(a), _wrapped(b)
    c, d = clamp(c, -4 * math.pi, 4 * math.pi), clamp(d, -9 * math.pi, 9 * math.pi)
    s[n, 0], s[n, 1], s[n, 2], s[n, 3] = a, b, c, d
    over = -math.cos(a) - math.cos(b + a) > 1.0
    return (0.0 if over else -1.0), over


@exact
def _wrapped(x: float) -> float:
    """An angle within ±π, turn by turn."""
    while x > math.pi:
        x -= 2 * math.pi
    while x < -math.pi:
        x += 2 * math.pi
    return x


@exact
def _mountain_car(s: Array, n: int, action: Any) -> tuple[float, bool]:
    position, speed = s[n, 0], s[n, 1]
    speed = clamp(speed + ((action - 1) * 0.001 + math.cos(3 * position) * -0.0025), -0.07, 0.07)
    position = clamp(position + speed, -1.2, 0.6)
    if position == -1.2 and speed < 0:
        speed = 0.0
    s[n, 0], s[n, 1] = position, speed
    return -1.0, position >= 0.5 and speed >= 0


@exact
def _continuous_car(s: Array, n: int, action: Any, first: bool) -> tuple[float, bool]:
    """Gymnasium keeps the first state in float64 and every later one in float32, and computes in what it keeps."""
    position, speed = s[n, 0], s[n, 1]
    force = clamp(F(action), F(-1.0), F(1.0)) * F(0.0015)
    if first:
        speed += np.float64(force - F(0.0025 * math.cos(3 * position)))
        speed = clamp(speed, -0.07, 0.07)
        position = clamp(position + speed, -1.2, 0.6)
        stopped, there = position == -1.2, position >= 0.45
    else:
        x, v = F(position), F(speed)
        v += force - F(0.0025 * math.cos(np.float64(F(3.0) * x)))
        v = clamp(v, F(-0.07), F(0.07))
        x = clamp(x + v, F(-1.2), F(0.6))
        stopped, there = x == F(-1.2), x >= F(0.45)
        position, speed = np.float64(x), np.float64(v)
    if stopped and speed < 0:
        speed = 0.0
    there = bool(there and speed >= 0)
    s[n, 0], s[n, 1] = np.float64(F(position)), np.float64(F(speed))
    a = np.float64(clamp(F(action), F(-1.0), F(1.0)))
    return (100.0 if there else 0.0) - a * a * 0.1, there


@exact
def advance(kind: int, state: Array, n: int, action: Any, elapsed: int) -> tuple[float, bool]:
    """Move state[n] by one action; the reward, and whether the task ended."""
    if kind == CART_POLE:
        return _cart_pole(state, n, action)
    if kind == PENDULUM:
        return _pendulum(state, n, action)
    if kind == ACROBOT:
        return _acrobot(state, n, action)
    if kind == MOUNTAIN_CAR:
        return _mountain_car(state, n, action)
    return _continuous_car(state, n, action, elapsed == 0)


# ---------------------------------------------------------------------------------------------------- what Python calls
@exact
def step_all(
    kind: int, choices: int, limit: int, state: Array, elapsed: Array, seed: Array, episode: Array, last: Array,
    action: Array, obs: Array, reward: Array, terminated: Array, truncated: Array, final_obs: Array,
) -> int:  # fmt: skip
    """Step N copies, each reset inside the step that ends it.

    Args:
        kind: which environment; `choices` how many actions it has, 0 where an action is a number; `limit` its time
            limit in steps, 0 for none.
        state: [N, S] float64; `elapsed` [N] int64, steps of the open episodes; `seed`, `episode` [N] uint64; all
            brought up to date.
        last: [S], filled with the state of copy 0 before it was reset.
        action: [N] int64 or float32.
        obs, reward, terminated, truncated, final_obs: filled as in `operant.env.vector.Step`; rows of `final_obs` that
            did not end are left as they are.

    Returns:
        How many copies ended; -1 - n, with nothing stepped, where copy n was given none of the actions.
    """
    for n in range(state.shape[0]):
        if choices > 0 and (action[n] < 0 or action[n] >= choices):
            return -1 - n
    ended = 0
    for n in range(state.shape[0]):
        gain, over = advance(kind, state, n, action[n], elapsed[n])
        elapsed[n] += 1
        observe(kind, state, n, obs)
        reward[n], terminated[n], truncated[n] = gain, over, (not over) and elapsed[n] == limit
        if n == 0:
            for k in range(state.shape[1]):
                last[k] = state[0, k]
        if over or truncated[n]:
            ended += 1
            for k in range(obs.shape[1]):
                final_obs[n, k] = obs[n, k]
            episode[n] += np.uint64(1)
            elapsed[n] = 0
            begin(kind, state, n, seed[n], episode[n])
            observe(kind, state, n, obs)
    return ended


def _step(
    kind: int, choices: int, limit: int, state: Array, elapsed: Array, seed: Array, episode: Array, last: Array,
    action: Array, obs: Array, reward: Array, terminated: Array, truncated: Array, final_obs: Array,
) -> int:  # fmt: skip
    """`step_all`, called by Python."""
    return step_all(
        kind, choices, limit, state, elapsed, seed, episode, last, action, obs, reward, terminated, truncated, final_obs
    )


def _reset(kind: int, state: Array, seed: Array, obs: Array) -> None:
    """Fill `state` and `obs` with the first state of episode 0 of every copy."""
    for n in range(state.shape[0]):
        begin(kind, state, n, seed[n], np.uint64(0))
        observe(kind, state, n, obs)


step: Any = outer(_step, EXACT)
reset: Any = outer(_reset, EXACT)
