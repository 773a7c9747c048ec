"""Models larger than memory: the arrays of a model as memory-mapped `.npy` files in a folder, written in a stream.

The kernels read the maps as they read arrays: the operating system pages the model in as a sweep passes over it, and
only the vectors over states live in memory. The folder holds one `.npy` file per array of `Rows` and `MANIFEST.json`
with their sizes and checksums. It is written aside and renamed when the manifest, the last file, is on the disk: a
folder that exists is complete, and one that was cut short does not load.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.bounded import load_json
from operant.config.errors import DiskError
from operant.mdp.model import MDP
from operant.mdp.options import About
from operant.mdp.rows import Grid, Labels, ModelError, Rows
from operant.mdp.validate import check_entries, check_pointers, check_structure, public

VERSION = 1
"""Of the folder's format."""
HEADER = 128
"""Bytes before the data of each file: a one-dimensional `.npy` header, which NumPy pads so that its length can grow."""
BLOCK = 1 << 22
"""Entries handled at once where a file is copied or checked."""
POINTERS = ("pointer", "indptr")
DTYPES = {
    "pointer": "<u8",
    "action": "<i4",
    "indptr": "<u8",
    "indices": "<u4",
    "data": "<f8",
    "reward": "<f8",
    "outcome_reward": "<f8",
    "terminal": "|b1",
    "terminal_value": "<f8",
    "start": "<f8",
    "cell": "<i8",
}
"""While writing; pointers are narrowed to 32 bits at the end where they fit."""
PER_MODEL = {"start", "cell"}
"""Written at the end, and only where the model has them."""


