"""Small perceptrons compiled by Numba: acting, values, and updates of PPO and A2C. Plain arrays in, plain arrays out.

Inside, a matrix has one row per unit and one column ("lane") per sample, so that W [out, in] multiplies as torch stores
it, and tanh, softmax and losses run along contiguous lanes that the compiler vectorises. The products go to the BLAS of
SciPy in pieces so small that it never starts a thread of its own.

Parameters, gradients and Adam's moments are flat: [log_std?, W_1, b_1, …, W_L, b_L] (`perceptrons.side_by_side`).
Floating-point flags leave NaN and infinity alone: what breaks in training shows in the metrics.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import types

from operant.control.distributions import LOG_STD
from operant.data.compiled import compiled, inner, inner_counted, outer
from operant.env.classic_kernels import step_all

Array = np.ndarray
Real = float | np.floating[Any]

SINGLE_THREADED = 64**3
"""Multiplications up to which OpenBLAS computes a product on the calling thread."""
LANES = 64
"""Samples that pass through the network together: activations stay in the first-level cache."""
THIN = 8
"""Widths up to which a product with a transposed matrix is not slower than transposing it first."""

_RULED_OUT = np.float32(-1.5e38)
"""The logit of an action that is masked: its probability is exactly 0, and no difference of logits overflows."""
_HALF_LOG_TWO_PI, _LOG_TWO, _LOG_STD = 0.5 * math.log(2.0 * math.pi), math.log(2.0), LOG_STD


# ---------------------------------------------------------------------------------------------------- perceptron
@inner
def tanh(x: Real) -> Real:
    """A rational function, exact to 3e-7; it is the one of Eigen, `ptanh_float`."""
    bound = np.float32(7.90531110763549805)
    x = -bound if x < -bound else x  # written so that NaN passes
    x = bound if x > bound else x
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@inner
def log_slope(u: Real, log_two: Real) -> Real:
    """log(1 − tanh² u) = 2 (log 2 − |u| − log(1 + e^−2|u|)), exact for any u, in the type of both."""
    return np.float32(2.0) * (log_two - abs(u) - np.log(np.float32(1.0) + np.exp(np.float32(-2.0) * abs(u))))


@inner
def _lanes(sizes: Array) -> int:
    """How many samples pass through a perceptron of these widths together."""
    largest = 1
    for l in range(sizes.size - 1):
        largest = max(largest, sizes[l] * sizes[l + 1])
    return max(4, min(LANES, SINGLE_THREADED // largest))


@inner
def _units(sizes: Array) -> int:
    """Rows of the activations, input and output included."""
    total = 0
    for size in sizes:
        total += size
    return total


@inner_counted
def forward(theta: Array, sizes: Array, relu: bool, acts: Array, n: int) -> None:
    """Fill `acts`, which begins with the input [D, n], with the output [sizes[l], n] of every layer, end to end."""
    w, at = 0, 0
    for l in range(sizes.size - 1):
        i, o = sizes[l], sizes[l + 1]
        x = acts[at : at + i * n].reshape((i, n))
        y = acts[at + i * n : at + (i + o) * n].reshape((o, n))
        np.dot(theta[w : w + o * i].reshape((o, i)), x, y)
        w, at = w + o * i, at + i * n
        for k in range(o):
            row, b = y[k], theta[w + k]
            if l == sizes.size - 2:
                for p in range(n):
                    row[p] += b
            elif relu:
                for p in range(n):
                    z = row[p] + b
                    row[p] = np.float32(0.0) if z < np.float32(0.0) else z
            else:
                for p in range(n):
                    row[p] = tanh(row[p] + b)
        w += o


@inner_counted
def backward(theta: Array, grad: Array, sizes: Array, relu: bool, acts: Array, deltas: Array, n: int) -> None:
    """Add dLoss/dθ to `grad`; `deltas`, laid out as `acts`, holds dLoss/d(output) in its last part."""
    w, at = grad.size, n * (_units(sizes) - sizes[-1])
    for l in range(sizes.size - 2, -1, -1):
        i, o = sizes[l], sizes[l + 1]
        delta = deltas[at : at + o * n].reshape((o, n))
        at -= i * n
        x = acts[at : at + i * n].reshape((i, n))
        w -= o
        for k in range(o):
            row, total = delta[k], np.float32(0.0)
            for p in range(n):
                total += row[p]
            grad[w + k] += total
        w -= o * i
        if min(o, i) > THIN:
            rows = np.empty((n, i), np.float32)
            for p in range(n):
                for k in range(i):
                    rows[p, k] = x[k, p]
            part = np.dot(delta, rows).reshape(o * i)
        else:
            part = np.dot(delta, x.T).reshape(o * i)
        whole = grad[w : w + o * i]
        for k in range(o * i):
            whole[k] += part[k]
        if l > 0:
            behind = deltas[at : at + i * n]
            np.dot(theta[w : w + o * i].reshape((o, i)).T, delta, behind.reshape((i, n)))
            y = acts[at : at + i * n]
            if relu:
                for p in range(i * n):
                    behind[p] = behind[p] if y[p] > np.float32(0.0) else np.float32(0.0)
            else:
                for p in range(i * n):
                    behind[p] *= np.float32(1.0) - y[p] * y[p]


# ---------------------------------------------------------------------------------------------------- acting
@inner
def _observe(obs: Array, size: int, mean: Array, var: Array, clip: Real, acts: Array) -> None:
    """[n, D] raw → acts [D, n]: clip((x − mean)/√(var + 1e-8)), as `ObsNormalizer`; as it is where `mean` is empty."""
    n = obs.shape[0]
    for d in range(size):
        if mean.size == 0:
            for p in range(n):
                acts[d * n + p] = obs[p, d]
        else:
            scale = 1.0 / math.sqrt(var[d] + 1e-8)
            for p in range(n):
                x = (obs[p, d] - mean[d]) * scale
                x = -clip if x < -clip else x
                acts[d * n + p] = clip if x > clip else x


@outer
def act_categorical(
    theta: Array, sizes: Array, relu: bool, obs: Array, mean: Array, var: Array, clip: Real, noise: Array
) -> tuple[Array, Array]:
    """Sample softmax(net(obs)) by inverse CDF: the first action whose cumulated probability exceeds `noise`.

    Args:
        theta: [P] weights of the network; `sizes` [L+1] int64 and `relu` describe it.
        obs: [N, D] float32, raw; `mean`, `var` [D] float64 (or empty) and `clip` normalise it. With K further columns,
            an action is chosen only where its own is not 0.
        noise: [N] float32, uniform on [0, 1).

    Returns:
        action [N] int64, log π(action|obs) [N] float32.
    """
    total, k, width = obs.shape[0], sizes[-1], _lanes(sizes)
    action, logp = np.empty(total, np.int64), np.empty(total, np.float32)
    acts = np.empty(_units(sizes) * min(width, total), np.float32)
    for start in range(0, total, width):
        n = min(width, total - start)
        _observe(obs[start : start + n], sizes[0], mean, var, clip, acts)
        forward(theta, sizes, relu, acts, n)
        z = acts[(_units(sizes) - k) * n :]
        if obs.shape[1] > sizes[0]:
            for p in range(n):
                for a in range(k):
                    if obs[start + p, sizes[0] + a] == np.float32(0.0):
                        z[a * n + p] = _RULED_OUT
        for p in range(n):
            top = z[p]
            for a in range(1, k):
                top = max(top, z[a * n + p])
            mass = np.float32(0.0)
            for a in range(k):
                mass += np.exp(z[a * n + p] - top)
            goal, reach, chosen = noise[start + p] * mass, np.float32(0.0), 0
            for a in range(k):
                weight = np.exp(z[a * n + p] - top)
                if weight > np.float32(0.0):
                    chosen = a  # rounding cannot lead past the last action of positive probability
                reach += weight
                if reach > goal:
                    break
            action[start + p] = chosen
            logp[start + p] = z[chosen * n + p] - top - np.log(mass)
    return action, logp


@outer
def act_normal(
    theta: Array, sizes: Array, relu: bool, obs: Array, mean: Array, var: Array, clip: Real, noise: Array
) -> tuple[Array, Array]:
    """Sample N(net(obs), exp(log_std)²): action = mean + exp(log_std) · noise.

    Arguments as in `act_categorical`, but `theta` begins with log_std [A] and `noise` [N, A] is standard normal.

    Returns:
        action [N, A] float32, log π(action|obs) [N] float32.
    """
    total, k, width = obs.shape[0], sizes[-1], _lanes(sizes)
    action, logp = np.empty((total, k), np.float32), np.empty(total, np.float32)
    acts = np.empty(_units(sizes) * min(width, total), np.float32)
    for start in range(0, total, width):
        n = min(width, total - start)
        _observe(obs[start : start + n], sizes[0], mean, var, clip, acts)
        forward(theta[k:], sizes, relu, acts, n)
        z = acts[(_units(sizes) - k) * n :]
        for p in range(n):
            value = np.float32(0.0)
            for a in range(k):
                e = noise[start + p, a]
                action[start + p, a] = z[a * n + p] + np.exp(theta[a]) * e
                value -= np.float32(0.5) * e * e + theta[a] + np.float32(_HALF_LOG_TWO_PI)
            logp[start + p] = value
    return action, logp


@outer
def estimate(theta: Array, sizes: Array, relu: bool, obs: Array) -> Array:
    """V [S] of obs [S, D], normalised."""
    total, width, none = obs.shape[0], _lanes(sizes), np.empty(0)
    value = np.empty(total, np.float32)
    acts = np.empty(_units(sizes) * min(width, total), np.float32)
    for start in range(0, total, width):
        n = min(width, total - start)
        _observe(obs[start : start + n], sizes[0], none, none, np.float32(0.0), acts)
        forward(theta, sizes, relu, acts, n)
        at = n * (_units(sizes) - 1)
        for p in range(n):
            value[start + p] = acts[at + p]
    return value


@outer
def act_greedy(
    theta: Array, sizes: Array, relu: bool, obs: Array, mean: Array, var: Array, clip: Real, noise: Array
) -> tuple[Array, Array]:
    """The first action of the largest value, or another.

    Arguments as in `act_categorical`, but `noise` [N, 3] is the action that is taken whatever the values are, or −1; ε,
    the share of such actions; and K, the numbers that the network gives for each action, whose mean is its value.

    Returns:
        action [N] int64, its log-probability [N] float32.
    """
    total, k, width = obs.shape[0], sizes[-1], _lanes(sizes)
    action, logp = np.empty(total, np.int64), np.empty(total, np.float32)
    acts = np.empty(_units(sizes) * min(width, total), np.float32)
    for start in range(0, total, width):
        n = min(width, total - start)
        _observe(obs[start : start + n], sizes[0], mean, var, clip, acts)
        forward(theta, sizes, relu, acts, n)
        z = acts[(_units(sizes) - k) * n :]
        for p in range(n):
            forced, share, atoms = noise[start + p, 0], noise[start + p, 1], np.int64(noise[start + p, 2])
            best, top = 0, np.float32(0.0)
            for a in range(k // atoms):
                value = np.float32(0.0)
                for j in range(a * atoms, (a + 1) * atoms):
                    value += z[j * n + p]
                if a == 0 or value > top:
                    best, top = a, value
            chosen = best if forced < np.float32(0.0) else np.int64(forced)
            chance = share * atoms / k + (np.float32(1.0) - share if chosen == best else np.float32(0.0))
            action[start + p], logp[start + p] = chosen, np.log(np.float32(chance))
    return action, logp


@outer
def act_squashed(
    theta: Array, sizes: Array, relu: bool, obs: Array, mean: Array, var: Array, clip: Real, noise: Array
) -> tuple[Array, Array]:
    """clamp(tanh u + noise, ±1): u is the network's output, or drawn from N(output, exp(second output)²).

    Arguments as in `act_categorical`, but `noise` [N, 2 A + 1] is standard normal, for the draw; what is added to the
    squashed action; and the number to which the network's log deviation is added.

    Returns:
        action [N, A] float32, log-density of tanh u [N] float32, 0 where nothing was drawn.
    """
    total, k, width, count = obs.shape[0], sizes[-1], _lanes(sizes), noise.shape[1] // 2
    action, logp = np.empty((total, count), np.float32), np.empty(total, np.float32)
    acts = np.empty(_units(sizes) * min(width, total), np.float32)
    for start in range(0, total, width):
        n = min(width, total - start)
        _observe(obs[start : start + n], sizes[0], mean, var, clip, acts)
        forward(theta, sizes, relu, acts, n)
        z = acts[(_units(sizes) - k) * n :]
        for p in range(n):
            value, drawn = np.float32(0.0), noise[start + p]
            for a in range(count):
                u = z[a * n + p]
                if k > count:
                    log_std = z[(count + a) * n + p] + drawn[2 * count]
                    log_std = np.float32(_LOG_STD[0]) if log_std < np.float32(_LOG_STD[0]) else log_std
                    log_std = np.float32(_LOG_STD[1]) if log_std > np.float32(_LOG_STD[1]) else log_std
                    u += np.exp(log_std) * drawn[a]
                    value -= np.float32(0.5) * drawn[a] * drawn[a] + log_std + np.float32(_HALF_LOG_TWO_PI)
                    value -= log_slope(u, np.float32(_LOG_TWO))
                unit = np.float32(math.tanh(u)) + drawn[count + a]
                unit = np.float32(-1.0) if unit < np.float32(-1.0) else unit
                action[start + p, a] = np.float32(1.0) if unit > np.float32(1.0) else unit
            logp[start + p] = value
    return action, logp


# ---------------------------------------------------------------------------------------------------- whole segments
def _stretched(unit: Array, low: Any, reach: Any) -> Array:
    """low + reach (unit + 1)/2, rounded after each operation, as torch does; as they are with `reach` 0."""
    if reach == np.float32(0.0):
        return unit
    found = np.empty_like(unit)
    for n in range(unit.size):
        found[n] = low + reach * (np.float32(0.5) * (unit[n] + np.float32(1.0)))
    return found


stretched = compiled(_stretched, forceinline=True, error_model="numpy", fastmath=set())


def _collect(
    act: Any, theta: Array, sizes: Array, relu: bool, mean: Array, var: Array, clip: Any, noise: Array, kind: int,
    choices: int, limit: int, state: Array, elapsed: Array, seed: Array, episode: Array, last: Array, low: Any,
    reach: Any, obs: Array, action: Array, logp: Array, reward: Array, terminated: Array, truncated: Array,
    final_obs: Array,
) -> None:  # fmt: skip
    """A compiled policy acts T times in compiled environments.

    Args:
        act: a kernel that acts, as `act_categorical`, whose network and normaliser follow. It comes as a pointer, so
            that it is the very code that acts a step at a time, and its numbers are the same to the last bit.
        noise: [T, N, …], as `act` wants it.
        kind: with what follows up to `last`, the environments; see `operant.env.classic_kernels.step_all`.
        low, reach: where actions in [-1, 1] are stretched to; with `reach` 0 the environments take them as they are.
        obs: [T+1, N, D], of which obs[0] is given; the rest is filled, as are `action` [T, N], `logp`, `reward`,
            `terminated`, `truncated` [T, N] and the rows of `final_obs` [T, N, D] that ended.
    """
    for t in range(noise.shape[0]):
        chosen, its = act(theta, sizes, relu, obs[t], mean, var, clip, noise[t])
        flat = chosen.reshape(its.size)
        for n in range(its.size):
            action[t, n], logp[t, n] = flat[n], its[n]
        step_all(
            kind, choices, limit, state, elapsed, seed, episode, last, stretched(flat, low, reach), obs[t + 1],
            reward[t], terminated[t], truncated[t], final_obs[t],
        )  # fmt: skip


def _array(of: Any, dimensions: int) -> Any:
    return types.Array(of, dimensions, "C")


@cache
def collecting(action: int, drawn: int) -> Any:
    """`_collect` for actions [N] that are choices or [N, A], of 1 or 2 dimensions, and for noise of so many a step.

    With one signature, since a pointer has one.
    """
    real, double, bit = types.float32, types.float64, types.boolean
    number: Any = real if action > 1 else types.int64
    network = (_array(real, 1), _array(types.int64, 1), bit)
    moments = (_array(double, 1), _array(double, 1), real)
    acted = types.Tuple((_array(number, action), _array(real, 1)))
    act = types.FunctionType(acted(*network, _array(real, 2), *moments, _array(real, drawn)))
    counts, places = (types.int64,) * 3, (_array(types.uint64, 1),) * 2
    world = (*counts, _array(double, 2), _array(types.int64, 1), *places, _array(double, 1))
    segment = (_array(real, 3), _array(number, 2), *(_array(real, 2),) * 2, *(_array(bit, 2),) * 2, _array(real, 3))
    made: Any = outer(_collect)
    taken = (act, *network, *moments, _array(real, drawn + 1), *world, real, real, *segment)
    made.compile(types.void(*taken))
    return _Collecting(made.overloads[taken].entry_point, act.signature)


class _Collecting:
    """Calls `_collect`, past the dispatcher, which would look at every argument's type, and at the address of `act`."""

    def __init__(self, entry: Any, signature: Any) -> None:
        self._entry, self._signature = entry, signature
        self._pointers: dict[Any, _Pointer] = {}

    def __call__(self, act: Any, *arguments: Any) -> None:
        pointer = self._pointers.get(act)
        if pointer is None:
            pointer = self._pointers[act] = _Pointer(act, self._signature)
        self._entry(pointer, *arguments)


