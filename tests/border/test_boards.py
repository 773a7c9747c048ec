"""Players of boards out of a folder of another's: sizes, kinds and positions are looked at before they are used"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from operant.config.errors import ConfigError
from operant.games.board import game
from operant.games.network import BoardPolicy, BoardSpec
from operant.games.train_state import BoardLearner


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    BoardPolicy(BoardSpec(game="tictactoe", hidden=(8,)), torch.Generator().manual_seed(0)).save(folder)
    return folder


OTHER = [
    {"hidden": [60_000, 60_000, 60_000]}, {"network": "residual", "channels": 60_000}, {"blocks": 60_000, "network":
    "residual"}, {"hidden": 8}, {"hidden": ["8"]}, {"hidden": [0]}, {"simulations": -1}, {"simulations": True},
    {"explore": "x"}, {"explore": float("nan")}, {"explore": -1.0}, {"network": "transformer"}, {"game": 3},
    {"game": "chess"}, {"options": [1]}, {"options": {"komi": 1e999}}, {"options": {"size": 9}}, {"kind": "table"},
    {"more": 1},
]  # fmt: skip


@pytest.mark.parametrize("other", OTHER, ids=str)
def test_a_policy_that_says_what_it_is_not_is_refused(other, stored, tmp_path):
    for file in stored.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (stored / "policy.json").read_text()
    (tmp_path / "policy.json").write_text(json.dumps(json.loads(text) | other))
    with pytest.raises(ConfigError, match=tmp_path.name):
        BoardPolicy.load(tmp_path)
    assert BoardPolicy.load(stored)


@pytest.mark.parametrize("komi", [float("inf"), float("nan"), 0.3, 1e300])
def test_points_that_nobody_can_have_are_refused(komi):
    with pytest.raises(ConfigError, match="komi is"):
        game("go5", komi=komi)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("policy", lambda x: x[:1]), ("policy", lambda x: x.astype(np.float64)), ("policy", lambda x: x * np.nan),
        ("states", lambda x: x.astype(np.float32)), ("states", lambda x: x[:, :1]), ("outcome", lambda x: x[0]),
        ("outcome", lambda x: x + np.inf), ("outcome", lambda x: x[:, None]),
    ],
)  # fmt: skip
def test_positions_that_are_none_are_refused(name, change, tmp_path):
    board = game("tictactoe")
    whole = {"states": np.repeat(board.start(), 2, 0), "policy": np.zeros((2, board.actions), np.float32),
             "outcome": np.zeros(2, np.float32)}  # fmt: skip
    its = SimpleNamespace(agent=SimpleNamespace(board=board))
    tensors = {key: torch.from_numpy(np.ascontiguousarray(x)) for key, x in whole.items()}
    assert BoardLearner._window(its, tensors, tmp_path)
    bad = tensors | {name: torch.from_numpy(np.array(change(whole[name])))}
    with pytest.raises(ConfigError, match="holds no positions"):
        BoardLearner._window(its, bad, tmp_path)
