"""Metric rows mirrored to a tracker: TensorBoard, trackio or wandb, by the setting `track`.

A tracker is somebody else's code and may talk to a network. So it lives in a thread of its own behind a bounded queue:
it is given rows, never waited for but at the end, and then not for long. Whatever fails in it is told once, and the
run goes on without.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Protocol

from operant.config.errors import ConfigError, OperantError, user_code
from operant.config.toml import read_toml
from operant.run.folder import RunFolder

NEEDS = {
    "tensorboard": ("torch.utils.tensorboard", '"operant[track]"'),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}
"""What is imported for a tracker, and what pip installs for it."""
ROOM = 10_000
"""Rows that wait for a tracker; those that find no room are left out."""
PATIENCE = 10.0
"""Seconds that a tracker has at the end to write what waits."""
PROJECT = "operant"
WITHOUT = ("attempt", "step", "time")
QUIET = {
    "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
}  # fmt: skip
"""Nothing leaves this machine unless the variable says otherwise already."""


class Tracker(Protocol):
    """Where rows are mirrored to."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run folder, `tensorboard/`: a tag a metric. Where a run goes on, later steps are purged."""

    def __init__(self, folder: RunFolder, first: int) -> None:
        make = import_module(NEEDS["tensorboard"][0]).SummaryWriter
        self._writer = make(str(folder.path / "tensorboard"), purge_step=first + 1 if first else None)
        self._writer.add_text(
            "config", f"```toml\n{(folder.path / 'config.toml').read_text(encoding='utf-8')}\n```", first
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Logged:
    """A package that logs to one run at a time, as wandb does: a run that goes on goes on there under the same name."""

    def __init__(self, package: str, folder: RunFolder, **more: Any) -> None:
        self._package = import_module(package)
        self._package.init(project=PROJECT, name=folder.path.name, resume="allow", **more)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._package.log(dict(values), step=step)

    def close(self) -> None:
        self._package.finish()


def _wandb(folder: RunFolder, first: int) -> Tracker:
    settings = import_module("wandb").Settings(silent=True, console="off", disable_git=True)
    identity = re.sub(r"[^A-Za-z0-9_-]", "-", folder.path.name)[-64:]
    return Logged("wandb", folder, id=identity, dir=str(folder.path), settings=settings, config=_values(folder))


def _trackio(folder: RunFolder, first: int) -> Tracker:
    return Logged("trackio", folder, config=_values(folder))


MAKE: dict[str, Callable[[RunFolder, int], Tracker]] = {
    "tensorboard": TensorBoard, "trackio": _trackio, "wandb": _wandb,
}  # fmt: skip


def require(name: str | None) -> None:
    """See that a tracker can be imported.

    Raises:
        ConfigError: if it is not installed; names the command.
    """
    if name is None:
        return
    module, package = NEEDS[name]
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        with user_code(f"track is {name!r}, and importing it", ConfigError):
            import_module(module)
    except ConfigError as error:
        missing = isinstance(error.__cause__, ImportError)
        raise ConfigError(f"{error}. To install it: pip install {package}" if missing else str(error)) from None


@contextmanager
def mirrored(folder: RunFolder, name: str | None, first: int) -> Generator[None]:
    """Mirror the rows that are written inside, and the final evaluation; `first` is the step from which it goes on."""
    try:
        require(name)
    except ConfigError as error:  # a run that goes on elsewhere
        warnings.warn(f"{error}. The run goes on, and its rows are mirrored nowhere.", stacklevel=3)
        name = None
    if name is None:
        yield
        return
    mirror = Mirror(name, lambda: MAKE[name](folder, first))
    folder.writer.mirror = mirror.row
    try:
        yield
        found = folder.info().get("evaluation") or {}
        last = {f"evaluation/{k}": float(x) for k, x in found.items() if type(x) in (int, float) and k != "seed"}
        mirror.row({"step": folder.info().get("steps") or 0, **last})
    finally:
        folder.writer.mirror = None
        mirror.close()


class Mirror:
    """A tracker in its thread.

    Args:
        name: of the tracker.
        make: makes it, in the thread.
    """

    def __init__(self, name: str, make: Callable[[], Tracker]) -> None:
        self._name, self._make = name, make
        self._rows: queue.Queue[Mapping[str, float] | None] = queue.Queue(ROOM)
        self._failed, self._told = "", False
        self._thread = threading.Thread(target=self._work, name=f"mirror to {name}", daemon=True)
        self._thread.start()

    def row(self, row: Mapping[str, float]) -> None:
        """Hand over a row; never waits."""
        if self._failed:
            self._tell(self._failed)
            return
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            self._tell(f"does not keep up: {ROOM:,} rows wait for it, and those that find no room are left out")

    def close(self) -> None:
        """Let it write what waits, for at most `PATIENCE` seconds."""
        with suppress(queue.Full):
            self._rows.put(None, timeout=0 if self._failed else PATIENCE)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._tell(f"has not written its rows {PATIENCE:.0f} s after the last one, and is left behind")
        elif self._failed:
            self._tell(self._failed)

    def _work(self) -> None:
        try:
            with user_code("", OperantError):
                tracker = self._make()
                while (row := self._rows.get()) is not None:
                    tracker.log({key: x for key, x in row.items() if key not in WITHOUT}, int(row["step"]))
                tracker.close()
        except OperantError as error:
            self._failed = f"{str(error).strip()}; no more rows go there"

    def _tell(self, what: str) -> None:
        if not self._told:
            self._told = True
            warnings.warn(f"the tracker {self._name} {what}. The run is not touched by it.", stacklevel=3)


def _values(folder: RunFolder) -> dict[str, Any]:
    """The settings of a run by section, as a tracker shows them."""
    return dict(read_toml(folder.path / "config.toml")[0])
