"""Tree search against a slow one on objects, minimax, and exact values; models of games and of one agent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.games import alpha_beta, best_of, game
from operant.search.tree import Reply, Root, Search, tree_search


def rules(board, evaluate):
    """A board as a model."""

    def model(states, actions):
        mover = board.mover(states)
        after = board.play(states, actions)
        over = board.over(after)
        prior, value = evaluate(after)
        return Reply(board.outcome(after) * mover, np.where(over, 0.0, -1.0), prior, value, after)

    return model


def flat(board):
    """Every legal action as likely as another, every value 0."""

    def evaluate(states):
        legal = board.legal(states).astype(float)
        return legal / np.maximum(legal.sum(1, keepdims=True), 1), np.zeros(len(states))

    return evaluate


def odd(board):
    """Priors and values that look like a network's: a function of the position."""

    def evaluate(states):
        mixed = np.sin((states[:, :2] % [1009, 997] * [0.37, 0.73]).sum(1, keepdims=True) + np.arange(board.actions))
        prior = np.where(board.legal(states), np.exp(mixed), 0.0)
        return prior / np.maximum(prior.sum(1, keepdims=True), 1e-9), np.tanh(mixed.mean(1) * 3)

    return evaluate


class Node:
    def __init__(self, state, prior, value, over=False):
        self.state, self.prior, self.value, self.over = state, prior, value, over
        self.children, self.visits, self.total, self.pending = {}, {}, {}, {}


def slow(board, evaluate, state, search, *, wrong=""):
    """PUCT on objects, walk by walk; `wrong` injects a known bug."""

    def opened(states):
        prior, value = evaluate(states[None])
        return Node(states, prior[0], value[0], bool(board.over(states[None])[0]))

    def q_of(node, a):
        seen = node.visits.get(a, 0) + node.pending.get(a, 0)
        if seen == 0:
            mean = (node.value + sum(node.total.values())) / (1 + sum(node.visits.values()))
            return mean - search.reduction
        return (node.total.get(a, 0.0) - search.virtual_loss * node.pending.get(a, 0)) / seen

    def pick(node):
        count = sum(node.visits.values()) + sum(node.pending.values())
        c = math.log((2 + count + search.base) / search.base) + search.explore
        scores = {
            a: q_of(node, a) + c * math.sqrt(1 + count) * p / (1 + node.visits.get(a, 0) + node.pending.get(a, 0))
            for a, p in enumerate(node.prior)
            if p > 0
        }
        return max(scores, key=lambda a: scores[a])

    root, done = opened(state), 0
    while done < search.simulations:
        walks = []
        for _ in range(min(search.leaves, search.simulations - done)):
            node, path = root, []
            while not node.over:
                a = pick(node)
                node.pending[a] = node.pending.get(a, 0) + 1
                path.append((node, a))
                if a not in node.children:
                    break
                node = node.children[a][0]
            walks.append(path)
            done += 1
        for path in walks:
            node, a = path[-1]
            if a not in node.children:
                after = board.play(node.state[None], [a])
                reward = board.outcome(after)[0] * board.mover(node.state[None])[0]
                node.children[a] = opened(after[0]), reward
            leaf = node.children[a][0]
            g = 0.0 if leaf.over else leaf.value
            for node, a in reversed(path):
                child, reward = node.children[a]
                back = 0.0 if child.over else (1.0 if wrong == "sign" else -1.0) * g
                g = reward + back
                node.pending[a] -= 1
                node.visits[a] = node.visits.get(a, 0) + 1
                node.total[a] = node.total.get(a, 0.0) + g
    return [root.visits.get(a, 0) for a in range(board.actions)]


def begun(board, count, plies, seed):
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        states = board.start(count)
        for _ in range(plies):
            states = states[~board.over(states)]
            states = board.play(states, best_of(np.where(board.legal(states), 0.0, np.nan), rng))
        found.extend(states[~board.over(states)])
    return np.stack(found[:count])


