"""Multi-armed bandits: many problems at once, one per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError
from operant.data.ranges import finite, indices, whole
from operant.mdp.analyse.sampler import generators
from operant.mdp.validate import public
from operant.tabular.action_values import Table, new_table
from operant.tabular.algorithms.one_step import QLearning
from operant.tabular.arms import BernoulliThompson, GaussianThompson, GradientBandit, UpperConfidence, pull
from operant.tabular.keywords import keywords
from operant.tabular.learning import CHOICES, ENVIRONMENT, Floats
from operant.tabular.loop import run_all
from operant.tabular.rules import encode
from operant.tabular.schedules import Harmonic, Schedule, schedule
from operant.tabular.settings import Settings


class Play(TypedDict, total=False):
    """What every bandit algorithm is told."""

    steps: int  # 1,000 unless set
    seeds: int | Sequence[int]  # seed of each problem, 0, 1, … unless set
    rewards: Literal["gaussian", "bernoulli"]  # N(mean, 1) unless set, or 1 with probability `mean` and else 0
    threads: int  # 1 unless set; results do not depend on it


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What was played."""

    means: Floats  # [N, K]
    rewards: Floats  # [N, steps]
    arms: NDArray[np.int64]  # [N, steps]
    memories: tuple[Any, ...]  # [N]

    @property
    def optimal(self) -> NDArray[np.bool_]:
        """Whether the arm was one of largest mean, [N, steps]."""
        return np.take_along_axis(self.means, self.arms, axis=1) == self.means.max(axis=1, keepdims=True)

    @property
    def regret(self) -> Floats:
        """Σ over steps so far of max mean - mean of the arm, [N, steps]."""
        gap = self.means.max(axis=1, keepdims=True) - np.take_along_axis(self.means, self.arms, axis=1)
        return np.cumsum(gap, axis=1)


@public()
def ten_armed(problems: int, *, generator: np.random.Generator, mean: float = 0.0) -> Floats:
    """Means of the book's problems, [problems, 10]: each N(mean, 1). Source: Sutton and Barto (2018), section 2.3."""
    return generator.normal(mean, 1.0, size=(whole("problems", problems), 10))


@keywords()
def epsilon_greedy(
    means: ArrayLike,
    *,
    epsilon: float | Schedule = 0.1,
    step_size: float | Schedule = Harmonic(),  # noqa: B008
    initial: float = 0.0,
    **play: Unpack[Play],
) -> Played:
    """ε-greedy on averages (or with other steps); high `initial` values are optimism.

    Args:
        means: of the arms of each problem, [N, K].
        epsilon: ε, ties broken at random.
        step_size: α in [0, 1], or a schedule; averages unless set.
        initial: value with which every arm begins.
        play: steps, seeds and the like, see `Play`.

    Raises:
        ConfigError: if a setting is out of range.

    Source: Sutton and Barto (2018), sections 2.2 to 2.6.
    """
    settings = Settings(discount=0.0, epsilon=epsilon, step_size=step_size, initial=initial)
    return _play(means, settings, QLearning, play)


@keywords()
def upper_confidence(
    means: ArrayLike,
    *,
    c: float = 2.0,
    step_size: float | Schedule = Harmonic(),  # noqa: B008
    **play: Unpack[Play],
) -> Played:
    """Upper confidence bounds: argmax q(a) + c √(ln t / N(a)). Arguments and errors as `epsilon_greedy`.

    Source: Auer, Cesa-Bianchi and Fischer (2002); Sutton and Barto (2018), section 2.7.
    """

    scale = finite("c", c)

    def make(table: Table) -> UpperConfidence:
        return UpperConfidence(table, scale, np.zeros(len(table.q)))

    return _play(means, Settings(discount=0.0, step_size=step_size), make, play)


