"""PPO under a bound on costs, beside the linear program of the constrained model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from operant.config.errors import EnvError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.math.advantage import lagrangian
from operant.mdp import linear_programming, occupancy
from reference.resumed import assert_resumes
from reference.tabular_env import arrays, model

TABULAR = f"{Path(__file__).parents[1] / 'reference' / 'tabular_env.py'}:Tabular"
ENDS = 0.2
"""Episodes end with this chance at every step: undiscounted, they are the model whose discount is 0.8."""


def build(env, **overrides):
    return builder_of("ppo-lagrangian")(
        resolve("ppo-lagrangian", env, overrides=overrides, source="argument").config, env
    )


def constrained(seed, limit):
    """The largest Σ μ r with Σ μ c ≤ limit over occupancies μ, the multiplier of the bound, and the least cost."""
    P, R, cost, start = arrays(seed)
    flow = np.kron(np.eye(4), np.ones(3)) - (1 - ENDS) * P.reshape(12, 4).T
    best = linprog(-R.ravel(), A_ub=cost.reshape(1, -1), b_ub=[limit], A_eq=flow, b_eq=start)
    return -best.fun, -best.ineqlin.marginals[0], linprog(cost.ravel(), A_eq=flow, b_eq=start).fun


def exact(seed, agent):
    """Reward and cost of an episode under a table's policy."""
    with torch.no_grad():
        policy = agent.policy.output(torch.eye(4)).double().softmax(-1).numpy().ravel()
    visits = occupancy(model(seed, 1 - ENDS), policy)
    _, R, cost, _ = arrays(seed)
    return visits @ R.ravel(), visits @ cost.ravel()


@pytest.mark.parametrize("seed", [0, 2])
def test_it_reaches_the_optimum_of_the_constrained_linear_program(seed):
    mdp = model(seed, 1 - ENDS)
    free = linear_programming(mdp, weight=mdp.start)
    _, _, cost, _ = arrays(seed)
    unbound, nothing, cheap = constrained(seed, 1e9)
    assert unbound == pytest.approx(mdp.start @ free.values, abs=1e-6)
    assert nothing == pytest.approx(0.0, abs=1e-9)
    policy = np.zeros(12)
    policy[free.rows] = 1.0
    dear = occupancy(mdp, policy) @ cost.ravel()
    limit = cheap + 0.4 * (dear - cheap)
    want, price, _ = constrained(seed, limit)
    assert want < unbound - 0.1
    assert price > 0

    settings = {"env.num": 8, "algo.horizon": 128, "algo.epochs": 2, "policy.hidden": (), "algo.discount": 1.0}
    settings |= {"algo.lr": 0.02, "algo.cost_limit": float(limit), "algo.multiplier": 2.0, "algo.multiplier_lr": 0.5}
    settings |= {"env.kwargs": {"seed": seed, "end": ENDS, "length": 200}}
    job = build(TABULAR, total_steps=50_000, seed=seed, **settings)
    seen = []
    while job.counter.steps < job.total_steps:
        metrics = next(job.algorithm)
        seen.append((*exact(seed, job.agent), float(metrics["constraint/multiplier"])))
    reward, spent, multiplier = np.mean(seen[-10:], axis=0)
    assert limit - 0.15 * (dear - cheap) < spent < limit + 0.02 * (dear - cheap)
    assert reward == pytest.approx(constrained(seed, spent)[0], abs=0.15 * (unbound - want))  # the best for that cost
    assert multiplier > 0.9 * price  # and still falling: it had to rise above it


def test_a_bound_that_is_kept_costs_nothing():
    """A limit above every episode's cost: λ stays 0 and the policy is that of the rewards alone."""
    settings = {"env.num": 4, "algo.horizon": 64, "algo.epochs": 2, "env.kwargs": {"end": ENDS}}
    job = build(TABULAR, **settings, **{"algo.cost_limit": 1e6})
    assert all(float(next(job.algorithm)["constraint/multiplier"]) == 0.0 for _ in range(4))
    adv, cost = torch.tensor([1.0, -2.0]), torch.tensor([5.0, 5.0])
    assert torch.equal(lagrangian(adv, cost, 0.0), adv)
    assert torch.equal(lagrangian(adv, cost, 1.0), torch.tensor([-2.0, -3.5]))


def test_each_episode_is_charged_once():
    settings = {"env.num": 3, "algo.epochs": 1, "env.kwargs": {"end": 0.1}, "env.backend": "inprocess"}
    job = build(TABULAR, **settings, **{"algo.horizon": 7})
    constraint, total, found = job.agent.beside["constraint"], 0.0, 0.0
    for _ in range(30):
        traj = job.counter(7)
        total += float(traj.cost.double().sum())
        told = constraint._ended(traj.cost, traj.terminated | traj.truncated, traj.acted)
        found += sum(told)
        assert len(told) == int((traj.terminated | traj.truncated).sum())
    assert found + float(constraint._open.sum()) == pytest.approx(total)
    assert found > 10


def test_an_environment_without_costs_is_refused_in_words():
    with pytest.raises(EnvError, match=r"gave no cost: .* info\['cost'\]"):
        next(build("CartPole-v1", **{"algo.horizon": 8}).algorithm)


def test_a_cost_that_is_no_number_is_named(tmp_path):
    (tmp_path / "env.py").write_text(
        "from operant.env.probe import FourState\n\n\n"
        "class Odd(FourState):\n"
        "    def step(self, action):\n"
        "        *answer, info = super().step(action)\n"
        "        return *answer, {'cost': 'high' if self._step == 3 else 0.0}\n"
    )
    job = build(f"{tmp_path / 'env.py'}:Odd", **{"algo.horizon": 8, "env.kwargs": {"limit": 9}})
    with pytest.raises(EnvError, match="copy 0, column 2 of the segment"):
        next(job.algorithm)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path):
    settings = {"env.num": 2, "algo.horizon": 64, "algo.epochs": 2, "env.kwargs": {"end": ENDS}, "algo.cost_limit": 1.0}
    settings |= {"algo.lr_schedule": "constant"}
    run = assert_resumes(tmp_path, "ppo-lagrangian", TABULAR, every=512, **settings)
    assert run.metrics["constraint/multiplier"].nunique() > 2