class _Pointer:
    """A compiled kernel's address, by Numba's protocol."""

    def __init__(self, kernel: Any, signature: Any) -> None:
        found = kernel.get_compile_result(signature)
        self._kept = found  # as long as it is pointed to
        self._address: int = found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name)

    def __wrapper_address__(self) -> int:
        return self._address


# ---------------------------------------------------------------------------------------------------- updates
@inner
def _categorical(z: Array, prob: Array, action: Array, logp: Array, entropy: Array) -> None:
    """z [K, n]: logits → log-probabilities, in place; fills prob [K, n], log π(action) [n] and entropy [n]."""
    k, n = z.shape
    for p in range(n):
        top = z[0, p]
        for a in range(1, k):
            top = max(top, z[a, p])
        mass = np.float32(0.0)
        for a in range(k):
            prob[a, p] = np.exp(z[a, p] - top)
            mass += prob[a, p]
        shift, h = top + np.log(mass), np.float32(0.0)
        for a in range(k):
            z[a, p] -= shift
            prob[a, p] /= mass
            h -= prob[a, p] * z[a, p]
        logp[p] = z[np.int64(action[p, 0]), p]
        entropy[p] = h


@inner
def _categorical_slope(z: Array, prob: Array, action: Array, slope: Array, entropy: Array, bonus: Real) -> None:
    """prob [K, n] → dLoss/dlogits, from slope [n] = dLoss/dlogp and bonus = −dLoss/dentropy."""
    k, n = z.shape
    for a in range(k):
        for p in range(n):
            chosen = np.float32(1.0) if action[p, 0] == a else np.float32(0.0)
            prob[a, p] = slope[p] * (chosen - prob[a, p]) + bonus * prob[a, p] * (z[a, p] + entropy[p])


