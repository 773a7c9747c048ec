"""A TOML file within bounds: its values, the line of each key, and what is wrong with it in words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from operant.config.bounded import decoded, read_bytes
from operant.config.errors import ConfigError
from operant.config.locate import key_lines
from operant.config.suggest import missing

KeyPath = tuple[str, ...]

DEEP = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){100}""")
"""A dotted key of more than a hundred parts."""


def toml_text(path: Path, *, piped: bool = False) -> str:
    """The text of a TOML file that is no longer and no deeper than one may be; a pipe where a person named it."""
    try:
        text = decoded(read_bytes(path, piped=piped))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{path}: {missing(path, '.toml')}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if DEEP.search(text):  # the standard parser would take minutes
        raise ConfigError(f"{path}: nested too deeply.")
    return text


def read_toml(path: Path, *, piped: bool = False) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """A TOML file's values and the line of each key; a pipe where a person named it."""
    text = toml_text(path, piped=piped)
    try:
        return tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        what, line, column = _syntax(str(error), text)
        raise ConfigError(f"{path}:{line}:{column}: not TOML: {what}.") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}.") from None


def _syntax(message: str, text: str) -> tuple[str, int, int]:
    """Split tomllib's message into what is wrong, the line and the column."""
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place:
        return message[: place.start()].lower(), int(place[1]), int(place[2])
    what = message.removesuffix(" (at end of document)").lower()
    return what, text.count("\n") + 1, len(text) - text.rfind("\n")
