"""Training that begins from the weights of another run: where they lie, and that they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from operant.config.errors import ConfigError
from operant.run import checkpoint, exported
from operant.run.disk import fits_memory
from operant.run.find import find, trained
from operant.run.job import Job, Say
from operant.run.optimizer_state import shape_of
from operant.run.world import kind_of

NAMES = ("from", "init_from")


@runtime_checkable
class BeginsFrom(Protocol):
    """What is learnt and can begin from what another run learnt."""

    def begin_from(self, folder: Path) -> None:
        """Take over policy, critic and statistics from a folder; what the learning rule keeps besides stays new.

        Raises:
            ConfigError: if anything in it does not fit; names each with both shapes, and nothing was changed then.
        """
        ...


def begin_from(job: Job, source: str, say: Say) -> None:
    """Let a job begin from the weights of a run, an exported policy or a checkpoint.

    Raises:
        ConfigError: if there are none, they are damaged or do not fit, or the algorithm cannot begin so.
    """
    folder = weights(Path(source))
    if not isinstance(job.learned, BeginsFrom):
        raise ConfigError("this algorithm does not say how it begins from weights: leave out --from")
    job.learned.begin_from(folder)
    say(f"Begins from the weights in {folder}.")


def weights(path: Path) -> Path:
    """The folder in which the weights of a run, an exported policy or a checkpoint lie, verified."""
    if exported.is_exported(path):
        exported.contents(path)
        return path
    if (path / "state.json").is_file():
        checkpoint.verify(path, whole=False)
        return path
    return checkpoint.newest(trained(path).path, whole=False)[0]


def named(settings: Mapping[str, Any], runs: Path | str) -> dict[str, Any]:
    """The same settings, in which the run to begin from is a path: it may be given as a run's name, "last" or a Run."""
    found = dict(settings)
    for key in NAMES:
        if key in found and found[key] not in ("", "none", None):
            value = str(getattr(found[key], "path", found[key]))
            found[key] = value if Path(value).is_dir() else str(find(value, runs))
    return found


def refuse_kind(folder: Path, own: str) -> None:
    """Raises ConfigError where the policy in a folder is of another kind than this run's own."""
    if (kind := kind_of(folder)) != own:
        raise ConfigError(f"the weights in {folder} do not fit this run: they are of kind {kind}, this run's {own}.")


def fitting(folder: Path, into: Mapping[str, Tensor], differ: Mapping[str, tuple[Any, Any]]) -> dict[str, Tensor]:
    """The tensors of a folder, seen to fit those that they go into.

    Args:
        folder: holds `model.safetensors`.
        into: the tensors here, by name.
        differ: what else does not fit, by name: there and here.

    Raises:
        ConfigError: if something is missing, left over, of another shape or type, or there is anything in `differ`.
    """
    try:
        model = load_file(fits_memory(folder / "model.safetensors"))
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigError(f"{folder}: its tensors cannot be read ({error}).") from error
    wrong = [f"{name} is {there} there and {here} here" for name, (there, here) in differ.items()]
    for name in dict.fromkeys((*into, *model)):
        there = shape_of(model[name]) if name in model else "missing"
        here = shape_of(into[name]) if name in into else "missing"
        wrong += [f"{name} is {there} there and {here} here"] if there != here else []
    if wrong:
        raise ConfigError(
            f"the weights in {folder} do not fit this run: {'; '.join(wrong)}. Give it the settings of policy that "
            "they were trained with, and an environment of the same spaces."
        )
    return model
