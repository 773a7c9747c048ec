"""Classic control compiled is Gymnasium's, step by step; its copies are streams of their own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.data.counter import mix, uniform_at
from operant.env import classic, make
from operant.env.classic import Classic, has_compiled

IDS = ("CartPole-v0", "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")


def compiled(id: str, num: int = 3, **kwargs: Any) -> Classic:
    env = make(id, num, backend="compiled", kwargs=kwargs)
    assert isinstance(env, Classic)
    return env


def actions(env: Any, steps: int, seed: int = 0) -> np.ndarray:
    """Of a policy, [T, N] or [T, N, 1]: a discrete one keeps an action for a while, else nothing far is reached."""
    rng = np.random.default_rng(seed)
    if env.world.choices:
        held = rng.integers(0, env.world.choices, (-(-steps // 7), env.num))
        free = rng.integers(0, env.world.choices, (steps, env.num))
        return np.where(rng.random((steps, env.num)) < 0.5, held.repeat(7, 0)[:steps], free)
    slow = np.sin(np.arange(steps) / 9.0)[:, None, None]
    return (3.0 * slow + rng.normal(size=(steps, env.num, 1))).astype(np.float32)  # beyond the bounds, too


@pytest.mark.parametrize("id", IDS)
def test_steps_as_gymnasium(id: str) -> None:
    """Observations to 1 ulp of float32, rewards, ends and time limits equal, over 4,000 steps and every reset."""
    env, steps = compiled(id), 4_000
    given = actions(env, steps)
    singles: list[Any] = [gymnasium.make(id, disable_env_checker=True) for _ in range(env.num)]
    kept = np.float32 if id == "Acrobot-v1" else np.float64  # what Gymnasium begins with
    obs = env.reset(5)

    def follow(n: int) -> None:
        singles[n].reset(seed=n)
        singles[n].unwrapped.state = env.world.state[n].astype(kept)

    for n in range(env.num):
        follow(n)
    ends = 0
    for action in given:
        step = env.step(action)
        for n, single in enumerate(singles):
            a = (
                action[n]
                if env.world.choices
                else np.clip(action[n], single.action_space.low, single.action_space.high)
            )
            want, reward, over, late, _ = single.step(a)
            ended = bool(over or late)
            last = step.final_obs[n] if ended and step.final_obs is not None else step.obs[n]
            np.testing.assert_array_max_ulp(last, want, maxulp=1)
            np.testing.assert_array_max_ulp(step.reward[n], np.float32(reward), maxulp=1)
            assert (step.terminated[n], step.truncated[n]) == (over, late and not over)
            if ended:
                ends += 1
                follow(n)
        obs = step.obs
    assert ends > 10
    assert obs.dtype == np.float32
    env.close()


def test_a_copy_does_not_depend_on_how_many_there_are() -> None:
    """Copy i of a seed is copy 0 of seed + i, through every reset."""
    for id in ("CartPole-v1", "Pendulum-v1"):
        many, one = compiled(id, 5, max_episode_steps=17), compiled(id, 1, max_episode_steps=17)
        given = actions(many, 60)
        seen = [many.reset(7), *(many.step(a).obs for a in given)]
        for i in range(5):
            alone = [one.reset(7 + i), *(one.step(a[i : i + 1]).obs for a in given)]
            assert all((row[0] == rows[i]).all() for row, rows in zip(alone, seen, strict=True))


@pytest.mark.parametrize("id", IDS)
def test_first_states_are_drawn_from_gymnasiums_distribution(id: str) -> None:
    """Uniform on the same box: means, deviations and bounds of 4,000 copies, against those of Gymnasium's."""
    env, single = compiled(id, 4_000), gymnasium.make(id).unwrapped
    env.reset(0)
    theirs: list[Any] = []
    for seed in range(4_000):
        single.reset(seed=seed)
        theirs.append(np.asarray(single.state, np.float64))  # type: ignore[attr-defined]
    ours, want = env.world.state, np.stack(theirs)
    assert len(np.unique(ours[:, 0])) > 3_900
    assert abs(np.corrcoef(ours[:-1, 0], ours[1:, 0])[0, 1]) < 0.06
    spread = want.std(0)
    assert (np.abs(ours.mean(0) - want.mean(0)) <= 0.08 * spread).all()
    assert (np.abs(ours.std(0) - spread) <= 0.04 * spread).all()
    assert (np.abs(ours.min(0) - want.min(0)) <= 0.02 * spread).all()
    assert (np.abs(ours.max(0) - want.max(0)) <= 0.02 * spread).all()


