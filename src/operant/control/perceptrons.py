"""Perceptrons by hand: several of one shape at once, forward and backward, and Adam on the memory they share.

All of it is torch's products on memory that is there: no graph is built, nothing is allocated, and the networks of an
ensemble are multiplied together. Parameters and Adam's moments stay those of the modules and of the optimiser, laid
side by side layer by layer, so that autograd can go on at any time where this stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.mlp import MLP

Layer = tuple[Tensor, Tensor]
"""Weights [N, out, in] and biases [N, 1, out], or their gradients."""
NARROW = 16
"""Products of so few columns are computed the other way round, as rows: MKL takes a sixth of the time."""


def side_by_side(parameters: Sequence[Tensor]) -> Tensor:
    """One flat tensor [P] of which `parameters` (of one type, CPU) are consecutive views; moves them if they are not.

    The parameters stay the same objects with the same numbers, so modules and optimisers do not notice.
    """
    first, at = parameters[0], parameters[0].data_ptr()
    memory = first.untyped_storage().data_ptr()
    for p in parameters:
        if not p.is_contiguous() or p.data_ptr() != at or p.untyped_storage().data_ptr() != memory:
            break
        at += p.element_size() * p.numel()
    else:
        size = (at - first.data_ptr()) // first.element_size()
        return first.detach().as_strided((size,), (1,), first.storage_offset())
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.data = part.view(p.shape)
    return flat


def is_plain(net: nn.Module) -> bool:
    """Whether it is a perceptron of linear layers, tanh or relu between them."""
    return (
        type(net) is MLP
        and net.activation in ("tanh", "relu")
        and all(isinstance(layer, nn.Linear) for layer in net.layers)
    )


class Perceptrons:
    """N perceptrons of one shape, y = W_L a(… a(W_1 x + b_1) …) + b_L each.

    Args:
        nets: the modules, for each of which `is_plain` holds. Their parameters move into one flat memory.

    Attributes:
        parameters: those of the modules, layer by layer: the weights of every network, then its biases.
        theta, grad: [P], the memory of the parameters, and of the gradient that `backward` leaves.
    """

    def __init__(self, nets: Sequence[MLP]) -> None:
        layers: list[Any] = [*zip(*(net.layers for net in nets), strict=True)]
        self.count, self._relu = len(nets), nets[0].activation == "relu"
        self.sizes = (layers[0][0].in_features, *(layer[0].out_features for layer in layers))
        self.parameters: list[Tensor] = [
            p for layer in layers for p in (*(m.weight for m in layer), *(m.bias for m in layer))
        ]
        self._place()
        self.grad = torch.zeros_like(self.theta)
        self._grads = self._views(self.grad)
        self._begun()

    def _begun(self) -> None:
        self._acts: list[Tensor] = []
        self._input, self._used = self.theta, self._own

    def only(self, n: int) -> Perceptrons:
        """The n-th of them alone, in the same memory, to look with and for slopes by its input."""
        return _Only(self, n)

    def _place(self) -> None:
        self.theta, self._at = side_by_side(self.parameters), self.parameters[0].data_ptr()
        self._own = self._views(self.theta)

    def _views(self, flat: Tensor) -> list[Layer]:
        """By layer: [N, out, in] and [N, 1, out]."""
        found: list[Layer] = []
        for i, o in pairwise(self.sizes):
            weight, bias, flat = flat.split([self.count * i * o, self.count * o, len(flat) - self.count * (i + 1) * o])
            found.append((weight.view(self.count, o, i), bias.view(self.count, 1, o)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """[B, D], or one batch for each network [N, B, D] → [N, B, K]; kept until the next call, for `backward`."""
        self._used = self._weights()
        if not self._acts or self._acts[0].shape[1] != x.shape[-2]:
            self._acts, self._deltas = (
                [x.new_empty(self.count, x.shape[-2], size) for size in self.sizes[1:]] for _ in range(2)
            )
            self._ones = x.new_ones(self.count, 1, x.shape[-2])
        self._input = x = x.expand(self.count, *x.shape[-2:])
        for (weight, bias), y in zip(self._used, self._acts, strict=True):
            torch.baddbmm(bias, x, weight.mT, out=y)
            if y is not self._acts[-1]:
                (torch.relu_ if self._relu else torch.tanh_)(y)
            x = y
        return x

    def _weights(self) -> list[Layer]:
        if self.parameters[0].data_ptr() != self._at:  # somebody moved them
            self._place()
        return self._own

    def backward(self, delta: Tensor, first: int = 0) -> Tensor:
        """From dLoss/dy [N, B, K] of the last `forward` to `grad`, which it fills; returns its norm.

        With `first` the loss is of the rows from there on alone, and so is `delta`.
        """
        ones = self._ones[..., first:] if first else self._ones
        for (weight, bias), x, back in self._back(delta, first):
            if x.shape[-1] < NARROW:
                weight.copy_((x.mT @ back).mT)
            else:
                torch.bmm(back.mT, x, out=weight)
            torch.bmm(ones, back, out=bias)
        return torch.linalg.vector_norm(self.grad)

    def to_input(self, delta: Tensor) -> Tensor:
        """From dLoss/dy [N, B, K] of the last `forward` to dLoss/dx [N, B, D]; leaves `grad` as it is."""
        *_, (_, _, back) = self._back(delta, 0)
        return _before(back, self._used[0][0])

    def to_input_of(self, order: Tensor, ends: Sequence[int], slope: float) -> Tensor:
        """As `to_input`, to [B, D], of the output of one network in each row, whose dLoss/dy is `slope`.

        A row costs the products of its own network alone.

        Args:
            order: [B] int64, the rows of the first network, then those of the second, and so on.
            ends: [N], where the rows of each end.
            slope: the same for every row.
        """
        parts = [slice(*pair) for pair in pairwise((0, *ends))]
        back = self._input.new_full((len(order), 1), slope)
        for l in range(len(self._used) - 1, 0, -1):
            weight, behind = self._used[l][0], self._deltas[l - 1][0]
            # rows of every network are laid where one alone would have its own: the second's memory is free
            y = self._deltas[l - 1][1] if self.count > 1 else torch.empty_like(behind)
            for k, part in enumerate(parts):
                if weight.shape[1] == 1:
                    torch.mul(back[part], weight[k], out=behind[part])
                else:
                    torch.mm(back[part], weight[k], out=behind[part])
                torch.index_select(self._acts[l - 1][k], 0, order[part], out=y[part])
            self._slope(behind, y)
            back = behind
        first = self._used[0][0]
        found = torch.cat([_before(back[part], net) for net, part in zip(first, parts, strict=True)])
        return torch.empty_like(found).index_copy_(0, order, found)

    def _back(self, delta: Tensor, first: int) -> Any:
        """From the last layer to the first: where its gradient belongs, its input, and dLoss/d(its sums)."""
        inputs = [x[:, first:] if first else x for x in (self._input, *self._acts[:-1])]
        for l in range(len(inputs) - 1, -1, -1):
            yield self._grads[l], inputs[l], delta
            if l > 0:
                weight, behind = self._used[l][0], self._deltas[l - 1]
                behind = behind[:, first:] if first else behind
                torch.mul(delta, weight, out=behind) if weight.shape[1] == 1 else torch.bmm(delta, weight, out=behind)
                self._slope(behind, inputs[l])
                delta = behind

    def _slope(self, delta: Tensor, y: Tensor) -> None:
        """From dLoss/dy to dLoss/d(sums), where y = a(sums)."""
        if self._relu:
            torch.ops.aten.threshold_backward.grad_input(delta, y, 0, grad_input=delta)
        else:
            torch.ops.aten.tanh_backward.grad_input(delta, y, grad_input=delta)


class _Only(Perceptrons):
    """One of several."""

    def __init__(self, whole: Perceptrons, n: int) -> None:
        self._whole, self._n, self.count, self._relu, self.sizes = whole, slice(n, n + 1), 1, whole._relu, whole.sizes
        self.theta, self.grad, self._grads, self._own = whole.theta, whole.grad, whole._grads, whole._own
        self._begun()

    def _weights(self) -> list[Layer]:
        return [(weight[self._n], bias[self._n]) for weight, bias in self._whole._weights()]


def _before(delta: Tensor, weight: Tensor) -> Tensor:
    """dLoss/dx [..., B, D] of y = W x, from dLoss/dy [..., B, K] and W [..., K, D]."""
    return (weight.mT @ delta.mT).mT if weight.shape[-1] < NARROW else delta @ weight


class FlatState:
    """What an optimiser keeps of some parameters, each kind of it in one flat memory that all of it lives in.

    Args:
        optimizer: holds the parameters.
        parameters: in the order in which theirs lies side by side.
        names: of what it keeps, "step" last, as torch's optimisers call it; none for one that keeps nothing.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], names: Sequence[str]) -> None:
        self._optimizer, self._parameters, self._names = optimizer, parameters, names
        self._seen: list[Tensor] = []
        self._flat: list[Tensor] = []

    def memory(self) -> list[Tensor]:
        """One flat tensor by name: [P] numbers of the parameters, of "step" a count [parameters].

        Loading a state may put tensors of its own in the optimiser.
        """
        if not self._names:
            return []
        first: dict[str, Tensor] = self._optimizer.state[self._parameters[0]]
        if not self._seen or any(first.get(name) is not x for name, x in zip(self._names, self._seen, strict=True)):
            states: list[dict[str, Tensor]] = [self._optimizer.state[p] for p in self._parameters]
            for p, s in zip(self._parameters, states, strict=True):
                if not s:
                    s |= {"step": torch.tensor(0.0)} | {name: torch.zeros_like(p) for name in self._names[:-1]}
            self._flat = [side_by_side([s[name] for s in states]) for name in self._names]
            self._seen = [first[name] for name in self._names]
        return self._flat


