"""What a file or a server holds, read within bounds: its size is looked at before it is read, its depth before parsing.

Whoever wrote a file may have written it to do harm: of gigabytes, without end, or nested until the parser gives up.
"""

from __future__ import annotations

import codecs
import itertools
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from gzip import GzipFile
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

LARGEST = 2**26
"""Bytes of a JSON or TOML file, unless its reader says otherwise."""
DEEPEST = 100
"""Lists and tables in one another."""
LONGEST = 2**26
"""Characters of a line."""

_MARKS = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
          (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))  # fmt: skip
_ESCAPED = re.compile("[\udc80-\udcff]")
_NO_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[^\[\]{}"]++', re.DOTALL)


def read_bytes(path: Path, most: int = LARGEST, *, piped: bool = False) -> bytes:
    """What a file holds.

    Args:
        path: the file.
        most: bytes that are read.
        piped: it may be a pipe or a device, where a person named it; reading another's would wait for ever.

    Raises:
        OSError: if it cannot be read, or is no regular file.
        ValueError: if it is longer.
    """
    with path.open("rb") if piped else open_regular(path) as file:
        if os.fstat(file.fileno()).st_size <= most and len(data := file.read(most + 1)) <= most:
            return data
    raise ValueError(f"it has more than {most:,} bytes")


def loads(data: bytes | str, *, deepest: int = DEEPEST, constant: Callable[[str], Any] | None = None) -> Any:
    """JSON.

    Args:
        data: the text; bytes in UTF-8, or in another encoding that JSON allows.
        deepest: lists and tables in one another.
        constant: gives what stands for NaN and infinities, which are no JSON.

    Raises:
        ValueError: if it is none, or nested more deeply.
    """
    text = (
        data.removeprefix("\ufeff")
        if isinstance(data, str)
        else data.decode(json.detect_encoding(data), "surrogatepass")
    )
    if text.count("[") + text.count("{") > deepest:
        steps = (1 if bracket in "[{" else -1 for bracket in _NO_BRACKET.sub("", text) if bracket != '"')
        if any(depth > deepest for depth in itertools.accumulate(steps)):
            raise ValueError(f"nested more than {deepest} deep")
    return json.loads(text, parse_constant=constant)


def load_json(path: Path, most: int = LARGEST) -> Any:
    """The JSON of a file. Raises OSError and ValueError as `read_bytes` and `loads` do."""
    return loads(read_bytes(path, most))


def decoded(data: bytes) -> str:
    """A text in UTF-8, with or without a mark at its beginning; lines end in a newline alone, however they did.

    Raises:
        ValueError: if it is in another encoding: which, or the line.
    """
    _refuse_other(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = data[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        raise ValueError(_no_utf8(lines.count(b"\n") + 1, data[error.start])) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_lines(file: BufferedReader | GzipFile, most: int = LONGEST) -> Iterator[str]:
    """The lines of a text, as `decoded` reads it, one by one.

    Raises:
        ValueError: as `decoded`, or for a line that is longer than `most` characters, before it is all read.
    """
    _refuse_other(file.peek(4)[:4])
    lines = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    for number in itertools.count(1):
        if not (line := lines.readline(most + 1)):
            return
        if len(line) > most:
            raise ValueError(f"a line has more than {most:,} characters")
        if not line.isascii() and (bad := _ESCAPED.search(line)):
            raise ValueError(_no_utf8(number, ord(bad[0]) - 0xDC00))
        yield line


def _refuse_other(data: bytes) -> None:
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise ValueError(f"it is in {name}, as its first bytes say: save it as UTF-8")


def _no_utf8(line: int, byte: int) -> str:
    return f"line {line} is not UTF-8 (it has the byte 0x{byte:02x}): save the file as UTF-8"


def require_regular(path: Path) -> None:
    """Raises OSError where a path is of a pipe or device, or of nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no regular file")


def open_regular(path: Path) -> BinaryIO:
    """A file, opened to be read, and no pipe or device. Raises OSError if it is one, or cannot be opened."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # to open a pipe would wait for its writer
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")
