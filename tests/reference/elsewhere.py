"""A pretended accelerator: tensors that say they are elsewhere, refuse to meet those of the CPU, and compute there.

It has the manners of CUDA: `numpy()` is refused, `item()` and `tolist()` are answered (and noted), an operation on
two devices raises, but for numbers, indices and copies. What it cannot show is a kernel. Torch takes one such device
a process and keeps it, so tests that pretend are best run in a process of their own.
"""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = torch.device("privateuseone", 0)
MEETING = ("aten.index.", "aten.index_put", "aten._index_put_impl", "aten.copy_", "aten._to_copy", "aten._foreach_copy")
LOOKS = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "is_nonzero", "equal.default", "_to_copy->cpu")


def _indices(given):
    """An index whose lists are tensors."""
    if isinstance(given, tuple):
        return tuple(torch.tensor(x, device=DEVICE) if isinstance(x, list) else x for x in given)
    return torch.tensor(given, device=DEVICE) if isinstance(given, list) else given


class Elsewhere(torch.Tensor):
    """A tensor elsewhere; `inner` is what it holds."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=DEVICE, requires_grad=inner.requires_grad,
        )  # fmt: skip

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"elsewhere({self.inner!r})"

    def tolist(self):
        return self.cpu().tolist()

    def untyped_storage(self):
        return self.inner.untyped_storage()

    def data_ptr(self):
        return self.inner.data_ptr()

    def __getitem__(self, index):
        return super().__getitem__(_indices(index))

    def __setitem__(self, index, value):
        super().__setitem__(_indices(index), value)

    def __deepcopy__(self, memo):
        made = memo[id(self)] = Elsewhere(self.inner.detach().clone())
        made.requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            made._is_param = True
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs, note=lambda name: None):
    """An operation, there or here; raises where its tensors are not all in one place."""
    name, wanted = str(func), kwargs.get("device")
    flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    away = [x for x in flat if isinstance(x, Elsewhere)]
    here = [x for x in flat if not isinstance(x, Elsewhere) and x.ndim > 0]
    if away and here and not name.startswith(MEETING):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device: {[tuple(x.shape) for x in here]}")
    if name.startswith(("aten.index.", "aten.index_put", "aten._index_put_impl")) and away:
        values = [args[0], *args[2:3]]
        if any(isinstance(x, torch.Tensor) and x.ndim and not isinstance(x, Elsewhere) for x in values):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    to = torch.device(wanted).type if wanted is not None else None
    there = bool(away) if to is None else to == DEVICE.type
    if name.startswith("aten.copy_"):
        there = isinstance(args[0], Elsewhere)
    if away:
        note(name if not (name.startswith("aten._to_copy") and not there) else "_to_copy->cpu")
    if to == DEVICE.type:
        kwargs = kwargs | {"device": torch.device("cpu")}
    bare, named = tree_map(lambda x: x.inner if isinstance(x, Elsewhere) else x, (args, kwargs))
    found = func(*bare, **named)
    if name.startswith("aten._to_copy") and to is not None and there and found is bare[0]:
        found = found.clone()
    if not there:
        return found
    wrapped = tree_map(lambda x: Elsewhere(x) if isinstance(x, torch.Tensor) else x, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if away else wrapped


class Given(TorchFunctionMode):
    """What torch makes elsewhere without dispatching it: `tensor` and `new_tensor`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None and torch.device(kwargs["device"]) == DEVICE:
            return torch.tensor(*args, **(kwargs | {"device": "cpu"})).to(DEVICE)
        if func is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(args[1], **({"dtype": args[0].dtype} | kwargs)).to(DEVICE)
        return func(*args, **kwargs)


class Pretend(TorchDispatchMode):
    """Within it tensors can be made elsewhere. (Inference mode is no_grad there: it would hide operations' parts.)

    Attributes:
        looks: operations by which the host looked at a value, or whose shapes depended on one.
        count: operations in all that were computed there.
    """

    def __init__(self):
        super().__init__()
        if not _known:
            _setup_privateuseone_for_python_backend("elsewhere")
            _known.append(DEVICE)
        self.looks, self.count, self.given = [], 0, Given()

    def __enter__(self):
        self.given.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(torch, "inference_mode", torch.no_grad)
        return super().__enter__()

    def __exit__(self, *raised):
        super().__exit__(*raised)
        self.patch.undo()
        self.given.__exit__(*raised)

    def note(self, name):
        self.count += 1
        if any(word in name for word in LOOKS):
            self.looks.append(name)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {}, self.note)


_known = []
