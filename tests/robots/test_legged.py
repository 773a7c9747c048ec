"""Legged robots: each reward term against a loop, torques, commands, what is seen, ends, seeds, and what is refused."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from operant.config.errors import ConfigError, EnvError
from operant.robots import TERMS, LeggedConfig, Moment, legged_config

mujoco = pytest.importorskip("mujoco")
from operant.robots import ant, biped, g1, go2, legged  # noqa: E402

DATA = pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="needs the robots of OPERANT_DATA")
ROBOTS = [ant, biped, pytest.param(g1, marks=DATA), pytest.param(go2, marks=DATA)]


def moment(seed=0, command=(0.4, -0.3, 0.2), joints=5, feet=3):
    rng = np.random.default_rng(seed)
    limits = np.sort(rng.normal(size=(joints, 2)))
    return Moment(
        cfg=LeggedConfig(sigma=0.3, base_height=0.4, air_time=0.2, swing=0.1, stance=0.6), seconds=0.02,
        lin_vel=rng.normal(size=3), ang_vel=rng.normal(size=3), gravity=rng.normal(size=3), height=float(rng.random()),
        command=np.array(command), position=2 * rng.normal(size=joints), speed=rng.normal(size=joints),
        before=rng.normal(size=joints), stand=rng.normal(size=joints), hips=rng.random(joints) < 0.5, soft=limits,
        torque=rng.normal(size=joints), action=rng.normal(size=joints), last_action=rng.normal(size=joints),
        forces=rng.normal(size=(feet, 3)) * [0.4, 0.4, 2.0], touched=rng.random(4) < 0.5, air=rng.random(feet),
        landed=rng.random(feet) < 0.5, feet=rng.random((feet, 3)), feet_speed=rng.normal(size=(feet, 3)),
        phase=rng.random(feet),
    )  # fmt: skip


def slow(name, m):
    """Each term by hand, number by number, from the formulas of legged_gym and unitree_rl_gym."""
    total = 0.0
    moving = math.sqrt(m.command[0] ** 2 + m.command[1] ** 2) > 0.1
    loaded = [math.sqrt(sum(x * x for x in force)) > m.cfg.touch for force in m.forces]
    if name == "tracking_lin_vel":
        return math.exp(-sum((m.command[i] - m.lin_vel[i]) ** 2 for i in (0, 1)) / m.cfg.sigma)
    if name == "tracking_ang_vel":
        return math.exp(-((m.command[2] - m.ang_vel[2]) ** 2) / m.cfg.sigma)
    if name == "lin_vel_z":
        return m.lin_vel[2] ** 2
    if name == "ang_vel_xy":
        return m.ang_vel[0] ** 2 + m.ang_vel[1] ** 2
    if name == "orientation":
        return m.gravity[0] ** 2 + m.gravity[1] ** 2
    if name == "base_height":
        return (m.height - m.cfg.base_height) ** 2
    if name == "alive":
        return 1.0
    if name == "collision":
        return sum(1.0 for one in m.touched if one)
    for j in range(len(m.position)):
        if name == "torques":
            total += m.torque[j] ** 2
        elif name == "dof_vel":
            total += m.speed[j] ** 2
        elif name == "dof_acc":
            total += ((m.before[j] - m.speed[j]) / m.seconds) ** 2
        elif name == "action_rate":
            total += (m.last_action[j] - m.action[j]) ** 2
        elif name == "dof_pos_limits":
            low, high = m.soft[j]
            total += low - m.position[j] if m.position[j] < low else 0.0
            total += m.position[j] - high if m.position[j] > high else 0.0
        elif name == "stand_still" and not moving:
            total += abs(m.position[j] - m.stand[j])
        elif name == "hip_pos" and m.hips[j]:
            total += m.position[j] ** 2
    for f in range(len(m.forces)):
        if name == "feet_air_time" and m.landed[f] and moving:
            total += m.air[f] - m.cfg.air_time
        elif name == "contact":
            total += not ((m.forces[f][2] > m.cfg.touch) ^ (m.phase[f] < m.cfg.stance))
        elif name == "contact_no_vel" and loaded[f]:
            total += sum(x * x for x in m.feet_speed[f])
        elif name == "feet_swing_height" and not loaded[f]:
            total += (m.feet[f][2] - m.cfg.swing) ** 2
    return total


@pytest.mark.parametrize("name", TERMS)
def test_each_term_is_its_formula(name):
    found = []
    for seed in range(8):
        for command in ((0.4, -0.3, 0.2), (0.05, 0.0, -0.7)):
            m = moment(seed, command)
            assert TERMS[name](m) == pytest.approx(slow(name, m), rel=1e-12, abs=1e-12)
            found.append(TERMS[name](m))
    assert name == "alive" or len({round(x, 9) for x in found}) > 1  # a formula that is always 0 tests nothing


def test_weights_are_those_of_unitree_where_they_are_published():
    """systems.md 3.7 and the repository's files."""
    shared = {"tracking_lin_vel": 1.0, "tracking_ang_vel": 0.5, "lin_vel_z": -2.0, "ang_vel_xy": -0.05,
              "dof_acc": -2.5e-7, "action_rate": -0.01}  # fmt: skip
    folder = Path(legged_config.__code__.co_filename).parent
    dog = legged_config(folder / "go2.toml", {})
    its = {"torques": -2e-4, "feet_air_time": 1.0, "collision": -1.0, "dof_pos_limits": -10.0}
    assert dict(dog.rewards) == shared | its
    assert (dog.kp, dog.kd, dog.action_scale, dog.decimation, dog.timestep) == ({"*": 20}, {"*": 0.5}, 0.25, 4, 0.005)
    human = legged_config(folder / "g1.toml", {})
    assert human.rewards.items() >= (shared | {"orientation": -1.0, "base_height": -10.0}).items()
    for cfg in (dog, human):
        ranges = (cfg.commands.vx, cfg.commands.vy, cfg.commands.yaw)
        assert (*ranges, cfg.commands.resample, cfg.sigma) == ((-1, 1), (-1, 1), (-1, 1), 10.0, 0.25)


