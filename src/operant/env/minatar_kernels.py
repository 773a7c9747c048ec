"""The five games of MinAtar (Young and Tian 2019, arXiv:1903.03176), compiled: their rules over rows of whole numbers.

A copy is a row of `state`, laid out game by game below, and a stream of its own: draw k of an episode is a hash of the
copy's seed, the number of the episode and k, so that it depends on nothing else. What is drawn, and in which order, is
as in the authors' package; given the same draws every step is the package's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from operant.data.compiled import inner, outer
from operant.data.counter import GOLDEN, mix, uniform_at

Array = np.ndarray
EXACT = frozenset[str]()
exact: Any = partial(inner, flags=EXACT)

ASTERIX, BREAKOUT, FREEWAY, SEAQUEST, INVADERS = range(5)
CHANNELS = (4, 4, 7, 10, 6)
LEFT, UP, RIGHT, DOWN, FIRE = 1, 2, 3, 4, 5
NONE = -9
"""In place of a column: nothing is there."""
DREW, LAST, OWN = 0, 1, 2
"""Of each row: how much was drawn, the action of the step before, and where what is the game's begins."""


# ---------------------------------------------------------------------------------------------------- draws
@exact
def draw(s: Array, n: int, key: np.uint64) -> float:
    """The next number in [0, 1) of copy n's episode."""
    s[n, DREW] += 1
    return uniform_at(key, np.uint64(s[n, DREW]))


@exact
def one_of(s: Array, n: int, key: np.uint64, count: int) -> int:
    """One of 0 to count − 1, each as likely."""
    return int(draw(s, n, key) * count)


# ---------------------------------------------------------------------------------------------------- Asterix
X, Y = OWN, OWN + 1
SPAWN_EVERY, SPAWN_IN, MOVE_EVERY, MOVE_IN, RAMP_IN, RAMPED = range(OWN + 2, OWN + 8)
THINGS = OWN + 8  # of rows 1 to 8: column, whether it goes right, whether it is gold


@exact
def asterix_begin(s: Array, n: int) -> None:
    """One stands in the middle of an empty field."""
    s[n, X], s[n, Y] = 5, 5
    s[n, SPAWN_EVERY], s[n, SPAWN_IN], s[n, MOVE_EVERY], s[n, MOVE_IN] = 10, 10, 5, 5
    s[n, RAMP_IN], s[n, RAMPED] = 100, 0
    for k in range(8):
        s[n, THINGS + 3 * k] = NONE


@exact
def _asterix_spawn(s: Array, n: int, key: np.uint64) -> None:
    right, gold = draw(s, n, key) < 0.5, draw(s, n, key) < 1.0 / 3.0
    free = 0
    for k in range(8):
        free += s[n, THINGS + 3 * k] == NONE
    if free == 0:
        return
    which = one_of(s, n, key, free)
    for k in range(8):
        if s[n, THINGS + 3 * k] == NONE:
            if which == 0:
                s[n, THINGS + 3 * k], s[n, THINGS + 3 * k + 1] = 0 if right else 9, right
                s[n, THINGS + 3 * k + 2] = gold
            which -= 1


@exact
def _asterix_met(s: Array, n: int, k: int) -> tuple[float, bool]:
    """What it means to be where thing k is: a reward, and whether it is the end."""
    at = THINGS + 3 * k
    if s[n, at] != s[n, X] or k + 1 != s[n, Y]:
        return 0.0, False
    if s[n, at + 2]:
        s[n, at] = NONE
        return 1.0, False
    return 0.0, True


