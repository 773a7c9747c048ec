"""Models as files: everything comes back as it was, and whatever is no model is refused with its place."""

import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import MDP, ModelError, from_gymnasium, from_mdptoolbox, from_prism, grid_world, load, to_prism
from reference.model_table import assert_identical, random_triples


def models():
    """One of each kind."""
    P, R = np.full((2, 2, 2), 0.5), np.arange(8.0).reshape(2, 2, 2) / 3
    yield "plain", MDP(P, R, 0.9)
    yield "names", MDP(P, R[..., 0], 1.0, terminal={1: -0.1}, states=["ä", "b c"], actions=["x", "y"], start=0)
    yield "tuples", MDP(P, R, 0.5, states=[(0, "a"), (1, ("b", 2.5))], start=[1 / 3, 2 / 3], horizon=7)
    yield "same names", MDP(P, R, 0.5, states=["a", "a"], criterion="average")
    yield "leak", MDP(P / 3, R, 1.0, leak=True)
    yield "lake", from_gymnasium("FrozenLake-v1", discount=0.99)
    yield "taxi", from_gymnasium("Taxi-v4", discount=0.99)
    yield "grid", grid_world("S.#\n..G", discount=0.9, terminal="G", rewards={"G": 0.1}, slip=0.3)


@pytest.mark.parametrize(("name", "mdp"), list(models()))
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_what_is_saved_is_loaded(tmp_path, name, mdp, suffix):
    path = tmp_path / f"{name}{suffix}"
    mdp.save(path)
    assert_identical(load(path), mdp)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert load(path, discount=0.25).discount == 0.25


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([".npz", ".json"]))
def test_random_models_come_back_to_the_last_bit(tmp_path_factory, seed, suffix):
    generator = np.random.default_rng(seed)
    table = {}
    for s, a, p, t, r in random_triples(generator, 5, 3):
        table.setdefault(s, {}).setdefault(a, []).append((p, t, r))
    mdp = MDP(table, discount=float(generator.random()), start=dict.fromkeys(range(5), 0.2))
    path = tmp_path_factory.mktemp("models") / f"model{suffix}"
    mdp.save(path)
    assert_identical(load(path), mdp)


def test_the_documented_json_is_read(tmp_path):
    from operant.mdp.io import files as formats

    text = formats.__doc__.split("    {\n")[1].split("    }\n")[0]
    lines = [line.strip().split("   ")[0] for line in text.splitlines()]  # comments stand apart
    path = tmp_path / "race.json"
    path.write_text("{" + "\n".join(lines) + "}")
    mdp = load(path)
    assert mdp.states == ("cool", "warm", "overheated")
    assert mdp.rows.reward.tolist() == [1.0, 2.0, -4.5]
    assert mdp.rows.outcome_reward.tolist() == [1, 2, 2, 1, -10]
    assert mdp.rows.terminal.tolist() == [False, False, True]
    assert mdp.start.tolist() == [1, 0, 0]


def test_a_map_file(tmp_path):
    path = tmp_path / "world.map"
    head = "discount: 1\nliving_reward: -0.04\nslip: 0.2\nreward +: 1\nreward -: -1\nterminal: +-\nreward_on: leave\n"
    path.write_text(head + "\n  ...+\n  .#.-\n  S...\n")
    drawn = "...+\n.#.-\nS..."
    options = {
        "rewards": {"+": 1, "-": -1},
        "terminal": "+-",
        "living_reward": -0.04,
        "slip": 0.2,
        "reward_on": "leave",
    }
    assert_identical(load(path), grid_world(drawn, discount=1.0, **options))
    assert_identical(load(path, discount=0.9), grid_world(drawn, discount=0.9, **options))
    plain = tmp_path / "plain.txt"
    plain.write_text("S..\n...\n")
    assert_identical(load(plain, discount=0.5), grid_world("S..\n...", discount=0.5))
    for text, message in (
        ("S..", "the discount is missing"),
        ("discount: 1\nslip: much\n\nS..", "w.map:2: could not convert"),
        ("discount: 1\nreward XY: 1\n\nS..", "w.map:2: 'reward XY' is no option"),
        ("discount: 1\n\nS..\n..", "line 2 of the map"),
    ):
        (tmp_path / "w.map").write_text(text)
        with pytest.raises(ModelError, match=message):
            load(tmp_path / "w.map")


