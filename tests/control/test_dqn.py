"""DQN and its variants reach what is exact, take the steps of the formulas, and go on bit for bit."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control import dqn as module
from operant.control.action_values import spec_of
from operant.control.dqn import learner, losses, targets
from operant.control.dqn_recurrent import recurrent_learner, sequence_loss, transitions
from operant.control.setup_off_policy import off_policy
from operant.control.target import Target
from operant.control.updates import falling
from operant.data.replay import Transitions
from operant.data.trajectory import Trajectory
from operant.mdp import MDP, solve
from reference.resumed import assert_resumes

PROBE = "operant.env.probe:"
S, GAMMA = 6, 0.8


def near(got, want, tol):
    torch.testing.assert_close(got.detach(), want.detach(), rtol=tol, atol=tol)


# ---------------------------------------------------------------------------------------------------- a small model
def ring():
    """Six states in a row: action 0 goes on and is paid 1 behind the last, 1 goes back to the first for 0.15."""
    p, r = np.zeros((S + 1, 2, S + 1)), np.zeros((S + 1, 2))
    for s in range(S):
        p[s, 0, s + 1] = p[s, 1, 0] = 1.0
        r[s, 1] = 0.15
    r[S - 1, 0] = 1.0
    p[S, :, S] = 1.0
    return p, r


def optimum():
    p, r = ring()
    return solve(MDP(p, r, GAMMA)).q[:S]


class Ring(gymnasium.Env):
    """Its spaces; what is learnt from is written down by hand."""

    observation_space, action_space = spaces.Box(0, 1, (S,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.eye(S, dtype=np.float32)[0], {}

    def step(self, action):
        return np.eye(S, dtype=np.float32)[0], 0.0, False, False, {}


def walks(behind, episodes=400, longest=4, seed=0):
    """One row of episodes from any state and action, `behind` (state, generator) choosing from then on, cut soon."""
    (p, r), rng = ring(), np.random.default_rng(seed)
    obs, action, reward, flags = [], [], [], []
    for k in range(episodes):
        state, a = k // 2 % S, k % 2
        for step in range(longest):
            obs.append(state), action.append(a), reward.append(r[state, a])
            state = int(p[state, a].argmax())
            over = state == S
            flags.append((over, not over and step == longest - 1, True))
            if over:
                break
            a = behind(state, rng)
        obs.append(min(state, S - 1)), action.append(0), reward.append(0.0), flags.append((False, False, False))
    seen = torch.eye(S)[torch.tensor([*obs, 0])][None]
    terminated, truncated, acted = torch.tensor(flags).T[:, None]
    return Trajectory(
        obs=seen, action=torch.tensor(action)[None], logp=torch.zeros(1, len(action)), group=torch.zeros(1),
        reward=torch.tensor(reward)[None].float(), terminated=terminated, truncated=truncated, acted=acted,
    )  # fmt: skip


def at_random(state, rng):
    return int(rng.integers(2))


def as_is_best(state, rng):
    return int(optimum()[state].argmax())


def parts_of(algorithm="dqn", env=Ring, **overrides):
    settings = {
        "policy.hidden": (32,), "policy.value_min": -0.5, "policy.value_max": 2.0, "algo.discount": GAMMA,
        "algo.lr": 3e-3, "algo.batch": 32, "total_steps": 1000,
    }  # fmt: skip
    cfg = resolve(algorithm, "Ring", overrides=settings | overrides, source="argument").config
    return cfg, off_policy(cfg, env, **spec_of(cfg.policy))


VARIANTS = {
    "plain": ("dqn", {}),
    "squared": ("dqn", {"algo.loss": "squared"}),
    "soft": ("dqn", {"algo.target": "soft", "algo.tau": 0.05}),
    "no target": ("dqn", {"algo.target": "none"}),
    "double": ("dqn", {"algo.double": True}),
    "dueling": ("dqn", {"policy.dueling": True}),
    "normed": ("dqn", {"policy.layer_norm": True}),
    "noisy": ("dqn", {"policy.noisy": 0.5}),
    "prioritised": ("dqn", {"algo.priority": "proportional"}),
    "n-step": ("dqn", {"algo.n": 3}),
    "c51": ("c51", {}),
    "qr": ("qr-dqn", {"policy.atoms": 8}),
    "rainbow": ("rainbow", {}),
}


@pytest.mark.spread(3)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_reaches_the_optimal_values(variant):
    """Distributions by their means. Sums of n rewards are of what acted, so that what acted is then the best."""
    algorithm, settings = VARIANTS[variant]
    cfg, parts = parts_of(algorithm, **settings)
    target = None if cfg.algo.target == "none" else Target(parts.agent.policy)
    optimizer = torch.optim.Adam(parts.agent.parameters(), cfg.algo.lr)
    learn = learner(cfg.algo, parts, target, optimizer)
    parts.buffer.extend(walks(as_is_best if cfg.algo.n > 1 else at_random))
    for k in range(800):
        learn()
        if k % 20 == 0 and cfg.algo.target == "hard":
            target.follow(1.0)
        if k == 600:
            optimizer.param_groups[0]["lr"] /= 10
    policy = parts.agent.policy
    with torch.no_grad():
        q = policy.distribution.expected(policy.output(torch.eye(S))).numpy()
    np.testing.assert_allclose(q, optimum(), atol=0.04)
    np.testing.assert_allclose(parts.agent.estimate(np.eye(S)), optimum().max(1), atol=0.04)


def test_a_recurrent_network_reaches_the_optimal_values():
    cfg, parts = parts_of(
        **{"policy.memory": "gru", "policy.memory_size": 16, "algo.length": 10, "algo.burn_in": 2, "algo.batch": 64}
    )
    target = Target(parts.agent.policy)
    optimizer = torch.optim.Adam(parts.agent.parameters(), cfg.algo.lr)
    learn = recurrent_learner(cfg.algo, parts, target, optimizer)
    traj = walks(at_random)
    n, t = traj.reward.shape
    begins = torch.cat([torch.ones(1, 1, dtype=torch.bool), ~traj.acted], 1)
    parts.buffer.extend(replace(traj, obs={"obs": traj.obs, "memory": torch.zeros(n, t + 1, 16), "begins": begins}))
    for k in range(600):
        learn()
        if k % 20 == 0:
            target.follow(1.0)
        if k == 450:
            optimizer.param_groups[0]["lr"] /= 10
    np.testing.assert_allclose(parts.agent.estimate(np.eye(S)), optimum().max(1), atol=0.06)


# ---------------------------------------------------------------------------------------------------- the formulas
def batch_of(seed=0, size=64, dim=S, actions=2):
    gen = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 4, (size,), generator=gen)
    return Transitions(
        obs=torch.randn(size, dim, generator=gen), action=torch.randint(0, actions, (size,), generator=gen),
        reward=3 * torch.randn(size, generator=gen), discount=GAMMA**steps.float(),
        terminated=torch.rand(size, generator=gen) < 0.3, next_obs=torch.randn(size, dim, generator=gen),
        index=torch.arange(size), weight=torch.rand(size, generator=gen) + 0.5,
    )  # fmt: skip


def targets_of(cfg, online, judge):
    return targets(cfg, online.distribution, online.parameters_of, judge.parameters_of)


def stepped(make_loss, net, lr):
    """The weights after one step of Adam down a loss, its gradient's norm bounded by 10."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, eps=1e-8)
    optimizer.zero_grad()
    make_loss().backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    optimizer.step()
    return [p.detach().clone() for p in net.parameters()]