@pytest.mark.parametrize("make", ROBOTS)
def test_a_step_pays_the_weighted_sum_of_its_terms(make):
    env = make()
    env.reset(seed=3)
    rng, sums = np.random.default_rng(0), []
    for _ in range(40):
        _, reward, over, *_ = env.step(rng.normal(size=env.action_space.shape))
        by_hand = sum(weight * slow(name, env.moment) for name, weight in env.cfg.rewards.items())
        by_hand_paid = max(by_hand, 0.0) if env.cfg.positive else by_hand
        assert reward == pytest.approx(env.seconds * by_hand_paid, abs=1e-9)
        assert sum(env.paid.values()) == pytest.approx(by_hand, rel=1e-9, abs=1e-9)
        sums.append(by_hand)
        if over:
            env.reset()
    assert len(set(sums)) > 1
    free = make(positive=False, rewards={**dict.fromkeys(env.cfg.rewards, 0.0), "alive": -3.0})
    free.reset(seed=3)
    assert free.step(np.zeros(env.action_space.shape))[1] == pytest.approx(-3.0 * env.seconds)


@pytest.mark.parametrize("make", ROBOTS)
def test_torques_are_pd_within_what_motors_can(make):
    env = make(action_limit=50.0)
    env.reset(seed=1)
    its, action = env.robot, np.random.default_rng(1).normal(size=env.action_space.shape)
    for scale in (0.1, 40.0):
        found = env.torque(scale * action)
        for j, joint in enumerate(its.joints):
            q, speed = env.data.joint(joint).qpos[0], env.data.joint(joint).qvel[0]
            kp, kd = (next(reversed([x for p, x in gains.items() if Path(joint).match(p)]))
                      for gains in (env.cfg.kp, env.cfg.kd))  # fmt: skip
            target = env._stand[j] + env.cfg.action_scale * scale * action[j]
            wanted = kp * (target - q) - kd * speed
            assert found[j] == pytest.approx(max(-its.most[j], min(its.most[j], wanted)))
    assert (np.abs(found) == its.most).any()
    env.step(np.zeros(env.action_space.shape, np.float32))
    joints = [env.data.joint(name) for name in its.joints]
    assert np.allclose([one.qfrc_actuator[0] for one in joints], env.moment.torque)  # it arrives, joint by joint


def test_a_weaker_gear_pulls_less():
    """What randomisation changes is the world, and control does not know it."""
    env = biped()
    env.reset(seed=1)
    env.model.actuator_gear[:] *= 0.5
    env.step(np.full(6, 0.5, np.float32))
    pulled = [env.data.joint(name).qfrc_actuator[0] for name in env.robot.joints]
    assert np.allclose(pulled, 0.5 * env.moment.torque)


