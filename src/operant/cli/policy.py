"""`operant eval` and `operant play`: a policy is measured, or watched."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from typing import Any

from operant.cli import agent
from operant.cli.say import say, tell
from operant.config.errors import ConfigError
from operant.config.text import absolute_path
from operant.config.write import json_text


def evaluate(args: argparse.Namespace) -> None:
    """Measure a policy."""
    if (args.behaviour is not None or args.discount is not None) and not args.data:
        raise ConfigError("--behaviour and --discount are for --data NAME: name a data set, or leave them out")
    if args.judge is not None and not args.best_of:
        raise ConfigError("--judge is for --best-of N: say of how many, or leave it out")
    if args.data and (args.votes or args.best_of):
        raise ConfigError("--data values a policy without playing, --votes and --best-of ask it: give one")
    run = _open(args)
    if args.votes or args.best_of:
        from operant.cli.search import verb

        return verb(args, run)
    if args.data:
        from operant.cli.from_data import verb

        return verb(args, run)
    from operant.run.progress import measured, working

    with working("evaluation"):
        result = run.evaluate(args.episodes, seed=args.seed, deterministic=False if args.stochastic else None)
    if args.json:
        tell(json_text(result))
        return
    tell(f"{measured(result)}; seeds from {result['seed']}")
    kept = f"Kept in {run.path / 'evals'}. " if not run.exported and os.access(run.path / "evals", os.W_OK) else ""
    say(f"{kept}Next: operant {_then(run)}")


def play(args: argparse.Namespace) -> None:
    """Film a policy, or show it in a window."""
    from operant.run.disk import may_write

    out = None if args.out is None else may_write(absolute_path(args.out), ".mp4")
    if args.pairs and (args.show or out is not None):
        raise ConfigError("--pairs films each pair into the run folder: leave --show and --out out.")
    if out is not None and args.episodes > 1:
        raise ConfigError(f"--out names one file, but --episodes is {args.episodes}. Leave one of them out.")
    run = _open(args)
    if not args.pairs and (args.against or agent.is_of_turns(run)):
        return agent.play(args, run)
    from operant.run.progress import working

    with working("film", quiet=args.show):
        made = run.film_pairs() if args.pairs else run.play(episodes=args.episodes, seed=args.seed, show=args.show)
    if out is not None and made:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made[0], out)
        for beside in (".json", ".jpg"):
            made[0].with_suffix(beside).unlink()
        made = [out]
    for path in made:
        tell(path)
    say(f"Next: operant {_then(run)}")


def _open(args: argparse.Namespace) -> Any:
    from operant.api import Run
    from operant.run.find import find

    return Run(find(args.run, args.runs), name=args.checkpoint, env=args.env, trust=args.trust)


def _then(run: Any) -> str:
    """What to do after looking at a policy, as a command without `operant`."""
    from operant.run.shipped import is_shipped

    if is_shipped(run.path):
        return f"{shlex.join(['train', run.config.algorithm, run.config.env.id])} trains one of your own"
    return shlex.join(["report", str(run.path)])
