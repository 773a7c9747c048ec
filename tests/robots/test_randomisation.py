"""Worlds that are drawn anew: what each parameter writes, that the model is put back, and that a seed is an episode."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.randomise import PARAMETERS, ranges
from operant.env import Supervisor, make
from operant.env.make import make_one
from operant.robots import Randomised
from operant.robots.simulator import WRITES

mujoco = pytest.importorskip("mujoco")


class Line(gymnasium.Env):
    """Observes [3] zeros, and keeps what it was told to do; ten steps."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.told, self.first = [], self.np_random.random()
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.told.append(float(action[0]))
        return np.zeros(3, np.float32), 1.0, False, len(self.told) == 10, {}


def line(text, seed=1):
    env = make_one(Line, wrappers=[f"randomise {text}"])
    return env, *env.reset(seed=seed)


def told(env, actions):
    for x in actions:
        env.step(np.array([x], np.float32))
    return env.unwrapped.told


def binary(model):
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("mass 2 2", {"body_mass": 2.0, "body_inertia": 2.0, "body_subtreemass": 2.0}),
        ("size 2 2", {"geom_size": 2.0, "geom_rbound": 2.0}),
        ("friction 0.5 0.5", {"geom_friction": (0.5, 1.0, 1.0)}),
        ("damping 3 3", {"dof_damping": 3.0}),
        ("gear 0.5 0.5", {"actuator_gear": 0.5}),
    ],
)
def test_each_factor_writes_what_it_is_called_and_the_model_is_put_back(text, written):
    bare = gymnasium.make("InvertedPendulum-v5")
    env = make_one("InvertedPendulum-v5", wrappers=[f"randomise {text}"])
    model, before = env.unwrapped.model, binary(env.unwrapped.model)
    for _ in range(2):  # factors are of the model as it was made, not of the episode before
        env.reset(seed=1)
        for name in {array for _, arrays in WRITES.values() for array in arrays} | written.keys():
            made = getattr(bare.unwrapped.model, name)
            factor = np.asarray(written.get(name, 1.0))
            if name == "geom_aabb" and "size" in text:
                factor = np.asarray(2.0)
            assert np.allclose(getattr(model, name), made * factor, rtol=1e-12), name
    env.step(env.action_space.sample())
    assert binary(model) != before
    env.simulator.restore()
    assert binary(model) == before
    env.reset(seed=1)
    env.close()
    assert binary(model) == before


@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "Hopper-v5", "Ant-v5", "Pusher-v5"])
def test_models_of_all_kinds_are_put_back_after_everything_was_written(name):
    env = make_one(name, wrappers=[f"randomise {ALL}"])
    model, before = env.unwrapped.model, binary(env.unwrapped.model)
    for seed in range(4):
        env.reset(seed=seed)
        env.step(env.action_space.sample())
        assert binary(model) != before
    env.close()
    assert binary(model) == before


def test_gravity_is_multiplied_and_a_factor_can_be_of_one_part():
    env = make_one("InvertedPendulum-v5", wrappers=["randomise gravity 0.5 0.5 mass:pole 3 3 damping:slider 0 0"])
    _, info = env.reset(seed=1)
    made, model = gymnasium.make("InvertedPendulum-v5").unwrapped.model, env.unwrapped.model
    assert model.opt.gravity[2] == made.opt.gravity[2] / 2
    assert np.allclose(model.body_mass / np.maximum(made.body_mass, 1e-9), [0.0, 1.0, 3.0])
    assert model.dof_damping.tolist() == [0.0, 1.0]
    assert info["randomised"] == {"seed": 1, "gravity": 0.5, "mass:pole": 3.0, "damping:slider": 0.0}


def test_what_is_derived_from_masses_is_derived_anew():
    """A heavier pole moves as one does whose model was compiled so."""
    xml = (gymnasium.envs.mujoco.__path__[0]) + "/assets/inverted_pendulum.xml"
    spec = mujoco.MjSpec.from_file(xml)
    for geom in spec.geoms:
        geom.density *= 3.0
    heavy = spec.compile()
    env = make_one("InvertedPendulum-v5", wrappers=["randomise mass 3 3"])
    env.reset(seed=1)
    for name in ("body_mass", "body_inertia", "body_invweight0", "dof_M0", "dof_invweight0", "actuator_acc0"):
        assert np.allclose(getattr(env.unwrapped.model, name), getattr(heavy, name), rtol=1e-9), name


def test_at_calibrated_values_nothing_is_otherwise():
    text = "mass 1 1 size 1 1 friction 1 1 damping 1 1 gravity 1 1 gear 1 1 latency 0 0 backlash 0 0 noise 0 0 bias 0 0"
    plain, same = (
        make_one("InvertedPendulum-v5", wrappers=w) for w in ((), [f"randomise {text} push 0 0 adversary 0 0"])
    )
    first = [env.reset(seed=5)[0] for env in (plain, same)]
    assert np.array_equal(*first)
    for x in (0.5, -1.0, 2.0):
        a, b = (env.step(np.array([x], np.float32)) for env in (plain, same))
        assert np.array_equal(a[0], b[0])
        assert a[1:4] == b[1:4]


