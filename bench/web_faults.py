"""Break episodes in a browser, a fault each, and count what is lost or scored as a failure that was none.

    python bench/web_faults.py [--faults 1000] [--flight 8] [--patience 10] [--seed 0]

Seven kinds in turn, half of them on MiniWoB++'s ladder, half on our own sites: the browser is killed (SIGKILL) in the
middle of an episode, which ends those beside it, too; the page computes for ever; 10 MB are added to its DOM; contexts
are opened that nobody closes; a window pops up; a file is downloaded; a dialog opens. Each episode is played by the
runner of training, by a script that solves it where nothing breaks, with the retries that ship. `lost` are episodes
that end without a score, `zero` those that are scored and not solved, `again` attempts that were played anew.

Prints one JSON line; the exit code is 1 where anything is lost or scored 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from _interleave import say
from _processes import killed
from operant.agents.web import tabs as tabs_module
from operant.agents.web.action import action_of
from operant.agents.web.tabs import Tabs
from operant.agents.web.tasks import SCRIPTS
from operant.language import load_world
from operant.language.episodes.played import Asked, Played
from operant.language.episodes.runner import Runner
from operant.language.episodes.world import Observation, Scenario
from operant.language.model.fresh import fresh
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.runs import BaseConfig
from operant.language.settings.worlds import EpisodeConfig

SITES = "shop-add,shop-order,shop-cancel,forum-vote-comment,classifieds-ask"
LEAKED = 3
"""Contexts of one fault that nobody closes."""
DOM = """() => { for (let k = 0; k < 4000; k++) { const p = document.createElement('p');
  p.title = 'word '.repeat(500); p.append('and'); document.body.append(p); } }"""
FILE = "() => { const a = document.createElement('a'); a.href = location.href; a.download = 'f.zip'; a.click(); }"
PAGES: dict[str, str] = {
    "hang": "() => { setTimeout(() => { for (;;); }, 0) }",
    "dom": DOM,
    "popup": "() => { window.open(location.href) }",
    "download": FILE,
    "dialog": "() => { setTimeout(() => { alert('a'); confirm('b'); prompt('c'); }, 0) }",
}
"""What a page does to itself."""
KINDS = ("kill", *PAGES, "leak")


class Faulty:
    """A world whose first attempt at each scenario meets a fault, and whose sessions act by a script.

    Args:
        world: MiniWoB++, or the sites.
        kinds: the fault of each scenario, by its id.
        rng: draws the turns.
    """

    def __init__(self, world: Any, kinds: dict[int, str], rng: random.Random) -> None:
        self.world, self.kinds, self.rng = world, kinds, rng
        self.name, self.system, self.turns, self.splits = world.name, "", world.turns, world.splits
        self.injected, self.leaked = Counter[str](), list[Tabs]()

    def open(self, scenario: Scenario) -> FaultySession:
        """A session of the world, with its fault if it has none yet."""
        actions = self.world.oracle(scenario)
        return FaultySession(self, scenario, actions, self.rng.randrange(len(actions)))

    def script(self, scenario: Scenario) -> Sequence[str]:
        """Sessions act by themselves: whatever is said is a turn."""
        return ["act"] * self.turns


class FaultySession:
    """An episode by a script; before one of its actions a fault happens."""

    def __init__(self, faulty: Faulty, scenario: Scenario, actions: Sequence[str], at: int) -> None:
        self.faulty, self.scenario, self.actions, self.at = faulty, scenario, actions, at
        self.inner, self.done = faulty.world.open(scenario), 0

    async def reset(self) -> Observation:
        """Begin."""
        return await self.inner.reset()

    async def step(self, action: str) -> Observation:
        """Break what is to be broken, then do the script's next action."""
        if self.done == self.at and (kind := self.faulty.kinds.pop(self.scenario.id, "")):
            self.faulty.injected[kind] += 1
            await self.faulty.world.browser.run(lambda: self.broken(kind))
            if kind == "popup":  # as an agent does that reads that a tab was opened
                await self.inner.step(self.faulty.world.codec.write(action_of("close_tab", {})))
        self.done += 1
        return await self.inner.step(self._next())

    def _next(self) -> str:
        """Numbers of nodes are those of this page, to which something may have been added."""
        script = SCRIPTS.get(self.scenario.template)
        if script is None:
            return self.actions[self.done - 1]
        return self.faulty.world.codec.write(script(self.inner.goal, self.inner.seen.nodes, self.done - 1))

    async def broken(self, kind: str) -> None:
        """A fault, on the browser's loop."""
        tabs: Tabs = self.inner._tabs
        if kind == "kill":
            killed(self.faulty.world.browser.path)
        elif kind == "leak":
            for _ in range(LEAKED):
                self.faulty.leaked.append(await Tabs(tabs.browser, tabs.site, width=300, height=300).open())
        else:
            await tabs.ask(PAGES[kind])
        for _ in range(100):
            if kind != "popup" or len(tabs.pages) > 1:
                break
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End."""
        await self.inner.close()


def broken(world: Any, faults: int, flight: int, rng: random.Random) -> tuple[Faulty, list[Played]]:
    """So many episodes of a world, each with a fault."""
    some = world.scenarios("train")
    scenarios = [some[k] for k in range(faults)]
    kinds = {s.id: KINDS[k % len(KINDS)] for k, s in enumerate(scenarios)}
    faulty, policy = Faulty(world, kinds, rng), fresh(BaseConfig(width=8, layers=1, heads=1, positions=2**18), ())
    engine = Engine(policy, seed=0, slots=flight)
    runner = Runner(faulty, engine, EpisodeConfig(history="last", last=1), Sampling(max_tokens=64))  # type: ignore[arg-type]
    try:
        asked = [Asked(id=k, group=k, member=0, scenario=s) for k, s in enumerate(scenarios)]
        return faulty, runner.play(asked, script=faulty.script, tell=lambda n, of: say(f"  {world.name}: {n} of {of}"))
    finally:
        runner.close()


def run(faults: int, flight: int, seed: int) -> dict[str, Any]:
    """The faults, half of them in each world, and what became of the episodes."""
    rng, start = random.Random(seed), time.perf_counter()
    worlds: list[Any] = [
        load_world("web/ladder", {"train": faults, "turns": 20}),
        load_world(f"web/{SITES}", {"seeds": faults, "turns": 40}),
    ]
    many = (faults - faults // 2, faults // 2)
    halves = [broken(world, n, flight, rng) for world, n in zip(worlds, many, strict=True)]
    played, injected = [p for _, half in halves for p in half], sum((f.injected for f, _ in halves), Counter[str]())
    browser = worlds[0].browser
    browser.do(lambda: asyncio.sleep(2 * tabs_module.RESTING))
    there: list[Any] = browser._process.contexts
    kept = [t for pool in (*worlds[0].idle.values(), worlds[1].idle, *(f.leaked for f, _ in halves)) for t in pool]
    contexts = [t._context for t in kept]  # pyright: ignore[reportPrivateUsage]
    unknown = len(there) - sum(one in there for one in contexts)  # that no world keeps, and no fault leaked
    return {
        "faults": injected.total(), "kinds": dict(injected), "lost": sum(not p.scored for p in played),
        "zero": sum(p.scored and not p.success for p in played), "again": sum(p.faults for p in played),
        "causes": dict(Counter(p.cause for p in played)), "notes": sorted({p.note for p in played if not p.scored}),
        "contexts_left": unknown, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def main() -> int:
    """Break, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--flight", type=int, default=8)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds after which a page counts as hanging")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tabs_module.ACTING = args.patience
    found = run(args.faults, args.flight, args.seed)
    print(json.dumps({"bench": "web_faults", "flight": args.flight, "seed": args.seed} | found))
    return int(found["lost"] > 0 or found["zero"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
