"""What happens when a number is NaN or infinite: it is found in the same iteration, located, kept and reported.

What is kept lies in `<run>/faults/step-<8 digits>/`; to look at it:

    from safetensors.torch import load_file
    batch = load_file("runs/.../faults/step-00002048/batch.safetensors")
    batch["obs"][copy, column], batch["reward"][copy, column]  # copy and column as fault.json says
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from operant.config.errors import NonFiniteError
from operant.data.finite import first_bad_of, spelled
from operant.run.disk import save_tensors, writing
from operant.run.folder import RunFolder, write_json

if TYPE_CHECKING:
    from operant.run.job import Job

ADVICE = "Lower algo.lr, or set policy.normalize_obs and policy.normalize_reward"


class Guard:
    """Watches over the numbers of a job that is drained into a folder."""

    def __init__(self, job: Job, folder: RunFolder) -> None:
        self._job, self._folder = job, folder

    def check(self, metrics: Mapping[str, float]) -> None:
        """Look at an iteration's metrics and at all that a checkpoint would hold.

        A NaN or an infinity anywhere in the update reaches a loss, the norm of the gradient, a parameter or the
        optimiser's state, so that is all that is looked at while all is well. Where something is found, the metrics are
        written, and the error is thrown into the algorithm, where it stands at its `yield` and holds the batch: it may
        answer with an error that says more.

        Raises:
            NonFiniteError: if anything is not finite.
        """
        bad = not_finite(metrics)
        if not bad and self._job.learned.finite():
            return
        job = self._job
        self._folder.writer.write(job.at.step, job.at.seconds, metrics)
        fault = metric_fault(bad, job.at.step) if bad else self._state_fault()
        if isinstance(job.algorithm, Generator):
            job.algorithm.throw(fault)
        raise fault

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep the batch of a NonFiniteError in the run folder, and say so in its message."""
        try:
            yield
        except NonFiniteError as fault:
            if (found := first_bad_of(self._job.learned.named())) and "located" not in fault.facts:
                fault.facts["state"] = spelled(*found)
                fault.args = (f"{fault.facts['state']} is not finite. Seen as this: {fault}",)
            place = keep(self._folder.path, self._job.counter.steps, fault)
            fault.args = (f"{fault} No checkpoint holds it; the batch is kept in {place}.",)
            raise

    def _state_fault(self) -> NonFiniteError:
        name = spelled(*(first_bad_of(self._job.learned.named()) or ("the state", ())))
        message = f"{name} is not finite after the update at step {self._job.at.step}. {ADVICE}."
        return NonFiniteError(message, facts={"tensor": name})


def not_finite(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that are NaN or infinite and should not be."""
    # The variance explained is 0/0 where all targets are equal, as in an environment of constant reward.
    return [name for name, x in metrics.items() if not math.isfinite(x) and name != "value/explained_variance"]


def metric_fault(bad: list[str], step: int) -> NonFiniteError:
    """The error for metrics that are not finite."""
    names = ", ".join(bad)
    return NonFiniteError(f"{names} not finite at step {step}. {ADVICE}.", facts={"tensor": bad[0], "metrics": bad})


def keep(run: Path, step: int, fault: NonFiniteError) -> Path:
    """Write `fault.json` and `batch.safetensors` into `<run>/faults/step-<8 digits>/`; returns the folder."""
    place = run / "faults" / f"step-{step:08d}"
    tensors = {name: torch.as_tensor(x).detach().cpu().contiguous().clone() for name, x in fault.tensors.items()}
    with writing(place, sum(x.nbytes for x in tensors.values())):
        place.mkdir(parents=True, exist_ok=True)
        save_tensors(tensors, place / "batch.safetensors")
    about: dict[str, Any] = {"step": step, "message": str(fault), **fault.facts}
    write_json(place / "fault.json", about | {"tensors": {name: list(x.shape) for name, x in tensors.items()}})
    return place