@inner
def _normal(mean: Array, noise: Array, log_std: Array, action: Array, logp: Array, entropy: Array) -> None:
    """Fills noise [A, n] = (action − mean)/std, log π(action) [n] and entropy [n]."""
    k, n = mean.shape
    h = np.float32(k * (0.5 + _HALF_LOG_TWO_PI))
    for a in range(k):
        h += log_std[a]
    for p in range(n):
        entropy[p] = h
        logp[p] = np.float32(0.5 * k) - h
    for a in range(k):
        scale = np.exp(-log_std[a])
        for p in range(n):
            e = (action[p, a] - mean[a, p]) * scale
            noise[a, p] = e
            logp[p] -= np.float32(0.5) * e * e


@inner
def _normal_slope(noise: Array, log_std: Array, grad: Array, slope: Array) -> None:
    """noise [A, n] → dLoss/dmean; adds the surrogate's part of dLoss/dlog_std to `grad` [A]."""
    k, n = noise.shape
    for a in range(k):
        scale, total = np.exp(-log_std[a]), np.float32(0.0)
        for p in range(n):
            e = noise[a, p]
            total += slope[p] * (e * e - np.float32(1.0))
            noise[a, p] = slope[p] * e * scale
        grad[a] += total


@inner_counted
def _actor(
    theta: Array, grad: Array, sizes: Array, relu: bool, normal: bool, ratios: bool, obs: Array, action: Array,
    past: Array, allowed: Array, index: Array, whiten: bool, clip: Array, bonus: Real, totals: Array,
) -> None:  # fmt: skip
    """Gradient of −surrogate − bonus · entropy over the minibatch `index`, and its metrics; see `epoch`."""
    count, k, width = max(index.size, 1), sizes[-1], _lanes(sizes)
    shift, scale = _moments(past, index) if whiten else (np.float32(0.0), np.float32(1.0))
    acts, deltas = np.empty(_units(sizes) * width, np.float32), np.empty(_units(sizes) * width, np.float32)
    taken, logp = np.empty((width, action.shape[1]), np.float32), np.empty(width, np.float32)
    entropy, slope = np.empty(width, np.float32), np.empty(width, np.float32)
    log_std, net = theta[: k * normal], theta[k * normal :]
    for start in range(0, index.size, width):
        n = min(width, index.size - start)
        for p in range(n):
            for a in range(taken.shape[1]):
                taken[p, a] = action[index[start + p], a]
        _gather(obs, index[start : start + n], acts)
        forward(net, sizes, relu, acts, n)
        at = n * (_units(sizes) - k)
        z, delta = acts[at : at + k * n].reshape((k, n)), deltas[at : at + k * n].reshape((k, n))
        if normal:
            _normal(z, delta, log_std, taken, logp, entropy)
        else:
            if allowed.shape[0] > 0:
                for p in range(n):
                    for a in range(k):
                        if allowed[index[start + p], a] == np.float32(0.0):
                            z[a, p] = _RULED_OUT
            _categorical(z, delta, taken, logp, entropy)
        for p in range(n):
            s = index[start + p]
            adv = (past[1, s] - shift) * scale
            totals[1] += entropy[p]
            if not ratios:
                slope[p] = -adv / count
                totals[0] -= logp[p] * adv
                continue
            log_ratio = logp[p] - past[0, s]
            ratio = np.exp(log_ratio)
            clipped = clip[0] if ratio < clip[0] else (clip[1] if ratio > clip[1] else ratio)
            free, bound = ratio * adv, clipped * adv
            slope[p] = np.float32(0.0) if bound < free else -free / count
            totals[0] -= bound if bound < free else free
            totals[2] += math.expm1(log_ratio) - log_ratio
            totals[3] += clipped != ratio
        if normal:
            _normal_slope(delta, log_std, grad, slope)
        else:
            _categorical_slope(z, delta, taken, slope, entropy, bonus / np.float32(count))
        backward(net, grad[k * normal :], sizes, relu, acts, deltas, n)
    for a in range(log_std.size * (index.size > 0)):
        grad[a] -= bonus
    for j in range(4):
        totals[j] /= count


