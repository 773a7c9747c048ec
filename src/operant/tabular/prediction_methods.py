"""The value of a policy from samples of a model: one function per algorithm, many seeds at once."""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.config.errors import ConfigError
from operant.mdp.analyse.sampler import running_policy
from operant.mdp.model import MDP, ModelError
from operant.tabular.algorithms import trace_of
from operant.tabular.keywords import Options, Predicting, keywords
from operant.tabular.learning import Learning, predict, whole_episodes
from operant.tabular.rules.linear import LinearTD
from operant.tabular.rules.state_values import (
    TD0,
    MonteCarloPrediction,
    NStepTD,
    OfflineLambda,
    OffPolicyPrediction,
    TDLambda,
    TrueOnlineTD,
    Values,
    new_record,
)
from operant.tabular.schedules import Harmonic, Schedule
from operant.tabular.settings import Settings, TraceKind, Visits


@keywords(step_size=0.1)
def td(mdp: MDP, policy: ArrayLike, *, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]) -> Learning:
    """TD(0): v(s) += α [r + γ v(s') - v(s)].

    Args:
        mdp: the model that is drawn from; γ is its discount.
        policy: probabilities of the rows, [L], as in `operant.mdp.evaluate`.
        initial: value with which states begin, one or [S].
        options: seeds, episodes and the like, see `Options`.

    Raises:
        ConfigError: if a setting or an option is out of range, or there is none of that name.
        ModelError: if the policy is not one, or nothing says where an episode begins.

    Source: Sutton and Barto (2018), section 6.1.
    """
    return predict("TD(0)", lambda values, _: TD0(values), mdp, policy, given, initial)


