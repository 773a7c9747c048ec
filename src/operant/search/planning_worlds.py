"""The classical problems of planning: the towers of Hanoi, blocks, water jugs, and a door with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations, product

from operant.search.planning_problem import Operator, Problem

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Where each direction leads (right, down, left, up), as MiniGrid counts them."""


def hanoi(disks: int) -> Problem:
    """The towers: `disk1` is the smallest, pegs are 0 to 2, and no disk may lie on a smaller one.

    A disk moves where every smaller one is on the third peg. The largest disk is the most difficult difference.
    """
    names = [f"disk{k}" for k in range(1, disks + 1)]
    operators = [
        Operator(
            name=f"move {name} from {here} to {there}",
            before={name: here, **dict.fromkeys(names[:k], 3 - here - there)},
            after={name: there},
        )
        for k, name in enumerate(names)
        for here, there in permutations(range(3), 2)
    ]
    return Problem(
        initial=dict.fromkeys(names, 0), goal=dict.fromkeys(names, 2), operators=operators, difficulty=names[::-1]
    )


def blocks(initial: Mapping[str, str], goal: Mapping[str, str], difficulty: Sequence[str] = ()) -> Problem:
    """Blocks on one another and on the "table", moved one by one by a hand that takes what is clear.

    Args:
        initial: what each block stands on.
        goal: what some are to stand on.
        difficulty: blocks, the first to be looked at first; as they come in `goal` if empty.
    """
    names = [*initial]
    state = {f"on {x}": under for x, under in initial.items()}
    state |= {f"clear {x}": x not in initial.values() for x in names}
    operators = [
        Operator(
            name=f"move {x} from {here} to {there}",
            before={
                f"on {x}": here, f"clear {x}": True, **({} if there == "table" else {f"clear {there}": True}),
            },
            after={
                f"on {x}": there,
                **({} if here == "table" else {f"clear {here}": True}),
                **({} if there == "table" else {f"clear {there}": False}),
            },
        )
        for x in names
        for here, there in permutations(["table", *(n for n in names if n != x)], 2)
    ]  # fmt: skip
    first = [f"on {x}" for x in (difficulty or goal)]
    rest = [name for name in state if name not in first]
    return Problem(
        initial=state, goal={f"on {x}": under for x, under in goal.items()}, operators=operators,
        difficulty=[*first, *rest],
    )  # fmt: skip


def sussman() -> Problem:
    """The anomaly: C stands on A, and A is to stand on B, which is to stand on C (Sussman 1975).

    Whichever of the two wishes is fulfilled first is in the way of the other.
    """
    return blocks({"A": "table", "B": "table", "C": "A"}, {"A": "B", "B": "C"})


def jugs(first: int = 4, second: int = 3, wanted: int = 2) -> Problem:
    """Two jugs of so many litres, filled at a tap, emptied, poured into each other, until the first holds `wanted`."""
    operators: list[Operator] = []
    for a, b in product(range(first + 1), range(second + 1)):
        into_b, into_a = min(a, second - b), min(b, first - a)
        ends = {
            "fill the first": (first, b), "fill the second": (a, second), "empty the first": (0, b),
            "empty the second": (a, 0), "pour the first into the second": (a - into_b, b + into_b),
            "pour the second into the first": (a + into_a, b - into_a),
        }  # fmt: skip
        operators += [
            Operator(name=name, before={"first": a, "second": b}, after={"first": x, "second": y})
            for name, (x, y) in ends.items()
            if (x, y) != (a, b)
        ]
    return Problem(initial={"first": 0, "second": 0}, goal={"first": wanted}, operators=operators)


def door_and_key(grid: Sequence[str], facing: int = 0) -> Problem:
    """A grid with a locked door (D), its key (K), a start (S), a goal (G), walls (#): turn, go, take, open.

    The variables are those of MiniGrid's DoorKey: where one is, which way one looks (0 right, 1 down, 2 left, 3 up),
    whether the key is held and the door open. The door is the most difficult difference, then the key.
    """
    cells = {(x, y): letter for y, line in enumerate(grid) for x, letter in enumerate(line) if letter != "#"}
    (start,), (goal,) = ([at for at, letter in cells.items() if letter == wanted] for wanted in "SG")
    operators = [
        Operator(name=name, before={"facing": d}, after={"facing": (d + by) % 4})
        for d in range(4)
        for name, by in (("left", -1), ("right", 1))
    ]
    for (x, y), d in product(cells, range(4)):
        there = (x + AHEAD[d][0], y + AHEAD[d][1])
        if (letter := cells.get(there)) is None:
            continue
        here = {"at": (x, y), "facing": d}
        free = {"D": {"door": "open"}, "K": {"key": "held"}}.get(letter, {})
        operators.append(Operator(name="forward", before=here | free, after={"at": there}))
        if letter == "K":
            operators.append(Operator(name="pickup", before=here | {"key": "floor"}, after={"key": "held"}))
        if letter == "D":
            held = {"key": "held", "door": "locked"}
            operators.append(Operator(name="toggle", before=here | held, after={"door": "open"}))
    return Problem(
        initial={"door": "locked", "key": "floor", "at": start, "facing": facing}, goal={"at": goal},
        operators=operators,
    )  # fmt: skip
