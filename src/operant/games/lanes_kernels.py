"""The rules of Lanes, compiled: N games of two teams of K heroes, who all act at once.

A board of 5 × 7 cells. The bases stand at both ends of the middle row, each guarded by a tower; creeps walk along the
first and the last row towards the other side. The slow reading of the same rules, on objects, is in
`tests/games/slow_lanes.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.data.compiled import inner, outer
from operant.data.counter import GOLDEN, mix, uniform_at

ROWS, COLUMNS, MIDDLE, HALF = 5, 7, 2, 3
ROW, COL, HP, WAIT = 0, 1, 2, 3
"""Of a hero: where it is, what is left of it, and in how many steps it comes back (0: it is there)."""
C_COL, C_HP, C_WAIT = 0, 1, 2
"""Of a creep: its row is its lane's."""
HERO_HP, CREEP_HP, BASE_HP = 4, 2, 8
AWAY, CREEP_AWAY, SIEGE = 10, 6, 2
"""Steps for which a hero and a creep are away; what a creep that came through takes from the base."""
SIGHT, LIMIT = 2, 60
STAY, UP, DOWN, ON, BACK, FIGHT, CLEAR, STORM = range(8)
"""Actions: four ways to walk, on being towards the other side, and strikes at a hero, a creep and the base."""
ACTIONS = 8
KILLED, DIED, CLEARED, STORMED, SIEGED, WON = 0.4, -0.2, 0.1, 0.15, 0.05, 1.0
"""Rewards: of a hero or a creep brought down, shared by those who struck it last, of dying, of each strike at the base,
to each of a team whose creep came through, and of a game won (lost: the negative)."""
OWN, MATE, FOE, CREEP = 8, 5, 4, 4
"""Numbers that are seen of oneself and the bases, of a mate, of an enemy, of a creep."""

Array = NDArray[Any]


@inner
def lane(k: Any) -> Any:
    """The row of a lane."""
    return k * (ROWS - 1)


@inner
def home(team: Any) -> Any:
    """The column of a base."""
    return team * (COLUMNS - 1)


@inner
def near(row: Any, col: Any, other_row: Any, other_col: Any, reach: Any) -> Any:
    """Whether a king's walk of so many steps leads there."""
    return max(abs(row - other_row), abs(col - other_col)) <= reach


@inner
def begin(n: Any, hero: Any, creep: Any, base: Any, time: Any, seed: Any, episode: Any) -> None:
    """A game: heroes whole, each on a cell of chance in its half; creeps at their bases."""
    key = mix(mix(seed * GOLDEN) + np.uint64(episode) * GOLDEN)
    heroes = hero.shape[2]
    time[n] = 0
    for m in range(2):
        base[n, m] = BASE_HP
        for k in range(heroes):
            at = np.int64(uniform_at(key, np.uint64(m * heroes + k)) * (HALF * ROWS))
            hero[n, m, k, ROW] = at // HALF
            hero[n, m, k, COL] = abs(home(m) - at % HALF)
            hero[n, m, k, HP], hero[n, m, k, WAIT] = HERO_HP, 0
        for k in range(2):
            creep[n, m, k, C_COL], creep[n, m, k, C_HP], creep[n, m, k, C_WAIT] = home(m), CREEP_HP, 0


@outer
def reset(hero: Array, creep: Array, base: Array, time: Array, seed: Array, episode: Array, only: Array) -> None:
    """Begin the games where `only` [N] is True; game n is drawn from seed[n] and its episode's number."""
    for n in range(len(time)):
        if only[n]:
            begin(n, hero, creep, base, time, seed[n], episode[n])


@inner
def walk(n: Any, hero: Any, action: Any) -> None:
    """Every hero that is there takes its step."""
    for m in range(2):
        for k in range(hero.shape[2]):
            if hero[n, m, k, WAIT] == 0:
                a, ahead = action[n, m, k], 1 - 2 * m
                row = hero[n, m, k, ROW] + (a == DOWN) - (a == UP)
                col = hero[n, m, k, COL] + ahead * ((a == ON) - np.int64(a == BACK))
                hero[n, m, k, ROW] = min(max(row, 0), ROWS - 1)
                hero[n, m, k, COL] = min(max(col, 0), COLUMNS - 1)