@keywords()
def gradient_bandit(
    means: ArrayLike,
    *,
    step_size: float | Schedule = 0.1,
    baseline: float | Schedule = Harmonic(),  # noqa: B008
    **play: Unpack[Play],
) -> Played:
    """Gradient bandit: H(a) += α (r - b) (1{a = A} - π(a)). Arguments and errors as `epsilon_greedy`, and

    Args:
        baseline: steps of b towards the rewards: averages unless set, 0 for no baseline.

    Source: Sutton and Barto (2018), section 2.8.
    """
    rate = encode(schedule(baseline, what="baseline"))

    def make(table: Table) -> GradientBandit:
        tried = np.zeros(1, dtype=np.int64)
        return GradientBandit(table, np.zeros(1), tried, rate, np.zeros(len(table.q)))

    return _play(means, Settings(discount=0.0, step_size=step_size), make, play)


@keywords()
def thompson(means: ArrayLike, *, prior_variance: float = 1.0, **play: Unpack[Play]) -> Played:
    """Thompson sampling: for Gaussian rewards of variance 1 with the prior N(0, prior_variance), for Bernoulli rewards
    with Beta(1, 1). Arguments and errors as `epsilon_greedy`.

    Source: Thompson (1933); Russo et al. (2018), A tutorial on Thompson sampling.
    """
    if not finite("prior_variance", prior_variance) > 0:
        raise ConfigError(f"prior_variance is {prior_variance}: it is positive.")

    def gaussian(table: Table) -> GaussianThompson:
        return GaussianThompson(table, np.full(len(table.q), 1.0 / prior_variance), np.zeros(len(table.q)))

    def bernoulli(table: Table) -> BernoulliThompson:
        zero = np.zeros(len(table.q))
        return BernoulliThompson(table, zero, zero.copy(), zero.copy())

    make = bernoulli if play.get("rewards") == "bernoulli" else gaussian
    return _play(means, Settings(discount=0.0), make, play)


def _play(means: ArrayLike, settings: Settings, make: Callable[[Table], Any], play: Play) -> Played:
    rewards_of = play.get("rewards", "gaussian")
    if rewards_of not in ("gaussian", "bernoulli"):
        raise ConfigError(f'rewards is {rewards_of!r}: they are "gaussian" or "bernoulli".')
    bernoulli = rewards_of == "bernoulli"
    problems = _problems(means, bernoulli=bernoulli)
    count, arms = problems.shape
    seeds = play.get("seeds", count)
    names = indices("seeds", np.arange(seeds) if isinstance(seeds, int) else seeds, 2**63)
    if names.shape != (count,):
        raise ConfigError(f"there are {names.size} seeds for {count} problems: give one each.")
    steps, threads = whole("steps", play.get("steps", 1000)), whole("threads", play.get("threads", 1))
    pointer = np.array([0, arms], dtype=np.int64)
    rewards, chosen = np.zeros((count, steps)), np.zeros((count, steps), dtype=np.int64)
    memories = tuple(make(new_table(settings, pointer, np.zeros(2), g)) for g in generators(names, CHOICES))
    environment = generators(names, ENVIRONMENT)
    jobs = [(memories[i], problems[i], bernoulli, environment[i], rewards[i], chosen[i]) for i in range(count)]
    run_all(jobs, threads, pull)
    return Played(means=problems, rewards=rewards, arms=chosen, memories=memories)


def _problems(means: ArrayLike, *, bernoulli: bool) -> Floats:
    """[N, K]: at least one problem of at least one arm; means are finite, and probabilities where rewards are 0 or 1.

    Raises:
        ConfigError: if they are not.
    """
    try:
        problems = np.ascontiguousarray(means, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"means are no numbers ({error}): expected one row of arms per problem, [N, K].") from None
    if problems.ndim != 2 or not problems.size:
        raise ConfigError(f"means has shape {problems.shape}: expected one row of arms per problem, [N, K].")
    fits = (problems >= 0.0) & (problems <= 1.0) if bernoulli else np.isfinite(problems)
    if not fits.all():
        wrong = problems[~fits].flat[0]
        raise ConfigError(
            f"means hold {wrong}: " + ("probabilities lie in [0, 1]." if bernoulli else "they are finite.")
        )
    return problems
