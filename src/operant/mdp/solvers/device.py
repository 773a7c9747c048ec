"""Solving on a device of torch: the rows as a sparse CSR tensor, a product with the values, a maximum per state.

All arithmetic is float64, and the whole model has to fit into the device's memory: 12 B per entry and 36 B per row, as
much again for the policy's own rows, and 8 B per state for each vector. The certificate is made on the CPU by
`operant.mdp.bounds.certify`, from a sweep of its own. torch is imported when a model is first put on a device.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.certify import Progress
from operant.mdp.model import MDP
from operant.mdp.options import Stop
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Solution
from operant.mdp.validate import public

BLOCK = 1 << 22
"""Numbers copied to the device at once: a memory-mapped model passes through without a copy in memory."""


@public("discounted")
def solve_on_device(
    mdp: MDP,
    *,
    device: Any = "cuda",
    method: Literal["value-iteration", "modified-policy-iteration"] = "modified-policy-iteration",
    initial: Floats | None = None,
    **stop: Unpack[Stop],
) -> Solution:
    """Solve a discounted model on a device of torch, such as "cuda", "cuda:1" or "cpu".

    Value iteration, or modified policy iteration with at most 50 sweeps of each greedy policy.

    Raises:
        ModelError: if the device is not there or is too small, the method is another, or ε cannot be certified.
    """
    if method not in ("value-iteration", "modified-policy-iteration"):
        raise ModelError(f"{method!r} does not run on a device: use value-iteration or modified-policy-iteration.")
    run = Progress(mdp, initial=initial, **stop)
    where = _device(device)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Ss]parse (CSR|invariant).*")
            values = _iterate(DeviceRows(mdp, where), run, run.initial_values(), method)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{where} has not enough memory for {mdp!r}, whose rows alone are {mdp.rows.nbytes / 2**30:.1f} GiB: "
            "use operant.mdp.solve, or a larger device."
        ) from error
    return run.finish(values, method=method, why=f"on {where}")


def _iterate(model: DeviceRows, run: Progress, values: Floats, method: str) -> Floats:
    """Sweeps until the certificate should hold."""
    sweeps = 50 if method == "modified-policy-iteration" else 0
    part = 0.5 if run.mdp.discount > 0.999 else 0.1
    v = model.put(values)
    while True:
        q = model.action_values(v)
        best = model.best(q)
        low, high = model.extremes(best - v)
        v = best
        if run.done(low, high, v.cpu().numpy() if run.watch else v):
            return cast("Floats", v.cpu().numpy())
        if sweeps:
            model.take(model.greedy(q, best))
        enough = part * (high - low)
        for _ in range(sweeps):
            out = model.evaluate(v)
            low, high = model.extremes(out - v)
            v = out
            if high - low <= enough:
                break


class DeviceRows:
    """A model's rows as tensors of one device."""

    def __init__(self, mdp: MDP, device: Any) -> None:
        import torch

        rows, self.discount, self.device = mdp.rows, mdp.discount, device
        index = np.int32 if max(mdp.nnz, mdp.num_states) < 2**31 else np.int64
        self.indptr, self.indices = self.put(rows.indptr, index), self.put(rows.indices, index)
        self.data, self.reward = self.put(rows.data), self.put(rows.reward)
        self.pointer = self.put(rows.pointer, np.int64)
        self.fixed, self.acts = self.put(rows.terminal_value), ~self.put(rows.terminal, np.bool_)
        self.state = torch.repeat_interleave(torch.arange(mdp.num_states, device=device), self.pointer.diff())  # [L]
        self.matrix = self._csr(self.indptr, self.indices, self.data)
        self.policy: tuple[Any, Any] | None = None

    def put(self, array: NDArray[Any], dtype: type[np.generic] = np.float64) -> Any:
        """A vector on the device, copied block by block."""
        import torch

        out = torch.empty(len(array), dtype=torch.from_numpy(np.empty(0, dtype)).dtype, device=self.device)
        for first in range(0, len(array), BLOCK):
            out[first : first + BLOCK] = torch.from_numpy(np.array(array[first : first + BLOCK], dtype=dtype))
        return out

    def action_values(self, v: Any) -> Any:
        """q [L] = r + γ P v."""
        return (self.matrix @ v).mul_(self.discount).add_(self.reward)

    def best(self, q: Any) -> Any:
        """The greatest q of each state, [S]; its own value where a state is terminal."""
        import torch

        best = torch.segment_reduce(q, "max", offsets=self.pointer, unsafe=True)
        return torch.where(self.acts, best, self.fixed)

    def greedy(self, q: Any, best: Any) -> Any:
        """The first row of each state that has its greatest q, [S]; L where there is none."""
        import torch

        rows = torch.arange(len(q), device=self.device)
        first = torch.full((len(best),), len(q), device=self.device)
        return first.scatter_reduce_(0, self.state, rows.masked_fill_(q < best[self.state], len(q)), "amin")

    def take(self, choice: Any) -> None:
        """Copy the rows of a policy, one per state, empty where it is terminal."""
        import torch

        at = torch.where(self.acts, choice, 0)
        begin = self.indptr[at].long()
        counts = torch.where(self.acts, self.indptr[at + 1].long() - begin, 0)
        ends = torch.cumsum(counts, 0)
        shift = torch.repeat_interleave(begin - ends + counts, counts)
        entries = shift.add_(torch.arange(len(shift), device=self.device))
        indptr = torch.cat((ends.new_zeros(1), ends)).to(self.indptr.dtype)
        matrix = self._csr(indptr, self.indices[entries], self.data[entries])
        self.policy = matrix, torch.where(self.acts, self.reward[at], self.fixed)

    def evaluate(self, v: Any) -> Any:
        """r + γ P v of the policy that was taken, [S]."""
        matrix, reward = cast("tuple[Any, Any]", self.policy)
        return (matrix @ v).mul_(self.discount).add_(reward)

    @staticmethod
    def extremes(change: Any) -> tuple[float, float]:
        """The least and the greatest."""
        low, high = change.aminmax()
        return float(low), float(high)

    def _csr(self, indptr: Any, indices: Any, data: Any) -> Any:
        import torch

        size = (len(indptr) - 1, len(self.acts))
        return torch.sparse_csr_tensor(indptr, indices, data, size, check_invariants=False)


def _device(device: Any) -> Any:
    """A device that is there.

    Raises:
        ModelError: if it is not.
    """
    import torch

    try:
        device = torch.device(device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f'torch has no device {str(device)!r} here ({str(error).splitlines()[0]}): use device="cpu".'
        ) from error
    return device
