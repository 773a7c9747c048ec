"""Storing a segment in lanes, and reading the decisions that were drawn, compiled by Numba: one call each.

Where a method stores a step or four at a time, Python between the arrays costs more than all that is done with them.
"""

from __future__ import annotations

import numpy as np

from operant.data.compiled import inner, outer
from operant.data.lanes import ACTED, ENDED, TERMINATED, TRUNCATED

Array = np.ndarray


@outer
def go_on(
    obs: Array, action: Array, reward: Array, flags: Array, starts: Array, head: Array, oldest: Array, least: Array,
    first: Array, taken: Array, last: Array, older: int, frame: int, seen: Array, did: Array, paid: Array,
    terminated: Array, truncated: Array, acted: Array,
) -> bool:  # fmt: skip
    """Write a segment in which no episode ends but at its end, nor began; False, and nothing written, if it is another.

    Args:
        obs, action, reward, flags: [N · size, *], the columns of all lanes.
        starts, head, oldest, least, first, taken, last: of `Lanes`, changed in place.
        older, frame: K − 1, and the numbers of a frame.
        seen: [N, T+1, D]; `did` [N, T, A]; `paid`, `terminated`, `truncated`, `acted` [N, T].
    """
    lanes, steps = paid.shape
    size = starts.shape[1]
    if steps + older >= size:
        return False
    for lane in range(lanes):
        if last[lane] != ACTED:
            return False
        for t in range(steps):
            ended = terminated[lane, t] or truncated[lane, t]
            if not acted[lane, t] or (ended and t < steps - 1):
                return False
    skipped = older * frame
    for lane in range(lanes):
        written, base = head[lane], lane * size
        before = least[lane]
        head[lane] = written + steps
        oldest[lane] = max(0, head[lane] - (size - 1))
        least[lane] = oldest[lane] + (older if oldest[lane] > 0 else 0)
        for row in range(before, min(least[lane], written)):  # these are about to go
            if flags[base + row % size] & ACTED:
                first[lane] += 1
        for t in range(steps):
            slot = base + (written + t) % size
            for d in range(obs.shape[1]):
                obs[slot, d] = seen[lane, t, skipped + d]
            for d in range(action.shape[1]):
                action[slot, d] = did[lane, t, d]
            reward[slot] = paid[lane, t]
            flags[slot] = ACTED
            starts[lane, (taken[lane] + t) % size] = written + t
        ended = (TERMINATED if terminated[lane, steps - 1] else np.uint8(0)) | (
            TRUNCATED if truncated[lane, steps - 1] else np.uint8(0)
        )
        last[lane] = ACTED | ended
        flags[base + (head[lane] - 1) % size] = ACTED | ended
        taken[lane] += steps
        slot = base + head[lane] % size  # so that the last decision can be drawn as well
        for d in range(obs.shape[1]):
            obs[slot, d] = seen[lane, steps, skipped + d]
        flags[slot] = np.uint8(0)
    return True


@inner
def _observe(obs: Array, base: int, size: int, row: int, older: int, frame: int, out: Array) -> None:
    """What was seen in a row, the stack whole, into `out` [D].

    Each frame by an array of its own: copied by an index of two, it takes four times as long (nothing is vectorised).
    """
    for k in range(older + 1):
        source = obs[base + (row - older + k) % size]
        width = frame if k < older else source.size
        target = out[k * frame : k * frame + width]
        for d in range(width):
            target[d] = source[d]


@outer
def read(
    obs: Array, action: Array, reward: Array, flags: Array, size: int, older: int, frame: int, lane: Array, row: Array,
    powers: Array, seen: Array, did: Array, total: Array, ahead: Array, over: Array, after: Array,
) -> None:  # fmt: skip
    """What follows decisions (`lane`, `row`) [B] over n of them, as `Replay` has it without goals in hindsight.

    Args:
        obs, action, reward, flags: [N · size, *], the columns of all lanes.
        size, older, frame: slots of a lane, K − 1, and the numbers of a frame.
        powers: [n+1], γ^k.
        seen, did, total, ahead, over, after: filled; obs [B, D], action [B, A], Σ γ^k r and γ^m [B] float32, whether
            the task ended there [B] bool, and the obs behind [B, D].
    """
    for b in range(row.size):
        base, at = lane[b] * size, row[b]
        made, sums, ended = 0, 0.0, False
        for k in range(powers.size - 1):
            slot = base + (at + k) % size
            flag = flags[slot]
            if k > 0 and not flag & ACTED:
                break
            sums += powers[k] * reward[slot]
            made, ended = k + 1, (flag & TERMINATED) != 0
            if flag & ENDED:
                break
        total[b], ahead[b], over[b] = sums, powers[made], ended
        for d in range(action.shape[1]):
            did[b, d] = action[base + at % size, d]
        _observe(obs, base, size, at, older, frame, seen[b])
        _observe(obs, base, size, at + made, older, frame, after[b])
