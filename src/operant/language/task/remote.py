"""Rewards and traces as JSON, so that another process can run them: by name and settings, never as code."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, cast

from operant.config.errors import ConfigError, EnvError
from operant.language.reward.trace import Reward, Trace
from operant.workers.resolve import load


def encode_reward(of: Reward) -> str:
    """A function by its name; an instance of a frozen dataclass by the name of its class and its fields.

    Raises:
        ConfigError: for what no other process can import.
    """
    return json.dumps(_encode(of), sort_keys=True)


def decode_reward(text: str) -> Reward:
    """The reward that `encode_reward` wrote down.

    Raises:
        ConfigError: if its module cannot be imported or has no such name.
    """
    return _decode(json.loads(text))


def encode_trace(trace: Trace) -> str:
    """A trace as JSON.

    Raises:
        ConfigError: if JSON cannot hold its gold or metadata.
    """
    fields = {f.name: getattr(trace, f.name) for f in dataclasses.fields(trace)}
    try:
        return json.dumps(fields)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"an example's prompt, gold and metadata must be JSON (text, numbers, lists, tables) to be judged in a "
            f"worker process: {error}"
        ) from error


def decode_trace(text: str) -> Trace:
    """The trace that `encode_trace` wrote down; what was a tuple in its gold or metadata is a list."""
    fields = json.loads(text)
    prompt = fields["prompt"]
    return Trace(
        **fields | {"prompt": prompt if isinstance(prompt, str) else tuple(prompt), "tokens": tuple(fields["tokens"])}
    )


def _encode(of: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(of) and not isinstance(of, type):
        fields = {f.name: getattr(of, f.name) for f in dataclasses.fields(of) if f.init}
        return {"name": _name(type(of)), "fields": {name: _encode_value(value) for name, value in fields.items()}}
    return {"name": _name(of)}


def _encode_value(value: Any) -> Any:
    if callable(value):
        return {"reward": _encode(value)}
    if isinstance(value, Mapping):
        return {"table": {str(k): _encode_value(v) for k, v in cast(Mapping[Any, Any], value).items()}}
    if isinstance(value, tuple | list):
        return [_encode_value(v) for v in cast(tuple[Any, ...], value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ConfigError(f"a reward's setting {value!r:.80} cannot be sent to a worker process: use text and numbers")


def _name(of: Any) -> str:
    module, name = getattr(of, "__module__", "__main__"), getattr(of, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not of:
        raise ConfigError(
            f"the reward {name or type(of).__name__} cannot be imported by a worker process: move it to the top of a "
            "module as a function or a frozen dataclass, or mark it @reward(pure=True) if it can never hang"
        )
    file = getattr(sys.modules[module], "__file__", None)
    return f"{file}:{name}" if module.startswith("operant_user_") and file else f"{module}:{name}"


def _decode(code: Mapping[str, Any]) -> Any:
    try:
        found, _ = load(str(code["name"]))
    except EnvError as error:
        raise ConfigError(f"a reward cannot be loaded: {error}") from error
    if "fields" not in code:
        return found
    return cast(Any, found)(**{name: _decode_value(value) for name, value in code["fields"].items()})


def _decode_value(value: Any) -> Any:
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        if "reward" in table:
            return _decode(table["reward"])
        return {name: _decode_value(inner) for name, inner in table["table"].items()}
    return tuple(_decode_value(inner) for inner in cast(list[Any], value)) if isinstance(value, list) else value
