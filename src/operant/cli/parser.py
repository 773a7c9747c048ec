"""The front half of the command line: verbs, flags and help. Knows the config's schema and imports nothing heavy.

Every setting of the schema is a flag, `--algo.discount 0.95`; its value is kept as text for `resolve`. Flags and words
may be mixed, a flag's value may start with a dash, and dashes and underscores in a flag are the same.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from operant import __version__
from operant.cli import flags
from operant.cli.flags import count as _count
from operant.cli.flags import seed as _seed
from operant.cli.sharing import add_sharing
from operant.config.fields import Leaf, did_you_mean, leaves, nearest, nearest_keys, section, title
from operant.config.resolve import ALGORITHMS
from operant.config.schema import RunConfig
from operant.config.write import toml_value

METAVARS = {"integer": "N", "number": "X", "string": "TEXT", "array": "N,N", "object": "TABLE"}

WELCOME = f"""\
operant {__version__}: reinforcement learning, all the way.

  operant train ppo CartPole-v1   train a policy
  operant play last               watch what it does
  operant report last             read how it learnt

`operant --help` lists every command.
"""

METHODS = (
    *("auto", "value-iteration", "gauss-seidel", "red-black", "q-value-iteration", "policy-iteration"),
    *("modified-policy-iteration", "inexact-policy-iteration", "prioritised-sweeping", "topological", "anderson"),
    *("linear-programming", "finite-horizon", "relative-value-iteration", "multichain-policy-iteration"),
    *("interval-iteration", "optimistic-value-iteration"),
)
"""Those of `operant.mdp.solve`, named here so that help waits for nothing."""

CRITERIA = ("discounted", "total", "average")

SOLVE_NOTE = f"""\
Methods: {", ".join(METHODS[:5])},
  {", ".join(METHODS[5:8])},
  {", ".join(METHODS[8:12])},
  {", ".join(METHODS[12:14])},
  {", ".join(METHODS[14:16])},
  {", ".join(METHODS[16:])}

A model is a Gymnasium id whose environment has a table (FrozenLake-v1), a world
of the books (car-rental, gambler), a map of text (.txt), .npz, .json or .tra.

  operant solve FrozenLake-v1 --env.kwargs.map_name 8x8 --discount 1
  operant solve CliffWalking-v1 --method value-iteration --video
  operant solve maze.txt --env.kwargs.slip 0.2