def test_the_stream_is_that_of_completions() -> None:
    """The hash of the compiled worlds is the one that language models draw with."""
    import torch

    from operant.language.sample.sampling import uniform_at as theirs

    for key, position in ((0, 0), (1, 5), (2**63 - 1, 7), (12345, 10**9)):
        ours = uniform_at(np.uint64(key), np.uint64(position))
        assert ours == float(theirs(torch.tensor(key), torch.tensor(position)))
    assert mix(np.uint64(1)) == np.uint64(0x5692161D100B05E5)  # by the reference in C


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0"])
def test_pictures_are_gymnasiums(id: str) -> None:
    """Copy 0 is drawn by Gymnasium; after an end, its last state is."""
    env = make(id, 2, backend="compiled", kwargs={"max_episode_steps": 3}, render_mode="rgb_array")
    single: Any = gymnasium.make(id, render_mode="rgb_array", max_episode_steps=3)
    env.reset(3)
    single.reset(seed=0)
    single.unwrapped.state = env.world.state[0].copy()  # type: ignore[attr-defined]
    frame = env.render()
    assert frame is not None
    assert (frame == single.render()).all()
    assert env.fps == single.metadata["render_fps"]
    for action in actions(env, 3):
        env.step(action)
        single.step(action[0])
        frame = env.render()
        assert frame is not None
        assert (frame == single.render()).all()
    env.step(actions(env, 1)[0])
    after = env.render()
    assert after is not None
    assert (after != frame).any()
    assert compiled(id).render() is None
    env.close()


def test_the_last_state_stands_apart_and_arrays_are_fresh() -> None:
    env = compiled("CartPole-v1", 2, max_episode_steps=4)
    obs = env.reset(0)
    steps = [env.step(np.array([1, 0])) for _ in range(5)]
    assert [bool(s.truncated.all()) for s in steps] == [False, False, False, True, False]
    end = steps[3]
    assert end.final_obs is not None
    assert (np.abs(end.final_obs[:, 1]) > 0.5).all()
    assert (np.abs(end.obs) <= 0.05).all()
    assert steps[2].final_obs is None
    assert end.acted.all()
    assert (end.reward == 1).all()
    assert len({x.ctypes.data for x in (obs, *(s.obs for s in steps), *(s.reward for s in steps))}) == 11


def test_what_is_none_of_the_actions_is_refused() -> None:
    env = compiled("MountainCar-v0", 3)
    env.reset(0)
    with pytest.raises(EnvError, match="MountainCar-v0, copy 1, step 1: the action 3 is none of 0 to 2"):
        env.step(np.array([0, 3, 1]))
    with pytest.raises(ValueError, match=r"int64 \[3\] belongs"):
        env.step(np.zeros((3, 1), np.float32))
    with pytest.raises(ValueError, match=r"\[3, 1\] belongs"):
        compiled("Pendulum-v1", 3).step(np.zeros(3, np.float32))
    broken = compiled("Pendulum-v1", 2)
    broken.reset(0)
    assert np.isnan(broken.step(np.array([[np.nan], [0.0]], np.float32)).obs).any(1).tolist() == [True, False]


def test_only_what_is_gymnasiums_own_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gymnasium.spec("CartPole-v1")
    assert has_compiled(spec, {})
    assert has_compiled(spec, {"max_episode_steps": 9})
    for kwargs in ({"sutton_barto_reward": True}, {"max_episode_steps": 0}, {"max_episode_steps": True}):
        assert not has_compiled(spec, kwargs)
    with pytest.raises(EnvError, match="CartPole-v1 has a compiled form that takes max_episode_steps"):
        make("CartPole-v1", backend="compiled", kwargs={"sutton_barto_reward": True})
    with pytest.raises(EnvError, match="has no compiled form"):
        make("FrozenLake-v1", backend="compiled")
    with pytest.raises(EnvError, match="has no compiled form"):
        make(lambda: gymnasium.make("CartPole-v1"), backend="compiled")
    gymnasium.register("OwnPole-v0", entry_point=spec.entry_point, kwargs={"sutton_barto_reward": True})
    try:
        assert make("OwnPole-v0").backend == "inprocess"
    finally:
        gymnasium.registry.pop("OwnPole-v0")
    monkeypatch.setattr(classic, "numba_missing", lambda: "has a compiled form, but Numba cannot be imported (gone)")
    assert (make("CartPole-v1").backend, make("Acrobot-v1").backend) == ("native", "inprocess")
    with pytest.raises(EnvError, match="Numba cannot be imported"):
        make("CartPole-v1", backend="compiled")