def test_an_action_arrives_so_many_steps_later():
    env, _, _ = line("latency 2 2")
    assert told(env, [1, 2, -1, -2]) == [0, 0, 1, 2]
    env.reset()
    assert told(env, [0.5]) == [0]  # what was on its way is gone


def test_the_mean_of_a_latency_of_no_whole_steps_is_that_latency():
    env = make_one(Line, wrappers=["randomise latency 1.3 1.3"])
    env.reset(seed=1)
    late = []
    for _ in range(400):
        env.reset()
        late.append(told(env, [1, 2, 2]).index(1.0))
    assert set(late) == {1, 2}
    assert abs(np.mean(late) - 1.3) < 0.08


def test_a_gear_with_play_stands_still_until_the_gap_is_closed():
    env, _, _ = line("backlash 0.25 0.25")  # of half the range: 0.5
    assert told(env, [1, 2, 1.5, 1.0, -2]) == [0.5, 1.5, 1.5, 1.5, -1.5]


def test_noise_is_new_at_each_step_and_bias_stays_for_the_episode():
    env, first, _ = line("noise 0.1 0.1")
    seen = np.array([env.step(np.zeros(1, np.float32))[0] for _ in range(9)])
    assert len(np.unique(seen)) == seen.size
    assert first.dtype == seen.dtype == np.float32
    env, first, _ = line("bias 0.1 0.1")
    seen = np.array([env.step(np.zeros(1, np.float32))[0] for _ in range(9)])
    assert (seen == first).all()
    assert (first != 0).all()
    assert (env.reset()[0] != first).all()
    wild, _, _ = line("noise 9 9")
    assert all(abs(wild.step(np.zeros(1, np.float32))[0]).max() <= 1.0 for _ in range(9))
    many = np.concatenate([line("bias 0.1 0.1", seed)[1] for seed in range(300)])
    assert abs(many.std() - 0.1) < 0.01


def test_the_adversary_mixes_in_a_network_of_the_episode():
    env, _, _ = line("adversary 1 1")
    alone = told(env, [1, -2, 0.3])
    assert len(set(alone)) == 1  # the same is seen, so the same is done; here tanh of nothing
    env = make_one("InvertedPendulum-v5", wrappers=["randomise adversary 0.5 0.5"])
    env.reset(seed=3)
    plain = np.array([1.0], np.float32)
    first = env._disturbed(plain)
    assert first != plain
    assert env._disturbed(np.array([2.0], np.float32)) - first == pytest.approx(0.5)
    env.reset(seed=3)
    assert env._disturbed(plain) == first
    env.reset(seed=4)
    assert env._disturbed(plain) != first


def test_pushes_change_the_speed_of_the_root_one_step_in_fifty():
    env = make_one("InvertedPendulum-v5", wrappers=["randomise push 2 2"])
    env.reset(seed=1)
    pushed = []
    env.simulator.push = lambda speed, generator: pushed.append(speed)
    for _ in range(2000):
        if env.step(np.zeros(1, np.float32))[2]:
            env.reset()
    assert set(pushed) == {2.0}
    assert 20 < len(pushed) < 65
    for name, dofs in {"InvertedPendulum-v5": [0], "Ant-v5": [0, 1], "Hopper-v5": [0, 1, 2]}.items():
        env = make_one(name, wrappers=["randomise push 2 2"])
        env.reset(seed=1)
        before = env.unwrapped.data.qvel.copy()
        env.simulator.push(2.0, np.random.default_rng(1))
        moved = env.unwrapped.data.qvel - before
        assert np.flatnonzero(moved).tolist() == dofs
        assert abs(moved).max() <= 2.0


@pytest.mark.parametrize(("every", "least", "most"), [(10, 150, 260), (200, 2, 22)])
def test_pushes_come_as_often_as_is_said(every, least, most):
    env = make_one("InvertedPendulum-v5", wrappers=[f"randomise push 2 2 push_every {every} {every}"])
    env.reset(seed=1)
    pushed = []
    env.simulator.push = lambda speed, generator: pushed.append(speed)
    for _ in range(2000):
        if env.step(np.zeros(1, np.float32))[2]:
            env.reset()
    assert least < len(pushed) < most


ALL = (
    "mass 0.5 2 size 0.9 1.1 friction 0.5 2 damping 0.5 2 gravity 0.8 1.2 gear 0.8 1.2 latency 0 3 backlash 0 0.1 "
    "noise 0 0.01 bias 0 0.01 push 0 0.5 push_every 40 60 adversary 0 0.1"
)


