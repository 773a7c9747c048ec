"""AlphaGo's pipeline on Connect-4: imitation, REINFORCE against a pool, a value network, and a search of all three."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from operant.data.streams import Streams
from operant.games import alphago as go
from operant.games.alphago import Mixed, Record
from operant.games.board import game
from operant.games.match import Player, games, sampled_player, versus
from operant.games.network import BoardPolicy, BoardSpec
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial
from operant.search.tree import Search

GAME, DEPTH, SLIP, LR = "connect4", 4, 0.15, 0.1
"""The expert looks so many plies ahead, and moves at random so often: its games would be alike else."""
SHOWN = {False: (3_000, 300), True: (8, 4)}
"""The expert's games that are imitated, and those that are held back."""
POOL = {False: (400, 128, 40), True: (2, 8, 2)}
"""Updates, games of each, and updates after which a copy joins the pool."""


def trial(t: Trial) -> Mapping[str, float]:
    """Every stage, and what becomes of it when a part is taken away."""
    torch.set_num_threads(1)
    streams, small = Streams(t.seed), t.miniature
    draws = streams.numpy("policy")

    def net(name: str, *hidden: int) -> BoardPolicy:
        spec = BoardSpec(game=GAME, hidden=tuple(16 for _ in hidden) if small else hidden)
        return BoardPolicy(spec, streams.torch("init", *name.encode()))

    imitator, fast, depth = net("imitator", 256, 256), net("fast"), 2 if small else DEPTH
    teacher = go.expert(depth, board := imitator.board, SLIP)
    shown, kept = (go.replayed(board, games(board, teacher, teacher, n, draws)[2]) for n in SHOWN[small])
    for policy in (imitator, fast):
        go.fit(policy, shown, go.imitates, steps=20 if small else 4_000, batch=256, lr=2e-3, generator=draws)
    truth = go.expert(depth, board, 0.0)(kept.states, draws)
    told = {"top-1": agreement(imitator, kept, truth), "fast top-1": agreement(fast, kept, truth)}
    t.say(f"{t.arm}, seed {t.seed}: imitation finds {told['top-1']:.1%} of the expert's moves")

    strong = deepcopy(imitator)

    def loss(logp: Tensor, value: Tensor, record: Record) -> Tensor:
        return go.reinforces(logp, value, shuffled(record, draws) if t.arm == "shuffled" else record)

    updates, num, every = POOL[small]
    for _ in go.against_pool(strong, updates=updates, num=num, every=every, lr=LR, generator=draws, loss=loss):
        pass
    told["RL over SL"] = score(sampled_player(strong), sampled_player(imitator), 8 if small else 400, draws)
    t.say(f"{t.arm}, seed {t.seed}: the policy of the pool takes {told['RL over SL']:.1%} from the imitator")
    nets = net("value", 256, 256), net("value", 256, 256)
    return told if t.arm == "shuffled" else told | values(t, imitator, fast, strong, nets, draws)


