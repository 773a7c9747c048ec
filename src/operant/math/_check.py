"""Assertions on shapes and dtypes. They read Python attributes only, never the numbers in a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def boolean(**masks: Tensor) -> None:
    """Each argument is a mask. Raises TypeError naming the first that is not `torch.bool`."""
    for name, mask in masks.items():
        if mask.dtype is not torch.bool:
            raise TypeError(
                f"{name} is a mask and must be torch.bool, got {mask.dtype}; "
                f"check the order of the arguments, or pass `{name}.bool()` if it holds zeros and ones"
            )


def floating(**tensors: Tensor) -> None:
    """Each argument holds real numbers. Raises TypeError naming the first that does not."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(
                f"{name} must be a floating-point tensor, got {tensor.dtype}; "
                f"check the order of the arguments, or pass `{name}.float()`"
            )


def integer(**tensors: Tensor) -> None:
    """Each argument holds indices. Raises TypeError naming the first that is not torch.int64 (what gather takes)."""
    for name, tensor in tensors.items():
        if tensor.dtype is not torch.int64:
            raise TypeError(f"{name} holds indices and must be torch.int64, got {tensor.dtype}; pass `{name}.long()`")


def same_shape(expected: Sequence[int], **tensors: Tensor) -> None:
    """Each argument has the expected shape. Raises ValueError naming the first that has another."""
    for name, tensor in tensors.items():
        if tensor.shape != expected:
            raise ValueError(f"{name} must have shape {list(expected)}, got {list(tensor.shape)}")


def steps(acted: Tensor, **numbers: Tensor) -> None:
    """Each argument gives a number to every step. Raises TypeError or ValueError naming the first that does not."""
    boolean(acted=acted)
    floating(**numbers)
    same_shape(acted.shape, **numbers)


def at_least(dims: int, **tensors: Tensor) -> None:
    """Each argument has at least `dims` dimensions. Raises ValueError naming the first that has fewer."""
    for name, tensor in tensors.items():
        if tensor.ndim < dims:
            raise ValueError(f"{name} must have at least {dims} dimension(s), got shape {list(tensor.shape)}")


def fraction(**numbers: float | Tensor) -> None:
    """Each Python number lies in [0, 1] (a tensor is not read). Raises ValueError naming the first that does not."""
    for name, number in numbers.items():
        if not isinstance(number, Tensor) and not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} must lie in [0, 1], got {number}")


def not_negative(**numbers: float) -> None:
    """Each number is at least 0. Raises ValueError naming the first that is not."""
    for name, number in numbers.items():
        if not number >= 0.0:
            raise ValueError(f"{name} must be at least 0, got {number}")


def positive(**numbers: float) -> None:
    """Each number is above 0. Raises ValueError naming the first that is not."""
    for name, number in numbers.items():
        if not number > 0.0:
            raise ValueError(f"{name} must be above 0, got {number}")
