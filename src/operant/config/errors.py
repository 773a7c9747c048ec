"""The errors a person may meet. Each says what was wrong, where, and the one thing to do; each has an exit code."""

from __future__ import annotations

import dis
import signal
import sysconfig
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from operant.config.text import clean

_PACKAGE = str(Path(__file__).parents[1])


class OperantError(Exception):
    """An expected failure: shown without a traceback, the process exits with `exit_code`.

    `log` is the file that holds the whole traceback, where a person's own code raised and a run folder keeps it.
    """

    exit_code = 1
    log: Path | None = None

    def __str__(self) -> str:
        """The message, in which nothing steers the terminal: names and texts of others stand in it."""
        return clean(super().__str__())


class ConfigError(OperantError):
    """A setting, file or name that cannot be used. Exit code 2."""

    exit_code = 2


class KeywordError(ConfigError, TypeError):
    """A keyword that a function of ours does not take; names the nearest that it does. Exit code 2."""


class EnvError(OperantError):
    """An environment that is missing, cannot be made, or broke its contract. Exit code 3."""

    exit_code = 3


class NonFiniteError(OperantError):
    """A NaN or an infinity where a number belongs. Exit code 4.

    Args:
        message: what, where, and what to do.
        facts: the same for a program, as JSON holds it: "tensor", "copy", "column", "epoch", "minibatch" and the like.
        tensors: the batch in which it was found, by name.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, facts: Mapping[str, Any] | None = None, tensors: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})
        self.tensors = dict(tensors or {})


class DiskError(OperantError):
    """A write that the disk refused. Exit code 5."""

    exit_code = 5


@contextmanager
def user_code(what: str, kind: type[OperantError]) -> Generator[None]:
    """Turn whatever a person's own code raises inside into one error of `kind`: "WHAT raised KeyError: 'x' (e.py:3)".

    A Ctrl-C and an error of ours pass; `sys.exit`, `GeneratorExit` and a KeyboardInterrupt that the code raises itself
    do not. What it changes in the process is put back by `operant.config.undisturbed.undisturbed`.
    """
    try:
        yield
    except OperantError:
        raise
    except BaseException as error:
        raise kind(f"{what} {raised(error)}") from error


@contextmanager
def read_as(what: str, place: Path) -> Generator[None]:
    """Turn what reading files of another form raises inside into a ConfigError: "PLACE: not WHAT (KeyError: 'x')"."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ConfigError(f"{place}: not {what} ({type(error).__name__}: {said(error)})") from error


def is_ctrl_c(error: BaseException | None) -> bool:
    """Whether an exception is a person's Ctrl-C, and no KeyboardInterrupt that code raises itself.

    One that comes from a signal stands between two instructions, one that code raises stands at its `raise`; what was
    raised while a Ctrl-C was handled is one too.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt) and _from_signal(error):
            return True
        error = error.__context__
    return False


def _from_signal(error: KeyboardInterrupt) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    handler = getattr(signal.getsignal(signal.SIGINT), "__code__", None)
    ours = code is handler or code.co_filename.startswith(_PACKAGE)
    return ours or dis.opname[code.co_code[trace.tb_lasti]] not in ("RAISE_VARARGS", "RERAISE")


def raised(error: BaseException) -> str:
    """What a person's code raised, and where: "raised ValueError: no gold (rewards.py:12)".

    A Ctrl-C is raised on: whoever catches all that such code may raise asks here what to say of it.
    """
    if is_ctrl_c(error):
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    deepest = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    where = place_of(error) or deepest
    return f"raised {type(error).__name__}: {said(error)}" + (f" ({where})" if where else "")


def said(error: BaseException) -> str:
    """The message of an exception, also where its class is a person's own and gives none."""
    try:
        return str(error)
    except BaseException:
        return "a message that cannot be read"


def shown(value: object, most: int = 80) -> str:
    """`repr(value)`, at most so many characters, in a message about a value that a person's own code gave."""
    try:
        return f"{value!r:.{most}}"
    except BaseException as error:  # it is their class
        if is_ctrl_c(error):
            raise
        return f"a {type(value).__name__} that cannot be shown"


def place_of(error: BaseException) -> str | None:
    """file:line of a person's own code where an error arose, or None where only installed code is on the way."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    installed = (_PACKAGE, sysconfig.get_path("stdlib"), "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.endswith((".pyx", ".pxd"))]
    own = [f for f in frames if not f.filename.startswith(installed) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else None
