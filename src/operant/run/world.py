"""What a world says of its policies: how one is read from a folder, measured and filmed, and what to do next with it.

Each world has a module `stored.py` with what `World` lists; `operant.config.registry.POLICIES` names it for each kind
of policy. So whoever opens a run asks its world, and never which world it is.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.config.registry import POLICIES
from operant.config.schema import EvalConfig, RunConfig
from operant.env import EnvLike
from operant.run.actor import Policy
from operant.run.evaluate import Evaluation

POLICY = 2**28
"""Bytes of a `policy.json` that are read: that of a language model may hold the texts it learns from."""


class Measure(Protocol):
    """Measures a policy, again and again as it changes."""

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Whole episodes under the protocol of the config, or the one given."""
        ...

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write what the last measurement left besides its returns; metrics of it."""
        ...

    def close(self) -> None:
        """Free what measuring needs."""
        ...


class World(Protocol):
    """The module of a kind of policies."""

    NO_FILM: str
    """Why there is nothing to film and what to do instead; "" where there is. `{path}` is the run folder."""
    NO_EXPORT: str
    """Why nothing is exported, in the same way."""
    NEXT: str
    """What a person does after going on with a run, as `play {path}`."""

    def read(self, folder: Path, *, trust: bool = False) -> Policy:
        """The policy of `policy.json` and its tensors. Raises ConfigError if they are not to be read."""
        ...

    def measure(self, cfg: RunConfig, policy: Any, env: EnvLike) -> Measure:
        """How a run's policy is measured outside of training."""
        ...

    def advice(self, cfg: RunConfig, path: Path) -> list[str]:
        """What to do after training, in lines."""
        ...


def world_of(kind: str) -> World:
    """The module of a kind of policies."""
    return cast(World, import_module(POLICIES[kind]))


def kind_of(folder: Path) -> str:
    """The kind that `policy.json` names; networks where it names none.

    Raises:
        ConfigError: if the file is missing or names a kind that does not exist.
    """
    try:
        spec: Any = load_json(folder / "policy.json", POLICY)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: not a readable policy ({error})") from error
    kind = spec.get("kind", "networks") if isinstance(spec, dict) else "networks"
    if not isinstance(kind, str) or kind not in POLICIES:
        raise ConfigError(f"{folder / 'policy.json'} is of a kind {kind!r} that does not exist: {', '.join(POLICIES)}")
    return kind


def read_policy(folder: Path, *, trust: bool = False) -> Policy:
    """Read a policy, whatever its kind. `trust` lets it import the code that it names (see `Run`).

    Raises:
        ConfigError: if a file is missing or is no policy's.
    """
    return world_of(kind_of(folder)).read(folder, trust=trust)


__all__ = ["EvalConfig", "Measure", "World", "kind_of", "read_policy", "world_of"]