def values(
    t: Trial, imitator: BoardPolicy, fast: BoardPolicy, strong: BoardPolicy, nets: tuple[BoardPolicy, BoardPolicy],
    draws: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """The value network from one position of a game and from all, and searches with and without each part."""
    small = t.miniature
    size, steps = (40, 20) if small else (100_000, 4_000)
    one, test = (go.value_positions(imitator, strong, n, draws) for n in (size, size // 8))
    many = go.value_positions(imitator, strong, size // 8, draws, every=True)
    count = min(len(one.actions), len(many.actions))
    gap, err = list[float](), list[float]()
    for net, record in zip(nets, (one, many), strict=True):
        part = record.at(np.arange(count))  # as many positions of the one as of the other
        go.fit(net, part, go.foresees, steps=steps, batch=256, lr=2e-3, generator=draws)
        err.append(mse(net.evaluate(test.states)[1], test.outcome))
        gap.append(err[-1] - mse(net.evaluate(part.states)[1], part.outcome))
    played = mse(go.played_out(fast, test.states, draws), test.outcome)
    told = {"error": err[0], "error, all positions": err[1], "error over a game's": err[0] / max(played, 1e-9)}
    told, value = told | {"gap": gap[0], "gap, all over one": gap[1] - gap[0]}, nets[0]
    t.say(f"seed {t.seed}: the value network errs by {err[0]:.3f}, a game played out by {played:.3f}")
    search, count = Search(simulations=8 if small else 128, explore=5.0), 4 if small else 200
    whole = Mixed(imitator, value, fast, 0.5, search)
    for name, other in {
        "value alone": Mixed(imitator, value, fast, 0.0, search),
        "games alone": Mixed(imitator, value, fast, 1.0, search),
        "RL priors": Mixed(strong, value, fast, 0.5, search),
        "SL": sampled_player(imitator),
        "RL": sampled_player(strong),
    }.items():
        told[f"search over {name}"] = score(whole, other, count, draws)
        t.say(f"seed {t.seed}: the whole search takes {told[f'search over {name}']:.1%} from {name}")
    return told


def agreement(policy: BoardPolicy, record: Record, truth: np.ndarray) -> float:
    """The share of positions at which the likeliest move is the expert's."""
    return float((policy.evaluate(record.states)[0].argmax(1) == truth).mean())


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.square(a - b).mean())


def score(one: Player, other: Player, count: int, draws: np.random.Generator) -> float:
    """The share of points that one takes in so many games, a draw half."""
    return float((versus(game(GAME), one, other, count, draws)[0].mean() + 1.0) / 2.0)


def shuffled(record: Record, draws: np.random.Generator) -> Record:
    """Outcomes that say nothing of the moves."""
    return record._replace(outcome=draws.permutation(record.outcome))


RECIPE = Recipe(
    name="alphago",
    title="AlphaGo",
    source="Silver et al. (2016), Mastering the game of Go with deep neural networks and tree search, Nature 529, 484",
    paper="A network of 13 layers learnt 30 million positions of human experts (57 % of their moves), then played "
    "10,000 updates of 128 games against past selves, and beat the first in 80 % of games. A value network learnt one "
    "position of each of 30 million games. Search with both, and games played out, beat a human champion 5 to 0.",
    here="Connect-4. The experts are alpha-beta players of four plies, not people, who slip in 15 % of moves: 3,000 "
    "games. Perceptrons of two layers, 400 updates of 128 games, 100,000 games for values, 128 simulations a move.",
    mechanism="Outcomes weigh what was played: shuffled among moves they teach nothing. Values and games played out "
    "are mixed at each leaf, and each is taken away.",
    arms={"alphago": "all stages", "shuffled": "outcomes shuffled among the moves that REINFORCE learns from"},
    controls=("shuffled",),
    claims=(
        Claim(text="imitation finds half of the expert's moves", metric="top-1", arm="alphago", bar=0.5),
        Claim(text="REINFORCE against the pool takes 65 % from the imitator, in 400 games", metric="RL over SL",
              arm="alphago", bar=0.65),
        Claim(text="and does not where outcomes are shuffled", metric="RL over SL", arm="shuffled", bar=0.55,
              most=True),
        Claim(text="the value network errs less than a game played out, which costs more", metric="error over a game's",
              arm="alphago", bar=1.0, most=True),
        Claim(text="values and games mixed take 55 % from values alone", metric="search over value alone",
              arm="alphago", bar=0.55, must=False),
        Claim(text="and 55 % from games alone", metric="search over games alone", arm="alphago", bar=0.55, must=False),
        Claim(text="the imitator's priors serve the search better than the stronger policy's",
              metric="search over RL priors", arm="alphago", bar=0.5, must=False),
        Claim(text="learning from all positions of a game overfits more", metric="gap, all over one", arm="alphago",
              bar=0.0, must=False),
        Claim(text="search takes 60 % from the policy that guides it", metric="search over SL", arm="alphago", bar=0.6),
        Claim(text="and from the stronger policy", metric="search over RL", arm="alphago", bar=0.6, must=False),
    ),
    trial=trial,
    minutes=30.0,
)  # fmt: skip
