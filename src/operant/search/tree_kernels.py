"""Tree search, compiled: going down N trees by PUCT, and taking values up again; `operant.search.tree` is its door."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.data.compiled import inner, outer


class Nodes(NamedTuple):
    """N trees of at most M nodes; node 0 is the root. Edges [N, M, A] belong to the node that they leave."""

    children: NDArray[np.int32]  # [N, M, A] the node that an edge leads to, -1 before
    visits: NDArray[np.int32]  # [N, M, A]
    pending: NDArray[np.int32]  # [N, M, A] visits whose value is not there yet
    total: NDArray[np.float64]  # [N, M, A] sum of the values that came up an edge
    prior: NDArray[np.float64]  # [N, M, A] 0 where an action is not legal
    parent: NDArray[np.int32]  # [N, M]
    via: NDArray[np.int32]  # [N, M] the action that led here
    reward: NDArray[np.float64]  # [N, M] on the way here
    discount: NDArray[np.float64]  # [N, M]
    value: NDArray[np.float64]  # [N, M] what the model said
    proven: NDArray[np.float64]  # [N, M] the exact value, NaN where it is not known
    used: NDArray[np.int32]  # [N] nodes so far


@inner
def edge_value(nodes: Any, n: Any, node: Any, a: Any, unseen: Any, virtual: Any) -> Any:
    """q of an edge as it stands: the mean of what came up, or `unseen`; each pending visit counts as a loss."""
    count = nodes.visits[n, node, a] + nodes.pending[n, node, a]
    if count == 0:
        return unseen
    return (nodes.total[n, node, a] - virtual * nodes.pending[n, node, a]) / count


@inner
def selected(nodes: Any, n: Any, node: Any, explore: Any, base: Any, reduction: Any, virtual: Any, proofs: Any) -> Any:
    """The action of the largest q + c P √N / (1 + n), the first of several that are equal.

    Where proofs are looked for, one that is proven is not tried again, as there is nothing more to learn.
    """
    actions = nodes.prior.shape[2]
    seen, count, total = 0, 0, nodes.value[n, node]
    for a in range(actions):
        seen += nodes.visits[n, node, a]
        count += nodes.visits[n, node, a] + nodes.pending[n, node, a]
        total += nodes.total[n, node, a]
    unseen = total / (1 + seen) - reduction
    scale = (np.log((2 + count + base) / base) + explore) * np.sqrt(1.0 + count)
    best, chosen = -np.inf, -1
    for a in range(actions):
        child = nodes.children[n, node, a]
        known = proofs and child >= 0 and not np.isnan(nodes.proven[n, child])
        if nodes.prior[n, node, a] > 0.0 and not known:
            q = edge_value(nodes, n, node, a, unseen, virtual)
            score = q + scale * nodes.prior[n, node, a] / (1.0 + nodes.visits[n, node, a] + nodes.pending[n, node, a])
            if score > best:
                best, chosen = score, a
    return chosen


@outer
def descend(
    nodes: Nodes, explore: float, base: float, reduction: float, virtual: float, proofs: bool,
    leaf: NDArray[np.int32], action: NDArray[np.int32],
) -> None:  # fmt: skip
    """Go down each tree K times; `leaf` and `action` [N, K] become the edge to be opened, or -1 where a walk ended.

    A walk ends where everything is known: behind a terminal step, or in a node whose value is proven.
    """
    for n in range(leaf.shape[0]):
        for k in range(leaf.shape[1]):
            node = 0
            while True:
                if not np.isnan(nodes.proven[n, node]):
                    leaf[n, k], action[n, k] = node, -1
                    break
                a = selected(nodes, n, node, explore, base, reduction, virtual, proofs)
                nodes.pending[n, node, a] += 1
                child = nodes.children[n, node, a]
                if child < 0:
                    leaf[n, k], action[n, k] = node, a
                    break
                node = child


@inner
def prove(nodes: Any, n: Any, node: Any, most: Any) -> Any:
    """Give nodes from one upward their exact values, as far as these follow."""
    actions = nodes.prior.shape[2]
    while node >= 0:
        best, whole = -np.inf, True
        for a in range(actions):
            if nodes.prior[n, node, a] > 0.0:
                child = nodes.children[n, node, a]
                if child < 0 or np.isnan(nodes.proven[n, child]):
                    whole = False
                else:
                    q = nodes.reward[n, child] + nodes.discount[n, child] * nodes.proven[n, child]
                    best = max(best, q)
        if not (whole or best >= most):
            return
        nodes.proven[n, node] = best
        node = nodes.parent[n, node]


@outer
def ascend(
    nodes: Nodes, leaf: NDArray[np.int32], action: NDArray[np.int32], row: NDArray[np.int32],
    reward: NDArray[np.float64], discount: NDArray[np.float64], prior: NDArray[np.float64], value: NDArray[np.float64],
    proofs: bool, most: float, made: NDArray[np.int32],
) -> None:  # fmt: skip
    """Open each edge [N, K] with the reply in its `row` and take the value up to the root.

    `made` [N, K] becomes the new node, -1 where there is none: a walk that ended, or an edge that an earlier walk of
    the same step had opened.
    """
    for n in range(leaf.shape[0]):
        for k in range(leaf.shape[1]):
            made[n, k] = -1
            node = leaf[n, k]
            if action[n, k] >= 0:
                child = nodes.children[n, node, action[n, k]]
                if child < 0:
                    i = row[n, k]
                    child = nodes.used[n]
                    nodes.used[n] += 1
                    made[n, k] = child
                    nodes.children[n, node, action[n, k]] = child
                    nodes.parent[n, child], nodes.via[n, child] = node, action[n, k]
                    nodes.reward[n, child], nodes.discount[n, child] = reward[i], discount[i]
                    nodes.prior[n, child], nodes.value[n, child] = prior[i], value[i]
                    if discount[i] == 0.0:
                        nodes.value[n, child] = nodes.proven[n, child] = 0.0
                        if proofs:
                            prove(nodes, n, node, most)
                node = child
            g = nodes.value[n, node] if np.isnan(nodes.proven[n, node]) else nodes.proven[n, node]
            while nodes.parent[n, node] >= 0:
                above, a = nodes.parent[n, node], nodes.via[n, node]
                g = nodes.reward[n, node] + nodes.discount[n, node] * g
                nodes.pending[n, above, a] -= 1
                nodes.visits[n, above, a] += 1
                nodes.total[n, above, a] += g
                node = above
