"""Hopper, quadrotor and swing-up, compiled, beside the same equations in NumPy, and what mechanics says of them."""

import gymnasium
import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.env import make
from operant.robots import BatchedRobot
from operant.robots.batched import ROBOTS

G, H = 9.81, 0.02


def runge_kutta(slope, s, h):
    k1 = slope(s)
    k2 = slope(s + h / 2 * k1)
    k3 = slope(s + h / 2 * k2)
    return s + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + h * k3))


def matrix(q):
    """Of a quaternion, by what it does to the axes: v + 2 w (r × v) + 2 r × (r × v)."""
    return np.stack([v + 2 * q[0] * np.cross(q[1:], v) + 2 * np.cross(q[1:], np.cross(q[1:], v)) for v in np.eye(3)], 1)


def flown(s, action):
    """A step of a quadrotor in vectors: forces at places, moments by cross products, Euler's equations."""
    m, inertia, ratio, arm = 0.027, np.array([1.4e-5, 1.4e-5, 2.17e-5]), 7.94e-12 / 3.16e-10, 0.0397 / np.sqrt(2)
    places = arm * np.array([[1, -1, 0], [-1, -1, 0], [-1, 1, 0], [1, 1, 0]])
    push = m * G / 4 * (1 + np.clip(action, -1, 1) / 2)

    def slope(s):
        q, w = s[6:10], s[10:]
        force = np.outer(push, [0, 0, 1.0])
        moment = np.cross(places, force).sum(0) + ratio * np.array([0, 0, 1.0]) * (push @ [-1, 1, -1, 1])
        turning = 0.5 * np.concatenate([[-q[1:] @ w], q[0] * w + np.cross(q[1:], w)])
        return np.concatenate([
            s[3:6], matrix(q) @ force.sum(0) / m - [0, 0, G], turning, (moment - np.cross(w, inertia * w)) / inertia
        ])  # fmt: skip

    for _ in range(2):
        s = runge_kutta(slope, s, H / 2)
    s[6:10] /= np.linalg.norm(s[6:10])
    p, w = np.linalg.norm(s[:3]), np.linalg.norm(s[10:])
    return s, 1 - p / 2 - 0.02 * w, p > 2 or matrix(s[6:10])[2, 2] < 0


def hopped(s, action):
    """A step of a hopper in polar coordinates of the leg: what pulls along it, and what turns it."""
    m, inertia, k, a = 80.0, 4.58, 2e4, np.clip(action, -1, 1)

    def slope(s):
        x, z = s[0] - foot, s[1]
        length, angle = np.hypot(x, z), np.arctan2(x, z)
        along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
        force = max(0.0, k * (1 - length) + 500 * a[1]) * along + 100 * a[0] / length * across
        return np.concatenate([s[3:], force / m - [0, G], [100 * a[0] / inertia]])

    body, foot, angle, stands = s[:6], s[6], s[7], s[8]
    for _ in range(10):
        h = H / 10
        if stands:
            body = runge_kutta(slope, body, h)
            x, z = body[0] - foot, body[1]
            angle, stands = np.arctan2(-x, z), not (np.hypot(x, z) >= 1 and x * body[3] + z * body[4] > 0)
        else:
            body = np.concatenate([body[:3] + h * body[3:] - [0, G * h * h / 2, 0], body[3:] - [0, G * h, 0]])
            angle = np.clip(angle + 5 * a[0] * h, -1.2, 1.2)
            if body[1] <= np.cos(angle) and body[4] < 0:
                foot, stands = body[0] + np.sin(angle), True
    over = body[1] < 0.5 or abs(body[2]) > 0.8
    return np.concatenate([body, [foot, angle, float(stands)]]), 1 + body[3] - 1e-3 * (a @ a), over


