"""Discriminators: what they see, what they pay, what AIRL recovers, and runs that go on bit for bit."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.distributions import Categorical, Normal
from operant.control.imitation.adversary import NAME, Adversary, Moves, Network, drawn_from
from operant.control.imitation.airl import Shaped
from operant.control.learned_reward import ActionFeatures, Steps
from operant.control.settings.adversarial import AIRLConfig, GAILConfig
from operant.control.settings.ppo import PPOConfig
from operant.control.spec import AgentSpec
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env.minari import write_data
from operant.env.spaces import Actions, Observations
from operant.math.adversarial import FORMS, discriminator_loss
from operant.mdp import MDP, maxent_irl, occupancy, soft_value_iteration
from reference.episodes import played
from reference.resumed import QUIET, assert_resumes

S, A, DISCOUNT = 9, 5, 0.9


def grid():
    """Three by three cells, four moves and staying; nothing slips."""
    P = np.zeros((S, A, S))
    for s in range(S):
        y, x = divmod(s, 3)
        for a, (dy, dx) in enumerate([(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)]):
            P[s, a, min(max(y + dy, 0), 2) * 3 + min(max(x + dx, 0), 2)] = 1.0
    return MDP(P, np.zeros((S, A)), DISCOUNT, start=np.full(S, 1 / S))


def rewarded(mdp, reward):
    """The same model with a reward of rows [L]."""
    rows = {f: getattr(mdp.rows, f) for f in mdp.rows.__slots__} | {"reward": reward}
    return mdp.replace(rows=type(mdp.rows)(**rows))


def soft(mdp, reward):
    """The soft optimal policy of a reward [L]."""
    return soft_value_iteration(rewarded(mdp, reward), temperature=1.0, epsilon=1e-10).extra["policy"]


CELLS, MOVES = spaces.Discrete(S), spaces.Discrete(A)


def network(kind, cfg, observation=CELLS, action=MOVES):
    env = SimpleNamespace(observations=Observations(observation), action_space=action)
    return kind(
        env, Categorical(int(action.n)), cfg, "", PPOConfig(discount=DISCOUNT), torch.Generator().manual_seed(0)
    )


def table_of_moves(mdp, policy):
    """Every row of a model as a move, with log π."""
    to = mdp.matrix.toarray().argmax(1)
    eye, onehot = torch.eye(S, dtype=torch.float64), torch.eye(A, dtype=torch.float64)
    off = torch.zeros(mdp.num_rows, dtype=torch.bool)
    action = torch.from_numpy(np.asarray(mdp.rows.action, np.int64))
    return Moves(eye[mdp.row_state], onehot[action], eye[to], off, off, torch.from_numpy(np.log(policy)))


def fitted(its, moves, expert, learner):
    """The best discriminator of exact occupancies [L], by L-BFGS."""
    shares = [torch.from_numpy(x / x.sum()) for x in (expert, learner)]
    optimizer = torch.optim.LBFGS(
        its.parameters(), max_iter=1500, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        z, which = its(moves), iter(shares)
        value, _ = discriminator_loss(z, z, reduce=lambda x, mask: (next(which) * x).sum())
        value.backward()
        return value

    optimizer.step(loss)


CONFIG = AIRLConfig(sees="state", hidden=(), absorbing=False, normalize_obs=False, gradient_penalty=0.0)


def test_airl_recovers_the_reward_up_to_a_constant():
    """Exact occupancies of the soft optimal expert, deterministic moves, a reward of states: g is the reward but for a
    constant, h the soft value but for one, and f the advantage log π, as theorem C.1 says; the policy of g is the one
    that maximum-entropy inverse reinforcement learning finds."""
    mdp, truth = grid(), np.random.default_rng(0).normal(size=S)
    policy = soft(mdp, truth[mdp.row_state])
    visits = occupancy(mdp, policy)
    its = network(Shaped, CONFIG).double()
    fitted(its, moves := table_of_moves(mdp, policy), visits, visits)
    with torch.no_grad():
        f, eye = its.advantage(moves).numpy(), torch.eye(S, dtype=torch.float64)
        g, h = its.reward(eye).numpy(), its.potential(eye).numpy()
    np.testing.assert_allclose(f, np.log(policy), atol=1e-4)
    np.testing.assert_allclose(g - truth, np.mean(g - truth), atol=1e-3)
    value = soft_value_iteration(rewarded(mdp, truth[mdp.row_state]), temperature=1.0, epsilon=1e-10).values
    np.testing.assert_allclose(h - value, np.mean(h - value), atol=1e-3)
    found = maxent_irl(mdp, np.eye(S), visits @ np.eye(S)[mdp.row_state])
    np.testing.assert_allclose(soft(mdp, g[mdp.row_state]), found.policy, atol=1e-3)


def test_actions_are_seen_as_the_environment_takes_them():
    box = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, np.inf], np.float32))
    of = ActionFeatures(Actions(box), Normal(2))
    far = torch.tensor([[9.0, -1.0], [-1.0, 5.0]])
    assert of(far).tolist() == [[1.0, 0.0], [-0.5, 5.0]]  # clipped; scaled where there are bounds
    both = spaces.Dict({"a": spaces.Discrete(3, start=7), "b": spaces.MultiBinary(2)})
    of = ActionFeatures(Actions(both), SimpleNamespace(finish=lambda x: x))
    assert of(torch.tensor([[2.0, 1.0, 0.0]])).tolist() == [[0.0, 0.0, 1.0, 1.0, 0.0]]
    of = ActionFeatures(Actions(spaces.MultiDiscrete([2, 3])), SimpleNamespace(finish=lambda x: x))
    assert of(torch.tensor([[1, 0]])).tolist() == [[0.0, 1.0, 1.0, 0.0, 0.0]]
    assert of.size == 5


def test_a_squashed_action_is_traced_back():
    its = Normal(2, low=torch.tensor([-2.0, 0.0]), high=torch.tensor([2.0, 1.0]))
    u = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn_from(its, its.finish(u)), u, atol=1e-3, rtol=1e-3)
    assert torch.isfinite(drawn_from(its, torch.tensor([[-2.0, 1.0]]))).all()


def test_behind_all_ends_nothing_is_seen_but_that():
    its = Steps(Observations(spaces.Box(-1, 1, (3,))), 2, "", (8,), torch.Generator().manual_seed(0), ends=True)
    obs, action = torch.randn(4, 3), torch.randn(4, 2)
    over = torch.tensor([True, True, False, False])
    value = its(obs, action, over)
    assert value[0] == value[1]
    assert value[2] != value[3]


def demonstrations(ends=True, n=2, t=6):
    """Two episodes side by side of three numbers and two choices; the first terminates, or both are cut."""
    rng = np.random.default_rng(0)
    terminated, truncated = torch.zeros(2, n, t, dtype=torch.bool)
    terminated[0, -1], truncated[1:, -1] = ends, True
    truncated[0, -1] = not ends
    return Trajectory(
        obs=torch.from_numpy(rng.normal(size=(n, t + 1, 3)).astype(np.float32)),
        action=torch.from_numpy(rng.integers(0, 2, (n, t))), logp=torch.full((n, t), -0.7), reward=torch.zeros(n, t),
        terminated=terminated, truncated=truncated, acted=torch.ones(n, t, dtype=torch.bool), group=torch.arange(n),
    )  # fmt: skip


def adversary(form="gail", kind=Network, shown=None, **settings):
    cfg = GAILConfig(hidden=(8,), batch=8, **settings)
    space, action = spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(2)
    its = network(kind, cfg, space, action)
    agent = Agent(AgentSpec(obs_dim=3, action_kind="discrete", action_sizes=(2,)))
    return Adversary(cfg, its, FORMS[form], demonstrations() if shown is None else shown, agent, Streams(0))


def silenced(its):
    """A discriminator that cannot tell: D = ½ of everything."""
    for p in its.network.parameters():
        torch.nn.init.zeros_(p)
    return its


@pytest.mark.parametrize("form", FORMS)
def test_where_nothing_is_told_all_episodes_are_worth_the_same(form):
    """Terminated after 1, 3 or 6 steps: with a state behind the end their discounted returns are equal, and without it
    they follow the sign of the reward. A time limit is not an end."""

    def worth(absorbing):
        its, found = silenced(adversary(form, absorbing=absorbing)), []
        for steps in (1, 3, 6):
            traj = demonstrations(t=steps)
            moves = Moves(
                traj.obs[0, :-1], torch.zeros(steps, 2), traj.obs[0, 1:], traj.terminated[0], torch.zeros(steps).bool(),
                torch.zeros(steps),
            )  # fmt: skip
            found.append(float((DISCOUNT ** torch.arange(steps)) @ its.rewards(moves)))
        return found

    pays = float(FORMS[form](torch.zeros(())))
    assert worth(True) == pytest.approx([pays / (1 - DISCOUNT)] * 3, abs=1e-5)
    sign = {"gail": 1, "gail2": -1, "airl": 0}[form]
    assert np.sign(np.diff(worth(False))).tolist() == [sign, sign]


def test_both_sides_have_a_state_behind_each_end_that_terminates():
    its = adversary(absorbing=True)
    assert int(its.expert.over.sum()) == 1
    assert len(its.expert.obs) == 13
    assert not adversary(absorbing=True, shown=demonstrations(ends=False)).expert.over.any()
    assert not adversary(absorbing=False).expert.over.any()


@pytest.mark.parametrize("kind", [Network, Shaped])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_it_learns_to_tell(kind, penalty):
    """A learner that does what the expert does not is found out, and paid less than the expert would be."""
    its = adversary("airl", kind, gradient_penalty=penalty, lr=1e-2, epochs=100)
    other = demonstrations()
    learner = Trajectory(**{f: getattr(other, f) for f in other.__slots__} | {"obs": other.obs + 2.0})
    paid = its(learner)
    metrics = its.settle()
    assert float(metrics["discriminator/learner_accuracy"]) > 0.8
    assert float(paid.reward.mean()) < float(its.rewards(its.expert).mean())
    assert torch.equal(paid.obs, learner.obs)


def test_where_learner_and_expert_are_the_same_it_says_nothing():
    """The fixed point: D comes to ½, and the forms pay log 2, −log 2 and 0."""
    for form, at_rest in {"gail": np.log(2), "gail2": -np.log(2), "airl": 0.0}.items():
        its = adversary(form, absorbing=False, gradient_penalty=0.0, lr=3e-3, epochs=60)
        paid = its(demonstrations())
        assert float((paid.reward - at_rest).abs().mean()) < 0.15


def test_with_a_slope_to_keep_it_says_something_where_there_is_nothing():
    """Why there is no penalty unless one is asked for: it has no rest, and pays for nothing."""
    spread = {}
    for weight in (0.0, 1.0):
        its = adversary("airl", absorbing=False, gradient_penalty=weight, lr=1e-3, epochs=300)
        spread[weight] = float(its(demonstrations()).reward.std())
    assert spread[1.0] > 2 * spread[0.0]
    assert AIRLConfig().gradient_penalty == GAILConfig().gradient_penalty == 0.0


def test_a_state_behind_all_ends_needs_a_discount():
    cfg = GAILConfig(hidden=(8,))
    its = network(Network, cfg)
    its.discount = 1.0
    agent = Agent(AgentSpec(obs_dim=S, action_kind="discrete", action_sizes=(A,)))
    with pytest.raises(ConfigError, match=r"algo\.discount below 1"):
        Adversary(cfg, its, FORMS["gail"], demonstrations(), agent, Streams(0))


class Corridor(gymnasium.Env):
    """Seven cells; the expert goes right, which is paid, and ends at the wall."""

    observation_space, action_space = spaces.Discrete(7), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 3, 0
        return self.at, {}

    def step(self, action):
        self.at, self.steps = max(self.at + 2 * int(action) - 1, 0), self.steps + 1
        return self.at, -1.0, self.at == 6, self.steps >= 20, {}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Data sets by name: of one who goes right in the corridor, and of a random player of CartPole and of Pendulum."""
    folder = tmp_path_factory.mktemp("data")
    write_data(played(Corridor(), 4, 20, act=lambda obs: 1), folder / "corridor")
    for name in ("CartPole-v1", "Pendulum-v1"):
        write_data(played(name, 2, 20), folder / name)
    return folder


