"""The one record that every backend and every autoreset mode ends in."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from operant.config.errors import EnvError
from operant.env import make

CARTPOLE_STEPS = 120


class Walk(gymnasium.Env):
    """A random walk with random ends, a time limit, and ends of both kinds in one step."""

    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, nested: bool = False, limit: int = 6):
        box = spaces.Box(-100, 100, (3,), np.float64)
        self.nested, self.limit = nested, limit
        self.observation_space = spaces.Dict({"a": box, "b": spaces.Discrete(8, start=2)}) if nested else box
        self.both = 0

    def observe(self):
        vector = np.array([self.time, self.place, self.np_random.normal()])
        return {"a": vector, "b": np.int64(2 + self.time % 8)} if self.nested else vector

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, 0.0
        return self.observe(), {"some": 1}

    def step(self, action):
        assert action in (-1, 0, 1)
        self.time += 1
        self.place += action + self.np_random.normal()
        terminated, truncated = bool(self.np_random.random() < 0.2), self.time >= self.limit
        self.both += terminated and truncated
        return self.observe(), self.place * 2, terminated, truncated, {"some": 2, "cost": abs(self.place)}


def policy(obs):
    """Choose from the observed numbers alone, so that equal states get equal actions in every mode."""
    return (np.abs(obs[:, :3]).sum(1) * 1000).astype(np.int64) % 3


def play(env, steps, seed=7, act=policy):
    obs, stream = env.reset(seed), []
    for _ in range(steps):
        action = act(obs)
        step = env.step(action)
        stream.append((obs, action, step))
        obs = step.obs
    return stream


def decisions(stream, row):
    """Per decision that was ours: state, action, reward, how it ended, and the state that followed."""
    out = []
    for obs, action, step in stream:
        if step.acted[row]:
            ended = step.terminated[row] or step.truncated[row]
            after = step.final_obs[row] if ended and step.final_obs is not None else step.obs[row]
            after = [*after, 0.0 if step.cost is None else step.cost[row]]
            out.append((*obs[row], action[row], step.reward[row], step.terminated[row], step.truncated[row], *after))
    return np.array(out, dtype=np.float64)


def walks(mode, nested):
    return make(lambda: SyncVectorEnv([lambda: Walk(nested)] * 4, autoreset_mode=mode), 4)


@pytest.mark.parametrize("nested", [False, True])
def test_all_autoreset_modes_and_the_loop_end_in_the_same_record(nested):
    made = {mode.name: walks(mode, nested) for mode in AutoresetMode} | {"loop": make(lambda: Walk(nested), 4)}
    streams = {name: play(env, 200) for name, env in made.items()}
    for row in range(4):
        records = {name: decisions(stream, row) for name, stream in streams.items()}
        shortest = min(len(record) for record in records.values())
        assert 100 < shortest < 200  # NEXT_STEP spends steps on resets
        first = records["loop"][:shortest]
        dim = made["loop"].obs_dim
        terminated, truncated = first[:, dim + 2], first[:, dim + 3]
        assert terminated.sum() > 5
        assert truncated.sum() > 5
        for name, record in records.items():
            np.testing.assert_array_equal(record[:shortest], first, err_msg=name)


def test_costs_are_read_where_they_are_given_and_never_refused():
    class Odd(Walk):
        def step(self, action):
            answer = super().step(action)
            return *answer[:4], [None, {"cost": "high"}, {}, {"cost": np.float64(2.5)}][self.copy]

    def copies():
        for copy in range(4):
            env = Odd()
            env.copy = copy
            yield env

    each = iter(copies())
    env = make(lambda: next(each), 4)
    env.reset(0)
    np.testing.assert_array_equal(env.step(np.zeros(4, np.int64)).cost, [np.nan, np.nan, np.nan, 2.5])
    env = make("CartPole-v1", 2)
    env.reset(0)
    assert env.step(np.zeros(2, np.int64)).cost is None


def test_terminated_wins_over_truncated():
    envs = [Walk(limit=2) for _ in range(4)]
    loop = iter(envs)
    stream = play(make(lambda: next(loop), 4), 100)
    assert sum(env.both for env in envs) > 5
    for mode in AutoresetMode:
        other = play(make(lambda mode=mode: SyncVectorEnv([lambda: Walk(limit=2)] * 4, autoreset_mode=mode), 4), 100)
        for _, _, step in stream + other:
            assert not (step.terminated & step.truncated).any()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_what_a_step_holds_in_each_mode(mode):
    for _, _, step in play(walks(mode, nested=False), 60):
        ended = step.terminated | step.truncated
        assert step.obs.dtype == step.reward.dtype == np.float32
        assert step.terminated.dtype == step.truncated.dtype == step.acted.dtype == np.bool_
        if mode is AutoresetMode.NEXT_STEP:
            assert step.final_obs is None
            assert (step.reward[~step.acted] == 0).all()
            assert not ended[~step.acted].any()
            assert (step.obs[~step.acted, 0] == 0).all()  # a first state
            assert (step.obs[ended, 0] > 0).all()  # the last state
        else:
            assert step.acted.all()
            assert (step.final_obs is not None) == ended.any()
            assert (step.obs[ended, 0] == 0).all()
            if step.final_obs is not None:
                assert (step.final_obs[ended, 0] > 0).all()


def test_reset_forgets_an_end_that_was_waiting_for_its_reset():
    env = walks(AutoresetMode.NEXT_STEP, nested=False)
    obs = env.reset(0)
    for _ in range(50):
        step = env.step(policy(obs))
        obs = step.obs
        if (step.terminated | step.truncated).any():
            break
    env.reset(0)
    assert env.step(policy(obs)).acted.all()


def test_each_copy_has_its_own_seed():
    together = play(make(Walk, 3), 50, seed=11)
    for row in range(3):
        alone = play(make(Walk, 1), 50, seed=11 + row)
        np.testing.assert_array_equal(decisions(together, row), decisions(alone, 0))
    again = play(make(Walk, 3), 50, seed=12)
    np.testing.assert_array_equal(decisions(again, 0), decisions(together, 1))


def test_arrays_are_fresh():
    class Same(Walk):
        """Writes every observation into one array."""

        def observe(self):
            self.buffer = getattr(self, "buffer", np.zeros(3))
            self.buffer[:] = super().observe()
            return self.buffer

    def shared(num_envs):
        return SyncVectorEnv([Walk] * num_envs, copy=False, autoreset_mode=AutoresetMode.DISABLED)

    for builder in (Same, shared):
        env = make(builder, 2)
        obs = env.reset(3)
        kept, copies = [obs], [obs.copy()]
        for _ in range(30):
            step = env.step(policy(obs))
            obs = step.obs
            for array in (step.obs, step.reward, step.terminated, step.truncated, step.acted, step.final_obs):
                if array is not None:
                    kept.append(array)
                    copies.append(array.copy())
        for array, copied in zip(kept, copies, strict=True):
            np.testing.assert_array_equal(array, copied)
    reference = play(make(Walk, 2), 30, seed=3)
    for row in range(2):
        np.testing.assert_array_equal(decisions(play(make(Same, 2), 30, seed=3), row), decisions(reference, row))


# --- CartPole in its three implementations ---


def follows_the_physics(stream, limit):
    """Every decision must be what Gymnasium's own CartPole makes of the same state and action."""
    reference = gymnasium.make("CartPole-v1").unwrapped
    ends = {"terminated": 0, "truncated": 0}
    age = np.zeros(stream[0][0].shape[0], dtype=int)
    for obs, action, step in stream:
        for row in range(len(age)):
            if not step.acted[row]:
                assert step.reward[row] == 0
                assert np.abs(step.obs[row]).max() <= 0.05
                age[row] = 0
                continue
            age[row] += 1
            reference.reset()
            reference.state = tuple(obs[row].astype(np.float64))
            after, reward, terminated, _, _ = reference.step(int(action[row]))
            ended = step.terminated[row] or step.truncated[row]
            got = step.final_obs[row] if ended and step.final_obs is not None else step.obs[row]
            np.testing.assert_allclose(got, after, atol=1e-5)
            assert step.reward[row] == reward
            assert step.terminated[row] == terminated
            assert step.truncated[row] == (age[row] == limit and not terminated)
            ends["terminated"] += int(terminated)
            ends["truncated"] += int(step.truncated[row])
            if ended and step.final_obs is not None:
                age[row] = 0
    assert ends["terminated"] > 3
    assert ends["truncated"] > 3


