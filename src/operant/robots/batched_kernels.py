"""A hopper, a quadrotor and a cart-pole to swing up, compiled by Numba: N copies a call, fixed steps, equations below.

State is [N, S] float64. First states come from a counter-based stream of each copy, as in `classic_kernels`.

**Hopper**: a trunk of mass m and inertia J on a massless leg with a spring, its hip at the centre of mass. In flight
the leg is swung as it is told; where its foot meets the ground it stays, until the leg is as long as it was. In stance,
with r from foot to hip and l = ‖r‖,

    F = max(0, k (l₀ − l) + 500 N a₂),  τ = 100 N m a₁,  m v' = F r/l + τ (r_z, −r_x)/l² − m g e_z,  J ω' = τ.

Source: the spring-loaded inverted pendulum with a trunk (Blickhan 1989, The spring-mass model for running and hopping;
Poulakakis and Grizzle 2009, The spring loaded inverted pendulum as the hybrid zero dynamics of an asymmetric hopper).
m = 80 kg, k = 20 kN/m, l₀ = 1 m are those of running people (Geyer, Seyfarth and Blickhan 2006); the rest is ours.

**Quadrotor**: p' = v, m v' = R(q) Σf e_z − m g e_z, q' = ½ q ⊗ (0, ω), I ω' = Σ r_i × f_i e_z + (k_M/k_F) Σ ±f_i e_z
− ω × I ω; rotor i, at (±d/√2, ±d/√2), pushes f_i = (m g/4)(1 + a_i/2). No drag, no ground, no delay of the rotors.

Source: Luis and Le Ny (2016), Design of a trajectory tracking controller for a nanoquadcopter, arXiv:1608.05786, for
equations and the Crazyflie 2.0's constants, as Panerati et al. (2021, arXiv:2103.02142) have them: m = 27 g,
d = 39.7 mm, I = (1.4, 1.4, 2.17)·10⁻⁵ kg m², k_M/k_F = 7.94·10⁻¹²/3.16·10⁻¹⁰ m.

**Swing-up**: a cart of mass M on an endless track with friction b, a uniform pole of mass m and length l that hangs at
θ = 0, a force u = 10 N a on the cart. With Δ = 4 (M + m) − 3 m cos²θ,

    Δ x'' = 2 m l θ'² sin θ + 3 m g sin θ cos θ + 4 (u − b x'),
    l Δ θ'' = −3 m l θ'² sin θ cos θ − 6 (M + m) g sin θ − 6 (u − b x') cos θ.

Source: Deisenroth and Rasmussen (2011), PILCO: a model-based and data-efficient approach to policy search, for
equations and constants (M = m = l = 0.5, b = 0.1); Chua et al. (2018, arXiv:1805.12114) for the reward,
exp(−‖tip − goal‖²/l²) − 0.01 a², for steps of 0.04 s and 200 of them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from operant.data.compiled import inner, outer
from operant.data.counter import GOLDEN, mix, uniform_at

Array = np.ndarray
EXACT = frozenset[str]()
"""No reordering: the numbers are those of Python."""
exact: Any = partial(inner, flags=EXACT)

HOPPER, QUADROTOR, SWING_UP = range(3)
STATES, ACTIONS, OBSERVED, LIMITS = (9, 13, 4), (2, 4, 1), (9, 18, 5), (500, 500, 200)
GRAVITY, SECONDS, PARTS = 9.81, (0.02, 0.02, 0.04), (10, 2, 4)
"""Metres a second squared, the seconds of a step, and in how many parts it is integrated."""
MASS, INERTIA, STIFFNESS, LENGTH = 80.0, 4.58, 20_000.0, 1.0
TORQUE, THRUST, SWING, WIDEST = 100.0, 500.0, 5.0, 1.2
"""Of the hopper: N m, N, rad/s and rad."""
CART, RUBBING, POLE, PULL = 0.5, 0.1, 0.5, 10.0
"""Of the swing-up: kg of the cart and of the pole, N s/m, m, and N."""
DRONE, ARM, ROLL, YAW, DRAG = 0.027, 0.0397 / math.sqrt(2.0), 1.4e-5, 2.17e-5, 7.94e-12 / 3.16e-10


@exact
def spread(key: np.uint64, k: int, half: float) -> float:
    """A number in [−half, half)."""
    return half * (2.0 * uniform_at(key, np.uint64(k)) - 1.0)


@exact
def begin(kind: int, state: Array, n: int, seed: np.uint64, episode: np.uint64) -> None:
    """Fill state[n] with the first state of an episode of the copy that has this seed.

    Of a hopper: x, z, pitch, their speeds, where the foot stands, the leg's angle, whether it stands. It begins in the
    air, at a run. Of a quadrotor: position, speed, quaternion, angular speed of the body; the place to be at is 0. Of a
    swing-up: x, θ, their speeds; the pole hangs.
    """
    key = mix(mix(seed * GOLDEN) + episode * GOLDEN)
    for k in range(state.shape[1]):
        state[n, k] = 0.0
    if kind == HOPPER:
        state[n, 1], state[n, 2] = 1.1 + spread(key, 0, 0.05), spread(key, 1, 0.05)
        state[n, 3], state[n, 7] = 1.0 + spread(key, 2, 0.5), 0.1 + spread(key, 3, 0.1)
    elif kind == SWING_UP:
        for k in range(4):
            state[n, k] = spread(key, k, 0.1)
    else:
        for k in range(3):
            state[n, k], state[n, 3 + k] = spread(key, k, 0.5), spread(key, 3 + k, 0.2)
            state[n, 7 + k], state[n, 10 + k] = spread(key, 6 + k, 0.1), spread(key, 9 + k, 0.2)
        state[n, 6] = math.sqrt(1.0 - state[n, 7] ** 2 - state[n, 8] ** 2 - state[n, 9] ** 2)


@exact
def rotation(s: Array, n: int, i: int, j: int) -> float:
    """R_ij of the quaternion in s[n]."""
    w, x, y, z = s[n, 6], s[n, 7], s[n, 8], s[n, 9]
    if i == j:
        a, b = (y, z) if i == 0 else (x, z) if i == 1 else (x, y)
        return 1.0 - 2.0 * (a * a + b * b)
    k = 3 - i - j
    sign = 1.0 if (j - i) % 3 == 2 else -1.0  # R_13, R_21, R_32 add, the others take away
    return 2.0 * (s[n, 7 + i] * s[n, 7 + j] + sign * w * s[n, 7 + k])


@exact
def observe(kind: int, state: Array, n: int, obs: Array) -> None:
    """obs[n], float32, of state[n]: of a hopper height, pitch, speeds, the leg's angle and length, whether it stands;
    of a quadrotor position, speed, R, angular speed; of a swing-up x, sin θ, cos θ, both speeds."""
    if kind == HOPPER:
        x, z, foot, angle, stands = state[n, 0], state[n, 1], state[n, 6], state[n, 7], state[n, 8]
        length = math.hypot(x - foot, z) if stands else LENGTH
        obs[n, 0], obs[n, 1] = z - LENGTH, state[n, 2]
        for k in range(3):
            obs[n, 2 + k] = state[n, 3 + k]
        obs[n, 5], obs[n, 6], obs[n, 7], obs[n, 8] = math.sin(angle), math.cos(angle), length - LENGTH, stands
    elif kind == SWING_UP:
        obs[n, 0], obs[n, 1], obs[n, 2] = state[n, 0], math.sin(state[n, 1]), math.cos(state[n, 1])
        obs[n, 3], obs[n, 4] = state[n, 2], state[n, 3]
    else:
        for k in range(3):
            obs[n, k], obs[n, 3 + k], obs[n, 15 + k] = state[n, k], state[n, 3 + k], state[n, 10 + k]
            for j in range(3):
                obs[n, 6 + 3 * k + j] = rotation(state, n, k, j)


@exact
def slope(kind: int, s: Array, n: int, u: Array, out: Array) -> None:
    """out, the derivative of the continuous part of s[n] under forces u."""
    if kind == HOPPER:
        x, z = s[n, 0] - s[n, 6], s[n, 1]
        length = math.hypot(x, z)
        push = max(0.0, STIFFNESS * (LENGTH - length) + u[1]) / length
        turn = u[0] / (length * length)
        for k in range(3):
            out[k] = s[n, 3 + k]
        out[3], out[4] = (push * x + turn * z) / MASS, (push * z - turn * x) / MASS - GRAVITY
        out[5] = u[0] / INERTIA
        return
    if kind == SWING_UP:
        sin, cos, turn = math.sin(s[n, 1]), math.cos(s[n, 1]), s[n, 3]
        pull, whirl = u[0] - RUBBING * s[n, 2], CART * POLE * turn * turn * sin
        scale = 8.0 * CART - 3.0 * CART * cos * cos
        out[0], out[1] = s[n, 2], turn
        out[2] = (2.0 * whirl + 3.0 * CART * GRAVITY * sin * cos + 4.0 * pull) / scale
        out[3] = -(3.0 * whirl * cos + 12.0 * CART * GRAVITY * sin + 6.0 * pull * cos) / (POLE * scale)
        return
    w, x, y, z, p, q, r = s[n, 6], s[n, 7], s[n, 8], s[n, 9], s[n, 10], s[n, 11], s[n, 12]
    lift = (u[0] + u[1] + u[2] + u[3]) / DRONE
    for k in range(3):
        out[k], out[3 + k] = s[n, 3 + k], lift * rotation(s, n, k, 2)
    out[5] -= GRAVITY
    out[6], out[7] = 0.5 * (-x * p - y * q - z * r), 0.5 * (w * p + y * r - z * q)
    out[8], out[9] = 0.5 * (w * q - x * r + z * p), 0.5 * (w * r + x * q - y * p)
    out[10] = (ARM * (u[2] + u[3] - u[0] - u[1]) - (YAW - ROLL) * q * r) / ROLL
    out[11] = (ARM * (u[1] + u[2] - u[0] - u[3]) - (ROLL - YAW) * p * r) / ROLL
    out[12] = DRAG * (u[1] + u[3] - u[0] - u[2]) / YAW


@exact
def integrate(kind: int, s: Array, n: int, u: Array, h: float, work: Array) -> None:
    """A step h of the classical Runge–Kutta method; `work` is [3, S]: where it was, a slope, the sum of slopes."""
    size = 6 if kind == HOPPER else s.shape[1]
    for k in range(size):
        work[0, k], work[2, k] = s[n, k], 0.0
    for part in range(4):
        slope(kind, s, n, u, work[1])
        weight, reach = 2.0 if part in (1, 2) else 1.0, h if part == 2 else 0.5 * h
        for k in range(size):
            work[2, k] += weight * work[1, k]
            s[n, k] = work[0, k] + (reach * work[1, k] if part < 3 else h / 6.0 * work[2, k])


@exact
def hop(s: Array, n: int, swing: float, u: Array, h: float, work: Array) -> None:
    """A part of a hopper's step: stance until the leg is long again, flight until the foot is on the ground."""
    if s[n, 8]:
        integrate(HOPPER, s, n, u, h, work)
        x, z = s[n, 0] - s[n, 6], s[n, 1]
        s[n, 7] = math.atan2(-x, z)
        if math.hypot(x, z) >= LENGTH and x * s[n, 3] + z * s[n, 4] > 0.0:
            s[n, 8] = 0.0
        return
    s[n, 0], s[n, 1] = s[n, 0] + h * s[n, 3], s[n, 1] + h * s[n, 4] - 0.5 * GRAVITY * h * h
    s[n, 2], s[n, 4] = s[n, 2] + h * s[n, 5], s[n, 4] - GRAVITY * h
    s[n, 7] = min(max(s[n, 7] + swing * h, -WIDEST), WIDEST)
    if s[n, 1] <= LENGTH * math.cos(s[n, 7]) and s[n, 4] < 0.0:
        s[n, 6], s[n, 8] = s[n, 0] + LENGTH * math.sin(s[n, 7]), 1.0


