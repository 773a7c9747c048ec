"""One who solves quests by exploring: each command follows from what was told, read and seen so far, and from no more.

So its traces can be learnt from: a policy that remembers its episode can do as it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from operant.agents.text.house import BOOK, KEY, SAFE, House, Room


def explore(house: House, limit: int) -> list[str]:
    """The commands that solve a quest, at most so many; `house` is changed by them."""
    explorer, commands = Explorer(house), list[str]()
    while len(commands) < limit:
        commands.append(explorer.choose())
        if house.do(commands[-1]).terminated:
            break
    return commands


class Explorer:
    """What is known of a house, and what to do next.

    Args:
        house: as it stands; it is looked at only where one has been.
        rooms: known of before one was there.
        lies: the rooms of things, as one was told.
    """

    def __init__(self, house: House, rooms: Iterable[str] = (), lies: Mapping[str, str] | None = None) -> None:
        self.house, self.seen, self.lies = house, [*dict.fromkeys((house.here, *rooms))], dict(lies or {})
        self.knows = "book" not in house.asked

    def choose(self) -> str:
        """The next command: finish, use what is here, fetch what was seen, open what is locked, explore."""
        if (chosen := self._finish() or self._use()) is not None:
            return chosen
        wanted = (name for name in self.seen if self._wanted([*self._things(name), *self._told(name)]))
        locks = (n for n in self.seen if KEY in self.house.held and self._locked(n))
        doors = (name for name in self.seen if self._doors(name))
        shut = (name for name in self.seen if self._shut(name))
        for places in (wanted, locks, doors, shut):
            targets = set(places)
            if targets:
                return self._towards(targets)
        return "look"

    def _finish(self) -> str | None:
        """Make the thing, or bring it, once that can be done."""
        house, goal = self.house, self.house.goal
        if goal.thing in house.held:
            place = self._first(lambda room: room.person == house.receiver)
            action = f"give {goal.thing} to {house.receiver}"
        elif self.knows and set(goal.ingredients) <= set(house.held):
            place = self._first(lambda room: room.station == goal.station)
            action = f"combine {' and '.join(goal.ingredients)}"
        else:
            return None
        return None if place is None else action if place == house.here else self._towards({place})

    def _use(self) -> str | None:
        """Look into what is closed here, read, and take what is needed."""
        house, room = self.house, self.house.rooms[self.house.here]
        for name in room.containers:
            if name not in house.opened:
                return f"dial {house.code}" if name == SAFE else f"open {name}"
        things = self._things(house.here)
        if BOOK in things and not self.knows:
            self.knows = True
            return "read book"
        if found := self._wanted(things):
            return f"take {found}"
        way = next((way for way, there in room.exits.items() if there in house.locked), None)
        return f"unlock {way}" if way and KEY in house.held else None

    def _wanted(self, things: Iterable[str]) -> str | None:
        needed = (KEY, *(self.house.goal.ingredients if self.knows else ()))
        return next((name for name in things if name in needed and name not in self.house.held), None)

    def _things(self, name: str) -> list[str]:
        room = self.house.rooms[name]
        return room.floor + [x for c, inside in room.containers.items() if c in self.house.opened for x in inside]

    def _told(self, name: str) -> list[str]:
        """What one was told lies in a room, where it is not seen that it does not."""
        return [thing for thing, room in self.lies.items() if room == name and self._shut(name)]

    def _shut(self, name: str) -> bool:
        """Whether something in a room is still closed: of one where one has been, nothing is."""
        return any(c not in self.house.opened for c in self.house.rooms[name].containers)

    def _locked(self, name: str) -> bool:
        return any(there in self.house.locked for there in self.house.rooms[name].exits.values())

    def _doors(self, name: str) -> list[str]:
        """Ways of a room that lead where one has not been, and are not locked."""
        exits = self.house.rooms[name].exits.items()
        return [way for way, there in exits if there not in self.seen and there not in self.house.locked]

    def _first(self, right: Callable[[Room], bool]) -> str | None:
        """The first room that one saw in which this is so."""
        return next((name for name in self.seen if right(self.house.rooms[name])), None)

    def _towards(self, targets: set[str]) -> str:
        """The first step of the shortest known way to one of these rooms; through a new door where one is there."""
        house = self.house
        if house.here in targets:
            way = self._doors(house.here)[0]
            self.seen.append(house.rooms[house.here].exits[way])
            return f"go {way}"
        reached, edge = {house.here}, deque([(house.here, "")])
        while edge:
            name, first = edge.popleft()
            if name in targets:
                return f"go {first}"
            for way, there in house.rooms[name].exits.items():
                if there in self.seen and there not in reached and there not in house.locked:
                    reached.add(there)
                    edge.append((there, first or way))
        return "look"
