"""`operant agent`: any model tries a task in a world of many turns; and `operant play` of a run that learnt in one."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.cli.say import asked, say, tell
from operant.config.errors import ConfigError, shown
from operant.config.registry import is_code
from operant.config.write import json_text

if TYPE_CHECKING:
    from operant.agents.harness.episode import Call, Episode, Model
    from operant.agents.harness.traces import Trace
    from operant.agents.watch import Pictured, Step
    from operant.language.episodes.world import Scenario, World
    from operant.opened import Run

ORACLE = "oracle"
"""In place of a model: the world's own solution."""
WHY = {"calls": "the calls are spent", "context": "the next prompt does not fit into the model"}


def verb(args: argparse.Namespace) -> None:
    """Let a model try; or do a stored episode again, and go on from one of its turns."""
    import asyncio

    from operant.agents.harness.agents import AGENTS, played
    from operant.agents.harness.episode import Episode
    from operant.agents.harness.traces import read, write
    from operant.run.disk import may_write

    for path in (args.out, args.film):
        if path is not None:
            may_write(path)
    stored = None if args.replay is None else read(args.replay)
    head = _head(args, stored)
    world, scenario = _place(args, head)
    if args.film is not None:
        world = _pictured(world)
    said = [] if stored is None else stored.said[: args.branch]
    shown = Shown(world, head["split"], scenario, quiet=args.json)
    agent, form = AGENTS[args.agent]
    with _model(args, world, scenario, len(said)) as model:
        episode = Episode(world, scenario, model, form=form, calls=args.calls, tell=shown.tell)
        why = asyncio.run(played(agent if stored is None or args.model else _ended, episode, said))
    shown.end(WHY.get(why, why), stored and _compared(episode, stored, len(said)))
    if args.film is not None:
        _film(world, shown, args.film)
    if args.out is not None:
        write(args.out, episode, head | {"scenario": scenario.id, "agent": args.agent, "model": args.model})


def _head(args: argparse.Namespace, stored: Trace | None) -> dict[str, Any]:
    """World, options, split and scenario: a trace's, or those that are asked for.

    Raises:
        ConfigError: if there is none, flags contradict one another, or a trace is of a world that is somebody's code.
    """
    if stored is None:
        if args.world is None or args.model is None or args.branch is not None:
            raise ConfigError("give --world NAME and --model MODEL, or --replay FILE (--branch N is of a FILE)")
        return {"world": args.world, "options": args.overrides, "split": args.split, "scenario": args.scenario}
    head = {name: stored.head[name] for name in ("world", "options", "split", "scenario")}
    given = {"world": args.world, "options": args.overrides or None, "split": args.split, "scenario": args.scenario}
    if other := [name for name, value in given.items() if value is not None and value != head[name]]:
        raise ConfigError(f"{args.replay} has a {other[0]} of its own, {shown(head[other[0]])}: leave yours out")
    if args.instruction:
        raise ConfigError(f"{args.replay} has a task of its own: leave out {shown(args.instruction)}")
    if is_code(head["world"]) and args.world is None:
        raise ConfigError(f"{args.replay} is of a world that is code; to run it, give --world {head['world']}")
    if args.branch is not None and (args.branch > len(stored.said) or args.model is None):
        raise ConfigError(f"--branch is a turn of {args.replay}, from 0 to {len(stored.said)}, and needs --model MODEL")
    return head


def _place(args: argparse.Namespace, head: dict[str, Any]) -> tuple[World, Scenario]:
    """The world and the scenario; `head` gets its split where it has none."""
    from operant.agents.watch import chosen
    from operant.config.resolve import resolve
    from operant.language.episodes.world import load_world

    cfg = resolve("grpo", head["world"], overrides={"model.path": "none", **head["options"]}).config
    world = load_world(head["world"], cfg.model_dump()["task"]["options"])
    if head["split"] is None:
        head["split"] = "test" if "test" in world.splits else world.splits[-1]
    return world, chosen(world, head["split"], args.instruction, head["scenario"])


def _pictured(world: World) -> Pictured:
    """The world, with pictures of what is seen.

    Raises:
        ConfigError: if it has none.
    """
    from operant.agents.watch import Pictured, draws

    if not draws(world):
        raise ConfigError(f"{world.name} has no pictures, so there is no film: leave out --film")
    return Pictured(world)


