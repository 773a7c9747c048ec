"""AlphaZero: what it learns from, that it learns, goes on bit for bit, is measured, filmed, and played against."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.games import Solver, alpha_beta, alpha_beta_player, game, random_player, versus
from operant.games.alphazero import _drawn
from operant.games.match import losing, optimal, raw_player
from operant.games.network import BoardPolicy, BoardSpec
from operant.games.self_play import SelfPlay
from operant.games.settings import AlphaZeroConfig
from operant.games.train_state import Window
from operant.search.tree import Search
from reference.resumed import files, rows

SMALL = {
    "quiet": True, "policy.hidden": (64,), "env.num": 32, "algo.simulations": 16, "algo.warm": 9, "algo.batch": 64,
    "eval.simulations": 40, "eval.episodes": 10, "save.videos": False, "save.report": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return operant.train("alphazero", "tictactoe", seed=101, runs=folder, total_steps=12_000, **SMALL)


def policy_of(name="tictactoe", **more):
    return BoardPolicy(BoardSpec(game=name, **more), torch.Generator().manual_seed(1))


def test_it_learns_to_draw_or_win_tic_tac_toe(run):
    """From positions of random games, the network alone keeps the exact value where a guess loses it."""
    board, rng = game("tictactoe"), np.random.default_rng(0)
    states = board.start(400)
    for _ in range(4):
        states = board.play(states, random_player(board)(states, rng))
    states = np.unique(states[~board.over(states)], axis=0)
    values = np.sign(alpha_beta(board, states, 9))
    hard = np.nanmin(values, 1) < np.nanmax(values, 1)
    states, values = states[hard], values[hard]
    guess = optimal(values, random_player(board)(states, rng))
    fresh = optimal(values, raw_player(policy_of())(states, rng))
    learnt = optimal(values, raw_player(run.policy)(states, rng))
    assert guess < 0.6
    assert learnt > max(fresh, guess) + 0.12
    assert optimal(values, run.policy.decide(states)) > 0.88
    returns, _, _ = versus(board, lambda s, g: run.policy.decide(s), alpha_beta_player(board, 9), 10, rng)
    assert returns.min() >= 0.0, "it never loses against the perfect player"


def test_targets_are_shares_of_visits_and_who_won_in_the_end():
    policy = policy_of()
    play = SelfPlay(policy, 8, Search(simulations=12), 1.0, 9, np.random.default_rng(0))
    new = play(12)
    board = policy.board
    assert play.steps == 96
    assert play.episodes == (new.states[:, 2] == 0).sum() > 8
    assert new.policy.sum(1) == pytest.approx(np.ones(len(new.policy)))
    assert not new.policy[~board.legal(new.states)].any()
    begins = np.flatnonzero(new.states[:, 2] == 0)
    for begin, end in zip(begins, [*begins[1:], len(new.states)], strict=True):
        z = new.outcome[begin:end]
        assert np.array_equal(z, z[0] * (-1.0) ** np.arange(end - begin)), "it changes sides at every ply"
        if z[0] != 0:
            assert z[-1] == 1, "whoever moves last has won"
        else:
            assert end - begin == 9
    assert (new.outcome[begins] == 1).any()


def test_mirrored_positions_have_mirrored_targets():
    policy = policy_of("connect4")
    board, window = policy.board, Window(10_000)
    play = SelfPlay(policy, 4, Search(simulations=10), 1.0, 42, np.random.default_rng(1))
    while len(window) < 100:
        window.add(play(8))
    cfg = AlphaZeroConfig(batch=256)
    planes, legal, shares, outcome = _drawn(cfg, policy, window, np.random.default_rng(2))
    held = window.held
    known = {}
    for state, share, z in zip(board.encode(held.states), held.policy, held.outcome, strict=True):
        known[state.tobytes()] = known[state[:, :, ::-1].tobytes()] = None
        known.setdefault((state.tobytes(), share.tobytes(), float(z)))
        known.setdefault((state[:, :, ::-1].tobytes(), share[::-1].tobytes(), float(z)))
    for row in zip(planes.numpy(), shares.numpy(), outcome.tolist(), strict=True):
        assert (row[0].tobytes(), row[1].tobytes(), row[2]) in known
    assert ((shares > 0) <= legal).all()
    plain = _drawn(cfg.model_copy(update={"symmetries": False}), policy, window, np.random.default_rng(2))
    originals = {state.tobytes() for state in board.encode(held.states)}
    assert all(x.tobytes() in originals for x in plain[0].numpy())
    assert not all(x.tobytes() in originals for x in planes.numpy())


@pytest.mark.parametrize("name", ["tictactoe", "go5"])
@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_networks_know_what_is_legal_and_are_stored(name, network, tmp_path):
    policy = policy_of(name, network=network, hidden=(16,), channels=4, blocks=1)
    board, rng = policy.board, np.random.default_rng(0)
    states = board.play(board.start(3), [0, 1, 2])
    prior, value = policy.evaluate(states)
    assert np.array_equal(prior > 0, board.legal(states))
    assert prior.sum(1) == pytest.approx(np.ones(3))
    assert (np.abs(value) < 1).all()
    policy.save(tmp_path)
    again = BoardPolicy.load(tmp_path)
    assert np.array_equal(again.evaluate(states)[0], prior)
    assert np.array_equal(raw_player(again)(states, rng), prior.argmax(1))
    (tmp_path / "policy.json").write_text((tmp_path / "policy.json").read_text().replace(name, "chess"))
    with pytest.raises(ConfigError, match="no game 'chess'"):
        BoardPolicy.load(tmp_path)


def test_a_run_goes_on_bit_for_bit(tmp_path):
    small = SMALL | {"algo.lr_schedule": "constant", "algo.batch": 64, "policy.hidden": (16,), "env.num": 8}
    small |= {"save.every": 256, "seed": 101}
    whole = operant.train("alphazero", "tictactoe", runs=tmp_path / "whole", total_steps=512, **small)
    part = operant.train("alphazero", "tictactoe", runs=tmp_path / "part", total_steps=256, **small)
    longer = operant.resume(part.path, to=512, quiet=True)
    ours, theirs = files(longer), files(whole)
    assert [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)] == []
    learnt = [rows(x).dropna(subset=["replay/size"]).reset_index(drop=True) for x in (longer, whole)]
    assert learnt[0].equals(learnt[1])
    assert longer.step == whole.step == 512


def test_it_is_measured_and_its_games_are_kept(run):
    info = run.folder.info()["evaluation"]
    assert info["wins"] + info["draws"] <= 1
    (file,) = (run.path / "evals").glob("games-*.json")
    kept = json.loads(file.read_text())
    board = game("tictactoe")
    for k, (moves, outcome) in enumerate(zip(kept["moves"], kept["returns"], strict=True)):
        state = board.start()
        for move in moves:
            state = board.play(state, [move])
        assert board.outcome(state)[0] * (1 if k < 5 else -1) == outcome
    random = run.evaluate(10, seed=3, deterministic=False)
    assert set(random["returns"]) <= {-1.0, 0.0, 1.0}


def test_connect_four_is_held_to_the_solver():
    policy, solver = policy_of("connect4", hidden=(16,), simulations=30), Solver()
    states, values = losing(solver, policy, 6, np.random.default_rng(5))
    assert (states[:, 2] >= 12).all()
    assert ((values == -1).any(1) & (np.nanmax(values, 1) > -1)).all()
    assert optimal(values, np.nanargmax(values, 1)) == 1
    assert optimal(values, np.nanargmin(values, 1)) == 0


def test_it_is_filmed(run, monkeypatch):
    paths = run.play(episodes=2, seed=4)
    about = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    assert [x["seed"] for x in about] == [4, 5]
    assert all(x["return"] in (-1.0, 0.0, 1.0) and 2 <= x["length"] <= 5 for x in about)


def test_a_person_plays_against_it_by_typing(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("a1\nzz\na1\nquit\n"))
    assert main(["play", str(run.path), "--against", "me", "--episodes", "2"]) == 0
    said = capsys.readouterr().err
    assert "you are X" in said
    assert " 1 X" in said
    assert "'zz' is no move" in said
    assert "a1 is not legal here" in said
    assert "Left." in said
    moves = "\n".join(f"{c}{r}" for _ in range(9) for c in "abc" for r in "123")  # some are legal, and tried in turn
    monkeypatch.setattr("sys.stdin", io.StringIO(moves))
    assert main(["play", str(run.path), "--against", "me", "--episodes", "2"]) == 0
    said = capsys.readouterr().err
    assert "you are O" in said
    assert "has won" in said or "drawn" in said


def test_what_cannot_be_is_refused_in_words(tmp_path, capsys):
    for env, settings, words in (
        ("CartPole-v1", {}, "there is no game 'CartPole-v1'"),
        ("mine.py:make", {}, "plays the games that are here"),
        ("go5", {"env.kwargs": {"size": 9}}, "a game takes komi"),
        ("go5", {"env.kwargs": {"komi": "big"}}, "expected a number"),
        ("hex5", {"env.kwargs": {"komi": 1.0}}, "no komi"),
    ):
        with pytest.raises(ConfigError, match=words):
            operant.loop("alphazero", env, **settings)
    with pytest.raises(ConfigError, match="plays no board"):
        operant.Run("operant/CartPole-v1").against(input, print)
    first = operant.train("alphazero", "tictactoe", runs=tmp_path, total_steps=64, **SMALL)
    with pytest.raises(ConfigError, match="game is tictactoe there"):
        operant.train("alphazero", "connect4", runs=tmp_path, init_from=first, total_steps=64, **SMALL)


def test_it_begins_from_the_weights_of_a_run(run, tmp_path):
    later = operant.train(
        "alphazero", "tictactoe", runs=tmp_path, init_from=run, total_steps=64, **SMALL | {"algo.batch": 4_096}
    )
    states = game("tictactoe").start()
    assert np.array_equal(later.policy.evaluate(states)[0], run.policy.evaluate(states)[0])
