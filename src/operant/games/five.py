"""OpenAI Five's way to play as a team (Berner et al. 2019, arXiv:1912.06680): PPO against oneself and one's past.

The update is `operant.control.ppo`, as it stands, of a policy with memory. What is Five's: opponents from a pool of
past selves, rewards of zero sum, a team spirit and a horizon that grow, and surgery. What differs from the paper:
collecting and learning take turns; what heroes see is a vector; lanes are not assigned by chance.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.control.acting import sampler
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.ppo import adam, ppo
from operant.control.settings.ppo import PPOConfig
from operant.control.spec import AgentSpec
from operant.control.train_state import Networks
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.games.elo import Pool
from operant.games.lanes import Lanes
from operant.games.surgery import grown, grown_optimizer
from operant.games.team import TeamPlay
from operant.run.folder import write_json

STATE = "five.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiveConfig:
    """What a run is told.

    Attributes:
        games, heroes: N games of K heroes a team, played together.
        total_steps: decisions of the policy at which what is annealed has arrived.
        latest, rate: of the pool (`operant.games.elo.Pool`).
        every: updates after which a copy joins the pool.
        spirit: τ at the beginning and at the end; between them it goes by the share of steps.
        discount: γ at the beginning and at the end; 1 − γ goes from one to the other by equal factors.
        columns: how many of the numbers that a hero sees are shown; None for all.
        memory, hidden: units of the LSTM, and of the layers above it.
        ppo: the update's settings; its discount is not looked at.
    """

    games: int = 32
    heroes: int = 2
    total_steps: int = 500_000
    latest: float = 0.8
    rate: float = 0.01
    every: int = 10
    spirit: tuple[float, float] = (0.0, 1.0)
    discount: tuple[float, float] = (0.97, 0.995)
    columns: int | None = None
    memory: int = 32
    hidden: tuple[int, ...] = (64,)
    ppo: PPOConfig = field(
        default_factory=lambda: PPOConfig(horizon=40, batch=1280, epochs=3, lr=2e-3, entropy_coef=0.01, value_coef=0.5)
    )

    def spirit_at(self, share: float) -> float:
        """τ after a share of the steps."""
        return self.spirit[0] + (self.spirit[1] - self.spirit[0]) * share

    def discount_at(self, share: float) -> float:
        """γ after a share of the steps: 1 − γ = (1 − γ₀)^(1 − share) (1 − γ₁)^share."""
        first, last = self.discount
        return 1.0 - (1.0 - first) ** (1.0 - share) * (1.0 - last) ** share


class Five:
    """A policy that learns by playing against itself and its past; `run` yields the metrics of each update.

    A seam (`save`) ends all games and derives every generator anew, for the run that goes on as for one that loads what
    was saved: both are then the same bit for bit.

    Args:
        cfg: the settings.
        seed: of everything that is drawn.
        shuffled: mixes rewards among all heroes: a control.

    Attributes:
        agent: the policy and its values, one trunk.
        pool: past selves, the first of them untrained.
        play, collect: the games, and what collects segments of them.
        updates: how many were made.
    """

    def __init__(self, cfg: FiveConfig, seed: int, *, shuffled: bool = False) -> None:
        self.cfg, self.seed, self.seam, self.updates, self._shuffled = cfg, seed, 0, 0, shuffled
        world = Lanes(cfg.games, cfg.heroes)
        columns = world.obs_dim if cfg.columns is None else cfg.columns
        spec = AgentSpec(
            obs_dim=columns, action_kind="discrete", action_sizes=(world.actions,), hidden=cfg.hidden, memory="lstm",
            memory_size=cfg.memory, shared=True,
        )  # fmt: skip
        self.agent = Agent(spec, self._streams.torch("init"))
        self.pool = Pool[Agent](latest=cfg.latest, rate=cfg.rate)
        self.pool.add(copy.deepcopy(self.agent))  # chance is the first of the past
        self.play = TeamPlay(world, self.pool, self._streams.numpy("rivals"), columns)
        self._operated(adam(cfg.ppo, self.agent))

    def run(self, until: int) -> Iterator[Metrics]:
        """Updates, until the policy has made so many decisions."""
        while self.collect.steps < until:
            share = min(1.0, self.collect.steps / self.cfg.total_steps)
            self.play.spirit = self.cfg.spirit_at(share)
            now = self.cfg.ppo.model_copy(update={"discount": self.cfg.discount_at(share)})
            loop = ppo(now, self.collect, self.agent, self.optimizer, self._order, total_steps=self.cfg.total_steps)
            metrics = next(loop)  # one update by each loop: its settings are frozen
            self.updates += 1
            if self.updates % self.cfg.every == 0:
                self.pool.add(copy.deepcopy(self.agent))
            more = {"schedule/spirit": self.play.spirit, "schedule/discount": now.discount}
            more |= dict(zip(("pool/games", "pool/won"), self.play.results.tolist(), strict=True))
            yield metrics | {name: torch.tensor(float(x), dtype=torch.float64) for name, x in more.items()}

    def surgery(self, *, columns: int | None = None, memory: int | None = None, hidden: tuple[int, ...] | None = None,
                ) -> None:  # fmt: skip
        """Go on in a larger network that does what this one does; the past selves grow with it. A seam.

        Raises:
            ConfigError: if something would shrink.
        """
        old, optimizer = self.agent, self.optimizer
        drawn = self._streams.torch("surgery")
        self.agent = grown(old, drawn, obs_dim=columns, memory_size=memory, hidden=hidden)
        self.pool.past[:] = [grown(past, drawn, obs_dim=columns, memory_size=memory, hidden=hidden)
                             for past in self.pool.past]  # fmt: skip
        self.play.show(self.agent.spec.obs_dim)
        new = adam(self.cfg.ppo, self.agent)
        grown_optimizer(old, optimizer, self.agent, new)
        steps, episodes = self.collect.steps, self.collect.episodes
        self.seam += 1
        self._operated(new)
        self.collect.steps, self.collect.episodes = steps, episodes

    def save(self, folder: Path) -> None:
        """Write a checkpoint, and go on as whoever loads it will."""
        folder.mkdir(parents=True, exist_ok=True)
        Networks(self.agent, self.optimizer).save(folder)
        for k, past in enumerate(self.pool.past):
            (at := folder / f"past-{k}").mkdir(exist_ok=True)
            past.save(at)
        self.seam += 1
        counted = {"steps": self.collect.steps, "episodes": self.collect.episodes, "updates": self.updates}
        pool = {"quality": self.pool.quality, "results": self.play.results.tolist()}
        write_json(folder / STATE, {"seed": self.seed, "seam": self.seam, **counted, **pool})
        self._begin()

    def load(self, folder: Path) -> None:
        """Become what was saved.

        Raises:
            ConfigError: if a file cannot be read, or is of another run or network.
        """
        try:
            told = load_json(folder / STATE)
            quality = [float(x) for x in told["quality"]]
            counts = [int(told[name]) for name in ("seam", "steps", "episodes", "updates")]
            results, seed = np.array(told["results"], np.int64).reshape(2), int(told["seed"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise ConfigError(f"{folder / STATE} cannot be read ({error}). Use another checkpoint.") from error
        if seed != self.seed:
            raise ConfigError(f"{folder / STATE} is of seed {seed}, this run of {self.seed}. Use its own checkpoint.")
        past = [Agent.load(folder / f"past-{k}") for k in range(len(quality))]
        Networks(self.agent, self.optimizer).load(folder)
        self.pool.past[:], self.pool.quality[:] = past, quality
        self.play.results[:] = results
        self.seam, self.collect.steps, self.collect.episodes, self.updates = counts
        self._begin()

    @property
    def _streams(self) -> Streams:
        return Streams(self.seed, self.seam)

    def _operated(self, optimizer: torch.optim.Optimizer) -> None:
        """Collect with the agent as it now is."""
        self.optimizer = optimizer
        drawn = sampler(self.agent.policy, self.agent)
        self._noise, self._order = self._streams.numpy("policy"), self._streams.numpy("minibatch")
        self.collect = Collector(self.play, drawn, self._noise, seed=self._streams.integer("env"))
        self._begin()

    def _begin(self) -> None:
        """Derive every generator from seed and seam, and begin all games anew."""
        streams = self._streams
        streams.rekey(self._noise, "policy")
        streams.rekey(self._order, "minibatch")
        streams.rekey(self.play.generator, "rivals")
        self.play.shuffle = streams.numpy("shuffle") if self._shuffled else None
        self.collect.begin(self.play, streams.integer("env"))