def steady(obs):
    """Balance on the even rows, push right on the odd ones, so that both kinds of end occur."""
    balanced = (obs[:, 2] + 0.5 * obs[:, 3] > 0).astype(np.int64)
    return np.where(np.arange(len(obs)) % 2 == 0, balanced, 1)


@pytest.mark.parametrize("backend", ["compiled", "native", "inprocess", "envpool"])
def test_cartpole_follows_its_physics_through_resets(backend):
    if backend == "envpool":
        pytest.importorskip("envpool")
    env = make("CartPole-v1", 4, backend=backend, kwargs={"max_episode_steps": 20})
    assert env.backend == backend
    assert (env.num, env.obs_dim) == (4, 4)
    follows_the_physics(play(env, CARTPOLE_STEPS, act=steady), limit=20)
    env.close()


@pytest.mark.parametrize("backend", ["compiled", "native", "inprocess", "envpool"])
def test_the_same_seed_gives_the_same_stream(backend):
    if backend == "envpool":
        pytest.importorskip("envpool")
    env = make("CartPole-v1", 4, backend=backend)
    one, other, again = (play(env, 60, seed, steady) for seed in (5, 6, 5))
    for row in range(4):
        np.testing.assert_array_equal(decisions(one, row), decisions(again, row))
        assert (one[0][0][row] != other[0][0][row]).any()
    assert len({tuple(row) for row in one[0][0]}) == 4