def test_commands_are_drawn_within_their_ranges_and_again_in_time():
    env = ant(commands={"resample": 1.0, "vy": [-0.4, 0.6]}, seconds=4.0, tilt=3.2, fallen=-9.0, ending=[])
    drawn = []
    for seed in range(100):
        env.reset(seed=seed)
        drawn.append(env.command.copy())
    drawn = np.array(drawn)
    assert (drawn.min(0) >= [-0.6, -0.4, -0.5]).all()
    assert (drawn.max(0) <= [0.6, 0.6, 0.5]).all()
    assert (drawn.max(0) > [0.4, 0.4, 0.4]).all()
    planar = np.hypot(drawn[:, 0], drawn[:, 1])
    assert ((planar == 0.0) | (planar > 0.2)).all()
    assert (planar == 0.0).any()
    env.reset(seed=5)
    changes, last = [], env.command.copy()
    for step in range(1, 80):
        truncated = env.step(np.zeros(8, np.float32))[3]
        assert not truncated
        if not np.array_equal(env.command, last):
            changes.append(step)
            last = env.command.copy()
    assert changes == [20, 40, 60]
    assert env.step(np.zeros(8, np.float32))[3]


def test_a_command_that_is_given_stays():
    env = biped(commands={"resample": 0.1})
    obs, _ = env.reset(seed=1, options={"command": [0.3, 0.0, 0.0]})
    for _ in range(20):
        obs, *_ = env.step(np.zeros(6, np.float32))
    assert env.command.tolist() == [0.3, 0.0, 0.0]
    assert obs[9] == pytest.approx(0.6)
    for wrong in ([1.0, 2.0], [0.0, 0.0, math.nan]):
        with pytest.raises(EnvError, match="three finite numbers"):
            env.reset(options={"command": wrong})


@pytest.mark.parametrize("make", ROBOTS)
def test_what_is_seen_lies_where_it_is_said_to(make):
    env = make()
    env.reset(seed=2)
    action = np.random.default_rng(2).uniform(-1, 1, env.action_space.shape).astype(np.float32)
    obs, *_ = env.step(action)
    m, count, first = env.moment, len(env.robot.joints), 3 if env.cfg.see_velocity else 0
    assert obs.shape == env.observation_space.shape
    assert obs.dtype == np.float32
    if first:
        assert np.allclose(obs[:3], 2.0 * m.lin_vel, atol=1e-5)
    assert np.allclose(obs[first : first + 3], 0.25 * m.ang_vel, atol=1e-5)
    assert np.allclose(obs[first + 3 : first + 6], m.gravity, atol=1e-5)
    assert np.allclose(obs[first + 6 : first + 9], env.command * [2.0, 2.0, 0.25], atol=1e-5)
    joints = obs[first + 9 :]
    assert np.allclose(joints[:count], m.position - env._stand, atol=1e-5)
    assert np.allclose(joints[count : 2 * count], 0.05 * m.speed, rtol=1e-4, atol=1e-5)
    assert np.allclose(joints[2 * count : 3 * count], action)
    clock = [math.sin(2 * math.pi * 0.02 / 0.8), math.cos(2 * math.pi * 0.02 / 0.8)] if env.cfg.period else []
    assert np.allclose(joints[3 * count :], clock)
    assert make(scales={"command": 0.0}).reset(seed=2)[0][first + 6 : first + 9].tolist() == [0.0, 0.0, 0.0]


def test_velocities_are_of_the_roots_own_frame():
    """Turned a quarter to the left and moving along the world's y, it moves ahead."""
    env = ant()
    env.reset(seed=0)
    env.data.qpos[3:7] = math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)
    env.data.qvel[:6] = 0.0, 1.0, 0.0, 0.0, 0.0, 0.5
    m = env._now(np.zeros(8), np.zeros(8), np.zeros(4, bool))
    assert np.allclose(m.lin_vel, [1.0, 0.0, 0.0])
    assert np.allclose(m.ang_vel, [0.0, 0.0, 0.5])
    assert np.allclose(m.gravity, [0.0, 0.0, -1.0])
    flat = biped()
    flat.reset(seed=0)
    flat.data.qpos[2] = 0.3  # nose down: gravity pulls ahead
    flat.data.qvel[:3] = 1.0, 0.0, 0.2
    m = flat._now(np.zeros(6), np.zeros(6), np.zeros(2, bool))
    turned = np.empty(9)
    mujoco.mj_kinematics(flat.model, flat.data)
    turned = flat.data.xmat[flat.robot.root].reshape(3, 3)
    assert np.allclose(m.gravity, turned.T @ [0, 0, -1])
    assert np.allclose(m.lin_vel, turned.T @ [1, 0, 0])
    assert m.height == pytest.approx(flat.data.xpos[flat.robot.root][2])