LEARNS = {
    "env.num": 4, "algo.horizon": 64, "algo.batch": 64, "algo.epochs": 4, "algo.lr": 1e-2, "discriminator.lr": 1e-2,
    "eval.episodes": 10,
}  # fmt: skip


@pytest.mark.parametrize("algorithm", ["gail", "airl"])
def test_it_learns_to_go_where_the_expert_went(algorithm, shown, tmp_path):
    """Ends are good here: whoever is paid for living would stay. No reward of the environment is read."""
    settings = QUIET | LEARNS | {"data.path": str(shown / "corridor"), "total_steps": 5_000}
    run = operant.train(algorithm, Corridor, runs=tmp_path, **settings)
    assert run.folder.info()["evaluation"]["mean"] == -3.0


def test_a_reward_for_living_keeps_the_learner_from_the_end(shown, tmp_path):
    """The known trap: −log(1 − D), above 0, and an end that is worth 0."""
    settings = QUIET | LEARNS | {"data.path": str(shown / "corridor"), "total_steps": 5_000}
    settings |= {"discriminator.absorbing": False}
    lives = operant.train("gail", Corridor, runs=tmp_path, **settings)
    told = operant.train("gail", Corridor, runs=tmp_path, **settings | {"discriminator.absorbing": True})
    assert lives.metrics["train/length"].iloc[-1] > 3 * told.metrics["train/length"].iloc[-1]


