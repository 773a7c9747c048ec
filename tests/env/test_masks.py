"""Action masks: read from infos or observations in every backend and mode, laid behind the features, or refused."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from operant.config.errors import EnvError
from operant.env import Supervisor, make
from operant.env.interface import Interface
from operant.env.masks import Masks
from operant.env.spaces import Observations

D, MD, MB = spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)
BOTH = spaces.Dict({"a": D, "b": spaces.Box(-1, 1, (2,)), "c": spaces.Tuple([MD, MB])})
I8 = np.int8


def flat(space, mask, last=False, source="info"):
    observed = spaces.Dict({"m": spaces.Box(0, 1, (Masks(space, "info", D).size,), I8)})
    masks = Masks(space, source, observed)
    out = np.full(masks.size, 7.0, np.float32)
    masks.write(mask, last, out)
    return out.tolist()


@pytest.mark.parametrize(
    ("space", "mask", "expected"),
    [
        (D, np.array([1, 0, 1], I8), [1, 0, 1]),
        (D, np.array([True, False, True]), [1, 0, 1]),
        (D, [0, 0, 1], [0, 0, 1]),
        (D, np.array([0.0, 1.0, 0.0]), [0, 1, 0]),
        (MD, (np.array([1, 0], I8), np.array([0, 1, 1], I8)), [1, 0, 0, 1, 1]),
        (MD, np.array([1, 0, 0, 1, 1], bool), [1, 0, 0, 1, 1]),
        (MD, [[1, 0], [0, 1, 1]], [1, 0, 0, 1, 1]),
        (
            spaces.MultiDiscrete([[2, 2], [2, 2]]),
            ((np.array([1, 0], I8), np.array([0, 1], I8)), (np.array([1, 1], I8), np.array([0, 1], I8))),
            [1, 0, 0, 1, 1, 1, 0, 1],
        ),
        (MB, np.array([True, False, True]), [1, 0, 1]),
        (MB, np.array([2, 0, 2], I8), [1, 0, 1]),
        (MB, np.zeros(3, bool), [0, 0, 0]),  # every bit must be 0, and may
        (
            BOTH,
            {"a": np.array([1, 0, 0], I8), "b": None, "c": ((np.array([0, 1], I8), np.ones(3, I8)), None)},
            [1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
        ),
        (BOTH, np.array([1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1], bool), [1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1]),
    ],
    ids=str,
)
def test_a_mask_is_what_gymnasium_samples_with_or_all_of_it_in_a_row(space, mask, expected):
    assert flat(space, mask) == expected


@pytest.mark.parametrize(
    ("space", "mask", "words"),
    [
        (D, np.zeros(3, I8), "no action is legal: the action mask is 0 for all of it"),
        (MD, np.array([1, 0, 0, 0, 0], bool), "no action is legal in component 1 of the action"),
        (
            BOTH,
            np.array([1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1], bool),
            r"in component 0 of the action at \['c'\]\[0\]: the action mask",
        ),
        (D, None, "there is no action mask"),
        (D, np.zeros(0, I8), "there is no action mask"),
        (D, np.ones(4, I8), r"shape \(4,\); the action space Discrete\(3\) needs \(3,\)"),
        (D, np.ones((1, 3), I8), r"shape \(1, 3\)"),
        (D, np.array([1, np.nan, 0]), r"is \[1.0, nan, 0.0\]: give 1"),
        (D, np.array([1, 2, 0]), r"is \[1, 2, 0\]: give 1"),
        (D, np.array([1, 0.5, 0]), "give 1"),
        (D, np.array(["a", "b", "c"]), "no numbers"),
        (MD, (np.ones(2, I8),), "has 1 parts"),
        (MD, (np.ones(2, I8), np.ones(2, I8)), r"shape \(2,\)"),
        (MB, np.array([1, 0, 2], I8), "give booleans"),  # 1: this bit must be 1
        (BOTH, {"a": np.ones(3, I8)}, "lacks the key 'b'"),
        (BOTH, 3, "which is no mask of Dict"),
        (BOTH, {"a": np.ones(3, I8), "b": None, "c": (None,)}, r"at \['c'\] is \(None,\)"),
    ],
    ids=str,
)
def test_what_is_no_mask_is_refused(space, mask, words):
    with pytest.raises(ValueError, match=words):
        flat(space, mask)


@pytest.mark.parametrize("mask", [None, np.zeros(0, I8), np.zeros(3, I8)], ids=str)
def test_of_a_last_state_a_mask_may_be_missing(mask):
    assert flat(D, mask, last=True) == [1, 1, 1]
    assert flat(D, np.array([0, 1, 0]), last=True) == [0, 1, 0]
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        flat(D, np.ones(2, I8), last=True)


def test_a_key_holds_zeros_and_ones_in_any_shape():
    assert flat(MB, np.array([1, 0, 1], I8), source="m") == [1, 0, 1]
    observed = spaces.Dict({"m": spaces.MultiBinary((3, 2)), "x": spaces.Discrete(2)})
    masks, out = Masks(spaces.MultiDiscrete([2, 2, 2]), "m", observed), np.zeros(6)
    masks.write(np.array([[1, 0], [0, 1], [1, 1]], I8), False, out)
    assert out.tolist() == [1, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("observed", "space", "source", "words"),
    [
        (D, D, "m", "the observation has no keys"),
        (spaces.Dict({"x": D}), D, "m", r"has the keys \['x'\]"),
        (spaces.Dict({"m": spaces.MultiBinary(4)}), D, "m", "needs 3 numbers"),
        (D, spaces.Box(-1, 1), "info", "nothing to mask"),
    ],
    ids=str,
)
def test_a_source_that_is_none_is_refused(observed, space, source, words):
    with pytest.raises(EnvError, match=words):
        Observations(observed, space, source)


@pytest.mark.parametrize("picture", [False, True])
def test_a_mask_is_the_last_columns_and_its_key_no_feature(picture):
    eye = spaces.Box(0, 255, (8, 8), np.uint8) if picture else spaces.Box(-1, 1, (2,))
    space = spaces.Dict({"a": eye, "mask": spaces.MultiBinary(3), "z": spaces.Discrete(2)})
    bare = spaces.Dict({"a": eye, "z": spaces.Discrete(2)})
    seen, plain = Observations(space, D, "mask"), Observations(bare)
    obs = {"a": eye.sample(), "mask": np.array([0, 1, 1], I8), "z": 1}
    rows, one = seen.read(obs)
    assert one
    assert (seen.mask, seen.features, seen.dim) == (3, plain.dim, plain.dim + 3)
    assert rows.dtype == plain.dtype
    assert rows[0, seen.features :].tolist() == [0, 1, 1]
    without = {key: value for key, value in obs.items() if key != "mask"}
    np.testing.assert_array_equal(rows[:, : seen.features], plain.read(without)[0])
    np.testing.assert_array_equal(seen.floats(rows), plain.floats(plain.read(without)[0]))
    assert [part.keys for part in seen.parts] == [("a",), ("z",)]


class Masked(gymnasium.Env):
    """Counts; in state t the action t mod 3 alone is illegal. Ends, with no mask, after `length` steps."""

    def __init__(self, how="info", length=4, wrong=None, at=0, eye=False):
        self.how, self.length, self.wrong, self.at = how, length, wrong, at
        self.action_space = spaces.Discrete(3)
        seen = spaces.Box(0, 255, (8, 8), np.uint8) if eye else spaces.Box(0, 99, (1,))
        self.observation_space = seen if how == "info" else spaces.Dict({"m": spaces.MultiBinary(3), "o": seen})
        self._seen = seen

    def _answer(self):
        mask = np.ones(3, np.int8)
        mask[self.t % 3] = 0
        if self.t == self.at and self.wrong is not None:
            mask = {"none": None, "zero": np.zeros(3, np.int8), "long": np.ones(4, np.int8)}[self.wrong]
        over = self.t == self.length
        obs = np.full(self._seen.shape, self.t, self._seen.dtype)
        if self.how == "info":
            return obs, {} if over or mask is None else {"action_mask": mask}
        return {"m": np.zeros(3, np.int8) if over else mask, "o": obs}, {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._answer()

    def step(self, action):
        assert self.t % 3 != action, "an illegal action"
        self.t += 1
        obs, info = self._answer()
        return obs, 1.0, self.t == self.length, False, info


class MaskedVector(SyncVectorEnv):
    """A vector form that may leave it to its caller to reset."""

    def __init__(self, mode, **kwargs):
        super().__init__([lambda: Masked(**kwargs)] * 2, autoreset_mode=mode)


BACKENDS = {
    "inprocess": lambda mask, **kwargs: make(f"{__file__}:Masked", 2, kwargs=kwargs, action_mask=mask),
    "process": lambda mask, **kwargs: make(f"{__file__}:Masked", 2, kwargs=kwargs, action_mask=mask, backend="process"),
    **{
        mode: lambda mask, mode=mode, **kwargs: make(lambda: MaskedVector(mode, **kwargs), action_mask=mask)
        for mode in ("NextStep", "SameStep", "Disabled")
    },
}


@pytest.mark.parametrize("eye", [False, True])
@pytest.mark.parametrize("how", ["info", "m"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_state_stands_beside_its_own_mask(backend, how, eye):
    env = BACKENDS[backend](how, how=how, eye=eye)
    try:
        read = env.observations
        assert (read.mask, env.obs_dim) == (3, read.features + 3)
        obs, lasts = env.reset(0), 0
        for _ in range(12):
            step = env.step(obs[:, read.features :].argmax(axis=1))
            for row in range(2):
                t = int(step.obs[row, 0])
                expected = np.arange(3) != t % 3
                ended = bool(step.terminated[row] | step.truncated[row])
                if ended and step.final_obs is None:  # it resets on the next step: this is the last state
                    expected[:] = True
                    assert t == 4
                np.testing.assert_array_equal(step.obs[row, read.features :], expected)
                if ended:
                    lasts += 1
                    if step.final_obs is not None:
                        assert step.final_obs[row, 0] == 4
                        assert (step.final_obs[row, read.features :] == 1).all()
                        assert t == 0
            obs = step.obs
        assert lasts >= 4
    finally:
        env.close()


def walk(env):
    obs = env.reset(0)
    for _ in range(3):
        obs = env.step(obs[:, env.observations.features :].argmax(axis=1)).obs


@pytest.mark.parametrize("wrong", ["none", "zero", "long"])
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("backend", ["inprocess", "SameStep"])
def test_a_wrong_mask_names_environment_copy_and_step(backend, at, wrong):
    env = BACKENDS[backend]("info", how="info", wrong=wrong, at=at)
    words = {"none": "there is no action mask", "zero": "no action is legal", "long": r"shape \(4,\)"}[wrong]
    with pytest.raises(EnvError, match=words) as caught:
        walk(env)
    assert f"step {at}" in str(caught.value)
    assert "Masked" in str(caught.value) or "lambda" in str(caught.value)
    assert "cop" in str(caught.value)


def test_a_worker_with_no_legal_action_says_so():
    env = make(
        f"{__file__}:Masked",
        2,
        kwargs={"wrong": "zero", "at": 1},
        backend="process",
        action_mask="info",
        supervisor=Supervisor(workers=1, restarts=0),
    )
    with pytest.raises(EnvError, match=r"copy 0, step 1: after step\(\), no action is legal"):
        walk(env)
    env.close()


@pytest.mark.parametrize("backend", ["inprocess", "SameStep", "NextStep"])
@pytest.mark.parametrize("how", ["info", "m"])
def test_masks_that_nobody_reads_are_told_of_once(backend, how):
    env = BACKENDS[backend]("", how=how)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        env.reset(0)
        env.reset(1)
    said = [str(w.message) for w in told if "action masks" in str(w.message)]
    assert len(said) == (how == "info")
    if said:
        assert "--env.action-mask info" in said[0]


def test_spaces_and_mask_are_written_down_together():
    between = Interface(spaces.Dict({"m": spaces.MultiBinary(3), "x": D}), D, "m")
    code = between.encoded()
    assert code["action_mask"] == "m"
    assert Interface.decoded(**code).observations.mask == 3
    assert "action_mask" not in Interface(D, D).encoded()
    with pytest.raises(ValueError, match=r"policy.json: env\.action_mask"):
        Interface.decoded(**code | {"action_mask": "y"})


def test_by_hand_a_mask_is_given_where_it_is_needed_and_nowhere_else():
    box = spaces.Box(-1, 1, (2,))
    x, mask = np.zeros(2, np.float32), np.array([0, 1, 1], I8)
    seen = Observations(box, D, "info")
    assert seen.read(x, mask)[0].tolist() == [[0, 0, 0, 1, 1]]
    both, one = seen.read(np.stack([x, x]), np.stack([mask, 1 - mask]))
    assert not one
    assert both[:, 2:].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert seen.read(x, masked=False)[0].tolist() == [[0, 0, 1, 1, 1]]
    with pytest.raises(ValueError, match=r'give mask=info\["action_mask"\]'):
        seen.read(x)
    with pytest.raises(ValueError, match="was not trained with masks: leave mask out"):
        Observations(box).read(x, mask)
    keyed = Observations(spaces.Dict({"m": spaces.MultiBinary(3), "o": box}), D, "m")
    assert keyed.read({"m": mask, "o": x})[0].tolist() == [[0, 0, 0, 1, 1]]
    assert keyed.read([{"m": mask, "o": x}, {"m": 1 - mask, "o": x}])[0][:, 2:].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert keyed.read({"m": np.stack([mask] * 2), "o": np.stack([x] * 2)})[0][:, 2:].tolist() == [[0, 1, 1]] * 2
    with pytest.raises(ValueError, match=r"reads its mask from obs\['m'\]: leave mask out"):
        keyed.read({"m": mask, "o": x}, mask)
    states = Observations(spaces.Discrete(2), D, "info")
    assert states.read(1, mask)[0].tolist() == [[0, 1, 0, 1, 1]]
    assert states.read(np.array([0.0, 1.0]), mask)[0].tolist() == [[0, 1, 0, 1, 1]]
