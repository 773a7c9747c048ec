"""Episodes on disk: what was asked, answered, done and seen, a line each; done again, and gone on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operant.agents.harness.episode import Episode
from operant.agents.watch import Step
from operant.config.errors import ConfigError
from operant.config.write import json_text
from operant.data.jsonl import lines
from operant.run.disk import writing

HEAD = ("world", "options", "split", "scenario")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A stored episode.

    Attributes:
        head: its world, options, split and scenario.
        steps: those that led to where it ended, the beginning first: those before it began anew are not among them.
    """

    head: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]

    @property
    def said(self) -> list[str]:
        """The answers that were acted on."""
        return [step["said"] for step in self.steps[1:]]


def write(path: Path, episode: Episode, head: Mapping[str, Any]) -> None:
    """Store an episode.

    Raises:
        DiskError: if the disk refuses.
    """
    text = "".join(json_text(line) + "\n" for line in ({"trace": 1, **head}, *episode.log))
    with writing(path, len(text)):
        path.write_text(text, encoding="utf-8")


def read(path: Path) -> Trace:
    """A stored episode.

    Raises:
        ConfigError: if it is none.
    """
    found = [line for _, line in lines(path)]
    if not found or any(name not in found[0] for name in ("trace", *HEAD)):
        raise ConfigError(f"{path} is no trace of an agent: operant agent --out FILE writes one")
    steps: list[Mapping[str, Any]] = []
    for line in found[1:]:
        if "step" in line:
            steps = [line] if line["step"] == 0 else [*steps, line]
    if not steps or any(not isinstance(step.get("said"), str) for step in steps):
        raise ConfigError(f"{path} has no steps that can be done again")
    return Trace(head=found[0], steps=steps)


def parted(steps: Sequence[Step], trace: Trace) -> int | None:
    """The first turn whose result is not what the trace has; None where all are the same."""
    for step, kept in zip(steps, trace.steps, strict=False):
        if (step.seen.text, step.seen.reward, step.seen.error) != (kept["result"], kept["reward"], kept["error"]):
            return step.number
    return None
