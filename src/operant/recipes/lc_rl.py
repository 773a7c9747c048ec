"""From language to goals: learn the reward that a sentence names, and plan for it in another house."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.mlp import MLP
from operant.control.networks.convolutional import GridCNN
from operant.control.networks.text import Gated
from operant.control.updates import take_step
from operant.data.streams import Streams
from operant.grounded import House, Language, LanguageReward, fit, house, planned, reader, templates
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

HOUSES, TESTS, STEPS, BATCH, LR, SIZE, LIMIT = 300, 200, 600, 16, 5e-3, 32, 40
Act = Callable[[House], Callable[[int], int]]
"""In a house, from a state to an action."""


class Cloned(nn.Module):
    """Four scores from the whole map, with who walks in it, and a sentence that gates its channels."""

    def __init__(self, language: Language, shape: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        channels, height, width = shape
        self.read = reader(language.words, SIZE, generator)
        self.see = GridCNN(channels, height, width, generator)
        self.gate = Gated(self.see.maps[0], self.read, generator)
        self.out = MLP((self.see.features, 4), "relu", out_gain=0.01, generator=generator)

    def forward(self, pictures: Tensor, codes: Tensor) -> Tensor:
        """[B, P + 2, S, S], [B, L] → [B, 4]."""
        said = self.read(codes)
        return self.out(self.see(pictures, partial(self.gate, read=said)))


def cloned(houses: Sequence[House], language: Language, steps: int, streams: Streams) -> Act:
    """What one does who has learnt to copy."""
    net = Cloned(language, houses[0].picture.shape, streams.torch("init"))
    rng, optimizer = streams.numpy("minibatch"), torch.optim.Adam(net.parameters(), 1e-3)
    done = [(h, state, action) for h in houses for state, action in h.walk]
    for _ in range(steps):
        some = [done[int(k)] for k in rng.integers(len(done), size=128)]
        pictures, codes = np.stack([h.seen(s) for h, s, _ in some]), np.stack([h.task.codes for h, _, _ in some])
        scores = net(torch.from_numpy(pictures), torch.from_numpy(codes))
        take_step(optimizer, nn.functional.cross_entropy(scores, torch.tensor([a for *_, a in some])), None)

    def act(h: House) -> Callable[[int], int]:
        codes = torch.from_numpy(h.task.codes[None])
        return lambda state: int(net(torch.from_numpy(h.seen(state)[None]), codes).argmax())

    return act


def explained(houses: Sequence[House], language: Language, steps: int, streams: Streams) -> Act:
    """What one does who has learnt the reward that explains what was done, and plans for it."""
    reward = LanguageReward(language.properties.shape[1], language.words, SIZE, streams.torch("init"))
    fit(reward, [h.task for h in houses], steps=steps, batch=BATCH, lr=LR, generator=streams.numpy("minibatch"))

    def act(h: House) -> Callable[[int], int]:
        made = reward(torch.from_numpy(h.task.cells[None]), torch.from_numpy(h.task.codes[None]))[0]
        policy, row = planned(h.task.mdp, made.double().numpy())[0], h.task.mdp.row
        return lambda state: max(range(4), key=lambda action: policy[row(state, action)])

    return act


def reaches(home: House, choose: Callable[[int], int]) -> bool:
    """Whether one who chooses so comes to what is meant."""
    state, terminal = home.walk[0][0], home.task.mdp.rows.terminal
    for _ in range(LIMIT):
        if terminal[state]:
            break
        state = home.after(state, choose(state))
    return state == home.right


def trial(t: Trial) -> Mapping[str, float]:
    """The share of houses in which what is meant is reached: those of the demonstrations, and others."""
    torch.set_num_threads(1)  # layers this small do not gain by more
    language, streams = templates(), Streams(t.seed)
    rng, tests = streams.numpy("houses"), 4 if t.miniature else TESTS
    shown = [house(language, "train", rng) for _ in range(20 if t.miniature else HOUSES)]
    told = {name: [house(language, split, rng) for _ in range(tests)]
            for name, split in (("other houses", "train"), ("held-out combinations", "combinations"))}  # fmt: skip
    told["houses shown"] = shown[:tests]
    if t.arm == "no sentence":
        heard = [shown[k].task.codes for k in rng.permutation(len(shown))]
        shown = [h._replace(task=replace(h.task, codes=c)) for h, c in zip(shown, heard, strict=True)]
    act = (cloned if t.arm == "cloning" else explained)(shown, language, 4 if t.miniature else STEPS, streams)
    with torch.no_grad():
        return {name: float(np.mean([reaches(h, act(h)) for h in some])) for name, some in told.items()}


RECIPE = Recipe(
    name="lc-rl",
    title="From language to goals",
    source="Fu, Korattikara, Levine and Guadarrama (2019), From language to goals: inverse reinforcement learning for "
    "vision-based instruction following, arXiv:1902.07742",
    paper="In houses of three dimensions a reward was learnt from demonstrations of walking and of moving things, as a "
    "network of picture and sentence, by maximum-entropy inverse reinforcement learning with exact plans. "
    "Optimised anew in other houses it led further than policies that had learnt from the same demonstrations.",
    here="Houses of eight by eight cells with walls and five things of forty, 300 of them with a sentence of our "
    "grammar and one shortest way each; what lies in a cell is told by symbols. Plans are those of the exact solver. "
    "Who copies sees the whole map, and takes as many gradient steps on batches of 128 decisions.",
    mechanism="A reward is learnt, and planned for in each house. Without it what was done is copied: `cloning`.",
    arms={"lc-rl": "a reward of things and sentence, planned for",
          "cloning": "the whole map, gated by the sentence; copies what was done",
          "no sentence": "as the first, but each demonstration has the sentence of another"},
    controls=("no sentence", "cloning"),
    claims=(
        Claim(text="in other houses it reaches what is meant in 80 %", metric="other houses", arm="lc-rl", bar=0.8),
        Claim(text="with sentences of others it is right by chance", metric="other houses", arm="no sentence",
              bar=0.4, most=True),
        Claim(text="in other houses it is right 20 points more often than cloning", metric="other houses", arm="lc-rl",
              over="cloning", bar=0.2, must=False),
        Claim(text="and by combinations of words that were never said", metric="held-out combinations", arm="lc-rl",
              over="cloning", bar=0.2, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=60.0,
)  # fmt: skip
