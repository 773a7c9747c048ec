"""Clips are whole, judgements are read and refused, the reward is learnt, and a run goes on bit for bit."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError, OperantError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.agent import Agent
from operant.control.preferences.clips import Clips, by_return, cut_clips, read_labels
from operant.control.preferences.reward import NAME, PreferenceJudge
from operant.control.settings.preferences import PreferencesConfig
from operant.control.spec import AgentSpec
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env.spaces import Observations
from operant.math.comparison import soft_label
from reference.resumed import QUIET, assert_resumes

SMALL = {
    "env.num": 2, "algo.horizon": 64, "algo.batch": 64, "algo.epochs": 1, "algo.lr_schedule": "constant",
    "algo.clip_schedule": "constant", "algo.fused": "off", "preferences.initial": 8, "preferences.ask": 4,
    "preferences.every": 128, "preferences.clip": 5, "preferences.updates": 4, "preferences.hidden": (8,),
    "preferences.candidates": 3,
}  # fmt: skip


def segment(rng, n=3, t=40, dim=2, ends=0.15):
    """Random rows with episodes that terminate or are cut, a column without a decision behind each end."""
    acted, terminated, truncated = np.ones((n, t), bool), np.zeros((n, t), bool), np.zeros((n, t), bool)
    for row in range(n):
        k = 0
        while k < t:
            if rng.random() < ends and k < t - 1:
                (terminated if rng.random() < 0.5 else truncated)[row, k] = True
                acted[row, k + 1] = False
                k += 1
            k += 1
    obs = rng.normal(size=(n, t + 1, dim)).astype(np.float32)
    reward = np.where(acted, obs[:, :-1, 0], 0.0).astype(np.float32)
    flags = [torch.from_numpy(x) for x in (terminated, truncated, acted)]
    return Trajectory(
        obs=torch.from_numpy(obs), action=torch.from_numpy(rng.integers(0, 2, (n, t))), logp=torch.zeros(n, t),
        reward=torch.from_numpy(reward), terminated=flags[0], truncated=flags[1], acted=flags[2],
        group=torch.arange(n),
    )  # fmt: skip


def judge(cfg=None, steps=0, dim=2, seed=0):
    """One of an agent of so many observed numbers and two actions."""
    space = spaces.Box(-np.inf, np.inf, (dim,), np.float32)
    env = SimpleNamespace(observations=Observations(space), action_space=spaces.Discrete(2))
    agent = Agent(AgentSpec(obs_dim=dim, action_kind="discrete", action_sizes=(2,)))
    return PreferenceJudge(cfg or PreferencesConfig(), agent, env, Streams(seed), lambda: steps)


@pytest.mark.parametrize("seed", range(5))
def test_clips_lie_in_one_episode_and_are_short_only_where_it_terminates(seed):
    rng = np.random.default_rng(seed)
    traj, length = segment(rng), 6
    clips, starts = cut_clips(traj, length, 200, np.random.default_rng(0))
    seen = traj.obs.numpy()
    each = zip(clips.obs, clips.action, clips.present, clips.returns, starts, strict=True)
    for obs, action, present, value, column in each:
        many = int(present.sum())
        assert present[:many].all()
        row, start = np.argwhere((seen[:, :-1] == obs[0].numpy()).all(-1))[0]
        assert column == start
        here = slice(start, start + many)
        assert torch.equal(obs[:many], traj.obs[row, here])
        assert torch.equal(action[:many], traj.action[row, here])
        assert not obs[many:].any()
        assert traj.acted[row, here].all()
        inside = slice(start, start + many - 1)
        assert not (traj.terminated | traj.truncated)[row, inside].any()
        assert many == length or traj.terminated[row, start + many - 1]
        assert float(value) == pytest.approx(float(traj.reward[row, here].double().sum()))
    assert len({int(p.sum()) for p in clips.present}) > 1


def test_clips_of_episodes_that_are_cut_sooner_are_as_long_as_these():
    rng = np.random.default_rng(0)
    traj = segment(rng, n=2, t=12, ends=0.0)
    cut = torch.zeros(2, 12, dtype=torch.bool)
    cut[:, 3], cut[:, 8] = True, True
    acted = torch.ones_like(cut)
    acted[:, 4], acted[:, 9] = False, False
    traj = Trajectory(**{f: getattr(traj, f) for f in traj.__slots__} | {"truncated": cut, "acted": acted})
    assert cut_clips(traj, 6, 50, rng)[0].present.sum(1).tolist() == [4] * 50


def test_judgements_by_returns():
    first, second = torch.tensor([2.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 2.0])
    assert by_return(first, second, noise=0.0, generator=np.random.default_rng(0)).tolist() == [1.0, 0.5, 0.0]
    many = by_return(torch.ones(4000), torch.zeros(4000), noise=0.3, generator=np.random.default_rng(0))
    assert float(many.mean()) == pytest.approx(0.85, abs=0.02)


def test_a_file_of_judgements(tmp_path):
    file = tmp_path / "labels.jsonl"
    assert read_labels(file, 3) == {}
    lines = [
        {"pair": 0, "better": "first"},
        {"pair": 1, "better": "neither"},
        {"pair": 0, "better": "second", "by": "me"},
    ]
    file.write_text("\n\n".join(map(json.dumps, lines)))
    assert read_labels(file, 3) == {0: 0.0, 1: -1.0}
    wrong = [
        '{"pair": 7, "better": "first"}',
        '{"pair": true, "better": "first"}',
        '{"pair": 1, "better": "left"}',
        "[]",
    ]
    for line in (*wrong, '{"pair": 1}', "not json", '{"pair": 1, "better": ["first"]}'):
        file.write_text(f'{{"pair": 0, "better": "equal"}}\n{line}\n')
        with pytest.raises(ConfigError, match=r"labels\.jsonl:2"):
            read_labels(file, 3)


def test_the_loss_is_that_of_reward_models():
    """Each network's, in a loop over pairs, by the comparison's loss of one pair; weights as counts of pairs."""
    its = judge(PreferencesConfig(members=2, error=0.2, hidden=(4,)))
    its(segment(np.random.default_rng(0), t=60))
    pairs = its.pairs
    assert pairs is not None
    weight = torch.from_numpy(np.random.default_rng(1).integers(0, 3, pairs.weight.shape).astype(np.float32))
    got = its.losses(pairs, weight).detach()
    for k, member in enumerate(its.ensemble.members):
        total, count = 0.0, 0.0
        for p in range(len(pairs)):
            sums = []
            for clips in (pairs.first, pairs.second):
                there = clips.present[p]
                onehot = torch.nn.functional.one_hot(clips.action[p][there], 2).float()
                sums.append(member(clips.obs[p][there], onehot).sum().detach()[None])
            total += float(weight[p, k] * soft_label(*sums, pairs.label[p][None], error=0.2)[0])
            count += float(weight[p, k])
        assert float(got[k]) == pytest.approx(total / count, rel=1e-4)


def test_it_learns_what_is_rewarded():
    """Of two numbers that are seen the first is paid: after 100 judgements the learnt reward goes with it, and a share
    1/e of the pairs, which a network was not taught, is put in order as well."""
    its = judge(PreferencesConfig(initial=200, updates=200, clip=5))
    learnt = its(traj := segment(np.random.default_rng(0), n=8, t=200))
    metrics = {k: float(x) for k, x in its.settle().items()}
    assert metrics["preferences/correlation"] > 0.9
    assert metrics["preferences/accuracy"] > 0.8
    assert metrics["preferences/asked"] == metrics["preferences/judged"] == 200
    assert float((its.pairs.weight == 0).float().mean()) == pytest.approx(np.exp(-1), abs=0.06)
    assert not learnt.reward[~traj.acted].any()
    assert float(learnt.reward[traj.acted].std()) == pytest.approx(1.0, abs=0.2)


def test_rewards_are_shifted_to_mean_0_only_as_long_as_no_episode_has_terminated():
    """Where one has, the level of a reward decides whether to live or to die; a run goes on with what it has seen."""
    rng = np.random.default_rng(0)
    its = judge(PreferencesConfig(initial=50, updates=20, clip=5))
    endless, ends = segment(rng, n=8, t=100, ends=0.0), segment(rng, n=8, t=100)
    assert float(its(endless).reward[endless.acted].mean()) == pytest.approx(0.0, abs=1e-4)
    other = judge(PreferencesConfig(initial=50, updates=20, clip=5))
    paid = other(ends).reward[ends.acted]
    assert not other.ensemble.mean.any()
    assert float(paid.square().mean().sqrt()) == pytest.approx(1.0, abs=0.2)
    shifted = judge(PreferencesConfig(initial=50, updates=20, clip=5, shift="on"))
    assert float(shifted(ends).reward[ends.acted].mean()) == pytest.approx(0.0, abs=1e-4)


def test_disagreement_asks_for_the_most_disputed():
    """The same draw of pairs, by hand: those with the largest variance of P(first better)."""
    cfg = PreferencesConfig(initial=20, ask=6, every=10, clip=5, updates=5)
    steps = [0]
    its = judge(cfg)
    its._steps = lambda: steps[0]
    rng = np.random.default_rng(0)
    its(segment(rng, n=4, t=100))
    steps[0] = 10
    drawn, score = [], its.scores

    def noted(clips: Clips):
        drawn.append(clips)
        return score(clips)

    its.scores = noted
    its._ask(segment(rng, n=4, t=100))
    first, second = drawn[:2]
    assert len(first) == 60
    with torch.no_grad():
        disputed = (score(first) - score(second)).sigmoid().var(0, correction=0)
    most = disputed.argsort(descending=True, stable=True)[:6]
    assert torch.equal(its.pairs.first.obs[20:], first.obs[most])
    assert torch.equal(its.pairs.second.obs[20:], second.obs[most])


def test_the_schedule_of_questions():
    cfg = PreferencesConfig(budget=30, initial=10, ask=5, every=100)
    for steps, want in ((0, 10), (99, 10), (100, 15), (399, 25), (400, 30), (9_999, 30)):
        assert judge(cfg, steps)._due() == want


def test_a_run_with_judgements_goes_on_bit_for_bit(tmp_path):
    whole = assert_resumes(tmp_path, "preference-ppo", "CartPole-v1", every=256, **SMALL)
    assert (whole.path / "checkpoints" / "latest" / f"{NAME}.safetensors").is_file()
    assert whole.metrics["preferences/asked"].tolist() == [12.0, 16.0, 20.0, 24.0]


def test_the_environments_reward_is_only_reported(tmp_path):
    """Judged by a person who likes what the environment punishes, the learnt reward goes against it."""
    labels = tmp_path / "labels.jsonl"
    settings = QUIET | SMALL | {"preferences.labels": str(labels), "preferences.budget": 40, "preferences.initial": 40}
    settings |= {"preferences.updates": 150, "preferences.hidden": (32,), "preferences.clip": 10, "total_steps": 512}
    with pytest.raises(OperantError, match="40 pairs of clips wait"):
        operant.train("preference-ppo", "Pendulum-v1", runs=tmp_path, **settings)
    (run,) = tmp_path.glob("*/run.json")
    run = run.parent
    clips = [np.load(run / NAME / f"pair-{k:04d}.npz") for k in range(40)]
    cost = [[-(np.arctan2(c[x][:, 1], c[x][:, 0]) ** 2).sum() for x in ("obs_first", "obs_second")] for c in clips]
    said = [{"pair": k, "better": "second" if a > b else "first"} for k, (a, b) in enumerate(cost)]
    labels.write_text("\n".join(map(json.dumps, said[:10])))
    with pytest.raises(OperantError, match=r"30 pairs of clips wait.*pair 10"):
        operant.resume(run, quiet=True)
    labels.write_text("\n".join(map(json.dumps, said)) + '\n{"pair": 40, "better": "first"}')
    with pytest.raises(ConfigError, match=r"labels\.jsonl:41: pair 40 was not asked for"):
        operant.resume(run, quiet=True)
    labels.write_text("\n".join(map(json.dumps, said)))
    done = operant.resume(run, quiet=True)
    assert done.step == 512
    assert done.metrics["preferences/correlation"].iloc[-1] < -0.3


def test_a_person_sees_both_clips_of_a_pair_side_by_side(tmp_path, capsys):
    """Each picture shows the state that the archive holds at that time: the rod points where the pendulum does."""
    av = pytest.importorskip("av")
    settings = QUIET | SMALL | {"preferences.labels": str(tmp_path / "labels.jsonl"), "preferences.budget": 2}
    with pytest.raises(OperantError, match=r"2 pairs of clips wait.*operant play RUN --pairs"):
        operant.train("preference-ppo", "Pendulum-v1", runs=tmp_path, total_steps=256, **settings)
    (run,) = (path.parent for path in tmp_path.glob("*/run.json"))
    assert main(["play", str(run), "--pairs"]) in (0, None)
    assert capsys.readouterr().out.split() == [str(run / NAME / f"pair-000{k}.mp4") for k in range(2)]
    for k in range(2):
        clips = np.load(run / NAME / f"pair-000{k}.npz")
        with av.open(str(run / NAME / f"pair-000{k}.mp4")) as film:
            frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
        assert len(frames) == len(clips["obs_first"]) == 5
        for left, name in ((0, "first"), (512, "second")):
            for frame, (cosine, sine, _) in zip(frames, clips[f"obs_{name}"], strict=True):
                red = frame[:500, left : left + 500]
                y, x = np.nonzero((red[..., 0] > 150) & (red[..., 1] < 120))
                arm = np.array([x.mean() - 250, 250 - y.mean()])
                assert arm @ (-sine, cosine) > 0.97 * np.linalg.norm(arm)
    kept = dict(clips)
    np.savez(run / NAME / "pair-0001.npz", **kept | {"seed": kept["seed"] + 1})
    (run / NAME / "pair-0001.mp4").unlink()
    assert main(["play", str(run), "--pairs"]) == 3
    assert "does not do again what it did" in capsys.readouterr().err


def test_a_clip_that_fits_into_no_segment_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"set algo\.horizon to 65 or more, or preferences\.clip to 64 or less"):
        operant.train("preference-ppo", "CartPole-v1", runs=tmp_path, quiet=True, **SMALL | {"preferences.clip": 65})


def test_a_checkpoint_of_others_is_refused(tmp_path):
    its = judge()
    its(segment(np.random.default_rng(0), t=80))
    kept = dict(its.tensors())
    other = judge()
    other.prepared(kept, tmp_path)()
    assert all(torch.equal(x, other.tensors()[name]) for name, x in kept.items())
    with pytest.raises(ConfigError, match="no pairs"):
        judge().prepared({k: x for k, x in kept.items() if k != "pairs.label"}, tmp_path)
    with pytest.raises(ConfigError, match="not of these networks"):
        judge().prepared(kept | {"pairs.weight": torch.zeros(3, 2)}, tmp_path)


def test_learns_pendulum_from_few_judgements():
    """Not to the end, but the learnt reward goes with the true one."""
    settings = {"total_steps": 8_192, "preferences.initial": 100, "env.num": 4, "algo.horizon": 256}
    cfg = resolve("preference-ppo", "Pendulum-v1", overrides=settings, source="argument").config
    job = builder_of("preference-ppo")(cfg, "Pendulum-v1")
    rows = [next(job.algorithm) for _ in range(4)]
    assert float(rows[-1]["preferences/correlation"]) > 0.5
