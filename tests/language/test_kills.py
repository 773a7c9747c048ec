"""GRPO and LOOP killed at every step, in each phase of it, and resumed: the run never stopped, bit for bit.

The kills are real (SIGKILL to itself), so each needs a process. One process trains once and then forks: this
file, run as a script. A phase is counted in calls of Python functions, and the kill is at half of those of the
uninterrupted run: between tokens of the window that is being sampled or of episodes that are being played, between
micro-batches or inside the optimizer, between files of a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reference.letters import TASK

COMMON: dict[str, Any] = {
    "quiet": True, "eval.episodes": 2, "eval.samples": 0, "save.report": False, "threads": 1, "sampling.max_tokens": 6,
    "sampling.slots": 5, "algo.samples": 4, "algo.lr": 1e-2,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "one gradient step, through the pass that the sampler kept": {
        "algorithm": "grpo", "total_steps": 4, "save.every": 1, "algo.prompts": 2,
    },
    "minibatches, a steered penalty, a reference that moves, rewards apart": {
        "algorithm": "grpo", "total_steps": 6, "save.every": 2, "algo.prompts": 2, "algo.batch": 4, "algo.tokens": 40,
        "algo.epochs": 2, "algo.beta": 0.01, "algo.kl_target": 0.1, "algo.beta_schedule": "adaptive",
        "algo.reference_every": 3, "algo.aggregation": "normalise_then_sum",
    },
    "episodes of many turns, compared with the others of their group": {
        "algorithm": "loop", "total_steps": 4, "save.every": 2, "algo.scenarios": 2, "algo.batch": 3,
        "algo.tokens": 200, "algo.epochs": 2,
    },
}  # fmt: skip
FILES = {"grpo": ("mine.py", TASK), "loop": ("mine.py:make", "from reference.tiny_worlds import Counting as make\n")}
"""What is learnt by each algorithm, and the text of its file."""
PHASES = ("sample", "learn", "save")
Place = tuple[str, int]  # phase and step


@pytest.mark.spread(1)
@pytest.mark.parametrize("which", list(SETTINGS))
def test_killed_at_every_step_in_every_phase_a_run_ends_as_if_it_had_not_been(tmp_path: Path, which: str) -> None:
    pytest.importorskip("transformers")
    total, interval = SETTINGS[which]["total_steps"], SETTINGS[which]["save.every"]
    (tmp_path / "settings.json").write_text(json.dumps(COMMON | SETTINGS[which]))
    (tmp_path / "mine.py").write_text(FILES[SETTINGS[which]["algorithm"]][1])
    command = [sys.executable, __file__, str(tmp_path)]
    paths = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    whole, killed = found["whole"], found["killed"]
    assert {"model.safetensors", "optim.safetensors"} <= whole["files"].keys()
    places = [(phase, step) for phase in ("sample", "learn") for step in range(1, total + 1)]
    places += [("save", step) for step in range(interval, total + 1, interval)]
    assert [(phase, step) for phase, step, *_ in killed] == places
    for phase, step, where, end in killed:
        assert where == [phase, step], f"meant to kill in {phase} of step {step}"
        last = (step - 1) // interval * interval
        if last == 0:
            assert end == "has saved none", (phase, step)
        else:
            assert end["from"] == last, (phase, step)
            assert end["files"] == whole["files"], (phase, step)
            assert end["metrics"] == whole["metrics"], (phase, step)


# ------------------------------------------------------------------------------------- the process that forks
def forked(work: Callable[[], Any], told: Path) -> tuple[int, Any]:
    """How a child process ended that did this, and what it wrote before."""
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            told.write_text(json.dumps(work()))
            code = 0
        finally:
            if code:
                sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType]
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(told.read_text()) if told.exists() else None


def parts(algorithm: str) -> tuple[Any, str, Any, str, Any]:
    """What collects, and its method; what samples in it, and its method; and the module of the algorithm."""
    if algorithm == "grpo":
        import operant.language.learn.grpo as module
        from operant.language.episodes.episodes import Rollouts
        from operant.language.sample.engine import Engine

        return Rollouts, "__call__", Engine, "generate", module
    import operant.language.learn.loop as module
    from operant.language.episodes.runner import Runner
    from operant.language.episodes.world_rollouts import WorldRollouts

    return WorldRollouts, "batch", Runner, "play", module


def phases(algorithm: str, kill: tuple[Place, int] | None, told: Path) -> Counter[Place]:
    """Count the calls in each phase of each step, or kill this process at the n-th of one."""
    from operant.run import drain as run

    rollouts, calls, sampler, samples, loop = parts(algorithm)

    count: Counter[Place] = Counter()
    now: list[Any] = [None, 0]  # the rollouts under way, and the step

    def within(phase: str, work: Callable[..., Any], *args: Any, **rest: Any) -> Any:
        place = (phase, int(now[1]))

        def called(frame: Any, event: str, argument: Any) -> None:
            if event == "call":
                count[place] += 1
                if kill == (place, count[place]):
                    told.write_text(json.dumps(place))
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(called)
        try:
            return work(*args, **rest)
        finally:
            sys.setprofile(None)

    def collect(self: Any, n: int) -> Any:
        now[:] = [self, self.steps + 1]
        try:
            return sampled(self, n)
        finally:
            now[0] = None

    def sample(self: Any, *args: Any, **rest: Any) -> Any:
        return within("sample", drawn, self, *args, **rest) if now[0] else drawn(self, *args, **rest)

    sampled, drawn, learnt, saved = getattr(rollouts, calls), getattr(sampler, samples), loop._update, run.snapshot
    setattr(rollouts, calls, collect)
    setattr(sampler, samples, sample)
    loop._update, run.snapshot = partial(within, "learn", learnt), partial(within, "save", saved)
    return count


def outcome(done: Any) -> dict[str, Any]:
    """The files of a finished run's last checkpoint, by hash, and its metrics."""
    from operant.run import checkpoint

    folder, _ = checkpoint.newest(done.path)
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name not in ("state.json", "MANIFEST.json")]
    frame = done.metrics
    apart = [c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed", "time")]
    return {
        "files": {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
        "metrics": hashlib.sha256(frame.drop(columns=apart).to_csv().encode()).hexdigest(),
    }


def main(place: Path) -> None:
    """Make a model, run to the end, then kill and resume."""
    import torch

    import operant
    from operant.config.errors import ConfigError
    from operant.run import checkpoint
    from reference.tiny_language import tiny_language

    torch.set_num_threads(1)
    told, settings = place / "told.json", json.loads((place / "settings.json").read_text())
    settings["model.path"] = str(place / "model")
    algorithm = settings.pop("algorithm")
    task = str(place / FILES[algorithm][0])

    def train(name: str, kill: tuple[Place, int] | None = None) -> Any:
        count = phases(algorithm, kill, told)
        done = operant.train(algorithm, task, runs=place / name, **settings)
        return outcome(done) | {"count": [[*where, n] for where, n in count.items()]}

    def resumed(run: Path) -> Any:
        try:
            step = checkpoint.newest(run)[1]["step"]
        except ConfigError as error:
            assert "has saved none. Start the run again" in str(error)  # noqa: PT017
            return "has saved none"
        return outcome(operant.resume(run, quiet=True)) | {"from": step}

    warnings.simplefilter("ignore")
    tiny_language("llama").save(place / "model")
    first = outcome(operant.train(algorithm, task, runs=place / "first", **settings))  # imports, kernels
    code, whole = forked(lambda: train("whole"), told)
    assert code == 0
    assert whole["files"] == first["files"]
    killed: list[Any] = []
    for phase, step, calls in sorted(whole.pop("count"), key=lambda each: (PHASES.index(each[0]), each[1])):
        name = f"{phase}-{step}"
        code, where = forked(lambda: train(name, ((phase, step), calls // 2)), told)  # noqa: B023
        assert code == -signal.SIGKILL, (name, code)
        (run,) = (place / name).iterdir()
        code, end = forked(lambda: resumed(run), told)  # noqa: B023
        assert code == 0, name
        killed.append([phase, step, where, end])
    (place / "found.json").write_text(json.dumps({"whole": whole, "killed": killed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
