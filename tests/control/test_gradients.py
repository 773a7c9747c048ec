"""REINFORCE and the actor–critics learn what they must, reduce to one another, and go on bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import operant
from operant.config.errors import EnvError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control import a2c as a2c_module
from operant.control import updates
from operant.control.reinforce import episodes
from operant.data.trajectory import joined
from operant.math.objective import value_loss
from operant.math.weighting import critic_target
from operant.run.job import Position

PROBE = "operant.env.probe:"
KINDS = [
    {"kind": "discrete"}, {"kind": "multidiscrete", "size": 3}, {"kind": "multibinary", "size": 3},
    {"kind": "box", "tolerance": 0.5},
]  # fmt: skip
LEARN = {
    "reinforce": {"env.num": 1, "env.kwargs.length": 20, "algo.episodes": 2, "algo.horizon": 20, "algo.lr": 0.02,
                  "algo.discount": 0.0},
    "actor-critic": {"env.num": 8, "algo.optimizer": "adam", "algo.lr": 0.01, "algo.discount_weight": False},
    "online-actor-critic": {"env.num": 8, "algo.lr": 0.01},
    "a2c": {"env.num": 8, "algo.lr": 0.01, "algo.optimizer": "adam"},
}  # fmt: skip


def build(algorithm, env, **overrides):
    return builder_of(algorithm)(resolve(algorithm, env, overrides=overrides, source="argument").config, env)


def run(job, steps=None):
    rows = []
    while job.counter.steps < (steps or job.total_steps):
        rows.append({name: float(x) for name, x in next(job.algorithm).items() if name != "phase/collect"})
    return rows


def parameters(agent):
    return torch.cat([p.detach().ravel() for p in agent.parameters()])


# ---------------------------------------------------------------------------------------------------- learns
@pytest.mark.spread(4)
@pytest.mark.parametrize("algorithm", list(LEARN))
@pytest.mark.parametrize("kwargs", KINDS, ids=lambda kwargs: kwargs["kind"])
def test_identity_is_learnt_in_5000_steps(algorithm, kwargs):
    settings = {"seed": 2, "total_steps": 5000, "algo.discount": 0.4} | LEARN[algorithm]
    length = settings.pop("env.kwargs.length", 100)
    job = build(algorithm, PROBE + "identity", **settings, **{"env.kwargs": kwargs | {"length": length}})
    run(job)
    got = job.evaluate(10).returns.mean() / length
    job.close()
    assert got >= 0.9, got


@pytest.mark.spread(1)
@pytest.mark.parametrize(
    "kwargs", [{"kind": k, "size": s} for k, s in (("discrete", 4), ("multidiscrete", 2), ("multibinary", 2))]
)
def test_identity_is_learnt_by_action_values(kwargs):
    settings = {"seed": 2, "total_steps": 5000, "env.num": 8, "algo.weighting": "advantage", "algo.discount": 0.0}
    settings |= {"algo.lr": 5e-3, "algo.critic_lr": 0.05, "algo.entropy_coef": 0.03}
    job = build("q-actor-critic", PROBE + "identity", **settings, **{"env.kwargs": kwargs})
    run(job)
    assert job.evaluate(10).returns.mean() >= 90


def test_action_values_are_those_of_the_next_action_taken():
    """One step of plain gradient descent beside Algorithm 1 by hand; over an end nothing is bootstrapped."""
    settings = {"env.num": 2, "algo.optimizer": "sgd", "algo.lr": 0.1, "algo.updates": 1, "algo.discount": 0.9}
    job, before = (build("q-actor-critic", "CartPole-v1", **settings) for _ in range(2))
    q, kept = before.agent.beside["q"], []
    collect = job.counter.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(job.counter), "__call__", lambda self, h: kept.append(collect(h)) or kept[-1])
        next(job.algorithm)
    now, then = kept
    chosen, ahead = (q(t.obs[:, 0], t.action[:, 0]) for t in (now, then))
    delta = (now.reward[:, 0] + 0.9 * ahead - chosen).detach()
    logp, _ = before.agent.policy.evaluate(now.obs[:, 0], now.action[:, 0])
    actor, critic = [*before.agent.policy.parameters()], [*q.module.parameters()]
    for loss, params, after in (
        (-(chosen.detach() * logp).mean(), actor, job.agent.policy.parameters()),
        (-(delta * chosen).mean(), critic, job.agent.beside["q"].module.parameters()),
    ):
        for p, g, new in zip(params, torch.autograd.grad(loss, params), after, strict=True):
            torch.testing.assert_close(p - 0.1 * g, new, rtol=0, atol=1e-5)


VALUES = {
    "reinforce": {"algo.lr": 1e-3, "algo.critic_lr": 0.02, "algo.critic_steps": 10, "algo.critic_target": "td",
                  "algo.horizon": 8},
    "actor-critic": {"env.num": 32, "algo.optimizer": "adam", "algo.critic_lr": 0.05, "algo.discount_weight": False},
    "online-actor-critic": {"env.num": 32, "algo.critic_lr": 0.05},
    "q-actor-critic": {"env.num": 32, "algo.lr": 0.03, "algo.critic_lr": 0.05},
    "a2c": {"algo.lr": 0.02, "algo.optimizer": "adam"},
}  # fmt: skip


@pytest.mark.spread(2)
@pytest.mark.parametrize("algorithm", list(VALUES))
def test_a_time_limit_is_not_a_termination(algorithm):
    """Reward 1 for ever, cut after 8 steps: V = 1/(1 − γ) wherever there is a critic."""
    settings = {"total_steps": 16_000, "env.num": 8, "algo.discount": 0.9, "algo.lr_schedule": "linear"}
    job = build(algorithm, PROBE + "four_state", **settings | VALUES[algorithm])
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 10.0, rtol=0.02)


def test_a_termination_is_one():
    """Two decisions, 1 at the end: V = γ, 1. Bootstrapping over the end gives more."""
    settings = {"total_steps": 8000, "env.num": 8, "algo.discount": 0.5, "algo.lr": 0.02, "algo.optimizer": "adam"}
    job = build("a2c", PROBE + "delayed", **settings, **{"algo.lr_schedule": "linear"})
    run(job)
    np.testing.assert_allclose(job.agent.value(np.array([[0.0], [1.0]])), [0.5, 1.0], rtol=0.02)


# ---------------------------------------------------------------------------------------------------- reduces to
def test_a2c_with_one_environment_and_one_step_is_the_online_actor_critic():
    common = {"seed": 4, "env.num": 1, "algo.updates": 50, "algo.lr": 1e-3, "algo.discount": 0.9}
    common |= {"algo.optimizer": "sgd", "algo.max_grad_norm": None}
    a2c = build("a2c", "CartPole-v1", **common, **{"algo.horizon": 1})
    online = build("online-actor-critic", "CartPole-v1", **common, **{"algo.critic_first": False})
    first = build("online-actor-critic", "CartPole-v1", **common)
    for job in (a2c, online, first):
        run(job, 100)
    torch.testing.assert_close(parameters(online.agent), parameters(a2c.agent), rtol=0, atol=1e-6)
    assert (parameters(first.agent) - parameters(a2c.agent)).abs().max() > 1e-6  # the order of the two steps shows


def test_the_online_actor_critic_is_the_figures_without_its_weight():
    common = {"seed": 4, "env.num": 1, "algo.updates": 50, "algo.lr": 1e-3, "algo.optimizer": "sgd"}
    online = build("online-actor-critic", "CartPole-v1", **common, **{"algo.critic_first": False})
    figure, plain = (
        build("actor-critic", "CartPole-v1", **common, **{"algo.discount_weight": weight}) for weight in (True, False)
    )
    for job in (online, figure, plain):
        run(job, 100)
    torch.testing.assert_close(parameters(plain.agent), parameters(online.agent), rtol=0, atol=1e-6)
    assert (parameters(figure.agent) - parameters(online.agent)).abs().max() > 1e-6  # γ^t forgotten shows


@pytest.mark.parametrize("weighting", ["td", "td-n", "gae"])
def test_weightings_of_a2c_meet_where_they_must(weighting):
    """With one step a segment they are one; with five, n = 5 and λ = 1 are one, and one step is another."""
    common = {"seed": 1, "env.num": 2, "algo.updates": 3, "algo.n": 5, "algo.critic_target": "mc"}
    short, long = (
        [build("a2c", "CartPole-v1", **common, **{"algo.horizon": h, "algo.weighting": w}) for w in ("gae", weighting)]
        for h in (1, 5)
    )
    for job in (*short, *long):
        next(job.algorithm)
    torch.testing.assert_close(parameters(short[0].agent), parameters(short[1].agent), rtol=0, atol=1e-6)
    apart = float((parameters(long[0].agent) - parameters(long[1].agent)).abs().max())
    assert apart > 1e-5 if weighting == "td" else apart < 1e-5


def test_a3c_in_lockstep_with_one_worker_is_a2c():
    common = {"seed": 3, "env.num": 2, "algo.updates": 4, "total_steps": 2000, "algo.lr_schedule": "linear"}
    a2c = build("a2c", "CartPole-v1", **common, **{"algo.fused": "off"})
    a3c = build("a3c", "CartPole-v1", **common, **{"algo.mode": "lockstep", "algo.workers": 1})
    rows = [run(job, 100) for job in (a2c, a3c)]
    assert rows[0] == rows[1]
    assert torch.equal(parameters(a2c.agent), parameters(a3c.agent))
    a3c.close()


# ---------------------------------------------------------------------------------------------------- differential
def reference_update(policy, critic, optimizer, traj, cfg):
    """Stable-Baselines3's A2C.train on one batch, written from its definition: values and log-probabilities of every
    step, returns = advantages + values, F.mse_loss, entropy_loss = −mean entropy, one clipped RMSprop step."""
    value = critic(traj.obs).detach()
    n, horizon = traj.reward.shape
    adv, running = torch.zeros(n, horizon), torch.zeros(n)
    for t in reversed(range(horizon)):
        going_on = (~traj.terminated[:, t]).float()
        delta = traj.reward[:, t] + cfg.discount * value[:, t + 1] * going_on - value[:, t]
        running = delta + cfg.discount * cfg.lam * going_on * running
        adv[:, t] = running
    logp, entropy = policy.evaluate(traj.seen.flatten(0, 1), traj.action.flatten(0, 1))
    loss = -(adv.flatten() * logp).mean() + cfg.entropy_coef * (-entropy.mean())
    returns = (adv + value[:, :-1]).flatten()
    loss = loss + 0.5 * torch.nn.functional.mse_loss(critic(traj.seen.flatten(0, 1)), returns)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([*policy.parameters(), *critic.parameters()], 0.5)
    optimizer.step()


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCarContinuous-v0"])  # without a preset, or with the defaults
def test_one_update_with_the_defaults_is_that_of_stable_baselines(env, monkeypatch):
    settings = {"algo.updates": 1, "algo.entropy_coef": 0.01, "algo.lam": 0.9}
    ours, theirs = build("a2c", env, **settings), build("a2c", env, **settings)
    kept = []
    collect = ours.counter.__call__
    monkeypatch.setattr(type(ours.counter), "__call__", lambda self, h: kept.append(collect(h)) or kept[-1])
    next(ours.algorithm)
    cfg = resolve("a2c", env, overrides=settings).config.algo
    agent, traj = theirs.agent, kept[0]
    assert traj.acted.all()
    assert not traj.truncated.any()
    both = [*agent.policy.parameters(), *agent.critic.parameters()]
    optimizer = torch.optim.RMSprop(both, lr=7e-4, alpha=0.99, eps=1e-5, weight_decay=0)
    reference_update(agent.policy, agent.critic, optimizer, traj, cfg)
    torch.testing.assert_close(parameters(ours.agent), parameters(agent), rtol=0, atol=1e-5)
    again = build("a2c", env, **settings)
    assert (parameters(again.agent) - parameters(agent)).abs().max() > 1e-3  # it stepped


def test_an_advantage_that_is_not_detached_shows(monkeypatch):
    """Left in the graph, the policy's loss would pull the critic: the gradient of the critic tells."""
    job = build("a2c", "CartPole-v1")
    cfg, agent, traj = resolve("a2c", "CartPole-v1").config.algo, job.agent, job.counter(5)
    critic = [*agent.critic.parameters()]

    def gradient():
        loss, _ = a2c_module.loss_of(cfg, agent, traj, traj.reward, None)
        return torch.cat([g.ravel() for g in torch.autograd.grad(loss, critic)])

    want, values = gradient(), value_loss(agent.critic(traj.obs)[:, :-1], *_target(cfg, agent, traj))[0]
    close = torch.cat([g.ravel() for g in torch.autograd.grad(values, critic)])
    torch.testing.assert_close(want, close, rtol=0, atol=1e-6)  # the critic learns of its own loss only
    monkeypatch.setattr(updates, "policy_gradient", lambda logp, adv, acted: (-(adv * logp).mean(), {}))
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: self)
    assert (gradient() - want).abs().max() > 1e-3


