"""The settings of an algorithm as words and flags: ALGO, ENV, @FILE.toml, and a flag for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

from operant.cli.grammar import Override, Parser
from operant.config.fields import Leaf, is_unused, leaves, section, title
from operant.config.registry import ALGORITHMS, settings_of
from operant.config.write import toml_value


def add_settings(parser: Parser, algorithm: str, *, several: bool = False) -> None:
    """ALGO, ENV, @FILE and a flag for each setting, grouped by section; `several` environments where a verb takes them.

    Namespace: `env` is the first, `envs` are all.
    """
    model = settings_of(algorithm)
    parser.add_argument("algorithm", metavar="ALGO", choices=[*ALGORITHMS, algorithm], help=", ".join(ALGORITHMS))
    parser.add_argument(
        "env",
        nargs="*",
        action=_Several if several else _Target,
        metavar="TASK" if model.target[0] == "task" else "ENV",
        help=f"{_lower(leaves(model)[model.target].help)}; @FILE.toml after it reads settings",
    )
    parser.set_defaults(env="", envs=[], file=None, overrides={})
    parser.model = model
    groups: dict[str, Any] = {}
    for path, leaf in leaves(model).items():
        if path == ("algorithm",):
            continue
        name = path[0] if len(path) > 1 else ""
        if name in groups:
            pass
        elif is_unused(model, (name,)):  # none of its settings is shown
            groups[name] = parser
        else:
            inner = section(model, (name,)) if name else None
            groups[name] = parser.add_argument_group(f"{name}: {_lower(title(inner))}" if inner else "the run")
        hidden = path == model.target or is_unused(model, path)  # the target has its own word
        flag = "--" + leaf.key.replace("_", "-")
        flags = [flag, "--no-" + flag[2:]] if leaf.kind == "boolean" else [flag]
        flags += ["--model"] if path == ("model", "path") else []
        if model.aliases.get("from") == leaf.key:
            help = f"a run or policy to begin from: its weights, this run's settings ({leaf.key})"
            parser.add_argument("--from", action=Override, leaf=leaf, key="from", dest="overrides", help=help)
        if model.aliases.get("data") == leaf.key:
            help = f"the data set to learn from ({leaf.key})"
            parser.add_argument("--data", action=Override, leaf=leaf, key="data", dest="overrides", help=help)
        groups[name].add_argument(
            *flags, action=Override, leaf=leaf, dest="overrides", help=argparse.SUPPRESS if hidden else _help(leaf)
        )


def _help(leaf: Leaf) -> str:
    default = leaf.default
    if leaf.kind == "array" and isinstance(default, tuple):
        text = ",".join(map(str, cast("tuple[object, ...]", default)))
    elif default is None or isinstance(default, str):
        text = default or ""
    else:
        text = toml_value(default) if default != {} else ""
    one = f"; one of them: --{leaf.key.replace('_', '-')}.NAME VALUE" if leaf.free else ""
    return (leaf.help + one + (f" [{text}]" if text else "")).replace("%", "%%")


def _lower(text: str) -> str:
    """A sentence as the second half of another; a name in capitals stays."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


class _Target(argparse.Action):
    """The words after ALGO: ENV and @FILE.toml, each at most once and in either order."""

    several = False

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        files = [word[1:] for word in values if word.startswith("@")]
        envs = [word for word in values if not word.startswith("@")]
        toml = next((word for word in envs[1:] if word.endswith(".toml")), "")
        if len(envs) > 1 and (toml or not self.several or len({*envs}) < len(envs)):
            hint = f"A file of settings is written @{toml}." if toml else "Give one."
            hint = "Give each once." if self.several and not toml else hint
            parser.error(f"two environments: {envs[0]!r} and {envs[1]!r}. {hint}")
        if len(files) > 1:
            parser.error(f"two files of settings: {files[0]!r} and {files[1]!r}. Give one.")
        if files == [""]:
            parser.error("@ needs the name of a file, as in @config.toml.")
        target = parser.model.target
        if not envs and not files and ".".join(target) not in namespace.overrides:
            what = (
                "task. Name one, as in arithmetic"
                if target[0] == "task"
                else "environment. Name one, as in CartPole-v1"
            )
            parser.error(f"no {what}, or a file that does, as in @config.toml.")
        namespace.env, namespace.envs = envs[0] if envs else "", envs
        namespace.file = Path(files[0]) if files else None


class _Several(_Target):
    """The same where several environments may be named."""

    several = True
