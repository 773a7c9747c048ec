"""TRL on the CPU in float32, with nothing that would change a number: what the differential tests compare with."""

from __future__ import annotations

import warnings
from typing import Any

import torch

PLAIN: dict[str, Any] = {
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_strategy": "no",
}
"""Arguments of every trainer."""


def batch_of(trainer: Any, size: int) -> dict[str, Any]:
    """The first `size` examples as the trainer prepared them, collated, in the order of the data."""
    trainer._set_signature_columns_if_needed()
    columns = trainer._signature_columns
    rows = [{k: v for k, v in trainer.train_dataset[i].items() if k in columns} for i in range(size)]
    return trainer.data_collator(rows)


Found = tuple[float, dict[str, torch.Tensor]]
"""A loss, and its gradient by parameter."""


def loss_and_gradient(trainer: Any, *batches: dict[str, Any], count: int | None = None) -> Found:
    """The trainer's loss on a batch, or on micro-batches with `count` items in all."""
    model, total = trainer.model, 0.0
    model.train()
    model.zero_grad()
    for batch in batches:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = trainer.compute_loss(
                model, dict(batch), num_items_in_batch=None if count is None else torch.tensor(count)
            )
        loss.backward()
        total += float(loss.detach())
    return total, gradients(model)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """By parameter, where there is one."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def agree(got: Found, want: Found) -> None:
    """Equal losses and gradients, to float32."""
    assert abs(got[0] - want[0]) <= 1e-6 + 1e-5 * abs(want[0]), (got[0], want[0])
    assert got[1].keys() == want[1].keys()
    scale = float(torch.stack([g.norm() for g in want[1].values()]).norm())
    assert scale > 1e-4
    for name, gradient in want[1].items():
        assert float((got[1][name] - gradient).norm()) < 1e-5 * scale, name
