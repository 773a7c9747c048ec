"""What a name stands for, which backend it gets, and what to do when it cannot be made."""

from __future__ import annotations

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from operant.config.errors import EnvError
from operant.env import make, make_one

FILE = """
import gymnasium
from gymnasium import spaces

LOADED = []

class Plain(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, speed=1.0, render_mode=None):
        if speed < 0:
            raise ValueError("speed is negative")
        self.speed, self.render_mode = speed, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.low * 0 + self.speed, {}

number = 3

def not_an_env():
    return 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def fails(*args, **kwargs):
    with pytest.raises(EnvError) as caught:
        make(*args, **kwargs)
    return str(caught.value)


def test_auto_is_the_first_that_there_is_and_that_takes_the_kwargs():
    assert make("CartPole-v1", 3).backend == "compiled"
    assert make("CartPole-v1", 3, kwargs={"max_episode_steps": 20}).backend == "compiled"
    assert make("CartPole-v1", 3, backend="native").backend == "native"
    assert make("CartPole-v1", 3, kwargs={"sutton_barto_reward": True}).backend == "native"
    assert make("CartPole-v1", 3, backend="inprocess").backend == "inprocess"
    assert make("Pendulum-v1", 3).backend == "compiled"
    assert make("Pendulum-v1", 3, kwargs={"g": 9.81}).backend == "inprocess"
    with pytest.raises(EnvError, match="no native vector form that takes order"):
        make("CartPole-v1", 3, backend="native", kwargs={"order": 1})


def test_kwargs_reach_every_copy():
    for backend in ("native", "inprocess"):
        env = make("CartPole-v1", 2, backend=backend, kwargs={"sutton_barto_reward": True, "max_episode_steps": 3})
        env.reset(0)
        steps = [env.step(np.array([0, 1])) for _ in range(3)]
        assert all((step.reward == 0).all() for step in steps)
        assert steps[-1].truncated.all()


def test_a_callable_a_file_and_a_module_name_the_same_environment(file):
    for name in (f"{file}:Plain", "operant.env.probe:constant", gymnasium.envs.classic_control.CartPoleEnv):
        env = make(name, 2)
        assert (env.num, env.backend) == (2, "inprocess")
        assert env.reset(0).shape == (2, env.obs_dim)
    assert (make(f"{file}:Plain", 2, kwargs={"speed": 0.5}).reset(0) == 0.5).all()


def test_a_file_is_run_once_until_it_changes(file):
    first = make_one(f"{file}:Plain")
    assert type(make_one(f"{file}:Plain")) is type(first)
    file.write_text(FILE.replace("speed=1.0", "speed=0.25"))
    assert (make(f"{file}:Plain").reset(0) == 0.25).all()


def test_importing_a_file_may_register_an_id(tmp_path):
    path = tmp_path / "registers.py"
    path.write_text(
        "import gymnasium\n"
        "gymnasium.register('operant-test/Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv',"
        " max_episode_steps=2)\n"
    )
    try:
        env = make(f"{path}:operant-test/Mine-v0")
        env.reset(0)
        assert [bool(env.step(np.zeros((1, 1), np.float32)).truncated[0]) for _ in range(2)] == [False, True]
    finally:
        gymnasium.registry.pop("operant-test/Mine-v0", None)


def test_only_copy_0_is_asked_to_render(file):
    env = make(f"{file}:Plain", 3, render_mode="rgb_array")
    assert [copy.render_mode for copy in env._envs] == ["rgb_array", None, None]
    env = make("Pendulum-v1", 3, backend="inprocess", render_mode="rgb_array")
    assert [copy.render_mode for copy in env._envs] == ["rgb_array", None, None]


def test_a_vector_environment_says_how_many_copies_there_are():
    def three():
        return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 3)

    def many(num_envs):
        return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * num_envs)

    assert make(three).num == 3
    assert make(three, 3).num == 3
    assert make(many, 5).num == 5
    assert "returned 3 copies where 4 were asked for" in fails(three, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CartPol-v1", ["no environment 'CartPol-v1'", "nearest: CartPole-v1"]),
        ("cartpole-v1", ["there is CartPole-v1"]),
        ("CartPole-v7", ["there is CartPole-v1, CartPole-v0"]),
        ("CartPole", ["there is CartPole-v1, CartPole-v0"]),
        ("LunarLander-v2", ["there is LunarLander-v3"]),
        ("Ant-v3", ["Gymnasium no longer has 'Ant-v3'; there is Ant-v5, Ant-v4"]),
        ("nowhere:callable", ["there is no module 'nowhere'", "path to a .py"]),
        ("nowhere.inside:callable", ["there is no module 'nowhere'"]),
        ("operant.env.nowhere:callable", ["there is no module 'operant.env.nowhere'"]),
        ("operant.env.probe:identiy", ["no callable 'identiy'", "nearest: identity"]),
        ("nowhere.py:callable", ["there is no file nowhere.py"]),
    ],
)
def test_an_unknown_name_says_what_is_near(name, words):
    message = fails(name)
    for word in words:
        assert word in message


def test_a_module_beside_the_user_is_offered_as_a_file(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's
    assert "write mine.py:Plain" in fails("mine:Plain")
    assert make("mine.py:Plain").num == 1
    assert "there is no file mime.py; nearest: mine.py" in fails("mime.py:Plain")


def test_what_a_file_does_wrong_is_said(file):
    assert "has no callable 'number'" in fails(f"{file}:number")
    assert "not_an_env returned a int, not a gymnasium.Env" in fails(f"{file}:not_an_env")
    assert "making it raised ValueError: speed is negative" in fails(f"{file}:Plain", kwargs={"speed": -1})
    assert "making it raised TypeError" in fails(f"{file}:Plain", kwargs={"sped": 1})
    file.write_text("import nothing_of_that_name")
    assert "raised ModuleNotFoundError: No module named 'nothing_of_that_name'" in fails(f"{file}:Plain")


@pytest.mark.parametrize(
    ("id", "package", "rooms", "command"),
    [
        ("LunarLander-v3", "Box2D", "gymnasium.envs.box2d", 'pip install "operant[box2d]"'),
        ("HalfCheetah-v5", "mujoco", "gymnasium.envs.mujoco", 'pip install "operant[mujoco]"'),
        ("ALE/Pong-v5", "ale_py", "ale_py", 'pip install "operant[atari]"'),
        ("phys2d/CartPole-v1", "jax", "gymnasium.envs.phys2d", 'pip install "gymnasium[jax]"'),
    ],
)
def test_a_missing_package_is_one_command(id, package, rooms, command, monkeypatch):
    for module in [name for name in sys.modules if name.startswith((rooms, package))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    message = fails(id)
    assert id in message
    assert command in message


def test_envpool_says_what_it_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    assert 'pip install "operant[envpool]"' in fails("CartPole-v1", backend="envpool")


def test_envpool_refuses_what_it_does_not_know(file):
    pytest.importorskip("envpool")
    assert "envpool has no 'HalfCheeta-v5'; nearest: HalfCheetah-v" in fails("HalfCheeta-v5", backend="envpool")
    message = fails("CartPole-v1", backend="envpool", kwargs={"max_episode_step": 3})
    assert "no option 'max_episode_step': did you mean 'max_episode_steps'" in message
    assert "needs an id, not a callable" in fails(lambda: None, backend="envpool")


def test_arguments_are_checked():
    assert "0 copies" in fails("CartPole-v1", 0)
    assert "no backend 'threads'" in fails("CartPole-v1", backend="threads")
    assert "no native vector form" in fails("Pendulum-v1", backend="native")


def test_spaces_that_cannot_be_learnt_on_are_refused():
    class Odd(gymnasium.Env):
        observation_space = spaces.Sequence(spaces.Discrete(2))
        action_space = spaces.Discrete(2)

    class Pair(gymnasium.Env):
        observation_space = spaces.Discrete(2)
        action_space = spaces.Tuple([spaces.Sequence(spaces.Discrete(2))])

    assert "is a Sequence, which has no fixed length" in fails(Odd)
    assert "the action space at [0] is a Sequence" in fails(Pair)


def test_mujoco_writes_no_log_where_the_user_stands(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    make("HalfCheetah-v5", 2).reset(0)
    assert list(tmp_path.iterdir()) == []


def test_without_a_screen_mujoco_draws_with_a_library_or_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    from operant.env import headless as screen

    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(screen.sys, "platform", "linux")
    monkeypatch.setattr(screen, "find_library", lambda name: None)
    with pytest.raises(EnvError, match="neither EGL nor OSMesa"):
        screen.prepare_mujoco("HalfCheetah-v5")
    monkeypatch.setattr(screen, "find_library", lambda name: "libOSMesa.so.8" if name == "OSMesa" else None)
    screen.prepare_mujoco("HalfCheetah-v5")
    assert screen.os.environ["MUJOCO_GL"] == "osmesa"


def test_a_picture_that_fails_is_told_in_words() -> None:
    class Blind(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Discrete(2)
        render_mode = "rgb_array"

        def render(self):
            raise RuntimeError("no light")

    with pytest.raises(EnvError, match=r"cannot be drawn here: render\(\) raised RuntimeError: no light"):
        make(Blind, render_mode="rgb_array").render()


def test_a_drawing_library_that_is_not_there_is_told_in_words() -> None:
    pytest.importorskip("mujoco")
    made = subprocess.run(
        [sys.executable, "-c", "from operant.env.make import make; make('InvertedPendulum-v5')"],
        env=os.environ | {"MUJOCO_GL": "none-such"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "MuJoCo did not load the library that MUJOCO_GL=none-such asks for: unset MUJOCO_GL" in made.stderr