class FlatAdam(FlatState):
    """`torch.optim.Adam` over some parameters, on flat memory.

    Args:
        optimizer: holds them in one of its groups, which is of plain Adam.
        parameters: those that lie side by side.

    Attributes:
        group: that of the optimiser, with its rates.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> None:
        super().__init__(optimizer, parameters, ("exp_avg", "exp_avg_sq", "step"))
        self.group = next(g for g in optimizer.param_groups if any(p is parameters[0] for p in g["params"]))

    @property
    def steps(self) -> int:
        """How many it took so far."""
        return int(self.memory()[2][0])

    def step(self, theta: Tensor, grad: Tensor) -> None:
        """One step of the parameters, whose memory is `theta` [P], along `grad` [P]."""
        from operant.control.replay_kernels import adam

        group, (first, second, count) = self.group, self.memory()
        count += 1
        rates = np.array([group["lr"], *group["betas"], group["eps"]])
        adam(theta.numpy(), grad.numpy(), first.numpy(), second.numpy(), rates, int(count[0]))


def bounded(grad: Tensor, norm: Tensor, most: float | None) -> None:
    """Shorten a gradient [P] of this norm where it is longer than `most`, as `torch.nn.utils.clip_grad_norm_` does."""
    if most is not None:
        grad.mul_((most / (norm + 1e-6)).clamp(max=1.0))
