"""An episode as it was fed and sampled, token by token: what is trained is read off here and never encoded again.

A node holds the tokens that one prompt or one completion added, with the sampler's log-probabilities where it chose
them. A prompt goes on a branch only where it begins with all tokens of that branch; where it does not (a template that
drops thoughts, a history that was pruned) it begins a branch of its own. A row is a branch from its root to its leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from operant.config.errors import OperantError
from operant.language.sample.sampling import Completion, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Tokens that were added at once."""

    parent: int  # −1: none stands before it
    turn: int
    tokens: tuple[int, ...]
    sampled: tuple[bool, ...]  # whether the policy chose each
    logp: tuple[float, ...]  # as in `Completion`; 0 where it did not
    kept: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A branch: the tokens before the first that was sampled, and those from it to the last that was.

    Attributes:
        turn: of each token of `completion`, −1 where it was not sampled.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    sampled: tuple[bool, ...]
    logp: tuple[float, ...]
    kept: tuple[float, ...]
    turn: tuple[int, ...]

    def completion(self, group: int, sample: int, *, cut: bool) -> Completion:
        """The row as a completion of a group's prompt; what was not sampled is forced."""
        return Completion(
            prompt=Prompt(id=group, tokens=self.prompt), sample=sample, tokens=self.tokens, logp=self.logp,
            kept=self.kept, acted=self.sampled, finish="length" if cut else "stop",
        )  # fmt: skip


@dataclass(slots=True)
class MessageGraph:
    """The nodes of an episode, in the order in which they came to be.

    Attributes:
        nodes: all of them.
        leaves: the last node of each branch.
    """

    nodes: list[Node] = field(default_factory=list[Node])
    leaves: list[int] = field(default_factory=list[int])
    _tokens: dict[int, tuple[int, ...]] = field(default_factory=dict[int, "tuple[int, ...]"])  # by leaf, of its branch

    def tokens(self, leaf: int) -> tuple[int, ...]:
        """All tokens of a branch."""
        return self._tokens[leaf]

    def prompt(self, tokens: Sequence[int], turn: int, *, merge: bool = True) -> int:
        """Add what is fed before a turn; returns its leaf.

        Args:
            tokens: the whole prompt.
            turn: its number.
            merge: go on the newest branch that these tokens extend exactly; else, and where there is none, a new one
                begins.
        """
        whole = tuple(tokens)
        for leaf in reversed(self.leaves if merge else ()):
            before = self._tokens[leaf]
            if len(before) < len(whole) and whole[: len(before)] == before:
                return self._add(leaf, turn, whole[len(before) :], None, None)
        return self._add(-1, turn, whole, None, None)

    def sampled(self, leaf: int, turn: int, tokens: Sequence[int], logp: Sequence[float], kept: Sequence[float]) -> int:
        """Add what the policy chose behind a leaf; returns the new leaf."""
        return self._add(leaf, turn, tuple(tokens), tuple(logp), tuple(kept))

    def forced(self, leaf: int, turn: int, tokens: Sequence[int]) -> int:
        """Add what nobody chose (the end of an answer that was cut) behind a leaf; returns the new leaf."""
        return self._add(leaf, turn, tuple(tokens), None, None)

    def rows(self) -> list[Row]:
        """The branches in which anything was sampled, in order."""
        found: list[Row] = []
        for leaf in self.leaves:
            path = [self.nodes[i] for i in self._path(leaf)]
            tokens = tuple(t for node in path for t in node.tokens)
            sampled = tuple(s for node in path for s in node.sampled)
            if True not in sampled:
                continue
            logp = tuple(x for node in path for x in node.logp)
            kept = tuple(x for node in path for x in node.kept)
            turn = tuple(node.turn if s else -1 for node in path for s in node.sampled)
            first, end = sampled.index(True), len(sampled) - sampled[::-1].index(True)
            own = slice(first, end)
            found.append(
                Row(prompt=tokens[:first], tokens=tokens[own], sampled=sampled[own], logp=logp[own], kept=kept[own],
                    turn=turn[own])
            )  # fmt: skip
        return found

    def check(self, drawn: int) -> None:
        """See that the rows hold every token that was drawn once, and that a branch is its nodes side by side.

        Raises:
            OperantError: if they do not, which is a fault of this library.
        """
        rows = self.rows()
        sampled = sum(sum(row.sampled) for row in rows)
        joined = all(
            self._tokens[leaf] == tuple(t for i in self._path(leaf) for t in self.nodes[i].tokens)
            for leaf in self.leaves
        )
        chosen = all(not s or x <= 0.0 for row in rows for s, x in zip(row.sampled, row.logp, strict=True))
        if sampled != drawn or not joined or not chosen:
            raise OperantError(
                f"an episode's rows hold {sampled} sampled tokens of {drawn} that were drawn: nothing may be trained "
                "on them. This is a fault of operant; please report it"
            )

    def _add(
        self,
        parent: int,
        turn: int,
        tokens: tuple[int, ...],
        logp: tuple[float, ...] | None,
        kept: tuple[float, ...] | None,
    ) -> int:
        none = (0.0,) * len(tokens)
        node = Node(
            parent=parent, turn=turn, tokens=tokens, sampled=(logp is not None,) * len(tokens),
            logp=none if logp is None else logp, kept=none if kept is None else kept,
        )  # fmt: skip
        self.nodes.append(node)
        new = len(self.nodes) - 1
        before = self._tokens.pop(parent, ())
        self._tokens[new] = before + tokens
        if parent >= 0:
            self.leaves[self.leaves.index(parent)] = new
        else:
            self.leaves.append(new)
        return new

    def _path(self, leaf: int) -> list[int]:
        path: list[int] = []
        while leaf >= 0:
            path.append(leaf)
            leaf = self.nodes[leaf].parent
        return path[::-1]
