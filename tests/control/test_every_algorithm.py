"""Every algorithm of discrete actions trains a masked recurrent policy on pictures, and says so where it cannot."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.registry import ALGORITHMS, CONTROL, settings_of
from operant.control.settings.adversarial import AdversaryRun
from operant.control.settings.data import DataRun
from operant.env import record_data, write_data
from operant.env.text import Words

FILE = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Doors(gymnasium.Env):
    observation_space, action_space = spaces.Box(0, 255, (8, 8), np.uint8), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._next()

    def step(self, action):
        assert action != self.shut
        self.steps += 1
        obs, info = self._next()
        return obs, 1.0, False, self.steps == 6, info | {"cost": 0.1}

    def _next(self):
        self.shut = int(self.np_random.integers(3))
        obs = self.np_random.integers(0, 256, (8, 8)).astype(np.uint8)
        return obs, {"action_mask": np.arange(3) != self.shut}


def say(obs, mask):
    return int(mask.argmax())
"""
CONTINUOUS = ("ddpg", "td3", "sac", "crossq")
FIXED = ("td3-bc", "cql", "pets")  # of numbers alone: test_offline_runs.py and test_pets.py
CHOOSING = [n for n, (where, _) in ALGORITHMS.items() if where.startswith(CONTROL) and n not in (*CONTINUOUS, *FIXED)]
FEW = {"horizon": 8, "length": 4, "burn_in": 1, "learning_starts": 16, "batch": 8, "updates": 4}


@pytest.mark.spread(5)
@pytest.mark.parametrize("algorithm", CHOOSING)
def test_masked_recurrent_on_pictures_of_ones_own(algorithm, tmp_path):
    (tmp_path / "doors.py").write_text(FILE)
    settings = {
        "total_steps": 32, "env.num": 2, "env.action_mask": "info", "policy.network": "minatar-cnn",
        "policy.memory": "gru", "policy.memory_size": 8, "eval.episodes": 1, "save.videos": False, "save.report": False,
    }  # fmt: skip
    fields = settings_of(algorithm).model_fields["algo"].annotation.model_fields
    few = FEW if "learning_starts" in fields else {"horizon": 8}
    settings |= {f"algo.{name}": value for name, value in few.items() if name in fields}
    settings |= {"algo.priority": "none"} if algorithm == "rainbow" else {}  # it draws pieces alike
    settings |= {"preferences.clip": 8} if algorithm == "preference-ppo" else {}
    env = f"{tmp_path / 'doors.py'}:Doors"
    settings |= shown(algorithm, env, tmp_path)
    run = operant.train(algorithm, env, runs=tmp_path, quiet=True, **settings)
    mask = np.array([0, 1, 0], np.int8)
    assert operant.Run(run.path, trust=True).policy.act(np.zeros((8, 8), np.uint8), mask=mask) == 1


def shown(algorithm, env, folder):
    """The demonstrations or the expert that a method learns from, where it does."""
    model = settings_of(algorithm)
    if "expert" in model.model_fields["algo"].annotation.model_fields:
        return {
            "algo.expert": env.replace(":Doors", ":say"),
            "algo.round_steps": 16,
            "algo.gradient_steps": 2,
            "algo.length": 4,
        }
    if not issubclass(model, DataRun | AdversaryRun):
        return {}
    pytest.importorskip("h5py")
    data = record_data(env, lambda obs, info: int(info["action_mask"].argmax()), episodes=4)
    length = {"algo.length": 4} if "length" in model.model_fields["algo"].annotation.model_fields else {}
    return {"data.path": str(write_data(data, folder / "shown"))} | length


class Spoken(gymnasium.Env):
    """A sentence, and numbers beside it."""

    observation_space = spaces.Dict({"said": Words(("go", "left", "right"), 3), "speed": spaces.Box(-1, 1, (2,))})

    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        return self._seen(), 1.0, False, self.steps == 6, {"cost": 0.0}

    def _seen(self):
        said = ("go left", "Go right!", "")[self.np_random.integers(3)]
        return {"said": said, "speed": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


class Steered(Spoken):
    """The same, by two numbers."""

    action_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))


SHOWN = [n for n in CHOOSING if "expert" in settings_of(n).model_fields["algo"].annotation.model_fields
         or issubclass(settings_of(n), DataRun | AdversaryRun)]  # fmt: skip


@pytest.mark.spread(5)
@pytest.mark.parametrize("algorithm", [n for n in (*CHOOSING, *CONTINUOUS) if n not in SHOWN])
def test_what_is_said_is_read_by_every_method(algorithm, tmp_path):
    env = Steered if algorithm in CONTINUOUS else Spoken
    settings = {
        "total_steps": 32, "env.num": 2, "policy.join": "gated", "policy.text_size": 4, "policy.hidden": (16,),
        "eval.episodes": 1, "save.videos": False, "save.report": False,
    }  # fmt: skip
    fields = settings_of(algorithm).model_fields["algo"].annotation.model_fields
    few = FEW if "learning_starts" in fields else {"horizon": 8}
    settings |= {f"algo.{name}": value for name, value in few.items() if name in fields}
    settings |= {"preferences.clip": 8} if algorithm == "preference-ppo" else {}
    if algorithm == "q-actor-critic":
        with pytest.raises(ConfigError, match="reads no text"):
            operant.train(algorithm, env, runs=tmp_path, quiet=True, **settings)
        return
    run = operant.train(algorithm, env, runs=tmp_path, quiet=True, **settings)
    policy = operant.Run(run.path, env=env).policy
    assert env.action_space.contains(policy.act({"said": "go where?", "speed": np.zeros(2, np.float32)}))
    assert any(".reader." in name for name in policy.state_dict())


class Sight(gymnasium.Env):
    """Pictures, and a number beside them; an action of two numbers."""

    observation_space = spaces.Dict({"eye": spaces.Box(0, 255, (8, 8), np.uint8), "speed": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        return self._seen(), float(action[0]), False, self.steps == 6, {}

    def _seen(self):
        eye = self.np_random.integers(0, 256, (8, 8)).astype(np.uint8)
        return {"eye": eye, "speed": self.np_random.uniform(-1, 1, 1).astype(np.float32)}


@pytest.mark.parametrize("memory", ["none", "lstm"])
@pytest.mark.parametrize("algorithm", CONTINUOUS)
def test_continuous_actions_of_what_is_seen_and_remembered(algorithm, memory, tmp_path):
    settings = {
        "total_steps": 32, "env.num": 2, "policy.network": "minatar-cnn", "policy.memory": memory,
        "policy.memory_size": 8, "policy.hidden": (16,), "eval.episodes": 1, "save.videos": False, "save.report": False,
    }  # fmt: skip
    settings |= {f"algo.{name}": value for name, value in FEW.items() if name != "horizon"}
    run = operant.train(algorithm, Sight, runs=tmp_path, quiet=True, **settings)
    assert run.metrics["loss/policy"].notna().any()
    policy = operant.Run(run.path, env=Sight).policy
    seen = Sight().reset(seed=0)[0]
    assert Sight.action_space.contains(policy.act(seen))
    policy.forget()
    assert np.isfinite(policy.value(seen))


@pytest.mark.parametrize("algorithm", CONTINUOUS)
def test_what_a_continuous_method_cannot_choose_is_said(algorithm, tmp_path):
    with pytest.raises(ConfigError, match="use discrete-sac"):
        operant.train(algorithm, "CartPole-v1", runs=tmp_path, quiet=True)
