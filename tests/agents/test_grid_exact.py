"""The grid against its exact model: every transition, the optimum, the value of a policy, and its gradient."""

from itertools import product

import numpy as np
import pytest

from agents.played import following, play, total
from operant.agents import Grid
from operant.agents.text.grid import MOVES
from operant.mdp import exact_policy_gradient, finite_horizon
from operant.mdp.policies import softmax


def scenario_of(world, template):
    return next(s for s in world.scenarios("train") if s.template == template)


@pytest.mark.parametrize("template", Grid.templates)
def test_every_row_of_the_model_is_what_a_session_does(template):
    """Played from the start to each state by its shortest way, then each move."""
    world = Grid(train=6)
    scenario = scenario_of(world, template)
    model = world.model(scenario)
    ways = {str(world.map(scenario.seed, template).begin()): []}
    for _ in range(world.limit(scenario) - 1):
        for way, move in product(list(ways.values()), MOVES):
            if len(way) + 1 < world.limit(scenario):
                seen = play(world, scenario, following([*way, f"go {move}"], "wait"))
                if not seen[len(way) + 1].terminated:
                    ways.setdefault(seen[len(way) + 1].state, [*way, f"go {move}"])
        if len(ways) > 12:
            break
    names = {str(state): i for i, state in enumerate(model.states)}
    checked = 0
    for (state, way), (k, move) in product(ways.items(), enumerate(MOVES)):
        seen = play(world, scenario, following([*way, f"go {move}"], "wait"))[len(way) + 1]
        row = int(np.flatnonzero((model.row_state == names[state]) & (model.rows.action == k))[0])
        begin, end = model.rows.indptr[row : row + 2]
        assert end - begin == 1
        assert str(model.states[model.rows.indices[begin]]) == seen.state
        assert model.rows.reward[row] == pytest.approx(seen.reward)
        checked += 1
    assert checked >= 40


@pytest.mark.parametrize("template", Grid.templates)
def test_the_optimum_of_the_model_is_what_the_oracle_earns(template):
    world = Grid(train=30)
    for scenario in [s for s in world.scenarios("train") if s.template == template][:4]:
        model = world.model(scenario)
        best = float(finite_horizon(model, threads=1).values[0] @ model.start)
        assert best == pytest.approx(1.0)
        assert total(play(world, scenario, following(world.oracle(scenario)))) == pytest.approx(best)


def test_no_plan_of_a_small_grid_is_better_than_the_optimum():
    """All sequences of moves, one by one."""
    world = Grid(train=40, size=5)
    scenario = min((s for s in world.scenarios("train") if s.template == "open"), key=world.limit)
    drawn = world.map(scenario.seed, "open")
    best = 0.0
    for moves in product(MOVES, repeat=world.limit(scenario)):
        state, earned = drawn.begin(), 0.0
        for move in moves:
            if isinstance(state, str):
                break
            state, reward = drawn.moved(state, move)
            earned += reward
        best = max(best, earned)
    model = world.model(scenario)
    assert best == pytest.approx(float(finite_horizon(model, threads=1).values[0] @ model.start))


def sampled(world, scenario, theta, model, baseline, episodes, seed):
    """Returns and score-function gradients [N, L] of episodes of a tabular softmax policy, played in words."""
    names, rng = {str(state): i for i, state in enumerate(model.states)}, np.random.default_rng(seed)
    policy = softmax(model, theta)
    rows = {i: np.flatnonzero(model.row_state == i) for i in range(model.num_states)}
    returns, gradients = np.zeros(episodes), np.zeros((episodes, model.num_rows))
    for n in range(episodes):
        now = type(scenario)(
            **{**{f: getattr(scenario, f) for f in ("id", "template", "seed", "instruction")}, "variant": n}
        )
        state, score = [str(world.map(scenario.seed, scenario.template).begin())], np.zeros(model.num_rows)

        def act(session, _, state=state, score=score):
            here = rows[names[str(session.game.state)]]
            k = rng.choice(len(here), p=policy[here])
            score[here] -= policy[here]
            score[here[k]] += 1.0
            return f"go {list(MOVES)[model.rows.action[here[k]]]}"

        returns[n] = total(play(world, now, act))
        gradients[n] = score * (returns[n] - baseline)
    return returns, gradients


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_value_and_gradient_of_a_tabular_policy_are_those_of_the_model(slip):
    """REINFORCE over episodes in words has the exact gradient for its mean; with a slip, over the draws of variants."""
    world = Grid(train=30, size=5, slip=slip)
    scenario = min((s for s in world.scenarios("train") if s.template == "open"), key=world.limit)
    model = world.model(scenario)
    drawn = world.map(scenario.seed, "open")
    theta = np.zeros(model.num_rows)
    for row, (number, move) in enumerate(zip(model.row_state, model.rows.action, strict=True)):
        state = model.states[number]
        there = drawn.moved(state, list(MOVES)[move])[0]
        away = [drawn.exit if s == "exit" else s[:2] for s in (state, there)]
        nearer = sum(abs(a - b) for a, b in zip(away[1], drawn.exit, strict=True)) < sum(
            abs(a - b) for a, b in zip(away[0], drawn.exit, strict=True)
        )
        theta[row] = 2.0 * nearer
    exact = exact_policy_gradient(model, theta)
    returns, gradients = sampled(world, scenario, theta, model, exact.objective, 2500, 3)
    assert 0.05 < exact.objective < 0.95
    assert abs(returns.mean() - exact.objective) < 4.0 * returns.std() / np.sqrt(len(returns))
    error = np.abs(gradients.mean(0) - exact.gradient)
    spread = gradients.std(0) / np.sqrt(len(returns))
    assert (error <= 4.5 * spread + 5e-3).all()  # ways that none of the episodes took have no spread
    cosine = gradients.mean(0) @ exact.gradient / np.linalg.norm(gradients.mean(0)) / np.linalg.norm(exact.gradient)
    assert cosine > 0.9