def one_update(monkeypatch, algorithm="dqn", **settings):
    """Networks before it, the target, the batch, and the weights after the library's own step."""
    cfg, parts = parts_of(algorithm, **settings)
    target = Target(parts.agent.policy)
    with torch.no_grad():
        for p in parts.agent.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    before = [p.detach().clone() for p in parts.agent.parameters()]
    b = batch_of()
    monkeypatch.setattr(parts, "draw", lambda: b)
    learn = learner(cfg.algo, parts, target, torch.optim.Adam(parts.agent.parameters(), cfg.algo.lr, eps=1e-8))
    learn()
    after = [p.detach().clone() for p in parts.agent.parameters()]
    with torch.no_grad():
        for p, x in zip(parts.agent.parameters(), before, strict=True):
            p.copy_(x)
    return cfg, parts.agent.policy.net, target.module.net, b, after


def test_one_update_is_that_of_stable_baselines_and_of_cleanrl(monkeypatch):
    """Their lines, in float32: `dqn.py` of both, which differ by smooth_l1 and mse."""
    for loss, theirs in (
        ("huber", torch.nn.functional.smooth_l1_loss),
        ("squared", lambda x, y: 0.5 * torch.nn.functional.mse_loss(x, y)),
    ):
        cfg, q_net, q_net_target, data, after = one_update(monkeypatch, **{"algo.loss": loss})

        def make(net=q_net, judge=q_net_target, data=data, theirs=theirs):
            with torch.no_grad():
                next_q_values = judge(data.next_obs)
                next_q_values, _ = next_q_values.max(dim=1)
                next_q_values = next_q_values.reshape(-1, 1)
                dones = data.terminated.float().reshape(-1, 1)
                target_q_values = (
                    data.reward.reshape(-1, 1) + (1 - dones) * data.discount.reshape(-1, 1) * next_q_values
                )
            current_q_values = torch.gather(net(data.obs), dim=1, index=data.action.reshape(-1, 1))
            each = [theirs(current_q_values[i], target_q_values[i]) for i in range(len(data))]
            return (data.weight * torch.stack(each)).mean()

        for ours, expected in zip(after, stepped(make, q_net, cfg.algo.lr), strict=True):
            near(ours, expected, tol=1e-6)