GOOD = {
    "format": "operant-mdp",
    "version": 1,
    "discount": 0.9,
    "states": ["a", "b"],
    "actions": ["go"],
    "terminal": [["b", 0.0]],
    "transitions": [["a", "go", 1.0, [["b", 1.0]]]],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "this is not a model"),
        ({"version": 2}, "version 2 is not known"),
        ({"discount": "0.9"}, "discount is '0.9'"),
        ({"discount": 7}, "discount is 7"),
        ({"horizon": 1.5}, "horizon is 1.5"),
        ({"leak": 1}, "leak is 1"),
        ({"states": ["a", "b", "c"]}, r"state 2 \(c\) has no actions|more than rows"),
        ({"states": 10**18}, "more than rows and terminal states"),
        ({"states": {"a": 1}}, "states is"),
        ({"transitions": 3}, "states: "),
        ({"transitions": [["a", "go", 1.0]]}, r"transitions\[0\]"),
        ({"transitions": [["a", "go", 1.0, [["c", 1.0]]]]}, r"transitions\[0\]: no state or action is named 'c'"),
        ({"transitions": [["a", "go", 1.0, [[9, 1.0]]]]}, r"transitions\[0\]: 9 is no state"),
        ({"transitions": [["a", "go", 1.0, [[-1, 1.0]]]]}, r"transitions\[0\]: -1 is no state"),
        ({"transitions": [["a", "go", 1.0, [["b", None]]]]}, r"transitions\[0\]"),
        ({"transitions": [["a", "go", None, [["b", 1.0]]]]}, r"transitions\[0\]"),
        ({"transitions": [["a", "go", 1.0, [["b", 0.5]]]]}, r"state 0 \(a\), action 0 \(go\): .* sum to 0.5"),
        ({"terminal": [["b"]]}, "terminal"),
        ({"start": [["b", 0.5]]}, "start probabilities sum to 0.5"),
        ({"start": 3}, "start"),
        ({"grid": {"lines": ["ab"], "cell": [0, 5], "moves": [[0, 1]]}}, "grid is malformed"),
        ({"grid": 4}, "grid is malformed"),
    ],
)
def test_faulty_json_is_refused(tmp_path, changes, message):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(GOOD))
    assert load(path).num_states == 2
    path.write_text(json.dumps(GOOD | changes))
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_json_that_is_none_is_refused_with_its_line(tmp_path):
    path = tmp_path / "model.json"
    for text, message in (
        ('{\n"format": 1,\n]', r"model.json:3: "),
        ("[" * 100_000, "model.json"),
        ("[1]", "not a model"),
    ):
        path.write_text(text)
        with pytest.raises(ModelError, match=message):
            load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="cannot be read"):
        load(path)


def test_an_npz_that_was_tampered_with_is_refused_and_never_unpickled(tmp_path):
    path = tmp_path / "model.npz"
    next(models())[1].save(path)
    good = dict(np.load(path))
    about = json.loads(str(good["about"]))
    faults = [
        ({"indices": good["indices"] + np.uint32(7)}, "successor 7 does not exist"),
        ({"data": good["data"] * 0.5}, "sum to 0.5"),
        ({"data": good["data"].astype(np.float32)}, "rows.data is float32"),
        ({"data": good["data"].reshape(2, -1)}, "data is float64 of shape"),
        ({"pointer": good["pointer"].astype(np.int64)}, "pointer is int64"),
        ({"pointer": good["pointer"][:-1]}, "rows.pointer has shape"),
        ({"indptr": good["indptr"] * np.uint32(2)}, "indptr does not rise"),
        ({"about": np.array(json.dumps(about | {"format": "?"}))}, "not a model"),
        ({"about": np.array(3.5)}, "not a model"),
        ({"reward": None}, "reward is missing"),
        ({"data": np.array([{}], dtype=object)}, "not a model saved by operant .*allow_pickle"),
    ]
    for changes, message in faults:
        arrays = {name: array for name, array in (good | changes).items() if array is not None}
        np.savez(path, **arrays)
        with pytest.raises(ModelError, match=message):
            load(path)
    np.savez(path, **good)
    whole = path.read_bytes()
    for cut in (0, 3, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match=r"model\.npz"):
            load(path)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f8", "fortran_order": False, "shape": (2**58,)})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("about.npy", whole)
        file.writestr("data.npy", huge.getvalue())
    with pytest.raises(ModelError, match=r"model\.npz"):
        load(path)


