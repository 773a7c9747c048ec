"""AlphaGo's stages: what each learns from, and what the search asks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operant.games import BoardPolicy, BoardSpec
from operant.games import alphago as go
from operant.games.alphago import Mixed, played_out, reinforces, replayed
from operant.games.kernels import PLY
from operant.games.match import games, random_player, sampled_player, versus
from operant.search.tree import Search


def net(game="tictactoe", seed=0, hidden=(16,)):
    return BoardPolicy(BoardSpec(game=game, hidden=hidden), torch.Generator().manual_seed(seed))


def drawn(seed=0):
    return np.random.default_rng(seed)


def test_games_are_replayed_position_by_position_with_outcomes_to_who_moves():
    policy = net()
    board, player = policy.board, random_player(policy.board)
    outcome, _, moves = games(board, player, player, 20, drawn())
    record = replayed(board, moves)
    for n, its in enumerate(moves):
        rows, state = np.flatnonzero(record.game == n), board.start()
        assert record.actions[rows].tolist() == its
        for k, row in enumerate(rows):
            np.testing.assert_array_equal(record.states[row], state[0])
            assert record.outcome[row] == outcome[n] * (1 if k % 2 == 0 else -1)
            state = board.play(state, [its[k]])


def test_reinforce_is_the_gradient_by_hand():
    policy = net(seed=1)
    record = replayed(policy.board, [[0, 3, 1, 4, 2], [4, 0, 8, 1, 5, 2]])
    go.loss_of(policy, record, reinforces).backward()
    mine = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    policy.zero_grad()
    total = torch.zeros(())
    for row in range(len(record.actions)):
        state = record.states[row : row + 1]
        planes, legal = (torch.from_numpy(x) for x in (policy.board.encode(state), policy.board.legal(state)))
        total = total - float(record.outcome[row]) * policy(planes, legal)[0][0, record.actions[row]]
    (total / len(record.actions)).backward()
    for a, b in zip(mine, [p.grad for p in policy.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(a, b)


def test_a_policy_learns_what_wins_against_its_past_and_not_from_outcomes_that_say_nothing():
    won = {}
    for shuffled in (False, True):
        draws, policy = drawn(3), net(seed=2, hidden=(32,))
        before = sampled_player(net(seed=2, hidden=(32,)))

        def loss(logp, value, record, hide=shuffled, g=draws):
            return reinforces(logp, value, record._replace(outcome=g.permutation(record.outcome)) if hide else record)

        for _ in go.against_pool(policy, updates=40, num=32, every=10, lr=0.7, generator=draws, loss=loss):
            pass
        won[shuffled] = versus(policy.board, sampled_player(policy), before, 200, drawn(9))[0].mean()
    assert won[False] > 0.15
    assert won[False] > won[True] + 0.1


def test_a_value_learns_from_one_position_of_a_game_behind_a_move_of_chance():
    imitator, strong = net(seed=4), net(seed=5)
    one = go.value_positions(imitator, strong, 200, drawn())
    assert len(np.unique(one.game)) == len(one.game)
    assert len(np.unique(one.states[:, PLY])) > 3
    assert not imitator.board.over(one.states).any()
    every = go.value_positions(imitator, strong, 200, drawn(), every=True)
    for n in range(20):
        its = every.at(np.flatnonzero(every.game == n))
        order = np.argsort(its.states[:, PLY])
        assert (np.diff(its.states[order, PLY]) == 1).all()
        assert (its.outcome[order][1:] == -its.outcome[order][:-1]).all()
        last = its.states[order][-1:]
        if its.outcome[order][-1] == 1:  # who moves last wins: some move does
            board = imitator.board
            after = [board.play(last, [a]) for a in np.flatnonzero(board.legal(last)[0])]
            assert any(board.outcome(x)[0] == board.mover(last)[0] for x in after)


def test_a_game_is_played_out_to_whoever_moves():
    policy = net()
    state = policy.board.start()
    for action in (0, 3, 1, 4, 8, 5):  # O has 3 4 5: over, lost by X who would move
        assert not policy.board.over(state)[0]
        state = policy.board.play(state, [action])
    assert played_out(policy, state, drawn()).tolist() == [-1.0]


class Counted(BoardPolicy):
    asked = 0

    def evaluate(self, states):
        self.asked += 1
        return super().evaluate(states)


@pytest.mark.parametrize(("share", "value", "rollout"), [(0.0, True, False), (0.5, True, True), (1.0, False, True)])
def test_a_leaf_is_worth_what_the_network_says_and_how_a_game_ends(share, value, rollout):
    spec = BoardSpec(game="tictactoe", hidden=(8,))
    parts = [Counted(spec, torch.Generator().manual_seed(k)) for k in range(3)]
    player = Mixed(*parts, share, Search(simulations=8))
    start = parts[0].board.start()
    player(start, drawn())
    assert [part.asked > 0 for part in parts] == [True, value, rollout]
    prior, seen = player.evaluate(start, drawn(1))
    softer = parts[0].evaluate(start)[0] ** 0.67
    np.testing.assert_allclose(prior, softer / softer.sum())
    expected = (1 - share) * parts[1].evaluate(start)[1] + share * played_out(parts[2], start, drawn(1))
    np.testing.assert_allclose(seen, expected)


def test_the_expert_takes_the_middle_of_equal_moves_and_is_imitated():
    board = net("connect4").board
    assert go.expert(2, board, 0.0)(board.start(), drawn()).tolist() == [3]
    teacher = go.expert(2, board, 0.3)
    record = replayed(board, games(board, teacher, teacher, 40, drawn())[2])
    policy = net("connect4", hidden=(32,))
    with torch.no_grad():
        before = float(go.loss_of(policy, record, go.imitates))
    go.fit(policy, record, go.imitates, steps=100, batch=64, lr=5e-3, generator=drawn())
    with torch.no_grad():
        assert float(go.loss_of(policy, record, go.imitates)) < 0.7 * before
