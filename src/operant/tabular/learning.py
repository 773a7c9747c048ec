"""Many seeds on a model: what is run, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.data.ranges import indices, whole
from operant.mdp.analyse.sampler import generators, sampler
from operant.mdp.model import MDP
from operant.tabular.keywords import Options
from operant.tabular.loop import run_all
from operant.tabular.rules import RULES
from operant.tabular.settings import Settings

Floats = NDArray[np.float64]

ENVIRONMENT, CHOICES = 0, 1
"""The two streams of a seed: what the model draws, and what the learner draws."""

KEPT = 10_000
"""Steps of an episode that Monte Carlo methods keep, and where they cut it unless `max_steps` says otherwise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """What the runs did, one per seed, and what they know at the end."""

    mdp: MDP
    seeds: NDArray[np.int64]  # [seeds]
    returns: Floats  # [seeds, episodes]  undiscounted, the value of the terminal state included
    lengths: NDArray[np.int64]  # [seeds, episodes]  steps
    truncated: NDArray[np.bool_]  # [seeds, episodes]  cut by `max_steps`
    errors: Floats | None  # [seeds, episodes]  RMS of value - exact over states that are not terminal, after each
    memories: tuple[Any, ...]  # per seed, as `operant.tabular.rules` describes
    seconds: float

    @property
    def steps(self) -> int:
        """Transitions of all runs."""
        return int(self.lengths.sum())

    @property
    def rows(self) -> Floats:
        """Action values by row of the model, [seeds, L]. Control only."""
        return np.stack([memory.table.q for memory in self.memories])

    @property
    def tables(self) -> Floats:
        """Action values, [seeds, S, A]; NaN where a pair is not admissible."""
        out = np.full((len(self.seeds), self.mdp.num_states, self.mdp.num_actions), np.nan)
        out[:, self.mdp.row_state, self.mdp.rows.action] = self.rows
        return out

    @property
    def values(self) -> Floats:
        """Value of each state, [seeds, S]: the estimate, or the fixed value of a terminal state."""
        estimate = RULES[type(self.memories[0])].estimate
        ends, terminal_value = self.mdp.rows.terminal, self.mdp.rows.terminal_value
        return np.array(
            [
                [terminal_value[s] if ends[s] else estimate(memory, s) for s in range(self.mdp.num_states)]
                for memory in self.memories
            ]
        )

    @property
    def policies(self) -> NDArray[np.int64]:
        """Row of largest value in each state, the first of several, [seeds, S]; -1 where terminal."""
        pointer = self.mdp.rows.pointer.astype(np.int64)
        out = np.full((len(self.seeds), self.mdp.num_states), -1, dtype=np.int64)
        for of_seed, q in zip(out, self.rows, strict=True):
            for s in np.flatnonzero(np.diff(pointer)):
                of_seed[s] = pointer[s] + int(np.argmax(q[pointer[s] : pointer[s + 1]]))
        return out


def parted(given: Mapping[str, Any], mdp: MDP) -> tuple[dict[str, Any], Options]:
    """The settings among keywords, γ the model's unless given, and the options."""
    settings = {name: value for name, value in given.items() if name in Settings.model_fields}
    if settings.get("discount") is None:
        if mdp.criterion == "average":
            why = "the model is about the average reward per step, and returns are learned here"
            raise ConfigError(f"{why}: mdp.replace(criterion=None).")
        settings["discount"] = mdp.discount
    return settings, cast(Options, {name: value for name, value in given.items() if name in Options.__annotations__})


def whole_episodes(mdp: MDP, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a function that learns from whole episodes: it keeps as many steps as they may have."""
    limit = whole("max_steps", given.get("max_steps", mdp.horizon or KEPT))
    return {**given, "max_steps": limit, "longest": limit}


def learn(mdp: MDP, make: Callable[[NDArray[np.uint64]], Any], options: Options) -> Learning:
    """Run an algorithm on a model, once per seed.

    Args:
        mdp: the model, drawn from as `operant.mdp.analyse.sampler` does.
        make: from the generator state of the choices, [4], to the memory of a run.
        options: see `Options`.

    Raises:
        ConfigError: if an option is out of range.
        ModelError: if nothing says where an episode begins.
    """
    given = options.get("seeds", 1)
    seeds = indices("seeds", np.arange(given) if isinstance(given, int | np.integer) else given, 2**63)
    whole("seeds", seeds.size)
    episodes, threads = whole("episodes", options.get("episodes", 500)), whole("threads", options.get("threads", 1))
    limit = whole("max_steps", options.get("max_steps", mdp.horizon or 100_000))
    exact = np.ascontiguousarray(options.get("exact", ()), dtype=np.float64)
    if exact.shape not in ((0,), (mdp.num_states,)):
        raise ConfigError(f"exact has shape {exact.shape}: expected one value per state, [{mdp.num_states}].")
    shape = (len(seeds), episodes)
    returns, lengths = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    truncated, errors = np.zeros(shape, dtype=np.bool_), np.zeros(shape if len(exact) else (len(seeds), 0))
    model = sampler(mdp, start=options.get("start"))
    memories = tuple(make(random) for random in generators(seeds, CHOICES))
    environment = generators(seeds, ENVIRONMENT)
    began = time.perf_counter()
    run_all(
        [
            (memories[i], model, environment[i], limit, returns[i], lengths[i], truncated[i], exact, errors[i])
            for i in range(len(seeds))
        ],
        threads,
    )
    return Learning(
        mdp=mdp,
        seeds=seeds,
        returns=returns,
        lengths=lengths,
        truncated=truncated,
        errors=errors if len(exact) else None,
        memories=memories,
        seconds=time.perf_counter() - began,
    )