def test_other_files_are_refused(tmp_path):
    mdp = next(models())[1]
    with pytest.raises(ModelError, match=r"saved as \.npz or \.json"):
        mdp.save(tmp_path / "model.pkl")
    with pytest.raises(ModelError, match="is none of"):
        load(tmp_path / "model.pkl")
    with pytest.raises(ModelError, match="no such file"):
        load(tmp_path / "model.npz")
    odd = mdp.replace(states=[frozenset(), 1])
    with pytest.raises(ModelError, match=r"the name frozenset\(\) cannot be saved"):
        odd.save(tmp_path / "model.json")
    assert list(tmp_path.iterdir()) == []
    mdp.save(tmp_path / "model.npz")
    with pytest.raises(ModelError, match="colour"):
        load(tmp_path / "model.npz", colour="red")


def test_mdptoolbox_arrays():
    generator = np.random.default_rng(0)
    P, R = generator.dirichlet(np.ones(3), size=(2, 3)), generator.normal(size=(2, 3, 3))
    wanted = MDP(P.transpose(1, 0, 2), R.transpose(1, 0, 2), 0.9)
    sparse, prizes = [sp.csr_matrix(p) for p in P], [sp.csr_matrix(r) for r in R]
    for p in (P, list(P), sparse, tuple(sparse)):
        for r in (R, list(R), prizes):
            assert_identical(from_mdptoolbox(p, r, 0.9), wanted)
        by_pair = from_mdptoolbox(p, R.mean(axis=2).T, 0.9)
        np.testing.assert_array_equal(by_pair.rows.reward, R.mean(axis=2).T.ravel())
        assert from_mdptoolbox(p, [1.0, 2.0, 3.0], 0.9).rows.reward.tolist() == [1, 1, 2, 2, 3, 3]
    two = from_mdptoolbox(P[:, :2, :2] / P[:, :2, :2].sum(axis=2, keepdims=True), R[:, :2, :2], 0.9)
    assert two.rows.reward[1] == pytest.approx(two.rows.data[2:4] @ R[1, 0, :2])  # as many actions as states
    for p, r, message in (
        (P, R[:, :2], "R has shape"),
        (P[:, :2], R, "expected"),
        (sparse[0], R, "one sparse matrix"),
        ([], R, "empty"),
        (P * 0.5, R, "state 0, action 0: the probabilities sum to 0.5"),
    ):
        with pytest.raises(ModelError, match=message):
            from_mdptoolbox(p, r, 0.9)


def prism(folder, **changes):
    """A little model: 0 chooses, 1 is the goal, 2 is stuck."""
    files = {
        "tra": "3 4 6\n0 0 1 0.5 safe\n0 0 2 1/2 safe\n0 1 0 0.25 again\n0 1 1 0.75 again\n1 0 1 1\n2 0 2 1\n",
        "lab": '0="init" 1="deadlock" 2="goal"\n0: 0\n1: 2\n2: 1\n',
        "srew": '# Reward structure "cost"\n# State rewards\n3 1\n0 2\n',
        "trew": "3 4 1\n0 1 0 4\n",
        "sta": "(x,b)\n0:(0,true)\n1:(1,false)\n2:(2,false)\n",
    } | changes
    for suffix, text in files.items():
        (folder / f"m.{suffix}").write_text(text)
    return folder / "m.tra"


