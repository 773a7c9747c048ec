"""`operant record` and `operant data`: data sets of episodes, recorded and looked at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.cli import flags
from operant.cli.grammar import Override
from operant.cli.say import say, tell
from operant.config.errors import ConfigError, DiskError, OperantError
from operant.config.fields import leaves
from operant.config.registry import is_code
from operant.config.schema import CopiesConfig, RunConfig
from operant.config.text import absolute_path, command
from operant.config.write import json_text

if TYPE_CHECKING:
    from operant.env.dataset import DataSet, Episode
    from operant.env.record import Act, Env

LONGEST = 10_000
"""Steps after which an episode is cut that never ends."""


def add_recording(verbs: Any) -> None:
    """Add both verbs to the commands of the parser."""
    usage = "operant record ENV [--policy RUN | --script FILE.py:FN] --out NAME"
    record = verbs.add_parser("record", help="record episodes as a data set: yours, or a policy's", usage=usage)
    record.description = "Record episodes as a data set: of a person at the keys, a policy or a script."
    record.add_argument("env", metavar="ENV", help="Gymnasium id, or module:callable")
    record.add_argument("--out", type=Path, metavar="NAME", required=True, help="the folder to write")
    record.add_argument("--policy", metavar="RUN", help="who acts: a run, an exported policy, or one that ships")
    record.add_argument("--script", metavar="FILE.py:FN", help="who acts: your function of an observation")
    record.add_argument("--episodes", type=flags.count, default=10, metavar="N", help="episodes to record [10]")
    flags.add_seed(record, 0, "seed of the first episode, and of what is drawn [0]")
    record.add_argument("--stochastic", action="store_true", help="sample the policy's actions, in place of its mode")
    record.add_argument("--max-steps", type=flags.count, default=LONGEST, metavar="N", help="cut after [10,000]")
    text = 'keys of actions: "left=0 right=1 idle=0" [as the environment is known]'
    record.add_argument("--keys", default="", metavar="TEXT", help=text)
    record.add_argument("--fps", type=flags.count, metavar="N", help="steps a second at the keyboard [the film's]")
    leaf = leaves(RunConfig)["env", "kwargs"]
    text = "options of the environment; one of them: --env.kwargs.NAME VALUE"
    record.add_argument("--env.kwargs", action=Override, leaf=leaf, dest="overrides", help=text)
    record.set_defaults(overrides={})
    flags.add_runs(record, "where the run folders are [runs]")
    flags.add_trust(record)

    usage = "operant data show NAME [--env ID] [--out PAGE.html] [--json]"
    data = verbs.add_parser("data", help="look at a data set", usage=usage)
    data.description = "Look at a data set."
    show = data.commands("what").add_parser("show", help="returns, lengths, coverage, and what is wrong", usage=usage)
    show.description = "Returns, lengths and coverage of a data set, and what is wrong with it."
    show.add_argument("name", metavar="NAME", help="its folder, or its name among those that Minari keeps")
    show.add_argument("--out", type=Path, metavar="PAGE.html", help="write a page with charts")
    show.add_argument("--env", metavar="ID", help="its environment, to film it and to know its time limit")
    show.add_argument("--film", type=Path, metavar="FILE", help="the mp4 to write of its best episode; needs --env")
    flags.add_json(show)


def record(args: argparse.Namespace) -> None:
    """Record episodes, and say what to do with them."""
    from operant.env.inprocess import close
    from operant.env.make import make_one
    from operant.env.minari import write_data
    from operant.env.record import data_of
    from operant.run.disk import is_full, may_write, mending, refusal

    out = may_write(absolute_path(args.out))
    if args.policy and args.script:
        raise ConfigError("--policy and --script both say who acts: give one")
    by_hand = args.policy is None and args.script is None
    if (args.keys or args.fps) and not by_hand:
        raise ConfigError("--keys and --fps are for a person who plays, and here none does: leave them out")
    if args.stochastic and args.policy is None:
        raise ConfigError("--stochastic is for a policy, and here none acts: leave it out, or name one, --policy RUN")
    made, kwargs = _policy(args) if args.policy is not None else (None, {})
    kwargs = {**kwargs, **_kwargs(args)}
    wrappers = getattr(made.config.env, "wrappers", ()) if made is not None else ()
    env = make_one(args.env, kwargs, "rgb_array" if by_hand else None, wrappers, measured=True)
    done: list[Episode] = []
    broken: BaseException | None = None
    try:
        try:
            _by_hand(args, env, done) if by_hand else _acted(args, env, made, done)
        except (OperantError, KeyboardInterrupt) as error:
            if not done:
                raise
            broken = error  # what was played to its end before is not lost by it
        if not done:
            raise ConfigError("no episode was played to its end, and nothing is written")
        data = data_of(env, args.env, done)
    finally:
        close(env, args.env)
    try:
        write_data(data, out, by=args.policy or args.script or "a person")
    except OSError as error:
        why = "No space left on device" if is_full(error) else refusal(error)
        raise DiskError(f"cannot write {args.out}: {why}. {mending(error)}.") from error
    say(f"Recorded {len(data)} episodes, {data.steps:,} steps, mean return {data.returns.mean():.1f}.")
    tell(args.out)
    if broken is not None:
        raise broken
    then = command("train", "bc", args.env, "--data", args.out)
    say(f"Next: {command('data', 'show', args.out)}, or {then}")


def _by_hand(args: argparse.Namespace, env: Env, done: list[Episode]) -> None:
    """Put the episodes of whoever sits at the keyboard into `done`."""
    from operant.env.headless import has_screen
    from operant.env.inprocess import pictures_per_second
    from operant.view.keyboard import keys_of, played_by_hand, told

    if not has_screen() and "SDL_VIDEODRIVER" not in os.environ:
        raise ConfigError("there is no screen here for a person to play on: say who acts, --policy RUN or --script FN")
    keys = keys_of(env, args.env, args.keys)
    say(f"{told(keys)}. Backspace begins the episode anew, Escape ends; what was played to its end is kept.")
    played_by_hand(
        env, args.env, keys, done, episodes=args.episodes, seed=args.seed, longest=args.max_steps,
        fps=args.fps or pictures_per_second(env),
    )  # fmt: skip


def _acted(args: argparse.Namespace, env: Env, made: Any, done: list[Episode]) -> None:
    """Put the episodes of a policy or a script into `done`."""
    from operant.data.streams import Streams
    from operant.env.record import play_episodes
    from operant.run.progress import working

    generator = Streams(args.seed).numpy("record")
    act, begins = _policy_act(args, made, generator) if made is not None else (_script(args.script, generator), None)
    with working("recording"):
        play_episodes(
            env, args.env, act, episodes=args.episodes, seed=args.seed, longest=args.max_steps, begins=begins, done=done
        )


def _policy(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The run of a policy, and the options of its environment, where it is of the same."""
    from operant.api import Run
    from operant.run.find import find

    run = Run(find(args.policy, args.runs), env=args.env, trust=args.trust)
    its = run.config.env
    return run, dict(its.kwargs) if its.id == args.env else {}


