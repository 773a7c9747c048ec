"""Anderson acceleration of value iteration, safeguarded."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.solution import Solution

PATIENCE = 50
"""Steps without a lower gap after which the method starts again from the lowest."""


def anderson(mdp: MDP, *, memory: int = 5, **limits: Unpack[Limits]) -> Solution:
    """Value iteration on the combination of the last `memory` + 1 iterates whose residual is least (type II).

    An accelerated step is refused if the certified gap is more than twice that of the step before, or if fifty steps
    brought no lower one: then the memory is cleared and plain value iteration goes on from the iterate of least gap,
    which it is sure to lower. It pays where few slow modes are left, as in models that mix but end rarely, and not on
    grids. Memory: 2 `memory` vectors.
    Source: Walker & Ni (2011); Geist & Scherrer (2018), Anderson acceleration for reinforcement learning.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    v, choice = run.initial_values(), np.empty(mdp.num_states, dtype=np.int64)
    image, plain = np.empty_like(v), v.copy()
    moves, changes = np.zeros((memory, len(v))), np.zeros((memory, len(v)))
    last_image, last_residual = np.empty_like(v), np.empty_like(v)
    kept, refused, least, last, since = 0, 0, np.inf, np.inf, 0
    while True:
        low, high = sweeps.backup(v, image, choice)
        if run.done(low, high, image):
            return run.finish(image, method="anderson", why="Anderson acceleration", refused=refused)
        below, above = run.contraction.shift(low, high)
        gap = above - below
        if gap < least:
            least, since = gap, 0
            plain[:] = image
        elif kept > 1 and (gap > 2 * last or since >= PATIENCE):
            refused, kept, since = refused + 1, 0, 0
            v[:] = plain
            continue
        else:
            since += 1
        last = gap
        residual = image - v
        if run.closed:
            residual -= residual.mean()  # a constant does not count: the certificate is of the span
        if kept > 0:
            moves[(kept - 1) % memory] = image - last_image
            changes[(kept - 1) % memory] = residual - last_residual
        last_image[:], last_residual[:] = image, residual
        used = min(kept, memory)
        kept += 1
        v[:] = image
        if used:
            gram = changes[:used] @ changes[:used].T
            gram[np.diag_indices(used)] *= 1 + 1e-12
            weights = np.linalg.lstsq(gram, changes[:used] @ residual, rcond=None)[0]
            v -= weights @ moves[:used]
