"""Data sets: what is written is read, in every space; what is wrong is said; hostile files do no harm."""

import dataclasses
import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.env.check_data import check_data, refuse_leaks, require_sound
from operant.env.dataset import DataSet, plain_actions, same_spaces
from operant.env.interface import Interface
from operant.env.minari import find_data, read_data, write_data
from operant.env.spaces import Actions
from reference.episodes import played

h5py = pytest.importorskip("h5py")


class Any(gymnasium.Env):
    """Random observations of a space; says which of three actions are legal where `masked`."""

    def __init__(self, seen, acted, masked=False):
        self.observation_space, self.action_space, self.masked = seen, acted, masked

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self._next()

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        obs, info = self._next()
        return obs, 0.5, self.t == 4, False, info

    def _next(self):
        mask = {"action_mask": np.arange(3) != self.np_random.integers(3)} if self.masked else {}
        return self.observation_space.sample(), mask


SEEN = {
    "vector": spaces.Box(-np.inf, np.inf, (3,), np.float32),
    "picture": spaces.Box(0, 255, (8, 9, 3), np.uint8),
    "number": spaces.Discrete(4, start=-1),
    "counts": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(3),
    "dict": spaces.Dict({"b": spaces.Box(-1, 1, (2,)), "a": spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2)))}),
    "seen and told": spaces.Dict({"eye": spaces.Box(0, 255, (8, 8), np.uint8), "speed": spaces.Box(-9, 9, (1,))}),
}
ACTED = {
    "choice": spaces.Discrete(3, start=2),
    "numbers": spaces.Box(np.float32([-1, 0]), np.float32([3, 0.5])),
    "whole": spaces.Box(0, 9, (2, 2), np.int64),
    "choices": spaces.MultiDiscrete([3, 2], start=[1, 0]),
    "bits": spaces.MultiBinary(4),
    "several": spaces.Dict({"go": spaces.Discrete(3, start=1), "by": spaces.Box(-2, 2, (2,))}),
}


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return np.array_equal(a, b) and a.dtype == b.dtype


@pytest.mark.parametrize("acted", ACTED)
@pytest.mark.parametrize("seen", SEEN)
def test_what_is_written_is_read(seen, acted, tmp_path):
    if "numbers" not in acted and "vector" not in seen:
        pytest.skip("each kind once, with the plainest of the other")
    data = played(Any(SEEN[seen], ACTED[acted]), 3)
    back = read_data(write_data(data, tmp_path / "set"))
    assert (back.observation_space, back.action_space) == (SEEN[seen], ACTED[acted])
    assert len(back) == 3
    assert back.steps == data.steps
    for one, other in zip(data.episodes, back.episodes, strict=True):
        assert equal(one.observations, other.observations)
        assert equal(one.actions, other.actions)
        assert np.array_equal(one.rewards, other.rewards)
        assert np.array_equal(one.terminations, other.terminations)
        assert one.seed == other.seed
    assert check_data(back) == []
    between = Interface(SEEN[seen], ACTED[acted])
    for rows, episode in zip(back.rows(between), data.episodes, strict=True):
        again = between.actions.decode_batch(rows.action)
        assert equal(again, episode.actions)
        for t in range(len(episode) + 1):
            one = between.observations.read(_row(episode.observations, t))[0][0]
            assert np.array_equal(rows.obs[t], one)


def _row(tree, t):
    if isinstance(tree, dict):
        return {k: _row(x, t) for k, x in tree.items()}
    return tuple(_row(x, t) for x in tree) if isinstance(tree, tuple) else tree[t]


def test_masks_are_kept(tmp_path):
    data = played(Any(SEEN["vector"], spaces.Discrete(3), masked=True), 3)
    back = read_data(write_data(data, tmp_path / "set"))
    between = Interface(SEEN["vector"], spaces.Discrete(3), "info")
    for rows, episode in zip(back.rows(between), data.episodes, strict=True):
        assert np.array_equal(rows.obs[:, 3:], episode.action_mask)
    with pytest.raises(ConfigError, match="holds no info"):
        next(played(Any(SEEN["vector"], spaces.Discrete(3)), 1).rows(between))


