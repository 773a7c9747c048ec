"""The gambler's problem and blackjack."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from operant.mdp.model import MDP
from operant.mdp.worlds.table import Outcome, table


def gambler(win: float = 0.4, *, goal: int = 100, discount: float = 1.0) -> MDP:
    """Stake any part of the capital on a coin that pays with probability `win`, until it is 0 or `goal` (reward 1).

    State s is the capital, action label k the stake k, 1 … min(s, goal - s). A stake of 0 is left out: it
    changes nothing, so it ties with the best stake everywhere and makes policies that never end.

    Source: Sutton & Barto (2018), example 4.3 (figure 4.3).
    """

    def step(capital: int, action: str) -> list[Outcome[int]]:
        stake = int(action)
        if not 1 <= stake <= min(capital, goal - capital):
            return []
        up, down = capital + stake, capital - stake
        return [(win, up, 1.0 if up == goal else 0.0), (1.0 - win, down, 0.0)]

    stakes = [str(stake) for stake in range(goal // 2 + 1)]
    return table(range(goal + 1), stakes, step, discount, terminal={0: 0.0, goal: 0.0})


CARDS = dict.fromkeys(range(1, 10), 1 / 13) | {10: 4 / 13}
"""Probability of each card of an infinite deck; 1 is the ace."""

Hand = tuple[int, bool]
"""(sum, usable ace), the ace counted as 11 where that does not bust."""

Situation = tuple[int, bool, int] | tuple[str, int] | tuple[str]
"""(sum, usable ace, dealer's card), ("natural", dealer's card), or ("win",), ("draw",), ("lose",)."""


def add(hand: Hand, card: int) -> Hand:
    """The hand with one more card; a sum above 21 has busted."""
    total, usable = hand[0] + card, hand[1]
    if card == 1 and total + 10 <= 21:
        total, usable = total + 10, True
    if total > 21 and usable:
        total, usable = total - 10, False
    return total, usable


@cache
def dealer(hand: Hand) -> dict[int, float]:
    """Distribution of the dealer's final sum (22 stands for bust); he sticks on every 17 or more."""
    if hand[0] > 21:
        return {22: 1.0}
    if hand[0] >= 17:
        return {hand[0]: 1.0}
    chances = dict[int, float]()
    for card, p in CARDS.items():
        for total, q in dealer(add(hand, card)).items():
            chances[total] = chances.get(total, 0.0) + p * q
    return chances


def blackjack(*, natural: bool = True) -> MDP:
    """Blackjack with an infinite deck, reward +1, 0, -1, and hits below a sum of 12 made without asking.

    200 states to decide in, named (sum 12 … 21, usable ace, dealer's card) like (13, True, 2), ten named
    ("natural", card) in which the player can only stick, and the ends ("lose",), ("draw",), ("win",). Actions: 0 stick,
    1 hit. `start` is the distribution of the first state.

    Args:
        natural: a natural (an ace and a ten with the first two cards) of the player beats every hand of the dealer but
            a natural; if False it is a 21 like any other. A dealer's natural draws with a 21 of the player, as in
            Gymnasium's Blackjack-v1 with `sab=True`.

    Source: Sutton & Barto (2018), example 5.1 and figures 5.1 and 5.2.
    """
    hands: list[Situation] = [
        (total, usable, card) for usable in (False, True) for total in range(12, 22) for card in CARDS
    ]
    naturals: list[Situation] = [("natural", card) for card in CARDS]
    ends: list[Situation] = [("lose",), ("draw",), ("win",)]
    worth = {("lose",): -1.0, ("draw",): 0.0, ("win",): 1.0}

    def stick(total: int, card: int) -> Iterable[Outcome[Situation]]:
        for final, p in dealer(add((0, False), card)).items():
            end: Situation = ("win",) if final > 21 or total > final else ("draw",) if total == final else ("lose",)
            yield p, end, worth[end]

    def step(state: Situation, action: str) -> Iterable[Outcome[Situation]]:
        if len(state) == 2:  # a natural
            if action == "hit":
                return
            card = state[1]
            both = CARDS[10] if card == 1 else CARDS[1] if card == 10 else 0.0
            if natural:
                yield 1.0 - both, ("win",), 1.0
                if both:
                    yield both, ("draw",), 0.0
            else:
                yield from stick(21, card)
        elif len(state) == 3:
            total, usable, card = state
            if action == "stick":
                yield from stick(total, card)
                return
            for new, p in CARDS.items():
                hand = add((total, usable), new)
                end = ("lose",) if hand[0] > 21 else (*hand, card)
                yield p, end, -1.0 if hand[0] > 21 else 0.0

    return table(
        [*hands, *naturals, *ends],
        ["stick", "hit"],
        step,
        1.0,
        terminal=dict.fromkeys(ends, 0.0),
        start=_first_states(),
    )


def _first_states() -> dict[Situation, float]:
    """The distribution of the first state: a card of the dealer, and the player's first hand."""
    start = dict[Situation, float]()
    for card, p in CARDS.items():
        for hand, q in _deal().items():
            first: Situation = ("natural", card) if hand is None else (*hand, card)
            start[first] = start.get(first, 0.0) + p * q
    return start


def _deal() -> dict[Hand | None, float]:
    """The player's first hand to decide on, 12 or more; None stands for a natural."""
    chances = dict[Hand | None, float]()
    for one, p in CARDS.items():
        for two, q in CARDS.items():
            hand = add(add((0, False), one), two)
            for reached, r in ({None: 1.0} if hand[0] == 21 else _hit_to_12(hand)).items():
                chances[reached] = chances.get(reached, 0.0) + p * q * r
    return chances


def _hit_to_12(hand: Hand) -> dict[Hand | None, float]:
    if hand[0] >= 12:
        return {hand: 1.0}
    chances = dict[Hand | None, float]()
    for card, p in CARDS.items():
        for reached, q in _hit_to_12(add(hand, card)).items():
            chances[reached] = chances.get(reached, 0.0) + p * q
    return chances
