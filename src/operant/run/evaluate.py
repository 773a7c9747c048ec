"""Measure a policy: whole episodes, counted without favouring the short ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from operant.config.errors import ConfigError, EnvError
from operant.config.schema import CopiesConfig, EpisodesConfig, EvalConfig, RunConfig
from operant.config.undisturbed import undisturbed
from operant.data.streams import Streams
from operant.env import EnvLike, Supervisor, VectorEnv, make, make_one
from operant.env.dataset import same_spaces
from operant.env.interface import Interface
from operant.run.actor import Actor
from operant.run.progress import advance

EPISODE = EvalConfig().max_steps


def _nothing(rows: np.ndarray | None) -> None:
    """What a policy without memory forgets."""


def _silent(reward: np.ndarray) -> None:
    """What a policy that asks for no return is told."""


class NoCopies(EnvError):
    """Not one copy of the environment could be made."""


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of episodes, in the order of their rows.

    `cut` of them had not ended after `max_steps`; `copies` were stepped together, 0 where there are none.
    """

    returns: np.ndarray  # [E]
    lengths: np.ndarray  # [E]
    cut: int = 0
    max_steps: int = 0
    copies: int = 0

    def marks(self, protocol: EvalConfig) -> dict[str, int]:
        """What must be known of it beside the protocol: that episodes were cut, or that there were fewer copies."""
        marks = {"cut": self.cut, "max_steps": self.max_steps} if self.cut else {}
        asked = min(len(self.returns), protocol.copies)
        return marks | ({"copies": self.copies} if self.copies not in (0, asked) else {})


