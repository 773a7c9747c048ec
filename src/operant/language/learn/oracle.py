"""What a world's oracle does, as episodes to imitate; and the small model that stands in where none is named.

Traces come to be as episodes do, through the same graph: what is learnt is what a sampler would have written, turn by
turn, and nothing that the world said.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.episodes.history import Past, messages_of
from operant.language.episodes.runner import Asked, Played, Runner
from operant.language.episodes.world import Scenario, World
from operant.language.episodes.world_rollouts import scenarios_of
from operant.language.episodes.world_success import runner_of
from operant.language.learn.setup import adamw
from operant.language.learn.sft import sft
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.model.small_base import kept, small_base
from operant.language.reward.verifiable import Exact
from operant.language.settings.worlds import CloneConfig, EpisodeConfig, WorldBaseConfig, WorldRun
from operant.language.task.task import Demonstration, Example, Task
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.run.job import Say

TEXTS = 400
"""Scenarios whose oracle is played to make a tokenizer of what is said."""
PART = 256
"""Scenarios that are drawn and played at a time: worlds keep the newest ones, and need not draw them twice."""


def oracle_traces(runner: Runner, scenarios: Sequence[Scenario], count: int | None = None) -> list[Played]:
    """What a world's oracle does in the first scenarios, as episodes that succeeded; a warning counts the others.

    Raises:
        ConfigError: if there is no oracle, or it succeeds nowhere.
    """
    world = runner.world
    if world.oracle(scenarios[0]) is None:
        raise ConfigError(f"{world.name} has no oracle to clone: name a model, as in --model DIR")
    played, many = list[Played](), min(count or len(scenarios), len(scenarios))
    for first in range(0, many, PART):
        part = enumerate(scenarios[first : min(first + PART, many)], first)
        asked = [Asked(id=i, group=i, member=0, scenario=s) for i, s in part]
        played += runner.play(asked, script=world.oracle)
    good = [p for p in played if p.success]
    if not good:
        p = played[0]
        why = p.note or f"it ended by {p.cause} after {len(p.turns)} turns with {p.ret:g}"
        raise ConfigError(f"the oracle of {world.name} succeeds in none of {len(played)} scenarios; in the first {why}")
    if len(good) < len(played):
        bad = next(p for p in played if not p.success)
        warnings.warn(
            f"the oracle of {world.name} fails in {len(played) - len(good)} of {len(played)} scenarios, which are left "
            f"out; the first is {bad.asked.scenario.id}, which ended by {bad.cause}",
            stacklevel=2,
        )
    return good


def examples(played: Sequence[Played], *, everything: bool = False) -> list[Encoded]:
    """The rows of episodes, to be imitated where the policy chose; with `everything`, where the world spoke too."""
    return [
        Encoded(tokens=row.prompt + row.tokens,
                acted=tuple(everything or own for own in ((False,) * (len(row.prompt) - 1) + row.sampled)),
                where=f"scenario {p.asked.scenario.id}")
        for p in played
        for row in p.graph.rows()
    ]  # fmt: skip


def fresh_for(world: World, base: WorldBaseConfig, cfg: WorldRun, texts: int = TEXTS) -> LanguageModel:
    """A model with random weights, whose tokenizer is made from what the oracle and the world say."""
    reader = base.model_copy(update={"tokenizer": "bytes", "positions": 2**20, "layers": 1, "width": 8, "heads": 1})
    sampling = cfg.sampling.model_copy(update={"max_tokens": 2**18})  # no text is cut where a byte is a token
    policy = fresh(reader, ())
    played = traces_of(policy, world, cfg.model_copy(update={"sampling": sampling}), texts)
    return fresh(base, (policy.tokenizer.decode(e.tokens, skip_special_tokens=True) for e in examples(played)))


def shown_turns(world: World, cfg: EpisodeConfig, count: int) -> list[Demonstration]:
    """What a world's oracle says in the first scenarios of train, each action behind the messages of its prompt, with
    what the cells of their pictures show: none, where the world shows no pictures."""
    found: list[Demonstration] = []

    async def play(scenario: Scenario) -> bool:
        session, past, cells = world.open(scenario), list[Past](), list[tuple[int, ...]]()
        try:
            obs = await session.reset()
            for action in (world.oracle(scenario) or ()) if obs.pictures else ():
                skipped = max(0, len(past) - cfg.last) if cfg.history == "last" else 0
                cells.append(obs.cells)
                told = cells[skipped:] if cfg.history in ("full", "last") else cells[-1:]
                messages = messages_of(
                    cfg.history, world.system, scenario.instruction, past, obs.text, left_out=skipped,
                    pictures=obs.pictures,
                )  # fmt: skip
                found.append(
                    Demonstration(prompt=(*messages,), completion=action, cells=tuple(x for c in told for x in c))
                )
                before, obs = obs, await session.step(action)
                past.append(Past(before.text, action, obs.text, before.pictures))
                if obs.terminated or obs.truncated:
                    break
            return bool(past)
        finally:
            await session.close()

    async def all_of() -> None:
        for scenario in scenarios_of(world, "train")[:count]:
            if not await play(scenario):
                break

    asyncio.run(all_of())
    return found


def world_base(world: World, cfg: WorldRun, say: Say) -> str:
    """The folder of a small model that was cloned on a world's oracle, made at the first call and found later; one
    that sees, taught what each patch shows, where the world shows pictures.

    Raises:
        ConfigError: if the world has no oracle.
        DiskError: if the cache cannot be written.
    """
    base = cfg.base
    texts = min(TEXTS, base.traces)
    shown = [[s.instruction, *(world.oracle(s) or ())] for s in scenarios_of(world, "train")[:texts]]
    about = [cfg.task.id, cfg.task.options, cfg.episode.model_dump(), world.system]
    if seen := shown_turns(world, cfg.episode, base.traces):
        asked = Example(prompt=seen[0].prompt, gold=None, solution=seen[0].completion)
        task = Task(name=world.name, train=[asked], test=[asked], rewards={"success": Exact()}, demonstrations=seen)
        return str(small_base(task, base, {"world": about}, say=say))

    def make() -> LanguageModel:
        policy = fresh_for(world, base, cfg, texts)
        played = traces_of(policy, world, cfg, base.traces)
        data = Shuffled(examples(played, everything=base.learn == "all"), Streams(base.seed))
        settings = CloneConfig(batch=base.batch, length=base.positions, lr=base.lr, warmup=0.05)
        size = sum(p.numel() for p in policy.parameters())
        say(f"  {size:,} parameters, {len(policy.tokenizer)} tokens, {base.examples:,} of {len(data.items):,} rows")
        learning = sft(settings, data, policy, adamw([policy], base.lr, 0.0), total_steps=base.examples)
        for number, metrics in enumerate(learning):
            if number % max(1, base.examples // base.batch // 5) == 0:
                say(f"  {data.steps / base.examples:.0%}, loss {float(metrics['loss/nll']):.3f}")
            if data.steps >= base.examples:
                break
        return policy

    what = f"the oracle of {world.name}"
    return str(kept(["world", 1, base.model_dump(), about, shown], what, make, say))


def traces_of(policy: LanguageModel, world: World, cfg: WorldRun, count: int) -> list[Played]:
    """The oracle's episodes in the first scenarios of train."""
    runner = runner_of(cfg, policy, world, seed=0)
    try:
        return oracle_traces(runner, scenarios_of(world, "train"), count)
    finally:
        runner.close()