def swung(s, action):
    """A step of a swing-up by its mass matrix: Lagrange's equations of a cart and a uniform pole that hangs at 0."""
    cart, pole, length, a = 0.5, 0.5, 0.5, float(np.clip(action[0], -1, 1))

    def slope(s):
        sin, cos = np.sin(s[1]), np.cos(s[1])
        mass = np.array([[cart + pole, pole * length / 2 * cos], [pole * length / 2 * cos, pole * length**2 / 3]])
        force = [10 * a - 0.1 * s[2] + pole * length / 2 * s[3] ** 2 * sin, -pole * G * length / 2 * sin]
        return np.concatenate([s[2:], np.linalg.solve(mass, force)])

    for _ in range(4):
        s = runge_kutta(slope, s, 0.01)
    tip = np.array([s[0] + length * np.sin(s[1]), -length * np.cos(s[1])])
    return s, np.exp(-((np.linalg.norm(tip - [0, length]) / length) ** 2)) - 0.01 * a * a, False


REFERENCE = {"hopper": hopped, "quadrotor": flown, "swing_up": swung}


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_step_is_that_of_the_same_equations_in_numpy(robot):
    """Each from the state that the kernels came to, actions beyond the bounds too; ends, limits and resets as said."""
    world, rng, ends, cut = BatchedRobot(4, robot, limit=60), np.random.default_rng(0), 0, 0
    world.reset(seed=3)
    stood = 0
    for _ in range(250):
        before, elapsed = world.state.copy(), world.elapsed.copy()
        actions = rng.uniform(-1.5, 1.5, world.action_space.shape).astype(np.float32)
        obs, reward, terminated, truncated, infos = world.step(actions)
        for i in range(4):
            s, paid, over = REFERENCE[robot](before[i].copy(), actions[i].astype(np.float64))
            np.testing.assert_allclose(reward[i], paid, atol=1e-6)
            assert (terminated[i], truncated[i]) == (over, not over and elapsed[i] == 59)
            if terminated[i] or truncated[i]:
                shown = world._blank()
                world._kernels.reset(world._kind, world.state.copy(), world.seed, shown)
                seen, ends, cut = infos["final_obs"][i], ends + 1, cut + truncated[i]
                assert world.elapsed[i] == 0
            else:
                np.testing.assert_allclose(world.state[i], s, atol=1e-9)
                seen, stood = obs[i], stood + (robot == "hopper" and s[8])
            if robot == "quadrotor":
                told = np.concatenate([s[:6], matrix(s[6:10]).ravel(), s[10:]])
            elif robot == "swing_up":
                told = [s[0], np.sin(s[1]), np.cos(s[1]), *s[2:]]
            else:
                length = np.hypot(s[0] - s[6], s[1]) if s[8] else 1.0
                told = [s[1] - 1, *s[2:6], np.sin(s[7]), np.cos(s[7]), length - 1, s[8]]
            np.testing.assert_allclose(seen, told, atol=1e-6)
    assert ends > 4
    assert stood > 50 or robot != "hopper"


def test_a_hopper_that_is_left_alone_keeps_its_energy():
    """m g z + ½ m v² + ½ k (1 − l)² over flights and stances; what a late touch adds is small."""
    world = BatchedRobot(8, "hopper")
    world.reset(seed=0)
    world.state[:, 7] = world.state[:, 3] = 0.0  # straight up and down

    def energy(s):
        length = np.where(s[:, 8] > 0, np.hypot(s[:, 0] - s[:, 6], s[:, 1]), 1.0)
        return 80 * (G * s[:, 1] + (s[:, 3] ** 2 + s[:, 4] ** 2) / 2) + 1e4 * (1 - length) ** 2

    first, landed = energy(world.state), False
    for _ in range(100):
        _, _, over, _, _ = world.step(np.zeros((8, 2), np.float32))
        assert not over.any()
        np.testing.assert_allclose(energy(world.state), first, rtol=0.01)
        landed |= bool(world.state[:, 8].all())
    assert landed