def test_envpool_copies_have_their_own_seeds_and_ignore_the_number_of_threads():
    pytest.importorskip("envpool")
    together = play(make("CartPole-v1", 3, backend="envpool", kwargs={"num_threads": 1}), 60, 2**31 - 2, steady)
    for row, seed in enumerate((2**31 - 2, 2**31 - 1, 0)):  # seeds have 31 bits and go round
        alone = make("CartPole-v1", 1, backend="envpool")
        np.testing.assert_array_equal(together[0][0][row], alone.reset(seed)[0])


def test_envpool_takes_policies_of_float64_environments():
    pytest.importorskip("envpool")
    env = make("HalfCheetah-v5", 2, backend="envpool", kwargs={"max_episode_steps": 3})
    assert env.reset(0).dtype == np.float32
    stream = [env.step(np.full((2, 6), 9.0, dtype=np.float32)) for _ in range(5)]
    assert [step.truncated.all() for step in stream] == [False, False, True, False, False]
    assert [step.acted.all() for step in stream] == [True, True, True, False, True]
    clipped = make("HalfCheetah-v5", 2, backend="envpool", kwargs={"max_episode_steps": 3})
    clipped.reset(0)
    np.testing.assert_array_equal(clipped.step(np.ones((2, 6), dtype=np.float32)).obs, stream[0].obs)


# --- what goes wrong inside ---


