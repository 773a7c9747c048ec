"""The five games of MinAtar beside the authors' package: given the same draws, every step is the package's."""

import numpy as np
import pytest

import operant
from operant.config.errors import EnvError
from operant.data.counter import uniform_at
from operant.env import make, minatar
from operant.env import minatar_kernels as kernels
from operant.env.minatar import GAMES, MinAtar


class Draws:
    """What the package draws by, giving the numbers of copy 0 of ours."""

    def __init__(self, env):
        self.env, self.count, self.episode = env, 0, np.uint64(0)

    def number(self):
        self.count += 1
        key = np.uint64(kernels.key_of(self.env.seed[0], self.episode))
        return float(uniform_at(key, np.uint64(self.count)))

    def rand(self, *shape):
        return np.array([self.number() for _ in range(shape[0])]) if shape else self.number()

    def choice(self, a, size=None, p=None):
        a = np.arange(a) if np.isscalar(a) else np.asarray(a)
        assert size is None
        u = self.number()
        return a[int(u * len(a))] if p is None else a[int(np.searchsorted(np.cumsum(p), u, side="right"))]

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        drawn = [low + int(self.number() * (high - low)) for _ in range(size or 1)]
        return drawn[0] if size is None else np.array(drawn)


def played(game, theirs, rng):
    """An action of a player who holds on to what he does, and in Seaquest fetches divers and shoots."""
    its = theirs.env
    if game == "freeway":
        return 2 if rng.random() < 0.8 else int(rng.integers(6))
    if game == "breakout" and rng.random() < 0.9:
        return 1 if its.ball_x < its.pos else 3 if its.ball_x > its.pos else 0
    if game == "seaquest" and rng.random() < 0.7:
        if any(thing[1] == its.sub_y for thing in its.e_fish + its.e_subs):
            return 5
        if its.oxygen < 40 and its.diver_count > 0:
            return 2
        if its.divers and its.diver_count < 6:
            x, y = its.divers[0][:2]
            return 1 if x < its.sub_x else 3 if x > its.sub_x else 2 if y < its.sub_y else 4
    return int(rng.integers(6))


@pytest.mark.parametrize("game", GAMES)
def test_every_step_is_the_packages(game):
    package = pytest.importorskip("minatar")
    env, theirs, rng = MinAtar(1, game, minimal=False), package.Environment(game), np.random.default_rng(1)
    draws = Draws(env)
    obs, _ = env.reset(seed=3)
    theirs.random = theirs.env.random = draws
    theirs.reset()
    paid = ended = 0
    action, held = 0, 0
    for _ in range(6_000):
        assert np.array_equal(theirs.state(), obs[0].astype(bool))
        if held == 0:
            action, held = played(game, theirs, rng), int(rng.integers(1, 4)) if game != "breakout" else 1
        held -= 1
        reward, over = theirs.act(action)
        obs, ours, terminated, _, infos = env.step([action])
        assert (reward, bool(over)) == (ours[0], terminated[0])
        paid += reward
        if over:
            assert np.array_equal(theirs.state(), infos["final_obs"][0].astype(bool))
            ended, draws.count, draws.episode = ended + 1, 0, np.uint64(env.episode[0])
            theirs.reset()
            theirs.last_action = 0  # which the package keeps from one episode to the next
    assert ended > 0
    assert paid > 5


@pytest.mark.parametrize("game", GAMES)
def test_a_copy_depends_on_its_own_seed_alone(game):
    one, several, rng = MinAtar(1, game), MinAtar(4, game), np.random.default_rng(2)
    a, b = one.reset(seed=7)[0], several.reset(seed=5)[0]
    for _ in range(300):
        assert np.array_equal(a[0], b[2])
        action = rng.integers(len(GAMES[game]), size=4)
        a, b = one.step(action[2:3])[0], several.step(action)[0]
    assert several.elapsed[2] == one.elapsed[0]


def test_a_limit_cuts_and_shows_what_was_last_seen():
    env = MinAtar(2, "freeway", limit=5)
    env.reset(seed=1)
    for k in range(5):
        obs, _, terminated, truncated, infos = env.step([1, 0])
        assert truncated.all() == (k == 4)
    assert not terminated.any()
    assert env.elapsed.tolist() == [0, 0]
    assert not np.array_equal(infos["final_obs"][0], obs[0])


def test_without_sticking_an_action_is_done():
    env = MinAtar(8, "breakout", sticky=0.0, minimal=False)
    obs, _ = env.reset(seed=1)
    assert obs[:, 9, 4, 0].all()
    assert env.step([1] * 8)[0][:, 9, 3, 0].all()
    stuck = MinAtar(8, "breakout", sticky=1.0, minimal=False)
    stuck.reset(seed=1)
    assert stuck.step([1] * 8)[0][:, 9, 4, 0].all()  # nothing, as before the first step


def test_what_cannot_be_is_said():
    env = MinAtar(2, "breakout")
    env.reset(seed=1)
    for wrong in ([0, 3], [0, -1], [0]):
        with pytest.raises(EnvError, match="none of 0 to 2"):
            env.step(wrong)
    for wrong in ({"sticky": 1.5}, {"limit": -1}):
        with pytest.raises(EnvError, match="give a chance"):
            MinAtar(1, "breakout", **wrong)


def test_the_picture_shows_every_cell():
    env = minatar.breakout(1, render_mode="rgb_array")
    env.reset(seed=1)
    (picture,) = env.render()
    assert picture.shape == (240, 240, 3)
    assert len(np.unique(picture[::24, ::24].reshape(-1, 3), axis=0)) == 4  # nothing, paddle, ball, bricks
    assert minatar.breakout(1).render() is None


def test_it_is_trained_on_by_its_name(tmp_path):
    env = make("operant.env.minatar:breakout", 3)
    assert env.obs_dim == 400
    env.close()
    few = {"algo.horizon": 16, "algo.epochs": 1, "eval.episodes": 1, "env.num": 4}
    few |= {"policy.network": "minatar-cnn", "total_steps": 128}
    run = operant.train("ppo", "operant.env.minatar:breakout", runs=tmp_path, quiet=True, **few)
    assert run.step == 128
    assert [*run.path.glob("videos/*.mp4")]
    assert operant.Run(run.path).evaluate(episodes=1)["mean"] >= 0.0  # its name is ours, and needs no trust