def test_a_quadrotor_hovers_falls_and_keeps_its_angular_momentum():
    world = BatchedRobot(3, "quadrotor")
    world.reset(seed=1)
    world.state[:] = 0.0
    world.state[:, 6] = 1.0
    world.state[1, 10:] = 1.0, -2.0, 3.0
    inertia = np.array([1.4e-5, 1.4e-5, 2.17e-5])
    first = inertia * world.state[1, 10:]
    actions = np.zeros((3, 4), np.float32)
    actions[2] = -1.0
    for _ in range(20):
        world.step(actions)
    np.testing.assert_allclose(world.state[0, :6], 0.0, atol=1e-12)  # a = 0 bears its weight
    now = matrix(world.state[1, 6:10]) @ (inertia * world.state[1, 10:])
    np.testing.assert_allclose(now, first, rtol=1e-6)
    np.testing.assert_allclose(world.state[2, 2], -G / 4 * 0.4**2, rtol=1e-9)  # half its weight is borne


def test_a_swing_up_begins_below_ends_by_its_limit_and_is_paid_for_standing():
    world = BatchedRobot(2, "swing_up")
    world.reset(seed=1)
    assert np.abs(world.state).max() <= 0.1
    world.state[1] = 0.0, np.pi, 0.0, 0.0
    for step in range(1, 201):
        _, reward, terminated, truncated, _ = world.step(np.zeros((2, 1), np.float32))
        assert not terminated.any()
        assert truncated.all() == (step == 200)
        if step < 20:
            assert reward[1] > 0.99 > 0.05 > reward[0] > 0.0
    assert world.metadata["render_fps"] == 25


@pytest.mark.parametrize("robot", ROBOTS)
def test_pictures_show_the_first_copy_and_its_end(robot):
    world = BatchedRobot(2, robot, limit=3, render_mode="rgb_array")
    world.reset(seed=1)
    pictures, actions = [world.render()[0]], np.ones(world.action_space.shape, np.float32)
    for _ in range(4):
        world.step(actions)
        pictures.append(world.render()[0])
    assert all(one.shape == (240, 320, 3) and one.dtype == np.uint8 and one.std() > 5 for one in pictures)
    assert len({one.tobytes() for one in pictures}) == 5
    ended = BatchedRobot(1, robot, limit=4, render_mode="rgb_array")
    ended.reset(seed=1)
    for _ in range(3):
        ended.step(actions[:1])
    assert np.array_equal(ended.render()[0], pictures[3])  # of the state that was cut, not of the next episode's
    assert BatchedRobot(1, robot).render() is None


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_copy_does_not_depend_on_how_many_there_are(robot):
    many, one = BatchedRobot(5, robot, limit=20), BatchedRobot(1, robot, limit=20)
    rng = np.random.default_rng(2)
    np.testing.assert_array_equal(many.reset(seed=7)[0][3:4], one.reset(seed=10)[0])
    for _ in range(60):
        actions = rng.uniform(-1, 1, many.action_space.shape).astype(np.float32)
        a, b = many.step(actions), one.step(actions[3:4])
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x[3:4], y)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "operant.robots:hopper", "operant.robots:swing_up"])
def test_the_backend_batched_is_one_call_for_all(env):
    made = make(env, 3, backend="batched")
    assert made.num == 3
    assert made.backend in ("compiled", "native")
    obs = made.reset(1)
    step = made.step(np.stack([made.action_space.sample() for _ in range(3)]))
    assert step.obs.shape == obs.shape
    made.close()


def test_what_cannot_be_batched_says_so():
    with pytest.raises(EnvError, match='has no compiled form: use the backend "auto"'):
        make("Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3", backend="batched")
    with pytest.raises(EnvError, match=r"actions \(2, 3\) where finite ones \(2, 4\) belong"):
        BatchedRobot(2, "quadrotor").step(np.zeros((2, 3)))
    with pytest.raises(EnvError, match="limit 0"):
        BatchedRobot(1, "hopper", limit=0)
