"""Lanes read slowly: the same rules on objects, one game, one thing after another."""

from __future__ import annotations

from dataclasses import dataclass, field

LANES = 0, 4
MOVES = {1: (-1, 0), 2: (1, 0), 3: (0, 1), 4: (0, -1)}


@dataclass
class Unit:
    team: int
    row: int
    col: int
    hp: int
    wait: int = 0

    @property
    def there(self):
        return self.wait == 0

    def reaches(self, row, col, far=1):
        return abs(self.row - row) <= far and abs(self.col - col) <= far


def home(team):
    return (2, 0) if team == 0 else (2, 6)


@dataclass
class Game:
    heroes: list  # [2][K]
    time: int = 0
    base: list = field(default_factory=lambda: [8, 8])
    creeps: list = field(
        default_factory=lambda: [[Unit(m, row, home(m)[1], 2) for row in LANES] for m in (0, 1)]
    )  # [2][2]

    def weakest(self, units, row, col):
        reached = [u for u in units if u.there and u.reaches(row, col)]
        return min(reached, key=lambda u: u.hp) if reached else None

    def step(self, actions):
        """Rewards [2][K], whether it is over, and its outcome."""
        reward = [[0.0 for _ in team] for team in self.heroes]
        everybody = [(m, k, hero, actions[m][k]) for m in (0, 1) for k, hero in enumerate(self.heroes[m]) if hero.there]
        for m, _, hero, action in everybody:
            if action in MOVES:
                down, on = MOVES[action]
                hero.row = min(max(hero.row + down, 0), 4)
                hero.col = min(max(hero.col + (on if m == 0 else -on), 0), 6)
        blows = []  # who is struck, by whom
        for m, k, hero, action in everybody:
            other = 1 - m
            if action in (5, 6):
                units = self.heroes[other] if action == 5 else self.creeps[other]
                if (target := self.weakest(units, hero.row, hero.col)) is not None:
                    blows.append((target, (m, k)))
            if action == 7 and hero.reaches(*home(other)):
                self.base[other] -= 1
                reward[m][k] += 0.15
        for m in (0, 1):
            if (target := self.weakest(self.heroes[1 - m], *home(m))) is not None:
                blows.append((target, None))
        for target, _ in blows:
            target.hp -= 1
        fallen = {id(u): u for u, _ in blows if u.hp <= 0}
        for unit in fallen.values():
            by = [who for u, who in blows if u is unit and who is not None]
            is_hero = any(unit is hero for hero in self.heroes[unit.team])
            for m, k in by:
                reward[m][k] += (0.4 if is_hero else 0.1) / len(by)
            if is_hero:
                reward[unit.team][next(k for k, h in enumerate(self.heroes[unit.team]) if h is unit)] -= 0.2
            unit.wait = 11 if is_hero else 7
        if self.time % 2 == 0:
            self.march(reward)
        self.tick()
        self.time += 1
        over = min(self.base) <= 0 or self.time >= 60
        outcome = (self.base[0] > self.base[1]) - (self.base[0] < self.base[1]) if over else 0
        return [[r + outcome * (1 - 2 * m) for r in reward[m]] for m in (0, 1)], over, outcome

    def march(self, reward):
        for one, other in zip(*self.creeps, strict=True):
            if one.there and other.there and abs(one.col - other.col) <= 1:
                continue
            for creep in (one, other):
                end = home(1 - creep.team)[1]
                if creep.there and creep.col == end:
                    self.base[1 - creep.team] -= 2
                    creep.wait = 7
                    reward[creep.team] = [r + 0.05 for r in reward[creep.team]]
                elif creep.there:
                    creep.col += 1 if creep.team == 0 else -1

    def tick(self):
        for m in (0, 1):
            for hero in self.heroes[m]:
                if hero.wait:
                    hero.wait -= 1
                    if hero.there:
                        (hero.row, hero.col), hero.hp = home(m), 4
                elif (hero.row, hero.col) == home(m):
                    hero.hp = min(hero.hp + 1, 4)
            for creep in self.creeps[m]:
                if creep.wait:
                    creep.wait -= 1
                    if creep.there:
                        creep.col, creep.hp = home(m)[1], 2

    def seen(self, team, k):
        """What a hero sees, number by number."""
        me, side = self.heroes[team][k], 1 if team == 0 else -1

        def looked(unit, whole, always=False):
            if not always and not (me.there and unit.there and me.reaches(unit.row, unit.col, 2)):
                return [0.0] * 4
            return [1.0, (unit.row - me.row) / 4, side * (unit.col - me.col) / 6, max(unit.hp, 0) / whole]

        x = [me.there, me.row / 4, abs(me.col - home(team)[1]) / 6, max(me.hp, 0) / 4, me.wait / 10]
        x += [self.time / 60, self.base[team] / 8, self.base[1 - team] / 8]
        for j, mate in enumerate(self.heroes[team]):
            if j != k:
                x += [float(mate.there), *looked(mate, 4, always=True)[1:], mate.wait / 10]
        for enemy in self.heroes[1 - team]:
            x += looked(enemy, 4)
        for side_of in (team, 1 - team):
            for creep in self.creeps[side_of]:
                x += looked(creep, 2)
        return x
