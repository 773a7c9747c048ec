"""Where each key of a TOML text stands: the line numbers that `tomllib` does not give."""

from __future__ import annotations

import re
import tomllib

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_PART = re.compile(r"[A-Za-z0-9_-]+|" r'"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]+")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line, from 1, of every key and table of a valid TOML text; items of an array have their index in the path.

    A table named by several headers or dotted keys has the line of the first.
    """
    return _Scanner(text).document()


class _Scanner:
    """Walks a text that `tomllib` has accepted, so that anything but the position of keys may be skipped blindly."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.seen = 0  # offset up to which newlines are counted
        self.line = 1
        self.lines: dict[tuple[str, ...], int] = {}
        self.arrays: dict[tuple[str, ...], int] = {}

    def document(self) -> dict[tuple[str, ...], int]:
        table: tuple[str, ...] = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def _here(self) -> int:
        self.line += self.text.count("\n", self.seen, self.at)
        self.seen = self.at
        return self.line

    def _name(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Read a dotted key below `path`, note its line, and return the whole path."""
        while True:
            self._skip(_SPACE)
            line, part = self._here(), self._skip(_PART)
            path = (*path, next(iter(tomllib.loads(f"{part} = 0"))))
            self.lines.setdefault(path, line)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return path
            self.at += 1
            path = self._inside(path)

    def _inside(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The last table of an array of tables is the one that later headers and keys extend."""
        return (*path, str(self.arrays[path])) if path in self.arrays else path

    def _header(self) -> tuple[str, ...]:
        double = self.text.startswith("[[", self.at)
        self.at += 1 + double
        path = self._name(())
        self.at += 1 + double
        if double:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self.lines[self._inside(path)] = self.line
        return self._inside(path)

    def _pair(self, table: tuple[str, ...]) -> None:
        path = self._name(table)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: tuple[str, ...]) -> None:
        if self.text[self.at] == "[":
            self._items(path)
        elif self.text[self.at] == "{":
            self._inline(path)
        elif not self._skip(_STRING):
            self._skip(_BARE)

    def _items(self, path: tuple[str, ...]) -> None:
        self.at += 1
        index = 0
        self._skip(_BLANK)
        while self.text[self.at] != "]":
            self.lines[(*path, str(index))] = self._here()
            self._value((*path, str(index)))
            index += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._skip(_BLANK)
        self.at += 1

    def _inline(self, path: tuple[str, ...]) -> None:
        self.at += 1
        self._skip(_BLANK)
        while self.text[self.at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self._skip(_BLANK)
        self.at += 1
