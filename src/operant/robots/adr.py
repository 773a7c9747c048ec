"""PPO under automatic domain randomisation (OpenAI 2019, Solving Rubik's cube with a robot hand, arXiv:1910.07113).

Every episode draws its parameters within bounds that begin at the calibrated values. Half of them play at one bound of
one parameter; where these go well the bound is moved outward, where they go badly inward (`bounds.py`). They train the
policy as all others do: `diff ppo.py adr.py` is what draws, what counts, and a file beside the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.ppo import adam, ppo
from operant.control.setup import on_policy
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import EnvLike
from operant.env.make import make_one
from operant.env.wrappers import Unfit
from operant.robots.bounds import Bounds, Pin
from operant.robots.randomisation import Randomised
from operant.robots.settings import ADRConfig, ADRRun
from operant.run.evaluate import Evaluator
from operant.run.job import Job, Position, Say, silent
from operant.run.log import append_log, read_log, rewrite_log

NAME = "adr"
ROW: dict[str, tuple[type, ...]] = {"decision": (int,)}


class ADR:
    """The bounds of a run, and all that a run keeps of them.

    As a collector's judge it leaves rewards as they are and tells of the bounds. It draws from one stream: copies begin
    their episodes in turn.

    Attributes:
        bounds: as they stand.
        rows: decisions on bounds, in their order, that are not written yet.
        decided: how many there were.
    """

    def __init__(self, cfg: ADRConfig, generator: np.random.Generator) -> None:
        self.bounds, self.generator = Bounds(cfg), generator
        self.rows: list[dict[str, Any]] = []
        self.decided, self._trimmed = 0, False

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment as it is."""
        return traj

    def begin(self, streams: Streams) -> None:
        """Stand at a seam."""
        streams.rekey(self.generator, NAME)

    def settle(self) -> Metrics:
        """The bounds, the share of the limits that is drawn from, and the entropy, where it is finite."""
        told = {f"adr/{name}": x for name, x in self.bounds.named().items()} | {"adr/share": self.bounds.share}
        if np.isfinite(entropy := self.bounds.entropy):
            told["adr/entropy"] = entropy
        return {name: torch.tensor(x, dtype=torch.float64) for name, x in told.items()}

    def record(self, pin: Pin, total: float) -> None:
        """An episode at a bound is over."""
        row = self.bounds.record(pin, total)
        if row is not None:
            self.rows.append({"decision": self.decided} | row)
            self.decided += 1

    def keep(self, run: Path, step: int) -> None:
        """Append the decisions of an iteration to `adr.jsonl`; those of a run that went on otherwise are taken away."""
        file = run / "adr.jsonl"
        if not self._trimmed and file.exists():
            first = self.decided - len(self.rows)
            rewrite_log(file, (row for row in read_log(file, ROW) if row["decision"] < first))
        self._trimmed = True
        if self.rows:
            append_log(file, *(row | {"step": step} for row in self.rows))
        self.rows = []

    def tensors(self) -> dict[str, Tensor]:
        """The bounds [d, 2], the returns at each [d, 2, m], how many these are [d, 2], and how many decisions."""
        bounds = self.bounds
        returns, count = np.zeros((*bounds.at.shape, bounds.cfg.buffer)), np.zeros(bounds.at.shape, np.int64)
        for pin, held in bounds.returns.items():
            returns[pin][: len(held)], count[pin] = held, len(held)
        kept = {"bounds": bounds.at.copy(), "returns": returns, "count": count, "decided": np.array([self.decided])}
        return {name: torch.from_numpy(x) for name, x in kept.items()}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over all that was saved, when it is called.

        Raises:
            ConfigError: if it is of other limits.
        """
        own = self.tensors()
        for name, x in own.items():
            if name not in tensors or tensors[name].shape != x.shape or tensors[name].dtype != x.dtype:
                raise ConfigError(f"{file}: its {name} are of other limits or another buffer. Use another checkpoint.")

        def fill() -> None:
            saved = {name: tensors[name].numpy() for name in own}
            self.bounds.at[:] = saved["bounds"]
            for pin, held in self.bounds.returns.items():
                held[:] = saved["returns"][pin][: int(saved["count"][pin])].tolist()
            self.decided, self.rows, self._trimmed = int(saved["decided"][0]), [], False

        return fill


class Drawn:
    """A `Source`: what one copy draws from the bounds, and at which of them it plays."""

    def __init__(self, adr: ADR) -> None:
        self._adr, self._pin = adr, None

    def begin(self, generator: np.random.Generator) -> Mapping[str, float]:
        """Draw, from the one stream of all copies."""
        values, self._pin = self._adr.bounds.draw(self._adr.generator)
        return values

    def end(self, total: float) -> None:
        """Note the return of an episode at a bound."""
        if self._pin is not None:
            self._adr.record(self._pin, total)


def _varied(env: EnvLike, name: str, adr: ADR) -> Callable[..., Any]:
    """A way of making one copy whose parameters are drawn within the bounds."""

    def made(**kwargs: Any) -> Any:
        one = make_one(env, kwargs)
        try:
            return Randomised(one, adr.bounds.limits, Drawn(adr))
        except Unfit as error:
            raise ConfigError(f"adr.limits need {error}, and {name} has none: leave them out") from error

    made.__qualname__ = name
    return made


def build(cfg: ADRRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything that it needs, made from a config and one seed; it is measured in the world as it was made."""
    its = cfg.adr
    if not its.limits:
        raise ConfigError("adr.limits is empty: say what is drawn, --adr.limits 'mass 0.2 5 latency 0 4', say")
    if its.high is None or its.low is None or not its.low < its.high:
        raise ConfigError(
            f"adr.low is {its.low} and adr.high {its.high}: give two returns, the lower of which narrows a bound, and "
            "the higher of which widens it"
        )
    if cfg.env.backend not in ("auto", "inprocess"):
        raise ConfigError(f"adr draws for copies in this process, and env.backend is {cfg.env.backend}: leave it out")
    if any(text.split()[:1] == ["randomise"] for text in cfg.env.wrappers):
        raise ConfigError("adr draws parameters itself: take randomise out of env.wrappers")
    adr = ADR(its, Streams(cfg.seed).numpy(NAME))
    parts = on_policy(cfg, _varied(env, cfg.env.id or str(env), adr), combines=True)
    parts.evaluate = Evaluator(cfg, env, parts.agent, parts.evaluate.supervisor)
    agent, collect = parts.agent, parts.collect
    collect.judge = agent.beside[NAME] = adr

    def begin(at: Position) -> None:
        adr.begin(Streams(cfg.seed, at.seam))  # before copies are made, which draw
        parts.begin(at)

    optimizer = adam(cfg.algo, agent)
    learn = ppo(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps)
    job = parts.job(learn, optimizer, begin)
    job.keep = adr.keep
    return job