@exact
def asterix(s: Array, n: int, key: np.uint64, action: int, ramping: bool) -> tuple[float, bool]:
    """Things cross in eight rows: gold is worth 1, anything else is the end; they come and go ever faster."""
    reward, over = 0.0, False
    if s[n, SPAWN_IN] == 0:
        _asterix_spawn(s, n, key)
        s[n, SPAWN_IN] = s[n, SPAWN_EVERY]
    _walk(s, n, action, 1)
    for k in range(8):
        gain, end = _asterix_met(s, n, k)
        reward, over = reward + gain, over or end
    if s[n, MOVE_IN] == 0:
        s[n, MOVE_IN] = s[n, MOVE_EVERY]
        for k in range(8):
            at = THINGS + 3 * k
            if s[n, at] == NONE:
                continue
            s[n, at] += 1 if s[n, at + 1] else -1
            if s[n, at] < 0 or s[n, at] > 9:
                s[n, at] = NONE
                continue
            gain, end = _asterix_met(s, n, k)
            reward, over = reward + gain, over or end
    s[n, SPAWN_IN] -= 1
    s[n, MOVE_IN] -= 1
    if ramping and (s[n, SPAWN_EVERY] > 1 or s[n, MOVE_EVERY] > 1):
        if s[n, RAMP_IN] >= 0:
            s[n, RAMP_IN] -= 1
        else:
            if s[n, MOVE_EVERY] > 1 and s[n, RAMPED] % 2:
                s[n, MOVE_EVERY] -= 1
            if s[n, SPAWN_EVERY] > 1:
                s[n, SPAWN_EVERY] -= 1
            s[n, RAMPED] += 1
            s[n, RAMP_IN] = 100
    return reward, over


@exact
def _walk(s: Array, n: int, action: int, top: int) -> None:
    """One cell further, within columns 0 to 9 and rows `top` to 8."""
    if action == LEFT:
        s[n, X] = max(0, s[n, X] - 1)
    elif action == RIGHT:
        s[n, X] = min(9, s[n, X] + 1)
    elif action == UP:
        s[n, Y] = max(top, s[n, Y] - 1)
    elif action == DOWN:
        s[n, Y] = min(8, s[n, Y] + 1)


@exact
def asterix_see(s: Array, n: int, picture: Array) -> None:
    """Channels: who moves, enemies, where things come from, gold."""
    picture[n, s[n, Y], s[n, X], 0] = 1
    for k in range(8):
        x = s[n, THINGS + 3 * k]
        if x != NONE:
            picture[n, k + 1, x, 3 if s[n, THINGS + 3 * k + 2] else 1] = 1
            behind = x - 1 if s[n, THINGS + 3 * k + 1] else x + 1
            if 0 <= behind <= 9:
                picture[n, k + 1, behind, 2] = 1


# ---------------------------------------------------------------------------------------------------- Breakout
BALL_X, BALL_Y, WAY, PADDLE, STRUCK, WAS_X, WAS_Y = range(OWN, OWN + 7)
BRICKS = OWN + 7  # of rows 1 to 3, ten each


@exact
def breakout_begin(s: Array, n: int, key: np.uint64) -> None:
    """The ball comes from one side or the other, and all bricks stand."""
    right = one_of(s, n, key, 2)
    s[n, BALL_X], s[n, BALL_Y], s[n, WAY] = 9 if right else 0, 3, 3 if right else 2
    s[n, PADDLE], s[n, STRUCK] = 4, 0
    s[n, WAS_X], s[n, WAS_Y] = s[n, BALL_X], 3
    for k in range(30):
        s[n, BRICKS + k] = 1


@exact
def breakout(s: Array, n: int, action: int) -> tuple[float, bool]:
    """Ways of the ball: 0 up and left, 1 up and right, 2 down and right, 3 down and left."""
    reward, over = 0.0, False
    if action == LEFT:
        s[n, PADDLE] = max(0, s[n, PADDLE] - 1)
    elif action == RIGHT:
        s[n, PADDLE] = min(9, s[n, PADDLE] + 1)
    was_x, was_y, way = s[n, BALL_X], s[n, BALL_Y], s[n, WAY]
    x = was_x + (1 if way in (1, 2) else -1)
    y = was_y + (1 if way >= 2 else -1)
    if x < 0 or x > 9:
        x = min(max(x, 0), 9)
        way = way + 1 if way % 2 == 0 else way - 1  # left for right
    strikes = False
    if y < 0:
        y, way = 0, 3 - way  # up for down
    elif 1 <= y <= 3 and s[n, BRICKS + 10 * (y - 1) + x]:
        strikes = True
        if not s[n, STRUCK]:
            reward, s[n, STRUCK] = 1.0, 1
            s[n, BRICKS + 10 * (y - 1) + x] = 0
            y, way = was_y, 3 - way
    elif y == 9:
        left = 0
        for k in range(30):
            left += s[n, BRICKS + k]
        if left == 0:
            for k in range(30):
                s[n, BRICKS + k] = 1
        if was_x == s[n, PADDLE]:
            y, way = was_y, 3 - way
        elif x == s[n, PADDLE]:
            y, way = was_y, (way + 2) % 4  # back where it came from
        else:
            over = True
    if not strikes:
        s[n, STRUCK] = 0
    s[n, BALL_X], s[n, BALL_Y], s[n, WAY], s[n, WAS_X], s[n, WAS_Y] = x, y, way, was_x, was_y
    return reward, over