@inner_counted
def _critic(
    theta: Array, grad: Array, sizes: Array, relu: bool, obs: Array, past: Array, index: Array, clip: Real,
    weight: Real, totals: Array,
) -> None:  # fmt: skip
    """Gradient of weight · value loss over the minibatch `index`, and its metric; see `epoch`."""
    count, width = max(index.size, 1), _lanes(sizes)
    acts, deltas = np.empty(_units(sizes) * width, np.float32), np.empty(_units(sizes) * width, np.float32)
    for start in range(0, index.size, width):
        n = min(width, index.size - start)
        _gather(obs, index[start : start + n], acts)
        forward(theta, sizes, relu, acts, n)
        at = n * (_units(sizes) - 1)
        for p in range(n):
            s = index[start + p]
            value, target, old = acts[at + p], past[2, s], past[3, s]
            error, slope = value - target, np.float32(1.0)
            if clip >= np.float32(0.0):
                move = value - old
                held = -clip if move < -clip else (clip if move > clip else move)
                other = old + held - target
                if other * other > error * error:
                    error, slope = other, np.float32(1.0 if held == move else 0.0)
            totals[0] += np.float32(0.5) * error * error
            deltas[at + p] = weight * slope * error / count
        backward(theta, grad, sizes, relu, acts, deltas, n)
    totals[0] /= count