@exact
def advance(kind: int, s: Array, n: int, action: Array, u: Array, work: Array) -> tuple[float, bool]:
    """Move s[n] by one action; the reward, and whether the task ended.

    A hopper is paid 1 + v_x − 0.001 ‖a‖², and falls below half a metre or where it leans by 0.8; a quadrotor is paid
    1 − ‖p‖/2 − 0.02 ‖ω‖, and is lost 2 m away or upside down; a swing-up never ends.
    """
    effort, h = 0.0, SECONDS[kind] / PARTS[kind]
    for k in range(ACTIONS[kind]):
        a = min(max(np.float64(action[n, k]), -1.0), 1.0)
        effort += a * a
        if kind == HOPPER:
            u[k] = (TORQUE if k == 0 else THRUST) * a
        else:
            u[k] = PULL * a if kind == SWING_UP else 0.25 * DRONE * GRAVITY * (1.0 + 0.5 * a)
    for _ in range(PARTS[kind]):
        if kind == HOPPER:
            hop(s, n, SWING * u[0] / TORQUE, u, h, work)
        else:
            integrate(kind, s, n, u, h, work)
    if kind == HOPPER:
        return 1.0 + s[n, 3] - 1e-3 * effort, s[n, 1] < 0.5 or abs(s[n, 2]) > 0.8
    if kind == SWING_UP:
        side, below = s[n, 0] + POLE * math.sin(s[n, 1]), POLE * (1.0 + math.cos(s[n, 1]))
        return math.exp(-(side * side + below * below) / (POLE * POLE)) - 0.01 * effort, False
    size = math.sqrt(s[n, 6] ** 2 + s[n, 7] ** 2 + s[n, 8] ** 2 + s[n, 9] ** 2)
    for k in range(6, 10):
        s[n, k] /= size
    far = math.sqrt(s[n, 0] ** 2 + s[n, 1] ** 2 + s[n, 2] ** 2)
    turns = math.sqrt(s[n, 10] ** 2 + s[n, 11] ** 2 + s[n, 12] ** 2)
    return 1.0 - 0.5 * far - 0.02 * turns, far > 2.0 or rotation(s, n, 2, 2) < 0.0


def _step(
    kind: int, limit: int, state: Array, elapsed: Array, seed: Array, episode: Array, action: Array, obs: Array,
    final: Array, reward: Array, terminated: Array, truncated: Array, last: Array,
) -> None:  # fmt: skip
    """Step N copies, each begun anew inside the step that ends it; what it observed last stands in `final`, and the
    state that copy 0 came to in `last`."""
    u, work = np.empty(4), np.empty((3, 13))
    for n in range(len(state)):
        gain, over = advance(kind, state, n, action, u, work)
        elapsed[n] += 1
        if n == 0:
            last[:] = state[0]
        reward[n], terminated[n], truncated[n] = gain, over, not over and elapsed[n] >= limit
        if over or truncated[n]:
            observe(kind, state, n, final)
            episode[n] += np.uint64(1)
            elapsed[n] = 0
            begin(kind, state, n, seed[n], episode[n])
        observe(kind, state, n, obs)


def _reset(kind: int, state: Array, seed: Array, obs: Array) -> None:
    """The first state of episode 0 of every copy."""
    for n in range(len(state)):
        begin(kind, state, n, seed[n], np.uint64(0))
        observe(kind, state, n, obs)


step: Any = outer(_step, EXACT)
reset: Any = outer(_reset, EXACT)
