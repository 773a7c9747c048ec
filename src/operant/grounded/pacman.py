"""A planner, a controller and an answerer: walk by copying and by reward, stop, and answer from what was seen last.

Source: Das, Datta, Gkioxari, Lee, Parikh and Batra (2018), Embodied question answering, arXiv:1711.11543, section 4
(PACMAN).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from operant.control.learned_reward import layout_of
from operant.control.mlp import MLP
from operant.control.networks.memory import Memory
from operant.control.networks.text import Reading
from operant.control.networks.trunk import Trunk
from operant.control.updates import take_step
from operant.env.spaces import Observations
from operant.grounded.asked import COLOURS, STOP, Asked
from operant.math.advantage import reward_to_go
from operant.math.baseline import exponential_average
from operant.math.logprob import bernoulli_logp, categorical_logp
from operant.math.objective import nll, policy_gradient

ACTIONS, FRAMES, CLIP = STOP + 1, 5, 1.0


class Walks(NamedTuple):
    """Episodes side by side: rows of observations [N, T, D], actions [N, T] int64, where the planner chose them and
    where there was a decision [N, T] bool, rewards [N, T], the right answers [N]; of each episode, [N], how far it was
    in the beginning, in the end and at least, whether it stopped by itself, ended in the right room, ever was there."""

    rows: Tensor
    action: Tensor
    planned: Tensor
    acted: Tensor
    reward: Tensor
    answer: Tensor
    first: Tensor
    last: Tensor
    least: Tensor
    stopped: Tensor
    ended: Tensor
    entered: Tensor

    def some(self, index: Any) -> Walks:
        """Those of an index."""
        return Walks(*(x[index] for x in self))


class Pacman(nn.Module):
    """π(a | history) in two levels, and P(answer | the last five frames, question).

    The planner, a GRU over question, frame and last action, chooses an action. After each step the controller, which
    sees the new frame and what the planner had in mind, does it once more or gives back; after `most` in a row it has
    to. The planner's GRU steps only where it is asked. The answerer weighs frames by how they fit the question.

    Args:
        observations: of `Asked`.
        size: H, units of the planner, of words and of what frames are compared by.
        most: an action is done at most so often for one decision of the planner; 1 is a planner alone.
        generator: where the weights come from.
    """

    def __init__(self, observations: Observations, size: int, most: int, generator: torch.Generator) -> None:
        super().__init__()
        layout, reading = layout_of(observations, "grid-cnn"), Reading("gru", size, "concat")
        self.walks, self.looks = (Trunk(layout, "grid-cnn", None, None, "", 0, generator, reading) for _ in range(2))
        inputs, self.size, self.most = self.walks.features + ACTIONS, size, most
        self.memory = Memory("gru", inputs, size, generator)
        self.planner = MLP((size, ACTIONS), "relu", out_gain=0.01, generator=generator)
        self.controller = MLP((size + inputs, size, 1), "relu", out_gain=0.01, generator=generator)
        self.fits = MLP((self.looks.features - size, size), "relu", out_gain=1.0, generator=generator)
        self.answerer = MLP((2 * size, size, len(COLOURS)), "relu", out_gain=1.0, generator=generator)

    def logp(self, its: Walks) -> Tensor:
        """log of the probability of each step, [N, T]: that of going on, or of giving back and of what is planned.

        Where the planner has to be asked, in the beginning and after `most` equal steps, giving back is certain.
        """
        n, steps = its.action.shape
        past = functional.one_hot(its.action, ACTIONS).float()[:, :-1]
        x = torch.cat([self.walks(its.rows), torch.cat([past.new_zeros(n, 1, ACTIONS), past], 1)], -1)
        order = (~its.planned).to(torch.uint8).argsort(dim=1, stable=True)  # the planner's steps first, in their order
        nothing = x.new_zeros(n, self.size)
        thought = self.memory(x.gather(1, _wide(order, x)), nothing, torch.zeros_like(its.planned))
        mind = thought.gather(1, _wide(its.planned.long().cumsum(1) - 1, thought))
        before = torch.cat([nothing[:, None], mind[:, :-1]], 1)
        goes_on = bernoulli_logp(self.controller(torch.cat([before, x], -1)), (~its.planned).float().unsqueeze(-1))
        plans = categorical_logp(self.planner(mind), its.action)
        begun = torch.where(its.planned, torch.arange(steps), 0).cummax(1).values  # the planner's last step
        repeats = torch.arange(steps) - begun + 1
        free = functional.pad(repeats[:, :-1] < self.most, (1, 0))
        return torch.where(its.planned, plans, 0.0) + torch.where(free, goes_on, 0.0)

    @torch.no_grad()
    def step(self, rows: Tensor, mind: Tensor, past: Tensor, repeats: Tensor, generator: torch.Generator) -> Any:
        """Draw one step of N: the action, whether the planner chose it, and what goes into the next step.

        `mind` is [N, H]; `past` [N] the last action, −1 in the beginning; `repeats` [N] how often it was done.
        """
        x = torch.cat([self.walks(rows), (past[:, None] == torch.arange(ACTIONS)).float()], -1)
        again = self.controller(torch.cat([mind, x], -1)).squeeze(-1).sigmoid()
        goes_on = (torch.rand(len(x), generator=generator) < again) & (repeats > 0) & (repeats < self.most)
        thought = self.memory.step(x, mind)[0]
        chosen = torch.multinomial(self.planner(thought).softmax(-1), 1, generator=generator).squeeze(1)
        action = torch.where(goes_on, past, chosen)
        return action, ~goes_on, torch.where(goes_on[:, None], mind, thought), torch.where(goes_on, repeats + 1, 1)

    def answers(self, its: Walks, blind: bool = False) -> Tensor:
        """Logits of the answers, [N, C]; `blind` hears the question alone."""
        end = its.acted.sum(1, keepdim=True) - 1
        index = (end - torch.arange(FRAMES - 1, -1, -1)).clamp(min=0)
        found = self.looks(its.rows.gather(1, _wide(index, its.rows)))  # [N, 5, F]
        seen, said = found[..., : -self.size], found[:, 0, -self.size :]
        frames = self.fits(seen * (not blind))
        weight = (frames @ said.unsqueeze(-1)).div(self.size**0.5).softmax(1)
        return self.answerer(torch.cat([(weight * frames).sum(1), said], -1))


def _wide(index: Tensor, like: Tensor) -> Tensor:
    """[N, K] → [N, K, F]."""
    return index.unsqueeze(-1).expand(-1, -1, like.shape[-1])


def chunks(action: Tensor, most: int) -> Tensor:
    """Where a planner is asked, [N, T], that does what these actions are: where they change, or after `most` equal."""
    planned, run = torch.ones_like(action, dtype=torch.bool), torch.ones_like(action[:, 0])
    for t in range(1, action.shape[1]):
        same = (action[:, t] == action[:, t - 1]) & (run < most)
        planned[:, t], run = ~same, torch.where(same, run + 1, 1)
    return planned


@torch.no_grad()
def walk(world: Asked, agent: Pacman | None, generator: torch.Generator, most: int = 1) -> Walks:
    """An episode of each copy, by an agent, or by shortest ways in chunks of at most so many."""
    n, seen, (obs, _) = world.num_envs, Observations(world.single_observation_space), world.reset()
    answer, first = world.answer.copy(), world.left()
    alive, told, least, entered = np.ones(n, np.bool_), list[tuple[Any, ...]](), first, np.zeros(n, np.bool_)
    last, ended, stopped = first.copy(), entered.copy(), entered.copy()
    mind, past, repeats = torch.zeros(n, agent.size if agent else 0), torch.full((n,), -1), torch.zeros(n).long()
    while alive.any():
        rows = torch.from_numpy(seen.batch(obs, n))
        if agent is None:
            past, planned = torch.from_numpy(world.shortest()), torch.ones(n, dtype=torch.bool)
        else:
            past, planned, mind, repeats = agent.step(rows, mind, past, repeats, generator)
        obs, reward, stops, cut, _ = world.step(past.numpy())
        told.append((rows, past, planned, torch.from_numpy(alive.copy()), torch.from_numpy(reward)))
        last, ended = np.where(alive, world.far, last), np.where(alive, world.inside, ended)
        least = np.where(alive, np.minimum(least, world.far), least)
        entered, stopped = entered | (alive & world.inside), stopped | (alive & stops)
        alive = alive & ~(stops | cut)
    steps = [torch.stack(x, 1) for x in zip(*told, strict=True)]
    if agent is None:
        steps[2] = chunks(steps[1], most)
    of_each = (answer, first, last, least, stopped, ended, entered)
    return Walks(*steps, *(torch.from_numpy(x) for x in of_each))


def imitate(
    agent: Pacman, its: Walks, *, steps: int, batch: int, lr: float, rng: np.random.Generator, blind: bool = False
) -> float:  # fmt: skip
    """Steps up log π of what was done and log P of the right answers; returns the last share of those."""
    optimizer, right = torch.optim.Adam(agent.parameters(), lr), list[float]()
    for _ in range(steps):
        some = its.some(torch.from_numpy(rng.integers(len(its.answer), size=batch)))
        answers = agent.answers(some, blind)
        loss = nll(agent.logp(some), some.acted)[0] + functional.cross_entropy(answers, some.answer)
        take_step(optimizer, loss, CLIP)
        right.append(float((answers.argmax(1) == some.answer).float().mean()))
    return float(np.mean(right[-max(1, steps // 10) :]))


def reinforce(
    agent: Pacman, world: Asked, *, updates: int, lr: float, discount: float, grown: float,
    generator: torch.Generator,
) -> None:  # fmt: skip
    """REINFORCE of planner and controller, by steps nearer and 1 for a right answer at the end; the answerer stays.

    The baseline is a running mean of returns. Episodes begin at most 3 steps away at first, and from anywhere after a
    share `grown` of the updates.
    """
    walkers = nn.ModuleList([agent.walks, agent.memory, agent.planner, agent.controller])
    optimizer, baseline = torch.optim.Adam(walkers.parameters(), lr), None
    for k in range(updates):
        world.farthest = 3 + int(30 * min(1.0, k / (grown * updates)))
        its = walk(world, agent, generator)
        with torch.no_grad():
            right = (agent.answers(its).argmax(1) == its.answer).float()
        ends = functional.pad(its.acted[:, 1:], (0, 1)) ^ its.acted
        gain = its.reward + torch.where(ends, right[:, None], 0.0)
        returns = reward_to_go(gain, ends, torch.zeros_like(ends), its.acted, discount=discount)
        baseline = exponential_average(baseline, returns, its.acted, rate=0.05)
        loss, _ = policy_gradient(agent.logp(its), returns - baseline, its.acted)
        take_step(optimizer, loss, CLIP)
