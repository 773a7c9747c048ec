"""OpenAI Five: teams that learn by playing against themselves and their past, in a small game of lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from operant.control import Agent
from operant.control.settings.ppo import PPOConfig
from operant.data.streams import Streams
from operant.games.elo import Pool
from operant.games.five import Five, FiveConfig
from operant.games.lanes import UNAWARE, Lanes
from operant.games.team import TeamPlay
from operant.games.team_match import points, scripted_player, self_player, standing, yardstick
from operant.recipes.claims import Claim
from operant.recipes.filming import film
from operant.recipes.recipe import Recipe, Trial

WHOLE = FiveConfig(
    games=16, total_steps=800_000, every=48, discount=(0.97, 0.99),
    ppo=PPOConfig(horizon=30, batch=480, epochs=4, lr=3e-3, entropy_coef=0.01, value_coef=0.5),
)  # fmt: skip
TINY = replace(
    WHOLE, games=3, total_steps=800, every=1, memory=8, hidden=(8,), ppo=PPOConfig(horizon=20, batch=120, epochs=1)
)  # fmt: skip
SLIPS = (0.3, 0.5, 0.7)
"""Players made by hand who act by chance so often are what all arms are measured by, fixed before the run."""
ARMS: dict[str, dict[str, Any]] = {
    "five": {}, "alone": {"latest": 1.0}, "selfish": {"spirit": (0.0, 0.0)}, "surgery": {}, "shuffled": {},
}  # fmt: skip


def trial(t: Trial) -> Mapping[str, float]:
    """What the policy takes from players made by hand and from its past selves, and how its strength grew."""
    torch.set_num_threads(1)
    cfg, games = replace(TINY if t.miniature else WHOLE, **ARMS[t.arm]), 4 if t.miniature else 200
    told = dict[str, float]()
    if t.arm == "surgery":  # half of the way in a network of half the width that does not see creeps
        seen = Lanes(1, cfg.heroes).obs_dim
        small = replace(cfg, columns=seen - UNAWARE, memory=cfg.memory // 2, hidden=tuple(h // 2 for h in cfg.hidden))
        five = Five(small, t.seed)
        learn(t, five, cfg.total_steps // 2)
        before = five.agent
        five.surgery(columns=seen, memory=cfg.memory, hidden=cfg.hidden)
        told["changed"] = changed(before, five.agent, t.seed)
    else:
        five = Five(cfg, t.seed, shuffled=t.arm == "shuffled")
    learn(t, five, cfg.total_steps)
    final, past = five.agent, five.pool.past
    curve = [yardstick(one, slips=SLIPS, games=games // 4, seed=10 + k) for k, one in enumerate(past)]
    told["learning"], told["final"] = float(np.mean(curve)), yardstick(final, slips=SLIPS, games=games, seed=90)
    hand = scripted_player(cfg.heroes, 1.0)
    told["over chance"] = points(self_player(final), hand, games=games, seed=91)
    shares = [points(self_player(final), self_player(one), games=games, seed=100 + k) for k, one in enumerate(past)]
    told["least over past"], told["least over early"] = min(shares), min(shares[: (len(past) + 1) // 2])
    told["elo"] = float(standing([*past[::2], final], games=games // 2, seed=200).elo[-1])
    if t.seed == 1:
        shown = TeamPlay(Lanes(1, cfg.heroes), Pool(latest=1.0), Streams(t.seed).numpy("rivals"))
        shown.filmed = True
        film(t, final, shown, "lanes")
    return told


def learn(t: Trial, five: Five, until: int) -> None:
    """So many decisions, with a line for every other self."""
    for row in five.run(until):
        if five.updates % (2 * five.cfg.every) == 0:
            t.say(f"{t.arm}, seed {t.seed}: {five.collect.steps:,} steps, spirit {float(row['schedule/spirit']):.2f}")


def changed(before: Agent, after: Agent, seed: int) -> float:
    """The largest difference in 60 steps between the outputs of two agents, policy's or value's."""
    world, draws, most = Lanes(8), np.random.default_rng(seed), 0.0
    world.reset(seed)
    one, two = torch.zeros(32, before.remembers), torch.zeros(32, after.remembers)
    for _ in range(60):
        rows = torch.from_numpy(world.observe().reshape(32, -1))
        with torch.no_grad():
            p, v, one = before.step(rows[:, : before.spec.obs_dim].contiguous(), one)
            q, w, two = after.step(rows, two)
        most = max(most, float((p.output - q.output).abs().max()), float((v - w).abs().max()))
        world.again(world.step(draws.integers(world.actions, size=(8, 2, 2))).over)
    return most


RECIPE = Recipe(
    name="openai-five",
    title="OpenAI Five",
    source="Berner et al. (2019), Dota 2 with large scale deep reinforcement learning, arXiv:1912.06680",
    paper="PPO with an LSTM learnt Dota 2 as a team of five for ten months, some two million frames every two seconds. "
    "Four games of five were against itself, one against past selves; a team spirit grew from each hero's own reward "
    "to its team's mean; surgery carried it into larger networks. It beat the world champions in April 2019.",
    here="Lanes, a game of our own in place of Dota 2: two heroes a team, 5 × 7 cells, two lanes of creeps, two bases, "
    "60 steps; a hero sees two cells far. An LSTM of 32 units, 800,000 decisions an arm, 16 games at once. So few "
    "games are against the past (some 800) that qualities at the paper's rate of 0.01 hardly move. No assigned lanes, "
    "nothing asynchronous, no people: strength is measured by players made by hand, and by Elo among selves.",
    mechanism="Opponents from the past, drawn by quality, and rewards that become the team's. Without the first it is "
    "`alone`, without the second `selfish`.",
    arms={
        "five": "all of it", "alone": "against itself alone, no past selves", "selfish": "no team spirit",
        "surgery": "half of the way in a network of half the width that does not see creeps, then grown",
        "shuffled": "rewards shuffled among all heroes of all games",
    },
    controls=("alone", "selfish", "shuffled"),
    claims=(
        Claim(text="it takes 90 % of the points from chance", metric="over chance", arm="five", bar=0.9),
        Claim(text="it stands 200 points of Elo above the untrained self", metric="elo", arm="five", bar=200.0),
        Claim(text="where rewards are shuffled it takes 20 points less from players made by hand", metric="final",
              arm="five", over="shuffled", bar=0.2),
        Claim(text="surgery changes no output by more than 1e-5", metric="changed", arm="surgery", bar=1e-5, most=True),
        Claim(text="it takes 70 % of the points from each of its past selves", metric="least over past", arm="five",
              bar=0.7, must=False),
        Claim(text="and from each of those of the first half of its training", metric="least over early", arm="five",
              bar=0.7, must=False),
        Claim(text="it takes more than without a pool from the past self that it takes least from",
              metric="least over past", arm="five", over="alone", bar=0.0, must=False),
        Claim(text="a team spirit that grows learns faster than none: the mean of the curve", metric="learning",
              arm="five", over="selfish", bar=0.0, must=False),
        Claim(text="surgery costs at most 5 points of the final score", metric="final", arm="surgery", over="five",
              bar=-0.05, must=False),
    ),
    trial=trial,
    minutes=20.0,
)  # fmt: skip
