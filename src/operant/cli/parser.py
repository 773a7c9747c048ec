"""The front half of the command line: verbs, flags and help. Knows the config's schema and imports nothing heavy.

Every setting of the schema is a flag, `--algo.discount 0.95`; its value is kept as text for `resolve`. Flags and words
may be mixed, a flag's value may start with a dash, and dashes and underscores in a flag are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from operant import __version__
from operant.cli import flags
from operant.cli.grammar import Override, Parser
from operant.cli.recipe import add_recipes
from operant.cli.record import add_recording
from operant.cli.say import say, tell
from operant.cli.settings import add_settings
from operant.cli.sharing import add_sharing
from operant.cli.speaking import add_agent, add_speaking
from operant.config.errors import ConfigError
from operant.config.fields import leaves
from operant.config.registry import ALGORITHMS, is_code, settings_of
from operant.config.schema import RunConfig
from operant.mdp.methods import METHODS

WELCOME = f"""\
operant {__version__}: reinforcement learning, all the way.

  operant train ppo CartPole-v1   train a policy
  operant play last               watch what it does
  operant report last             read how it learnt

`operant --help` lists every command.
"""

CRITERIA = ("discounted", "total", "average")

SOLVE_NOTE = f"""\
{fill("Methods: " + ", ".join(METHODS), 79, subsequent_indent="  ", break_on_hyphens=False)}

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
  operant train ppo CartPole-v1 Acrobot-v1 --seeds 3
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
        tell(WELCOME, end="")
        raise SystemExit(0)
    own = [word for word in argv[1:2] if argv[0] == "train" and is_code(word) and not word.startswith("-")]
    own = [] if argv[2:3] and argv[2] in ALGORITHMS else own  # exchanged
    named = (word for word in argv if word in ALGORITHMS)
    try:
        parser = build_parser(*own or [next(named, next(iter(ALGORITHMS)))])
    except ConfigError as error:  # an algorithm of one's own that cannot be imported
        say(f"error: {error}")
        raise SystemExit(error.exit_code) from None
    return parser.parse_args(argv)


def build_parser(algorithm: str = "ppo") -> argparse.ArgumentParser:
    """The parser, with the settings of one algorithm as the flags of `train` and `config show`.

    Namespaces: `verb` always; for train `algorithm, env, file, overrides, runs, dry_run`, where `env` is "" and `file`
    None if not given and `overrides` maps dotted keys to text; for `list`, `config` and `env` also `what`.
    """
    parser = Parser(prog="operant", usage="operant COMMAND ...", description="Reinforcement learning, all the way.")
    parser.add_argument("--version", action="version", version=f"operant {__version__}", help="print the version")
    parser.epilog = "`operant COMMAND --help` says more. To start: operant train ppo CartPole-v1"
    verbs = parser.commands("verb")

    _add_train(verbs.add_parser("train", help="train a policy"), algorithm)
    _add_solve(verbs.add_parser("solve", help="solve a known model exactly"))

    resume = verbs.add_parser(
        "resume", help="go on with a run", usage="operant resume RUN [--fork] [--to STEPS] [--env ID]"
    )
    resume.description = "Go on with a run from its newest checkpoint, exactly as if it had never stopped."
    flags.add_run(resume)
    resume.add_argument("--fork", action="store_true", help="go on in a new folder")
    resume.add_argument("--to", type=flags.count, metavar="STEPS", help="environment steps to train to [as it was]")
    flags.add_env(resume)
    flags.add_trust(resume)

    _add_eval(verbs.add_parser("eval", help="measure a trained policy"))
    _add_play(verbs.add_parser("play", help="record or watch a trained policy"))

    report = verbs.add_parser("report", help="write the report of a run", usage="operant report RUN [--open]")
    report.description = "Write the report of a run: one HTML file with curves, videos and settings."
    flags.add_run(report)
    report.add_argument("--open", action="store_true", help="open it in the browser")

    flags.add_compare(verbs.add_parser("compare", help="hold runs against each other"))
    flags.add_sweep(verbs.add_parser("sweep", help="search for good settings"), ALGORITHMS)

    _add_list(verbs.add_parser("list", help="list runs, algorithms or environments"))
    _add_config(verbs.add_parser("config", help="show the settings of a run, or all that exist"), algorithm)

    _add_env(verbs.add_parser("env", help="check an environment"))
    add_recording(verbs)
    _add_task(verbs.add_parser("task", help="check a task for language models"))
    add_speaking(verbs)
    add_agent(verbs)
    add_recipes(verbs)

    add_sharing(verbs)

    doctor = verbs.add_parser(
        "doctor", help="check this machine and what is installed", usage="operant doctor [--json]"
    )
    doctor.description = "Check this machine, and name the command for what is missing."
    flags.add_json(doctor)
    return parser


def _add_train(parser: Parser, algorithm: str) -> None:
    parser.usage = "operant train ALGO ENV... [@FILE.toml] [--KEY VALUE ...]"
    parser.description, parser.epilog = "Train a policy and write a run folder.", TRAIN_NOTE
    parser.add_argument("--dry-run", action="store_true", help="resolve and print the settings, train nothing")
    flags.add_seeds(parser, None, "train N seeds side by side, from --seed on")
    flags.add_runs(parser, "where the run folder is made [runs]")
    add_settings(parser, algorithm, several=True)


def _add_list(parser: Parser) -> None:
    parser.usage = "operant list runs|policies|algorithms|environments [--json] [--runs DIR]"
    parser.description = "List runs, the policies that ship, algorithms, or environments."
    parser.add_argument(
        "what",
        metavar="WHAT",
        choices=["runs", "policies", "algorithms", "environments"],
        help="runs, policies, algorithms or environments",
    )
    flags.add_json(parser)
    flags.add_runs(parser, "where the run folders are [runs]")