@inner
def _gather(obs: Array, index: Array, acts: Array) -> None:
    """Rows `index` of obs [S, D] → acts [D, n]."""
    n = index.size
    for p in range(n):
        row = obs[index[p]]
        for d in range(row.size):
            acts[d * n + p] = row[d]


@inner
def _moments(past: Array, index: Array) -> tuple[Real, Real]:
    """Mean and 1/(deviation + 1e-8) of the minibatch's advantages, as `operant.math.baseline.whiten`."""
    total, square = 0.0, 0.0
    for s in index:
        total += past[1, s]
    mean = total / index.size
    for s in index:
        square += (past[1, s] - mean) ** 2
    return np.float32(mean), np.float32(1.0 / (math.sqrt(square / max(index.size - 1, 1)) + 1e-8))


@inner
def _adam(theta: Array, grad: Array, first: Array, second: Array, scale: Real, rates: Array, step: int) -> None:
    """One step of `torch.optim.Adam` on flat arrays of one type, gradient `scale` · grad; rates = (lr, β1, β2, ε)."""
    rate = theta.dtype.type(rates[0] / (1.0 - rates[1] ** step))
    root = theta.dtype.type(math.sqrt(1.0 - rates[2] ** step))
    keep, mix1, mix2 = theta.dtype.type(rates[2]), theta.dtype.type(1.0 - rates[1]), theta.dtype.type(1.0 - rates[2])
    eps = theta.dtype.type(rates[3])
    for k in range(theta.size):
        g = scale * grad[k]
        first[k] += mix1 * (g - first[k])
        second[k] = keep * second[k] + mix2 * g * g
        theta[k] -= rate * (first[k] / (np.sqrt(second[k]) / root + eps))


