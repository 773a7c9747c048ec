"""Reward search (Eureka; Ma et al. 2023, arXiv:2310.12931, Algorithm 1).

For N iterations: K rewards are proposed, each is trained on, and the best of the iteration goes back to the proposer
with a reflection of its training. The best of all iterations is kept apart; a reflection is always of the newest.

    FOLDER/search.json                            what is searched; another search is refused
    FOLDER/iteration-00/proposals.json            the K texts
    FOLDER/iteration-00/sample-00/                a child run (`operant.design.child`)
    FOLDER/iteration-00/reflection.md, words.txt  what is said of its best; a person's words, if they write any
    FOLDER/result.json                            the best reward, and the score of every candidate
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from operant.config.bounded import load_json, read_bytes
from operant.config.errors import ConfigError, DiskError, OperantError
from operant.data.streams import Streams
from operant.design.child import Candidate, prepare, read_outcome, train_on
from operant.design.outcome import FAILED, Outcome, reflection
from operant.design.proposers import Feedback, Proposer
from operant.design.rewarded import Kind
from operant.design.tasks import TASKS, Task
from operant.run.folder import write_json
from operant.run.job import Say, silent
from operant.run.schemas import read_json
from operant.workers.kept import end_kept, start_kept

POLL = 0.1
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Settings of a search.

    Attributes:
        iterations: N; the paper's is 5. More than before go on with a search.
        samples: K, of an iteration; the paper's is 16.
        total_steps: of each child run.
        seed: of the proposals; children train on it, too, so that candidates differ by their rewards alone.
        settings: dotted settings of PPO, above those of the task.
        words: a person's, by the iteration whose best they are about.
        workers: processes that train side by side; 1 trains in this one.
    """

    iterations: int = 4
    samples: int = 8
    total_steps: int = 60_000
    seed: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    words: Mapping[int, str] = field(default_factory=dict[int, str])
    workers: int = 1

    def __post_init__(self) -> None:
        if min(self.iterations, self.samples, self.total_steps, self.workers) < 1:
            raise ConfigError("iterations, samples, total_steps and workers of a search are 1 at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    Attributes:
        reward, kind: the best candidate.
        outcome: of training on it.
        iteration, sample: which it was.
        scores: [N][K], of every candidate; `FAILED` of those that could not be trained on.
    """

    reward: str
    kind: Kind
    outcome: Outcome
    iteration: int
    sample: int
    scores: Sequence[Sequence[float]]


def search(task: Task, proposer: Proposer, cfg: Search, folder: Path | str, *, say: Say = silent) -> Found:
    """Search for the reward whose training scores most; the same call goes on where one stopped.

    Where no candidate of an iteration can be trained on, the next one asks again with the same messages.

    Args:
        task: what is wanted.
        proposer: of rewards.
        cfg: how long.
        folder: where everything is kept.
        say: given a line for the person who waits.

    Raises:
        ConfigError: if the folder holds another search, or no candidate at all could be trained on.
        KeyboardInterrupt: on Ctrl-C.
    """
    home = Path(folder).resolve()
    _agree(task, proposer, cfg, home)
    streams, feedback, best = Streams(cfg.seed), None, None
    scores: list[list[float]] = []
    for i in range(cfg.iterations):
        there = home / f"iteration-{i:02d}"
        texts = _proposals(there / "proposals.json", proposer, feedback, cfg, streams, i)
        candidates = [_candidate(task, proposer, cfg, text) for text in texts]
        outcomes = _trained(candidates, there, task, cfg)
        scores.append([each.score for each in outcomes])
        k = max(range(len(outcomes)), key=lambda n: outcomes[n].score)  # the first of equals
        if outcomes[k].error:
            say(f"iteration {i}: none of {len(texts)} candidates can be trained on: {outcomes[k].error[:200]}")
            continue
        feedback = Feedback(reward=texts[k], outcome=outcomes[k], words=_words(there, cfg, i))
        (there / "reflection.md").write_text(reflection(feedback.outcome, feedback.words) + "\n", encoding="utf-8")
        if best is None or outcomes[k].score > best.outcome.score:
            best = Found(
                reward=texts[k], kind=proposer.kind, outcome=outcomes[k], iteration=i, sample=k, scores=scores
            )  # fmt: skip
        say(f"iteration {i}: {outcomes[k].score:.3f}, best so far {best.outcome.score:.3f}")
    if best is None:
        raise ConfigError(f"none of {cfg.iterations * cfg.samples} candidates could be trained on: see {home}")
    write_json(home / "result.json", asdict(best))
    return best


def _agree(task: Task, proposer: Proposer, cfg: Search, home: Path) -> None:
    """Refuse to go on with another search."""
    what: dict[str, Any] = {
        "task": task.name, "score": task.score, "scored": task.scored, "proposer": proposer.name,
        "samples": cfg.samples, "total_steps": cfg.total_steps, "seed": cfg.seed, "settings": dict(cfg.settings),
    }  # fmt: skip
    path = home / "search.json"
    if path.is_file():
        before = read_json(path, {})
        if changed := [name for name in what if before.get(name) != what[name]]:
            raise ConfigError(f"{home} holds a search with another {', '.join(changed)}: name another folder")
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make {home}: {error.strerror}. Choose another folder.") from error
    write_json(path, what)


def _proposals(
    path: Path, proposer: Proposer, feedback: Feedback | None, cfg: Search, streams: Streams, iteration: int
) -> list[str]:
    """The texts of an iteration: asked for once, since a model may not say the same twice."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, proposer.propose(feedback, cfg.samples, streams, iteration))
    try:
        found: Any = load_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it, and it is asked for again") from error
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):  # pyright: ignore
        raise ConfigError(f"{path} is damaged (it holds no list of texts); remove it, and it is asked for again")
    return found  # pyright: ignore[reportUnknownVariableType]


