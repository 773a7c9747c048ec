"""A model's folder: its sizes are looked at before anything is made of them, its tensors and tokens once it is read."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from operant.config.bounded import load_json, loads
from operant.config.errors import ConfigError
from operant.language.model.seeing import read_processor, sees
from operant.language.text.special_tokens import check_embedded

DEPTH = re.compile(r"(num|n)_(\w+_)?(layers?|blocks|experts)$")
"""Settings by which modules are made one by one."""
SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size", "n_layer", "n_head", "n_embd")
"""Settings of which there is one at least."""
DEEPEST = 4096
"""Modules of a kind, where no file tells how many there are."""
HEADER = 100_000_000
"""Bytes of a file's list of tensors."""
BUFFERS = ("inv_freq", "masked_bias", "attn.bias", "attention.bias")
"""How names of tensors end that older files hold and nobody reads."""
ROOM = 8, 10**7
"""A model may be so many times as large as its files, and so many numbers larger: they may be packed, or tied."""

Shapes = Mapping[str, tuple[int, ...]]


def read_model(folder: Path | str, dtype: torch.dtype) -> tuple[Any, Any]:
    """The language model and the tokenizer in a folder, or of a name on the hub; no code of it is run.

    Of a model that sees, an image-text-to-text model of transformers, the tokenizer has the processor as `pictures`.

    Raises:
        ConfigError: if it cannot be read, the files are not those of the model that `config.json` describes, or the
            model does not embed the tokens that its tokenizer names.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it would tell of tensors is told below
    try:
        _check_sizes(Path(folder))
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        loaded: Any = _kind(config).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        model, told = loaded
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if sees(config):
            read_processor(folder, tokenizer, config)
    except ConfigError:
        raise
    except Exception as error:  # what reads a model raises what it likes
        what = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        what += " ".join(str(error).split())
        if "trust_remote_code" in what:  # transformers would offer to run it
            what = "it names Python code of its own (auto_map), which is never run"
        raise ConfigError(f"{folder}: not a readable causal language model ({what})") from error
    finally:
        logging.set_verbosity(verbosity)
    _check_tensors(model, told, folder)
    check_embedded(tokenizer, model.get_input_embeddings().weight.shape[0], str(folder))
    return model, tokenizer


def _kind(config: Any) -> Any:
    """What reads models of a configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


def _check_sizes(folder: Path) -> None:
    """Raise ConfigError where `config.json` describes what its files cannot be of."""
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():  # a name on the hub
        return
    settings: Any = load_json(folder / "config.json")
    shapes = _shapes(folder)
    numbers = [int(n[1]) for name in shapes if (n := re.search(r"\.(\d+)\.", name))]
    deep = 1 + max(numbers, default=DEEPEST - 1)
    for name, value in _numbers(settings):
        if name in SIZES and value < 1:
            raise ConfigError(f"{folder}: config.json says {name} = {value:,}: give the settings of its model")
        if DEPTH.fullmatch(name) and value > (deep if name in _LAYERS else max(deep, DEEPEST)):
            held = f"its files hold {deep:,}" if numbers else f"at most {DEEPEST:,} are read"
            raise ConfigError(f"{folder}: config.json says {name} = {value:,}, and {held}: they are not of one model")
    if not shapes or "quantization_config" in settings:
        return
    with torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        meant = _kind(config).from_config(config, trust_remote_code=False).state_dict()
    for name, x in meant.items():
        if name in shapes and prod(shapes[name]) != x.numel():
            raise ConfigError(
                f"{folder}: the tensor {name} is {list(shapes[name])}, and config.json describes {list(x.shape)}: they "
                "are not of one model"
            )
    described, held = sum(x.numel() for x in meant.values()), sum(map(prod, shapes.values()))
    if described > ROOM[0] * held + ROOM[1]:
        raise ConfigError(
            f"{folder}: config.json describes {described:,} numbers, and its files hold {held:,}: they are not of one "
            "model"
        )


_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def _numbers(settings: Any) -> Iterable[tuple[str, int]]:
    """Whole numbers among settings, by name, those of parts included."""
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int):
            yield str(name), value


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a folder's files, of which the first bytes alone are read."""
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = {Path(str(name)).name for name in load_json(index)["weight_map"].values()}
    shapes: dict[str, tuple[int, ...]] = {}
    for path in (folder / name for name in sorted(names)):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER
            if size >= min(HEADER, path.stat().st_size):
                raise ConfigError(f"{path}: not a file of tensors, or cut short")
            told: dict[str, Any] = loads(file.read(size))
        shapes |= {name: tuple(x["shape"]) for name, x in told.items() if name != "__metadata__"}
    return shapes


def _check_tensors(model: Any, told: Mapping[str, Any], folder: Path | str) -> None:
    """Raise ConfigError for a tensor that is missing, or that a module of the model would have if it were another."""
    missing, more = sorted(told["missing_keys"]), sorted(map(str, told["unexpected_keys"]))
    if missing:
        also = f", and there are {_some(more)}, which it does not have" if more else ""
        raise ConfigError(
            f"{folder}: the files lack {_some(missing)} of this {model.config.model_type} model{also}. They would be "
            "drawn at random: give the folder all of its model's tensors, under its names"
        )
    modules = {name for name, _ in model.named_modules()} - {"", model.base_model_prefix}
    more = [name for name in more if not name.endswith(BUFFERS)]
    inside = [name for name in more if any(name.startswith(f"{module}.") for module in modules)]
    if inside:
        raise ConfigError(
            f"{folder}: {_some(inside)} is in the files, and a {model.config.model_type} model has no such part: "
            "config.json describes another model than they are of"
        )
    if more:
        warnings.warn(f"{folder}: {_some(more)} is in the files and not read", stacklevel=4)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