def test_one_update_of_qr_dqn_is_that_of_sb3_contrib(monkeypatch):
    cfg, net, judge, data, after = one_update(monkeypatch, "qr-dqn", **{"policy.atoms": 5})

    def make():
        n, size = 5, len(data)
        with torch.no_grad():
            next_quantiles = judge(data.next_obs).reshape(size, 2, n).transpose(1, 2)  # theirs are [B, N, A]
            next_greedy = next_quantiles.mean(dim=1, keepdim=True).argmax(dim=2, keepdim=True).expand(size, n, 1)
            next_quantiles = next_quantiles.gather(dim=2, index=next_greedy).squeeze(dim=2)
            done = data.terminated.float()[:, None]
            target_quantiles = data.reward[:, None] + (1 - done) * data.discount[:, None] * next_quantiles
        current = net(data.obs).reshape(size, 2, n).transpose(1, 2)
        current = torch.gather(current, 2, data.action[:, None, None].expand(size, n, 1)).squeeze(2)
        cum_prob = ((torch.arange(n) + 0.5) / n).view(1, -1, 1)
        pairwise_delta = target_quantiles.unsqueeze(-2) - current.unsqueeze(-1)
        abs_pairwise_delta = pairwise_delta.abs()
        huber = torch.where(abs_pairwise_delta > 1, abs_pairwise_delta - 0.5, pairwise_delta**2 * 0.5)
        loss = (cum_prob - (pairwise_delta.detach() < 0).float()).abs() * huber
        return (data.weight * loss.sum(dim=-2).mean(-1)).mean()

    for ours, expected in zip(after, stepped(make, net, cfg.algo.lr), strict=True):
        near(ours, expected, tol=1e-6)