ONE = {"supervisor": Supervisor(workers=1)}


def episode(env, seed):
    """Every number of an episode in which actions are drawn, and what it was told to be."""
    obs, info = env.reset(seed=seed)
    actions, seen = np.random.default_rng(9), [obs]
    for _ in range(60):
        obs, reward, terminated, truncated, _ = env.step(actions.uniform(-0.2, 0.2, 1).astype(np.float32))
        seen += [obs, np.array([reward])]
        if terminated or truncated:
            break
    return np.concatenate(seen), info["randomised"]


def test_an_episode_is_its_seed_and_its_ranges():
    """Whichever it is in its run: the seed that an episode tells of makes it again, in another copy."""
    assert len(ranges(ALL)) == len(PARAMETERS)
    env, other = (make_one("InvertedPendulum-v5", wrappers=[f"randomise {ALL}"]) for _ in range(2))
    rows = [episode(env, seed) for seed in (7, None, None)]
    assert len({told["seed"] for _, told in rows}) == 3
    assert len({told["mass"] for _, told in rows}) == 3
    for seen, its in reversed(rows):
        again, same = episode(other, its["seed"])
        assert its == same
        assert np.array_equal(seen, again)


def test_values_are_uniform_within_their_ranges():
    env = make_one(Line, wrappers=["randomise latency 0 4 noise 1 3"])
    env.reset(seed=1)
    drawn = np.array([[env.reset()[1]["randomised"][k] for k in ("latency", "noise")] for _ in range(500)])
    assert (drawn.min(0) >= [0, 1]).all()
    assert (drawn.max(0) <= [4, 3]).all()
    assert np.allclose(drawn.mean(0), [2, 2], atol=0.2)
    assert np.allclose(drawn.std(0), [4 / 12**0.5, 2 / 12**0.5], atol=0.1)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.15


def test_copies_in_worker_processes_are_the_same():
    seen = []
    for backend in ("inprocess", "process"):
        env = make("InvertedPendulum-v5", 2, backend=backend, wrappers=[f"randomise {ALL}"], **ONE)
        seen.append([env.reset(3), *(env.step(np.full((2, 1), 0.1, np.float32)).obs for _ in range(30))])
        env.close()
    assert np.array_equal(*seen)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("randomise", "is not names, each with its least and largest value"),
        ("randomise mass 1", "is not names"),
        ("randomise mess 1 2", "there is no parameter 'mess': use one of mass, size"),
        ("randomise latency:pole 1 2", "there is no parameter 'latency:pole'"),
        ("randomise mass 2 1", "mass goes from 2 to 1: give two numbers, the least first"),
        ("randomise mass 0 1", "of at least 0.001 and at most 1000"),
        ("randomise noise 0 inf", "noise goes from 0 to inf"),
        ("randomise noise 0 nan", "noise goes from 0 to nan"),
        ("randomise noise 0 x", "noise goes from 0 to x"),
        ("randomise mass 1 2 mass 1 3", "mass stands there twice"),
    ],
)
def test_what_are_no_ranges_is_refused_in_words(text, words):
    with pytest.raises(ConfigError, match=words):
        make("InvertedPendulum-v5", wrappers=[text])


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ConfigError, match="randomise stands there twice: give all its parameters to one"):
        make("InvertedPendulum-v5", wrappers=["randomise mass 1 2", "randomise gear 1 2"])
    with pytest.raises(ConfigError, match="randomise needs a MuJoCo model; CartPole-v1 has none"):
        make("CartPole-v1", wrappers=["randomise mass 1 2"])
    with pytest.raises(ConfigError, match=r"a body that is called 'leg' \(of: world, cart, pole"):
        make("InvertedPendulum-v5", wrappers=["randomise mass:leg 1 2"])
    with pytest.raises(ConfigError, match="actions that are numbers within bounds"):
        make("CartPole-v1", wrappers=["randomise backlash 0 0.1"])
    assert make("CartPole-v1", wrappers=["randomise latency 0 2 noise 0 0.1"]).reset(1).shape == (1, 4)
    assert isinstance(make_one("CartPole-v1", wrappers=["randomise latency 0 2"]), Randomised)


def test_a_run_takes_its_ranges_with_it(tmp_path):
    small = {"total_steps": 128, "env.num": 2, "algo.horizon": 64, "algo.epochs": 1, "save.videos": False}
    small |= {"save.report": False, "eval.episodes": 2, "policy.hidden": [8]}
    run = operant.train(
        "ppo", "InvertedPendulum-v5", seed=101, runs=tmp_path, quiet=True, **small,
        **{"env.wrappers": ["randomise mass 0.5 2 noise 0 0.1"]},
    )  # fmt: skip
    assert run.config.env.wrappers == ("randomise mass 0.5 2 noise 0 0.1",)
