"""Control on a model whose transitions the learner does not see: one function per algorithm, many seeds at once."""

from __future__ import annotations

from typing import Unpack

from operant.mdp.model import MDP
from operant.mdp.policies import decides
from operant.tabular.keywords import (
    Exploring,
    Lambda,
    NStep,
    Planning,
    PlanningPlus,
    QSigma,
    Stepping,
    Sweeping,
    Traces,
    TreeBackup,
    WholeReturns,
    keywords,
)
from operant.tabular.learning import Learning, run, whole_episodes
from operant.tabular.schedules import Harmonic


@keywords()
def q_learning(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Q-learning: q(s, a) += α [r + γ max q(s', ·) - q(s, a)].

    Acts ε-greedily, ties broken at random, like all of them. γ is the model's if `discount` is None.

    Args:
        mdp: the model to learn on.
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError: if a setting or an option is out of range, or there is none of that name.
        ModelError: if nothing says where an episode begins.

    Source: Watkins (1989); Sutton and Barto (2018), section 6.5.
    """
    return run("q-learning", mdp, given)


@keywords()
def sarsa(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """SARSA: q(s, a) += α [r + γ q(s', a') - q(s, a)] with a' the action taken next. Errors as `q_learning`.

    Source: Rummery and Niranjan (1994); Sutton and Barto (2018), section 6.4.
    """
    return run("sarsa", mdp, given)


@keywords()
def expected_sarsa(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Expected SARSA: q(s, a) += α [r + γ Σ π(a'|s') q(s', a') - q(s, a)]. Errors as `q_learning`.

    Source: van Seijen et al. (2009); Sutton and Barto (2018), section 6.6.
    """
    return run("expected-sarsa", mdp, given)


@keywords()
def double_q_learning(mdp: MDP, **given: Unpack[Stepping]) -> Learning:
    """Double Q-learning: one table's maximum is worth what the other says. `.rows` is the mean of both.

    Errors as `q_learning`. Source: van Hasselt (2010); Sutton and Barto (2018), section 6.7.
    """
    return run("double-q-learning", mdp, given)


@keywords()
def n_step_sarsa(mdp: MDP, **given: Unpack[NStep]) -> Learning:
    """n-step SARSA; n = 1 is SARSA. Errors as `q_learning`. Source: Sutton and Barto (2018), section 7.2."""
    return run("n-step-sarsa", mdp, given)


@keywords()
def tree_backup(mdp: MDP, **given: Unpack[TreeBackup]) -> Learning:
    """n-step tree backup; n = 1 is expected SARSA.

    With `target_epsilon` it learns about the policy that is ε-greedy with this, 0 for the greedy one, whatever acts.

    Errors as `q_learning`. Source: Precup, Sutton and Singh (2000); Sutton and Barto (2018), section 7.5.
    """
    return run("tree-backup", mdp, given)


@keywords()
def q_sigma(mdp: MDP, **given: Unpack[QSigma]) -> Learning:
    """n-step Q(σ); σ = 1 is n-step SARSA, σ = 0 is tree backup. Errors as `q_learning`.

    Source: De Asis et al. (2018); Sutton and Barto (2018), section 7.6.
    """
    return run("q-sigma", mdp, given)


@keywords()
def sarsa_lambda(mdp: MDP, **given: Unpack[Traces]) -> Learning:
    """SARSA(λ) with eligibility traces; λ = 0 is SARSA. Errors as `q_learning`.

    Source: Rummery and Niranjan (1994); Sutton and Barto (2018), section 12.7.
    """
    return run("sarsa-lambda", mdp, given)


@keywords()
def true_online_sarsa(mdp: MDP, **given: Unpack[Lambda]) -> Learning:
    """True online SARSA(λ). Errors as `q_learning`.

    Source: van Seijen et al. (2016); Sutton and Barto (2018), section 12.7.
    """
    return run("true-online-sarsa", mdp, given)


@keywords()
def watkins_q(mdp: MDP, **given: Unpack[Traces]) -> Learning:
    """Watkins's Q(λ): traces are cut where an action was not greedy; λ = 0 is Q-learning. Errors as `q_learning`.

    Source: Watkins (1989); Sutton and Barto (2018), section 12.10.
    """
    return run("watkins-q", mdp, given)


@keywords()
def dyna_q(mdp: MDP, **given: Unpack[Planning]) -> Learning:
    """Dyna-Q: Q-learning, and after each step updates from memory; with none of them it is Q-learning.

    Errors as `q_learning`. Source: Sutton (1990); Sutton and Barto (2018), section 8.2.
    """
    return run("dyna-q", mdp, given)


@keywords()
def dyna_q_plus(mdp: MDP, **given: Unpack[PlanningPlus]) -> Learning:
    """Dyna-Q+: Dyna-Q with a bonus κ √τ for what was not tried for τ steps. Errors as `q_learning`.

    Source: Sutton (1990); Sutton and Barto (2018), section 8.3.
    """
    return run("dyna-q-plus", mdp, given)


@keywords(step_size=1.0)
def prioritised_sweeping(mdp: MDP, **given: Unpack[Sweeping]) -> Learning:
    """Prioritised sweeping over what was seen: the updates with the largest errors first, the real one among them.

    Errors as `q_learning`. Source: Moore and Atkeson (1993); Sutton and Barto (2018), section 8.4.
    """
    return run("prioritised-sweeping", mdp, given)


@keywords(step_size=Harmonic())
def monte_carlo(mdp: MDP, **given: Unpack[WholeReturns]) -> Learning:
    """On-policy Monte Carlo control: averages of returns (or steps towards them), ε-greedy on them.

    With `exploring_starts` the first state of an episode is drawn uniformly too, unless `start` is given; use it with
    epsilon = 0. Episodes are cut, and then teach nothing, after 10,000 steps unless `max_steps` is set.

    Errors as `q_learning`. Source: Sutton and Barto (2018), sections 5.3 and 5.4.
    """
    if given.get("exploring_starts") and "start" not in given:
        given["start"] = decides(mdp) / decides(mdp).sum()
    return run("monte-carlo", mdp, whole_episodes(mdp, given))


@keywords()
def off_policy_monte_carlo(mdp: MDP, **given: Unpack[Exploring]) -> Learning:
    """Off-policy Monte Carlo control by weighted importance sampling: acts ε-greedily, learns the greedy policy.

    Errors as `q_learning`; episodes are cut as in `monte_carlo`. Source: Sutton and Barto (2018), section 5.7.
    """
    return run("off-policy-monte-carlo", mdp, {**whole_episodes(mdp, given), "step_size": Harmonic()})
