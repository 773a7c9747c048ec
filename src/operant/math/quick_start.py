"""What torch loads for others, and a run of ours need not wait for."""

from __future__ import annotations

import sys
from typing import Any, TypeVar, cast

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def spare_compiler() -> None:
    """Optimisers are made without `torch._dynamo`: importing it takes a second or more, SymPy and pandas with it.

    torch keeps its compiler out of some methods of `Optimizer`, for which it imports it when one is first called
    (`torch._compile._disable_dynamo`, which remembers the method to call as an attribute of the one that it wraps).
    Here it is told that the method to call is the method itself. Where the compiler is loaded nothing is changed.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(torch.optim.Optimizer).values():
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            inner.__dynamo_disable = inner


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
