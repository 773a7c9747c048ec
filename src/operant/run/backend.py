"""Which world "auto" stands for in a run: it is written down when a run begins, so that a later pick changes no run."""

from __future__ import annotations

from typing import Any

import gymnasium

from operant.config.schema import CopiesConfig, RunConfig
from operant.env import EnvLike
from operant.env.classic import has_compiled, is_classic
from operant.env.make import has_native


def picked(cfg: RunConfig, env: EnvLike) -> RunConfig:
    """The settings of a new run, which say "compiled" where "auto" picks that."""
    spec = _spec(env)
    compiled = _backend(cfg) == "auto" and spec is not None and has_compiled(spec, *_asked(cfg))
    return _with(cfg, "compiled") if compiled else cfg


def as_it_was(cfg: RunConfig, env: EnvLike) -> RunConfig:
    """The settings of a run folder, for going on with it or making it again.

    An "auto" that stands in a folder was written where nothing compiled was picked, perhaps before there was anything:
    it means Gymnasium's vector form or its single environments. Where another environment is given than the one
    of the settings, "compiled" is "auto" again.
    """
    spec, backend = _spec(env), _backend(cfg)
    classic = spec is not None and is_classic(spec, *_asked(cfg))
    if backend == "compiled" and not classic:
        return _with(cfg, "auto")
    if backend == "auto" and spec is not None and classic:
        return _with(cfg, "native" if has_native(spec, cfg.env.kwargs) else "inprocess")
    return cfg


def _spec(env: EnvLike) -> Any:
    return gymnasium.registry.get(env) if isinstance(env, str) else None


def _asked(cfg: RunConfig) -> tuple[Any, ...]:
    beside = (cfg.env.action_mask, cfg.env.wrappers) if isinstance(cfg.env, CopiesConfig) else ()
    return cfg.env.kwargs, *beside


def _backend(cfg: RunConfig) -> str:
    return cfg.env.backend if isinstance(cfg.env, CopiesConfig) else ""


def _with(cfg: RunConfig, backend: str) -> RunConfig:
    return cfg.model_copy(update={"env": cfg.env.model_copy(update={"backend": backend})})