@inner
def foe(n: Any, hero: Any, team: Any, row: Any, col: Any) -> Any:
    """The hero of a team that whoever strikes there strikes: within reach the weakest, the first of equals; or -1."""
    found = -1
    for k in range(hero.shape[2]):
        its = hero[n, team, k]
        if (
            its[WAIT] == 0
            and near(row, col, its[ROW], its[COL], 1)
            and (found < 0 or its[HP] < hero[n, team, found, HP])
        ):
            found = k
    return found


@inner
def beast(n: Any, creep: Any, team: Any, row: Any, col: Any) -> Any:
    """The same of a team's creeps."""
    found = -1
    for k in range(2):
        its = creep[n, team, k]
        if (
            its[C_WAIT] == 0
            and near(row, col, lane(k), its[C_COL], 1)
            and (found < 0 or its[C_HP] < creep[n, team, found, C_HP])
        ):
            found = k
    return found


@inner
def strike(n: Any, hero: Any, creep: Any, base: Any, action: Any, reward: Any, aim: Any, hits: Any) -> None:
    """All strikes fall at once: who is aimed at is settled before anybody is hurt."""
    heroes = hero.shape[2]
    aim[:], hits[:] = -1, 0
    for m in range(2):
        other = 1 - m
        for k in range(heroes):
            row, col, a = hero[n, m, k, ROW], hero[n, m, k, COL], action[n, m, k]
            if hero[n, m, k, WAIT] > 0:
                continue
            if a == FIGHT:
                aim[m, k] = foe(n, hero, other, row, col)
            elif a == CLEAR:
                at = beast(n, creep, other, row, col)
                aim[m, k] = heroes + at if at >= 0 else -1
            elif a == STORM and near(row, col, MIDDLE, home(other), 1):
                base[n, other] -= 1
                reward[n, m, k] += STORMED
            if aim[m, k] >= 0:
                hits[other, aim[m, k]] += 1
        guarded = foe(n, hero, other, MIDDLE, home(m))  # the tower strikes as well, and is paid by nobody
        if guarded >= 0:
            hits[other, heroes + 2 + guarded] = 1


@inner
def fall(n: Any, hero: Any, creep: Any, reward: Any, aim: Any, hits: Any) -> None:
    """Whoever was struck is hurt; what falls is away for a while, and pays those who struck it."""
    heroes = hero.shape[2]
    for m in range(2):
        for k in range(heroes + 2):
            struck = hits[m, k] + (hits[m, heroes + 2 + k] if k < heroes else 0)
            if struck == 0:
                continue
            if k < heroes:
                hero[n, m, k, HP] -= struck
                fell, paid = hero[n, m, k, HP] <= 0, KILLED
                if fell:
                    hero[n, m, k, WAIT] = AWAY + 1  # the end of this step takes one off
                    reward[n, m, k] += DIED
            else:
                creep[n, m, k - heroes, C_HP] -= struck
                fell, paid = creep[n, m, k - heroes, C_HP] <= 0, CLEARED
                if fell:
                    creep[n, m, k - heroes, C_WAIT] = CREEP_AWAY + 1
            if fell:
                for j in range(heroes):
                    if aim[1 - m, j] == k:
                        reward[n, 1 - m, j] += paid / hits[m, k]


@inner
def march(n: Any, creep: Any, base: Any, reward: Any) -> None:
    """Every creep that is there and has no enemy's before it takes a step; one that has come through is spent."""
    for k in range(2):
        a, b = creep[n, 0, k], creep[n, 1, k]
        held = a[C_WAIT] == 0 and b[C_WAIT] == 0 and abs(a[C_COL] - b[C_COL]) <= 1
        for m in range(2):
            its = creep[n, m, k]
            if its[C_WAIT] > 0 or held:
                continue
            if its[C_COL] == home(1 - m):
                base[n, 1 - m] -= SIEGE
                its[C_WAIT] = CREEP_AWAY + 1
                for j in range(reward.shape[2]):
                    reward[n, m, j] += SIEGED
            else:
                its[C_COL] += 1 - 2 * m


@inner
def tick(n: Any, hero: Any, creep: Any) -> None:
    """Who was away long enough is at its base again, whole; who stands at its base is healed by one."""
    for m in range(2):
        for k in range(hero.shape[2]):
            its = hero[n, m, k]
            if its[WAIT] > 0:
                its[WAIT] -= 1
                if its[WAIT] == 0:
                    its[ROW], its[COL], its[HP] = MIDDLE, home(m), HERO_HP
            elif its[ROW] == MIDDLE and its[COL] == home(m):
                its[HP] = min(its[HP] + 1, HERO_HP)
        for k in range(2):
            its = creep[n, m, k]
            if its[C_WAIT] > 0:
                its[C_WAIT] -= 1
                if its[C_WAIT] == 0:
                    its[C_COL], its[C_HP] = home(m), CREEP_HP


