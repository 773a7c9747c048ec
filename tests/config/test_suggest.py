import pytest

from operant.config.suggest import did_you_mean, nearest, nearest_are

ENVS = ["CartPole-v1", "CartPole-v0", "Pendulum-v1"]


@pytest.mark.parametrize(
    ("name", "found"),
    [("cartpole-v1", "CartPole-v1"), ("CARTPOL-v1", "CartPole-v1"), ("pendulum", "Pendulum-v1")],
)
def test_the_nearest_name_is_found_whatever_the_case_and_told_as_it_is_written(name, found):
    assert nearest(name, ENVS) == [found]
    assert did_you_mean(nearest(name, ENVS)) == f" Did you mean '{found}'?"


def test_what_resembles_nothing_suggests_nothing():
    assert nearest("xyz", ENVS) == []
    assert did_you_mean([]) == nearest_are("xyz", ENVS) == ""


def test_several_are_told_best_first():
    assert nearest_are("CartPole-v1", ENVS) == "; nearest: CartPole-v1, CartPole-v0"
    assert did_you_mean(["a", "b"]) == " Did you mean 'a' or 'b'?"