@pytest.mark.parametrize("make", ROBOTS)
def test_air_time_is_what_a_loop_counts(make):
    env = make(rewards={"feet_air_time": 1.0}, tilt=3.2, fallen=-9.0, ending=[])
    env.reset(seed=4, options={"command": [0.3, 0.0, 0.0]})
    rng, count = np.random.default_rng(4), len(env.robot.feet)
    air, last, landings = [0.0] * count, [False] * count, 0
    for _ in range(120):
        env.step(2.0 * rng.normal(size=env.action_space.shape))
        wanted = 0.0
        for f, body in enumerate(env.robot.feet):
            touching = bool(env.data.cfrc_ext[body, 5] > env.cfg.touch)
            standing = touching or last[f]
            last[f] = touching
            first, air[f] = air[f] > 0.0 and standing, air[f] + env.seconds
            wanted += (air[f] - env.cfg.air_time) if first else 0.0
            landings += first
            air[f] = 0.0 if standing else air[f]
        assert env.paid["feet_air_time"] == pytest.approx(wanted)
    assert landings > 1


def test_it_ends_by_touch_tilt_and_height_and_each_alone():
    still = np.zeros(8, np.float32)
    env = ant()
    env.reset(seed=0)
    assert not env.step(still)[2]
    env.reset(seed=0)
    env.data.qpos[3:7] = math.cos(0.55), math.sin(0.55), 0.0, 0.0  # 1.1 rad
    assert env.step(still)[2]
    low = ant(fallen=0.9)
    low.reset(seed=0)
    assert low.step(still)[2]
    hit = ant(ending=["*ankle_geom"])
    hit.reset(seed=0)
    assert any(hit.step(still)[2] for _ in range(60))  # feet that come down end it
    free = ant(ending=[])
    free.reset(seed=0)
    assert not any(free.step(still)[2] for _ in range(60))


@pytest.mark.parametrize("make", ROBOTS)
def test_a_seed_is_an_episode(make):
    def played(seed):
        env, rng, seen = make(), np.random.default_rng(0), []
        obs, _ = env.reset(seed=seed)
        for _ in range(30):
            seen.append(obs)
            obs, reward, *_ = env.step(rng.normal(size=env.action_space.shape))
            seen.append([reward])
        return np.concatenate(seen)

    assert np.array_equal(played(7), played(7))
    assert not np.array_equal(played(7), played(8))


def test_worlds_are_randomised_by_the_wrapper_that_there_is():
    from operant.env.make import make_one

    text = "randomise friction 0.5 1.25 push 1 1 push_every 20 20 noise 0.05 0.05"
    env = make_one("operant.robots:ant", wrappers=[text])
    _, info = env.reset(seed=1)
    its, made = env.unwrapped, ant()
    assert np.allclose(its.model.geom_friction[:, 0], made.model.geom_friction[:, 0] * info["randomised"]["friction"])
    pushed = 0
    for _ in range(200):
        before = its.data.qvel[:2].copy()
        *_, over, cut, _ = env.step(np.zeros(8, np.float32))
        pushed += float(np.abs(its.data.qvel[:2] - before).max()) > 0.2
        if over or cut:
            env.reset()
    assert pushed >= 3


@pytest.mark.parametrize("make", ROBOTS)
def test_a_picture_shows_the_robot(make):
    env = make(render_mode="rgb_array")
    env.reset(seed=1)
    try:
        first = env.render()
    finally:
        env.close()
    assert first.shape == (360, 480, 3)
    assert first.std() > 5
    assert make().render() is None


# --- a robot of one's own