def evaluate(
    env: VectorEnv, act: Callable[[np.ndarray], np.ndarray], *, episodes: int, seed: int, max_steps: int = EPISODE,
    limited: bool = False, forget: Callable[[np.ndarray | None], None] = _nothing,
    told: Callable[[np.ndarray], None] = _silent,
) -> Evaluation:  # fmt: skip
    """Run `episodes` whole episodes of a policy.

    Each of the N copies owes a fixed share of the episodes. (Taking the first E to finish would favour short ones.)
    A copy whose episode is cut waits until all that owe wait, or till it ends; then all begin anew with other seeds.

    Args:
        env: reset here with `seed`.
        act: observations [N, D] to actions [N, ...], as an agent's `decide`.
        episodes: E, how many.
        seed: the first seed; copy i begins with seed + i.
        max_steps: of an episode, after which it is cut and counts with what it has.
        limited: the copies themselves end an episode as truncated then.
        forget: told in which copies [N] bool an episode begins; None is all of them.
        told: what each copy [N] was paid for its decision.
    """
    quota = np.full(env.num, episodes // env.num) + (np.arange(env.num) < episodes % env.num)
    running, length, waits = np.zeros(env.num), np.zeros(env.num, np.int64), np.zeros(env.num, np.bool_)
    returns, lengths = list[list[float]]([] for _ in quota), list[list[int]]([] for _ in quota)
    obs, since, cut, anew = env.reset(seed), 0, 0, 0
    forget(None)

    def keep(n: int) -> bool:
        """Keep the episode of copy n, if it owes one."""
        owes = len(returns[n]) < quota[n]
        if owes:
            returns[n].append(float(running[n]))
            lengths[n].append(int(length[n]))
            advance(sum(map(len, returns)), episodes, "episodes")
        return bool(owes)

    while any(len(done) < want for done, want in zip(returns, quota, strict=True)):
        if cut and all(waits[n] for n in range(env.num) if len(returns[n]) < quota[n]):
            anew += 1
            obs, since = env.reset(seed + anew * env.num), 0
            forget(None)
            running[:], length[:], waits[:] = 0.0, 0, False
        step = env.step(act(obs))
        told(step.reward)
        running += step.reward
        length += step.acted
        since += 1
        for n in np.flatnonzero(step.terminated | step.truncated).tolist():
            if step.acted[n] and not waits[n]:  # one that broke off (see `Step`) is played again
                cut += keep(n) and limited and bool(step.truncated[n]) and bool(length[n] == max_steps)
            running[n], length[n], waits[n] = 0.0, 0, False
        if since >= max_steps:
            for n in np.flatnonzero((length >= max_steps) & ~waits).tolist():
                cut += keep(n)
                waits[n] = True
        forget(step.begun)
        obs = step.obs
    return Evaluation(np.concatenate(returns), np.concatenate(lengths).astype(np.int64), cut, max_steps, env.num)


@dataclass
class Evaluator:
    """Measures an agent on environments of its own, made when first needed."""

    cfg: RunConfig
    env: EnvLike
    agent: Actor
    supervisor: Supervisor | None = None
    copies: VectorEnv | None = None
    asked: int = 0
    stored: bool = False  # the agent comes from a file, and the environment may be another than its own

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Run whole episodes under the protocol of the config, or the one given."""
        seed = self.cfg.eval.seed if seed is None else seed
        deterministic = self.cfg.eval.deterministic if deterministic is None else deterministic
        num = min(episodes, self.cfg.eval.copies)
        if self.copies is None or self.asked != num:
            self.close()
            self.copies, self.asked = copies(self.cfg, self.env, num, limits=self.supervisor), num
            if self.stored:
                refuse_other(self.agent, self.copies, self.env)
        its = self.cfg.env
        noise = None if deterministic else Streams(self.cfg.seed).numpy("evaluation", seed)
        with undisturbed():
            return evaluate(
                self.copies,
                lambda obs: self.agent.decide(obs, generator=noise),
                episodes=episodes,
                seed=seed,
                max_steps=its.max_steps if isinstance(its, EpisodesConfig) else self.cfg.eval.max_steps,
                limited=isinstance(its, EpisodesConfig),
                forget=self.agent.forget,
                told=self.agent.told,
            )

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Nothing is kept besides the returns."""
        return {}

    def close(self) -> None:
        """Free the environments."""
        if self.copies is not None:
            self.copies.close()
            self.copies = None


def refuse_other(agent: Actor, copies: VectorEnv, env: EnvLike) -> None:
    """Refuse an environment that is of other spaces than a policy knows: another is named, or its own has changed.

    Raises:
        ConfigError: says in what they differ.
    """
    known = getattr(agent, "interface", None)
    if isinstance(known, Interface) and (differ := same_spaces(known, Interface.of(copies))):
        name = env if isinstance(env, str) else "the environment"
        raise ConfigError(
            f"the policy was not made for {name}: {'; '.join(differ)}. Name one of its own spaces, --env ID "
            "(in Python, env=)"
        )


def copies(
    cfg: RunConfig, env: EnvLike, num: int, *, render_mode: str | None = None, limits: Supervisor | None = None
) -> VectorEnv:
    """Copies of a run's environment to measure or film a policy on; fewer, with a warning, where so many cannot be.

    A policy is measured on the physics it was trained on; each copy has a generator of its own where possible. What is
    filmed needs pictures, which no pool draws.

    Raises:
        NoCopies: if not one can be made.
    """
    its = cfg.env
    backend, kwargs, limited, mask, around = "inprocess", its.kwargs, None, "", ()
    if isinstance(its, CopiesConfig):
        apart = ("process",) if render_mode else ("envpool", "process")
        backend = its.backend if its.backend in apart else "inprocess"
        limited, mask, around = limits or supervisor(its), its.action_mask, its.wrappers
    else:
        longest = its.max_steps if isinstance(its, EpisodesConfig) else None
        env, kwargs = one(env, its.kwargs, longest), {}

    def made(count: int) -> VectorEnv:
        return make(
            env, count, backend=backend, kwargs=kwargs, render_mode=render_mode, supervisor=limited, action_mask=mask,
            wrappers=around, measured=True,
        )  # fmt: skip

    try:
        return made(num)
    except EnvError as error:
        if num == 1:
            raise NoCopies(str(error)) from error
        try:
            found = made(1)
        except EnvError:
            raise NoCopies(str(error)) from error
        together = "one copy" if found.num == 1 else f"the {found.num} copies that it has"
        warnings.warn(
            f"no {num} copies of the environment could be made ({error}); it goes on with {together}. To ask for no "
            f"more: eval.copies {found.num}",
            stacklevel=2,
        )
        return found


def one(env: EnvLike, kwargs: Mapping[str, Any], longest: int | None) -> Callable[..., Any]:
    """A way of making one copy, with episodes of at most `longest` steps, that is called what the environment is."""

    def made(render_mode: str | None = None) -> Any:
        found = make_one(env, kwargs, render_mode)
        return found if longest is None else gymnasium.wrappers.TimeLimit(found, longest)

    made.__qualname__ = env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
    return made


def supervisor(env: CopiesConfig) -> Supervisor:
    """The limits of the run's worker processes, where it has any."""
    return Supervisor(workers=env.workers, timeout=env.timeout, restarts=env.restarts, window=env.restart_window)
