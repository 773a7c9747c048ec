"""Episodes of an agent that was written elsewhere, recorded as they are served: rows to learn from, token by token.

A request's prompt goes on a branch exactly where it begins with all of that branch's tokens: what is new of it was
given, not sampled. Where it does not (a template that drops thoughts, a history that was shortened, another agent), a
branch of its own begins (`operant.language.episodes.message_graph`). Nothing is encoded again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from operant.language.episodes.message_graph import MessageGraph
from operant.language.sample.sampling import Completion
from operant.language.serve.scheduler import Token


@dataclass(slots=True)
class _Episode:
    graph: MessageGraph = field(default_factory=MessageGraph)
    asked: int = 0  # requests
    answered: int = 0
    drawn: int = 0  # tokens
    cut: bool = False  # the last answer ended at its limit


class Recorder:
    """What was asked and answered in each episode; from any thread.

    Attributes:
        merged, split: answers that went on a branch of their episode, and those that began another one.
    """

    def __init__(self) -> None:
        self._episodes: dict[int, _Episode] = {}
        self._lock = threading.Lock()
        self.merged = self.split = 0

    def turn(self, episode: int) -> int:
        """The number of a request in its episode: with the episode's, it keys the draws."""
        with self._lock:
            kept = self._episodes.setdefault(episode, _Episode())
            kept.asked += 1
            return kept.asked - 1

    def add(self, episode: int, prompt: Sequence[int], tokens: Sequence[Token], *, cut: bool) -> None:
        """Take an answer: behind the branch that its prompt goes on, or as a new one."""
        with self._lock:
            kept = self._episodes.setdefault(episode, _Episode())
            before = len(kept.graph.leaves)
            leaf = kept.graph.prompt(prompt, kept.answered)
            ids, logp, mass = ([getattr(t, name) for t in tokens] for name in ("id", "logp", "kept"))
            kept.graph.sampled(leaf, kept.answered, ids, logp, mass)
            if before:
                self.merged += len(kept.graph.leaves) == before
                self.split += len(kept.graph.leaves) > before
            kept.answered, kept.drawn, kept.cut = kept.answered + 1, kept.drawn + len(tokens), cut

    def take(self, episode: int) -> list[Completion]:
        """The rows of an episode, which is forgotten: as completions in which what others said is forced.

        Each row of an episode earns the episode's return; `operant.language`'s `episodes` makes a batch of them.

        Raises:
            OperantError: if the rows are not what was drawn, which is a fault of this library.
        """
        with self._lock:
            kept = self._episodes.pop(episode, None)
        if kept is None:
            return []
        kept.graph.check(kept.drawn)
        return [row.completion(episode, k, cut=kept.cut) for k, row in enumerate(kept.graph.rows())]
