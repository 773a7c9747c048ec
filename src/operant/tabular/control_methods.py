"""Control on a model whose transitions the learner does not see: one function per algorithm, many seeds at once."""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np

from operant.mdp.model import MDP
from operant.mdp.policies import decides
from operant.tabular.algorithms import Settings, memory, warn_of_settings
from operant.tabular.learning import KEPT, Learning, Options, learn
from operant.tabular.schedules import Harmonic, Schedule


def control(mdp: MDP, settings: Settings, **options: Unpack[Options]) -> Learning:
    """Run the algorithm that the settings name; the functions below spell the settings out.

    Raises:
        ConfigError: if a setting or an option is out of range.
        ModelError: if nothing says where an episode begins.
    """
    warn_of_settings(settings, noisy=noisy(mdp))
    pointer = mdp.rows.pointer.astype(np.int64)
    worth = np.append(mdp.rows.terminal_value, 0.0)
    return learn(mdp, lambda random: memory(settings, pointer, worth, random.copy()), options)


def noisy(mdp: MDP) -> bool:
    """Whether any row of the model has more than one outcome."""
    return mdp.leak or mdp.nnz > mdp.num_rows


def q_learning(
    mdp: MDP,
    *,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Q-learning: q(s, a) += α [r + γ max q(s', ·) - q(s, a)].

    Args:
        mdp: the model to learn on.
        step_size: α in [0, 1], or a schedule.
        epsilon: ε of the ε-greedy behaviour, ties broken at random, or a schedule.
        initial: value with which every pair begins.
        discount: γ, if not the model's.
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError, ModelError: as `control`.

    Source: Watkins (1989); Sutton and Barto (2018), section 6.5.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(algorithm="q-learning", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial)
    return control(mdp, settings, **options)


def sarsa(
    mdp: MDP,
    *,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """SARSA: q(s, a) += α [r + γ q(s', a') - q(s, a)] with a' the action taken next.

    Arguments and errors as `q_learning`.

    Source: Rummery and Niranjan (1994); Sutton and Barto (2018), section 6.4.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(algorithm="sarsa", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial)
    return control(mdp, settings, **options)


def expected_sarsa(
    mdp: MDP,
    *,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Expected SARSA: q(s, a) += α [r + γ Σ π(a'|s') q(s', a') - q(s, a)].

    Arguments and errors as `q_learning`.

    Source: van Seijen et al. (2009); Sutton and Barto (2018), section 6.6.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="expected-sarsa", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial
    )
    return control(mdp, settings, **options)


def double_q_learning(
    mdp: MDP,
    *,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Double Q-learning: one table's maximum is worth what the other says. `.rows` is the mean of both.

    Arguments and errors as `q_learning`.

    Source: van Hasselt (2010); Sutton and Barto (2018), section 6.7.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="double-q-learning", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial
    )
    return control(mdp, settings, **options)


def n_step_sarsa(
    mdp: MDP,
    *,
    n: int,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """n-step SARSA; n = 1 is SARSA.

    Arguments and errors as `q_learning`, and

    Args:
        n: steps, at least 1.

    Source: Sutton and Barto (2018), section 7.2.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="n-step-sarsa", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial, n=n
    )
    return control(mdp, settings, **options)


def tree_backup(
    mdp: MDP,
    *,
    n: int,
    target_epsilon: float | None = None,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """n-step tree backup; n = 1 is expected SARSA.

    Arguments and errors as `q_learning`, and

    Args:
        n: steps, at least 1.
        target_epsilon: learn about the policy that is ε-greedy with this, 0 for the greedy one, whatever acts.

    Source: Precup, Sutton and Singh (2000); Sutton and Barto (2018), section 7.5.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="tree-backup",
        discount=gamma,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        n=n,
        target_epsilon=target_epsilon,
    )
    return control(mdp, settings, **options)


def q_sigma(
    mdp: MDP,
    *,
    n: int,
    sigma: float,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """n-step Q(σ); σ = 1 is n-step SARSA, σ = 0 is tree backup.

    Arguments and errors as `q_learning`, and

    Args:
        n: steps, at least 1.
        sigma: σ in [0, 1], how much to sample.

    Source: De Asis et al. (2018); Sutton and Barto (2018), section 7.6.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="q-sigma", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial, n=n, sigma=sigma
    )
    return control(mdp, settings, **options)


def sarsa_lambda(
    mdp: MDP,
    *,
    lam: float,
    traces: Literal["accumulating", "replacing", "dutch"] = "replacing",
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """SARSA(λ) with eligibility traces; λ = 0 is SARSA.

    Arguments and errors as `q_learning`, and

    Args:
        lam: λ in [0, 1].
        traces: how a visit marks its pair.

    Source: Sutton and Barto (2018), section 12.7.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="sarsa-lambda",
        discount=gamma,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        lam=lam,
        traces=traces,
    )
    return control(mdp, settings, **options)


def true_online_sarsa(
    mdp: MDP,
    *,
    lam: float,
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """True online SARSA(λ).

    Arguments and errors as `q_learning`, and

    Args:
        lam: λ in [0, 1].

    Source: van Seijen et al. (2016); Sutton and Barto (2018), section 12.7.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="true-online-sarsa", discount=gamma, step_size=step_size, epsilon=epsilon, initial=initial, lam=lam
    )
    return control(mdp, settings, **options)


def watkins_q(
    mdp: MDP,
    *,
    lam: float,
    traces: Literal["accumulating", "replacing", "dutch"] = "replacing",
    step_size: float | Schedule = 0.5,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Watkins's Q(λ): traces are cut where an action was not greedy; λ = 0 is Q-learning.

    Arguments and errors as `q_learning`, and

    Args:
        lam: λ in [0, 1].
        traces: how a visit marks its pair.

    Source: Watkins (1989); Sutton and Barto (2018), section 12.10.
    """
    gamma = mdp.discount if discount is None else discount
    settings = Settings(
        algorithm="watkins-q",
        discount=gamma,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        lam=lam,
        traces=traces,
    )
    return control(mdp, settings, **options)


def monte_carlo(
    mdp: MDP,
    *,
    visits: Literal["first", "every"] = "first",
    exploring_starts: bool = False,
    step_size: float | Schedule = Harmonic(),  # noqa: B008
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """On-policy Monte Carlo control: averages of returns (or steps towards them), ε-greedy on them.

    Arguments and errors as `q_learning`, and

    Args:
        visits: whether the first visit of a pair in an episode counts, or every.
        exploring_starts: the first action of an episode is drawn uniformly, and unless `start` is given its state too;
            use it with epsilon = 0.

    Episodes are cut, and then teach nothing, after 10,000 steps unless `max_steps` is set.

    Source: Sutton and Barto (2018), sections 5.3 and 5.4.
    """
    longest = options.setdefault("max_steps", mdp.horizon or KEPT)
    if exploring_starts and "start" not in options:
        options["start"] = decides(mdp) / decides(mdp).sum()
    settings = Settings(
        algorithm="monte-carlo",
        discount=mdp.discount if discount is None else discount,
        step_size=step_size,
        epsilon=epsilon,
        initial=initial,
        visits=visits,
        exploring_starts=exploring_starts,
        longest=longest,
    )
    return control(mdp, settings, **options)


def off_policy_monte_carlo(
    mdp: MDP,
    *,
    epsilon: float | Schedule = 0.1,
    initial: float = 0.0,
    discount: float | None = None,
    **options: Unpack[Options],
) -> Learning:
    """Off-policy Monte Carlo control by weighted importance sampling: acts ε-greedily, learns the greedy policy.

    Arguments and errors as `q_learning`; episodes are cut as in `monte_carlo`.

    Source: Sutton and Barto (2018), section 5.7.
    """
    longest = options.setdefault("max_steps", mdp.horizon or KEPT)
    settings = Settings(
        algorithm="off-policy-monte-carlo",
        discount=mdp.discount if discount is None else discount,
        step_size=Harmonic(),
        epsilon=epsilon,
        initial=initial,
        longest=longest,
    )
    return control(mdp, settings, **options)
