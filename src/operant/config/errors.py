"""The errors a person may meet. Each says what was wrong, where, and the one thing to do; each has an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operant.config.text import clean


class OperantError(Exception):
    """An expected failure: shown without a traceback, the process exits with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, in which nothing steers the terminal: names and texts of others stand in it."""
        return clean(super().__str__())


class ConfigError(OperantError):
    """A setting, file or name that cannot be used. Exit code 2."""

    exit_code = 2


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


def raised(error: BaseException) -> str:
    """What a user's code raised, and where: "raised ValueError: no gold (rewards.py:12)"."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f"raised {type(error).__name__}: {error}{where}"
