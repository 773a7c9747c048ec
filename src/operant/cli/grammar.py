"""How the command line is read: errors of one line that name what may have been meant, and flags anywhere."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from operant.cli.say import say, tell
from operant.config.fields import Leaf, meant_keys, nearest_keys
from operant.config.registry import ALGORITHMS, exchanged
from operant.config.schema import RunConfig
from operant.config.suggest import did_you_mean, nearest

METAVARS = {"integer": "N", "number": "X", "string": "TEXT", "array": "N,N", "object": "TABLE"}


class Override(argparse.Action):
    """A flag that sets one dotted key, kept as text."""

    def __init__(self, option_strings: Sequence[str], dest: str, leaf: Leaf, key: str = "", **rest: Any) -> None:
        metavar = "|".join(map(str, leaf.choices)) or METAVARS.get(leaf.kind, "VALUE")
        super().__init__(option_strings, dest, metavar=metavar, **rest)
        self.leaf, self.key = leaf, key or leaf.key

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.overrides = {**namespace.overrides, self.key: values}


class Parser(argparse.ArgumentParser):
    """Argparse, with errors of one line that name what may have been meant, and flags anywhere among the words."""

    model: type[RunConfig] | None = None  # whose settings are flags of this parser

    def __init__(self, **rest: Any) -> None:
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=Help, **rest)
        self._positionals.title, self._optionals.title = "words", "flags"
        self.add_argument("-h", "--help", action="help", help="show this help")

    def commands(self, dest: str) -> Any:
        """Make this a parser of sub-commands, listed before its flags."""
        found = self.add_subparsers(title="commands", dest=dest, metavar="COMMAND", required=True, prog=self.prog)
        self._action_groups.insert(0, self._action_groups.pop())
        return found

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        message = message.removeprefix("argument ").replace("the following arguments are required:", "needs")
        message = message.replace(": is ", " is ", 1)
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: {line}{'' if line.endswith(('.', '?')) else '.'} See `{self.prog} --help`.\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print what the terminal's encoding has, and `?` for the rest."""
        (say if file in (None, sys.stderr) else tell)(message.removesuffix("\n"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(map(str, action.choices or []))
        if choices and value not in choices:
            kind = "algorithm " if action.dest == "algorithm" else "command " if self._subparsers else ""
            guess = did_you_mean(nearest(str(value), choices))
            self.error(f"unknown {kind}{value!r}." + (guess or f" There is: {', '.join(choices)}."))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Put the flags before the words, each as one `--flag=value`, and hand them to argparse."""
        words = list(args)
        if self._subparsers is None:
            words = self._flags_first(words)
        elif not words:
            self.error(f"needs a command: {', '.join(self._subparsers._group_actions[0].choices or ())}.")
        elif words[0].startswith("-") and words[0] not in self._option_string_actions:
            self._unknown(words[0])
        found, extra = super().parse_known_args(words, namespace)
        if unexpected := [word for word in extra if word != "--"]:
            self.error(f"unexpected {unexpected[0]!r}.")
        return found, []

    def _refuse_exchanged(self, words: list[str], argv: list[str]) -> None:
        """Where the algorithm stands in another's place, end with the command that was meant."""
        takes = [action.dest for action in self._actions if not action.option_strings]
        named = [word for word in words if not word.startswith("@")]
        other = next((word for word in named[1:] if exchanged(named[0], word)), None)
        if takes[:1] == ["algorithm"] and other is not None:
            first, second = argv.index(named[0]), argv.index(other)
            argv[first], argv[second] = argv[second], argv[first]
            self.error(f"{other!r} is an algorithm and comes first: {shlex.join([*self.prog.split(), *argv])}")
        if takes == ["run"] and len(named) == 2 and (known := [word for word in named if word in ALGORITHMS]):
            other = named[1 - named.index(known[0])]
            meant = shlex.join([*self.prog.split(), f"{other}-{known[0]}"])
            self.error(f"takes one run, and the start of its folder's name will do: {meant}, or {self.prog} last")

    def _flags_first(self, rest: list[str]) -> list[str]:
        argv = list(rest)
        words: list[str] = []
        flags: list[str] = []
        seen: set[tuple[str, str]] = set()
        while rest:
            word = rest.pop(0)
            if word == "--":
                words += rest
                break
            if not word.startswith("-") or word == "-":
                words.append(word)
                continue
            typed, equals, value = word.partition("=")
            name, action = self._flag(typed)
            key = (action.dest, action.key if isinstance(action, Override) else "")
            if key in seen and not isinstance(action, argparse._AppendAction):  # pyright: ignore[reportPrivateUsage]
                self.error(f"{key[1] or typed} is given twice.")
            seen.add(key)
            if action.nargs == 0 or name.startswith("--no-"):
                if equals:
                    self.error(f"{typed} takes no value.")
                value = "false"
            elif isinstance(action, Override) and action.leaf.kind == "boolean":
                value = value if equals else self._truth(rest)
            elif not equals:
                if not rest or rest[0].startswith("--"):
                    self.error(f"{typed} needs a value.")
                value = rest.pop(0)
            flags.append(name if action.nargs == 0 else f"{name}={value}")
        if "--" in words:
            self.error("unexpected '--'.")
        self._refuse_exchanged(words, argv)
        return [*flags, "--", *words]

    @staticmethod
    def _truth(rest: list[str]) -> str:
        return rest.pop(0).lower() if rest and rest[0].lower() in ("true", "false") else "true"

    def _flag(self, typed: str) -> tuple[str, argparse.Action]:
        """The flag that was meant, and its action; an entry of a free table becomes a flag here."""
        name = typed.replace("_", "-")
        known = self._option_string_actions
        if name in known:
            return name, known[name]
        for flag, table in list(known.items()):
            if isinstance(table, Override) and table.leaf.free and name.startswith(flag + ".") and name != flag + ".":
                key = table.leaf.key + "." + typed[len(flag) + 1 :].replace("-", "_")
                return typed, self.add_argument(
                    typed, action=Override, leaf=table.leaf, key=key, dest="overrides", help=argparse.SUPPRESS
                )
        self._unknown(typed)

    def _unknown(self, typed: str) -> NoReturn:
        name = typed.partition("=")[0].replace("_", "-")
        flags = self._option_string_actions
        key = name.lstrip("-").removeprefix("no-")
        keys = meant_keys(self.model, key) if self.model is not None else []
        guess = [] if keys else nearest(name, flags, cutoff=0.8)
        if not keys and not guess and self.model is not None:
            keys = nearest_keys(self.model, key)
        guess = guess or ["--" + key.replace("_", "-") for key in keys if key != "algorithm"]
        self.error(f"unknown flag {name!r}." + did_you_mean(guess or nearest(name, flags)))


class Help(argparse.RawDescriptionHelpFormatter):
    """Two aligned columns, at most 100 wide; a boolean shows as `--[no-]flag`."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=34, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        if len(action.option_strings) > 1 and action.option_strings[1].startswith("--no-"):
            return "--[no-]" + action.option_strings[0][2:]
        return ", ".join(action.option_strings) + (f" {action.metavar}" if action.nargs != 0 else "")

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            return text.partition("\n")[2]  # without the line that repeats the metavar
        return text