@keywords(step_size=0.1)
def n_step_td(
    mdp: MDP, policy: ArrayLike, *, n: int, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """n-step TD; n = 1 is TD(0). Arguments and errors as `td`. Source: Sutton and Barto (2018), section 7.1."""

    def make(values: Values, cfg: Settings) -> NStepTD:
        return NStepTD(values, cfg.n, np.zeros(1, dtype=np.int64), np.zeros(cfg.n, dtype=np.int64), np.zeros(cfg.n))

    return predict(f"{n}-step TD", make, mdp, policy, {**given, "n": n}, initial)


@keywords(step_size=0.1)
def td_lambda(
    mdp: MDP,
    policy: ArrayLike,
    *,
    lam: float,
    traces: TraceKind = "accumulating",
    initial: float | ArrayLike = 0.0,
    **given: Unpack[Predicting],
) -> Learning:
    """TD(λ) with eligibility traces; λ = 0 is TD(0). Arguments and errors as `td`.

    Source: Sutton and Barto (2018), section 12.2; Singh and Sutton (1996) for replacing traces.
    """
    own, states = {**given, "lam": lam, "traces": traces}, mdp.num_states
    return predict("TD(λ)", lambda v, cfg: TDLambda(v, trace_of(states, cfg)), mdp, policy, own, initial)


@keywords(step_size=0.1)
def true_online_td(
    mdp: MDP, policy: ArrayLike, *, lam: float, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """True online TD(λ): the online λ-return algorithm at the cost of TD(λ). Arguments and errors as `td`.

    Source: van Seijen and Sutton (2014); Sutton and Barto (2018), section 12.5.
    """

    def make(values: Values, cfg: Settings) -> TrueOnlineTD:
        return TrueOnlineTD(values, trace_of(mdp.num_states, cfg), np.zeros(1))

    return predict("true online TD(λ)", make, mdp, policy, {**given, "lam": lam, "traces": "dutch"}, initial)


@keywords(step_size=0.1)
def semi_gradient_td(
    mdp: MDP, policy: ArrayLike, active: ArrayLike, *, lam: float = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """Semi-gradient TD(λ) with linear values over binary features and accumulating traces.

    It converges to the fixed point of the projected TD(λ) operator (Tsitsiklis and Van Roy 1997), not to v.

    Arguments and errors as `td`, and `active`, the features of each state that are 1, [S, K]: one tile per grid, or
    [S, 1] groups of states. Source: Sutton and Barto (2018), sections 9.3 and 12.2.
    """
    features = np.ascontiguousarray(active, dtype=np.int64)
    if features.ndim != 2 or len(features) != mdp.num_states or features.min(initial=0) < 0:
        raise ConfigError(f"active has shape {features.shape}: expected features per state, [{mdp.num_states}, K].")
    count = int(features.max(initial=0)) + 1

    def make(values: Values, cfg: Settings) -> LinearTD:
        return LinearTD(values, np.zeros(count), features, trace_of(count, cfg))

    return predict("semi-gradient TD(λ)", make, mdp, policy, {**given, "lam": lam, "traces": "accumulating"})


@keywords(step_size=0.1)
def offline_lambda_return(
    mdp: MDP, policy: ArrayLike, *, lam: float, initial: float | ArrayLike = 0.0, **given: Unpack[Predicting]
) -> Learning:
    """The offline λ-return algorithm: after an episode, v(s_t) += α [G^λ_t - v(s_t)] for t = 0, 1, … in order, with

    G^λ_t = r_{t+1} + γ [(1 - λ) v(s_{t+1}) + λ G^λ_{t+1}] under the values as the updates before t left them. (With the
    values of the episode's end in every return the figure of the book does not come out.) λ = 1 is constant-α Monte
    Carlo. An episode of T steps costs T² / 2 operations.

    Arguments and errors as `td`. Source: Sutton and Barto (2018), section 12.1.
    """

    def make(values: Values, cfg: Settings) -> OfflineLambda:
        return OfflineLambda(values, new_record(mdp.num_states, cfg.longest), cfg.lam)

    own = whole_episodes(mdp, given) | {"lam": lam}
    return predict("the offline λ-return algorithm", make, mdp, policy, own, initial)


@keywords()
def monte_carlo_prediction(
    mdp: MDP,
    policy: ArrayLike,
    *,
    visits: Visits = "first",
    step_size: float | Schedule | None = None,
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """Monte Carlo: v(s) moves towards the return that followed its first visit in an episode, or every visit.

    The step size is 1/N, which makes averages, unless one is given. Episodes that were cut teach nothing.

    Arguments and errors as `td`. Source: Sutton and Barto (2018), section 5.1.
    """

    def make(values: Values, cfg: Settings) -> MonteCarloPrediction:
        return MonteCarloPrediction(values, new_record(mdp.num_states, cfg.longest), int(cfg.visits == "every"))

    own = {"visits": visits, "step_size": Harmonic() if step_size is None else step_size}
    return predict("Monte Carlo", make, mdp, policy, whole_episodes(mdp, options) | own, initial)


@keywords()
def off_policy_prediction(
    mdp: MDP,
    policy: ArrayLike,
    behaviour: ArrayLike,
    *,
    sampling: Literal["ordinary", "weighted"] = "weighted",
    visits: Visits = "first",
    initial: float | ArrayLike = 0.0,
    **options: Unpack[Options],
) -> Learning:
    """The value of a policy from the episodes of another, by importance sampling. Arguments and errors as `td`.

    Ordinary importance sampling over first visits is unbiased, and its variance may be infinite; weighted is biased,
    consistent, and of bounded variance where returns are bounded.

    Raises:
        ModelError: if the policy may take a row that the behaviour never takes.

    Source: Sutton and Barto (2018), sections 5.5 and 5.6.
    """
    target, acting = np.asarray(policy, dtype=np.float64), np.asarray(behaviour, dtype=np.float64)
    running_policy(mdp, target)
    uncovered = np.flatnonzero((target > 0) & ~(acting > 0))
    if len(uncovered):
        row = int(uncovered[0])
        raise ModelError(
            f"the behaviour never takes action {mdp.rows.action[row]} in state {mdp.name(int(mdp.row_state[row]))}, "
            "which the policy may take: give it a positive probability there."
        )
    ratio = np.divide(target, acting, out=np.zeros_like(target), where=acting > 0)

    def make(values: Values, cfg: Settings) -> OffPolicyPrediction:
        record, zero = new_record(mdp.num_states, cfg.longest), np.zeros(mdp.num_states)
        every, weighted = int(cfg.visits == "every"), int(sampling == "weighted")
        return OffPolicyPrediction(values, record, every, weighted, ratio, zero, zero.copy())

    own = {"visits": visits, "step_size": Harmonic()}
    return predict("importance sampling", make, mdp, acting, whole_episodes(mdp, options) | own, initial)
