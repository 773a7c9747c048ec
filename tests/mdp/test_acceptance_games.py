"""Published numbers: Jack's car rental, the gambler's problem, blackjack (Sutton & Barto, chapters 4 and 5)."""

import numpy as np
import pytest

from operant.mdp import solve, worlds
from operant.mdp.analyse.evaluation import evaluate
from operant.mdp.policies import deterministic

CARS = worlds.car_rental()


def greedy(mdp, q, keep):
    """The first greedy action of each state, or the one in `keep` where that is greedy too."""
    table = np.full((mdp.num_states, mdp.num_actions), -np.inf)
    table[mdp.row_state, mdp.rows.action] = q
    states = np.arange(mdp.num_states)
    best = table.argmax(axis=1)
    return np.where(table[states, keep] >= table[states, best] - 1e-9, keep, best)


def test_car_rental_policies():
    """Policy iteration from π₀ = 0: five evaluations, π₄ optimal."""
    policy, changed, worth = np.full(441, 5), [], []
    while not changed or changed[-1]:
        found = evaluate(CARS, deterministic(CARS, policy))
        better = greedy(CARS, found.action_values, policy)
        worth.append(found.values[[0, 440]])
        changed.append(int((better != policy).sum()))
        policy = better
    assert changed == [318, 272, 79, 8, 0]
    assert worth[0] == pytest.approx([407.1790, 611.4034], abs=1e-4)  # the 612 of figure 4.2 is here, not at π₄
    assert worth[-1] == pytest.approx([421.4141, 636.9896], abs=1e-4)
    counts = np.bincount(policy, minlength=11)
    assert counts.tolist() == [0, 3, 9, 14, 17, 270, 33, 29, 23, 17, 26]
    found = solve(CARS, epsilon=1e-6)
    assert (found.policy == policy).all()
    assert found.values[[0, 440]] == pytest.approx(worth[-1], abs=1e-6)


def test_gambler():
    mdp = worlds.gambler(0.4)
    found = solve(mdp, epsilon=1e-10)
    expected = {1: 0.00206562, 10: 0.0434635, 25: 0.16, 50: 0.4, 51: 0.40309844, 75: 0.64, 99: 0.96433297}
    for capital, value in expected.items():
        assert found.values[capital] == pytest.approx(value, abs=1e-6 if capital != 10 else 5e-7)
    optimal = found.ties(1e-9)
    assert mdp.rows.action[(mdp.row_state == 51) & optimal].tolist() == [1, 49]
    assert mdp.rows.action[(mdp.row_state == 50) & optimal].tolist() == [50]
    assert mdp.rows.action[(mdp.row_state == 25) & optimal].tolist() == [25]
    bold = np.minimum(mdp.row_state, 100 - mdp.row_state) == mdp.rows.action
    assert optimal[bold].all()  # bold play is optimal everywhere under p ≤ ½


def test_gambler_other_coins():
    found = solve(worlds.gambler(0.25), epsilon=1e-9)
    assert found.values[[25, 50, 75]] == pytest.approx([0.0625, 0.25, 0.4375], abs=1e-9)
    fair = solve(worlds.gambler(0.5), epsilon=1e-9)
    assert fair.values[1:100] == pytest.approx(np.arange(1, 100) / 100, abs=1e-8)  # every stake ties
    assert fair.ties(1e-7).all()
    good = solve(worlds.gambler(0.55), epsilon=1e-9)  # timid play: v(s) = (1 - ρ^s) / (1 - ρ^100), ρ = q / p
    ratio = 0.45 / 0.55
    timid = (1 - ratio ** np.arange(1, 100)) / (1 - ratio**100)
    assert good.values[1:100] == pytest.approx(timid, abs=1e-8)
    assert (good.policy[1:50] == 1).all()


# Sticks from this sum on, dealer's card A, 2, …, 10 (figure 5.2)
HARD = [17, 13, 13, 12, 12, 12, 17, 17, 17, 17]
SOFT = [19, 18, 18, 18, 18, 18, 18, 18, 19, 19]


@pytest.mark.parametrize("natural", [True, False])
def test_blackjack_optimal_policy(natural):
    mdp = worlds.blackjack(natural=natural)
    found = solve(mdp, epsilon=1e-9)
    for usable, thresholds in ((False, HARD), (True, SOFT)):
        for card, first in zip(range(1, 11), thresholds, strict=True):
            for total in range(12, 22):
                state = mdp.index((total, usable, card))
                assert found.policy[state] == (0 if total >= first else 1), mdp.states[state]
    assert mdp.start @ found.values == pytest.approx(-0.043113 if natural else -0.046556, abs=1e-6)
    assert found.ties(1e-9).sum() == (~mdp.rows.terminal).sum()  # the optimal policy is unique


def test_blackjack_state_of_example_5_4():
    mdp = worlds.blackjack()
    sticks = [state[0] in (20, 21, "natural") for state in mdp.states]
    found = evaluate(mdp, deterministic(mdp, np.where(sticks, 0, 1)))
    assert found.values[mdp.index((13, True, 2))] == pytest.approx(-0.277204, abs=1e-6)
