"""The probes pay for what they say they pay for."""

from __future__ import annotations

import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.env import check_env, make, probe

KINDS = ("discrete", "box", "multidiscrete", "multibinary")


def run(env, act, seed=0):
    """One episode: states, rewards, how it ended."""
    obs, _ = env.reset(seed=seed)
    states, rewards = [obs], []
    while True:
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        states.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            return states, rewards, terminated, truncated


@pytest.mark.parametrize("kind", KINDS)
def test_identity_pays_for_the_observed_state(kind):
    states, rewards, terminated, truncated = run(probe.identity(kind), lambda obs: obs)
    assert rewards == [1.0] * 100
    assert (terminated, truncated) == (False, True)
    assert len({np.asarray(state).tobytes() for state in states}) > 3
    other = {"discrete": lambda s: (s + 1) % 4, "box": lambda s: s + 0.06}.get(
        kind, lambda s: np.append(s[:-1], 1 - s[-1])
    )
    assert run(probe.identity(kind), other)[1] == [0.0] * 100


def test_identity_of_a_pair_is_paid_where_both_are_met():
    assert run(probe.identity("hybrid"), lambda pair: (pair[0], pair[1] + 0.04))[1] == [1.0] * 100
    assert run(probe.identity("hybrid"), lambda pair: ((pair[0] + 1) % 4, pair[1]))[1] == [0.0] * 100
    assert run(probe.identity("hybrid"), lambda pair: (pair[0], pair[1] + 0.06))[1] == [0.0] * 100


def test_identity_on_a_box_is_met_within_a_twentieth():
    assert run(probe.identity("box"), lambda obs: obs - 0.049)[1] == [1.0] * 100
    assert run(probe.identity("box"), lambda obs: obs - 0.051)[1] == [0.0] * 100
    assert run(probe.identity("box", tolerance=0.5), lambda obs: obs + 0.49)[1] == [1.0] * 100


def test_identity_repeats_under_a_seed_and_not_under_another():
    one, again, other = (run(probe.identity(), lambda obs: 0, seed)[0] for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_identity_takes_a_size_and_a_length():
    env = probe.identity(size=7, length=3)
    assert env.observation_space.n == env.action_space.n == 7
    assert len(run(env, lambda obs: obs)[1]) == 3
    with pytest.raises(EnvError, match="no identity of kind 'text'"):
        probe.identity("text")


def test_identity_is_solved_through_make():
    for kind in KINDS:
        env = make("operant.env.probe:identity", 2, kwargs={"kind": kind})
        obs, total = env.reset(0), np.zeros(2)
        for _ in range(100):
            action = obs
            if kind == "discrete":
                action = obs.argmax(1)
            elif kind == "multidiscrete":
                action = obs.reshape(2, 2, 4).argmax(2)
            step = env.step(action if kind == "box" else action.astype(np.int64))
            obs, total = step.obs, total + step.reward
        assert (total == 100).all()
        assert step.truncated.all()


def test_four_state_is_a_cycle_cut_by_its_limit():
    states, rewards, terminated, truncated = run(probe.four_state(), lambda obs: 1)
    np.testing.assert_array_equal(np.argmax(states, axis=1), [0, 1, 2, 3, 0, 1, 2, 3, 0])
    assert rewards == [1.0] * 8
    assert (terminated, truncated) == (False, True)
    assert len(run(probe.four_state(limit=5), lambda obs: 0)[1]) == 5


def test_the_five_probes_pay_as_they_say():
    for seed in range(6):
        for action in (0, 1):
            sign = 1 if action else -1
            assert run(probe.constant(), lambda obs, a=action: a, seed)[1] == [1.0]
            states, rewards, terminated, truncated = run(probe.seen(), lambda obs, a=action: a, seed)
            assert rewards == [states[0][0]]
            assert (terminated, truncated) == (True, False)
            states, rewards, *_ = run(probe.delayed(), lambda obs, a=action: a, seed)
            assert rewards == [0.0, 1.0]
            assert [state[0] for state in states[:2]] == [0, 1]
            assert run(probe.chosen(), lambda obs, a=action: a, seed)[1] == [sign]
            states, rewards, *_ = run(probe.matched(), lambda obs, a=action: a, seed)
            assert rewards == [sign * states[0][0]]
    assert {run(probe.seen(), lambda obs: 0, seed)[1][0] for seed in range(20)} == {-1.0, 1.0}


@pytest.mark.parametrize("name", ["identity", "four_state", "constant", "seen", "delayed", "chosen", "matched"])
def test_our_own_environments_pass_our_own_check(name):
    assert check_env(f"operant.env.probe:{name}", steps=200) == []