@exact
def breakout_see(s: Array, n: int, picture: Array) -> None:
    """Channels: paddle, ball, where it was, bricks."""
    picture[n, 9, s[n, PADDLE], 0] = 1
    picture[n, s[n, BALL_Y], s[n, BALL_X], 1] = 1
    picture[n, s[n, WAS_Y], s[n, WAS_X], 2] = 1
    for k in range(30):
        picture[n, 1 + k // 10, k % 10, 3] = s[n, BRICKS + k]


# ---------------------------------------------------------------------------------------------------- Freeway
CHICKEN, REST, LEFT_STEPS = range(OWN, OWN + 3)
CARS = OWN + 3  # of rows 1 to 8: column, steps until it moves, steps between moves, less than 0 where it goes left
STRIDE, JOURNEY, ROAD = 3, 2500, 4


@exact
def _freeway_cars(s: Array, n: int, key: np.uint64, first: bool) -> None:
    for k in range(8):
        s[n, CARS + 3 * k + 2] = 1 + one_of(s, n, key, 5)
    for k in range(8):
        at = CARS + 3 * k
        s[n, at + 1] = s[n, at + 2]
        s[n, at + 2] *= 2 * one_of(s, n, key, 2) - 1
        if first:
            s[n, at] = 0


@exact
def freeway_begin(s: Array, n: int, key: np.uint64) -> None:
    """All cars begin at the left."""
    _freeway_cars(s, n, key, True)
    s[n, CHICKEN], s[n, REST], s[n, LEFT_STEPS] = 9, STRIDE, JOURNEY


@exact
def freeway(s: Array, n: int, key: np.uint64, action: int) -> tuple[float, bool]:
    """Up the road is worth 1, and the cars change; a car sends one back to the start. 2,500 steps."""
    reward = 0.0
    if s[n, REST] == 0 and action in (UP, DOWN):
        s[n, REST] = STRIDE
        s[n, CHICKEN] = max(0, s[n, CHICKEN] - 1) if action == UP else min(9, s[n, CHICKEN] + 1)
    if s[n, CHICKEN] == 0:
        reward = 1.0
        _freeway_cars(s, n, key, False)
        s[n, CHICKEN] = 9
    for k in range(8):
        at = CARS + 3 * k
        if s[n, at] == ROAD and k + 1 == s[n, CHICKEN]:
            s[n, CHICKEN] = 9
        if s[n, at + 1] == 0:
            s[n, at + 1] = abs(s[n, at + 2])
            s[n, at] = (s[n, at] + (1 if s[n, at + 2] > 0 else 9)) % 10
            if s[n, at] == ROAD and k + 1 == s[n, CHICKEN]:
                s[n, CHICKEN] = 9
        else:
            s[n, at + 1] -= 1
    s[n, REST] -= s[n, REST] > 0
    s[n, LEFT_STEPS] -= 1
    return reward, s[n, LEFT_STEPS] < 0


@exact
def freeway_see(s: Array, n: int, picture: Array) -> None:
    """Channels: who crosses, cars, and where a car comes from, one for each speed."""
    picture[n, s[n, CHICKEN], ROAD, 0] = 1
    for k in range(8):
        at = CARS + 3 * k
        picture[n, k + 1, s[n, at], 1] = 1
        behind = (s[n, at] + (9 if s[n, at + 2] > 0 else 1)) % 10
        picture[n, k + 1, behind, 1 + abs(s[n, at + 2])] = 1


# ---------------------------------------------------------------------------------------------------- Seaquest
AIR, DIVERS_IN, FACES, ENEMY_EVERY, ENEMY_IN, DIVER_IN, SWIM_EVERY, SAILED, READY_IN, AFLOAT = range(OWN + 2, OWN + 12)
MOST, WIDE = 48, 5
"""More of a kind are never there at once: what is spawned leaves within thirty steps. Numbers of each."""
SHOTS, BULLETS, FISH, SUBS, DIVERS = (OWN + 12 + k * (1 + MOST * WIDE) for k in range(5))
"""Lists: how many there are, then of each its column, row, whether it goes right, steps until it moves, until it
shoots."""
ROW, RIGHTWARD, MOVES_IN, SHOOTS_IN = 1, 2, 3, 4
SEAQUEST_SIZE = OWN + 12 + 5 * (1 + MOST * WIDE)


@exact
def seaquest_begin(s: Array, n: int) -> None:
    """The boat is at the surface, full of air."""
    for k in range(OWN, SEAQUEST_SIZE):
        s[n, k] = 0
    s[n, X], s[n, Y], s[n, AIR], s[n, AFLOAT] = 5, 0, 200, 1
    s[n, ENEMY_EVERY], s[n, ENEMY_IN], s[n, DIVER_IN], s[n, SWIM_EVERY] = 20, 20, 30, 5


@exact
def _add(s: Array, n: int, those: int, x: int, y: int, right: int, moves_in: int, shoots_in: int) -> None:
    at = those + 1 + s[n, those] * WIDE
    if s[n, those] < MOST:
        s[n, at], s[n, at + ROW], s[n, at + RIGHTWARD] = x, y, right
        s[n, at + MOVES_IN], s[n, at + SHOOTS_IN] = moves_in, shoots_in
        s[n, those] += 1


@exact
def _remove(s: Array, n: int, those: int, k: int) -> None:
    """The k-th of a list goes, and the others keep their order."""
    for j in range(those + 1 + k * WIDE, those + 1 + (s[n, those] - 1) * WIDE):
        s[n, j] = s[n, j + WIDE]
    s[n, those] -= 1


@exact
def _at(s: Array, n: int, those: int, x: int, y: int) -> int:
    """The first of a list in a cell; -1 where there is none."""
    for k in range(s[n, those]):
        if s[n, those + 1 + k * WIDE] == x and s[n, those + 1 + k * WIDE + ROW] == y:
            return k
    return -1


@exact
def _goes(s: Array, n: int, at: int) -> bool:
    """A cell further; whether it is still there."""
    s[n, at] += 1 if s[n, at + RIGHTWARD] else -1
    return 0 <= s[n, at] <= 9


@exact
def _here(s: Array, n: int, at: int) -> bool:
    return s[n, at] == s[n, X] and s[n, at + ROW] == s[n, Y]


@exact
def _seaquest_spawn(s: Array, n: int, key: np.uint64) -> None:
    right, sub = draw(s, n, key) < 0.5, draw(s, n, key) < 1.0 / 3.0
    y = 1 + one_of(s, n, key, 8)
    for those in (FISH, SUBS):  # no two of a row meet
        for k in range(s[n, those]):
            at = those + 1 + k * WIDE
            if s[n, at + ROW] == y and (s[n, at + RIGHTWARD] != 0) != right:
                return
    _add(s, n, SUBS if sub else FISH, 0 if right else 9, y, right, s[n, SWIM_EVERY], 10)


@exact
def _seaquest_shots(s: Array, n: int) -> float:
    reward = 0.0
    for k in range(s[n, SHOTS] - 1, -1, -1):
        at = SHOTS + 1 + k * WIDE
        if not _goes(s, n, at):
            _remove(s, n, SHOTS, k)
            continue
        for those in (FISH, SUBS):
            hit = _at(s, n, those, s[n, at], s[n, at + ROW])
            if hit >= 0:
                _remove(s, n, those, hit)
                _remove(s, n, SHOTS, k)
                reward += 1.0
                break
    return reward


@exact
def _seaquest_divers(s: Array, n: int) -> None:
    for k in range(s[n, DIVERS] - 1, -1, -1):
        at = DIVERS + 1 + k * WIDE
        if _here(s, n, at) and s[n, DIVERS_IN] < 6:
            _remove(s, n, DIVERS, k)
            s[n, DIVERS_IN] += 1
        elif s[n, at + MOVES_IN] == 0:
            s[n, at + MOVES_IN] = 5
            if not _goes(s, n, at):
                _remove(s, n, DIVERS, k)
            elif _here(s, n, at) and s[n, DIVERS_IN] < 6:
                _remove(s, n, DIVERS, k)
                s[n, DIVERS_IN] += 1
        else:
            s[n, at + MOVES_IN] -= 1


@exact
def _seaquest_enemies(s: Array, n: int, those: int) -> tuple[float, bool]:
    """Fish, or submarines, which shoot."""
    reward, over = 0.0, False
    for k in range(s[n, those] - 1, -1, -1):
        at = those + 1 + k * WIDE
        over = over or _here(s, n, at)
        x, y, right, there = s[n, at], s[n, at + ROW], s[n, at + RIGHTWARD], True
        if s[n, at + MOVES_IN] == 0:
            s[n, at + MOVES_IN] = s[n, SWIM_EVERY]
            there = _goes(s, n, at)
            x = s[n, at]
            if there and _here(s, n, at):
                over = True
            elif there:
                hit = _at(s, n, SHOTS, x, y)
                if hit >= 0:
                    _remove(s, n, SHOTS, hit)
                    reward, there = reward + 1.0, False
        else:
            s[n, at + MOVES_IN] -= 1
        if those == SUBS:
            if s[n, at + SHOOTS_IN] == 0:
                s[n, at + SHOOTS_IN] = 10
                _add(s, n, BULLETS, x, y, right, 0, 0)
            else:
                s[n, at + SHOOTS_IN] -= 1
        if not there:
            _remove(s, n, those, k)
    return reward, over


@exact
def _seaquest_bullets(s: Array, n: int) -> bool:
    over = False
    for k in range(s[n, BULLETS] - 1, -1, -1):
        at = BULLETS + 1 + k * WIDE
        over = over or _here(s, n, at)
        if not _goes(s, n, at):
            _remove(s, n, BULLETS, k)
        else:
            over = over or _here(s, n, at)
    return over


@exact
def _seaquest_surface(s: Array, n: int, ramping: bool) -> float:
    """Air is taken in; six divers are worth the air that was left, and one is set down in any case."""
    reward = 0.0
    s[n, AFLOAT] = 1
    if s[n, DIVERS_IN] == 6:
        s[n, DIVERS_IN] = 0
        reward = float(s[n, AIR] * 10 // 200)
    s[n, DIVERS_IN] -= 1  # after six, too, as the authors have it: the next diver makes it 0
    s[n, AIR] = 200
    if ramping and (s[n, ENEMY_EVERY] > 1 or s[n, SWIM_EVERY] > 2):
        if s[n, SWIM_EVERY] > 2 and s[n, SAILED] % 2:
            s[n, SWIM_EVERY] -= 1
        if s[n, ENEMY_EVERY] > 1:
            s[n, ENEMY_EVERY] -= 1
        s[n, SAILED] += 1
    return reward


@exact
def seaquest(s: Array, n: int, key: np.uint64, action: int, ramping: bool) -> tuple[float, bool]:
    """Shot fish and boats are worth 1, six divers brought up the air that is left; it gets harder with each dive."""
    if s[n, ENEMY_IN] == 0:
        _seaquest_spawn(s, n, key)
        s[n, ENEMY_IN] = s[n, ENEMY_EVERY]
    if s[n, DIVER_IN] == 0:
        right = draw(s, n, key) < 0.5
        _add(s, n, DIVERS, 0 if right else 9, 1 + one_of(s, n, key, 8), right, 5, 0)
        s[n, DIVER_IN] = 30
    if action == FIRE and s[n, READY_IN] == 0:
        _add(s, n, SHOTS, s[n, X], s[n, Y], s[n, FACES], 0, 0)
        s[n, READY_IN] = 5
    if action in (LEFT, RIGHT):
        s[n, FACES] = action == RIGHT
    _walk(s, n, action, 0)
    reward = _seaquest_shots(s, n)
    _seaquest_divers(s, n)
    gain, over = _seaquest_enemies(s, n, SUBS)
    over = _seaquest_bullets(s, n) or over
    more, met = _seaquest_enemies(s, n, FISH)
    reward, over = reward + gain + more, over or met
    for timer in (ENEMY_IN, DIVER_IN, READY_IN):
        s[n, timer] -= s[n, timer] > 0
    if s[n, Y] > 0:
        s[n, AIR] -= 1
        s[n, AFLOAT] = 0
        over = over or s[n, AIR] < 0
    elif not s[n, AFLOAT]:
        if s[n, DIVERS_IN] == 0:
            over = True
        else:
            reward += _seaquest_surface(s, n, ramping)
    return reward, over


@exact
def _trail(s: Array, n: int, at: int, picture: Array, channel: int) -> None:
    behind = s[n, at] - 1 if s[n, at + RIGHTWARD] else s[n, at] + 1
    if 0 <= behind <= 9:
        picture[n, s[n, at + ROW], behind, channel] = 1


@exact
def seaquest_see(s: Array, n: int, picture: Array) -> None:
    """Channels: bow, stern, shots, wakes, bullets, fish, boats, air, divers aboard, divers."""
    picture[n, s[n, Y], s[n, X], 0] = 1
    behind = s[n, X] - 1 if s[n, FACES] else s[n, X] + 1
    if 0 <= behind <= 9:
        picture[n, s[n, Y], behind, 1] = 1
    for k in range(max(0, s[n, AIR] * 10 // 200)):
        picture[n, 9, k, 7] = 1
    for k in range(9 - s[n, DIVERS_IN], 9):
        picture[n, 9, k, 8] = 1
    for those, channel in ((SHOTS, 2), (BULLETS, 4), (FISH, 5), (SUBS, 6), (DIVERS, 9)):
        for k in range(s[n, those]):
            at = those + 1 + k * WIDE
            picture[n, s[n, at + ROW], s[n, at], channel] = 1
            if channel >= 5:
                _trail(s, n, at, picture, 3)


# ---------------------------------------------------------------------------------------------------- Space Invaders
CANNON, MARCH, MARCH_EVERY, MARCH_IN, VOLLEY_IN, COOL_IN = range(OWN, OWN + 6)
ALIENS, UPWARD, DOWNWARD = (OWN + 6 + 100 * k for k in range(3))  # maps of ten by ten


@exact
def invaders_land(s: Array, n: int) -> None:
    """Four rows of six."""
    for k in range(100):
        s[n, ALIENS + k] = k < 40 and 2 <= k % 10 < 8


@exact
def invaders_begin(s: Array, n: int) -> None:
    """Four rows of six come from the right."""
    s[n, CANNON], s[n, MARCH], s[n, MARCH_EVERY], s[n, MARCH_IN], s[n, VOLLEY_IN], s[n, COOL_IN] = 5, -1, 12, 12, 10, 0
    for k in range(100):
        s[n, UPWARD + k], s[n, DOWNWARD + k] = 0, 0
    invaders_land(s, n)


@exact
def _count(s: Array, n: int, first: int, step: int, many: int) -> int:
    found = 0
    for k in range(many):
        found += s[n, first + k * step]
    return found


@exact
def _aliens_march(s: Array, n: int) -> bool:
    """A column to their side, or, where they stand at the edge, a row down and about; whether they have landed."""
    march, landed = s[n, MARCH], False
    edge = ALIENS + (0 if march < 0 else 9)
    if _count(s, n, edge, 10, 10) > 0:
        s[n, MARCH] = -march
        landed = _count(s, n, ALIENS + 90, 1, 10) > 0
        below = np.int64(0)
        for x in range(10):
            below = s[n, ALIENS + 90 + x]
            for y in range(9, 0, -1):
                s[n, ALIENS + 10 * y + x] = s[n, ALIENS + 10 * (y - 1) + x]
            s[n, ALIENS + x] = below
    else:
        for y in range(10):
            row = ALIENS + 10 * y
            if march < 0:
                first = s[n, row]
                for x in range(9):
                    s[n, row + x] = s[n, row + x + 1]
                s[n, row + 9] = first
            else:
                last = s[n, row + 9]
                for x in range(9, 0, -1):
                    s[n, row + x] = s[n, row + x - 1]
                s[n, row] = last
    return landed


@exact
def _aliens_shoot(s: Array, n: int) -> None:
    """The lowest one of the column that is nearest to the cannon, of two as near the left one."""
    best, apart = -1, 99
    for x in range(10):
        if _count(s, n, ALIENS + x, 10, 10) > 0 and abs(x - s[n, CANNON]) < apart:
            best, apart = x, abs(x - s[n, CANNON])
    if best >= 0:
        y = 9
        while not s[n, ALIENS + 10 * y + best]:
            y -= 1
        s[n, DOWNWARD + 10 * y + best] = 1


@exact
def invaders(s: Array, n: int, action: int, ramping: bool) -> tuple[float, bool]:
    """Aliens march, ever faster the fewer they are, and shoot; each is worth 1, and new ones land, faster."""
    reward = 0.0
    if action == FIRE and s[n, COOL_IN] == 0:
        s[n, UPWARD + 90 + s[n, CANNON]] = 1
        s[n, COOL_IN] = 5
    elif action == LEFT:
        s[n, CANNON] = max(0, s[n, CANNON] - 1)
    elif action == RIGHT:
        s[n, CANNON] = min(9, s[n, CANNON] + 1)
    for k in range(90):
        s[n, UPWARD + k] = s[n, UPWARD + k + 10]
        s[n, DOWNWARD + 99 - k] = s[n, DOWNWARD + 89 - k]
    for x in range(10):
        s[n, UPWARD + 90 + x], s[n, DOWNWARD + x] = 0, 0
    over = s[n, DOWNWARD + 90 + s[n, CANNON]] != 0 or s[n, ALIENS + 90 + s[n, CANNON]] != 0
    if s[n, MARCH_IN] == 0:
        s[n, MARCH_IN] = min(_count(s, n, ALIENS, 1, 100), s[n, MARCH_EVERY])
        over = _aliens_march(s, n) or over
        over = over or s[n, ALIENS + 90 + s[n, CANNON]] != 0
    if s[n, VOLLEY_IN] == 0:
        s[n, VOLLEY_IN] = 10
        _aliens_shoot(s, n)
    left = 0
    for k in range(100):
        if s[n, ALIENS + k]:
            if s[n, UPWARD + k]:
                s[n, ALIENS + k], s[n, UPWARD + k] = 0, 0
                reward += 1.0
            else:
                left += 1
    s[n, COOL_IN] -= s[n, COOL_IN] > 0
    s[n, MARCH_IN] -= 1
    s[n, VOLLEY_IN] -= 1
    if left == 0:
        if ramping and s[n, MARCH_EVERY] > 6:
            s[n, MARCH_EVERY] -= 1
        invaders_land(s, n)
    return reward, over


@exact
def invaders_see(s: Array, n: int, picture: Array) -> None:
    """Channels: cannon, aliens, and of these those that go left and right, shots, bullets."""
    picture[n, 9, s[n, CANNON], 0] = 1
    for k in range(100):
        y, x = k // 10, k % 10
        picture[n, y, x, 1] = s[n, ALIENS + k]
        picture[n, y, x, 2 if s[n, MARCH] < 0 else 3] = s[n, ALIENS + k]
        picture[n, y, x, 4] = s[n, UPWARD + k]
        picture[n, y, x, 5] = s[n, DOWNWARD + k]


# ---------------------------------------------------------------------------------------------------- all of them
SIZES = (THINGS + 24, BRICKS + 30, CARS + 24, SEAQUEST_SIZE, OWN + 306)
"""Numbers of a row, by game."""


@exact
def key_of(seed: np.uint64, episode: np.uint64) -> np.uint64:
    """Of the draws of an episode."""
    return mix(mix(seed * GOLDEN) + episode * GOLDEN)


@exact
def begin(game: int, s: Array, n: int, key: np.uint64) -> None:
    """Fill row n with the first state of an episode."""
    s[n, DREW], s[n, LAST] = 0, 0
    if game == ASTERIX:
        asterix_begin(s, n)
    elif game == BREAKOUT:
        breakout_begin(s, n, key)
    elif game == FREEWAY:
        freeway_begin(s, n, key)
    elif game == SEAQUEST:
        seaquest_begin(s, n)
    else:
        invaders_begin(s, n)


@exact
def act(game: int, s: Array, n: int, key: np.uint64, action: int, ramping: bool) -> tuple[float, bool]:
    """One step of row n: what is paid, and whether the episode is over."""
    if game == ASTERIX:
        return asterix(s, n, key, action, ramping)
    if game == BREAKOUT:
        return breakout(s, n, action)
    if game == FREEWAY:
        return freeway(s, n, key, action)
    if game == SEAQUEST:
        return seaquest(s, n, key, action, ramping)
    return invaders(s, n, action, ramping)


@exact
def see(game: int, s: Array, n: int, picture: Array) -> None:
    """picture[n], [10, 10, C] uint8 of zeros, of row n."""
    if game == ASTERIX:
        asterix_see(s, n, picture)
    elif game == BREAKOUT:
        breakout_see(s, n, picture)
    elif game == FREEWAY:
        freeway_see(s, n, picture)
    elif game == SEAQUEST:
        seaquest_see(s, n, picture)
    else:
        invaders_see(s, n, picture)


def _step(
    game: int, state: Array, elapsed: Array, seed: Array, episode: Array, sticky: float, ramping: bool, limit: int,
    action: Array, picture: Array, final: Array, reward: Array, terminated: Array, truncated: Array,
) -> int:  # fmt: skip
    """Step N copies, each begun anew inside the step that ends it.

    Args:
        game: which.
        state: [N, S] int64; `elapsed` [N] int64; `seed`, `episode` [N] uint64; all brought up to date.
        sticky: the chance that the action of the step before is taken in place of the one that is given.
        ramping: whether it gets harder.
        limit: steps of an episode; 0 for no end but the game's.
        action: [N] int64, 0 to 5: nothing, left, up, right, down, fire.
        picture: [N, 10, 10, C] uint8 of zeros, filled; of copies that ended with the first of the next episode.
        final: the same; filled with the last picture of those that ended.
        reward, terminated, truncated: [N], filled.

    Returns:
        How many ended.
    """
    ended = 0
    for n in range(state.shape[0]):
        key = key_of(seed[n], episode[n])
        taken = state[n, LAST] if draw(state, n, key) < sticky else action[n]
        state[n, LAST] = taken
        gain, over = act(game, state, n, key, taken, ramping)
        elapsed[n] += 1
        reward[n], terminated[n], truncated[n] = gain, over, (not over) and elapsed[n] == limit
        if over or truncated[n]:
            ended += 1
            see(game, state, n, final)
            episode[n] += np.uint64(1)
            elapsed[n] = 0
            begin(game, state, n, key_of(seed[n], episode[n]))
        see(game, state, n, picture)
    return ended


def _reset(game: int, state: Array, seed: Array, picture: Array) -> None:
    """Fill `state` and `picture` with the beginning of episode 0 of every copy."""
    for n in range(state.shape[0]):
        begin(game, state, n, key_of(seed[n], np.uint64(0)))
        see(game, state, n, picture)


step: Any = outer(_step, EXACT)
reset: Any = outer(_reset, EXACT)