OWN = """
<mujoco>
  <worldbody>
    <body name="base" pos="0 0 0.3">
      {root}
      <geom type="box" size="0.2 0.1 0.05"/>
      <body name="leg" pos="0.2 0 0">
        <joint name="hip" axis="0 1 0" range="-1 1"/>
        <geom name="toe" type="capsule" fromto="0 0 0 0 0 -0.25" size="0.02"/>
      </body>
    </body>
  </worldbody>
  {motors}
</mujoco>
"""
FREE, MOTOR = "<freejoint/>", '<actuator><motor name="hip" joint="hip" ctrlrange="-5 5" gear="2"/></actuator>'
TOLD = {"feet": ["leg"], "kp": {"*": 20.0}, "kd": {"*": 0.5}, "rewards": {"alive": 1.0}, "height": 0.3}


@pytest.fixture
def own(tmp_path):
    def made(root=FREE, motors=MOTOR, **changes):
        file = tmp_path / "own.xml"
        file.write_text(OWN.format(root=root, motors=motors))
        return legged(str(file), **(TOLD | changes))

    return made


def test_a_robot_of_ones_own(own, tmp_path):
    env = own()
    assert env.observation_space.shape == (15,)
    assert env.robot.most.tolist() == [10.0]
    env.reset(seed=1)
    assert env.step(np.zeros(1, np.float32))[1] == pytest.approx(0.02)
    file = tmp_path / "own.toml"
    file.write_text('feet = ["toe"]\nrewards = {alive = 1.0}\nkp = {hip = 3.0}\nkd = {hip = 0.1}\n')
    again = legged(str(tmp_path / "own.xml"), settings=str(file), kp={"hip": 4.0})
    assert (again.cfg.kp, again.robot.feet.tolist()) == ({"hip": 4.0}, env.robot.feet.tolist())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"root": ""}, "its root cannot move. Give the first body a <freejoint/>"),
        ({"motors": ""}, "it has no actuators. Add a <motor"),
        ({"motors": '<actuator><position name="p" joint="hip"/></actuator>'}, "the actuator p is another"),
        ({"feet": []}, "which bodies are feet"),
        ({"feet": ["paw"]}, "feet has 'paw', and no body or geom is called that. They are: base, leg, toe"),
        ({"kp": {}}, "kp says nothing of the joint hip"),
        ({"kp": {"knee": 1.0}}, "kp: no joint is called 'knee'"),
        ({"rewards": {}}, "rewards is empty"),
        ({"rewards": {"action_rat": 1.0}}, "there is no such reward term; nearest: action_rate"),
        ({"rewards": {"contact": 1.0}}, "needs period and offsets of the 1 feet"),
        ({"gait": 1}, "gait: Extra inputs are not permitted"),
        ({"decimation": 0}, "decimation: Input should be greater than 0"),
    ],
)
def test_what_is_missing_is_said(own, changes, said):
    with pytest.raises(EnvError) as told:
        own(**changes)
    assert said in str(told.value)


def test_files_that_are_none_are_said(tmp_path, monkeypatch):
    with pytest.raises(EnvError, match="give xml_file"):
        legged()
    with pytest.raises(EnvError, match="there is no such file"):
        legged(str(tmp_path / "none.xml"))
    (tmp_path / "bad.xml").write_text("<mujoco><worldbody></mujoco>")
    with pytest.raises(EnvError, match="MuJoCo does not take it"):
        legged(str(tmp_path / "bad.xml"))
    (tmp_path / "bad.toml").write_text("kp = ")
    with pytest.raises(ConfigError, match="not TOML"):
        legged("x.xml", settings=str(tmp_path / "bad.toml"))
    monkeypatch.delenv("OPERANT_DATA", raising=False)
    with pytest.raises(EnvError, match="set OPERANT_DATA"):
        go2()
    monkeypatch.setenv("OPERANT_DATA", str(tmp_path))
    with pytest.raises(EnvError, match=r"put robots/g1_12dof.xml of unitree_rl_gym"):
        g1()


def test_a_free_joint_motors_and_armature_can_be_added(tmp_path):
    file = tmp_path / "bare.xml"
    file.write_text(OWN.format(root="", motors=""))
    env = legged(str(file), free_joint=True, motors=True, armature=0.02, **TOLD)
    assert env.robot.floating
    assert env.robot.joints == ("hip",)
    assert np.isinf(env.robot.most).all()
    assert env.model.dof_armature.tolist() == [0.0] * 6 + [0.02]
    env.reset(seed=1)
    env.step(np.ones(1, np.float32))
    assert env.data.joint("hip").qfrc_actuator[0] == pytest.approx(env.moment.torque[0])
