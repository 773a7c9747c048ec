"""The errors a person may meet. Each says what was wrong, where, and the one thing to do; each has an exit code."""

from __future__ import annotations


class OperantError(Exception):
    """An expected failure: shown without a traceback, the process exits with `exit_code`."""

    exit_code = 1


class ConfigError(OperantError):
    """A setting, file or name that cannot be used. Exit code 2."""

    exit_code = 2


class EnvError(OperantError):
    """An environment that is missing, cannot be made, or broke its contract. Exit code 3."""

    exit_code = 3


class NonFiniteError(OperantError):
    """A NaN or an infinity where a number belongs. Exit code 4."""

    exit_code = 4


class DiskError(OperantError):
    """A write that the disk refused. Exit code 5."""

    exit_code = 5
