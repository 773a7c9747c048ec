"""Connect-4 solved exactly, compiled: alpha–beta with a table of positions; `operant.games.solver` is its door.

Here bit `7 · column + row` is a cell, rows from below, so that adding the lowest row to the mask gives the free cells.
The ways of cutting the search are Pascal Pons's (2015), Solving Connect 4: how to build a perfect AI: windows without
width, moves that lose at once left out, the others in the order of the threats that they make.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.data.compiled import inner, outer
from operant.games.kernels import FIRST, OVER, PLY, SECOND

BOTTOM = sum(1 << (7 * c) for c in range(7))
BOARD = BOTTOM * 63
CELLS = 42


@inner
def ones(x: Any) -> Any:
    """How many bits are set."""
    count = 0
    while x != 0:
        x &= x - 1
        count += 1
    return count


@inner
def fours(p: Any, mask: Any) -> Any:
    """The free cells that make four in a row for the stones `p`."""
    r = (p << 1) & (p << 2) & (p << 3)
    for d in (6, 7, 8):
        two = (p << d) & (p << 2 * d)
        r |= two & (p << 3 * d)
        r |= two & (p >> d)
        two = (p >> d) & (p >> 2 * d)
        r |= two & (p << d)
        r |= two & (p >> 3 * d)
    return r & (BOARD ^ mask)


@inner
def quiet(p: Any, mask: Any) -> Any:
    """The moves after which the other player cannot win at once; 0 if there is none."""
    can = (mask + BOTTOM) & BOARD
    threats = fours(p ^ mask, mask)
    forced = can & threats
    if forced != 0:
        if forced & (forced - 1) != 0:
            return np.int64(0)
        can = forced
    return can & ~(threats >> 1)


@inner
def ordered(p: Any, mask: Any, can: Any, moves: Any, worth: Any) -> Any:
    """Write the moves into `moves` [7], those that make more threats first; how many. From the middle, if equal."""
    count = 0
    for i in range(7):
        column = 3 + (1 - 2 * (i % 2)) * ((i + 1) // 2)
        move = can & (np.int64(63) << (7 * column))
        if move != 0:
            score = ones(fours(p | move, mask | move))
            at = count
            while at > 0 and worth[at - 1] < score:
                moves[at], worth[at] = moves[at - 1], worth[at - 1]
                at -= 1
            moves[at], worth[at] = move, score
            count += 1
    return count


@inner
def negamax(p: Any, mask: Any, ply: Any, alpha: Any, beta: Any, keys: Any, bounds: Any, stack: Any, moves: Any) -> Any:
    """The score of a position to its mover, who cannot win at once, as far as it lies between alpha and beta.

    A score is 22 less the stones that the winner has set when it wins, negative for a loss, 0 for a draw. `keys` and
    `bounds` [M, 2] are the table: the least and the most that a position can be worth. `stack` [43, 8] and `moves`
    [43, 2, 7] hold what is under way, a row a ply: Numba's cache does not load functions that call themselves.
    """
    level, entering, result = ply, True, np.int64(0)
    stack[level, 0], stack[level, 1], stack[level, 2], stack[level, 3] = p, mask, alpha, beta
    while True:
        leaving = False
        own, taken = stack[level, 0], stack[level, 1]
        if entering:
            entering = False
            can = quiet(own, taken)
            if can == 0:
                result, leaving = -((CELLS - level) // 2), True
            elif level >= CELLS - 2:
                result, leaving = np.int64(0), True
            else:
                least, most = -((CELLS - 2 - level) // 2), (CELLS - 1 - level) // 2
                key = own + taken
                slot = key % keys.shape[0]
                if keys[slot] == key:
                    least, most = max(least, bounds[slot, 0]), min(most, bounds[slot, 1])
                stack[level, 2], stack[level, 3] = max(stack[level, 2], least), min(stack[level, 3], most)
                if stack[level, 2] >= stack[level, 3]:
                    result, leaving = (least if stack[level, 2] == least else most), True
                else:
                    stack[level, 4], stack[level, 5] = least, most
                    stack[level, 6], stack[level, 7] = ordered(own, taken, can, moves[level, 0], moves[level, 1]), 0
        if not leaving:
            if stack[level, 7] < stack[level, 6]:
                move = moves[level, 0, stack[level, 7]]
                stack[level, 7] += 1
                stack[level + 1, 0], stack[level + 1, 1] = own ^ taken, taken | move
                stack[level + 1, 2], stack[level + 1, 3] = -stack[level, 3], -stack[level, 2]
                level, entering = level + 1, True
            else:
                result, leaving = stack[level, 2], True
                remember(stack[level], stack[level, 4], result, keys, bounds, False)
        while leaving:
            if level == ply:
                return result
            level -= 1
            leaving = False
            if -result >= stack[level, 3]:
                result, leaving = -result, True
                remember(stack[level], result, stack[level, 5], keys, bounds, True)
            elif -result > stack[level, 2]:
                stack[level, 2] = -result


@inner
def remember(row: Any, least: Any, most: Any, keys: Any, bounds: Any, low: Any) -> None:
    """Write a bound of a position into the table; the other one stays, where the place was its own already."""
    key = row[0] + row[1]
    slot = key % keys.shape[0]
    if keys[slot] != key:
        keys[slot], bounds[slot, 0], bounds[slot, 1] = key, least, most
    elif low:
        bounds[slot, 0] = least
    else:
        bounds[slot, 1] = most


@inner
def whole_score(p: Any, mask: Any, ply: Any, exact: Any, keys: Any, bounds: Any, stack: Any, moves: Any) -> Any:
    """The score of a position to its mover, or its sign, by windows without width."""
    if fours(p, mask) & ((mask + BOTTOM) & BOARD) != 0:
        return np.int64((CELLS + 1 - ply) // 2)
    least, most = -((CELLS - ply) // 2), (CELLS + 1 - ply) // 2
    while least < most:
        middle = least + (most - least) // 2
        if middle <= 0 and least // 2 < middle:
            middle = least // 2
        elif middle >= 0 and most // 2 > middle:
            middle = most // 2
        low, high = (middle, middle + 1) if exact else (-1, 1)
        found = negamax(p, mask, ply, low, high, keys, bounds, stack, moves)
        if not exact:
            least = most = found
        elif found <= middle:
            most = found
        else:
            least = found
    return np.int64(least)


@outer
def score_rows(
    states: NDArray[np.int64], exact: bool, keys: NDArray[np.int64], bounds: NDArray[np.int8],
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Fill `out` [N, 7] with each action's score to the mover, NaN where it is not legal; its sign if not `exact`."""
    stack = np.empty((CELLS + 1, 8), np.int64)
    moves = np.empty((CELLS + 1, 2, 7), np.int64)
    for n in range(states.shape[0]):
        out[n] = np.nan
        if states[n, OVER] != 0:
            continue
        ply = states[n, PLY]
        own = states[n, FIRST] if ply & 1 == 0 else states[n, SECOND]
        p, mask = np.int64(0), np.int64(0)
        for r in range(6):
            for c in range(7):
                bit = np.int64(1) << (7 * c + 5 - r)
                if own >> (8 * r + c) & 1 != 0:
                    p |= bit
                if (states[n, FIRST] | states[n, SECOND]) >> (8 * r + c) & 1 != 0:
                    mask |= bit
        can = (mask + BOTTOM) & BOARD
        wins = fours(p, mask)
        for c in range(7):
            move = can & (np.int64(63) << (7 * c))
            if move == 0:
                continue
            score = np.int64(0)
            if wins & move != 0:
                score = np.int64((CELLS + 1 - ply) // 2)
            elif ply + 1 < CELLS:
                score = -whole_score(p ^ mask, mask | move, ply + 1, exact, keys, bounds, stack, moves)
            out[n, c] = score if exact else np.sign(score)
