"""Tokens a second of the sampler with many episodes of many turns in flight, beside turns in lock-step, on equal work.

    python bench/agents_engine.py [--episodes 256] [--slots 256] [--delay 0.02]

Both play the same world with the same model: turns of random length, worlds that answer after a random time, with
observations of up to `--observation` tokens behind an instruction of `--instruction`, episodes of one turn to
`--turns`. In flight, the sampler goes on while worlds answer. In lock-step (as in the tool loop of TRL), every turn is
sampled for all episodes that go on, then all of their worlds are awaited together, then the next turn is begun. Prints
one line of JSON; the target is a ratio of 1.5.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import torch

from operant.language import BaseConfig, Engine, EpisodeConfig, Observation, Prompt, Runner, Sampling, Scenario, fresh
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.runner import Asked


class Waiting:
    """A world that answers after a random time with a line, for a random number of turns."""

    name, system, splits = "waiting", "", ("train",)

    def __init__(self, turns: int, delay: float, instruction: int, observation: int) -> None:
        self.turns, self.delay, self.instruction, self.observation = turns, delay, instruction, observation

    def scenarios(self, split: str) -> Sequence[Scenario]:
        more = "x" * max(0, self.instruction - 10)
        return [Scenario(id=i, template="w", seed=i, instruction=f"task {i:04d} {more}") for i in range(4096)]

    def open(self, scenario: Scenario) -> Any:
        return _Session(self, random.Random(scenario.seed))

    def oracle(self, scenario: Scenario) -> None:
        return None


class _Session:
    def __init__(self, world: Waiting, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.left = rng.randint(1, world.turns)

    async def reset(self) -> Observation:
        return Observation(text="ready")

    async def step(self, action: str) -> Observation:
        await asyncio.sleep(self.rng.random() * self.world.delay)
        self.left -= 1
        return Observation(text="x" * self.rng.randint(4, self.world.observation), terminated=self.left == 0)

    async def close(self) -> None:
        return


def in_flight(world: Waiting, engine: Engine, sampling: Sampling, scenarios: Sequence[Scenario]) -> tuple[int, float]:
    """Tokens that were sampled, and the seconds they took."""
    runner = Runner(world, engine, EpisodeConfig(), sampling)
    runner.waits = True
    asked = [Asked(id=s.id, group=s.id, member=0, scenario=s) for s in scenarios]
    before, began = engine.tokens, time.perf_counter()
    runner.play(asked)
    took = time.perf_counter() - began
    runner.close()
    return engine.tokens - before, took


def lock_step(world: Waiting, engine: Engine, sampling: Sampling, scenarios: Sequence[Scenario]) -> tuple[int, float]:
    """The same, a turn of all episodes at a time."""
    dialogue = Dialogue(engine.policy)
    before, began = engine.tokens, time.perf_counter()

    async def play() -> None:
        sessions = {s.id: world.open(s) for s in scenarios}
        first = await asyncio.gather(*(session.reset() for session in sessions.values()))
        tokens = {
            s.id: dialogue.prompt([{"role": "user", "content": f"{s.instruction}\n{obs.text}"}])
            for s, obs in zip(scenarios, first, strict=True)
        }
        for turn in range(world.turns):
            prompts = [Prompt(id=i, tokens=tuple(t), sample=turn) for i, t in tokens.items()]
            done = engine.generate(prompts, sampling)
            told = await asyncio.gather(*(sessions[c.prompt.id].step(dialogue.text(c.tokens)) for c in done))
            for c, obs in zip(done, told, strict=True):
                if obs.terminated:
                    del tokens[c.prompt.id]
                    continue
                closing = () if c.finish == "stop" else dialogue.closing
                tokens[c.prompt.id] += [*c.tokens, *closing, *(dialogue.behind([], "", obs.text, strict=False) or ())]
            if not tokens:
                return

    asyncio.run(play())
    return engine.tokens - before, time.perf_counter() - began


def main() -> None:
    """Measure both in turn, and print the better of each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--instruction", type=int, default=300)
    parser.add_argument("--observation", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(2)
    policy = fresh(BaseConfig(width=160, layers=4, positions=2048, tokenizer="bytes"), ())
    # one token in 15 ends a turn of a model that has learnt nothing: lengths are geometric
    sampling = Sampling(max_tokens=args.tokens, stop=(policy.tokenizer.eos_token_id, *range(60, 76)))
    world, engine = (
        Waiting(args.turns, args.delay, args.instruction, args.observation),
        Engine(policy, seed=1, slots=args.slots),
    )
    scenarios = world.scenarios("train")[: args.episodes]
    rates: dict[str, list[float]] = {"in flight": [], "lock-step": []}
    for n in range(args.repeats + 1):
        for name, way in (("in flight", in_flight), ("lock-step", lock_step)):
            tokens, took = way(world, engine, sampling, scenarios)
            rates[name] += [tokens / took] if n else []  # the first warms up
    best = {name: max(values) for name, values in rates.items()}
    print(json.dumps({**best, "ratio": best["in flight"] / best["lock-step"], "threads": 2, **vars(args)}))


if __name__ == "__main__":
    main()