def test_one_update_of_c51_is_that_of_cleanrl(monkeypatch):
    cfg, net, judge, data, after = one_update(monkeypatch, "c51", **{"policy.atoms": 7, "policy.hidden": (16,)})
    atoms, low, high = torch.linspace(-0.5, 2.0, 7), -0.5, 2.0

    def pmf_of(module, x, action=None):
        logits = module(x).view(len(x), 2, 7)
        pmfs = logits.softmax(dim=2)
        chosen = (pmfs * atoms).sum(2).argmax(1) if action is None else action
        return pmfs[torch.arange(len(x)), chosen]

    def make():
        with torch.no_grad():
            next_pmfs = pmf_of(judge, data.next_obs)
            done = data.terminated.float()[:, None]
            next_atoms = data.reward[:, None] + data.discount[:, None] * atoms * (1 - done)
            delta_z = atoms[1] - atoms[0]
            tz = next_atoms.clamp(low, high)
            b = (tz - low) / delta_z
            lower, upper = b.floor().clamp(0, 6), b.ceil().clamp(0, 6)
            d_m_l = (upper + (lower == upper).float() - b) * next_pmfs
            d_m_u = (b - lower) * next_pmfs
            target_pmfs = torch.zeros_like(next_pmfs)
            for i in range(len(data)):
                target_pmfs[i].index_add_(0, lower[i].long(), d_m_l[i])
                target_pmfs[i].index_add_(0, upper[i].long(), d_m_u[i])
        old_pmfs = pmf_of(net, data.obs, data.action)
        return (data.weight * (-(target_pmfs * old_pmfs.clamp(min=1e-5, max=1 - 1e-5).log()).sum(-1))).mean()

    for ours, expected in zip(after, stepped(make, net, cfg.algo.lr), strict=True):
        near(ours, expected, tol=2e-6)


def test_munchausen_reduces_to_the_soft_maximum_and_that_to_the_maximum(monkeypatch):
    cfg, parts = parts_of()
    policy, b = parts.agent.policy, batch_of()
    with torch.no_grad():
        plain = targets_of(cfg.algo, policy, policy)(b)
        soft = targets_of(cfg.algo.model_copy(update={"munchausen": True, "soft_temperature": 1e-4}), policy, policy)
        monkeypatch.setattr(module.bellman, "munchausen", lambda reward, *_, **__: reward)
        near(soft(b), plain, tol=1e-3)


# ---------------------------------------------------------------------------------------------------- known bugs
def test_double_with_its_networks_exchanged_is_seen():
    """Q chooses and Q⁻ judges; the other way round is what several repositories have."""
    for algorithm in ("dqn", "qr-dqn", "c51"):
        cfg, parts = parts_of(algorithm, **{"algo.double": True})
        online, judge, b = parts.agent.policy, Target(parts.agent.policy).module, batch_of()
        with torch.no_grad():
            for p in judge.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
            its = online.distribution
            best = its.expected(online.output(b.next_obs)).argmax(-1)
            row = torch.arange(len(b))
            right = its.apart(judge.output(b.next_obs))[row, best]
            y = targets_of(cfg.algo, online, judge)(b)
            if algorithm != "c51":  # whose atoms lie where they lie
                left = (b.discount * ~b.terminated)[:, None]
                expected = b.reward[:, None] + left * right
                near(y.reshape(len(b), -1), expected, tol=1e-5)
            swapped = targets_of(cfg.algo, judge, online)(b)
            assert (swapped - y).abs().max() > 1e-2
            single = targets_of(cfg.algo.model_copy(update={"double": False}), online, judge)(b)
            assert (single - y).abs().max() > 1e-2


