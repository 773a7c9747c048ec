"""What worlds with a manual have in common: things on a grid, one who walks, and texts about what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.env.text import Words, words_of
from operant.grounded.batched import Batched, Rows, Seen, one_hot
from operant.grounded.pictures import Mark

WAYS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
NOWHERE = -1


def table(texts: Mapping[str, list[str]]) -> dict[str, Words]:
    """By the name of a field, the words of its texts and their greatest length."""
    said = {name: [words_of(text) for text in each] for name, each in texts.items()}
    return {
        name: Words(sorted({word for words in each for word in words}), max(map(len, each)))
        for name, each in said.items()
    }


class Quest(Batched):
    """N boards of S by S cells with K things each; one walks north, east, south or west.

    One sees, cell by cell, numbers of what stands there and where one is, and K' numbers of what one has everywhere;
    and texts, by name. A subclass sets `features` [N, K, F], `at` [N, K, 2], `here` [N, 2], `has` [N, H] and `texts`,
    and says in `touch` what becomes of who meets a thing. Time that is up is lost: −1.

    Args:
        num_envs: N.
        texts: the table of words of each text.
        side: S.
        things: K.
        features, has: F and H.
        limit: steps of an episode.
        render_mode: "rgb_array" for pictures of the first board.
    """

    def __init__(
        self, num_envs: int, texts: Mapping[str, Words], *, side: int, things: int, features: int, has: int, limit: int,
        render_mode: str | None,
    ) -> None:  # fmt: skip
        view = spaces.Box(0.0, 1.0, (side, side, features + has + 1), np.float32)
        seen: dict[str, gymnasium.Space[Any]] = {**texts, "view": view}
        super().__init__(num_envs, seen, 4, limit, side=side, render_mode=render_mode)
        self.features = np.zeros((num_envs, things, features), np.float32)
        self.at, self.here = np.zeros((num_envs, things, 2), np.int64), np.zeros((num_envs, 2), np.int64)
        self.has = np.zeros((num_envs, has), np.float32)
        self.texts = {name: np.full(num_envs, "", object) for name in texts}

    def touch(self, rows: Rows, things: NDArray[np.int64]) -> NDArray[np.float64]:
        """What is paid where these rows meet these things; an episode ends where it is not 0."""
        raise NotImplementedError

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Walk, and meet what stands there; who has done nothing of it when time is up has lost."""
        self.here = (self.here + WAYS[actions]).clip(0, self.side - 1)
        meets, paid = (self.at == self.here[:, None]).all(2), np.zeros(self.num_envs)
        rows = np.flatnonzero(meets.any(1))
        paid[rows] = self.touch(rows, meets[rows].argmax(1))
        paid[(paid == 0) & (self.elapsed + 1 >= self.limit)] = -1.0
        return paid, paid != 0

    def see(self) -> Seen:
        """The board and the texts."""
        n, k, size = self.features.shape
        view = np.zeros((n, self.side, self.side, size + self.has.shape[1] + 1), np.float32)
        view[..., size + 1 :] = self.has[:, None, None]
        for thing in range(k):
            there = np.flatnonzero(self.at[:, thing, 0] != NOWHERE)
            view[there, self.at[there, thing, 0], self.at[there, thing, 1], :size] = self.features[there, thing]
        view[self.all, self.here[:, 0], self.here[:, 1], size] = 1.0
        return {name: tuple(each.tolist()) for name, each in self.texts.items()} | {"view": view}

    def marks(self) -> list[Mark]:
        """Things by their names, and who walks with what one has."""
        named = zip(self.at[0].tolist(), self.features[0] > 0, strict=True)
        things = [Mark((x, y), self.called(what)) for (x, y), what in named if x != NOWHERE]
        return [*things, Mark(tuple(self.here[0].tolist()), self.holds(self.has[0] > 0), "me")]

    def called(self, features: NDArray[np.bool_]) -> str:
        """The name of a thing with these features [F]."""
        raise NotImplementedError

    def holds(self, has: NDArray[np.bool_]) -> str:
        """The name of what one has, [H]."""
        raise NotImplementedError

    def placed(self, i: int) -> None:
        """Things and who walks on cells of their own."""
        cells = self.rng.permutation(self.side**2)[: self.at.shape[1] + 1]
        spots = np.column_stack(np.divmod(cells, self.side))
        self.at[i], self.here[i] = spots[:-1], spots[-1]


TEAMS, ELEMENTS = ("forest", "star"), ("fire", "ice")
MONSTERS, BLADES = ("goblin", "jaguar", "lynx", "panther"), ("blessed", "gleaming", "shimmering", "grandmaster")