def test_prism_files(tmp_path):
    path = prism(tmp_path)
    mdp = load(path, target="goal")
    assert mdp.states == ((0, True), (1, False), (2, False))
    assert (mdp.discount, mdp.criterion) == (1.0, "total")
    assert mdp.rows.terminal.tolist() == [False, True, False]
    assert mdp.start.tolist() == [1, 0, 0]
    assert mdp.rows.reward.tolist() == [2.0, 3.0, 0.0]
    assert mdp.rows.outcome_reward.tolist() == [2, 2, 6, 2, 0]
    assert mdp.rows.data.tolist() == [0.5, 0.5, 0.25, 0.75, 1.0]
    assert from_prism(path, target="goal", minimise=True).rows.reward.tolist() == [-2.0, -3.0, 0.0]
    reach = from_prism(path, target="goal", reach=True)
    assert reach.rows.terminal_value.tolist() == [0, 1, 0]
    assert not reach.rows.reward.any()
    assert from_prism(path, target="goal", reach=True, minimise=True).rows.terminal_value.tolist() == [0, -1, 0]
    assert from_prism(path, discount=0.5).num_rows == 4
    named = prism(tmp_path, tra="3 4 6\n0 0 1 0.5 a\n0 0 2 0.5 a\n0 1 0 0.25 b\n0 1 1 0.75 b\n1 0 1 1\n2 0 2 1 b\n")
    assert from_prism(named, target="goal").actions == ("a", "b")
    chain = tmp_path / "c.tra"
    chain.write_text("2 3\n0 0 0.5\n0 1 0.5\n1 1 1\n")
    assert from_prism(chain).rows.data.tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tra": ""}, "m.tra:1: the file is empty"),
        ({"tra": "3\n"}, "m.tra:1: expected"),
        ({"tra": "3 4 6\n0 0 1\n"}, "m.tra:2: 3 fields: expected"),
        ({"tra": "3 4 6\n0 0 3 1\n"}, "m.tra:2: successor '3': expected a whole number from 0 to 2"),
        ({"tra": "3 4 6\n0 0 x 1\n"}, "m.tra:2: successor 'x'"),
        ({"tra": "3 4 6\n0 0 1 half\n"}, "m.tra:2: 'half' is no number"),
        ({"tra": "3 4 6\n0 0 1 1/0\n"}, "m.tra:2: '1/0' is no number"),
        ({"tra": "3 4 6\n0 0 1 1\n"}, "m.tra:1: 6 transitions are announced, 1 follow"),
        ({"tra": "3 3 3\n0 0 1 0.5\n1 0 1 1\n0 0 2 0.5\n"}, "m.tra:4: state 0, choice 0 stood further up"),
        ({"tra": "9999999999 1 1\n0 0 0 1\n"}, "9999999999 states are announced"),
        ({"tra": "3 3 3\n0 1 0 0.5\n1 0 1 1\n2 0 2 1\n"}, "sum to 0.5"),
        ({"lab": ""}, "m.lab:1: the file is empty"),
        ({"lab": "0=init\n"}, "m.lab:1: '0=init': expected"),
        ({"lab": '0="init"\n7: 0\n'}, "m.lab:2: state '7'"),
        ({"lab": '0="init"\n0: 1\n'}, "m.lab:2: label 1 is not named"),
        ({"lab": '0="init"\n0: 0\n'}, "no state has the label 'goal': there are init"),
        ({"srew": "4 1\n0 2\n"}, "m.srew:1: 4 states"),
        ({"srew": "3 1\n0\n"}, "m.srew:2: 1 fields"),
        ({"trew": "3 4 1\n0 1 2 4\n"}, "m.trew:2: state 0, choice 1 does not lead to 2"),
        ({"trew": "3 4 1\n0 9 2 4\n"}, "m.trew:2: state 0, choice 9 does not lead"),
        ({"sta": "(x)\n0:(0)\n1:(1)\n"}, "m.sta: state 2 is missing"),
        ({"sta": "(x)\n0-(0)\n"}, "m.sta:2: expected a state"),
    ],
)
def test_faulty_prism_files_are_refused_with_file_and_line(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        from_prism(prism(tmp_path, **changes), target="goal")


@pytest.mark.parametrize("name", ["FrozenLake-v1", "Taxi-v4"])
def test_what_prism_gets_comes_back(tmp_path, name):
    mdp = from_gymnasium(name, discount=1.0).replace(states=None, grid=None)
    to_prism(mdp, tmp_path / "m.tra")
    back = from_prism(tmp_path / "m.tra", target="terminal")
    np.testing.assert_array_equal(back.matrix.toarray(), mdp.matrix.toarray())
    np.testing.assert_array_equal(back.rows.reward, mdp.rows.reward)
    np.testing.assert_array_equal(back.start, mdp.start)
    with pytest.raises(ModelError, match="no missing mass"):
        to_prism(next(m for n, m in models() if n == "leak"), tmp_path / "l.tra")
