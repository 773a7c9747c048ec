"""The command line: one function a verb. Everything heavy is imported inside the verb that needs it."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from operant.cli.say import arrived, results_alone, say, tell
from operant.config.errors import DiskError, OperantError, is_ctrl_c, place_of, raised, said
from operant.config.streams import forgive
from operant.config.text import command
from operant.config.write import json_text
from operant.run import interrupt

TRAINING = ("train", "resume", "serve")
"""Verbs whose result is not what stands on standard output, but for what `tell` says."""


def entry() -> None:
    """What the `operant` command calls."""
    try:
        with interrupt.listening(last_resort=True):
            forgive()
            code = main(sys.argv[1:])
    except KeyboardInterrupt as stop:  # between two lines
        code = interrupt.code_of(stop)
    interrupt.ending(code)
    if interrupt.received() is not None and sys.argv[1:2] == ["serve"]:  # taking torch apart takes seconds, for nothing
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns 0, 2 config, 3 environment, 4 non-finite, 5 disk, or 128 + the signal that came."""
    with interrupt.listening():
        try:
            code = _run(argv)
            if argv[:1] and argv[0] not in TRAINING:
                arrived()
            return code
        except OperantError as error:
            return _fail(error)
        except KeyboardInterrupt as stop:
            if not is_ctrl_c(stop):
                return _fail(OperantError(f"code of a person's own {raised(stop)}"))
            return _interrupted(stop, argv)
        except BrokenPipeError:
            _forget_output()
            return 0
        except OSError as error:
            return _refused(error)
        except BaseException as error:
            if (number := interrupt.received()) is not None:  # it came while something was imported
                return _interrupted(interrupt.Interrupted(number=number), argv)
            if (full := _no_room(error)) is not None:
                return full
            if place_of(error) is None:
                if isinstance(error, MemoryError) or "allocate memory" in said(error):
                    return _fail(OperantError(f"there is not the memory for it ({said(error)}): ask for less"))
                raise
            return _fail(OperantError(f"code of a person's own {raised(error)}"))


def _run(argv: Sequence[str]) -> int:
    """Do what a command line says."""
    from operant.cli.parser import parse

    began = time.monotonic()
    try:
        args = parse(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    args.began = began
    with results_alone() if args.verb in RUNNING else nullcontext(), warnings.catch_warnings():
        warnings.showwarning = _warn
        warnings.simplefilter("ignore", DeprecationWarning)  # those of simulators are not the user's to mend
        return VERBS[args.verb](args) or 0


def _interrupted(stop: KeyboardInterrupt, argv: Sequence[str]) -> int:
    """Say what became of it, and what to do next."""
    with interrupt.shielded():
        say(f"\n{stop}" if str(stop) else f"\ninterrupted. To do it again: {shlex.join(['operant', *argv])}")
    return interrupt.code_of(stop)


def _no_room(error: BaseException) -> int | None:
    """Say that the disk has no room, where an error says so in its words; None where it does not."""
    from operant.run.disk import is_full

    if not is_full(error):
        return None
    return _fail(DiskError(f"the disk has no room ({said(error)}). Free some space, then try again."))


def _refused(error: OSError) -> int:
    """What the system did not let be written, in words. Raises what is no such refusal."""
    if error.errno is None and (full := _no_room(error)) is not None:
        return full
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EIO):
        raise error
    if error.filename is None:
        _forget_output()
        return _fail(DiskError(f"standard output cannot be written: {error.strerror}."))
    from operant.run.disk import mending

    return _fail(DiskError(f"{error.filename}: {error.strerror}. {mending(error)}."))


def _forget_output() -> None:
    """Write what is left nowhere: else Python tries again when it ends, and says that it could not."""
    with suppress(OSError, ValueError, AttributeError):  # there may be none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def train(args: argparse.Namespace) -> int | None:
    """Resolve the settings, train, and say where the result lies."""
    from operant.config.resolve import dump, resolve

    if args.overrides.keys() & {"from", "init_from"}:
        from operant.run.begin import named

        args.overrides = named(args.overrides, args.runs)
    each = [resolve(args.algorithm, e, file=args.file, overrides=args.overrides) for e in args.envs or [args.env]]
    resolved = each[0]
    if args.dry_run:
        tell("\n".join(dump(one) for one in each), end="")
        say(f"Nothing was trained. To train: {command('train', *_module('show').given(args))}")
        return
    for one in each:
        if one.preset is not None:
            say(f"Preset {one.preset} (`--dry-run` shows every setting and where it came from):")
            say(_module("show").preset(one))

    if len(each) > 1:
        from operant.cli.seeds import several

        return several(args, each)
    if args.seeds is not None:
        from operant.cli.seeds import verb

        return verb(args, resolved)

    from operant.api import start

    run = start(resolved, runs=args.runs, say=say, began=args.began)
    for line in run.advice():
        say(line)


