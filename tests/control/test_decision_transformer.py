"""The decision transformer: it looks back and never ahead, acts as it was taught, and earns what it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.api import Run
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.networks import causal
from operant.control.offline.conditioned import Conditioned, ConditionedSpec, Piece
from operant.control.offline.decision_transformer import Episodes, log_likelihood
from operant.env import write_data
from operant.env.dataset import DataSet
from operant.env.interface import Interface
from operant.env.probe import identity
from reference.episodes import played
from reference.resumed import QUIET, assert_resumes

pytest.importorskip("h5py")
NAME = "decision-transformer"
TINY = {
    "algo.context": 4, "algo.layers": 1, "algo.width": 16, "algo.batch": 32, "algo.lr": 3e-3, "algo.warmup": 10,
    "algo.updates": 20,
}  # fmt: skip
BOX = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (2,), np.float32))
CHOICE = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(4))


def agent_of(between=CHOICE, context=4, **more):
    kind = between.actions.kind
    made = {"std": "none", "squash": True, "action_sizes": (2,)} if kind == "box" else {"action_sizes": (4,)}
    spec = ConditionedSpec(
        obs_dim=3, action_kind=kind, hidden=(1,), **between.encoded(), **made, context=context, layers=2, heads=2,
        width=16, longest=9, **{"target": 10.0, "scale": 5.0} | more,
    )  # fmt: skip
    agent = Conditioned(spec, torch.Generator().manual_seed(1))
    for x in agent.policy.net.parameters():  # larger than at first, so that what is seen matters
        x.data.mul_(8.0) if x.ndim > 1 else None
    return agent


def piece_of(agent, rows=3, steps=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    obs, to_go = torch.randn(rows, steps, 3, generator=g), torch.randn(rows, steps, generator=g)
    choice = torch.randint(4, (rows, steps), generator=g)
    box = torch.rand(rows, steps, 2, generator=g) * 2 - 1
    action = choice if agent.spec.action_kind == "discrete" else box
    taken = choice if agent.spec.action_kind == "discrete" else 2 * box
    return Piece(
        obs=obs, action=action, done=agent.features.taken(taken), to_go=to_go,
        time=torch.arange(steps).expand(rows, -1), acted=torch.ones(rows, steps, dtype=torch.bool),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- what is seen
def changed(piece, k):
    """The same up to the action of step k, and another world from there on."""
    behind = torch.arange(piece.time.shape[1]) > k
    here = torch.arange(piece.time.shape[1]) >= k
    return replace(
        piece, obs=torch.where(behind[:, None], piece.obs + 3.0, piece.obs),
        to_go=torch.where(behind, piece.to_go - 2.0, piece.to_go),
        done=torch.where(here[:, None], 1.0 - piece.done, piece.done),
    )  # fmt: skip


def sees_ahead(agent):
    piece = piece_of(agent)
    with torch.no_grad():
        return any(
            not torch.equal(agent.policy.net(piece)[:, : k + 1], agent.policy.net(changed(piece, k))[:, : k + 1])
            for k in range(4)
        )


@pytest.mark.parametrize("between", [CHOICE, BOX], ids=["choice", "box"])
def test_no_step_sees_what_comes_after_it(between, monkeypatch):
    agent = agent_of(between)
    assert not sees_ahead(agent)
    plain = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(causal.functional, "scaled_dot_product_attention", lambda *x, is_causal: plain(*x))
    assert sees_ahead(agent)  # as a mask that was forgotten


def test_every_step_sees_all_that_came_before_it():
    agent, piece = agent_of(), piece_of(agent := agent_of())
    with torch.no_grad():
        before = agent.policy.net(piece)[:, 3]
        for name in ("obs", "done", "to_go"):
            x = getattr(piece, name).clone()
            x[:, 0] += 1.0
            assert not torch.allclose(agent.policy.net(replace(piece, **{name: x}))[:, 3], before, atol=1e-4), name
        x = piece.done.clone()
        x[:, 3] += 1.0  # its own action it does not see
        assert torch.equal(agent.policy.net(replace(piece, done=x))[:, 3], before)


@pytest.mark.parametrize("between", [CHOICE, BOX], ids=["choice", "box"])
def test_acting_step_by_step_is_as_it_was_taught(between):
    """Two rows whose episodes begin at different times and outlast the context, beside a list for each row."""
    agent, g = agent_of(between), np.random.default_rng(0)
    past, asked = [[], []], [10.0, 10.0]
    for t in range(12):
        obs, reward = g.standard_normal((2, 3)).astype(np.float32), g.random(2).astype(np.float32)
        did = agent.decide(obs)
        for k in range(2):
            past[k].append([obs[k], asked[k] / 5.0, None])
            seen = past[k][-4:]
            nothing = np.zeros(agent.features.size, np.float32)
            done = np.stack([nothing if x[2] is None else x[2] for x in seen])
            piece = Piece(
                obs=torch.from_numpy(np.stack([x[0] for x in seen]))[None], action=torch.zeros(1), acted=torch.zeros(1),
                done=torch.from_numpy(done)[None], to_go=torch.tensor([[x[1] for x in seen]]).float(),
                time=torch.arange(len(past[k]) - len(seen), len(past[k]))[None],
            )  # fmt: skip
            with torch.no_grad():
                p = agent.parameters_of(piece)
            its = agent.policy.distribution
            want = its.finish(its.mode(p))[0, -1].numpy()
            assert np.allclose(did[k], want, atol=1e-5), (t, k)
            past[k][-1][2] = agent.features.taken(torch.from_numpy(did[k : k + 1]))[0].numpy()
            asked[k] -= float(reward[k])
        agent.told(reward)
        begun = np.array([t == 6, False])
        agent.forget(begun)
        if begun[0]:
            past[0], asked[0] = [], 10.0


def test_without_a_word_of_what_was_paid_it_goes_on_asking():
    agent = agent_of()
    assert float(agent.estimate(np.zeros((1, 3), np.float32))[0]) == 10.0
    agent.decide(np.zeros((1, 3), np.float32))
    agent.told(np.array([4.0]))
    assert float(agent.estimate(np.zeros((1, 3), np.float32))[0]) == pytest.approx(6.0)
    agent.forget()
    agent.target = 3.0
    assert float(agent.estimate(np.zeros((1, 3), np.float32))[0]) == 3.0


# ---------------------------------------------------------------------------------------------------- what is drawn
def test_returns_to_go_and_pieces_are_those_of_a_loop(tmp_path):
    data = played("CartPole-v1", 5, 30)
    job = build("CartPole-v1", str(write_data(data, tmp_path / "data")))
    agent = job.learned.agent
    episodes = job.episodes
    starts, k = np.cumsum([0, *data.lengths]), 0
    scale, rows = max(abs(data.returns)), episodes.rows
    for e in data.episodes:
        for t in range(len(e)):
            assert float(rows["to_go"][k]) == pytest.approx(sum(e.rewards[t:]) / scale)
            assert (int(rows["time"][k]), int(rows["left"][k])) == (t, len(e) - t)
            assert np.allclose(rows["obs"][k].numpy(), e.observations[t])
            assert int(rows["action"][k]) == e.actions[t] == int(rows["done"][k].argmax())
            k += 1
    assert k == starts[-1]
    piece = episodes.draw(4_000, np.random.default_rng(0))
    first = np.array([float(x) for x in piece.obs[:, 0, 2]])
    assert len(np.unique(first)) == k  # any step may be the first
    left = piece.acted.sum(1)
    assert ((left == agent.shape.context) | (piece.to_go.gather(1, left[:, None] - 1)[:, 0] * scale < 1.5)).all()
    time = piece.time[:, 0, None] + torch.arange(agent.shape.context)
    assert torch.equal(piece.time[piece.acted], time[piece.acted])


def build(env, data, **more):
    overrides = {"data.path": data} | TINY | more
    made, name = [], env if isinstance(env, str) else "own:env"
    cfg = resolve(NAME, name, overrides=overrides, source="argument").config
    plain = Episodes.__init__

    def noted(self, *args):
        made.append(self)
        plain(self, *args)

    Episodes.__init__ = noted
    try:
        job = builder_of(NAME)(cfg, env)
    finally:
        Episodes.__init__ = plain
    job.episodes = made[0]
    return job


# ---------------------------------------------------------------------------------------------------- what is learnt
LENGTH = 10


def mixed():
    """Half of the episodes of one who is right nine times of ten, half of one who guesses."""
    sets = []
    for skill, seed in ((0.9, 0), (0.25, 500)):
        g = np.random.default_rng(seed)
        act = lambda obs, g=g, skill=skill: int(obs) if g.random() < skill else int(g.integers(4))  # noqa: E731
        sets.append(played(identity(length=LENGTH), 40, LENGTH, seed, act))
    one, other = sets
    return DataSet(
        episodes=[*one.episodes, *other.episodes], observation_space=one.observation_space,
        action_space=one.action_space,
    )  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return str(write_data(mixed(), tmp_path_factory.mktemp("mixed") / "data"))


def returns_of(job, target):
    agent = job.learned.agent
    agent.target = target
    agent.forget()
    return float(job.evaluate(40, deterministic=False).returns.mean())


def taught(both, shuffle=False, steps=300):
    job = build(partial(identity, length=LENGTH), both, total_steps=steps, **{"algo.width": 32})
    if shuffle:  # whose returns are told is drawn: nothing follows from them
        order = np.random.default_rng(7).permutation(80)
        to_go = job.episodes.rows["to_go"].reshape(80, LENGTH)
        job.episodes.rows["to_go"] = to_go[torch.from_numpy(order)].reshape(-1)
    while job.counter.steps < steps:
        metrics = next(job.algorithm)
    return job, float(metrics["loss/policy"])


def test_what_it_earns_rises_with_what_it_is_asked_for(both):
    job, _ = taught(both)
    little, middle, much = (returns_of(job, x) for x in (3.0, 6.5, 10.0))
    assert little + 1.0 < middle + 0.5 < much
    assert much > 8.0
    assert little < 6.5


def test_where_returns_say_nothing_it_is_a_clone(both):
    job, loss = taught(both, shuffle=True)
    little, much = (returns_of(job, x) for x in (3.0, 10.0))
    assert abs(much - little) < 1.5
    assert abs(0.5 * (much + little) - mixed().returns.mean()) < 1.0
    assert taught(both)[1] < loss - 0.02  # with returns that are its own it knows more


def test_where_it_reads_no_returns_it_asks_for_none():
    agent = agent_of()
    agent.policy.net.embed["to_go"].weight.data.zero_()
    piece = piece_of(agent)
    with torch.no_grad():
        other = replace(piece, to_go=piece.to_go + 5.0)
        assert torch.equal(log_likelihood(agent, piece), log_likelihood(agent, other))


# ---------------------------------------------------------------------------------------------------- runs
@pytest.mark.parametrize(
    ("env", "more"), [("CartPole-v1", {}), ("Pendulum-v1", {"algo.heads": 2, "policy.normalize_obs": False})]
)
def test_it_goes_on_bit_for_bit(env, more, tmp_path):
    data = str(write_data(played(env, 4, 30), tmp_path / "data"))
    assert_resumes(tmp_path, NAME, env, every=40, **TINY, **more, **{"data.path": data, "eval.max_steps": 20})


def test_a_run_is_read_measured_and_asked_again(both, tmp_path):
    env = partial(identity, length=LENGTH)
    run = operant.train(NAME, env, runs=tmp_path, total_steps=60, **QUIET, **TINY, **{"data.path": both})
    spec = json.loads((run.path / "checkpoints" / "latest" / "policy.json").read_text())
    assert spec["kind"] == "return-conditioned"
    assert spec["target"] == mixed().returns.max()
    again = Run(run.path, env=env)
    assert isinstance(again.policy, Conditioned)
    assert again.evaluate(3)["returns"] == run.evaluate(3)["returns"]
    told = []
    again.policy.told = lambda reward: told.append(float(reward.sum()))
    found = again.evaluate(3)
    assert sum(told) >= sum(found["returns"])  # it hears of every reward
    other = operant.train("bc", env, runs=tmp_path, total_steps=5, **QUIET, **{"data.path": both})
    with pytest.raises(ConfigError):
        operant.train(NAME, env, runs=tmp_path, **QUIET, **TINY, **{"data.path": both, "init_from": str(other.path)})


def test_a_spec_that_cannot_be_is_refused(tmp_path):
    agent_of().save(tmp_path)
    file = tmp_path / "policy.json"
    spec = json.loads(file.read_text())
    for name, wrong in {"heads": 3, "context": 0, "width": 1 << 40, "scale": 0.0, "longest": 10**12}.items():
        file.write_text(json.dumps(spec | {name: wrong}))
        with pytest.raises(ConfigError, match="not a readable policy"):
            Conditioned.load(tmp_path)


class Masked(gymnasium.Env):
    """Only the action that is seen is possible."""

    observation_space = spaces.Dict({"x": spaces.Discrete(3), "action_mask": spaces.MultiBinary(3)})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action):
        assert action == self.x
        self.t += 1
        return self._seen(), 1.0, False, self.t >= 6, {}

    def _seen(self):
        self.x = int(self.np_random.integers(3))
        return {"x": self.x, "action_mask": np.eye(3, dtype=np.int8)[self.x]}


def test_what_a_mask_rules_out_is_not_done(tmp_path):
    data = str(write_data(played(Masked(), 4, 6, act=lambda obs: int(obs["x"])), tmp_path / "data"))
    job = build(Masked, data, **{"env.action_mask": "action_mask"}, total_steps=2)
    next(job.algorithm)
    assert job.evaluate(3, deterministic=False).returns.tolist() == [6.0] * 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"algo.heads": 3}, "no multiple of algo.heads"),
        ({"data.path": ""}, "name one with --data"),
        ({"algo.context": 0}, "context"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_words(more, said, both, tmp_path):
    with pytest.raises(ConfigError, match=said):
        operant.train(
            NAME, partial(identity, length=LENGTH), runs=tmp_path, **QUIET | TINY | {"data.path": both} | more
        )