def _target(cfg, agent, traj):
    value = agent.critic(traj.obs).detach()
    ends = (traj.terminated, traj.truncated, traj.acted)
    return critic_target("lambda", discount=cfg.discount, lam=cfg.lam)(traj.reward, value, *ends), traj.acted


# ---------------------------------------------------------------------------------------------------- REINFORCE
def config(**overrides):
    return resolve("reinforce", "CartPole-v1", overrides=overrides).config.algo


def test_every_copy_gives_its_first_whole_episodes_and_begins_anew():
    job = build("reinforce", "CartPole-v1", **{"env.num": 3})
    cfg = config(**{"algo.episodes": 2, "algo.horizon": 8})
    for _ in range(2):
        traj = episodes(job.counter, np.random.default_rng(0), cfg)
        ends = (traj.terminated | traj.truncated) & traj.acted
        assert int(ends.sum(1).min()) >= 2
        assert (traj.obs[:, 0].abs() < 0.06).all()  # a first state of CartPole: nothing stale
    again = episodes(job.counter, np.random.default_rng(0), cfg)  # the same seed begins the same episodes
    assert torch.equal(again.obs[:, 0], traj.obs[:, 0])


def test_what_is_open_or_beyond_the_first_episodes_does_not_teach(monkeypatch):
    """Poison everything that is not of the first whole episodes: nothing may change."""
    from operant.control import reinforce as module
    from operant.math.weighting import episode_number, whole

    play, agents = module.episodes, []
    for poisoned in (False, True):
        job = build("reinforce", "CartPole-v1", **{"env.num": 2, "algo.baseline": "average"})

        def tainted(collect, generator, cfg, poisoned=poisoned):
            traj = play(collect, generator, cfg)
            ends = (traj.terminated, traj.truncated, traj.acted)
            other = ~(whole(*ends) & (episode_number(*ends) < 1))
            assert (other & traj.acted).any()
            if poisoned:
                traj.reward[other] = 1e6
            return traj

        monkeypatch.setattr(module, "episodes", tainted)
        for _ in range(2):
            next(job.algorithm)
        agents.append(parameters(job.agent))
    assert torch.equal(*agents)


