"""Low-rank adapters on a causal language model, by peft: W x + (α/r) B A x, with A and B alone trained.

Source: Hu et al. (2022), LoRA: low-rank adaptation of large language models, section 4.1.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from operant.config.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """What the adapters look like."""

    r: int = 16  # rank
    alpha: float = 32.0  # the adapters' share is scaled by alpha / r
    targets: tuple[str, ...] = ()  # names of the linear modules; (): all but the head
    dropout: float = 0.0  # of the adapters' input, in training alone
    part: Literal["all", "language", "vision"] = "all"  # of a model that sees: where linear modules are adapted

    def __post_init__(self) -> None:
        if self.r < 1:
            raise ConfigError(f"lora.r is {self.r}: give a rank of at least 1")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"lora.dropout is {self.dropout}: give a number in [0, 1)")


def adapt(model: Any, spec: LoraSpec) -> Any:
    """The model with fresh adapters in place of its linear modules (B = 0: it computes what it did); they alone train.

    A's initial values come from torch's generator, which is seeded for the time of the call and restored.

    Raises:
        ConfigError: if no module has a name in `targets`.
    """
    from peft import LoraConfig, get_peft_model

    targets = list(spec.targets) or (_linear(model, spec.part) if spec.part != "all" else "all-linear")
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # pyright: ignore[reportArgumentType]
        target_modules=targets,
        lora_dropout=spec.dropout,
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=model.config.model_type == "gpt2",  # its Conv1D keeps weights transposed
    )
    try:
        with torch.random.fork_rng(devices=[]), _unconcerned():
            torch.manual_seed(0)
            return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(f"lora.targets: {error}") from error


def _linear(model: Any, part: str) -> list[str]:
    """The names of linear modules in the language model of a model that sees, or in all else but its head."""
    if getattr(model.config, "vision_config", None) is None:
        raise ConfigError(f"lora.part is {part!r}, which is of models that see: leave it out")
    own = {id(m) for m in model.get_decoder().modules()}
    head = model.get_output_embeddings()
    return [
        name
        for name, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and m is not head and (id(m) in own) == (part == "language")
    ]


@contextlib.contextmanager
def _unconcerned() -> Generator[None]:
    """Without what transformers tells peft of names that peft still uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield


def read(model: Any, folder: Path) -> Any:
    """The model with the adapters that `write` left in a folder.

    Raises:
        ConfigError: if there are none in safetensors form.
    """
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise ConfigError(f"{folder}: no adapter_model.safetensors; give a folder that save_adapter wrote")
    with _unconcerned():
        adapted: Any = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    config = adapted.peft_config["default"]
    if getattr(config, "use_dora", False) or str(config.peft_type.value) != "LORA":
        raise ConfigError(f"{folder}: adapters that are not plain LoRA; merge them into a model folder first")
    return adapted


@contextlib.contextmanager
def disabled(adapted: Any) -> Generator[None]:
    """The model as it was before it was adapted."""
    with adapted.disable_adapter():
        yield


def merged(adapted: Any) -> dict[str, Tensor]:
    """The state of the plain model with W + (α/r) B A in place of each W; the adapted model is left alone."""
    from peft.tuners.lora import LoraLayer

    base = adapted.get_base_model()
    added: dict[str, Tensor] = {}
    for name, module in base.named_modules():
        layer: Any = module
        if isinstance(layer, LoraLayer):
            added[f"{name}.weight"] = cast(Any, layer).get_delta_weight("default")
    state: dict[str, Tensor] = {}
    for name, value in base.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        state[plain] = value + added[plain].to(value.dtype) if plain in added else value
    return state


def write_merged(adapted: Any, folder: Path) -> None:
    """Write the model with its adapters merged, as a folder of the plain model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is told of adapters that this state no longer has
        adapted.get_base_model().save_pretrained(folder, state_dict=merged(adapted), safe_serialization=True)
