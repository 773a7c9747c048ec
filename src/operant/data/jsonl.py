"""Files of one JSON object a line, packed or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from operant.config.bounded import loads, text_lines
from operant.config.errors import ConfigError


def is_jsonl(name: str) -> bool:
    """Whether a file's name says that it is one."""
    return name.endswith((".jsonl", ".jsonl.gz"))


def lines(path: Path | str, *, cut: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place (file:line) and object; empty lines are left out, files ending in .gz are unpacked.

    Args:
        path: the file.
        cut: leave out a last line that is not whole, as a kill leaves one.

    Raises:
        ConfigError: if the file cannot be read, or a line is not a JSON object.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(text_lines(file), 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    found = loads(line)
                    if "\\ud" in line.lower():  # half of a character is no text, and no tokenizer takes it
                        json.dumps(found, ensure_ascii=False).encode()
                except ValueError as error:
                    if cut and not line.endswith("\n"):
                        return
                    raise ConfigError(f"{where}: not JSON ({error})") from error
                if not isinstance(found, dict):
                    raise ConfigError(f"{where}: a JSON object belongs here, not {line.strip()[:40]}")
                yield where, found
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}") from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