@pytest.mark.parametrize("baseline", ["none", "average", "learnt"])
@pytest.mark.parametrize("weighting", ["return", "to-go"])
def test_its_step_is_the_mean_over_episodes_of_the_sum_over_decisions(baseline, weighting, monkeypatch):
    """One step of plain gradient descent beside a loop over episodes and decisions."""
    settings = {"env.num": 2, "algo.optimizer": "sgd", "algo.lr": 1.0, "algo.baseline": baseline, "algo.discount": 0.9}
    settings |= {"algo.weighting": weighting, "algo.discount_weight": True, "algo.critic_lr": 1e-30}
    job, before = (build("reinforce", "CartPole-v1", **settings) for _ in range(2))
    from operant.control import reinforce as module

    play, kept = module.episodes, []
    monkeypatch.setattr(module, "episodes", lambda *args: kept.append(play(*args)) or kept[-1])
    next(job.algorithm)
    traj, loss = kept[0], torch.zeros(())
    for n in range(2):
        length = int(traj.terminated[n].nonzero()[0]) + 1
        logp, _ = before.agent.policy.evaluate(traj.obs[n, :length], traj.action[n, :length])
        value = before.agent.critic(traj.obs[n, :length]).detach()
        for t in range(length):
            if weighting == "return":
                psi = sum(0.9**k * float(traj.reward[n, k]) for k in range(length))
                weight = psi - (float(value[t]) if baseline == "learnt" else 0.0)
            else:
                psi = sum(0.9 ** (k - t) * float(traj.reward[n, k]) for k in range(t, length))
                weight = 0.9**t * (psi - (float(value[t]) if baseline == "learnt" else 0.0))
            loss = loss - weight * logp[t] / 2
    policy = [*before.agent.policy.parameters()]
    with torch.no_grad():
        for p, g in zip(policy, torch.autograd.grad(loss, policy), strict=True):
            p -= g
    for p, q in zip(policy, job.agent.policy.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-4)