def test_nothing_passes_through_a_terminal_and_all_through_a_time_limit():
    """A target that bootstraps behind a termination, or ends at a truncation, has other values."""
    for algorithm in ("dqn", "c51", "qr-dqn"):
        cfg, parts = parts_of(algorithm)
        policy = parts.agent.policy
        b = batch_of()
        over = torch.ones(len(b), dtype=torch.bool)
        with torch.no_grad():
            y = targets_of(cfg.algo, policy, policy)(replace(b, terminated=over, reward=torch.full((len(b),), 0.75)))
            mean = (
                (y * policy.distribution.support(y)).sum(-1) if algorithm == "c51" else y.reshape(len(b), -1).mean(-1)
            )
            near(mean, torch.full((len(b),), 0.75), tol=1e-5)
            wild = replace(b, next_obs=torch.full_like(b.next_obs, torch.nan), terminated=over)
            assert torch.isfinite(targets_of(cfg.algo, policy, policy)(wild)).all() or algorithm == "c51"
            on = targets_of(cfg.algo, policy, policy)(replace(b, terminated=~over))
            other = targets_of(cfg.algo, policy, policy)(replace(b, terminated=~over, next_obs=2 * b.next_obs))
            assert (on - other).abs().max() > 1e-3


def test_only_the_action_that_was_taken_is_learnt():
    for algorithm in ("dqn", "c51", "qr-dqn"):
        cfg, parts = parts_of(algorithm)
        policy, b = parts.agent.policy, batch_of()
        outputs = policy.output(b.obs).detach().requires_grad_()
        parts.agent.policy.output = lambda obs, outputs=outputs: outputs
        with torch.no_grad():
            y = targets_of(cfg.algo, policy, policy)(b)
        loss, _, _ = losses(cfg.algo, policy.distribution, policy.parameters_of)(b, y.detach())
        (gradient,) = torch.autograd.grad(loss.sum(), outputs)
        apart = policy.distribution.apart(gradient)
        assert (apart[torch.arange(len(b)), 1 - b.action] == 0).all()
        assert (apart[torch.arange(len(b)), b.action] != 0).any()


def test_pieces_are_cut_into_the_transitions_that_a_loop_finds():
    traj = walks(at_random, episodes=12)
    for n in (1, 2, 3, 9):
        b, found = transitions(traj, n=n, discount=GAMMA, skip=2), []
        for t in range(2, traj.reward.shape[1]):
            if not traj.acted[0, t]:
                continue
            total, made, over = 0.0, 0, False
            for k in range(n):
                total, made, over = (
                    total + GAMMA**k * float(traj.reward[0, t + k]),
                    k + 1,
                    bool(traj.terminated[0, t + k]),
                )
                if over or traj.truncated[0, t + k] or t + k + 1 == traj.reward.shape[1]:
                    break
            found.append((t, int(traj.action[0, t]), total, GAMMA**made, over, t + made))
        columns = [torch.tensor(x) for x in zip(*found, strict=True)]
        for name, x in zip(("obs", "action", "reward", "discount", "terminated", "next_obs"), columns, strict=True):
            torch.testing.assert_close(getattr(b, name), x.to(getattr(b, name).dtype))


def test_a_recurrent_target_stands_still_and_ends_where_episodes_do():
    """The reset behind an end neither leaks its value into the episode before nor is learnt; nor is the burn-in."""
    cfg, parts = parts_of(**{"policy.memory": "gru", "policy.memory_size": 4, "algo.burn_in": 2})
    policy, judge = parts.agent.policy, Target(parts.agent.policy).module
    gen = torch.Generator().manual_seed(0)
    b, t = 3, 8
    terminated = torch.zeros(b, t, dtype=torch.bool)
    truncated, acted = terminated.clone(), ~terminated
    terminated[0, 4], truncated[1, 4], acted[:2, 5] = True, True, False
    begins = torch.zeros(b, t + 1, dtype=torch.bool)
    begins[:2, 6] = True
    seen = {"obs": torch.randn(b, t + 1, S, generator=gen), "memory": torch.zeros(b, t + 1, 4), "begins": begins}
    traj = Trajectory(
        obs=seen, action=torch.zeros(b, t, dtype=torch.long), logp=torch.zeros(b, t), group=torch.arange(b),
        reward=torch.randn(b, t, generator=gen), terminated=terminated, truncated=truncated, acted=acted,
    )  # fmt: skip
    with torch.no_grad():
        q, ahead = policy.output(seen), judge.output(seen).amax(-1)
        loss, expected = sequence_loss(cfg.algo, policy, judge, traj)[0], []
        for n in range(b):
            for k in range(2, t):
                if acted[n, k]:
                    y = traj.reward[n, k] + (0.0 if terminated[n, k] else GAMMA * ahead[n, k + 1])
                    expected.append(torch.nn.functional.smooth_l1_loss(q[n, k, 0], y))
    near(loss, torch.stack(expected).mean(), tol=1e-6)


