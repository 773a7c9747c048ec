"""`operant agent`: any model tries a task in a world of many turns; and `operant play` of a run that learnt in one."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from operant.cli.say import asked, say, tell
from operant.config.errors import ConfigError
from operant.config.write import json_text

if TYPE_CHECKING:
    from operant.agents.watch import Step, Watched
    from operant.language.episodes.world import Scenario, World
    from operant.opened import Run

ORACLE = "oracle"
"""In place of a model: the world's own solution."""


def verb(args: argparse.Namespace) -> None:
    """Let a model try."""
    from operant.agents.watch import Watched, chosen
    from operant.config.resolve import resolve
    from operant.language.episodes.world import load_world

    cfg = resolve("grpo", args.world, overrides={"model.path": "none", **args.overrides}).config
    world = load_world(args.world, cfg.model_dump()["task"]["options"])
    split = args.split or world.splits[-1 if "test" not in world.splits else list(world.splits).index("test")]
    scenario = chosen(world, split, args.instruction, args.scenario)
    shown = Shown(world, split, scenario, quiet=args.json)
    watched = Watched(world, shown.step)
    if args.model == ORACLE:
        _follow(watched, scenario)
    elif args.model.startswith(("http://", "https://")):
        _server(args, watched, scenario)
    else:
        _local(args, watched, scenario)
    shown.end()