def test_an_environment_that_does_not_end_is_refused_in_words():
    job = build("reinforce", PROBE + "four_state", **{"env.kwargs": {"limit": 10_000}, "algo.longest": 200})
    with pytest.raises(EnvError, match="REINFORCE learns from whole ones"):
        next(job.algorithm)


def test_joined_segments_are_the_segment():
    whole, parts = (build("a2c", "CartPole-v1", seed=9, **{"env.num": 3}).counter for _ in range(2))
    one, many = whole(60), joined([parts(20) for _ in range(3)])
    for name in ("action", "logp", "reward", "terminated"):
        assert torch.equal(getattr(one, name)[one.acted], getattr(many, name)[many.acted]), name
    assert torch.equal(one.seen[one.acted], many.seen[many.acted])


# ---------------------------------------------------------------------------------------------------- goes on
RESUMED = {
    "reinforce": {"algo.baseline": "average", "algo.horizon": 16},
    "actor-critic": {"algo.updates": 16},
    "online-actor-critic": {"algo.updates": 16},
    "q-actor-critic": {"algo.updates": 16},
    "a2c": {"algo.updates": 4, "policy.normalize_obs": True, "policy.normalize_reward": True},
    "a3c": {"algo.updates": 4, "algo.mode": "lockstep", "algo.workers": 2},
}