# ---------------------------------------------------------------------------------------------------- whole runs
def build(algorithm, env, **overrides):
    name = env if isinstance(env, str) else env.__name__
    return builder_of(algorithm)(resolve(algorithm, name, overrides=overrides, source="argument").config, env)


def run(job):
    rows = []
    while job.counter.steps < job.total_steps:
        rows.append({name: float(x) for name, x in next(job.algorithm).items() if name != "phase/collect"})
    return rows


FAST = {
    "algo.gradient_steps": 1, "algo.learning_starts": 50, "algo.train_freq": 1, "algo.updates": 50,
    "algo.target_every": 50, "policy.hidden": (32,),
}  # fmt: skip
IDENTITY = {
    "dqn": FAST, "qr-dqn": FAST | {"policy.atoms": 8}, "c51": FAST | {"policy.value_min": 0.0, "policy.value_max": 2.0},
    "rainbow": FAST | {"policy.value_min": 0.0, "policy.value_max": 2.0, "algo.n": 1},
    "pqn": {"env.num": 4, "algo.horizon": 8, "algo.batch": 32},
}  # fmt: skip


@pytest.mark.parametrize("algorithm", IDENTITY)
def test_identity_is_learnt_in_600_steps(algorithm):
    settings = {"seed": 101, "total_steps": 600, "algo.discount": 0.4, "algo.lr": 3e-3}
    job = build(algorithm, PROBE + "identity", **settings | IDENTITY[algorithm])
    run(job)
    assert job.evaluate(10).returns.mean() >= 90


@pytest.mark.parametrize("kind", ["multidiscrete", "multibinary", "box"])
@pytest.mark.parametrize("algorithm", ["dqn", "pqn"])
def test_other_actions_are_refused_in_words(algorithm, kind):
    with pytest.raises(ConfigError, match=f"one action of several, a Discrete space, and these are {kind}: train ppo"):
        build(algorithm, PROBE + "identity", **{"env.kwargs": {"kind": kind}})


LIMIT = {
    "dqn": FAST | {"algo.lr": 2e-3},
    "c51": FAST | {"algo.lr": 5e-3, "algo.target_every": 25, "policy.value_min": 0.0, "policy.value_max": 10.0,
                   "policy.atoms": 21},
    "pqn": {"env.num": 8, "algo.horizon": 8, "total_steps": 3000, "algo.lr": 1e-2},
}  # fmt: skip


@pytest.mark.parametrize("algorithm", LIMIT)
def test_a_time_limit_is_not_a_termination(algorithm):
    """Reward 1 for ever, cut after 8 steps: max Q = 1/(1 − γ)."""
    settings = {"total_steps": 1500, "algo.discount": 0.8}
    job = build(algorithm, PROBE + "four_state", **settings | LIMIT[algorithm])
    run(job)
    np.testing.assert_allclose(job.agent.value(np.eye(4)), 5.0, rtol=0.02)


class Lottery(gymnasium.Env):
    """From the first state to the second, where eight tickets pay N(0, 1): every action is worth 0, everywhere."""

    observation_space, action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.second = False
        return np.array([1, 0], np.float32), {}

    def step(self, action):
        pays = float(self.np_random.standard_normal()) if self.second else 0.0
        over, self.second = self.second, True
        return np.array([0, 1], np.float32), pays, over, False, {}


