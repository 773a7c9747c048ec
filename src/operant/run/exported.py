"""An exported policy: a folder made to be shared, sealed by a manifest and not written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.config.registry import OURS
from operant.config.schema import EvalConfig
from operant.run.actor import Policy
from operant.run.disk import digest, matches
from operant.run.folder import write_json
from operant.run.shipped import is_shipped
from operant.run.world import kind_of, read_policy, world_of

MANIFEST = "MANIFEST.json"


def is_exported(path: Path) -> bool:
    """Whether a folder is an exported policy and not a run."""
    return (path / MANIFEST).is_file() and (path / "run.json").is_file()


def seal(folder: Path) -> None:
    """Write the manifest: size and SHA-256 of every file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    write_json(folder / MANIFEST, {"files": {p.relative_to(folder).as_posix(): digest(p) for p in files}})


def contents(folder: Path) -> list[str]:
    """The files of an exported policy as its manifest lists them, each compared with it; what was added is left out.

    Raises:
        ConfigError: if the manifest cannot be read, or a file is missing or altered; names the file.
    """
    try:
        files: dict[str, Any] = dict(load_json(folder / MANIFEST)["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder}: its {MANIFEST} cannot be read. Copy or export it anew.") from error
    root = folder.resolve()
    for name, want in files.items():
        file = folder / name
        if not file.resolve().is_relative_to(root) or not file.is_file() or not _matches(file, want):
            raise ConfigError(f"{folder / name} is missing or altered (see {MANIFEST}). Copy or export it anew.")
    return sorted(files)


def load(folder: Path, name: str = "latest", *, trust: bool = False) -> tuple[Policy, int]:
    """The policy of an exported policy, verified, and its step.

    Raises:
        ConfigError: if a file is missing or altered, or `name` asks for a checkpoint that is not there.
    """
    listed = contents(folder)
    if lacking := {"policy.json", "model.safetensors", "run.json", "evaluation.json"} - set(listed):
        raise ConfigError(f"{folder} is not an exported policy: its {MANIFEST} does not list {min(lacking)}.")
    about = _read(folder / "run.json", "export")["export"]
    step = about.get("step") if isinstance(about, dict) else None
    if not isinstance(step, int):
        raise ConfigError(f"{folder / 'run.json'} does not say which step was exported. Export it anew.")
    if name not in ("latest", about.get("checkpoint"), f"step-{step:08d}"):
        raise ConfigError(f"{folder} holds one policy, that of step {step}, not '{name}'. Leave out --checkpoint.")
    if world_of(kind := kind_of(folder)).NO_EXPORT and not is_shipped(folder):
        raise ConfigError(f"{folder} is no exported policy: it holds a {kind} model")
    return read_policy(folder, trust=trust), step


def evaluation(folder: Path) -> dict[str, Any]:
    """How an exported policy was measured, without every return. Raises ConfigError if evaluation.json is damaged."""
    return _read(folder / "evaluation.json", "mean", "std", "iqm", "episodes", "deterministic")


def protocol(folder: Path, eval: EvalConfig) -> EvalConfig:
    """How the return of an exported policy was measured.

    Raises:
        ConfigError: if evaluation.json does not say it.
    """
    made = _read(folder / "evaluation.json", "episodes", "deterministic", "seed")
    try:
        return type(eval).model_validate(
            eval.model_dump() | {key: made[key] for key in ("episodes", "deterministic", "seed")}
        )
    except ValueError as error:
        raise ConfigError(
            f"{folder / 'evaluation.json'} says no protocol of an evaluation. Export it anew: "
            + "; ".join(str(error).splitlines()[1:3])
        ) from error


def environment(folder: Path, env: str) -> str:
    """The environment of an exported policy, unless it names code: a folder from elsewhere must not choose what runs.

    Raises:
        ConfigError: if it is a `module:callable`; says how to name it oneself.
    """
    if ":" in env and not env.startswith(OURS):
        raise ConfigError(
            f"{folder} asks to run Python code as its environment, {env!r}. If you know that code, name it yourself: "
            f"--env {env} (in Python, operant.Run({str(folder)!r}, env={env!r}))"
        )
    return env


def _matches(file: Path, want: object) -> bool:
    try:
        return matches(file, want)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read ({error}). Copy or export it anew.") from error


def _read(path: Path, *keys: str) -> dict[str, Any]:
    try:
        found = load_json(path)
        return {key: found[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}: {error}). Export it anew.") from error