def tensors(path):
    latest = path / "checkpoints" / "latest"
    return {f"{file.stem}/{k}": x for file in latest.glob("*.safetensors") for k, x in load_file(file).items()}


@pytest.mark.spread(2)
@pytest.mark.parametrize("algorithm", list(RESUMED))
def test_a_killed_run_goes_on_bit_for_bit(algorithm, tmp_path):
    """The newest checkpoints are taken away, as if the run had been killed before them."""
    settings = {"env.num": 2, "seed": 7, "total_steps": 900, "save.every": 300, "save.keep": 9, "eval.episodes": 1}
    settings |= {"save.videos": False, "save.report": False, "quiet": True} | RESUMED[algorithm]
    run = operant.train(algorithm, "CartPole-v1", runs=tmp_path, **settings)
    want = tensors(run.path)
    checkpoints = sorted(p for p in (run.path / "checkpoints").iterdir() if p.name.startswith("step-"))
    assert len(checkpoints) >= 3
    for p in checkpoints[1:]:
        shutil.rmtree(p)
    (run.path / "checkpoints" / "latest").unlink()
    (run.path / "checkpoints" / "latest").symlink_to(checkpoints[0].name)
    info = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(info | {"status": "running"}))
    assert "exact" not in info
    operant.resume(run.path, quiet=True)
    got = tensors(run.path)
    assert want.keys() == got.keys()
    for name, x in want.items():
        assert torch.equal(x, got[name]), name


@pytest.mark.parametrize("algorithm", ["reinforce", "actor-critic", "online-actor-critic", "a2c"])
def test_the_same_seed_gives_the_same_run(algorithm):
    rows = []
    for seed in (5, 5, 6):
        job = build(algorithm, "CartPole-v1", seed=seed, **{"env.num": 2} | RESUMED[algorithm])
        rows.append(repr(run(job, 150)))
        job.close()
    assert rows[0] == rows[1] != rows[2]


