"""A whole segment in one call: a compiled policy acts in compiled environments.

The policy's kernel comes as a pointer, so that it is the very code that acts a step at a time, and its numbers are the
same to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from operant.data.compiled import outer
from operant.env.classic_kernels import step_all

Array = np.ndarray


def _collect(
    act: Any, theta: Array, sizes: Array, relu: bool, mean: Array, var: Array, clip: Any, noise: Array, kind: int,
    choices: int, limit: int, state: Array, elapsed: Array, seed: Array, episode: Array, last: Array, obs: Array,
    action: Array, logp: Array, reward: Array, terminated: Array, truncated: Array, final_obs: Array,
) -> None:  # fmt: skip
    """Act and step T times.

    Args:
        act: `act_categorical` or `act_normal`, whose network and normaliser follow.
        noise: [T, N] or [T, N, 1].
        kind: with what follows up to `last`, the environments; see `operant.env.classic_kernels.step_all`.
        obs: [T+1, N, D], of which obs[0] is given; the rest is filled, as are `action` [T, N], `logp`, `reward`,
            `terminated`, `truncated` [T, N] and the rows of `final_obs` [T, N, D] that ended.
    """
    for t in range(noise.shape[0]):
        chosen, its = act(theta, sizes, relu, obs[t], mean, var, clip, noise[t])
        flat = chosen.reshape(its.size)
        for n in range(its.size):
            action[t, n], logp[t, n] = flat[n], its[n]
        step_all(
            kind, choices, limit, state, elapsed, seed, episode, last, flat, obs[t + 1], reward[t], terminated[t],
            truncated[t], final_obs[t],
        )  # fmt: skip


def _array(of: Any, dimensions: int) -> Any:
    return types.Array(of, dimensions, "C")


def _kernel(action: Any, drawn: int) -> Any:
    """The kernel for actions of a type and noise [N] or [N, 1]; the only one, since a pointer has one signature."""
    real, double, bit = types.float32, types.float64, types.boolean
    network = (_array(real, 1), _array(types.int64, 1), bit)
    moments = (_array(double, 1), _array(double, 1), real)
    acted = types.Tuple((_array(action, drawn), _array(real, 1)))
    act = types.FunctionType(acted(*network, _array(real, 2), *moments, _array(real, drawn)))
    counts, places = (types.int64,) * 3, (_array(types.uint64, 1),) * 2
    world = (*counts, _array(double, 2), _array(types.int64, 1), *places, _array(double, 1))
    segment = (_array(real, 3), _array(action, 2), *(_array(real, 2),) * 2, *(_array(bit, 2),) * 2, _array(real, 3))
    made: Any = outer(_collect)
    made.compile(types.void(act, *network, *moments, _array(real, drawn + 1), *world, *segment))
    made.disable_compile()
    return made


collect_categorical = _kernel(types.int64, 1)
collect_normal = _kernel(types.float32, 2)
