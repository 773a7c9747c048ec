"""A house to be tidied: ways against a search, what errands and things pay, and that the plan decides what is done."""

import numpy as np

from operant.env.spaces import Observations
from operant.grounded import Errand, Tidied, errand_view
from operant.grounded.tidy import AWAY, FLOOR, INTERACT, SIDE, WALLS, WAYS, away, walked
from operant.recipes import rearrangement


def on_the_way(here, cell):
    """[N], a step nearer, or the deed where one is there."""
    found = np.full(len(here), INTERACT)
    for i in range(len(here)):
        for action, way in enumerate(WAYS):
            to = here[i] + way
            if (
                (to >= 0).all()
                and (to < SIDE).all()
                and not WALLS[tuple(to)]
                and away(to, cell[i]) < away(here[i], cell[i])
            ):
                found[i] = action
    return found


def test_ways_go_through_doors():
    assert AWAY[FLOOR[0] @ (SIDE, 1), FLOOR[0] @ (SIDE, 1)] == 0
    assert away(np.array([0, 0]), np.array([0, 8])) == 10  # by the door at (1, 4)
    assert (AWAY[np.ix_(FLOOR @ (SIDE, 1), FLOOR @ (SIDE, 1))] < SIDE**2).all()
    here = np.array([[0, 3], [1, 3]])
    walked(here, np.array([1, 1]))
    assert here.tolist() == [[0, 3], [1, 4]]


def test_who_follows_the_plan_tidies_and_is_paid():
    world = Tidied(24, 2, limit=200)
    world.reset(seed=1)
    total, over = np.zeros(24), np.zeros(24, bool)
    for _ in range(150):
        _, cell = world.next()
        _, reward, done, _, _ = world.step(on_the_way(world.here, cell))
        total += np.where(over, 0.0, reward)
        over |= done
        if over.all():
            break
    assert over.all()
    assert (total > 2.5).all()  # two takings, one laying, the last deed, and steps


def test_an_errand_is_done_where_it_is_and_costs_elsewhere():
    world = Errand(16)
    obs, _ = world.reset(seed=0)
    np.testing.assert_array_equal(obs["view"], errand_view(world.here, world.cell))
    away_from = (world.here != world.cell).any(1)
    _, reward, done, _, _ = world.step(np.full(16, INTERACT))
    assert (done == ~away_from).all()
    np.testing.assert_allclose(reward[away_from], -0.05)
    for _ in range(30):
        _, reward, done, _, _ = world.step(on_the_way(world.here, world.cell))
        assert (reward[done] == 1).all()
        assert (reward[~done] > 0).all()


def test_the_plan_decides_what_is_done_and_without_it_little_is():
    """The mechanism, with a skill that never fails."""

    def by(cells):
        return lambda world: on_the_way(world.here, cells(world))

    planned = rearrangement.tidied(by(lambda w: w.next()[1]), 2, 20, 1)
    unplanned = rearrangement.tidied(by(lambda w: w.anywhere()), 2, 20, 1)
    assert planned == 1.0
    assert unplanned < 0.1


def test_what_is_seen_tells_what_is_to_be_done():
    world = Tidied(8)
    seen = Observations(world.single_observation_space)
    obs, _ = world.reset(seed=3)
    assert seen.batch(obs, 8).shape == (8, seen.dim)
    assert (obs["view"][..., 1:6].sum((1, 2)) == 1).all()
    assert (obs["view"][..., 6:] == 0).all()