class Shown:
    """An episode as it goes, on standard output; or as JSON at its end.

    Args:
        world, split, scenario: what is played.
        quiet: print nothing until the end.
    """

    def __init__(self, world: World, split: str, scenario: Scenario, *, quiet: bool = False) -> None:
        self.world, self.split, self.scenario, self.quiet = world, split, scenario, quiet
        self.steps: list[Step] = []
        self._say(f"{world.name} · split {split} · scenario {scenario.id} · template {scenario.template}")

    def step(self, step: Step) -> None:
        """Show a turn; the first begins the episode, again where its world broke."""
        if step.number == 0:
            self.steps = []
            asked = self.scenario.instruction
            begin = step.seen.text if asked in step.seen.text else f"{asked}\n{step.seen.text}"
            self._say(f"\n{_block('begin', begin)}")
        else:
            said = [_block("thought", step.thought)] if step.thought else []
            said += [_block("action", step.action or "(none)"), _block("result", step.seen.text or "(nothing)")]
            said += [_block("error", step.seen.error)] if step.seen.error else []
            said += [_block("reward", f"{step.seen.reward:g}")] if step.seen.reward else []
            self._say(f"\n{step.number}\n" + "\n".join(said))
        self.steps.append(step)

    def end(self, why: str = "") -> None:
        """Say how it ended, and how many actions were no actions."""
        from operant.agents.watch import success

        if not self.steps:
            raise ConfigError(f"the episode did not begin{': ' + why if why else ''}")
        seen = [step.seen for step in self.steps]
        turns, bad = self.steps[1:], sum(one.error is not None for one in seen)
        done, ret = success(seen), sum(one.reward for one in seen)
        if self.quiet:
            told = [
                {"thought": s.thought, "action": s.action, "result": s.seen.text, "error": s.seen.error,
                 "reward": s.seen.reward}
                for s in turns
            ]  # fmt: skip
            head = {"world": self.world.name, "split": self.split, "scenario": self.scenario.id}
            about = {"template": self.scenario.template, "instruction": self.scenario.instruction}
            end = {"success": done, "return": ret, "errors": bad, "turns": told, "begin": seen[0].text}
            tell(json_text({**head, **about, **end}, indent=2))
            return
        ended = "success" if done else why or ("failed" if seen[-1].terminated else "not done")
        wrong = f"; {bad} action{'s' * (bad != 1)} with an error" if bad else ""
        self._say(f"\n{ended} after {len(turns)} turn{'s' * (len(turns) != 1)}, return {ret:g}{wrong}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            tell(text)


def is_of_turns(run: Run) -> bool:
    """Whether a run learnt in a world of many turns."""
    if run.config.kind != "language":
        return False
    from operant.language.settings.worlds import WorldRun

    return isinstance(run.config, WorldRun)


def play(args: argparse.Namespace, run: Run) -> None:
    """Print episodes of a run, greedily decoded, from the scenario on that --seed names; or let a person play it."""
    if args.against:
        return run.against(asked, say, games=args.episodes)
    from operant.agents.watch import Watched
    from operant.language.episodes.played import Asked
    from operant.language.episodes.task_scorer import greedy
    from operant.language.episodes.world import load_world
    from operant.language.episodes.world_success import runner_of, turn_sampling

    if args.out is not None or args.show:
        raise ConfigError("a run in a world of text has no pictures: without --out and --show, its episode is printed")
    cfg: Any = run.permitted()
    world = load_world(cfg.task.id, cfg.task.options)
    scenarios = world.scenarios(cfg.eval.split)
    for k in range(args.episodes):
        scenario = scenarios[((args.seed or 0) + k) % len(scenarios)]
        shown = Shown(world, cfg.eval.split, scenario)
        watched = Watched(world, shown.step)
        runner = runner_of(
            cfg, run.policy, watched, seed=cfg.eval.seed, sampling=greedy(turn_sampling(cfg, run.policy))
        )
        try:
            (played,) = runner.play([Asked(id=scenario.id, group=scenario.id, member=0, scenario=scenario)])
        finally:
            runner.close()
        shown.end(f"{played.cause}{': ' + played.note if played.note else ''}")


def _block(name: str, text: str) -> str:
    """A text behind its name, its further lines below its first."""
    return textwrap.indent(text, " " * 9).replace(" " * 9, f"{name:<8} ", 1) if text.strip() else f"{name:<8} {text}"


def _follow(world: Watched, scenario: Scenario) -> None:
    """Do what the world's own solution does."""
    from operant.agents.watch import visit

    actions = world.oracle(scenario)
    if actions is None:
        raise ConfigError(f"{world.name} tells no solution: give a model's folder, its run, or a server's address")
    left = iter(actions)
    visit(world, scenario, lambda _: next(left, ""))


def _server(args: argparse.Namespace, world: Watched, scenario: Scenario) -> None:
    """Ask a server that speaks OpenAI's protocol."""
    from operant.agents.watch import visit
    from operant.language.serve.client import Client
    from operant.language.serve.speaker import seed_of

    with Client(args.model, args.name, key=args.key) as client:
        visit(world, scenario, partial(_said, client, args, seed_of(args)))


def _said(client: Any, args: argparse.Namespace, seed: int, messages: Sequence[Any]) -> str:
    how = {"temperature": args.temperature, "max_tokens": args.max_tokens or 1024, "seed": seed + len(messages)}
    (reply,) = client.generate([messages], **how)
    return reply.text


def _local(args: argparse.Namespace, world: Watched, scenario: Scenario) -> None:
    """Play with a model of this machine, its turns sampled as in learning."""
    from operant.language.episodes.dialogue import Dialogue
    from operant.language.episodes.played import Asked
    from operant.language.episodes.runner import Runner
    from operant.language.sample.engine import Engine, Sampling
    from operant.language.serve.speaker import compile_ahead, seed_of, speaker
    from operant.language.settings.worlds import EpisodeConfig

    name, policy = speaker(args)
    say(f"{name} tries.")
    compile_ahead(policy)
    limit = args.max_tokens or min(1024, policy.max_positions // 4)
    sampling = Sampling(temperature=args.temperature, max_tokens=limit, stop=Dialogue(policy).stop)
    runner = Runner(world, Engine(policy, seed=seed_of(args), slots=1), EpisodeConfig(), sampling)
    try:
        (played,) = runner.play([Asked(id=scenario.id, group=0, member=0, scenario=scenario)])
    finally:
        runner.close()
    if played.note or played.cause == "context":
        say(f"The episode ended early: {played.note or 'the next prompt does not fit into the model'}.")