@inner
def _rmsprop(theta: Array, grad: Array, square: Array, scale: Real, rates: Array) -> None:
    """One step of `torch.optim.RMSprop` on flat arrays, with gradient `scale` · grad; rates = (lr, _, α, ε)."""
    rate, keep, mix = np.float32(rates[0]), np.float32(rates[2]), np.float32(1.0 - rates[2])
    eps = np.float32(rates[3])
    for k in range(theta.size):
        g = scale * grad[k]
        square[k] = keep * square[k] + mix * g * g
        theta[k] -= rate * (g / (np.sqrt(square[k]) + eps))


@inner
def _square(grad: Array) -> Real:
    total = np.float32(0.0)
    for k in range(grad.size):
        total += grad[k] * grad[k]
    return total


SGD, RMSPROP, ADAM = range(3)
"""Who takes the step: also how many moments it keeps."""


@outer
def epoch(
    theta: Array, grad: Array, first: Array, second: Array, step: int, actor: Array, critic: Array, relu: bool,
    normal: bool, ratios: bool, obs: Array, action: Array, past: Array, allowed: Array, order: Array, batch: int,
    whiten: bool, loss: Array, rule: int, rates: Array, metrics: Array,
) -> None:  # fmt: skip
    """One pass over decisions in minibatches: gradients, norm clipping, a step of the optimiser.

    The loss is that of `operant.control.ppo`: clipped surrogate, ½ squared value error (clipped where a clip is given),
    entropy bonus; each a mean over the minibatch. Without `ratios` it is that of `operant.control.a2c`: log π(a|s)
    stands where the surrogate has the clipped ratio. Policy and critic meet only in the norm of the gradient.

    Args:
        theta, grad: [P] float32, flat (policy, then critic): parameters, scratch. `first`, `second`: [P] or empty,
            moments of the optimiser: both Adam's, `second` RMSprop's; `step` counts its steps so far.
        actor, critic: [L+1] int64 widths, of no critic none; `relu`, else tanh; `normal`, else categorical.
        obs: [S, D] float32, normalised; `action` [S, A] float32 (A = 1: the index of a categorical).
        past: [4, S] float32: log-probability, advantage, target and value as collected.
        allowed: [S, K] float32, 0 where an action is masked; without rows where none is.
        order: int64, rows of these, each once; `batch` at a time, the last minibatch may be short.
        loss: [6] float32: 1 − clip, 1 + clip_high, entropy_coef, value_coef, value_clip (negative: none),
            max_grad_norm.
        rule: SGD, RMSPROP or ADAM; `rates` [4] float64: lr, β1, β2 (RMSprop's α), ε.
        metrics: [M, 6] float64 for M minibatches, filled with policy loss, entropy, KL (k3), clip fraction, value loss
            and gradient norm before clipping.
    """
    split = actor[-1] if normal else 0
    for l in range(actor.size - 1):
        split += (actor[l] + 1) * actor[l + 1]
    for m in range(metrics.shape[0]):
        index, row = order[m * batch : (m + 1) * batch], metrics[m]
        for k in range(grad.size):
            grad[k] = np.float32(0.0)
        for k in range(row.size):
            row[k] = 0.0
        _actor(
            theta[:split], grad[:split], actor, relu, normal, ratios, obs, action, past, allowed, index, whiten,
            loss[:2], loss[2], row[:4],
        )  # fmt: skip
        if critic.size > 0:
            _critic(theta[split:], grad[split:], critic, relu, obs, past, index, loss[4], loss[3], row[4:5])
        row[5] = math.sqrt(_square(grad[:split]) + _square(grad[split:]))
        bound = loss[5] / (row[5] + 1e-6)
        scale = np.float32(1.0 if bound > 1.0 else bound)
        if rule == ADAM:
            _adam(theta, grad, first, second, scale, rates, step + m + 1)
        elif rule == RMSPROP:
            _rmsprop(theta, grad, second, scale, rates)
        else:
            for k in range(theta.size):
                theta[k] -= np.float32(rates[0]) * (scale * grad[k])
