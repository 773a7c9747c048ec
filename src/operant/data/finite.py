"""Is every number finite, and if not, which is the first that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

MANY = 2**26
"""Numbers up to which they are copied to be looked at."""


class State:
    """Parameters, buffers and the optimiser's state: all that training changes and a checkpoint holds."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._module, self._optimizer = module, optimizer
        self._parameters = list(module.parameters())
        self._stateful = [m for m in module.modules() if next(m.buffers(recurse=False), None) is not None]

    def tensors(self) -> list[Tensor]:
        """All of them as they are now."""
        found: list[Tensor] = [*self._parameters]
        for module in self._stateful:
            found += module.buffers(recurse=False)
        slots = self._optimizer.state
        for parameter in self._parameters:
            if parameter in slots:
                found += [x for x in slots[parameter].values() if isinstance(x, Tensor)]
        return found

    def named(self) -> dict[str, Tensor]:
        """The same by name; what belongs to the optimiser is "exp_avg of <parameter>" and so on."""
        names = {id(x): name for name, x in self._module.named_parameters()}
        names |= {id(x): name for name, x in self._module.named_buffers()}
        for parameter, slots in self._optimizer.state.items():
            names |= {id(x): f"{slot} of {names[id(parameter)]}" for slot, x in slots.items()}
        return {names[id(x)]: x for x in self.tensors()}

    @torch.no_grad()
    def packed(self) -> list[Tensor]:
        """Copies end to end in the order of `tensors`, a flat one for every device and type."""
        groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for x in self.tensors():
            groups.setdefault((x.device, x.dtype), []).append(x.view(-1) if x.is_contiguous() else x.reshape(-1))
        return [torch.cat(group) for group in groups.values()]

    def unpack(self, packs: list[Tensor]) -> None:
        """Copy what `packed` gave back into the tensors."""
        left = {(pack.device, pack.dtype): pack for pack in packs}
        with torch.no_grad():
            for x in self.tensors():
                pack = left[x.device, x.dtype]
                x.copy_(pack[: x.numel()].view_as(x))
                left[x.device, x.dtype] = pack[x.numel() :]

    def finite(self) -> bool:
        """Whether no number is NaN or infinite; waits for each device once.

        Few numbers are copied end to end first; more than `MANY` might not fit twice, and are summed where they are.
        """
        tensors = self.tensors()
        parts = tensors if sum(x.numel() for x in tensors) > MANY else self.packed()
        sums: dict[torch.device, list[Tensor]] = {}
        with torch.no_grad():
            for x in parts:
                total = x.sum(dtype=torch.promote_types(x.dtype, torch.float32))
                sums.setdefault(x.device, []).append(total.double())
            if all(bool(torch.isfinite(torch.stack(some)).all()) for some in sums.values()):
                return True  # one number that is not makes the sum so
            return all(bool(torch.isfinite(x).all()) for x in parts)  # finite ones may overflow together


def first_bad(x: Tensor) -> tuple[int, ...] | None:
    """The index of the first number that is NaN or infinite; () for a scalar, None where all are finite."""
    bad = ~torch.isfinite(x.detach())
    return tuple(int(i) for i in bad.nonzero()[0]) if bool(bad.any()) else None


def first_bad_of(named: Mapping[str, Tensor]) -> tuple[str, tuple[int, ...]] | None:
    """Name and index of the first number that is not finite, in the order of the tensors."""
    found = ((name, first_bad(x)) for name, x in named.items())
    return next(((name, at) for name, at in found if at is not None), None)


def spelled(name: str, at: Sequence[int]) -> str:
    """ "name[3, 5]", or the bare name of a scalar."""
    return name + (f"[{', '.join(map(str, at))}]" if at else "")
