"""From what is known of an episode to the tokens of its next prompt."""

from __future__ import annotations

from collections.abc import Sequence

from operant.config.errors import ConfigError
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.history import Past, fitting
from operant.language.episodes.played import Played
from operant.language.settings.worlds import EpisodeConfig
from operant.language.text.rendering import Message


class TurnPrompts:
    """The prompts of an episode.

    Args:
        cfg: what they tell, and whether they extend one another.
        dialogue: how they are written.
        system, instruction: what stands first.
        budget: tokens of one at most.
        remarks: where what a person should know is noted.

    Attributes:
        messages: of the last one.
        leaf: the branch that the last turn ended on; whoever plays it says so.
    """

    def __init__(
        self,
        cfg: EpisodeConfig,
        dialogue: Dialogue,
        system: str,
        instruction: str,
        budget: int,
        remarks: dict[str, str],
    ) -> None:
        self.cfg, self.dialogue, self.system, self.instruction = cfg, dialogue, system, instruction
        self.budget, self.remarks = budget, remarks
        self.messages: list[Message] = []
        self.leaf = -1

    def next(
        self, played: Played, past: Sequence[Past], now: str, memory: str, pictures: Sequence[str] = ()
    ) -> list[int] | None:
        """The tokens of the next prompt; None where none fits."""
        cfg, dialogue = self.cfg, self.dialogue
        if past and cfg.history == "full" and cfg.rows != "per_turn" and not pictures:
            said, strict = past[-1].said, cfg.rows == "auto"
            more = dialogue.behind(self.messages, said, now, strict=strict)
            whole = None if more is None else [*played.graph.tokens(self.leaf), *more]
            if whole is not None and len(whole) <= self.budget:
                self.messages += [{"role": "assistant", "content": said}, {"role": "user", "content": now}]
                return whole
            if not strict and more is None:
                raise ConfigError(
                    "the chat template changes whatever was answered, so nothing can be appended to it: set "
                    "episode.rows to auto"
                )
            if not strict:
                return None
            if more is None:
                self.remarks.setdefault(
                    "rows", "the chat template changes earlier turns, so each turn is a row of its own"
                )
        found = fitting(
            cfg.history, self.system, self.instruction, past, now, memory=memory, last=cfg.last,
            left_out=played.left_out, budget=self.budget, encode=dialogue.prompt, pictures=pictures,
        )  # fmt: skip
        if found is None:
            return None
        self.messages, tokens, played.left_out = found
        return tokens