@pytest.mark.parametrize(
    "search",
    [
        Search(simulations=120),
        Search(simulations=90, explore=1.0, reduction=0.3, base=50.0),
        Search(simulations=100, leaves=8),
        Search(simulations=50, leaves=7, virtual_loss=3.0, reduction=0.1),
    ],
    ids=["plain", "reduced", "leaves", "virtual"],
)
@pytest.mark.parametrize("name", ["tictactoe", "connect4", "go5"])
def test_visits_are_those_of_the_slow_search(name, search):
    board = game(name)
    evaluate = odd(board)
    states = begun(board, 3, 3, seed=1)
    found = tree_search(Root(*evaluate(states), states), rules(board, evaluate), search)
    assert found.visits.tolist() == [slow(board, evaluate, state, search) for state in states]
    assert (found.visits.sum(1) == search.simulations).all()
    alone = [tree_search(Root(*evaluate(s[None]), s[None]), rules(board, evaluate), search) for s in states]
    together = np.concatenate([x.q for x in alone])
    assert np.allclose(found.q, together, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_value_taken_up_with_the_wrong_sign_is_seen():
    """The bug of many a first search: values are not turned round between the players."""
    board = game("tictactoe")
    evaluate, search = odd(board), Search(simulations=120)
    state = begun(board, 1, 2, seed=1)
    found = tree_search(Root(*evaluate(state), state), rules(board, evaluate), search)
    assert found.visits[0].tolist() == slow(board, evaluate, state[0], search)
    assert found.visits[0].tolist() != slow(board, evaluate, state[0], search, wrong="sign")


@pytest.mark.parametrize(("name", "plies"), [("tictactoe", 2), ("tictactoe", 4), ("hex3", 2)])
def test_it_goes_to_the_minimax_value(name, plies):
    board = game(name)
    evaluate = flat(board)
    states = begun(board, 24, plies, seed=2)
    exact = alpha_beta(board, states, 9)
    found = tree_search(Root(*evaluate(states), states), rules(board, evaluate), Search(simulations=6_000, explore=1.0))
    chosen = np.sign(exact[np.arange(24), found.best()])
    assert np.array_equal(chosen, np.sign(np.nanmax(exact, 1)))
    assert np.abs(found.q[np.arange(24), found.best()] - np.sign(np.nanmax(exact, 1))).max() < 0.25


@pytest.mark.parametrize("name", ["tictactoe", "hex3"])
@pytest.mark.parametrize("leaves", [1, 6])
def test_proofs_are_exact(name, leaves):
    board = game(name)
    evaluate = odd(board)
    states = begun(board, 24, 2, seed=3)
    exact = alpha_beta(board, states, 9)
    search = Search(simulations=4_000, leaves=leaves, proofs=True)
    found = tree_search(Root(*evaluate(states), states), rules(board, evaluate), search)
    assert found.proven.all()
    assert np.array_equal(found.value, np.sign(np.nanmax(exact, 1)))
    assert np.array_equal(np.sign(exact[np.arange(24), found.best()]), found.value)
    assert found.visits.sum(1).max() < 4_000, "it ends where all is proven"
    few = tree_search(Root(*evaluate(states), states), rules(board, evaluate), Search(simulations=60, proofs=True))
    known = few.proven
    assert np.array_equal(few.value[known], found.value[known]), "a proof is a proof, however early"


def test_one_agent_is_searched_as_two_are():
    """A chain: 1 leads on at a cost, and pays at its end; 0 ends with little. Discount 0.9, no opponent."""

    def model(state, action):
        after = state + 1
        ends = (action == 0) | (after[:, 0] == 4)
        reward = np.where(action == 0, 0.3, np.where(after[:, 0] == 4, 1.0, -0.05))
        size = len(state)
        return Reply(reward, np.where(ends, 0.0, 0.9), np.full((size, 2), 0.5), np.zeros(size), after)

    root = Root(np.full((1, 2), 0.5), np.zeros(1), np.zeros((1, 1)))
    found = tree_search(root, model, Search(simulations=400, proofs=True, most=10.0))
    worth = -0.05 + 0.9 * (-0.05 + 0.9 * (-0.05 + 0.9))
    assert found.proven[0]
    assert found.value[0] == pytest.approx(worth)
    assert found.best()[0] == 1
    plain = tree_search(root, model, Search(simulations=3_000, explore=0.5))
    assert plain.q[0, 1] == pytest.approx(worth, abs=0.03)


def test_noise_moves_the_root_and_nothing_else():
    board = game("connect4")
    evaluate = flat(board)
    states = board.start(2)
    states = board.play(states, [3, 3])
    root, model = Root(*evaluate(states), states), rules(board, evaluate)
    loud = Search(simulations=50, noise=1.0, alpha=0.05)
    once = tree_search(root, model, loud, np.random.default_rng(1))
    assert np.array_equal(once.visits, tree_search(root, model, loud, np.random.default_rng(1)).visits)
    assert once.visits.max() > 20, "a spike of noise draws the visits"
    assert not np.array_equal(once.visits[0], once.visits[1])
    quiet = tree_search(root, model, Search(simulations=50))
    assert np.array_equal(quiet.visits[0], quiet.visits[1])
    full = board.start()
    for _ in range(6):
        full = board.play(full, [0])
    blocked = tree_search(Root(*evaluate(full), full), model, loud, np.random.default_rng(2))
    assert blocked.visits[0, 0] == 0, "noise makes nothing legal"


def test_actions_are_drawn_by_their_visits():
    board = game("tictactoe")
    evaluate = odd(board)
    states = np.repeat(board.start(), 4_000, 0)
    root = Root(*evaluate(states), states)
    found = tree_search(root, rules(board, evaluate), Search(simulations=30))
    drawn = found.sample(1.0, np.random.default_rng(0))
    share = np.bincount(drawn, minlength=9) / len(drawn)
    assert share == pytest.approx(found.policy()[0], abs=0.03)
    assert np.array_equal(found.sample(0.0, np.random.default_rng(0)), found.best())
    mixed = found.sample(np.where(np.arange(4_000) < 2_000, 0.0, 1.0), np.random.default_rng(0))
    assert (mixed[:2_000] == found.best()[0]).all()
    assert len(set(mixed[2_000:].tolist())) > 1


def test_errors_say_what_is_wrong():
    board = game("tictactoe")
    evaluate, states = flat(board), board.start()
    root, model = Root(*evaluate(states), states), rules(board, evaluate)
    with pytest.raises(ConfigError, match="simulations is 0"):
        Search(simulations=0)
    with pytest.raises(ConfigError, match="explore"):
        Search(simulations=1, explore=float("nan"))
    with pytest.raises(ConfigError, match="noise must"):
        Search(simulations=1, noise=2.0)
    with pytest.raises(ConfigError, match="needs a generator"):
        tree_search(root, model, Search(simulations=1, noise=0.5))
    with pytest.raises(ValueError, match="no legal action"):
        tree_search(root._replace(prior=np.zeros((1, 9))), model, Search(simulations=1))
    with pytest.raises(ValueError, match="expected"):
        tree_search(root._replace(value=np.zeros(2)), model, Search(simulations=1))
