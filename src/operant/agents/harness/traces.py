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
from operant.run.disk import replace_file, writing
from operant.run.schemas import MEASURE, TEXT, misfit

HEAD: dict[str, tuple[type, ...]] = {
    "trace": (int,), "world": (str,), "options": (dict,), "split": (str,), "scenario": (int,)
}  # fmt: skip
STEP: dict[str, tuple[type, ...]] = {"step": (int,), "said": (str,), "result": (str,), "reward": MEASURE, "error": TEXT}
OPTIONS = "task.options"
"""What the names of a world's options begin with, and those of nothing else."""


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
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write(text.encode()))


def read(path: Path) -> Trace:
    """A stored episode.

    Raises:
        ConfigError: if it is none.
    """
    found = [*lines(path)]
    head = found[0][1] if found else {}
    if not (why := misfit(head, HEAD, needed=True)):
        why = "" if head["trace"] == 1 else f"its form is {head['trace']}, not 1"
        why = next((f"{name} is no option of a world" for name in head["options"] if not _is_option(name)), why)
    if why:
        raise ConfigError(f"{path} is no trace of an agent ({why}): operant agent --out FILE writes one")
    steps: list[Mapping[str, Any]] = []
    for where, line in found[1:]:
        if "step" not in line:
            continue
        if why := misfit(line, STEP, needed=True):
            raise ConfigError(f"{where}: no step that can be done again ({why}). Take the trace as it was written.")
        steps = [] if line["step"] == 0 else steps
        if line["step"] != len(steps):
            raise ConfigError(f"{where}: step {line['step']} stands where step {len(steps)} belongs: lines are missing")
        steps.append(line)
    if not steps:
        raise ConfigError(f"{path} has no steps that can be done again")
    return Trace(head=head, steps=steps)


def _is_option(name: str) -> bool:
    return name == OPTIONS or name.startswith(f"{OPTIONS}.")


def parted(steps: Sequence[Step], trace: Trace) -> int | None:
    """The first turn whose result is not what the trace has; None where all are the same."""
    for step, kept in zip(steps, trace.steps, strict=False):
        if (step.seen.text, step.seen.reward, step.seen.error) != (kept["result"], kept["reward"], kept["error"]):
            return step.number
    return None