def _policy_act(args: argparse.Namespace, run: Any, generator: Any) -> tuple[Act, Callable[[int], None]]:
    """What acts by a stored policy, and what lets it forget where an episode begins."""
    policy = run.policy
    if not hasattr(policy, "act"):
        raise ConfigError(f"{args.policy} holds no policy that acts in an environment")
    masked = isinstance(run.config.env, CopiesConfig) and run.config.env.action_mask == "info"
    drawn = generator if args.stochastic else None

    def act(obs: Any, info: dict[str, Any]) -> Any:
        try:
            return policy.act(obs, mask=info.get("action_mask") if masked else None, generator=drawn)
        except ValueError as error:
            raise ConfigError(f"{args.policy} does not fit {args.env}: {error}") from error

    return act, lambda _: policy.forget()


def _script(name: str, generator: Any) -> Act:
    """A function of a person's own."""
    from operant.env.record import acting
    from operant.workers.resolve import own_code

    return acting(own_code(name, "script"), f"the script {name}", generator)


def _kwargs(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the environment on the command line."""
    if not args.overrides:
        return {}
    from operant.config.resolve import resolve

    return dict(resolve("ppo", "CartPole-v1", overrides=args.overrides).config.env.kwargs)


# ---------------------------------------------------------------------------------------------------- data
def data(args: argparse.Namespace) -> int | None:
    """Say what is in a data set; exit code 2 if it has an error."""
    import gymnasium

    from operant.env.check_data import check_data
    from operant.env.minari import read_data
    from operant.run.disk import may_write
    from operant.view.data_page import summary

    if args.film is not None and not args.env:
        raise ConfigError("a film needs its environment, which no file of a stranger's names for you: --env ID")
    for file, kind in ((args.out, ".html"), (args.film, ".mp4")):
        if file is not None:
            may_write(file, kind)
    found = read_data(args.name)
    spec = gymnasium.registry.get(args.env or found.env_id)
    problems = check_data(found, limit=None if spec is None else spec.max_episode_steps)
    told = summary(found)
    if args.json:
        tell(json_text(told | {"problems": [str(p) for p in problems]}, indent=2))
    else:
        _tell(found, told)
        for problem in problems:
            tell(str(problem))
    errors = sum(p.severity == "error" for p in problems)
    if errors:
        say(f"{args.name}: {errors} errors. Mend them, then look again.")
        return 2
    if args.out is not None:
        from operant.view.data_page import write_data_page

        tell(write_data_page(absolute_path(args.out), found, problems))
    if args.film is not None:
        tell(_film(args, found))
    named = "ENV" if is_code(found.env_id) else found.env_id  # no file chooses what a person runs
    say(f"Next: {command('train', 'bc', args.env or named or 'ENV', '--data', args.name)}")
    return None


def _tell(found: DataSet, told: dict[str, Any]) -> None:
    tell(f"{told['env'] or 'an environment without a name'}: {told['episodes']} episodes, {told['steps']:,} steps")
    for name in ("returns", "lengths"):
        its = told[name]
        middle = f"mean {its['mean']:.1f}, median {its['median']:.1f}"
        tell(f"{name:<8} {middle}, from {its['least']:.1f} to {its['most']:.1f}")
    tell(f"ends     {told['terminated']} terminated, {told['truncated']} truncated")
    for row in told["coverage"]:
        tell(f"{row['what']:<24} {row['told']}")


def _film(args: argparse.Namespace, found: DataSet) -> Path:
    """A film of the best episode: its actions done once more from its seed."""
    from operant.view.data_page import film_best

    return film_best(found, args.env, absolute_path(args.film))
