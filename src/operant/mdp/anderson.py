"""Anderson acceleration of value iteration, safeguarded."""

from __future__ import annotations

import numpy as np

from operant.mdp.certify import Progress, begin
from operant.mdp.model import MDP, Floats
from operant.mdp.solution import Solution, Watch
from operant.mdp.sweeps import Sweeps


def anderson(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
    memory: int = 5,
) -> Solution:
    """Value iteration on the combination of the last `memory` + 1 iterates whose residual is least (type II).

    An accelerated step is kept only if the span of its residual Tv - v is no larger than γ times that of the last one
    kept, which value iteration guarantees; else the plain step is taken, and the memory is cleared. Memory: 2 `memory`
    vectors. Source: Walker & Ni (2011); Geist & Scherrer (2018), Anderson acceleration for reinforcement learning.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    sweeps = Sweeps(mdp, threads)
    v, choice = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    image, plain = np.empty_like(v), v.copy()
    moves, changes = np.zeros((memory, len(v))), np.zeros((memory, len(v)))
    last_image, last_residual = np.empty_like(v), np.empty_like(v)
    kept, refused, best, accelerated = 0, 0, np.inf, False
    while True:
        low, high = sweeps.backup(v, image, choice)
        if run.done(low, high, image):
            return run.finish(image, method="anderson", why="Anderson acceleration", refused=refused)
        if accelerated and high - low > mdp.discount * best:
            refused, kept, accelerated = refused + 1, 0, False
            v[:] = plain
            continue
        best = high - low
        residual = image - v
        if run.closed:
            residual -= residual.mean()  # a constant does not count: the certificate is of the span
        if kept > 0:
            moves[(kept - 1) % memory] = image - last_image
            changes[(kept - 1) % memory] = residual - last_residual
        last_image[:], last_residual[:] = image, residual
        plain[:] = image
        used = min(kept, memory)
        kept += 1
        v[:], accelerated = image, used > 0
        if used:
            gram = changes[:used] @ changes[:used].T
            gram[np.diag_indices(used)] *= 1 + 1e-12
            weights = np.linalg.lstsq(gram, changes[:used] @ residual, rcond=None)[0]
            v -= weights @ moves[:used]
