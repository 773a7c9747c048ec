"""What a golden case is: command lines of `operant`, or a function that calls its faces, in a folder of its own."""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


def command(*parts: str) -> str:
    """One command line from several; of a flag that is given twice the last value counts."""
    words: list[str] = []
    flags: dict[str, str] = {}
    left = shlex.split(" ".join(parts))
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            words.append(word)
        else:
            flags.pop(word, None)
            flags[word] = left.pop(0) if left and not left[0].startswith("--") else ""
    return shlex.join([*words, *(word for flag in flags.items() for word in flag if word)])


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something short that both trees do, each in a fresh folder, and that leaves numbers.

    The k-th command writes its run folders into `k/`; where it makes one alone, that is called `k/run`, so that later
    commands can name it. A function returns what is hashed, by name.
    """

    name: str  # world/what
    commands: tuple[str, ...] = ()  # command lines, without the leading `operant`
    files: Mapping[str, str] = field(default_factory=dict[str, str])  # laid into the folder first
    model: str = ""  # family of the tiny language model that is laid into `model/`
    call: tuple[str, ...] = ()  # a function "module:name" of this folder, and its arguments
    after: tuple[str, ...] = ()  # what `old-runs` does with the runs of the commands, as further commands
    needs: str = ""  # a package without which the case is left out
    since: str = ""  # the first commit that can do it: against an older one the case is left out

    @property
    def world(self) -> str:
        """The first part of the name."""
        return self.name.partition("/")[0]

    @property
    def function(self) -> Callable[..., Mapping[str, Any]]:
        """What `call` names."""
        module, _, name = self.call[0].partition(":")
        return getattr(import_module(f"golden_cases.{module}"), name)

    def definition(self) -> str:
        """All that decides what the case does, as text: of a function, the whole file in which it stands."""
        text = json.dumps([self.name, self.commands, dict(self.files), self.model, self.call, self.after])
        return text + (inspect.getsource(sys.modules[self.function.__module__]) if self.call else "")