class _Stream:
    """One `.npy` file that grows: header, data, running checksum."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.path, self.dtype, self.length, self.checksum = path, np.dtype(dtype), 0, 0
        self._file: BinaryIO = path.open("wb")
        self._file.write(bytes(HEADER))

    def write(self, values: ArrayLike) -> None:
        array = np.ascontiguousarray(values, dtype=self.dtype)
        raw = array.view(np.uint8).data
        self._file.write(raw)
        self.checksum = zlib.crc32(raw, self.checksum)
        self.length += len(array)

    def close(self) -> dict[str, Any]:
        """Write the header, flush to the disk; returns what the manifest says of the file."""
        self._file.seek(0)
        head = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, head)
        if self._file.tell() != HEADER:
            raise DiskError(f"{self.path}: the .npy header has {self._file.tell()} bytes, not {HEADER}.")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"dtype": self.dtype.str, "length": self.length, "crc32": self.checksum}

    def drop(self) -> None:
        self._file.close()


class MappedWriter:
    """Writes a model block by block, in the order of its states, with memory for one block only::

        with MappedWriter("model", discount=0.99) as writer:
            for block in blocks:
                writer.append(block)
        mdp = open_mapped("model")

    Each block is `Rows` of consecutive states: `pointer` and `indptr` start at 0, `indices` are states of the whole
    model. Leaving the `with` statement without an exception completes the folder; with one, nothing is left.

    Args:
        folder: a path that does not exist yet.
        discount, criterion, horizon, endless, leak, start, states, actions, grid: as `MDP.from_rows`.

    Raises:
        ModelError: if the folder exists, or a block is not part of a Markov decision process; names state and action.
        DiskError: if the disk refuses.
    """

    @public()
    def __init__(self, folder: str | Path, discount: float, **about: Unpack[About]) -> None:
        self.folder = Path(folder)
        if self.folder.exists():
            raise ModelError(f"{self.folder} exists: choose another folder, or remove it.")
        self._aside = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.tmp")
        start, grid = about.get("start"), about.get("grid")
        per_model: dict[str, Any] = {
            "start": None if isinstance(start, int | np.integer) else start,
            "cell": None if grid is None else grid.cell,
        }
        self._per_model = {name: array for name, array in per_model.items() if array is not None}
        self._about: dict[str, Any] = {
            "discount": float(discount),
            "criterion": about.get("criterion"),
            "horizon": about.get("horizon"),
            "leak": about.get("leak", False),
            "start": int(start) if isinstance(start, int | np.integer) else None,
            "states": _names(about.get("states")),
            "actions": _names(about.get("actions")),
            "grid": None if grid is None else {"lines": grid.lines, "moves": grid.moves},
        }
        if about.get("endless") is not None:
            self._about["endless"] = about.get("endless")
        self._streams: dict[str, _Stream] = {}
        self._states = self._rows = self._entries = 0
        self._largest = -1

    def append(self, rows: Rows) -> None:
        """Add the next states.

        Raises:
            ModelError: if probabilities are negative or do not sum to one, or arrays do not fit; names the row.
            DiskError: if the disk refuses.
        """
        labels = Labels(first=self._states)
        check_structure(rows, labels)
        check_entries(rows, labels, states=2**32, leak=self._about["leak"])  # their number is not known yet
        try:
            if not self._streams:
                self._begin(rows)
            elif ("outcome_reward" in self._streams) != (rows.outcome_reward is not None):
                raise ModelError("outcome_reward is given for some blocks only: give it for all, or for none.")
            for name, stream in self._streams.items():
                if name == "pointer":
                    stream.write(rows.pointer[1:].astype(np.uint64) + np.uint64(self._rows))
                elif name == "indptr":
                    stream.write(rows.indptr[1:].astype(np.uint64) + np.uint64(self._entries))
                else:
                    stream.write(getattr(rows, name))
        except OSError as error:
            raise DiskError(f"{self._aside}: {error.strerror}; free space, or choose another folder.") from error
        self._states += len(rows.terminal)
        self._rows += len(rows.action)
        self._entries += len(rows.data)
        self._largest = max(self._largest, int(rows.indices.max(initial=0)) if len(rows.indices) else -1)

    def close(self) -> None:
        """Complete the folder: narrow the pointers, write the manifest last, rename.

        Raises:
            ModelError: if nothing was appended, or a successor is not a state.
            DiskError: if the disk refuses.
        """
        if not self._streams:
            raise ModelError(f"{self.folder}: a model needs at least one state; none was appended.")
        if self._largest >= self._states:
            raise ModelError(
                f"a successor is state {self._largest}, but the model has states 0 to {self._states - 1}: "
                "append all states."
            )
        try:
            for name, array in self._per_model.items():
                self._streams[name] = _Stream(self._path(name), DTYPES[name])
                self._streams[name].write(array)
            files = {name: stream.close() for name, stream in self._streams.items()}
            for name in POINTERS:
                if (self._rows if name == "pointer" else self._entries) < 2**32:
                    files[name] = _narrow(self._path(name))
            _write_synced(
                self._aside / "MANIFEST.json", json.dumps({"version": VERSION, **self._about, "files": files})
            )
            _sync_folder(self._aside)
            self._aside.rename(self.folder)
            _sync_folder(self.folder.parent)
        except OSError as error:
            raise DiskError(f"{self._aside}: {error.strerror}; free space, or choose another folder.") from error

    def discard(self) -> None:
        """Forget what was written."""
        for stream in self._streams.values():
            stream.drop()
        shutil.rmtree(self._aside, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()  # after `close` there is nothing left to remove

    def _begin(self, rows: Rows) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        absent = PER_MODEL | ({"outcome_reward"} if rows.outcome_reward is None else set())
        self._streams = {name: _Stream(self._path(name), DTYPES[name]) for name in DTYPES if name not in absent}
        for name in POINTERS:
            self._streams[name].write([0])

    def _path(self, name: str) -> Path:
        return self._aside / f"{name}.npy"


@public()
def save_mapped(mdp: MDP, folder: str | Path, *, block: int = 1 << 20) -> None:
    """Write a model into a new folder, `block` states at a time; see `MappedWriter`."""
    with MappedWriter(folder, **mdp.header) as writer:
        for first in range(0, mdp.num_states, block):
            writer.append(mdp.rows.block(first, min(first + block, mdp.num_states)))


@public()
def open_mapped(folder: str | Path, *, check: bool = True) -> MDP:
    """The model of a folder, its arrays memory-mapped and read-only.

    It is read once, a block of states at a time, to see that it is a model, as solvers trust its indices; `check=False`
    leaves that out, for a large folder of one's own. `check_mapped` compares checksums instead.

    Raises:
        ModelError: if the folder is not a complete model of this version, or not a Markov decision process; says which
            file, or which row.
    """
    folder = Path(folder)
    about = _manifest(folder)
    arrays = {name: _mapped(folder / f"{name}.npy", entry) for name, entry in about["files"].items()}
    start, cell = arrays.pop("start", about.get("start")), arrays.pop("cell", None)
    grid: Any = about.get("grid")
    if cell is not None:
        grid = Grid(lines=tuple(grid["lines"]), cell=cell, moves=tuple((down, right) for down, right in grid["moves"]))
    names = ("discount", "horizon", "criterion", "endless", "leak", "states", "actions")
    header: dict[str, Any] = {name: about.get(name) for name in names} | {"start": start, "grid": grid}
    mdp = MDP.from_rows(Rows(**cast("dict[str, Any]", arrays)), check=False, **header)
    if check:
        _check_blocks(mdp)
    return mdp


def _check_blocks(mdp: MDP) -> None:
    check_pointers(mdp.rows)
    for first in range(0, mdp.num_states, BLOCK):
        block, labels = mdp.rows.block(first, min(first + BLOCK, mdp.num_states)), mdp.labels._replace(first=first)
        check_structure(block, labels)
        check_entries(block, labels, states=mdp.num_states, leak=mdp.leak)


@public()
def check_mapped(folder: str | Path) -> None:
    """Read every file once and compare it with its checksum in the manifest.

    Raises:
        ModelError: naming the first file that differs.
    """
    folder = Path(folder)
    for name, entry in _manifest(folder)["files"].items():
        checksum, array = 0, _mapped(folder / f"{name}.npy", entry)
        for first in range(0, len(array), BLOCK):
            checksum = zlib.crc32(array[first : first + BLOCK].view(np.uint8).data, checksum)
        if checksum != entry["crc32"]:
            raise ModelError(f"{folder / name}.npy is damaged: its checksum is not the manifest's. Write it anew.")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "MANIFEST.json"
    if not path.is_file():
        raise ModelError(f"{folder} holds no MANIFEST.json: it is no mapped model, or its writing was cut short.")
    try:
        about = load_json(path)
        complete = set(DTYPES) >= set(about["files"]) >= set(DTYPES) - PER_MODEL - {"outcome_reward"}
        if not all(type(file["length"]) is int and file["length"] >= 0 for file in about["files"].values()):
            raise ValueError("a length is no number")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}): write the model anew.") from error
    if about["version"] != VERSION or not complete:
        raise ModelError(
            f"{path} is of version {about['version']}, not {VERSION}, or lacks files: write the model anew."
        )
    return about


def _mapped(path: Path, entry: dict[str, Any]) -> NDArray[Any]:
    """One array of a folder, read-only; an ndarray and not a np.memmap, so that kernels take it by their fast way."""
    known = {DTYPES[path.stem], "<u4"} if path.stem in POINTERS else {DTYPES[path.stem]}
    if entry["dtype"] not in known:
        raise ModelError(
            f"{path} is of type {entry['dtype']!r} in the manifest: expected {' or '.join(sorted(known))}."
        )
    dtype = np.dtype(entry["dtype"])
    size = path.stat().st_size if path.is_file() else -1
    if size != HEADER + entry["length"] * dtype.itemsize:
        raise ModelError(f"{path} has {size} bytes, the manifest says {HEADER + entry['length'] * dtype.itemsize}.")
    if not entry["length"]:
        return np.empty(0, dtype)
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(view, dtype, count=entry["length"], offset=HEADER)


def _names(names: Sequence[Hashable] | None) -> list[Hashable] | None:
    """For JSON, which gives back strings and integers as they were, and nothing else."""
    for name in names or ():
        if type(name) not in (str, int):
            raise ModelError(f"the name {name!r} is neither a string nor an integer: rename, or leave the names out.")
    return None if names is None else list(names)


def _narrow(path: Path) -> dict[str, Any]:
    """Rewrite a file of 64-bit pointers in 32 bits."""
    wide = np.load(path, mmap_mode="r")
    stream = _Stream(path.with_suffix(".narrow"), "<u4")
    for first in range(0, len(wide), BLOCK):
        stream.write(wide[first : first + BLOCK])
    entry = stream.close()
    stream.path.replace(path)
    return entry


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
