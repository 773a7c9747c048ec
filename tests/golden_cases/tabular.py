"""Golden runs of learning in tables: every algorithm through the run folder, and every function with many seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from golden_cases.case import Case

SHORT = (
    "--total-steps 1500 --algo.every 250 --eval.episodes 2 --env.max_steps 200 --save.every 500 --no-save.videos "
    "--no-save.report"
)
AFTER = (
    "eval 1/run --episodes 3 --json",
    "report 1/run",
    "resume 1/run --to 3000",
)
SCHEDULED = (
    "--algo.step-size-schedule polynomial --algo.epsilon-schedule harmonic --algo.initial 1.0 --algo.discount 0.9 "
    "--eval.every 500 --eval.during 2"
)
ALGORITHMS = {
    "q-learning": "",
    "sarsa": "",
    "expected-sarsa": "",
    "double-q-learning": "",
    "n-step-sarsa": "--algo.n 3",
    "tree-backup": "--algo.n 3 --algo.target-epsilon 0.05",
    "q-sigma": "--algo.n 3 --algo.sigma 0.3",
    "sarsa-lambda": "--algo.traces dutch",
    "true-online-sarsa": "--algo.lam 0.8",
    "watkins-q": "--algo.traces accumulating",
    "dyna-q": "--algo.planning 3",
    "dyna-q-plus": "--algo.kappa 0.001",
    "prioritised-sweeping": "--algo.threshold 0.001",
    "monte-carlo": "--algo.visits every",
    "off-policy-monte-carlo": "",
}


def run(name: str, algorithm: str, env: str, flags: str, after: tuple[str, ...] = ()) -> Case:
    """A short run in tables."""
    return Case(name=f"tabular/{name}", commands=(f"train {algorithm} {env} {SHORT} {flags}",), after=after)


CASES = (
    *(
        run(name, name, "FrozenLake-v1" if "monte" in name else "CliffWalking-v1", flags, AFTER)
        for name, flags in ALGORITHMS.items()
    ),
    run("q-learning-taxi", "q-learning", "Taxi-v4", SCHEDULED),
    run("sarsa-lake", "sarsa", "FrozenLake-v1", SCHEDULED, ("reproduce 1/run --json", "export 1/run", *AFTER)),
    run("exploring-starts", "monte-carlo", "FrozenLake-v1", "--algo.exploring-starts --algo.longest 50"),
    run("exponential", "expected-sarsa", "FrozenLake-v1",
        "--algo.step-size-schedule exponential --algo.epsilon-schedule linear --algo.epsilon-steps 700"),
    *(Case(name=f"tabular/{what}", call=(f"tabular:{what.replace('-', '_')}",)) for what in
      ("settings", "functions", "prediction", "bandits", "learners")),
)  # fmt: skip


def face() -> ModuleType:
    """The face of learning in tables, under its name of now or of then."""
    try:
        return import_module("operant.tabular")
    except ModuleNotFoundError:
        return import_module("operant.algo.tabular")


def uniform(mdp: Any) -> np.ndarray:
    """The policy that takes every action of a state as often, [L]."""
    return 1.0 / np.bincount(mdp.row_state, minlength=mdp.num_states)[mdp.row_state]


def learnt(run: Any) -> dict[str, object]:
    """What many seeds did and know."""
    found = {"returns": run.returns, "lengths": run.lengths, "truncated": run.truncated, "values": run.values}
    return found | ({} if run.errors is None else {"errors": run.errors})


def settings() -> dict[str, object]:
    """Every algorithm by its settings, on a cliff and on a slippery lake."""
    from operant.mdp import from_gymnasium, solve, worlds

    tabular = face()
    warnings.simplefilter("ignore", tabular.ConvergenceWarning)
    cliff, lake, found = worlds.cliff_walking(), from_gymnasium("FrozenLake-v1", discount=0.95), {}
    exact = solve(lake).values
    for name in tabular.ALGORITHMS:
        told = tabular.Settings(algorithm=name, step_size=0.4, epsilon=0.2, lam=0.5, discount=0.95)
        some = tabular.control(cliff, told, seeds=4, episodes=12, max_steps=100)
        found |= {f"{name}/cliff": learnt(some), f"{name}/cliff/tables": some.tables}
        many = tabular.control(lake, told, seeds=[3, 1, 4], episodes=40, threads=2, exact=exact)
        found |= {f"{name}/lake": learnt(many), f"{name}/lake/policies": many.policies}
    return found


def functions() -> dict[str, object]:
    """Every function of control, with schedules."""
    from operant.mdp import worlds

    tabular = face()
    warnings.simplefilter("ignore", tabular.ConvergenceWarning)
    maze = worlds.dyna_maze()
    own = {"n_step_sarsa": {"n": 2}, "tree_backup": {"n": 3}, "q_sigma": {"n": 3, "sigma": 0.5}}
    own |= {name: {"lam": 0.7} for name in ("sarsa_lambda", "true_online_sarsa", "watkins_q")}
    own |= {name: {} for name in ("q_learning", "sarsa", "expected_sarsa", "double_q_learning")}
    own |= {name: {} for name in ("dyna_q", "dyna_q_plus", "prioritised_sweeping")}
    steps, explored = tabular.Polynomial(5, 0.7), tabular.Exponential(0.5, 0.05, 300)
    found = {
        name: learnt(getattr(tabular, name)(maze, step_size=steps, epsilon=explored, seeds=3, episodes=6, **more))
        for name, more in own.items()
    }
    hands = worlds.blackjack()
    found["monte_carlo"] = learnt(tabular.monte_carlo(hands, seeds=2, episodes=300, exploring_starts=True))
    found["off_policy_monte_carlo"] = learnt(tabular.off_policy_monte_carlo(hands, seeds=2, episodes=300))
    return found


def prediction() -> dict[str, object]:
    """Every estimate of a policy's values."""
    from operant.mdp import evaluate, from_gymnasium, worlds

    tabular = face()
    warnings.simplefilter("ignore", tabular.ConvergenceWarning)
    walk = worlds.random_walk(19, left=-1.0)
    policy = uniform(walk)
    exact = evaluate(walk, policy).values
    many: dict[str, Any] = {"seeds": 3, "episodes": 20, "exact": exact}
    own = {"td": {}, "n_step_td": {"n": 4}, "td_lambda": {"lam": 0.8}, "true_online_td": {"lam": 0.8}}
    own |= {"offline_lambda_return": {"lam": 0.8}, "monte_carlo_prediction": {}}
    found = {name: learnt(getattr(tabular, name)(walk, policy, **more, **many)) for name, more in own.items()}
    for kind in ("replacing", "dutch"):
        found[f"td_lambda/{kind}"] = learnt(tabular.td_lambda(walk, policy, lam=0.5, traces=kind, **many))
    lake = from_gymnasium("FrozenLake-v1", discount=0.95)
    leaning = uniform(lake) * np.where(lake.rows.action % 2, 1.6, 0.4)
    for sampling in ("ordinary", "weighted"):
        some = tabular.off_policy_prediction(lake, leaning, uniform(lake), sampling=sampling, seeds=3, episodes=30)
        found[f"off_policy/{sampling}"] = learnt(some)
    groups = np.minimum(np.arange(21) // 4, 4)[:, None]
    some = tabular.semi_gradient_td(walk, policy, groups, lam=0.5, step_size=tabular.Linear(0.2, 0.01, 500), **many)
    return found | {"semi_gradient_td": learnt(some)}


def bandits() -> dict[str, object]:
    """Every way to play many bandits."""
    bandits = import_module(f"{face().__name__}.bandits")
    means = bandits.ten_armed(12, generator=np.random.default_rng(0))
    coins = np.random.default_rng(1).random((6, 4))
    played = {
        "greedy": bandits.epsilon_greedy(means, epsilon=0.1, steps=200),
        "optimistic": bandits.epsilon_greedy(means, epsilon=0.0, initial=5.0, step_size=0.1, steps=200),
        "ucb": bandits.upper_confidence(means, c=2.0, steps=200, threads=2),
        "gradient": bandits.gradient_bandit(means, step_size=0.1, steps=200),
        "thompson": bandits.thompson(means, steps=200),
        "coins": bandits.thompson(coins, rewards="bernoulli", steps=200),
    }
    return {name: {"rewards": p.rewards, "arms": p.arms, "regret": p.regret} for name, p in played.items()}


def learners() -> dict[str, object]:
    """Learners that are told one transition at a time, in a table and over tiles."""
    import gymnasium

    tabular = face()

    def heard(learner: Any, env: Any, read: Callable[[Any], Any]) -> list[tuple[int, float]]:
        state, found = env.reset(seed=1)[0], []
        for _ in range(400):
            action = learner.act(read(state))
            reached, reward, terminated, truncated, _ = env.step(action)
            learner.observe(read(state), action, float(reward), read(reached), terminated, truncated)
            state = env.reset()[0] if terminated or truncated else reached
            found.append((int(action), float(reward)))
        return found

    found: dict[str, object] = {}
    for name in ("q-learning", "n-step-sarsa", "prioritised-sweeping"):
        told = tabular.Settings(algorithm=name, discount=0.99, epsilon=0.1)
        learner = tabular.Learner(500, 6, told, np.random.default_rng(1))
        found[name] = heard(learner, gymnasium.make("Taxi-v4"), int)
    coder = tabular.TileCoder(low=[-1.2, -0.07], high=[0.6, 0.07], tiles=8, tilings=8)
    told = tabular.Settings(algorithm="sarsa-lambda", step_size=0.3, lam=0.8)
    learner = tabular.LinearLearner(coder, 3, told, np.random.default_rng(1))
    found["tiles"] = heard(learner, gymnasium.make("MountainCar-v0"), np.asarray)
    return found | {"tiles/weights": learner.weights}