class Manual(Quest):
    """Read to fight monsters: the goal names a team, the manual says who is in it and what beats its element.

    Two monsters of different teams and elements stand on the board, and two weapons, one for each element. Right is to
    take the weapon that beats the element of the goal's monster and to meet that monster: 1. To meet a monster
    otherwise pays −1. Which monster is of which team and which weapon beats what is drawn anew in every episode, so
    nothing but the manual tells it; a quarter of these assignments is held out.

    Args:
        num_envs: N.
        split: "train" or "held-out".
        side: S.
        blind: whether the manual is that of another episode.
        armed: whether weapons count; without them the goal's monster is all that is to be found.
        render_mode: "rgb_array" for pictures of the first board.

    Source: Zhong, Rocktäschel and Grefenstette (2020), RTFM: generalising to novel environment dynamics via reading,
    section 3; monsters that do not move.
    """

    def __init__(
        self, num_envs: int = 1, split: str = "train", *, side: int = 6, blind: bool = False, armed: bool = True,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        sentences = [f"{m} is {t} ." for m in MONSTERS for t in TEAMS]
        sentences += [f"{b} beats {e} ." for b in BLADES for e in ELEMENTS]
        texts = {"goal": [f"defeat {team}" for team in TEAMS], "manual": [" ".join(sentences)]}
        words = table(texts)
        words["manual"] = Words(words["manual"].words, 4 * (len(MONSTERS) + len(BLADES)))
        super().__init__(num_envs, words, side=side, things=4, features=len(MONSTERS) + len(ELEMENTS) + len(BLADES),
                         has=len(BLADES), limit=40, render_mode=render_mode)  # fmt: skip
        self.split, self.blind, self.armed = split, blind, armed
        self.beats = np.zeros(num_envs, np.int64)  # the weapon that is right
        self.monster, self.blade = np.zeros((2, num_envs, 2), np.int64)
        self.goal = np.zeros(num_envs, np.int64)

    def rules(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The team of each monster and the element that each weapon beats, half of each, of this split."""
        while True:
            drawn = [self.rng.permutation(2 * [0, 1]) for _ in range(2)]
            held = (drawn[0] @ (1, 2, 4, 8) + 3 * (drawn[1] @ (1, 2, 4, 8))) % 4 == 0
            if held == (self.split == "held-out"):
                return drawn[0], drawn[1]

    def begin(self, rows: Rows) -> None:
        """Draw rules, a goal, monsters and weapons."""
        for i in rows:
            team, element = self.rules()
            told = self.rules() if self.blind else (team, element)
            lines = [f"{MONSTERS[k]} is {TEAMS[t]} ." for k, t in enumerate(told[0])]
            lines += [f"{BLADES[k]} beats {ELEMENTS[e]} ." for k, e in enumerate(told[1])]
            self.texts["manual"][i] = " ".join(self.rng.permutation(lines))
            goal, elements = int(self.rng.integers(2)), self.rng.permutation(2)
            self.texts["goal"][i] = f"defeat {TEAMS[goal]}"
            self.monster[i] = [self.rng.choice(np.flatnonzero(team == t)) for t in (goal, 1 - goal)]
            self.blade[i] = [self.rng.choice(np.flatnonzero(element == e)) for e in elements]
            self.features[i] = 0.0
            for k in range(2):
                self.features[i, k] = self._is(self.monster[i, k], elements[k])
                self.features[i, 2 + k, len(MONSTERS) + len(ELEMENTS) + self.blade[i, k]] = 1.0
            self.has[i] = 0.0
            self.placed(i)

    def called(self, features: NDArray[np.bool_]) -> str:
        """A monster by its element and kind, or a weapon."""
        names = (*MONSTERS, *ELEMENTS, *BLADES)
        return " ".join(names[k] for k in np.flatnonzero(features)[::-1])

    def holds(self, has: NDArray[np.bool_]) -> str:
        """The weapon."""
        return " ".join(BLADES[k] for k in np.flatnonzero(has))

    def _is(self, monster: np.int64, element: np.int64) -> NDArray[np.float32]:
        made = np.zeros(self.features.shape[-1], np.float32)
        made[[monster, len(MONSTERS) + element]] = 1.0
        return made

    def touch(self, rows: Rows, things: NDArray[np.int64]) -> NDArray[np.float64]:
        """Take a weapon in place of another one, or fight: thing 0 is the goal's monster, 2 the weapon for it."""
        taking = rows[things >= 2], things[things >= 2] - 2
        self.has[taking[0]] = one_hot(self.blade[taking], len(BLADES))
        self.at[taking[0], taking[1] + 2] = NOWHERE
        right = self.has[rows, self.blade[rows, 0]] > 0 if self.armed else True
        return np.where(things >= 2, 0.0, np.where((things == 0) & right, 1.0, -1.0))