def _add_env(parser: Parser) -> None:
    parser.usage, parser.description = "operant env check ID [--json] [--seed N]", "Look into environments."
    whats = parser.commands("what")
    check = whats.add_parser("check", help="say what is wrong with an environment, and the fix")
    check.description, check.usage = "Say what is wrong with an environment, and the fix.", parser.usage
    check.add_argument("id", metavar="ID", help="Gymnasium id, or module:callable")
    flags.add_seed(check, 0, "seed of the check [0]")
    flags.add_json(check)


def _add_solve(parser: Parser) -> None:
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
    parser.add_argument(
        "--horizon", type=flags.count, metavar="N", help="decisions, for a finite horizon [the model's]"
    )
    parser.add_argument("--max-iterations", type=flags.count, metavar="N", help="stop after so many [none]")
    text = "under total reward, count only policies that terminate almost surely"
    parser.add_argument("--must-terminate", action="store_true", help=text)
    parser.add_argument(
        "--threads", type=flags.count, metavar="N", help="threads of the sweeps [as many as are worth it]"
    )
    parser.add_argument("--video", action="store_true", help="film the sweeps")
    leaf = leaves(RunConfig)["env", "kwargs"]
    text = "options of the world, map or environment; one of them: --env.kwargs.NAME VALUE"
    parser.add_argument("--env.kwargs", action=Override, leaf=leaf, dest="overrides", help=text)
    parser.set_defaults(overrides={})
    flags.add_json(parser)
    flags.add_runs(parser, "where the folder of the answer is made [runs]")


def _add_task(parser: Parser) -> None:
    usage = "operant task check TASK [--task.options.NAME VALUE]"
    parser.usage, parser.description = usage, "Look into tasks for language models."
    whats = parser.commands("what")
    check = whats.add_parser("check", help="see that its own solutions score, and that nothing else does", usage=usage)
    check.description = "Say what a task is, and score its own solutions and what answers nothing."
    check.add_argument("id", metavar="TASK", help="a built-in task, reasoning-gym:NAME, or a FILE.py")
    leaf = leaves(settings_of("grpo"))["task", "options"]
    check.add_argument(
        "--task.options",
        action=Override,
        leaf=leaf,
        dest="overrides",
        help="options of the task; one of them: --task.options.NAME VALUE",
    )
    check.set_defaults(overrides={})


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.usage = "operant eval RUN [--episodes N] [--seed N] [--data NAME] [--json]"
    parser.description = "Measure the policy of a run over fresh episodes."
    flags.add_run(parser)
    parser.add_argument("--episodes", type=flags.count, metavar="N", help="episodes to play [the run's eval.episodes]")
    flags.add_seed(parser, None, "first seed of the episodes [the run's eval.seed]")
    parser.add_argument("--stochastic", action="store_true", help="sample actions instead of taking the mode")
    parser.add_argument("--votes", type=flags.count, metavar="N", help="language models: N samples vote on the answer")
    parser.add_argument(
        "--best-of", type=flags.count, metavar="N", help="language models: the best of N samples by --judge"
    )
    parser.add_argument("--judge", metavar="RUN", help="the run of a reward model, or of a process reward model")
    parser.add_argument("--data", metavar="NAME", help="value it from a data set, without the environment")
    parser.add_argument("--behaviour", metavar="RUN", help="--data: who acted in it, or a clone of it")
    parser.add_argument("--discount", type=flags.share, metavar="N", help="--data: γ of the value [the run's]")
    flags.add_checkpoint(parser)
    flags.add_env(parser)
    flags.add_trust(parser)
    flags.add_json(parser)


def _add_play(parser: argparse.ArgumentParser) -> None:
    parser.usage = "operant play RUN [--show] [--out FILE] [--pairs] [--against me]"
    parser.description = "Record the policy of a run as a video, or watch it in a window."
    flags.add_run(parser)
    parser.add_argument("--episodes", type=flags.count, default=1, metavar="N", help="episodes to play [1]")
    flags.add_seed(parser, None, "seed of the first episode [the run's eval.seed]")
    parser.add_argument("--show", action="store_true", help="open a window instead of writing a file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the mp4 to write; in the run folder if not given")
    parser.add_argument("--pairs", action="store_true", help="film the clips that wait to be judged, in pairs")
    parser.add_argument("--against", choices=["me"], help="boards: play against it, typing moves")
    flags.add_checkpoint(parser)
    flags.add_env(parser)
    flags.add_trust(parser)


def _add_config(parser: Parser, algorithm: str) -> None:
    parser.usage = "operant config show ALGO ENV [@FILE.toml] [--KEY VALUE ...] | schema"
    parser.description = "Show settings."
    whats = parser.commands("what")
    show = whats.add_parser("show", help="print every setting of a run and where it comes from")
    show.usage = "operant config show ALGO ENV [@FILE.toml] [--KEY VALUE ...] [--json]"
    show.description = "Print every setting that `operant train` would use, and where it comes from."
    flags.add_json(show)
    add_settings(show, algorithm)
    usage = "operant config schema [ALGO] [--json]"
    schema = whats.add_parser("schema", help="print every setting of an algorithm", usage=usage)
    schema.description = "Print every setting of an algorithm: its type, range, default and meaning."
    schema.add_argument("algorithm", metavar="ALGO", nargs="?", default="ppo", choices=list(ALGORITHMS), help="[ppo]")
    flags.add_json(schema)