@outer
def step(
    hero: Array, creep: Array, base: Array, time: Array, action: Array, reward: Array, over: Array, outcome: Array
) -> None:
    """One step of all games.

    Args:
        hero: [N, 2, K, 4], moved on, as are `creep` [N, 2, 2, 3], `base` [N, 2] and `time` [N].
        action: [N, 2, K].
        reward: [N, 2, K] float64, filled with what each hero is paid itself.
        over: [N] bool, filled; `outcome` [N] with 1 where team 0 has won, −1 where team 1 has, else 0.
    """
    heroes = hero.shape[2]
    aim, hits = np.empty((2, heroes), np.int64), np.empty((2, 2 * heroes + 2), np.int64)
    reward[:] = 0.0
    for n in range(len(time)):
        walk(n, hero, action)
        strike(n, hero, creep, base, action, reward, aim, hits)
        fall(n, hero, creep, reward, aim, hits)
        if time[n] % 2 == 0:
            march(n, creep, base, reward)
        tick(n, hero, creep)
        time[n] += 1
        over[n] = base[n, 0] <= 0 or base[n, 1] <= 0 or time[n] >= LIMIT
        outcome[n] = 0
        if over[n]:
            outcome[n] = (base[n, 0] > base[n, 1]) - np.int64(base[n, 0] < base[n, 1])
            for k in range(heroes):
                reward[n, 0, k] += WON * outcome[n]
                reward[n, 1, k] -= WON * outcome[n]


@inner
def looked(x: Any, at: Any, its: Any, team: Any, row: Any, col: Any, hp: Any, whole: Any) -> None:
    """Four numbers of what is seen: that it is, how far off it is, and what is left of it."""
    x[at] = 1.0
    x[at + 1] = (row - its[ROW]) / np.float32(ROWS - 1)
    x[at + 2] = (1 - 2 * team) * (col - its[COL]) / np.float32(COLUMNS - 1)
    x[at + 3] = hp / np.float32(whole)


@outer
def observe(hero: Array, creep: Array, base: Array, time: Array, obs: Array) -> None:
    """What each hero sees, obs [N, 2, K, D] float32: both teams see the same game, each from its own side.

    Of itself: whether it is there, row, column, what is left of it, in how many steps it is back, the time, both bases.
    Of its mates the same five wherever they are. Of enemies, then of its own team's creeps and the others', only those
    within two cells; nothing while it is away.
    """
    heroes = hero.shape[2]
    obs[:] = 0.0
    for n in range(len(time)):
        for m in range(2):
            other, ahead = 1 - m, 1 - 2 * m
            for k in range(heroes):
                its, x = hero[n, m, k], obs[n, m, k]
                here = its[WAIT] == 0
                x[0], x[1] = here, its[ROW] / np.float32(ROWS - 1)
                x[2] = ahead * (its[COL] - home(m)) / np.float32(COLUMNS - 1)
                x[3], x[4] = max(its[HP], 0) / np.float32(HERO_HP), its[WAIT] / np.float32(AWAY)
                x[5], x[6], x[7] = (
                    time[n] / np.float32(LIMIT),
                    base[n, m] / np.float32(BASE_HP),
                    base[n, other] / np.float32(BASE_HP),
                )
                at = OWN
                for j in range(heroes):
                    if j != k:
                        mate = hero[n, m, j]
                        looked(x, at, its, m, mate[ROW], mate[COL], max(mate[HP], 0), HERO_HP)
                        x[at], x[at + 4] = mate[WAIT] == 0, mate[WAIT] / np.float32(AWAY)
                        at += MATE
                for j in range(heroes):
                    it = hero[n, other, j]
                    if here and it[WAIT] == 0 and near(its[ROW], its[COL], it[ROW], it[COL], SIGHT):
                        looked(x, at, its, m, it[ROW], it[COL], it[HP], HERO_HP)
                    at += FOE
                for team in (m, other):
                    for j in range(2):
                        it = creep[n, team, j]
                        if here and it[C_WAIT] == 0 and near(its[ROW], its[COL], lane(j), it[C_COL], SIGHT):
                            looked(x, at, its, m, lane(j), it[C_COL], it[C_HP], CREEP_HP)
                        at += CREEP
