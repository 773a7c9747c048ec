"""A candidate's child run: PPO on a task with its reward, in a run folder that resumes, each component logged.

    FOLDER/candidate.json     task, reward, seed, steps: what is trained
    FOLDER/runs/…             the run
    FOLDER/components.jsonl   for each iteration of it the mean of each component, the task score, the episodes' length
    FOLDER/outcome.json       what it came to; there once it has ended

`python -m operant.design.child FOLDER` trains one in a process of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from operant.config.bounded import loads, read_bytes
from operant.config.errors import ConfigError, DiskError, NonFiniteError, OperantError
from operant.config.resolve import resolve
from operant.config.write import json_text
from operant.design.expression import ExpressionError
from operant.design.outcome import FAILED, Outcome, outcome_of
from operant.design.rewarded import Kind, Ledger, Rewarded, logged, rewarding
from operant.design.sandboxed import CandidateError
from operant.design.tasks import TASKS, Task, task_of
from operant.env import EnvLike
from operant.run import checkpoint, launch
from operant.run.folder import RunFolder, write_json
from operant.run.job import Position
from operant.run.log import append_log, read_log, rewrite_log
from operant.run.schemas import NUMBER, position, read_json
from operant.run.sources import located

NAME = "operant.design.rewarded:make"
ROW: dict[str, tuple[type, ...]] = {"step": (int,), "components": (dict,), "human": NUMBER, "episodes": (int,)}
OUTCOME: dict[str, tuple[type, ...]] = {
    "score": NUMBER, "components": (dict,), "scores": (list,), "lengths": (list,), "error": (str,)
}  # fmt: skip
QUIET: Mapping[str, Any] = {"save.videos": False, "save.report": False, "eval.episodes": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a child run trains on.

    Attributes:
        task: its name.
        reward, kind: the text, of the grammar or Python.
        seed, total_steps: of the run.
        settings: dotted, above those of the task.
    """

    task: str
    reward: str
    kind: Kind = "expression"
    seed: int = 1
    total_steps: int = 60_000
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def train_on(candidate: Candidate, folder: Path | str, *, task: Task | None = None) -> Outcome:
    """Train on a candidate, or go on where a run in `folder` stopped; an outcome that is there is read.

    What is there of another candidate, or of the task when it scored or trained otherwise, is removed.

    A run that stopped at a checkpoint of its own goes on from there, bit for bit; one that was interrupted between two
    begins anew, so that the outcome is that of a run never stopped.

    Args:
        candidate: what to train on.
        folder: where; holds one candidate.
        task: where its name is not one that `task_of` knows.

    Raises:
        DiskError: if the disk refuses.
        KeyboardInterrupt: on Ctrl-C.
        OperantError: if what fails is not the candidate: the environment cannot be made, or a setting is none.
    """
    folder = Path(folder).resolve()
    its = task_of(candidate.task) if task is None else task
    folder.mkdir(parents=True, exist_ok=True)
    prepare(candidate, its, folder)
    if (folder / "outcome.json").is_file():
        return read_outcome(folder / "outcome.json")
    try:
        rewarding(candidate.reward, its, candidate.kind).close()  # what is no reward needs no run
        with logged() as ledger:
            _run(candidate, its, folder, ledger)
        outcome = outcome_of(read_log(folder / "components.jsonl", ROW))
    except OperantError as error:
        outcome = Outcome(score=FAILED, error=str(_its_fault(error)))
    write_json(folder / "outcome.json", asdict(outcome))
    return outcome


def prepare(candidate: Candidate, task: Task, folder: Path) -> None:
    """Note what is trained; remove what was trained on something else."""
    path = folder / "candidate.json"
    its = {"score": task.score, "scored": task.scored, "settings": dict(task.settings)}
    whole = loads(json_text({"candidate": asdict(candidate), "task": its}))
    before = read_json(path, {}) if path.is_file() else {}
    if before == whole:
        return
    if before:
        shutil.rmtree(folder / "runs", ignore_errors=True)
        for name in ("outcome.json", "components.jsonl"):
            (folder / name).unlink(missing_ok=True)
    write_json(path, whole)


def _its_fault(error: OperantError) -> BaseException:
    """What a candidate did wrong, from what a run says; raises the error where it is not the candidate's."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, CandidateError | ExpressionError | NonFiniteError):
        found = found.__cause__
    if found is None:
        raise error
    return found


def _run(candidate: Candidate, task: Task, folder: Path, ledger: Ledger) -> None:
    """Begin the run, or go on with it."""
    log, env = folder / "components.jsonl", _env(candidate, task)
    tell = partial(_append, log, ledger)
    found = _stopped(folder / "runs")
    if found is None:
        shutil.rmtree(folder / "runs", ignore_errors=True)
        log.unlink(missing_ok=True)
        kwargs = {"task": task.name, "reward": candidate.reward, "kind": candidate.kind}
        given = {**task.settings, **QUIET, **candidate.settings, "seed": candidate.seed}
        given |= {"total_steps": candidate.total_steps, "env.backend": "inprocess"}
        given |= {"env.kwargs": kwargs} if isinstance(env, str) else {}
        name = env if isinstance(env, str) else task.name
        resolved = located(resolve("ppo", name, overrides=given, source="argument"))
        launch.start(resolved, env=env, runs=folder / "runs", quiet=True, on_metrics=tell)
    else:
        run, step = found
        rewrite_log(log, (row for row in read_log(log, ROW) if row["step"] <= step))
        if RunFolder(run).info()["status"] != "finished":
            launch.resume(run, env=None if isinstance(env, str) else env, trust=True, quiet=True, on_metrics=tell)
    if not (rows := read_log(log, ROW)) or rows[-1]["step"] < candidate.total_steps:
        raise DiskError(f"{log} lacks the end of the run: is the disk full? The same command goes on.")


def _env(candidate: Candidate, task: Task) -> EnvLike:
    """By name where the name says all, so that the run folder stands for itself."""
    if TASKS.get(task.name) is task:
        return NAME

    def make() -> Any:
        return Rewarded(task.make(), task, rewarding(candidate.reward, task, candidate.kind))

    return make


def _append(log: Path, ledger: Ledger, row: Mapping[str, float]) -> None:
    """Log what a ledger has of an iteration."""
    append_log(log, {"step": int(row["step"])} | ledger.row())


def _stopped(runs: Path) -> tuple[Path, int] | None:
    """A run that can go on as if it had never stopped, and its step; None where there is none."""
    for run in sorted(runs.glob("*/run.json"), reverse=True):
        try:
            where, state = checkpoint.newest(run.parent)
        except OperantError:
            continue
        at = position(Position, state, where / "state.json")
        if at.exact:
            return run.parent, at.step
    return None


def read_outcome(path: Path) -> Outcome:
    """What `train_on` wrote. Raises ConfigError if it is damaged."""
    found = read_json(path, OUTCOME)
    try:
        return Outcome(**found)
    except TypeError as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it, and it is made again") from None


def main(arguments: Sequence[str]) -> int:
    """Train the candidate of a folder; its exit code is that of the error, whose line stands on standard error."""
    folder = Path(arguments[0])
    try:
        train_on(Candidate(**loads(read_bytes(folder / "candidate.json"))["candidate"]), folder)
    except OperantError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