MEMORY = {"policy.memory": "gru", "policy.memory_size": 8}


@pytest.mark.parametrize(
    ("algorithm", "env", "settings"),
    [
        ("gail", "CartPole-v1", {"discriminator.reward": "gail2"}),
        ("airl", "CartPole-v1", MEMORY),
        (
            "airl",
            "Pendulum-v1",
            {"policy.squash": True, "policy.normalize_reward": True, "discriminator.sees": "state"},
        ),
    ],
)
def test_a_run_against_a_discriminator_goes_on_bit_for_bit(algorithm, env, settings, shown, tmp_path):
    small = {
        "env.num": 2,
        "algo.horizon": 32,
        "algo.batch": 32,
        "algo.epochs": 1,
        "algo.lr_schedule": "constant",
        "algo.clip_schedule": "constant",
        "algo.fused": "off",
    }
    small |= {"discriminator.hidden": (8,), "data.path": str(shown / env)}
    whole = assert_resumes(tmp_path, algorithm, env, every=256, **small, **settings)
    assert (whole.path / "checkpoints" / "latest" / f"{NAME}.safetensors").is_file()


def test_airl_refuses_actions_that_are_clipped(shown, tmp_path):
    """Its deviation grew without end, paid by −log π, as nobody sees what lies beyond the bounds."""
    with pytest.raises(ConfigError, match=r"policy\.squash"):
        operant.train("airl", "Pendulum-v1", runs=tmp_path, quiet=True, **{"data.path": str(shown / "Pendulum-v1")})


def test_without_demonstrations_it_says_how_to_get_some(tmp_path):
    with pytest.raises(ConfigError, match="no data set to learn from"):
        operant.train("gail", "CartPole-v1", runs=tmp_path, quiet=True)