def test_the_maximum_overestimates_and_double_does_not():
    """Estimates that waver, chosen and judged by one network, are too large; judged by one that wavers apart, not."""
    settings = {
        "seed": 101, "total_steps": 4000, "algo.replay": False, "algo.learning_starts": 1, "algo.lr": 0.05,
        "algo.updates": 10, "algo.target_every": 400, "algo.epsilon_end": 1.0, "algo.loss": "squared",
        "algo.discount": 1.0, "policy.hidden": (16,),
    }  # fmt: skip
    found = {}
    for double in (False, True):
        job, values = build("dqn", Lottery, **settings, **{"algo.double": double}), []
        while job.counter.steps < job.total_steps:
            next(job.algorithm)
            with torch.no_grad():
                values.append(float(job.agent.policy.output(torch.tensor([[1.0, 0.0]])).mean()))
        found[double] = float(np.mean(values[len(values) // 4 :]))
    assert found[False] > 0.12, found
    assert abs(found[True]) < found[False] / 3, found


def test_a_target_begins_as_the_network_that_learns_and_follows_when_it_is_due():
    job = build("dqn", "CartPole-v1", **FAST | {"algo.target_every": 200, "algo.updates": 40, "seed": 101})
    target, net = job.agent.beside["target"], job.agent.policy.net

    def same():
        pairs = zip(net.parameters(), target.module.net.parameters(), strict=True)
        return all(torch.equal(p, q) for p, q in pairs)

    with torch.no_grad():
        next(net.parameters()).add_(1.0)  # as where weights are taken over from another run
    next(job.algorithm)
    assert same()  # before the first gradient step
    seen = []
    for _ in range(8):
        next(job.algorithm)
        seen.append(same())
    assert job.counter.steps == 360
    assert seen == [False, False, False, True, False, False, False, False]


def test_a_falling_rate_is_that_of_the_steps_behind_whatever_was_loaded():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, left = torch.optim.SGD([weight], lr=0.5), iter([1.0, 0.5, -0.25, 0.0])
    rows = falling(iter([{"a": weight.detach()}, {}, {}]), optimizer, lambda: next(left))
    optimizer.param_groups[0]["lr"] = 0.1  # as a checkpoint brings it
    assert [float(row["schedule/lr"]) for row in rows] == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    "settings",
    [{"algo.epsilon": 0.0, "algo.epsilon_end": 0.0}, {"algo.exploration": "boltzmann"}, {"policy.noisy": 0.5}],
)
def test_it_acts_at_random_until_learning_starts(settings, monkeypatch):
    """Each of two actions with probability ½, though the schedule says something else; and then no longer."""
    seen, stored = [], module.store
    monkeypatch.setattr(module, "store", lambda cfg, parts, traj: seen.append(traj) or stored(cfg, parts, traj))
    small = {"algo.learning_starts": 40, "algo.train_freq": 8, "algo.gradient_steps": 1, "algo.updates": 5}
    small |= {
        "algo.temperature": 0.01,
        "algo.epsilon": 0.2,
        "algo.epsilon_end": 0.2,
        "policy.hidden": (16,),
        "seed": 101,
    }
    job = build("dqn", "CartPole-v1", **small | settings)
    for row, evenly in zip(job.algorithm, (True, False), strict=False):
        logp = torch.cat([traj.logp[traj.acted] for traj in seen])
        assert bool(torch.isclose(logp, torch.tensor(0.5).log()).all()) is evenly
        assert all(bool(torch.isfinite(x).all()) for x in row.values() if isinstance(x, torch.Tensor))
        seen.clear()


def test_without_replay_the_newest_steps_are_learnt_from_and_nothing_else(monkeypatch):
    seen, made = [], module.losses

    def recorded(*args):
        loss_of = made(*args)
        return lambda b, y: seen.append(b.index) or loss_of(b, y)

    monkeypatch.setattr(module, "losses", recorded)
    few = {"algo.replay": False, "algo.train_freq": 4, "algo.learning_starts": 1, "algo.updates": 5, "env.num": 2}
    few |= {"algo.fused": "off"}  # the update by hand has losses of its own
    job = build("dqn", PROBE + "four_state", **few)
    next(job.algorithm)
    assert [len(x) for x in seen] == [8] * 5
    assert len(torch.cat(seen).unique()) == 40


RESUMED = {
    "uniform": ("dqn", {}),
    "soft, several copies, boltzmann": (
        "dqn",
        {"algo.target": "soft", "env.num": 4, "algo.exploration": "boltzmann"},
    ),
    "prioritised, n-step, double": ("dqn", {"algo.priority": "proportional", "algo.n": 3, "algo.double": True}),
    "no replay, no target": ("dqn", {"algo.replay": False, "algo.target": "none"}),
    "recurrent": (
        "dqn",
        {"policy.memory": "lstm", "policy.memory_size": 8, "algo.length": 12, "algo.burn_in": 4, "algo.n": 2},
    ),
    "qr": ("qr-dqn", {"policy.normalize_obs": True}),
    "rainbow": ("rainbow", {}),
    "noisy pqn": ("pqn", {"env.num": 4, "algo.horizon": 16, "policy.noisy": 0.5}),
}


@pytest.mark.parametrize("variant", RESUMED)
def test_a_run_goes_on_bit_for_bit(variant, tmp_path):
    algorithm, settings = RESUMED[variant]
    small = {"seed": 101, "policy.hidden": (16,)}
    # schedules end with the run, and these have other ends: let none move
    small |= {"algo.epsilon": 0.3, "algo.epsilon_end": 0.3, "algo.temperature_end": 1.0}
    small |= {"algo.lr_schedule": "constant"} if algorithm == "pqn" else {"algo.priority_beta": 1.0}
    if algorithm != "pqn":
        small |= {"algo.learning_starts": 64, "algo.updates": 16, "algo.batch": 16, "algo.target_every": 100}
        small |= {"algo.train_freq": 4 // settings.get("env.num", 1), "algo.gradient_steps": 1}
    assert_resumes(tmp_path, algorithm, "CartPole-v1", every=256, **small | settings)


def test_what_contradicts_itself_is_refused_in_words():
    for settings, words in (
        ({"algo.munchausen": True, "algo.double": True}, "backs values up softly"),
        ({"algo.munchausen": True, "policy.head": "qr"}, "backs values up softly"),
        ({"policy.head": "c51", "policy.value_min": 3.0, "policy.value_max": 1.0}, "at least two atoms"),
        ({"policy.head": "c51", "policy.atoms": 1}, "at least two atoms"),
        ({"policy.memory": "gru", "algo.priority": "proportional"}, "with policy.memory"),
        ({"policy.memory": "gru", "algo.replay": False}, "with policy.memory"),
        ({"policy.memory": "gru", "algo.capacity": 20}, "algo.capacity of 66"),
        ({"policy.memory": "gru", "algo.learning_starts": 20}, "algo.learning_starts of 33"),
        ({"policy.memory": "gru", "algo.burn_in": 32}, "a piece has algo.length 32"),
        ({"algo.replay": False, "algo.priority": "proportional"}, "algo.priority"),
        ({"explore.param_noise": 0.1}, "policy.noisy"),
    ):
        with pytest.raises(ConfigError, match=words):
            build("dqn", "CartPole-v1", **settings)


def test_a_run_is_measured_and_its_policy_is_the_greedy_one(tmp_path):
    quiet = {"quiet": True, "save.videos": False, "save.report": False, "eval.episodes": 2}
    run_ = operant.train("rainbow", "CartPole-v1", runs=tmp_path, total_steps=300, **quiet, **{"policy.hidden": (16,)})
    policy = operant.Run(run_.path).policy
    obs = np.zeros(4, np.float32)
    assert policy.act(obs) in (0, 1)
    assert np.isfinite(policy.value(obs))
