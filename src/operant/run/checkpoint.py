"""Checkpoints: safetensors and JSON, and a manifest written last; without a valid one a checkpoint does not exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operant.config.bounded import load_json, loads, read_bytes
from operant.config.errors import ConfigError
from operant.config.write import json_text
from operant.run.actor import Policy
from operant.run.disk import digest, matches, writing
from operant.run.train_state import Learned, Sharing
from operant.run.world import read_policy

REQUIRED = {"model.safetensors", "policy.json", "optim.safetensors", "state.json"}
NAME = re.compile(r"step-\d{8,}")
ASIDE = ".old-"
"""Before the name of a checkpoint that is being replaced by another of the same step."""


class CheckpointWarning(UserWarning):
    """The newest checkpoint cannot be used and an older one is; names both."""


def save(
    run: Path,
    learned: Learned,
    state: Mapping[str, Any],
    *,
    keep: int,
    nth: int | None = None,
) -> Path:
    """Write `checkpoints/step-<8 digits>/`, point `latest` at it and drop those that need not be kept.

    Everything is written beside its final name, flushed to the disk, described in `MANIFEST.json` (size and SHA-256 of
    every file) and only then renamed. At every moment of this a kill leaves a checkpoint that `newest` finds.

    Args:
        run: the run folder; one process writes it.
        learned: all that training changed.
        state: JSON; `step` names the checkpoint, `seam` is its number in the run.
        keep: the newest so many are kept, and the one that `best` points at.
        nth: those whose number is a multiple of it are kept too.

    Raises:
        DiskError: if the disk refuses; older checkpoints are untouched.
    """
    final = run / "checkpoints" / f"step-{state['step']:08d}"
    temporary = final.with_name(f".tmp-{final.name}")
    with writing(final, size(learned)):
        for stale in final.parent.glob(".tmp-*"):
            shutil.rmtree(stale) if stale.is_dir() and not stale.is_symlink() else stale.unlink()
        try:
            temporary.mkdir()
            learned.save(temporary)
            _write(temporary / "state.json", state)
            files = sorted(temporary.iterdir())
            for file in files:
                _sync(file)
            known = _sealed(final.with_name("latest"), files)
            _write(temporary / "MANIFEST.json", {"files": {f.name: known.get(f.name) or digest(f) for f in files}})
            _sync(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        if final.exists():
            final.replace(final.with_name(ASIDE + final.name))
        temporary.replace(final)
        _sync(final.parent)
        point(final.with_name("latest"), final)
        _prune(final, keep, nth)
    return final


def size(learned: Learned) -> int:
    """Bytes that a checkpoint writes: its tensors, and 4 kB for each of its five files."""
    return learned.size() + 4096 * (len(REQUIRED) + 1)


def room(learned: Learned, keep: int) -> int:
    """Bytes that so many checkpoints may need, and as many more while others are written."""
    return 2 * keep * size(learned) + (learned.shared() if isinstance(learned, Sharing) else 0)


def point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to its sibling `target`, atomically."""
    temporary = link.with_name(f".tmp-{link.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    if link.is_dir() and not link.is_symlink():  # a copy that followed the link
        shutil.rmtree(link)
    temporary.replace(link)
    _sync(link.parent)


def verify(checkpoint: Path, *, whole: bool = True) -> dict[str, Any]:
    """Compare every file with the manifest; returns the state.

    Where it is not read `whole` but for its policy, of what a run keeps besides only the sizes are compared: a replay
    may have gigabytes.

    Raises:
        ConfigError: if the manifest is missing or altered, or a file is missing, short, altered or a symbolic link;
            names the file.
    """
    files = _manifest(checkpoint)
    if missing := REQUIRED - files.keys():
        raise ConfigError(f"{checkpoint}: no checkpoint there (its MANIFEST.json does not list {min(missing)})")
    for name, want in files.items():
        file = checkpoint / name
        if Path(name).name != name or file.is_symlink():
            raise ConfigError(f"{file} is not a file of this checkpoint. Use another checkpoint.")
        try:
            read = whole or name in REQUIRED
            same = file.is_file() and (matches(file, want) if read else file.stat().st_size == want["size"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or error
            what = _leave(checkpoint) if isinstance(error, PermissionError) else "Use another checkpoint."
            raise ConfigError(f"{file} cannot be read ({why}). {what}") from error
        if not same:
            raise ConfigError(f"{file} is damaged (it differs from MANIFEST.json). Use another checkpoint.")
    state = _json(checkpoint / "state.json")
    own = checkpoint.resolve().name.removeprefix(ASIDE)
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise ConfigError(f"{checkpoint / 'state.json'} holds no step. Use another checkpoint.")
    if NAME.fullmatch(own) and int(own[5:]) != state["step"]:
        raise ConfigError(f"{checkpoint} is the checkpoint of step {state['step']} under another's name. Rename it.")
    return state


def newest(run: Path, *, whole: bool = True) -> tuple[Path, dict[str, Any]]:
    """The newest valid checkpoint of a run, and its state; `whole` as `verify` has it.

    Warns:
        CheckpointWarning: if a newer one is damaged or gone; names both.

    Raises:
        ConfigError: if there is no valid checkpoint, or `latest` leads out of the run folder.
    """
    folder = run / "checkpoints"
    there = _candidates(folder)
    refused: list[tuple[str, str]] = []
    forbidden: ConfigError | None = None
    lost = _lost(folder, there)
    if lost is not None:
        refused.append((str(folder / lost), f"{folder / lost} is gone, but `latest` points at it"))
    for checkpoint in there:
        try:
            state = verify(checkpoint, whole=whole)
        except ConfigError as error:
            refused.append((str(checkpoint), str(error)))
            forbidden = forbidden or (error if isinstance(error.__cause__, PermissionError) else None)
            continue
        for path, reason in refused[:1]:
            more = f" ({len(refused) - 1} more were refused)" if len(refused) > 1 else ""
            warnings.warn(
                f"the newest checkpoint {path} cannot be used: {reason}{more}. Using the one before, {checkpoint}.",
                CheckpointWarning,
                stacklevel=2,
            )
        return checkpoint, state
    if forbidden is not None:
        raise forbidden
    reasons = "; ".join(reason for _, reason in refused) or "it has saved none"
    raise ConfigError(f"{run} has no valid checkpoint to go on from: {reasons}. Start the run again.")


def load(checkpoint: Path, learned: Learned) -> dict[str, Any]:
    """Turn `learned` into what a checkpoint holds, bit for bit; returns the state.

    Raises:
        ConfigError: if the checkpoint is damaged, or is of another learner; nothing was changed then.
    """
    state = verify(checkpoint)
    learned.load(checkpoint)
    return state


def load_policy(run: Path, name: str = "latest", *, trust: bool = False) -> tuple[Policy, int]:
    """The policy of a checkpoint, verified, and its step. `latest` is the newest valid one; other names are as is.

    Warns:
        CheckpointWarning: if `latest` is damaged and the one before is used; names both.

    Raises:
        ConfigError: if there is no such checkpoint or it is damaged; names those there are.
    """
    folder = run / "checkpoints"
    if name == "latest" and (_candidates(folder) or (folder / name).is_symlink()):
        checkpoint, state = newest(run, whole=False)
        return read_policy(checkpoint, trust=trust), state["step"]
    checkpoint = folder / name
    if Path(name).name != name or not checkpoint.is_dir():
        there = ", ".join(sorted(p.name for p in folder.glob("[!.]*"))) or "none"
        raise ConfigError(f"{run} has no checkpoint '{name}'. There: {there}.")
    _inside(checkpoint)
    step: int = verify(checkpoint, whole=False)["step"]
    return read_policy(checkpoint, trust=trust), step


def _leave(checkpoint: Path) -> str:
    """What to do where the system forbids to read a checkpoint."""
    return f"Ask whose it is for leave: chmod -R a+rX {shlex.quote(str(checkpoint.parent.parent))}"


def _candidates(folder: Path) -> list[Path]:
    """Where a checkpoint may be, newest first; one that was being replaced stands after its replacement."""
    found = [p for p in folder.glob("*step-*") if NAME.fullmatch(p.name.removeprefix(ASIDE))]
    found = sorted(found, key=lambda p: (int(p.name.rpartition("-")[2]), not p.name.startswith(ASIDE)), reverse=True)
    copied = folder / "latest"  # all that is left where only it was copied, its link followed
    return found or ([copied] if copied.is_dir() and not copied.is_symlink() else [])


def _lost(folder: Path, there: list[Path]) -> str | None:
    """The name of the checkpoint that `latest` points at, if it is gone and newer than any other.

    Raises:
        ConfigError: if `latest` leads elsewhere.
    """
    link = folder / "latest"
    if not link.is_symlink():  # a folder copied without links has none
        return None
    name = str(link.readlink())
    if not NAME.fullmatch(name):
        raise _outside(link)
    newer = not there or int(name[5:]) > int(there[0].name.rpartition("-")[2])
    return name if newer and not (folder / name).exists() else None


def _inside(checkpoint: Path) -> None:
    """Refuse a checkpoint that is a link, but for `latest` and `best`, which may name one of their siblings."""
    if not checkpoint.is_symlink():
        return
    target = str(checkpoint.readlink())
    if NAME.fullmatch(checkpoint.name) or not NAME.fullmatch(target) or checkpoint.with_name(target).is_symlink():
        raise _outside(checkpoint)


def _outside(link: Path) -> ConfigError:
    return ConfigError(f"{link} is a link that leads elsewhere, to {link.readlink()}. Remove that link.")


def _manifest(checkpoint: Path) -> dict[str, Any]:
    """The files of the manifest, which must be byte for byte as it was written."""
    path = checkpoint / "MANIFEST.json"
    _inside(checkpoint)
    try:
        if path.is_symlink():
            raise ValueError("a symbolic link")
        text = read_bytes(path)
        content = loads(text)
        if _text(content).encode() != text:
            raise ValueError("not as it was written")
        return dict(content["files"])
    except PermissionError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}). {_leave(checkpoint)}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{checkpoint}: no checkpoint there (its MANIFEST.json cannot be read: {error})") from error


def _sealed(before: Path, files: Sequence[Path]) -> dict[str, Any]:
    """What the manifest of the checkpoint before says of those of these files that are its own under a second name."""
    again = [f for f in files if f.stat().st_nlink > 1 and (before / f.name).exists() and f.samefile(before / f.name)]
    try:
        known = _manifest(before) if again else {}
    except ConfigError:
        return {}
    return {f.name: known[f.name] for f in again if f.name in known}


def _json(path: Path) -> Any:
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}). Use another checkpoint.") from error


def _prune(final: Path, keep: int, nth: int | None) -> None:
    """Drop what need not be kept of `final` and those before it; what is newer is not this attempt's to judge."""
    best = final.with_name("best").resolve()
    upto = [p for p in final.parent.glob("step-*") if NAME.fullmatch(p.name) and int(p.name[5:]) <= int(final.name[5:])]
    ordered = sorted(upto, key=lambda p: int(p.name[5:]))
    dropped = [p for p in ordered[:-keep] if p.resolve() != best and not _lasting(p, nth)]
    for old in (*dropped, *final.parent.glob(f"{ASIDE}*")):
        gone = old.with_name(f".tmp-{old.name}")  # so that a kill leaves no half of it under its name
        old.replace(gone)
        shutil.rmtree(gone)


def _lasting(checkpoint: Path, nth: int | None) -> bool:
    """Whether it is one of every n-th."""
    if nth is None:
        return False
    try:
        number = _json(checkpoint / "state.json").get("seam")
    except (ConfigError, AttributeError):
        return False
    return isinstance(number, int) and number % nth == 0


def _text(value: object) -> str:
    return json_text(value, indent=2) + "\n"


def _write(path: Path, value: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(_text(value))
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
