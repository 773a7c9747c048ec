"""Run a case with the source of one tree, every command in a process of its own that has imported nothing of ours."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from golden_cases import digest
from golden_cases.case import Case

LIMIT = 900.0
"""Seconds for one command; the first of a kind compiles its kernels."""

MAKES = ("train", "solve", "reproduce")
"""Verbs that make run folders, and so take --runs."""

STAMP = re.compile(r"-\d{6}-\d{6}-[0-9a-f]{4}$")

SETTINGS = (
    "pydantic.json_schema",
    "pydantic.type_adapter",
    "pydantic.functional_validators",
    "rich.live",
    "rich.table",
)
TORCH = ("torch._dynamo", "safetensors.torch", "safetensors.numpy", "pandas", "pyarrow.parquet", "rich.panel")
MODELS = ("auto", "llama", "qwen3", "gemma", "gpt2")
HEAVY = {
    "": ("numpy", "scipy.sparse.linalg", "scipy.optimize", "scipy.stats", "numba", *SETTINGS),
    "mdp": ("gymnasium.envs.toy_text", "matplotlib.backends.backend_agg"),
    "tabular": ("gymnasium.envs.toy_text", "gymnasium.wrappers", *TORCH),
    "control": ("gymnasium.envs.classic_control", "gymnasium.wrappers", *TORCH),
    "language": (
        *("gymnasium.wrappers", *TORCH, "tokenizers.trainers", "transformers.generation.utils"),
        *(f"transformers.models.{name}.modeling_{name}" for name in MODELS),
    ),
}
"""What the cases of a world import of others: done once, before their processes part."""


class Failed(Exception):
    """A case did not run to its end; says why in one line."""


def prepare(worlds: Sequence[str]) -> None:
    """Import what is heavy, and let Numba make itself ready.

    Raises:
        ImportError: if this is not the interpreter in which operant is installed.
    """
    for name in dict.fromkeys(name for world in ("", *worlds) for name in HEAVY.get(world, ())):
        import_module(name)
    import_module("numba").njit(lambda: 0)()


def run(case: Case, commands: Sequence[str], first: int, tree: Path, place: Path) -> dict[str, str]:
    """Do commands, numbered from `first`, or the call of a case in its folder; returns the digests of what is there.

    Raises:
        Failed: if one ends with another exit code than 0, raises, or takes too long.
    """
    for number, words in enumerate(commands, first):
        code = forked(_command, tree, place, words, number)
        if code:
            lines = (place / f"{number}.err").read_text(errors="replace").strip().splitlines()
            raise Failed(f"`operant {words[:40]}…` ended with {code}: {lines[-1] if lines else 'nothing was said'}")
        _name(place / str(number))
    digests = {}
    if case.call and first == 1:
        digests = forked(_call, case, tree, place)
        _name(place / "1")
    return digests | forked(digest.folder, place)


def lay(case: Case, models: Path, place: Path) -> None:
    """A fresh folder with the files and the model of a case."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name, text in case.files.items():
        (place / name).write_text(text, encoding="utf-8")
    if case.model:
        shutil.copytree(models / case.model, place / "model")


def forked(work: Callable[..., Any], *args: Any) -> Any:
    """What a function returns in a process parted from this one; its answer must be JSON.

    Raises:
        Failed: if it raises, ends, or takes longer than `LIMIT`.
    """
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(writer, work, args))
    child.start()
    writer.close()
    try:
        if not reader.poll(LIMIT):
            raise Failed(f"was not done after {LIMIT:.0f} s")
        answer = json.loads(reader.recv_bytes())
    except EOFError:
        child.join()
        raise Failed(f"the process ended with {child.exitcode} and no answer") from None
    finally:
        reader.close()
        with suppress(ProcessLookupError):
            os.killpg(child.pid or 0, signal.SIGKILL)  # with what it left behind; it leads a group of its own
        child.join()
    if "error" in answer:
        raise Failed(answer["error"])
    return answer["value"]


def _answer(writer: Any, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.setpgid(0, 0)
    try:
        answer = {"value": work(*args)}
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        answer = {"error": f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"}
    writer.send_bytes(json.dumps(answer).encode())


def _enter(tree: Path, place: Path) -> None:
    """Make this process one that knows the source of `tree` and stands in `place`."""
    os.chdir(place)
    sys.path.insert(0, str(tree / "src"))
    os.environ |= {"PYTHONPATH": str(tree / "src"), "OPERANT_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1"}
    home = import_module("operant").__file__ or ""
    if not Path(home).is_relative_to(tree / "src"):
        raise RuntimeError(f"operant came from {home}, not from {tree}")


def _command(tree: Path, place: Path, words: str, number: int) -> int:
    """The exit code of one command line; what it prints goes to `<number>.out` and `<number>.err`."""
    argv = shlex.split(words)
    runs = ["--runs", str(number)] if argv[0] in MAKES else []
    _enter(tree, place)
    for stream, name in ((1, "log" if argv[0] in digest.SPOKEN else "out"), (2, "err")):
        file = os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["operant"].partition(":")
    sys.argv = ["operant", *argv, *runs]
    try:
        getattr(import_module(module), name)()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _call(case: Case, tree: Path, place: Path) -> dict[str, str]:
    _enter(tree, place)
    answers = case.function(*case.call[1:])
    return {f"{name}/{k}" if k else name: digest.value(v) for name, x in answers.items() for k, v in _flat(x)}


def _flat(of: Any) -> list[tuple[str, Any]]:
    return list(of.items()) if isinstance(of, dict) else [("", of)]


def _name(place: Path) -> None:
    """Give the run folders of a command names without their time: `run` to one alone."""
    made = [path for path in sorted(place.iterdir()) if STAMP.search(path.name)] if place.is_dir() else []
    for path in made:
        path.rename(path.with_name("run" if len(made) == 1 else STAMP.sub("", path.name)))
