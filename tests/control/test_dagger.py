"""DAgger and its kin: who acts, what counts, what is learnt where a clone fails, and that it goes on bit for bit."""

import numpy as np
import pytest
import torch

import operant
from operant.config.errors import ConfigError, OperantError
from operant.control.agent import Agent, AgentSpec
from operant.control.imitation.expert import Script, Supervised, apart_of
from operant.control.settings.imitation import DAggerConfig
from operant.env.imitated import Lane, bend_of, driver
from operant.env.interface import Interface
from operant.env.minari import write_data
from reference.episodes import played
from reference.resumed import QUIET, assert_resumes

h5py = pytest.importorskip("h5py")
LANE, DRIVER = "operant.env.imitated:lane", "operant.env.imitated:driver"
SMALL = QUIET | {
    "algo.expert": DRIVER, "algo.round_steps": 200, "algo.gradient_steps": 60, "algo.lr": 0.01, "algo.batch": 64,
    "policy.hidden": (32,), "seed": 101, "env.kwargs": {"limit": 50, "bends": 20}, "eval.episodes": 10,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------- who acts
def supervised(corrections="dagger", n=6, **more):
    lane = Lane(20, 40)
    between = Interface(lane.observation_space, lane.action_space)
    spec = AgentSpec(
        obs_dim=47, action_kind="discrete", action_sizes=(3,), hidden=(8,), **between.encoded()
    )  # fmt: skip
    agent = Agent(spec, torch.Generator().manual_seed(0))
    made = Supervised(agent, Script(DRIVER, between), DAggerConfig(corrections=corrections, **more))
    made.begin(n)
    obs = [np.array([k % 7, 5 * k % 40]) for k in range(n)]
    rows = between.observations.rows(obs, n)
    own = agent.decide(rows)
    told = np.array([driver(x) for x in obs])
    return made, rows, own, told


def test_a_mixture_acts_and_the_expert_labels_all():
    made, rows, own, told = supervised(n=300)
    for beta in (0.0, 0.3, 1.0):
        made.beta = beta
        action, _ = made(rows, np.random.default_rng(0))
        assert np.array_equal(action[:, 1], told)
        drove = action[:, 2] == 1
        assert np.array_equal(made.finish(action), np.where(drove, told, own))
        assert abs(drove.mean() - beta) < 0.1


def test_noise_falls_on_what_is_done_and_not_on_what_is_said():
    made, rows, _, told = supervised("noise", n=3000)
    made.level = 0.3
    action, _ = made(rows, np.random.default_rng(0))
    assert np.array_equal(action[:, 1], told)
    assert 0.15 < (made.finish(action) != told).mean() < 0.25  # a third of what is replaced stays as it was
    made.level = 0.0
    assert np.array_equal(made.finish(made(rows, np.random.default_rng(0))[0]), told)


def test_a_takeover_waits_and_holds():
    made, rows, own, told = supervised("takeover", n=7, patience=2, hold=3)
    made.beta = 0.0
    wrong = own != told
    assert wrong.any()
    assert not wrong.all()
    drove = np.stack([made(rows, np.random.default_rng(0))[0][:, 2] for _ in range(3)])
    assert not drove[0].any()  # one step off is none
    assert np.array_equal(drove[1] == 1, wrong)
    made.forget(np.ones(7, bool))
    assert not made(rows, np.random.default_rng(0))[0][:, 2].any()


def test_how_far_actions_are_apart():
    between = Interface(*(gym_box(2), gym_box(2, -2, 3)))
    agent = Agent(AgentSpec(obs_dim=2, action_kind="box", action_sizes=(2,), hidden=(), **between.encoded()))
    own, told = np.float32([[0, 0], [1, -1]]), np.float32([[0, 0.5], [1, 1]])
    assert np.allclose(apart_of(own, told, agent), [0.1, 0.4])


def gym_box(n, low=-1, high=1):
    from gymnasium import spaces

    return spaces.Box(low, high, (n,), np.float32)


# ---------------------------------------------------------------------------------------------------- what is learnt
def beside(policy, bends, horizons):
    """The expected steps beside the lane of so many, without noise: the offset is a Markov chain."""
    world = Lane(50, bends)
    often = np.diff(world.often, prepend=0.0) / world.often[-1]
    states = np.stack(np.meshgrid(np.arange(7), np.arange(bends), indexing="ij"), -1).reshape(-1, 2)
    turns = np.array([bend_of(v) for v in range(bends)])
    there = np.clip(np.arange(7)[:, None] + policy.act(states).reshape(7, bends) - turns, 0, 6)
    move = np.stack([np.bincount(there[o], often, minlength=7) for o in range(7)])
    at, off = np.eye(7)[3], []
    for _ in range(max(horizons)):
        at = at @ move
        off.append(1.0 - at[3])
    return np.cumsum(off)[np.array(horizons) - 1]


def test_a_clone_pays_for_a_mistake_for_ever_and_who_is_corrected_once(tmp_path):
    """As many labels each: the clone's cost grows as T², DAgger's as T; noise on the expert does as well."""
    road = {"limit": 50, "bends": 300}
    demos = str(write_data(played(Lane(**road), 20, steps=99, act=driver), tmp_path / "demos"))
    common = {"algo.lr": 0.005, "algo.batch": 64, "policy.hidden": (64,), "seed": 101, "env.kwargs": road}
    shown = common | {"data.path": demos, "data.test_share": 0.0, "algo.updates": 500}
    asked = common | {"algo.expert": DRIVER, "algo.round_steps": 200, "algo.gradient_steps": 100}
    kinds = {"clone": ("bc", 1, shown), "dagger": ("dagger", 5, asked)}
    kinds["noise"] = ("dagger", 5, asked | {"algo.corrections": "noise", "algo.noise": 0.1})
    cost = {}
    for name, (algorithm, rounds, settings) in kinds.items():
        loop, agent = operant.loop(algorithm, LANE, **settings)
        for _ in range(rounds):
            row = next(loop)
        cost[name] = beside(agent, 300, (8, 128))
        assert name == "clone" or row["imitation/labels"] == 1000
    assert cost["clone"][1] > 2 * max(cost["dagger"][1], cost["noise"][1])
    growth = {name: late / early for name, (early, late) in cost.items()}
    assert growth["clone"] > 30 > max(growth["dagger"], growth["noise"])  # 16 is linear, 256 quadratic


def test_of_takeovers_only_what_the_expert_did_counts(tmp_path):
    run = operant.train("dagger", LANE, runs=tmp_path, total_steps=600, **SMALL | {"algo.corrections": "takeover"})
    table = run.metrics
    driven = table["imitation/expert_share"] * 200
    assert table["imitation/labels"].tolist() == pytest.approx(driven.cumsum().tolist(), abs=0.1)
    assert table["imitation/labels"].iloc[0] == 200
    assert table["imitation/labels"].iloc[-1] < 500


def test_fitted_noise_is_as_large_as_the_learners_error(tmp_path):
    from operant.config.resolve import resolve
    from operant.control.imitation.dagger import build, level_of

    overrides = {k: x for k, x in SMALL.items() if k != "quiet"} | {"algo.corrections": "noise"}
    cfg = resolve("dagger", LANE, overrides=overrides).config
    job = build(cfg, LANE)
    next(job.algorithm)
    labels = job.agent.beside["labels"].replay
    parts = type("Parts", (), {"agent": job.agent, "generator": np.random.default_rng(0)})
    b = labels.latest(1024, parts.generator)
    wrong = (job.agent.policy.mode(b.obs) != b.action).double().mean().sqrt()
    assert level_of(cfg.algo, parts, labels, 1) == pytest.approx(float(wrong), abs=1e-6)
    assert level_of(cfg.algo, parts, labels, 0) == 0.0
    job.close()


def test_it_begins_with_demonstrations_and_asks_a_stored_policy(tmp_path):
    demos = str(write_data(played("CartPole-v1", 4, steps=60), tmp_path / "demos"))
    settings = {k: x for k, x in SMALL.items() if k != "env.kwargs"}
    settings |= {"algo.expert": "operant/CartPole-v1", "data.path": demos, "algo.round_steps": 100}
    run = operant.train("dagger", "CartPole-v1", runs=tmp_path, total_steps=300, **settings)
    labels = run.metrics["imitation/labels"]
    assert labels.iloc[0] > 100
    assert run.metrics["imitation/expert_share"].iloc[0] < 0.9  # what was shown is the first round


RUNS = {
    "dagger": {},
    "noise": {"algo.corrections": "noise"},
    "takeover": {"algo.corrections": "takeover"},
    "memory": {"policy.memory": "gru", "policy.memory_size": 8, "algo.length": 8, "env.num": 2},
}


@pytest.mark.parametrize("kind", RUNS)
def test_it_resumes(kind, tmp_path):
    settings = {k: x for k, x in SMALL.items() if k not in QUIET} | {"algo.gradient_steps": 5, "algo.round_steps": 100}
    assert_resumes(tmp_path, "dagger", LANE, every=200, **settings | RUNS[kind])


def test_continuous_actions_of_every_kind_of_corrections(tmp_path):
    body = "    return np.clip(10 * (obs['desired_goal'] - obs['observation']), -1, 1)"
    (tmp_path / "to.py").write_text(f"import numpy as np\ndef goal(obs):\n{body}\n")
    for corrections in ("dagger", "noise", "takeover"):
        settings = {k: x for k, x in SMALL.items() if k != "env.kwargs"}
        settings |= {"algo.expert": f"{tmp_path / 'to.py'}:goal", "algo.corrections": corrections}
        settings |= {"policy.squash": corrections == "dagger", "algo.likelihood": "mse"}
        run = operant.train("dagger", "operant.env.reach:point", runs=tmp_path / "runs", total_steps=800, **settings)
        assert run.evaluate(episodes=10)["mean"] > -25, corrections  # who does not move has −50


# ---------------------------------------------------------------------------------------------------- refused
WRONG = {
    "no expert": ({"algo.expert": ""}, "no expert to ask"),
    "no such run": ({"algo.expert": "nobody"}, "no run 'nobody'"),
    "other spaces": ({"algo.expert": "operant/CartPole-v1"}, "the expert operant/CartPole-v1 sees"),
    "no such function": ({"algo.expert": "operant.env.imitated:nobody"}, "nobody"),
    "takeovers with memory": ({"policy.memory": "gru", "algo.corrections": "takeover"}, "take corrections dagger"),
    "a short round": ({"policy.memory": "gru", "algo.round_steps": 20}, "has no piece"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_is_refused_in_words(kind, tmp_path):
    settings, said = WRONG[kind]
    with pytest.raises(ConfigError, match=said):
        operant.train("dagger", LANE, runs=tmp_path, total_steps=400, **SMALL | settings)


def test_an_expert_that_raises_or_says_nonsense_is_told_of(tmp_path):
    for body, said in (("1 / 0", "ZeroDivisionError"), ("7", "none of Discrete")):
        (tmp_path / "bad.py").write_text(f"def say(obs):\n    return {body}\n")
        expert = {"algo.expert": f"{tmp_path / 'bad.py'}:say"}
        with pytest.raises(OperantError, match=said):
            operant.train("dagger", LANE, runs=tmp_path, total_steps=400, **SMALL | expert)
