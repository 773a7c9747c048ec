"""Tree search guided by a policy and a value: PUCT, many trees at once, one batched call of the model a step.

Between search and model pass two small records, as in mctx (Babuschkin et al. 2020): a `Root`, and a `Reply` for each
edge that is opened. A game of two players who move in turn has the discount −1: what is good for one is bad for the
other. So the search knows neither players nor rules, and serves a model of one agent as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.search import tree_kernels
from operant.search.tree_kernels import Nodes

Array = NDArray[Any]


class Root(NamedTuple):
    """N states to search from, and what the model says of them."""

    prior: Array  # [N, A] probabilities; above 0 exactly where an action is legal
    value: Array  # [N] to whom is to act
    state: Array  # [N, ...] whatever the model takes


class Reply(NamedTuple):
    """What the model says of B steps."""

    reward: Array  # [B] to whom acted
    discount: Array  # [B] of the value behind the step: −1 where the other player acts then, 0 where all is over
    prior: Array  # [B, A] behind the step, as in `Root`; not read where all is over
    value: Array  # [B] behind the step, to whom is to act there; not read where all is over
    state: Array  # [B, ...] behind the step


Model = Callable[[Array, Array], Reply]
"""States [B, ...] and actions [B] to what follows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How trees are searched.

    Args:
        simulations: walks from the root.
        leaves: of these so many go down each tree before the model is asked: larger batches, a coarser search.
        explore: c of PUCT; AlphaZero's 1.25 is for values within 0 and 1, which is 2.5 for values within −1 and 1.
        base: visits after which c grows.
        reduction: by how much an action that was not tried counts less than the node it leaves.
        virtual_loss: what each walk on its way counts as lost meanwhile, which drives others elsewhere.
        noise: share of the root's prior that Dirichlet noise takes.
        alpha: of that noise; about 10 over the number of legal moves.
        proofs: take exact values up: a node is proven where an action to a proven node reaches `most`, or where all of
            its actions are. Ends at a tree whose root is proven. For deterministic models.
        most: the highest value that there is.

    Raises:
        ConfigError: if a number is out of its range.

    Source: Silver et al. (2018), A general reinforcement learning algorithm that masters chess, shogi, and Go through
    self-play, Science 362, and its pseudocode; Winands et al. (2008), Monte-Carlo tree search solver, for proofs.
    """

    simulations: int
    leaves: int = 1
    explore: float = 2.5
    base: float = 19_652.0
    reduction: float = 0.0
    virtual_loss: float = 1.0
    noise: float = 0.0
    alpha: float = 1.0
    proofs: bool = False
    most: float = 1.0

    def __post_init__(self) -> None:
        for name in ("simulations", "leaves"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give at least 1")
        for name in ("explore", "reduction", "virtual_loss"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a number of at least 0")
        if not 0.0 <= self.noise <= 1.0 or not self.alpha > 0.0 or not self.base > 0.0:
            raise ConfigError("noise must lie within 0 and 1, alpha and base above 0")


class Found(NamedTuple):
    """What a search found at its roots."""

    visits: Array  # [N, A] int32
    q: Array  # [N, A] float64, NaN where an action was not tried
    value: Array  # [N] mean of the model's value and all that came up, or the proven one
    proven: Array  # [N] bool, whether the value is exact
    exact: Array  # [N, A] bool, whether q is

    def policy(self) -> Array:
        """[N, A] the share of visits; where proofs were looked for, proven actions have few."""
        return self.visits / self.visits.sum(1, keepdims=True)

    def best(self) -> Array:
        """[N] the action of the most visits, then of the larger q; before it one whose exact q is no less."""
        q, rows = np.where(np.isnan(self.q), -np.inf, self.q), np.arange(len(self.q))
        most = np.where(self.exact, -1.0, self.visits + 1e-6 * np.tanh(q)).argmax(1)
        sure = np.where(self.exact, q, -np.inf)
        surest = sure.argmax(1)
        better = self.exact.any(1) & (self.exact[rows, most] | (sure[rows, surest] >= q[rows, most]))
        return np.where(better, surest, most)

    def sample(self, temperature: Array | float, generator: np.random.Generator) -> Array:
        """[N] actions with probability ∝ visits^(1/temperature); the `best` where it is 0."""
        t = np.broadcast_to(np.asarray(temperature, np.float64), self.value.shape)[:, None]
        log = np.log(np.maximum(self.visits, 1e-300)) / np.where(t > 0, t, 1.0)
        log = np.where(self.visits > 0, log + generator.gumbel(size=self.visits.shape), -np.inf)
        return np.where(t[:, 0] > 0, log.argmax(1), self.best())


def tree_search(root: Root, model: Model, search: Search, generator: np.random.Generator | None = None) -> Found:
    """Search from N states at once.

    With one leaf at a time, the same numbers as a search of each tree alone. Without the model's help (a flat prior,
    value 0) the most visited action goes to the minimax one as simulations grow.

    Args:
        root: where from; no state is one at which all is over.
        model: what follows a step, called with all leaves of a step at once.
        search: how.
        generator: draws the noise.

    Raises:
        ConfigError: if there is noise and no generator.
        ValueError: if a root has no legal action, or shapes differ.
    """
    nodes = _rooted(root, search, generator)
    states = np.zeros((len(root.value), nodes.value.shape[1], *root.state.shape[1:]), root.state.dtype)
    states[:, 0] = root.state
    leaf, action, row, made = (np.empty((len(root.value), search.leaves), np.int32) for _ in range(4))
    for step in range(-(-search.simulations // search.leaves)):
        few = min(search.leaves, search.simulations - step * search.leaves)
        down, act, at, new = leaf[:, :few].copy(), action[:, :few].copy(), row[:, :few].copy(), made[:, :few].copy()
        tree_kernels.descend(
            nodes, search.explore, search.base, search.reduction, search.virtual_loss, search.proofs, down, act
        )
        n, k = np.nonzero(act >= 0)
        at[n, k] = np.arange(len(n))
        reply = _NOTHING if len(n) == 0 else model(states[n, down[n, k]], act[n, k])
        tree_kernels.ascend(
            nodes, down, act, at, _numbers(reply.reward), _numbers(reply.discount), _numbers(reply.prior),
            _numbers(reply.value), search.proofs, search.most, new,
        )  # fmt: skip
        opened, walk = np.nonzero(new >= 0)
        states[opened, new[opened, walk]] = reply.state[at[opened, walk]]
        if search.proofs and not np.isnan(nodes.proven[:, 0]).any():
            break
    return _found(nodes, search.proofs)


_NOTHING = Reply(np.zeros(0), np.zeros(0), np.zeros((0, 1)), np.zeros(0), np.zeros((0, 1)))


def _numbers(x: Array) -> NDArray[np.float64]:
    return np.ascontiguousarray(x, np.float64)


def _rooted(root: Root, search: Search, generator: np.random.Generator | None) -> Nodes:
    """Trees of a root each."""
    prior, value = np.asarray(root.prior, np.float64), np.asarray(root.value, np.float64)
    if prior.ndim != 2 or value.shape != prior.shape[:1] or len(root.state) != len(value):
        raise ValueError(f"prior is {list(prior.shape)}, value {list(value.shape)}: expected [N, A] and [N]")
    if not (prior > 0.0).any(1).all():
        raise ValueError("a root has no legal action: its game is over")
    if search.noise:
        if generator is None:
            raise ConfigError("noise at the root needs a generator")
        drawn = np.where(prior > 0.0, generator.standard_gamma(search.alpha, prior.shape) + 1e-12, 0.0)
        prior = (1.0 - search.noise) * prior + search.noise * drawn / drawn.sum(1, keepdims=True)
    size, most = (len(value), search.simulations + 1, prior.shape[1]), search.simulations + 1
    nodes = Nodes(
        children=np.full(size, -1, np.int32), visits=np.zeros(size, np.int32), pending=np.zeros(size, np.int32),
        total=np.zeros(size), prior=np.zeros(size), parent=np.full((len(value), most), -1, np.int32),
        via=np.full((len(value), most), -1, np.int32), reward=np.zeros((len(value), most)),
        discount=np.zeros((len(value), most)), value=np.zeros((len(value), most)),
        proven=np.full((len(value), most), np.nan), used=np.ones(len(value), np.int32),
    )  # fmt: skip
    nodes.prior[:, 0], nodes.value[:, 0] = prior, value
    return nodes


def _found(nodes: Nodes, proofs: bool) -> Found:
    visits, total, exact = nodes.visits[:, 0], nodes.total[:, 0], nodes.proven[:, 0]
    q = np.where(visits > 0, total / np.maximum(visits, 1), np.nan)
    child = nodes.children[:, 0]
    rows = np.arange(len(child))[:, None]
    known = nodes.reward[rows, child] + nodes.discount[rows, child] * nodes.proven[rows, child]
    sure = (child >= 0) & ~np.isnan(known) & proofs
    q = np.where(sure, known, q)
    mean = (nodes.value[:, 0] + total.sum(1)) / (1 + visits.sum(1))
    return Found(visits, q, np.where(np.isnan(exact), mean, exact), ~np.isnan(exact), sure)
