"""The rules of the boards, compiled: a position is a row of whole numbers, and N of them are played at once.

Bit `row · (columns + 1) + column` of a word is a cell; the bit behind each row stays empty, so that shifts never wrap.
The slow reading of the same rules, on lists of lists, is `tests/games/slow.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.data.compiled import inner, outer
from operant.data.counter import uniform_at

FIRST, SECOND, PLY, OVER, LAST, SEEN = 0, 1, 2, 3, 4, 5
"""Of a position: the stones of both, plies played, who won (1, 2; 3 a draw; 0 open), the last action or -1, and from
`SEEN` on (Go) each position that a stone has made, from the empty one on, as `first | second << 31`."""
KIND, ROWS, COLUMNS, LENGTH, KOMI2, LIMIT, ACTIONS = 0, 1, 2, 3, 4, 5, 6
"""Of the rules: the kind, the board, stones in a row that win, twice the komi, most plies, how many actions."""
DROP, PLACE, GO, HEX = 0, 1, 2, 3
"""Kinds: stones fall down their column, are set anywhere, surround, or connect."""

Rules = NDArray[np.int64]  # [7]
States = NDArray[np.int64]  # [N, S]


@inner
def cell(rules: Any, action: Any) -> Any:
    """The bit of an action that sets a stone on a cell."""
    columns = rules[COLUMNS]
    return np.int64(1) << (action // columns * (columns + 1) + action % columns)


@inner
def column(rules: Any, action: Any) -> Any:
    """All cells of a column."""
    found = np.int64(0)
    for r in range(rules[ROWS]):
        found |= np.int64(1) << (r * (rules[COLUMNS] + 1) + action)
    return found


@inner
def whole(rules: Any) -> Any:
    """All cells of the board."""
    row = (np.int64(1) << rules[COLUMNS]) - 1
    found = np.int64(0)
    for r in range(rules[ROWS]):
        found |= row << (r * (rules[COLUMNS] + 1))
    return found


@inner
def beside(rules: Any, stones: Any, hexagonal: Any) -> Any:
    """The cells beside stones, on the board and off it; on a hexagonal one those up right and down left as well."""
    stride = rules[COLUMNS] + 1
    found = stones << 1 | stones >> 1 | stones << stride | stones >> stride
    if hexagonal:
        found |= stones << (stride - 1) | stones >> (stride - 1)
    return found


@inner
def grown(rules: Any, seed: Any, within: Any, hexagonal: Any) -> Any:
    """All cells of `within` that are connected to `seed`."""
    group = np.int64(0)
    more = seed & within
    while more != group:
        group = more
        more = (group | beside(rules, group, hexagonal)) & within
    return group


@inner
def lined(rules: Any, stones: Any) -> Any:
    """Whether as many stones as win stand in a row, a column or a diagonal; more than these win, too."""
    stride = rules[COLUMNS] + 1
    for k in range(4):
        step = 1 if k == 0 else stride + k - 2
        left = stones
        for i in range(1, rules[LENGTH]):
            left &= stones >> (i * step)
        if left != 0:
            return True
    return False


@inner
def joined(rules: Any, stones: Any, first: Any) -> Any:
    """Whether a chain of stones goes from top to bottom (the first player's) or from left to right."""
    stride = rules[COLUMNS] + 1
    if first:
        begin = (np.int64(1) << rules[COLUMNS]) - 1
        end = begin << ((rules[ROWS] - 1) * stride)
    else:
        begin = column(rules, 0)
        end = begin << (rules[COLUMNS] - 1)
    return grown(rules, begin & stones, stones, True) & end != 0


@inner
def set_stone(rules: Any, own: Any, other: Any, stone: Any) -> Any:
    """Go: what is left of both after a stone took its captures, and whether its chain has a liberty then."""
    board = whole(rules)
    own |= stone
    around = beside(rules, stone, False) & other
    while around != 0:
        group = grown(rules, around & -around, other, False)
        if beside(rules, group, False) & board & ~(own | other) == 0:
            other &= ~group
        around &= ~group
    group = grown(rules, stone, own, False)
    free = beside(rules, group, False) & board & ~(own | other)
    return own, other, free != 0


@inner
def area2(rules: Any, first: Any, second: Any) -> Any:
    """Go: twice the first player's area less the second's: stones, and empty regions that touch one colour alone."""
    board = whole(rules)
    empty = board & ~(first | second)
    score = np.int64(0)
    mine, theirs = first, second
    while empty != 0:
        region = grown(rules, empty & -empty, empty, False)
        edge = beside(rules, region, False)
        if edge & first != 0 and edge & second == 0:
            mine |= region
        if edge & second != 0 and edge & first == 0:
            theirs |= region
        empty &= ~region
    for r in range(rules[ROWS]):
        for c in range(rules[COLUMNS]):
            bit = np.int64(1) << (r * (rules[COLUMNS] + 1) + c)
            if mine & bit != 0:
                score += 2
            if theirs & bit != 0:
                score -= 2
    return score


@inner
def may(rules: Any, state: Any, action: Any) -> Any:
    """Whether an action is legal in a position."""
    if state[OVER] != 0:
        return False
    taken = state[FIRST] | state[SECOND]
    kind = rules[KIND]
    if kind == DROP:
        return taken & (np.int64(1) << action) == 0
    if kind != GO:
        return taken & cell(rules, action) == 0
    if action == rules[ACTIONS] - 1:
        return True
    stone = cell(rules, action)
    if taken & stone != 0:
        return False
    ply = state[PLY]
    if ply & 1 == 0:
        first, second, lives = set_stone(rules, state[FIRST], state[SECOND], stone)
    else:
        second, first, lives = set_stone(rules, state[SECOND], state[FIRST], stone)
    if not lives:
        return False
    code = first | second << 31
    fresh = True
    for i in range(ply + 1):
        fresh = fresh and state[SEEN + i] != code
    return fresh


@inner
def move(rules: Any, state: Any, action: Any) -> Any:
    """Play a legal action, in place."""
    kind, ply = rules[KIND], state[PLY]
    first = ply & 1 == 0
    me, you = (FIRST, SECOND) if first else (SECOND, FIRST)
    won = np.int64(0)
    last = state[LAST]
    state[PLY], state[LAST] = ply + 1, action
    if kind == GO:
        passed = action == rules[ACTIONS] - 1
        if not passed:
            own, other, _ = set_stone(rules, state[me], state[you], cell(rules, action))
            state[me], state[you] = own, other
        state[SEEN + ply + 1] = state[FIRST] | state[SECOND] << 31
        if (passed and last == action) or ply + 1 == rules[LIMIT]:
            score = area2(rules, state[FIRST], state[SECOND]) - rules[KOMI2]
            won = 1 if score > 0 else 2 if score < 0 else 3
    else:
        if kind == DROP:
            fits = column(rules, action) & ~(state[FIRST] | state[SECOND])
            stone = fits
            while stone & (stone - 1) != 0:  # the highest bit is the lowest cell
                stone &= stone - 1
        else:
            stone = cell(rules, action)
        state[me] |= stone
        wins = joined(rules, state[me], first) if kind == HEX else lined(rules, state[me])
        if wins:
            won = 1 if first else 2
        elif ply + 1 == rules[LIMIT]:
            won = 3
    state[OVER] = won


@outer
def legal_rows(rules: Rules, states: States, out: NDArray[np.bool_]) -> None:
    """Fill `out` [N, A] with what is legal."""
    for n in range(states.shape[0]):
        for a in range(rules[ACTIONS]):
            out[n, a] = may(rules, states[n], a)


@outer
def play_rows(rules: Rules, states: States, actions: NDArray[np.int64]) -> int:
    """Play an action in each position, in place; the first whose action is not legal, before which all were played."""
    for n in range(states.shape[0]):
        if not (0 <= actions[n] < rules[ACTIONS] and may(rules, states[n], actions[n])):
            return n
        move(rules, states[n], actions[n])
    return -1


@outer
def encode_rows(rules: Rules, states: States, out: NDArray[np.float32]) -> None:
    """Fill `out` [N, P, R, C]: own stones, the other's, ones where the first player moves; in Go ones after a pass."""
    for n in range(states.shape[0]):
        first = states[n, PLY] & 1 == 0
        own, other = (states[n, FIRST], states[n, SECOND]) if first else (states[n, SECOND], states[n, FIRST])
        passed = rules[KIND] == GO and states[n, LAST] == rules[ACTIONS] - 1
        for r in range(rules[ROWS]):
            for c in range(rules[COLUMNS]):
                bit = r * (rules[COLUMNS] + 1) + c
                out[n, 0, r, c] = own >> bit & 1
                out[n, 1, r, c] = other >> bit & 1
                out[n, 2, r, c] = 1.0 if first else 0.0
                if out.shape[1] > 3:
                    out[n, 3, r, c] = 1.0 if passed else 0.0


@outer
def playout_rows(rules: Rules, states: States, key: np.uint64) -> None:
    """Play every position to its end in place, each legal action as likely as another."""
    can = np.empty(rules[ACTIONS], np.int64)
    position = np.uint64(0)
    for n in range(states.shape[0]):
        while states[n, OVER] == 0:
            count = 0
            for a in range(rules[ACTIONS]):
                if may(rules, states[n], a):
                    can[count] = a
                    count += 1
            move(rules, states[n], can[int(uniform_at(key, position) * count)])
            position += np.uint64(1)


@outer
def alpha_beta_rows(rules: Rules, state: NDArray[np.int64], depth: int, values: NDArray[np.float64], most: int) -> int:
    """Negamax with alpha–beta cuts from one position, to `depth` plies, on a stack of its own; nodes seen.

    `values` [A] becomes each action's value to the mover: ±1 shrunk by 1e-3 a ply, so that the sooner win and the later
    loss are better; 0 where the depth ended or it is drawn; NaN where it is not legal. Ends with -1 past `most` nodes.
    """
    actions = rules[ACTIONS]
    stack = np.empty((depth + 1, state.shape[0]), np.int64)
    at = np.zeros(depth + 1, np.int64)  # the next action of each level
    best = np.empty(depth + 1)
    alpha = np.empty(depth + 1)
    beta = np.empty(depth + 1)
    nodes = 0
    for root in range(actions):
        values[root] = np.nan
        if not may(rules, state, root):
            continue
        stack[0] = state
        move(rules, stack[0], root)
        level = 0
        at[0], best[0], alpha[0], beta[0] = 0, -2.0, -2.0, 2.0
        result = 0.0
        while level >= 0:  # best and alpha are seen by who moves at the level
            here = stack[level]
            ended = False
            if at[level] == 0:
                nodes += 1
                if nodes > most:
                    return -1
                if here[OVER] != 0 or level == depth - 1:
                    won = here[OVER]
                    mine = 1 if here[PLY] & 1 == 0 else 2
                    result = 0.0 if won in (0, 3) else (1.0 if won == mine else -1.0) * (1.0 - 1e-3 * (level + 1))
                    ended = True
            if not ended:
                a = at[level]
                while a < actions and not may(rules, here, a):
                    a += 1
                if a == actions or alpha[level] >= beta[level]:
                    result = best[level]
                    ended = True
                else:
                    at[level] = a + 1
                    stack[level + 1] = here
                    move(rules, stack[level + 1], a)
                    level += 1
                    at[level], best[level] = 0, -2.0
                    alpha[level], beta[level] = -beta[level - 1], -alpha[level - 1]
            if ended:
                level -= 1
                if level >= 0:
                    best[level] = max(best[level], -result)
                    alpha[level] = max(alpha[level], best[level])
        values[root] = -result
    return nodes