def _candidate(task: Task, proposer: Proposer, cfg: Search, text: str) -> Candidate:
    return Candidate(
        task=task.name, reward=text, kind=proposer.kind, seed=cfg.seed, total_steps=cfg.total_steps,
        settings=cfg.settings,
    )  # fmt: skip


def _words(there: Path, cfg: Search, iteration: int) -> str:
    """A person's, given with the search or written beside what they are about."""
    written = there / "words.txt"
    found = read_bytes(written, 100_000).decode("utf-8", "replace") if written.is_file() else ""
    return "\n".join(filter(None, [cfg.words.get(iteration, "").strip(), found.strip()]))


def _trained(candidates: Sequence[Candidate], there: Path, task: Task, cfg: Search) -> list[Outcome]:
    """The outcome of each; those that are there are read."""
    folders = [there / f"sample-{k:02d}" for k in range(len(candidates))]
    if cfg.workers > 1:
        if TASKS.get(task.name) is not task:
            raise ConfigError(f"{task.name} is a task of your own: processes cannot find it, so leave workers at 1")
        _together(candidates, folders, task, cfg.workers)
    return [train_on(each, folder, task=task) for each, folder in zip(candidates, folders, strict=True)]


def _together(candidates: Sequence[Candidate], folders: Sequence[Path], task: Task, workers: int) -> None:
    """Train in processes of their own, at most so many at once; what fails here fails again where it is read."""
    for each, folder in zip(candidates, folders, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        prepare(each, task, folder)
    waiting = [folder for folder in folders if not (folder / "outcome.json").is_file()]
    running: list[subprocess.Popen[bytes]] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                folder = waiting.pop(0)
                with (folder / "child.log").open("wb") as log:
                    running.append(
                        start_kept(
                            [sys.executable, "-m", "operant.design.child", str(folder)], stdout=log, stderr=log,
                            env=os.environ | dict.fromkeys(THREADS, "1"),
                        )
                    )  # fmt: skip
            time.sleep(POLL)
            if failed := [each for each in running if each.poll()]:
                code, where = failed[0].returncode, folders[0].parent
                raise OperantError(f"a child run ended with exit code {code}: see child.log in {where}")
            running = [each for each in running if each.poll() is None]
    finally:
        for each in running:
            end_kept(each)


__all__ = ["FAILED", "Found", "Search", "read_outcome", "search"]