"""

TRAIN_NOTE = """\
Settings come from the defaults in brackets, then the environment's preset, then
@FILE.toml, then the flags. See the result: operant config show ALGO ENV

  operant train ppo CartPole-v1
  operant train q-learning CliffWalking-v1
  operant train ppo LunarLander-v3 --seed 2 --algo.lr 1e-3 --env.num 32
  operant train ppo Pendulum-v1 @mine.toml --dry-run
  operant train grpo arithmetic
  operant train grpo mytask.py --model DIR --preset dr_grpo
  operant train sft texts.jsonl --model DIR
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Bad input prints one line, with the nearest name that exists, and raises SystemExit(2); help and an empty command
    line print and raise SystemExit(0).
    """
    if not argv:
        sys.stdout.write(WELCOME)
        raise SystemExit(0)
    named = (word for word in argv if word in ALGORITHMS)
    return build_parser(next(named, next(iter(ALGORITHMS)))).parse_args(argv)


def build_parser(algorithm: str = "ppo") -> argparse.ArgumentParser:
    """The parser, with the settings of one algorithm as the flags of `train` and `config show`.

    Namespaces: `verb` always; for train `algorithm, env, file, overrides, runs, dry_run`, where `env` is "" and `file`
    None if not given and `overrides` maps dotted keys to text; for `list`, `config` and `env` also `what`.
    """
    parser = _Parser(prog="operant", usage="operant COMMAND ...", description="Reinforcement learning, all the way.")
    parser.add_argument("--version", action="version", version=f"operant {__version__}", help="print the version")
    parser.epilog = "`operant COMMAND --help` says more. To start: operant train ppo CartPole-v1"
    verbs = parser.commands("verb")

    train = verbs.add_parser(
        "train", help="train a policy", usage="operant train ALGO ENV [@FILE.toml] [--KEY VALUE ...]"
    )
    train.description, train.epilog = "Train a policy and write a run folder.", TRAIN_NOTE
    train.add_argument("--dry-run", action="store_true", help="resolve and print the settings, train nothing")
    flags.add_seeds(train, None, "train N seeds side by side, from --seed on")
    _add_runs(train, "where the run folder is made [runs]")
    _add_settings(train, algorithm)

    _add_solve(verbs.add_parser("solve", help="solve a known model exactly"))

    resume = verbs.add_parser("resume", help="go on with a run", usage="operant resume RUN [--fork] [--to STEPS]")
    resume.description = "Go on with a run from its newest checkpoint, exactly as if it had never stopped."
    _add_run(resume)
    resume.add_argument("--fork", action="store_true", help="go on in a new folder")
    resume.add_argument("--to", type=_count, metavar="STEPS", help="environment steps to train to [as it was]")

    _add_eval(verbs.add_parser("eval", help="measure a trained policy"))
    _add_play(verbs.add_parser("play", help="record or watch a trained policy"))

    report = verbs.add_parser("report", help="write the report of a run", usage="operant report RUN [--open]")
    report.description = "Write the report of a run: one HTML file with curves, videos and settings."
    _add_run(report)
    report.add_argument("--open", action="store_true", help="open it in the browser")

    flags.add_compare(verbs.add_parser("compare", help="hold runs against each other"))
    flags.add_sweep(verbs.add_parser("sweep", help="search for good settings"), ALGORITHMS)

    listing = verbs.add_parser("list", help="list runs, algorithms or environments")
    listing.usage = "operant list runs|algorithms|environments [--json] [--runs DIR]"
    listing.description = "List the runs made here, the algorithms, or the environments that can be made."
    listing.add_argument(
        "what", metavar="WHAT", choices=["runs", "algorithms", "environments"], help="runs, algorithms or environments"
    )
    _add_json(listing)
    _add_runs(listing, "where the run folders are [runs]")

    _add_config(verbs.add_parser("config", help="show the settings of a run, or all that exist"), algorithm)

    env = verbs.add_parser("env", help="check an environment", usage="operant env check ID [--json] [--seed N]")
    env.description = "Look into environments."
    whats = env.commands("what")
    check = whats.add_parser("check", help="say what is wrong with an environment, and the fix")
    check.description, check.usage = "Say what is wrong with an environment, and the fix.", env.usage
    check.add_argument("id", metavar="ID", help="Gymnasium id, or module:callable")
    _add_seed(check, 0, "seed of the check [0]")
    _add_json(check)

    _add_task(verbs.add_parser("task", help="check a task for language models"))

    add_sharing(verbs, _add_run, _add_checkpoint, _add_json)

    doctor = verbs.add_parser(
        "doctor", help="check this machine and what is installed", usage="operant doctor [--json]"
    )
    doctor.description = "Check this machine, and name the command for what is missing."
    _add_json(doctor)
    return parser


def _add_solve(parser: _Parser) -> None:
    parser.usage = "operant solve MODEL [--method NAME] [--discount X] [--video] [--json]"
    parser.description = "Solve a known model exactly: values, a policy, and a certificate of both."
    parser.epilog = SOLVE_NOTE
    parser.add_argument("model", metavar="MODEL", help="Gymnasium id with a table, a world, or a file")
    parser.add_argument("--method", default="auto", choices=METHODS, metavar="NAME", help="how to solve it [auto]")
    parser.add_argument(
        "--epsilon", type=flags.positive, default=1e-6, metavar="X", help="how far off it may be [1e-6]"
    )
    parser.add_argument("--discount", type=flags.share, metavar="X", help="γ, from 0 to 1 [the model's, or 0.99]")
    parser.add_argument("--criterion", choices=CRITERIA, metavar="NAME", help=f"{', '.join(CRITERIA)} [the model's]")
    parser.add_argument("--horizon", type=_count, metavar="N", help="decisions, for a finite horizon [the model's]")
    parser.add_argument("--max-iterations", type=_count, metavar="N", help="stop after so many [none]")
    parser.add_argument("--threads", type=_count, metavar="N", help="threads of the sweeps [as many as are worth it]")
    parser.add_argument("--video", action="store_true", help="film the sweeps")
    leaf = leaves(RunConfig)["env", "kwargs"]
    text = "options of the world, map or environment; one of them: --env.kwargs.NAME VALUE"
    parser.add_argument("--env.kwargs", action=_Override, leaf=leaf, dest="overrides", help=text)
    parser.set_defaults(overrides={})
    _add_json(parser)
    _add_runs(parser, "where the folder of the answer is made [runs]")


def _add_task(parser: _Parser) -> None:
    usage = "operant task check TASK [--task.options.NAME VALUE]"
    parser.usage, parser.description = usage, "Look into tasks for language models."
    whats = parser.commands("what")
    check = whats.add_parser("check", help="see that its own solutions score, and that nothing else does", usage=usage)
    check.description = "Say what a task is, and score its own solutions and what answers nothing."
    check.add_argument("id", metavar="TASK", help="a built-in task, reasoning-gym:NAME, or a FILE.py")
    leaf = leaves(ALGORITHMS["grpo"])["task", "options"]
    check.add_argument(
        "--task.options",
        action=_Override,
        leaf=leaf,
        dest="overrides",
        help="options of the task; one of them: --task.options.NAME VALUE",
    )
    check.set_defaults(overrides={})


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.usage = "operant eval RUN [--episodes N] [--seed N] [--stochastic] [--json]"
    parser.description = "Measure the policy of a run over fresh episodes."
    _add_run(parser)
    parser.add_argument("--episodes", type=_count, metavar="N", help="episodes to play [the run's eval.episodes]")
    _add_seed(parser, None, "first seed of the episodes [the run's eval.seed]")
    parser.add_argument("--stochastic", action="store_true", help="sample actions instead of taking the mode")
    _add_checkpoint(parser)
    _add_json(parser)


def _add_play(parser: argparse.ArgumentParser) -> None:
    parser.usage = "operant play RUN [--episodes N] [--seed N] [--show] [--out FILE]"
    parser.description = "Record the policy of a run as a video, or watch it in a window."
    _add_run(parser)
    parser.add_argument("--episodes", type=_count, default=1, metavar="N", help="episodes to play [1]")
    _add_seed(parser, None, "seed of the first episode [the run's eval.seed]")
    parser.add_argument("--show", action="store_true", help="open a window instead of writing a file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the mp4 to write; in the run folder if not given")
    _add_checkpoint(parser)


def _add_config(parser: _Parser, algorithm: str) -> None:
    parser.usage = "operant config show ALGO ENV [@FILE.toml] [--KEY VALUE ...] | schema"
    parser.description = "Show settings."
    whats = parser.commands("what")
    show = whats.add_parser("show", help="print every setting of a run and where it comes from")
    show.usage = "operant config show ALGO ENV [@FILE.toml] [--KEY VALUE ...] [--json]"
    show.description = "Print every setting that `operant train` would use, and where it comes from."
    _add_json(show)
    _add_settings(show, algorithm)
    usage = "operant config schema [ALGO] [--json]"
    schema = whats.add_parser("schema", help="print every setting of an algorithm", usage=usage)
    schema.description = "Print every setting of an algorithm: its type, range, default and meaning."
    schema.add_argument("algorithm", metavar="ALGO", nargs="?", default="ppo", choices=list(ALGORITHMS), help="[ppo]")
    _add_json(schema)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, the start of its name, or `last`")
    _add_runs(parser, "where the run folders are [runs]")


def _add_runs(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help=text)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_seed(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    parser.add_argument("--seed", type=_seed, default=default, metavar="N", help=text)


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", default="latest", metavar="NAME", help="which checkpoint, as step-00100000 [latest]"
    )


def _add_settings(parser: _Parser, algorithm: str) -> None:
    """ALGO, ENV, @FILE and a flag for each setting, grouped by section."""
    model = ALGORITHMS[algorithm]
    parser.add_argument("algorithm", metavar="ALGO", choices=list(ALGORITHMS), help=", ".join(ALGORITHMS))
    parser.add_argument(
        "env",
        nargs="*",
        action=_Target,
        metavar="TASK" if model.target[0] == "task" else "ENV",
        help=f"{_lower(leaves(model)[model.target].help)}; @FILE.toml after it reads settings",
    )
    parser.set_defaults(env="", file=None, overrides={})
    parser.model = model
    groups: dict[str, Any] = {}
    for path, leaf in leaves(model).items():
        if path == ("algorithm",):
            continue
        name = path[0] if len(path) > 1 else ""
        if name not in groups:
            inner = section(model, (name,)) if name else None
            groups[name] = parser.add_argument_group(f"{name}: {_lower(title(inner))}" if inner else "the run")
        hidden = path == model.target  # it has its own word
        flag = "--" + leaf.key.replace("_", "-")
        flags = [flag, "--no-" + flag[2:]] if leaf.kind == "boolean" else [flag]
        flags += ["--model"] if path == ("model", "path") else []
        groups[name].add_argument(
            *flags, action=_Override, leaf=leaf, dest="overrides", help=argparse.SUPPRESS if hidden else _help(leaf)
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


class _Override(argparse.Action):
    """A flag that sets one dotted key, kept as text."""

    def __init__(self, option_strings: Sequence[str], dest: str, leaf: Leaf, key: str = "", **rest: Any) -> None:
        metavar = "|".join(map(str, leaf.choices)) or METAVARS.get(leaf.kind, "VALUE")
        super().__init__(option_strings, dest, metavar=metavar, **rest)
        self.leaf, self.key = leaf, key or leaf.key

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.overrides = {**namespace.overrides, self.key: values}


class _Target(argparse.Action):
    """The words after ALGO: ENV and @FILE.toml, each at most once and in either order."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        files = [word[1:] for word in values if word.startswith("@")]
        envs = [word for word in values if not word.startswith("@")]
        if len(envs) > 1:
            hint = f"A file of settings is written @{envs[1]}." if envs[1].endswith(".toml") else "Give one."
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
        namespace.env = envs[0] if envs else ""
        namespace.file = Path(files[0]) if files else None


