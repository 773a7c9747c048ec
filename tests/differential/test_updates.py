"""One training on one batch in float32, by Stable-Baselines3's own code and by ours: the same weights after it.

`make differential` makes the environment of theirs and runs this; where there is none, all of it is skipped. CleanRL is
not on an index as a package that can be imported (its algorithms are scripts): what it does otherwise than this peer is
held by its formulas in `tests/control/`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.action_values import spec_of
from operant.control.crossq import crossq_update
from operant.control.ddpg import ddpg_update
from operant.control.dqn import learner
from operant.control.replay_actor_critic import Drawn, Temperature, adam, replay_actor_critic
from operant.control.replay_fused import fused_deterministic, fused_soft
from operant.control.sac import sac_update
from operant.control.setup_off_policy import off_policy
from operant.control.target import Target
from operant.control.td3 import td3_update
from operant.control.updates import by_hand
from operant.data.replay import Transitions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "bench"))

from _peers import PEERS  # noqa: E402

PYTHON = PEERS / "sb3" / "bin" / "python"
BATCHES, SIZE, CHOICES = 3, 32, 3

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"there is no peer at {PYTHON}: `make differential` makes one; else name OPERANT_PEERS"
)


class Masked(gymnasium.Env[Any, Any]):
    """Six actions of which three are allowed, drawn anew each step."""

    observation_space, action_space = spaces.Box(-9.0, 9.0, (4,), np.float32), spaces.Discrete(6)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return self._drawn()

    def step(self, action: Any) -> Any:
        self._time += 1
        seen, info = self._drawn()
        return seen, float(action) + float(seen[0]), bool(self.np_random.random() < 0.05), self._time == 9, info

    def _drawn(self) -> Any:
        mask = np.zeros(6, np.int8)
        mask[self.np_random.permutation(6)[:3]] = 1
        return self.np_random.normal(size=4).astype(np.float32), {"action_mask": mask}


class Reached(gymnasium.Env[Any, Any]):
    """Spaces alone: what is learnt from is drawn."""

    observation_space = spaces.Box(-np.inf, np.inf, (5,), np.float32)

    def __init__(self, choices: int = 0) -> None:
        self.action_space = spaces.Discrete(choices) if choices else spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(5, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(5, np.float32), 0.0, False, False, {}


@dataclass(kw_only=True)
class Case:
    """A training: by what, of what, what theirs is given, and how near the weights come."""

    method: str
    theirs: dict[str, Any]
    env: Any = None
    ours: dict[str, Any] = field(default_factory=dict)
    algorithm: str = ""  # of ours, where it is called otherwise
    adam_eps: float = 1e-5  # of theirs
    near: float = 1e-6  # of the largest difference of weights

    @property
    def name(self) -> str:
        return self.algorithm or self.method


PPO = {"learning_rate": 1e-3, "n_epochs": 4, "batch_size": 10_000, "gamma": 0.97, "gae_lambda": 0.9, "clip_range": 0.1}
PPO |= {"ent_coef": 0.01, "vf_coef": 0.5, "max_grad_norm": 0.5}
OUR_PPO = {"algo.lr": 1e-3, "algo.lr_schedule": "constant", "algo.epochs": 4, "algo.batch": 10_000}
OUR_PPO |= {"algo.discount": 0.97, "algo.lam": 0.9, "algo.clip": 0.1, "algo.entropy_coef": 0.01}
A2C = {"learning_rate": 2e-3, "gamma": 0.97, "gae_lambda": 0.9, "ent_coef": 0.01, "vf_coef": 0.5, "max_grad_norm": 0.5}
OUR_A2C = {"algo.lr": 2e-3, "algo.lr_schedule": "constant", "algo.discount": 0.97, "algo.lam": 0.9}
OUR_A2C |= {"algo.entropy_coef": 0.01, "algo.value_coef": 1.0, "algo.updates": 1, "algo.max_grad_norm": 0.5}
OUR_A2C |= {"algo.optimizer": "rmsprop", "algo.optimizer_eps": 1e-5, "algo.weighting": "gae", "algo.whiten": False}
TRPO = {"learning_rate": 1e-3, "gamma": 0.97, "gae_lambda": 0.9, "cg_max_steps": 5, "n_critic_updates": 4}
TRPO |= {"batch_size": 10_000, "target_kl": 0.01, "cg_damping": 0.1}
OUR_TRPO = {"algo.critic_lr": 1e-3, "algo.discount": 0.97, "algo.lam": 0.9, "algo.iterations": 5}
OUR_TRPO |= {"algo.radius": 0.01, "algo.damping": 0.1, "algo.whiten": True, "algo.shrink": 0.8, "algo.tries": 10}
OUR_TRPO |= {"algo.critic_epochs": 4, "algo.batch": 10_000, "algo.adam_eps": 5e-6}  # ours has ½ (V − R)²
REPLAY = {"learning_rate": 1e-3, "gamma": 0.9, "tau": 0.05}
OUR_REPLAY = {"algo.lr": 1e-3, "algo.discount": 0.9, "algo.tau": 0.05, "policy.hidden": (32, 32)}
TD3 = REPLAY | {"policy_delay": 2, "target_policy_noise": 0.2, "target_noise_clip": 0.5}
VALUES = {"learning_rate": 1e-3, "gamma": 0.9, "max_grad_norm": 0.5}
OUR_VALUES = {"algo.lr": 1e-3, "algo.discount": 0.9, "algo.max_grad_norm": 0.5, "policy.hidden": (32, 32)}

CASES = {
    "a2c": Case(method="a2c", env="CartPole-v1", theirs=A2C, ours=OUR_A2C),
    "a2c of a box": Case(method="a2c", env="Pendulum-v1", theirs=A2C, ours=OUR_A2C),
    "ppo": Case(method="ppo", env="CartPole-v1", theirs=PPO, ours=OUR_PPO),
    "ppo of a box": Case(method="ppo", env="Pendulum-v1", theirs=PPO, ours=OUR_PPO),
    "ppo of clipped values": Case(
        method="ppo", env="CartPole-v1", theirs=PPO | {"clip_range_vf": 0.2}, ours=OUR_PPO | {"algo.value_clip": 0.2}
    ),
    "trpo": Case(method="trpo", env="CartPole-v1", theirs=TRPO, ours=OUR_TRPO),
    "trpo of a box": Case(method="trpo", env="Pendulum-v1", theirs=TRPO, ours=OUR_TRPO, near=2e-4),  # five products
    "masked ppo": Case(
        method="masked", algorithm="ppo", env=Masked, theirs=PPO, ours=OUR_PPO | {"env.action_mask": "info"}
    ),
    "recurrent ppo": Case(
        method="recurrent", algorithm="ppo", env="CartPole-v1", theirs=PPO,
        ours=OUR_PPO | {"policy.memory": "lstm", "policy.memory_size": 16, "policy.hidden": (32, 32)},
    ),
    "dqn": Case(method="dqn", theirs=VALUES, ours=OUR_VALUES, adam_eps=1e-8),
    "qr-dqn": Case(method="qr-dqn", theirs=VALUES, ours=OUR_VALUES | {"policy.atoms": 7}, adam_eps=0.01 / SIZE),
    "ddpg": Case(method="ddpg", theirs=REPLAY, ours=OUR_REPLAY, adam_eps=1e-8),
    "td3": Case(method="td3", theirs=TD3, ours=OUR_REPLAY, adam_eps=1e-8),
    "crossq": Case(
        method="crossq", theirs={"learning_rate": 1e-3, "gamma": 0.9}, adam_eps=1e-8, near=1e-5,
        ours={name: x for name, x in OUR_REPLAY.items() if name != "algo.tau"},
    ),
    "sac": Case(method="sac", theirs=REPLAY, ours=OUR_REPLAY, adam_eps=1e-8, near=1e-5),  # theirs has 1e-6 in a log
}  # fmt: skip
ONE_WAY = ("trpo", "trpo of a box", "recurrent ppo", "crossq")
"""Cases that nothing is written by hand for."""
TRAININGS = [(name, fused) for name in CASES for fused in (("off",) if name in ONE_WAY else ("off", "on"))]


WRONG = {
    "ppo": {"algo.fidelity": "baselines"},  # a time limit taken for an end
    "ppo of a box": {"algo.whiten": False},
    "recurrent ppo": {"algo.lam": 0.95},
    "trpo": {"algo.damping": 0.2},
    "dqn": {"algo.double": True},
    "td3": {"algo.smoothing": 0.0},
    "sac": {"algo.tau": 0.1},
    "crossq": {"algo.adam_beta": 0.9},
}
"""Settings of ours by which a training is another one."""


# ---------------------------------------------------------------------------------------------------- ours
Given = dict[str, Any]
Weights = list[Tensor]


def config(case: Case, fused: str) -> Any:
    """The settings of ours."""
    on_policy = case.env is not None
    its = {"env.num": 1, "policy.normalize_obs": False, "policy.normalize_reward": False}
    its |= ({"policy.activation": "tanh", "policy.hidden": (64, 64)} if on_policy else {}) | case.ours
    its |= {"algo.fused": fused} if case.name not in ("trpo", "crossq") else {}
    if isinstance(case.env, str):
        its |= {"env.kwargs.max_episode_steps": 15}
    its |= {"algo.horizon": 64} if on_policy else {"total_steps": 1000}
    env = case.env if isinstance(case.env, str) else case.name
    return resolve(case.name, env, overrides=its, source="argument").config


def on_policy(case: Case, fused: str) -> tuple[Given, Weights]:
    """What was collected, and the weights after the update on it."""
    cfg = config(case, fused)
    job = builder_of(case.name)(cfg, case.env)
    agent, kept = cast(Any, job.learned).agent, []
    nets = [*agent.policy.net.parameters(), agent.policy.log_std, *agent.critic.net.parameters()]
    nets = [p for p in nets if p is not None]
    before, collect = [p.detach().clone() for p in nets], type(job.counter).__call__
    with patch.object(type(job.counter), "__call__", lambda self, h: kept.append(collect(self, h)) or kept[-1]):
        next(job.algorithm)
    traj = kept[0]
    acted = traj.acted[0]
    rows = traj.obs if isinstance(traj.obs, Tensor) else traj.obs["obs"]
    seen, after = agent.layout.vector(rows[0, :-1])[acted], agent.layout.vector(rows[0, 1:])[acted]
    allowed = agent.layout.allowed(rows[0, :-1])
    given: Given = {
        "obs": seen, "next_obs": after, "action": traj.action[0][acted], "reward": traj.reward[0][acted],
        "terminated": traj.terminated[0][acted], "truncated": traj.truncated[0][acted], "weights": before,
    }  # fmt: skip
    given |= {} if allowed is None else {"mask": allowed[acted]}
    settings = {"hidden": cfg.policy.hidden, "activation": "tanh", "optimizer": {"eps": case.adam_eps}}
    settings |= {"choices": int(agent.policy.distribution.outputs) if given["action"].ndim == 1 else 0, "bound": 2.0}
    settings |= {"lstm": cfg.policy.memory_size} if agent.remembers else {}
    assert traj.truncated.any()
    return given | {"settings": settings}, nets


def batches(choices: int) -> Given:
    """Drawn transitions, [K, B, …] each."""
    gen = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(BATCHES, SIZE, *shape, generator=gen)

    action = torch.randint(choices, (BATCHES, SIZE), generator=gen) if choices else normal(2).tanh()
    steps = torch.randint(1, 4, (BATCHES, SIZE), generator=gen)
    rng = np.random.default_rng(3)
    noise = np.stack([rng.standard_normal((SIZE, 2), np.float32) for _ in range(2 * BATCHES)])
    return {
        "obs": normal(5), "next_obs": normal(5), "action": action, "reward": 2.0 * normal(), "discount": 0.9**steps,
        "terminated": torch.rand(BATCHES, SIZE, generator=gen) < 0.25, "noise": torch.from_numpy(noise),
    }  # fmt: skip


def moved(*modules: Any) -> None:
    """Let a target be another network than the one that learns."""
    gen = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in (p for module in modules for p in module.parameters()):
            p.add_(0.05 * torch.randn(p.shape, generator=gen))


def action_values(case: Case, fused: str) -> tuple[Given, Weights]:
    """DQN and QR-DQN: a few gradient steps."""
    cfg, given = config(case, fused), batches(CHOICES)
    parts = off_policy(cfg, partial(Reached, CHOICES), **spec_of(cfg.policy))
    policy, target = parts.agent.policy, Target(parts.agent.policy)
    moved(target.module)
    nets = [*policy.net.parameters(), *target.module.net.parameters()]
    before = [p.detach().clone() for p in nets]
    optimizer = torch.optim.Adam(parts.agent.parameters(), cfg.algo.lr, eps=case.adam_eps)
    drawn = iter(range(BATCHES))

    def draw() -> Transitions:
        k = next(drawn)
        of = {name: x[k] for name, x in given.items() if name != "noise"}
        return Transitions(**of, index=torch.arange(SIZE), weight=torch.ones(SIZE))

    with patch.object(type(parts), "draw", lambda _: draw()):
        learn = learner(cfg.algo, parts, target, optimizer)
        for _ in range(BATCHES):
            learn()
    settings = {"hidden": cfg.policy.hidden, "activation": "relu", "optimizer": {"eps": case.adam_eps}}
    settings |= {"choices": CHOICES} | ({"network": {"n_quantiles": 7}} if case.method == "qr-dqn" else {})
    return given | {"weights": before, "settings": settings}, nets


def actor_critics(case: Case, fused: str) -> tuple[Given, Weights]:
    """DDPG, TD3, SAC and CrossQ: a few updates."""
    cfg, given, generator = config(case, fused), batches(0), np.random.default_rng(3)
    soft, critics = case.method in ("sac", "crossq"), getattr(cfg.algo, "critics", 1)
    normed, betas = {"batch_renorm": True} if case.method == "crossq" else {}, {}
    parts, _ = replay_actor_critic(cfg, Reached, std="network" if soft else "none", critics=critics, **normed)
    agent, optimizer, q_target = parts.agent, adam(cfg.algo, parts.agent), Target(parts.agent.q)
    moved(q_target.module)
    learns = [*agent.policy.net.parameters(), *agent.q.net.parameters()]
    if normed:
        betas, temperature = {"betas": (cfg.algo.adam_beta, 0.999)}, Temperature(cfg.algo, agent)
        for group in optimizer.param_groups:
            group |= betas
        update = partial(crossq_update, cfg.algo, agent, temperature, optimizer, generator)
        layers = [pair for net in agent.q.net for pair in zip(net.norms, net.layers, strict=True)]
        critic = [p for pair in layers for module in pair for p in module.parameters()]
        nets = [*agent.policy.net.parameters(), *critic, temperature.log]
    elif soft:
        temperature = Temperature(cfg.algo, agent)
        its = (cfg.algo, agent, q_target, temperature, optimizer, generator)
        update = by_hand(fused, lambda: fused_soft(*its)) or partial(sac_update, *its)
        nets = [*learns, *q_target.module.net.parameters(), temperature.log]
    else:
        policy_target = Target(agent.policy)
        moved(policy_target.module)
        its = (cfg.algo, agent, policy_target, q_target, optimizer)
        drawn = () if case.method == "ddpg" else (generator,)
        readable = partial({"ddpg": ddpg_update, "td3": td3_update}[case.method], *its, *drawn)
        update = by_hand(fused, lambda: fused_deterministic(*its, generator)) or readable
        nets = [*learns, *policy_target.module.net.parameters(), *q_target.module.net.parameters()]
    before = [p.detach().clone() for p in nets]
    for k in range(BATCHES):
        of = {name: x[k] for name, x in given.items() if name != "noise"}
        update(Drawn(**of, acted=torch.ones(SIZE).bool(), weight=torch.ones(SIZE), index=torch.arange(SIZE)))
    if case.method == "sac":  # they draw for the states first, then for those that follow
        given["noise"] = given["noise"].reshape(BATCHES, 2, SIZE, 2).flip(1).reshape(2 * BATCHES, SIZE, 2)
    settings = {"hidden": cfg.policy.hidden, "activation": "relu", "optimizer": {"eps": case.adam_eps} | betas}
    settings |= {"choices": 0}
    return given | {"weights": before, "settings": settings}, nets


# ---------------------------------------------------------------------------------------------------- both
def transposed(case: Case, weights: Weights) -> Weights:
    """Quantiles stand before actions in theirs: the rows of the last layers in that order."""
    if case.method != "qr-dqn":
        return weights
    last = (4, 5, 10, 11)
    swapped = {k: weights[k].unflatten(0, (CHOICES, 7)).transpose(0, 1).flatten(0, 1) for k in last}
    return [swapped.get(k, x) for k, x in enumerate(weights)]


def file_of(name: str, fused: str) -> str:
    return f"{name} {fused}".replace(" ", "-")


def run(case: Case, fused: str) -> tuple[Given, Weights]:
    """Our training: what it was given, and the weights as they are then."""
    if case.env is not None:
        return on_policy(case, fused)
    return (action_values if "dqn" in case.method else actor_critics)(case, fused)


def apart(ours: Weights, theirs: Weights) -> float:
    """The largest difference of two weights."""
    return max(float((p - q.reshape(p.shape)).abs().max()) for p, q in zip(ours, theirs, strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Weights, Weights, Weights]]:
    """By case: the weights before, after our training, and after theirs, which one process does for all."""
    folder, found = tmp_path_factory.mktemp("differential"), {}
    for name, fused in TRAININGS:
        case = CASES[name]
        given, nets = run(case, fused)
        before, after = (transposed(case, [p.detach().clone() for p in x]) for x in (given.pop("weights"), nets))
        settings = given.pop("settings") | {"method": case.method, "given": case.theirs}
        weights = {f"weight{k}": x.reshape(x.shape or (1,)).numpy() for k, x in enumerate(before)}
        arrays = {key: np.asarray(x) for key, x in given.items()}
        np.savez(folder / f"{file_of(name, fused)}.npz", settings=json.dumps(settings), **weights, **arrays)
        found[file_of(name, fused)] = before, after
    done = subprocess.run(
        [PYTHON, HERE / "stable_baselines.py", folder], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = {}
    for name, both in found.items():
        with np.load(folder / f"{name}.out.npz") as stored:
            theirs[name] = *both, [torch.from_numpy(stored[key]) for key in stored.files]
    return theirs


@pytest.mark.parametrize(("name", "fused"), TRAININGS, ids=lambda x: x.replace(" ", "-"))
def test_one_training_is_theirs(name: str, fused: str, trained: Any) -> None:
    before, ours, theirs = trained[file_of(name, fused)]
    assert apart(ours, theirs) < CASES[name].near
    assert apart(ours, before) > 100 * CASES[name].near  # it was no step of nothing


@pytest.mark.parametrize("name", WRONG, ids=lambda x: x.replace(" ", "-"))
def test_another_training_is_seen(name: str, trained: Any) -> None:
    case = CASES[name]
    _, nets = run(replace(case, ours=case.ours | WRONG[name]), "off")
    _, _, theirs = trained[file_of(name, "off")]
    assert apart([p.detach() for p in nets], theirs) > 10 * case.near
