"""LEARN: sentences shape rewards, by whether what was done so far is what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.data.streams import Streams
from operant.grounded import Relatedness, Screens, Shaped, auc, clip, fit_relatedness, judged, told
from operant.grounded.screens import ACTIONS, WORDS
from operant.recipes.claims import Claim
from operant.recipes.filming import filmed
from operant.recipes.recipe import Recipe, Trial

CLIPS, TEACHING, BATCH, STEPS, TASKS, DISCOUNT = 3_000, 3_000, 64, 60_000, 6, 0.99
SETTINGS: dict[str, Any] = {
    "env.num": 8, "algo.horizon": 64, "algo.epochs": 4, "algo.batch": 64, "algo.lr": 7e-4, "algo.discount": DISCOUNT,
    "algo.entropy_coef": 0.01,
}  # fmt: skip


@cache
def related(seed: int, small: bool) -> tuple[Relatedness, float]:
    """A classifier taught by clips of other screens, and its area under the curve on clips that it has not seen."""
    torch.set_num_threads(1)  # layers this small do not gain by more
    streams = Streams(seed)
    rng = streams.numpy("clips")
    clips = [clip(rng) for _ in range(60 if small else CLIPS)]
    net, cut = Relatedness(ACTIONS, WORDS, 16 if small else 32, streams.torch("init")), len(clips) * 9 // 10
    fit_relatedness(net, clips[:cut], steps=20 if small else TEACHING, batch=BATCH, lr=1e-3, streams=streams)
    return net, auc(net, clips[cut:], 200 if small else 2_000, streams.numpy("test"))


def potential(t: Trial, net: Relatedness, task: Screens, other: Screens) -> Callable[[Tensor], Tensor] | None:
    """What an arm says of the actions of an episode so far."""
    rng = Streams(t.seed).numpy("sentence", task.piece)
    match t.arm:
        case "learn":
            return partial(net.potential, text=told(task.screen.way(task.piece), rng))
        case "wrong sentence":
            return partial(net.potential, text=told(other.screen.way(other.piece), rng))
        case _:
            return None


def trial(t: Trial) -> Mapping[str, float]:
    """How many episodes of the trainings end well, over tasks of two screens or more, each with a sentence."""
    net, area = related(t.seed, t.miniature)
    shares = list[float]()
    for k in range(2 if t.miniature else TASKS):
        number, piece = 1_000 * t.seed + k // 3, k % 3
        task, other = Screens(task=number, piece=piece), Screens(task=number + 500, piece=(piece + 1) % 3)
        says = potential(t, net, task, other)
        made = judged(
            partial(Screens, task=number, piece=piece),
            lambda _, says=says: Shaped(says, ACTIONS, DISCOUNT) if says else None,
            seed=t.seed, total_steps=1_024 if t.miniature else STEPS, settings=SETTINGS,
        )  # fmt: skip
        shares.append(made.share)
        t.say(f"{t.arm}, task {k}: {made.share:.3f}")
        if k == 0:
            filmed(t, made.agent, "operant.grounded:Screens", task=number, piece=piece)
    return {"success": float(np.mean(shares)), "auc": area}


RECIPE = Recipe(
    name="learn",
    title="LEARN: language shapes rewards",
    source="Goyal, Niekum and Mooney (2019), Using natural language for reward shaping in reinforcement learning, "
    "arXiv:1903.02020",
    paper="For pieces of Montezuma's Revenge people wrote what a clip of somebody's play shows. A classifier learnt "
    "whether the frequencies of actions fit a sentence; what it says of an agent's actions so far became a potential "
    "that shapes a sparse reward. On 15 tasks the agent reached the goal 60 % more often than without sentences.",
    here="Screens of eleven by eleven cells of our own with a key, a door and six actions, 3,000 clips with a tenth of "
    "wrong moves and sentences of a grammar in place of people's; six tasks a seed on two screens that no clip shows, "
    "each with one sentence, 60,000 steps of PPO with the paper's settings but 8 copies of 64 steps. "
    "The potential is 0 behind an end, so that the best policies of the process of histories stay the same.",
    mechanism="γ Φ(h′) − Φ(h), with Φ = P(related) − P(not) of the actions so far and the sentence. Without it the "
    "goal's reward is all there is: `goal alone`.",
    arms={"learn": "shaped by the task's sentence", "goal alone": "1 at the goal",
          "wrong sentence": "shaped by the sentence of another task"},
    controls=("goal alone", "wrong sentence"),
    claims=(
        Claim(text="the classifier ranks related pairs first: an area under the curve of 0.85", metric="auc",
              arm="learn", bar=0.85),
        Claim(text="sentences of other tasks give no gain: at most 1.1 times the successes of the goal alone",
              metric="success", arm="wrong sentence", over="goal alone", ratio=True, bar=1.1, most=True),
        Claim(text="with its sentence an agent succeeds 1.3 times as often while it learns", metric="success",
              arm="learn", over="goal alone", ratio=True, bar=1.3, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    minutes=60.0,
)  # fmt: skip
