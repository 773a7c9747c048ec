"""`operant eval RUN --data NAME`: what a policy is worth, from a data set alone."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from operant.cli.say import say, tell
from operant.config.errors import ConfigError
from operant.config.write import json_text
from operant.control.agent import Agent
from operant.control.offline.evaluation import evaluate_from_data
from operant.control.setup_data import load_data

if TYPE_CHECKING:
    from operant.api import Run


def verb(args: argparse.Namespace, run: Run) -> None:
    """Value the policy, and print each estimate."""
    from operant.opened import Run as Opened
    from operant.run.progress import working

    agent, algo = _agent(run), run.config.algo
    behaviour = None
    if args.behaviour:
        behaviour = _agent(Opened(args.behaviour, trust=args.trust, runs=args.runs))
    discount = float(getattr(algo, "discount", 0.99)) if args.discount is None else args.discount
    mode = run.config.eval.deterministic and not args.stochastic and behaviour is None
    data = load_data(args.data, agent.interface, run.config.env.id)
    with working("off-policy evaluation"):
        found = evaluate_from_data(
            agent, data, behaviour=behaviour, discount=discount, deterministic=mode, seed=args.seed or 0
        )
    if args.json:
        told = {name: asdict(its) for name, its in found.items()}
        tell(json_text({"discount": discount, "deterministic": mode, "data": args.data, "estimates": told}))
        return
    for name, its in found.items():
        tell(f"{name:22} {its.value:10.2f}  95 % [{its.low:.2f}, {its.high:.2f}]  {its.episodes:.1f} episodes count")
    what = "its mode" if mode else "its samples"
    say(f"The value with γ = {discount:g} where the {len(data)} episodes of the data begin, of {what}, not acted out.")
    if behaviour is None:
        say(f"For importance sampling clone who acted: operant train bc ENV --data {args.data}, then --behaviour last")


def _agent(run: Run) -> Agent:
    if not isinstance(run.policy, Agent):
        raise ConfigError(f"--data values policies that are networks, and {run.path} is of kind {run.config.kind}")
    return run.policy
