"""Rewards that a sentence names: maximum-entropy inverse reinforcement learning over many houses, by exact planning.

Each task is a small model, a sentence, and what somebody did. Its reward is a network of what lies in a cell and of the
sentence; its gradient is exact, and in a new house one plans again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import block_diag
from torch import Tensor, nn

from operant.control.mlp import MLP
from operant.env.text import Words
from operant.grounded.reading import reader
from operant.mdp import MDP, occupancy, soft_policy_iteration

Array = NDArray[np.float64]
TEMPERATURE = 0.1
"""τ: at γ = .95 who wanders for ever is worth τ log 4 / (1 − γ) = 2.8 in entropy, which a goal has to exceed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A house, what lies in its cells, a sentence, and where somebody went.

    Attributes:
        mdp: discounted, with a start; its own reward is not read.
        cells: [S, P], what lies where.
        codes: [L], of the sentence.
        entered: [S], Σ γ^t of the cells that were entered, by `visits` of one who knows or from demonstrations.
    """

    mdp: MDP
    cells: NDArray[np.float32]
    codes: NDArray[np.float32]
    entered: Array


class LanguageReward(nn.Module):
    """r(x, l) = w · (relu(A x + a) ∘ (B h(l) + b)): what lies in a cell, weighed by what was read.

    Args:
        properties: P.
        words: the table of the sentences.
        size: H, of each of the two.
        generator: where the weights come from.

    Source: Fu, Korattikara, Levine and Guadarrama (2019), From language to goals, section 4.2 and figure 3.
    """

    def __init__(self, properties: int, words: Words, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.read = reader(words, size, generator)
        self.see = MLP((properties, size), "relu", out_gain=2.0**0.5, generator=generator)
        self.told = MLP((size, size), "relu", out_gain=1.0, generator=generator)
        self.out = MLP((size, 1), "relu", out_gain=1.0, generator=generator)

    def forward(self, cells: Tensor, codes: Tensor) -> Tensor:
        """[B, S, P], [B, L] → [B, S]."""
        said = self.told(self.read(codes).whole)
        return self.out(self.see(cells).relu() * said.unsqueeze(1)).squeeze(-1)


def planned(mdp: MDP, reward: Array) -> tuple[Array, Array]:
    """The soft optimal policy [L] of a reward of entering cells [S], and Σ γ^t of the cells that it enters, [S]."""
    its = mdp.replace(rows=replace(mdp.rows, reward=mdp.matrix @ reward, outcome_reward=None))
    policy = soft_policy_iteration(its, temperature=TEMPERATURE).policy
    return policy, mdp.matrix.T @ occupancy(its, policy)


def together(models: Sequence[MDP]) -> MDP:
    """Models with a start, side by side as one, which begins in each as likely: they are planned for at once."""
    first = np.cumsum([0, *(m.num_states for m in models[:-1])])
    return MDP(
        block_diag([m.matrix for m in models], format="csr"),
        np.zeros(sum(m.num_rows for m in models)),
        models[0].discount,
        pairs=(
            np.concatenate([m.row_state + n for m, n in zip(models, first, strict=True)]),
            np.concatenate([m.rows.action for m in models]),
        ),
        terminal=np.concatenate([m.rows.terminal for m in models]),
        start=np.concatenate([m.start for m in models if m.start is not None]) / len(models),
    )


def slopes(tasks: Sequence[Task], rewards: Array) -> Array:
    """∂(−τ log likelihood)/∂r(s) of each task, [B, S]: Σ γ^t of what the plan enters, less what somebody entered.

    It is the gradient of the convex dual of maximum causal entropy (Ziebart 2010, section 6.2).
    """
    entered = planned(together([task.mdp for task in tasks]), rewards.ravel())[1].reshape(rewards.shape)
    return len(tasks) * entered - np.stack([task.entered for task in tasks])


def fit(
    reward: LanguageReward, tasks: Sequence[Task], *, steps: int, batch: int, lr: float, generator: np.random.Generator
) -> list[float]:
    """Descend these slopes by Adam, so many tasks at a time; returns of each step how far the plans were off.

    Tasks have equally many cells.
    """
    optimizer, off = torch.optim.Adam(reward.parameters(), lr), list[float]()
    for _ in range(steps):
        some = [tasks[int(k)] for k in generator.choice(len(tasks), batch, replace=False)]
        cells, codes = (
            torch.from_numpy(np.stack(each)) for each in zip(*((t.cells, t.codes) for t in some), strict=True)
        )
        made = reward(cells, codes)
        slope = slopes(some, made.detach().double().numpy())
        optimizer.zero_grad()
        made.backward(torch.from_numpy(slope / batch).to(made.dtype))
        optimizer.step()
        off.append(float(np.abs(slope).sum(1).mean()))
    return off