def test_minari_reads_what_is_written_and_is_read(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    ours = played("CartPole-v1", 3)
    write_data(ours, tmp_path / "cart")
    theirs = minari.load_dataset("cart-v0") if (tmp_path / "cart-v0").exists() else minari.MinariDataset(
        tmp_path / "cart" / "data"
    )  # fmt: skip
    assert theirs.total_episodes == 3
    assert np.array_equal(theirs[1].observations, ours.episodes[1].observations)
    from minari.data_collector import EpisodeBuffer

    buffers = [
        EpisodeBuffer(
            observations=e.observations, actions=e.actions, rewards=list(e.rewards),
            terminations=list(e.terminations), truncations=list(e.truncations), infos={},
        )
        for e in ours.episodes[:2]
    ]  # fmt: skip
    made = minari.create_dataset_from_buffers("cartpole/random-v0", buffers, env="CartPole-v1")
    back = read_data("cartpole/random-v0")
    assert len(back) == 2
    assert back.env_id == "CartPole-v1"
    assert np.array_equal(back.episodes[1].observations, made[1].observations)
    assert back.action_space == spaces.Discrete(2)


# ---------------------------------------------------------------------------------------------------- checks
def cart(count=4):
    return played("CartPole-v1", count, steps=50)


def altered(data, k, **fields):
    episodes = list(data.episodes)
    episodes[k] = dataclasses.replace(episodes[k], **fields)
    return DataSet(episodes=episodes, observation_space=data.observation_space, action_space=data.action_space)


def put(x, at, value):
    x = x.astype(np.float64) if value != int(value) or np.isnan(value) else x.copy()
    x[at] = value
    return x


WRONG = {
    "nan seen": (lambda e: {"observations": np.where(np.arange(len(e) + 1)[:, None] == 3, np.nan, e.observations)},
                 "the observation is nan", "episode 1, step 3"),
    "nan paid": (lambda e: {"rewards": np.where(np.arange(len(e)) == 2, np.inf, e.rewards)},
                 "the reward is inf", "episode 1, step 2"),
    "outside": (lambda e: {"actions": np.where(np.arange(len(e)) == 4, 2, e.actions)},
                "the action is 2, outside of Discrete(2)", "episode 1, step 4"),
    "short": (lambda e: {"observations": e.observations[:-1]}, "rewards need", "episode 1"),
    "goes on": (lambda e: {"terminations": np.arange(len(e)) == 5}, "goes on for", "episode 1, step 5"),
    "stops": (lambda e: {"terminations": np.zeros(len(e), bool), "truncations": np.zeros(len(e), bool)},
              "it just stops", "episode 1, step"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_with_its_place(kind):
    change, what, where = WRONG[kind]
    data = cart()
    assert check_data(data) == []
    (problem,) = check_data(altered(data, 1, **change(data.episodes[1])))
    assert what in problem.what
    assert problem.where.startswith(where)
    assert problem.fix
    if problem.severity == "error":
        with pytest.raises(ConfigError, match="episode 1"):
            require_sound(altered(data, 1, **change(data.episodes[1])))


def test_empty_episodes_and_rounded_actions():
    data = cart()
    none = dataclasses.replace(data.episodes[0], rewards=np.zeros(0))
    assert "no step" in check_data(altered(data, 0, rewards=none.rewards))[0].what
    box = played(Any(SEEN["vector"], spaces.Box(-0.1, 0.1, (1,), np.float32)), 2)
    assert check_data(altered(box, 0, actions=np.full((len(box.episodes[0]), 1), 0.1, np.float64))) == []
    assert "outside" in check_data(altered(box, 0, actions=np.full((len(box.episodes[0]), 1), 0.11)))[0].what


def test_a_time_limit_that_says_terminated_is_told_from_one_that_says_truncated():
    whole = played(Any(SEEN["vector"], spaces.Discrete(3)), 3)  # four steps each, terminated
    (problem,) = check_data(whole, limit=4)
    assert problem.severity == "warning"
    assert "time limit" in problem.what
    assert check_data(whole, limit=10) == []
    cut = whole
    for k in range(3):
        cut = altered(cut, k, terminations=np.zeros(4, bool), truncations=np.arange(4) == 3)
    assert check_data(cut, limit=4) == []


def test_other_spaces_are_named():
    data, other = cart(), gymnasium.make("Acrobot-v1")
    between = Interface(other.observation_space, other.action_space)
    assert len(same_spaces(data, between)) == 2
    with pytest.raises(ConfigError, match=r"of CartPole-v1, is of another environment: .*Discrete\(2\)"):
        require_sound(data, between)
    require_sound(data, Interface(data.observation_space, data.action_space))


def test_no_episode_is_on_both_sides():
    data = cart(6)
    twice = data.chosen([0, 1, 2, 0, 1, 2, 3, 4, 5, 5])
    assert sum("the same as episode" in p.what for p in check_data(twice)) == 1
    for seed in range(20):
        train, test = twice.split(0.3, np.random.default_rng(seed))
        assert len(train) + len(test) == 10
        assert len(test) >= 2
        assert not {e.digest() for e in train.episodes} & {e.digest() for e in test.episodes}
    with pytest.raises(ConfigError, match="episode 0 of the data is episode 2"):
        refuse_leaks(data, data.chosen([2]))
    with pytest.raises(ConfigError, match="too few to hold one out"):
        data.chosen([0, 0]).split(0.5, np.random.default_rng(0))


def test_the_best_episodes():
    data = cart(5)
    best = data.best(0.4)
    assert len(best) == 2
    assert set(best.returns) == set(np.sort(data.returns)[-2:])
    assert len(data.best(0.01)) == 1
    assert len(data.best(1.0)) == 5


@pytest.mark.parametrize("acted", ACTED)
def test_actions_there_and_back(acted):
    space = ACTED[acted]
    actions = Actions(space)
    space.seed(1)
    one = [space.sample() for _ in range(5)]
    from operant.env.dataset import stacked

    plain = plain_actions(actions, stacked(space, one))
    assert plain.shape[1:] == actions.width
    assert equal(actions.decode_batch(plain), stacked(space, one))


# ---------------------------------------------------------------------------------------------------- hostile files
@pytest.fixture
def kept(tmp_path):
    return write_data(cart(2), tmp_path / "set")


def test_what_is_there_is_not_written_over(kept):
    with pytest.raises(ConfigError, match="is there already"):
        write_data(cart(2), kept)
    assert [p.name for p in kept.parent.iterdir()] == ["set"]


def test_no_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="there is no data set"):
        find_data(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept, share):
    file = kept / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ConfigError, match="main_data"):
        read_data(kept)


def meta(kept, **change):
    file = kept / "data" / "metadata.json"
    about = json.loads(file.read_text()) | change
    file.write_text(json.dumps({k: x for k, x in about.items() if x is not None}))


SPACE = '{"type": "Box", "dtype": "float32", "shape": [%s], "low": [0], "high": [1]}'
METADATA = {
    "a list": "[]", "nothing": "", "deep": "[" * 100_000, "a number": "7",
    "format": {"data_format": "arrow"}, "no count": {"total_episodes": None}, "true": {"total_episodes": True},
    "too many": {"total_episodes": 10**9}, "fewer": {"total_episodes": 1}, "no space": {"action_space": None},
    "huge": {"observation_space": SPACE % "1000000000, 1000000000"}, "negative": {"observation_space": SPACE % "-1"},
    "objects": {"observation_space": SPACE.replace("float32", "object") % "1"},
    "text": {"observation_space": '{"type": "Text", "max_length": 3, "min_length": 1, "charset": "a"}'},
    "no type": {"observation_space": "{}"}, "a list in it": {"observation_space": "[1]"},
    "half": {"observation_space": '{"type": "Box"'},
}  # fmt: skip


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_that_is_none_is_refused(kept, kind):
    change = METADATA[kind]
    (kept / "data" / "metadata.json").write_text(change) if isinstance(change, str) else meta(kept, **change)
    with pytest.raises(ConfigError, match="data"):
        read_data(kept)


def spoil(group, name, make):
    del group[name]
    make(group, name)


FILES = {
    "huge": lambda g, n: g.create_dataset(n, (2**50,), "f8", chunks=(1024,)),
    "huge and flat": lambda g, n: g.create_dataset(n, (10, 2**45), "u1", chunks=(1, 1024)),
    "text": lambda g, n: g.create_dataset(n, data=[b"a", b"b"]),
    "objects": lambda g, n: g.create_dataset(n, (3,), h5py.string_dtype()),
    "references": lambda g, n: g.create_dataset(n, (3,), h5py.ref_dtype),
    "complex": lambda g, n: g.create_dataset(n, (3,), "c16"),
    "a record": lambda g, n: g.create_dataset(n, (3,), np.dtype([("a", "f4")])),
    "one number": lambda g, n: g.create_dataset(n, data=1.0),
    "empty": lambda g, n: g.create_dataset(n, data=h5py.Empty("f4")),
    "a group": lambda g, n: g.create_group(n),
    "missing": lambda g, n: None,
    "soft link": lambda g, n: g.__setitem__(n, h5py.SoftLink("/elsewhere")),
    "outward link": lambda g, n: g.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/")),
    "outward data": lambda g, n: g.create_dataset(n, (8,), "u1", external=[("/etc/passwd", 0, 8)]),
}


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("kind", FILES)
def test_what_a_strangers_file_holds_is_looked_at_before_it_is_read(kept, kind, name):
    with h5py.File(kept / "data" / "main_data.hdf5", "a") as file:
        spoil(file["episode_1"], name, FILES[kind])
    with pytest.raises(ConfigError, match="episode 1: "):
        read_data(kept)


def test_wrong_shapes_are_found(kept):
    with h5py.File(kept / "data" / "main_data.hdf5", "a") as file:
        steps = len(file["episode_1/rewards"])
        spoil(file["episode_1"], "observations", lambda g, n: g.create_dataset(n, data=np.zeros((steps + 1, 5))))
    (problem,) = check_data(read_data(kept))
    assert "shape (5,)" in problem.what
    assert problem.where == "episode 1"


def test_without_h5py_it_is_said_what_to_install(kept, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"operant\[imitation\]"):
        read_data(kept)


def test_nothing_of_what_a_file_names_is_made(kept, monkeypatch):
    monkeypatch.setattr(gymnasium, "make", lambda *a, **k: pytest.fail("an environment was made"))
    meta(kept, env_spec=json.dumps({"id": "evil:Evil-v0", "entry_point": "os:system"}), env_id=None)
    assert read_data(kept).env_id == "evil:Evil-v0"