# ---------------------------------------------------------------------------------------------------- A3C
@pytest.mark.spread(0)
def test_asynchronous_workers_share_what_they_learn_and_say_that_they_are_not_exact(tmp_path):
    settings = {"total_steps": 400, "save.every": 200, "algo.workers": 2, "algo.updates": 10, "eval.episodes": 1}
    settings |= {"save.videos": False, "save.report": False, "quiet": True}
    run = operant.train("a3c", "CartPole-v1", runs=tmp_path, **settings)
    assert run.folder.info()["exact"] is False
    assert run.metrics["step"].iloc[-1] >= 400
    longer = operant.resume(run.path, to=800, quiet=True)
    assert longer.step >= 800
    assert longer.folder.info()["exact"] is False


def test_a_worker_that_is_killed_is_told_of_and_none_is_left(tmp_path):
    job = build("a3c", "CartPole-v1", **{"algo.workers": 2, "algo.updates": 2})
    next(job.algorithm)
    pids = [worker.process.pid for worker in job.counter.workers]
    children = [int(p) for pid in pids for p in _children(pid)] or pids
    os.kill(children[-1], signal.SIGKILL)
    with pytest.raises(EnvError, match=r"worker 1 of a3c .*operant resume"):
        run(job, 10**6)
    job.close()
    assert not any(_alive(pid) for pid in (*pids, *children))


def test_a_killed_a3c_leaves_no_process_behind(tmp_path):
    code = (
        "import sys, time\n"
        "from operant.config.registry import builder_of\n"
        "from operant.config.resolve import resolve\n"
        "cfg = resolve('a3c', 'CartPole-v1', overrides={'algo.workers': 2, 'algo.updates': 2}).config\n"
        "job = builder_of('a3c')(cfg, 'CartPole-v1')\n"
        "next(job.algorithm)\n"
        "print(*[w.process.pid for w in job.counter.workers], flush=True)\n"
        "while True:\n"
        "    next(job.algorithm)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    pids += [int(child) for pid in pids for child in _children(pid)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, pids))


def test_an_environment_that_raises_in_a_worker_is_told_in_words(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import gymnasium\n"
        "class Broken(gymnasium.Wrapper):\n"
        "    def step(self, action):\n"
        "        raise RuntimeError('the gripper is stuck')\n"
        "def make():\n"
        "    return Broken(gymnasium.make('CartPole-v1'))\n"
    )
    env = f"{tmp_path / 'broken.py'}:make"
    job = build("a3c", env, **{"algo.workers": 1})
    with pytest.raises(EnvError, match=r"worker 0 of a3c: .*gripper is stuck"):
        next(job.algorithm)
    job.close()


def test_settings_that_a3c_cannot_keep_are_refused():
    for settings in ({"policy.normalize_obs": True}, {"policy.normalize_reward": True}):
        with pytest.raises(operant.ConfigError, match="running statistics"):
            build("a3c", "CartPole-v1", **settings)
    with pytest.raises(operant.ConfigError, match="exploration"):
        build("a3c", "CartPole-v1", **{"explore.bonus": "count"})
    with pytest.raises(operant.ConfigError, match=r"param_noise.* train a2c"):
        build("reinforce", "CartPole-v1", **{"explore.param_noise": 0.1})
    job = build("a2c", "CartPole-v1", **settings, **{"explore.bonus": "rnd", "explore.param_noise": 0.1})
    for _ in range(2):
        next(job.algorithm)
    next(build("reinforce", "CartPole-v1", **{"explore.bonus": "rnd"}).algorithm)


def test_a_seam_forgets_the_steps_that_lie_before_it():
    job = build("actor-critic", "CartPole-v1", **{"algo.updates": 5})
    next(job.algorithm)
    assert int(job.counter.elapsed[0]) == 5
    job.begin(Position(step=5, seam=1))
    assert int(job.counter.elapsed[0]) == 0


def _children(pid):
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return file.read_text().split() if file.exists() else []


def _alive(pid):
    file = Path(f"/proc/{pid}/stat")
    return file.exists() and file.read_text().rpartition(")")[2].split()[0] != "Z"