def resume(args: argparse.Namespace) -> None:
    """Go on with a run."""
    from operant.api import resume as go_on

    run = go_on(_find(args), fork=args.fork, to=args.to, env=args.env, trust=args.trust, say=say, began=args.began)
    say(f"Next: {command('report', run.path)}, or operant {run.next}")


def report(args: argparse.Namespace) -> None:
    """Write the report of a run."""
    from operant.run.shipped import refuse_shipped
    from operant.view.report import write_report
    from operant.view.solutions import is_solution
    from operant.view.solve_report import write_solve_report

    run = _find(args)
    refuse_shipped(run, "there is no report to write")
    path = write_solve_report(run) if is_solution(run) else write_report(run)
    tell(path)
    if args.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    say("Next: open it in a browser; it needs no network.")


def env(args: argparse.Namespace) -> int:
    """Check an environment; exit code 3 if it has an error."""
    from dataclasses import asdict

    from operant.env import check_env

    problems = check_env(args.id, seed=args.seed)
    if args.json:
        tell(json_text([asdict(p) for p in problems], indent=2))
    else:
        for p in problems:
            tell(f"{p.severity}: {p.what}\n  where: {p.where}\n  fix:   {p.fix}")
    errors = sum(p.severity == "error" for p in problems)
    if errors:
        say(f"{args.id}: {errors} errors, {len(problems) - errors} warnings. Mend the errors, then check again.")
        return 3
    warned = f", {len(problems)} warnings" if problems else ""
    say(f"{args.id}: sound{warned}. Next: {command('train', 'ppo', args.id)}")
    return 0


def task(args: argparse.Namespace) -> None:
    """Check a task."""
    from operant.config.resolve import resolve
    from operant.language.task.check import check_report
    from operant.language.task.load import load_task

    cfg = resolve("grpo", args.id, overrides={"model.path": "none", **args.overrides}).config
    found = load_task(args.id, cfg.model_dump()["task"]["options"])
    for line in check_report(found):
        tell(line)
    say(f"Next: {command('train', 'grpo', args.id)}" + ("" if len(found.demonstrations) else " --model DIR"))


def doctor(args: argparse.Namespace) -> None:
    """Check this machine."""
    from operant.cli.doctor import examine

    rows = examine()
    if args.json:
        tell(json_text(rows, indent=2))
        return
    width = max(len(row["what"]) for row in rows)
    for row in rows:
        tell(f"{'ok ' if row['ok'] else '-- '} {row['what']:<{width}}  {row['found']}")
        if row["fix"]:
            tell(f"    {'':<{width}}  to do: {row['fix']}")
    say("Next: operant train ppo CartPole-v1")


def _own(name: str, args: argparse.Namespace) -> int | None:
    """A verb with a module of its name."""
    return _module(name).verb(args)


OWN = ("solve", "compare", "sweep", "recipe", "sample", "chat", "serve", "agent", "export", "push", "reproduce")
VERBS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    **{name: partial(_own, name) for name in OWN},
    "train": train,
    "resume": resume,
    "eval": lambda args: _module("policy").evaluate(args),
    "play": lambda args: _module("policy").play(args),
    "report": report,
    "list": lambda args: _module("show").listing(args),
    "config": lambda args: _module("show").config(args),
    "env": env,
    "task": task,
    "record": lambda args: _module("record").record(args),
    "data": lambda args: _module("record").data(args),
    "doctor": doctor,
}

RUNNING = ("train", "resume", "eval", "play", "export", "env", "task", "solve", "record", "recipe", "agent")
"""Verbs that run code of a person's own in this process, and tell their results when it is done."""


def _module(name: str) -> Any:
    """A verb with a module of its own, imported when it is called."""
    from importlib import import_module

    return import_module(f"operant.cli.{name}")


def _find(args: argparse.Namespace) -> Path:
    from operant.run.find import find

    return find(args.run, args.runs)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    say(f"warning: {message}")


def _fail(error: OperantError) -> int:
    if error.log is not None:
        say(f"The whole traceback: {error.log}")
    say(f"error: {error}")
    return error.exit_code


if __name__ == "__main__":
    entry()
