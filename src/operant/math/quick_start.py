"""What torch loads for others, and a run of ours need not wait for."""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.optim import Optimizer

Layer = TypeVar("Layer", bound=nn.Module)


def spare_compiler() -> None:
    """Optimisers are made and step without `torch._dynamo`: to import it takes one to three seconds, and SymPy and
    pandas with it.

    torch keeps its compiler out of some methods of `Optimizer`, for which it imports it when one is first called
    (`torch._compile._disable_dynamo`, which remembers the method to call as an attribute of the one that it wraps):
    here it is told that the method to call is the method itself. And each `step` breaks the compiler's graph
    (`torch.optim.optimizer._use_grad_for_differentiable`): where nothing was compiled, there is none.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(Optimizer).values():
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            inner.__dynamo_disable = inner
    for kind in vars(torch.optim).values():
        step = vars(kind).get("step") if isinstance(kind, type) and issubclass(kind, Optimizer) else None
        if step is not None and hasattr(step, "__wrapped__"):
            kind.step = _without_graph(step)


def _without_graph(step: Any) -> Any:
    """A `step` as it is once the compiler is loaded; before that what it wraps, with gradients as it has them."""
    inner = step.__wrapped__

    @wraps(inner)
    def stepped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" in sys.modules:
            return step(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return inner(self, *args, **kwargs)

    return stepped


def undrawn(kind: type[Layer], *args: Any, **kwargs: Any) -> Layer:
    """A layer on the CPU whose numbers are not drawn; `torch.nn.utils.skip_init` without half a second of imports.

    Args:
        kind: of layer, one that draws in `reset_parameters`.
        args, kwargs: of its constructor; `device` where it is another.
    """
    kwargs.setdefault("device", "cpu")
    layer = cast(Layer, type(kind.__name__, (kind,), {"reset_parameters": _nothing})(*args, **kwargs))
    layer.__class__ = kind
    return layer


def _nothing(_: nn.Module) -> None:
    """In place of drawing."""