class _Parser(argparse.ArgumentParser):
    """Argparse, with errors of one line that name what may have been meant, and flags anywhere among the words."""

    model: type[RunConfig] | None = None  # whose settings are flags of this parser

    def __init__(self, **rest: Any) -> None:
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=_Help, **rest)
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
        file = file or sys.stderr
        encoding = getattr(file, "encoding", None) or "utf-8"
        file.write(message.encode(encoding, "replace").decode(encoding))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(map(str, action.choices or []))
        if choices and value not in choices:
            kind = "algorithm " if action.dest == "algorithm" else "command " if self._subparsers else ""
            guess = did_you_mean(nearest(str(value).lower(), choices))
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

    def _flags_first(self, rest: list[str]) -> list[str]:
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
            key = (action.dest, action.key if isinstance(action, _Override) else "")
            if key in seen:
                self.error(f"{key[1] or typed} is given twice.")
            seen.add(key)
            if action.nargs == 0 or name.startswith("--no-"):
                if equals:
                    self.error(f"{typed} takes no value.")
                value = "false"
            elif isinstance(action, _Override) and action.leaf.kind == "boolean":
                value = value if equals else self._truth(rest)
            elif not equals:
                if not rest or rest[0].startswith("--"):
                    self.error(f"{typed} needs a value.")
                value = rest.pop(0)
            flags.append(name if action.nargs == 0 else f"{name}={value}")
        if "--" in words:
            self.error("unexpected '--'.")
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
            if isinstance(table, _Override) and table.leaf.free and name.startswith(flag + ".") and name != flag + ".":
                key = table.leaf.key + "." + typed[len(flag) + 1 :].replace("-", "_")
                return typed, self.add_argument(
                    typed, action=_Override, leaf=table.leaf, key=key, dest="overrides", help=argparse.SUPPRESS
                )
        self._unknown(typed)

    def _unknown(self, typed: str) -> NoReturn:
        name = typed.partition("=")[0].replace("_", "-")
        flags = self._option_string_actions
        guess = nearest(name, flags, cutoff=0.8)
        if not guess and self.model is not None:
            keys = nearest_keys(self.model, name.lstrip("-").removeprefix("no-"))
            guess = ["--" + key.replace("_", "-") for key in keys if key != "algorithm"]
        self.error(f"unknown flag {name!r}." + did_you_mean(guess or nearest(name, flags)))


class _Help(argparse.RawDescriptionHelpFormatter):
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