def _film(world: Any, shown: Shown, path: Path) -> None:
    """Film what was shown."""
    from operant.run.progress import working
    from operant.view.turns import film_turns

    with working("film", quiet=shown.quiet):
        film_turns(world.turns_of(shown.steps), path, name=world.name, asked=shown.scenario.instruction)
    say(f"Film: {path}")


async def _ended(episode: Episode) -> None:
    """Leave an episode where it stands."""


def _compared(episode: Episode, stored: Trace, turns: int) -> str:
    """Whether what was done again came to the same."""
    from operant.agents.harness.traces import parted

    turn = parted(episode.steps[: turns + 1], stored)
    return "; the replay is exact" if turn is None else f"; the replay differs from turn {turn} on"


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

    def tell(self, what: Step | Call) -> None:
        """Show a turn, or what a model answers where it does not act."""
        from operant.agents.watch import Step

        if isinstance(what, Step):
            self.step(what)
        elif what.purpose != "act":
            self._say(f"\n{_block(what.purpose, what.said)}")

    def step(self, step: Step) -> None:
        """Show a turn; the first begins the episode, again where its world broke or an agent tries once more."""
        if step.number == 0:
            self.steps = []
            asked = self.scenario.instruction
            begin = step.seen.text if asked in step.seen.text else f"{asked}\n{step.seen.text}"
            self._say(f"\n{_block('begin', begin)}" if not step.again else "\nbegun anew")
        elif step.again:
            self._say(f"{step.number:<8} {step.action}")
        else:
            said = [_block("thought", step.thought)] if step.thought else []
            said += [_block("action", step.action or "(none)"), _block("result", step.seen.text or "(nothing)")]
            said += [_block("error", step.seen.error)] if step.seen.error else []
            said += [_block("reward", f"{step.seen.reward:g}")] if step.seen.reward else []
            self._say(f"\n{step.number}\n" + "\n".join(said))
        self.steps.append(step)

    def end(self, why: str = "", more: str | None = None) -> None:
        """Say how it ended, how many actions were no actions, and what else there is."""
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
        for name, holds in seen[-1].info.items():  # say, whether an attack was attempted
            wrong += f"; {'' if holds else 'not '}{name}" if isinstance(holds, bool) and name != "success" else ""
        self._say(f"\n{ended} after {len(turns)} turn{'s' * (len(turns) != 1)}, return {ret:g}{wrong}{more or ''}")

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
    from operant.agents.watch import Pictured, Watched, draws
    from operant.language.episodes.played import Asked
    from operant.language.episodes.task_scorer import greedy
    from operant.language.episodes.world import load_world
    from operant.language.episodes.world_success import runner_of, turn_sampling

    cfg: Any = run.permitted()
    world = load_world(cfg.task.id, cfg.task.options)
    filmed = draws(world)
    if args.show or (args.out is not None and not filmed):
        raise ConfigError("a run in a world of turns opens no window, and is filmed where its world has pictures: "
                          "without --show and --out, its episode is printed")  # fmt: skip
    world = Pictured(world) if filmed else world
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
        if filmed:
            _film(world, shown, args.out or run.path / "videos" / f"turns-scenario{scenario.id}.mp4")


def _block(name: str, text: str) -> str:
    """A text behind its name, its further lines below its first."""
    return textwrap.indent(text, " " * 9).replace(" " * 9, f"{name:<8} ", 1) if text.strip() else f"{name:<8} {text}"


@contextmanager
def _model(args: argparse.Namespace, world: World, scenario: Scenario, turns: int) -> Generator[Model]:
    """Who answers: the world's own solution from a turn on, a server, or a model of this machine."""
    from operant.agents.harness.models import Local, Read, Served
    from operant.language.serve.speaker import seed_of

    if args.model is None:
        yield Read(())
    elif args.model == ORACLE:
        actions = world.oracle(scenario)
        if actions is None:
            raise ConfigError(f"{world.name} tells no solution: give a model's folder, its run, or a server's address")
        yield Read(actions[turns:])
    elif args.model.startswith(("http://", "https://")):
        from operant.language.serve.client import Client

        with Client(args.model, args.name, key=args.key) as client:
            tokens = args.max_tokens or 1024
            yield Served(client=client, temperature=args.temperature, max_tokens=tokens, seed=seed_of(args))
    else:
        from operant.language.serve.speaker import compile_ahead, speaker

        name, policy = speaker(args)
        say(f"{name} tries.")
        compile_ahead(policy)
        yield Local(policy, seed=seed_of(args), temperature=args.temperature, max_tokens=args.max_tokens, slots=1)
