"""Lanes, compiled, beside the same rules read slowly; what both sides see; and the player made by hand."""

import numpy as np
import pytest

from games.slow_lanes import Game, Unit
from operant.config.errors import EnvError
from operant.games.lanes import Lanes, scripted


def as_objects(world, n):
    return Game([[Unit(m, *map(int, hero)) for hero in world.hero[n, m]] for m in (0, 1)])


def busy(obs, heroes, rng):
    """Actions that lead to fights: half of chance, half of the player made by hand."""
    flat = obs.reshape(-1, obs.shape[-1])
    made = scripted(flat, heroes, rng).reshape(obs.shape[:-1])
    return np.where(rng.random(made.shape) < 0.5, rng.integers(8, size=made.shape), made)


@pytest.mark.parametrize("heroes", [1, 2, 3])
def test_games_are_those_of_the_slow_reading(heroes):
    world, rng, deaths, ends = Lanes(12, heroes), np.random.default_rng(heroes), 0, 0
    world.reset(7)
    games = [as_objects(world, n) for n in range(12)]
    for _ in range(130):
        obs = world.observe()
        for n, game in enumerate(games):
            slow = np.array([[game.seen(m, k) for k in range(heroes)] for m in (0, 1)])
            assert obs[n] == pytest.approx(slow, abs=1e-6)
        action = busy(obs, heroes, rng)
        told = world.step(action)
        for n, game in enumerate(games):
            reward, over, outcome = game.step(action[n].tolist())
            assert told.reward[n] == pytest.approx(np.array(reward), abs=1e-12)
            assert (told.over[n], told.outcome[n]) == (over, outcome)
            assert world.base[n].tolist() == game.base
            deaths += sum(hero.wait == 10 for team in game.heroes for hero in team)
            ends += over and min(game.base) <= 0
        world.again(told.over)
        games = [as_objects(world, n) if told.over[n] else game for n, game in enumerate(games)]
    assert deaths > 20
    assert ends > 0 or heroes == 1


def test_both_teams_see_the_same_game_from_their_own_side():
    """A world whose sides are exchanged shows each team what the other saw."""
    world, other = Lanes(20), Lanes(20)
    world.reset(3)
    rng = np.random.default_rng(0)
    for _ in range(15):
        world.step(busy(world.observe(), 2, rng))
    other.hero[:], other.creep[:], other.base[:], other.time[:] = (
        world.hero[:, ::-1], world.creep[:, ::-1], world.base[:, ::-1], world.time
    )  # fmt: skip
    other.hero[..., 1], other.creep[..., 0] = 6 - other.hero[..., 1], 6 - other.creep[..., 0]
    assert np.abs(world.observe() - other.observe()[:, ::-1]).max() < 1e-6
    action = busy(world.observe(), 2, rng)
    one, two = world.step(action), other.step(np.ascontiguousarray(action[:, ::-1]))
    assert one.reward == pytest.approx(two.reward[:, ::-1])
    assert (one.outcome == -two.outcome).all()


def test_a_hero_sees_two_cells_far_and_its_mates_everywhere():
    world = Lanes(1)
    world.reset(0)
    world.hero[0, 0, 0, :2], world.hero[0, 0, 1, :2], world.hero[0, 1, 0, :2] = (2, 2), (4, 6), (2, 4)
    world.hero[0, 1, 1, :2] = (2, 5)
    seen = world.observe()[0, 0, 0]
    assert seen[8] == 1
    assert seen[9:11] == pytest.approx([0.5, 4 / 6])
    assert seen[13:17] == pytest.approx([1, 0, 2 / 6, 1])
    assert not seen[17:21].any()


def test_a_game_depends_on_its_seed_and_number_alone():
    one, two = Lanes(4), Lanes(2)
    one.reset(5)
    two.reset(7)
    assert (one.hero[2:] == two.hero).all()
    one.again(np.array([False, False, True, False]))
    two.again(np.array([True, False]))
    assert (one.hero[2:] == two.hero).all()
    assert one.episode.tolist() == [0, 0, 1, 0]


def test_the_player_made_by_hand_beats_chance():
    world, rng = Lanes(100), np.random.default_rng(1)
    world.reset(1)
    won = np.zeros(100)
    for _ in range(60):
        obs = world.observe()
        action = rng.integers(8, size=(100, 2, 2))
        action[:, 0] = scripted(obs[:, 0].reshape(200, -1), 2, rng).reshape(100, 2)
        told = world.step(action)
        won += told.outcome
        world.again(told.over)
    assert won.sum() > 0.9 * np.abs(won).sum() > 50


def test_actions_that_are_none_are_refused():
    world = Lanes(2)
    world.reset(0)
    with pytest.raises(EnvError, match=r"\(2, 2\)"):
        world.step(np.zeros((2, 2), np.int64))
    with pytest.raises(EnvError, match="from 0 to 7"):
        world.step(np.full((2, 2, 2), 8))
    with pytest.raises(EnvError, match="1 or more"):
        Lanes(0)


def test_a_game_is_drawn():
    world = Lanes(1)
    world.reset(2)
    before = world.picture()
    world.step(np.full((1, 2, 2), 3))
    assert before.shape == (240, 336, 3)
    assert (world.picture() != before).any()
