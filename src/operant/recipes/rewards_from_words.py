"""Rewards from language in context: what somebody wants, from what he says of three flights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch

from operant.data.streams import Streams
from operant.env.text import Words, words_of
from operant.grounded import Game, Grounding, Posterior, Round, grammar, people, prior, teach
from operant.grounded.flights import FEATURES
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

MODELS, STEPS, BATCH, LR, SIZE, BANK, PARTICLES, MENUS, BETA = 3, 600, 64, 2e-3, 32, 300, 1_000, 200, 1.0
LAMBDA = {"full": 0.5, "action only": 1.0, "reward only": 0.0, "blind": 0.5}
Data = tuple[list[Round], list[Game]]


def data(t: Trial) -> Data | None:
    """Rounds and games of an arm; None where people's are not at hand."""
    if t.arm.endswith("templates"):
        return grammar(Streams(t.seed).numpy("grammar"), 200 if t.miniature else 2_000, 90)
    if "OPERANT_DATA" not in os.environ:
        t.say(f"{t.arm}: people's words are not at hand (OPERANT_DATA); a grammar's have rows of their own")
        return None
    return people()


Taught = tuple[list[tuple[Grounding, Grounding]], list[str]]
_KEPT: dict[tuple[bool, bool, int], Taught] = {}


def taught(t: Trial, rounds: Sequence[Round]) -> Taught:
    """Listeners and speakers, and the bank: short sentences without a digit."""
    key = (t.arm.endswith("templates"), t.miniature, t.seed)
    if key not in _KEPT:
        streams, n = Streams(t.seed), max(len(words_of(each.text)) for each in rounds)
        table = Words(sorted({w for each in rounds for w in words_of(each.text)}), max(n, 60))
        groups = list[tuple[Grounding, Grounding]]()
        for k in range(1 if t.miniature else MODELS):
            made = [Grounding(table, len(FEATURES), SIZE, streams.torch(name, k)) for name in ("listener", "speaker")]
            teach(made[0], made[1], rounds, steps=5 if t.miniature else STEPS, batch=BATCH, lr=LR,
                  rng=streams.numpy("teach", k))  # fmt: skip
            groups.append((made[0], made[1]))
        short = sorted({x.text for x in rounds if len(x.text.split()) <= 8 and not any(map(str.isdigit, x.text))})
        _KEPT[key] = groups, [*streams.numpy("bank").permutation(short)[: 20 if t.miniature else BANK]]
    return _KEPT[key]


@cache
def menus(seed: int, games: int) -> tuple[int, ...]:
    """Which rounds of other games are the options to choose from."""
    return tuple(Streams(seed).numpy("menus").integers(games, size=MENUS).tolist())


def right(theta: np.ndarray, game: Game, others: Sequence[Round]) -> float:
    """How often weights choose the option that is best for who plays the game."""
    worth, guess = (np.stack([each.options @ w for each in others]) for w in (game[0].weights, theta))
    told = np.sort(worth, 1)
    clear = told[:, -1] > told[:, -2] + 1e-9
    return float((worth.argmax(1) == guess.argmax(1))[clear].mean())


def trial(t: Trial) -> Mapping[str, float]:
    """How often the option that is best for a speaker is chosen of others, after one sentence of his and after all."""
    torch.set_num_threads(1)  # layers this small do not gain by more
    found = data(t)
    if found is None:
        return {}
    rounds, games = found
    groups, bank = taught(t, rounds)
    streams = Streams(t.seed)
    rng, theta = (
        streams.numpy("shuffle"),
        prior(50 if t.miniature else PARTICLES, len(FEATURES), streams.numpy("prior")),
    )
    belief = Posterior(groups, bank, theta, beta=BETA, lam=LAMBDA[t.arm.removesuffix(", templates")])
    everyone = [each for game in games for each in game]
    first, last, each_time = list[float](), list[float](), list[float]()
    for game in games[: 3 if t.miniature else None]:
        belief.forget()
        own = {id(each) for each in game}
        others = [x for x in (everyone[k] for k in menus(t.seed, len(everyone))) if id(x) not in own]
        for each in game:
            said = each.text if t.arm != "blind" else everyone[int(rng.integers(len(everyone)))].text
            belief.hear(said, each.options)
            each_time.append(right(belief.mean, game, others))
            if each is game[0]:
                first.append(each_time[-1])
        last.append(each_time[-1])
    return {
        "held out": float(np.mean(each_time)),
        "after one": float(np.mean(first)),
        "at the end": float(np.mean(last)),
    }


RECIPE = Recipe(
    name="rewards-from-words",
    title="Rewards from language in context",
    source="Lin, Fried, Klein and Dragan (2022), Inferring rewards from language in context, arXiv:2204.02515",
    paper="People who were told what they want of a flight spoke to somebody who was to book one of three. A pragmatic "
    "speaker explains the words both by the option that they point at and by the weights that they tell; inverted, it "
    "chose the best option of new ones in 59.1 % (52.8 by what words point at alone, 57.8 by what they tell alone).",
    here="The paper's 2,248 rounds to learn from and the 90 games of its evaluation; options to choose from are 200 "
    "rounds of other games. Three recurrent listeners and speakers of 32 units, a bank of 300 short sentences that "
    "were taught, 1,000 particles of a uniform prior, β = 1. Beside them rounds of a grammar of our own. The "
    "paper's figures are of its own options and models, and no bar here.",
    mechanism="Both terms of the speaker: λ = ½. With one of them alone words only point (λ = 1) or only tell (λ = 0).",
    arms={"full": "points and tells", "action only": "points at an option", "reward only": "tells what counts",
          "blind": "sentences of other rounds", "full, templates": "both, a grammar's words",
          "action only, templates": "points, a grammar's words", "reward only, templates": "tells, a grammar's words"},
    controls=("action only", "reward only", "blind"),
    claims=(
        Claim(text="in new options it chooses the best one in half of all cases (a third by chance)", metric="held out",
              arm="full", bar=0.5),
        Claim(text="sentences of other rounds say little", metric="held out", arm="blind", bar=0.45, most=True),
        Claim(text="by a grammar's words it is right in 60 %", metric="held out", arm="full, templates", bar=0.6),
        *(Claim(text=f"both terms are worth 2 points over {other}{words and ', by a grammar'}", metric="held out",
                arm=f"full{words}", over=f"{other}{words}", bar=0.02, must=False)
          for words in ("", ", templates") for other in ("action only", "reward only")),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=40.0,
)  # fmt: skip