class Broken(Walk):
    """Goes wrong in the way it is told, in copy 1 at step 3."""

    made = 0

    def __init__(self, how):
        super().__init__(limit=1000)
        self.how, self.copy = how, Broken.made
        Broken.made += 1

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        if self.copy == 1:
            if self.how == "reset raises":
                raise RuntimeError("no map")
            if self.how == "reset bare":
                return obs
            if self.how == "reset shape":
                return obs[:2], info
        return obs, info

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        answer = (obs, reward, False, False, info)
        if self.copy != 1 or self.time != 3:
            return answer
        if self.how == "step raises":
            raise ZeroDivisionError("in my code")
        return {
            "step four": (obs, reward, False, info),
            "step none": None,
            "step shape": (obs[:2], *answer[1:]),
            "step number": (obs[0], *answer[1:]),
            "step reward": (obs, "high", False, False, info),
            "step flag": (obs, reward, np.array([True, False]), False, info),
        }[self.how]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("reset raises", ["copy 1, step 0", "reset() raised RuntimeError: no map"]),
        ("reset bare", ["copy 1, step 0", "array of shape (3,)", "(observation, info)"]),
        ("reset shape", ["copy 1, step 0", "shape (2,)", "(3,)"]),
        ("step raises", ["copy 1, step 3", "step() raised ZeroDivisionError: in my code"]),
        ("step four", ["copy 1, step 3", "a tuple of 4", "(observation, reward, terminated, truncated, info)"]),
        ("step none", ["copy 1, step 3", "None"]),
        ("step shape", ["copy 1, step 3", "shape (2,)", "(3,)"]),
        ("step number", ["copy 1, step 3", "shape ()", "(3,)"]),
        ("step reward", ["copy 1, step 3", "high"]),
        ("step flag", ["copy 1, step 3", "ambiguous"]),
    ],
)
def test_an_error_inside_says_where(how, words):
    Broken.made = 0

    def mine():
        return Broken(how)

    env = make(mine, 3)
    with pytest.raises(EnvError) as caught:  # noqa: PT012
        obs = env.reset(0)
        for _ in range(4):
            obs = env.step(policy(obs)).obs
    for word in ["mine", *words]:
        assert word in str(caught.value)
    if "raises" in how:
        assert isinstance(caught.value.__cause__, RuntimeError | ZeroDivisionError)


def test_reset_without_a_seed_parameter_says_so():
    class Old(Walk):
        def reset(self):
            return super().reset()

    with pytest.raises(EnvError, match=r"define reset\(self, \*, seed=None, options=None\)"):
        make(Old, 1).reset(0)


def test_copies_must_have_the_same_spaces():
    limits = iter((True, False))
    with pytest.raises(EnvError, match="copy 1 has other spaces than copy 0"):
        make(lambda: Walk(next(limits)), 2)


def test_an_error_inside_a_vector_environment_says_where():
    Broken.made = 0

    def mine(num_envs):
        return SyncVectorEnv([lambda: Broken("step raises")] * num_envs)

    env = make(mine, 3)
    obs = env.reset(0)
    for _ in range(2):
        obs = env.step(policy(obs)).obs
    with pytest.raises(EnvError, match=r"mine, 3 copies, step 3: step\(\) raised ZeroDivisionError: in my code \("):
        env.step(policy(obs))


def test_a_vector_environment_must_say_how_it_resets():
    class Silent(VectorEnv):
        num_envs = 1
        metadata: dict = {}  # noqa: RUF012
        single_observation_space = spaces.Box(-1, 1, (1,))
        single_action_space = spaces.Discrete(2)

    with pytest.raises(EnvError, match=r'does not say how it resets: set metadata\["autoreset_mode"\]'):
        make(Silent)


def test_actions_of_the_wrong_shape_or_type_are_refused():
    env = make("CartPole-v1", 2, backend="inprocess")
    env.reset(0)
    with pytest.raises(ValueError, match=r"actions of shape \(2, 1\)"):
        env.step(np.zeros((2, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="actions of type float32 where int64 belongs"):
        env.step(np.zeros(2, dtype=np.float32))


@pytest.mark.parametrize("backend", ["compiled", "native", "inprocess"])
def test_render_gives_the_picture_of_copy_0(backend):
    pytest.importorskip("pygame")
    env = make("CartPole-v1", 2, backend=backend, render_mode="rgb_array")
    env.reset(0)
    before = env.render()
    assert before.dtype == np.uint8
    assert before.ndim == 3
    assert before.shape[2] == 3
    for _ in range(5):
        env.step(np.array([1, 0]))
    assert (env.render() != before).any()
    env.close()
    plain = make("CartPole-v1", 2, backend=backend)
    plain.reset(0)
    assert plain.render() is None
