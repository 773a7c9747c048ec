"""Updates written by hand, for small networks on a CPU: the numbers of the readable ones, sooner (PPO, A2C, cloning).

They work on the memory of the torch modules and of the optimiser, so either path can go on where the other stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.acting import compiles
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.mlp import MLP
from operant.control.perceptrons import FlatState, is_plain, side_by_side
from operant.control.policies import Critic, Policy
from operant.control.settings.gradients import SegmentConfig
from operant.control.settings.imitation import CloningConfig
from operant.control.settings.ppo import PPOConfig
from operant.control.updates import uncompiled, weighed
from operant.data.trajectory import Batch, Metrics, Obs, Trajectory, shuffled

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Weigh = Callable[[SegmentConfig, Trajectory, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of a segment, its rewards [N, T] and values [N, T+1]: advantages and the critic's targets [N, T]."""

LARGEST = 2**16
"""Larger layers spend their time in products, where there is nothing to gain."""
MOMENTS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: (),
    torch.optim.RMSprop: ("square_avg",),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
}
"""What optimisers keep of each parameter; how many is the number by which the kernels know their rule."""
NAMES = ("loss/policy", "policy/entropy", "policy/kl", "policy/clip_fraction", "loss/value", "grad/norm")
UNKNOWN = ("weight_decay", "momentum", "amsgrad", "centered", "maximize")


class Fused:
    """Networks and their optimiser as the kernels take them; `obstacle` says where they can be.

    The parameters move into one flat tensor; they stay the same objects with the same numbers.

    Attributes:
        parameters: those of policy and critic (if any), in the optimiser's order; `split` numbers are the policy's.
        sizes: [L+1] widths of the policy, then of the critic.
        relu, normal: else tanh and categorical.
        grad: scratch of the gradient.
        rule: how many moments the optimiser keeps.
    """

    def __init__(self, policy: Policy, critic: Critic | None, optimizer: torch.optim.Optimizer) -> None:
        self.policy, self.optimizer = policy, optimizer
        self.parameters = _parameters(policy, critic)
        self.split = sum(p.numel() for p in policy.parameters())
        self.sizes = _sizes(policy), np.empty(0, np.int64) if critic is None else _sizes(critic)
        self.relu = cast(MLP, policy.net).activation == "relu"
        self.normal = isinstance(policy.distribution, Normal)
        self.grad = np.empty(sum(p.numel() for p in self.parameters), np.float32)
        self.rule = len(MOMENTS[type(optimizer)])
        moments = MOMENTS[type(optimizer)]
        self._state = FlatState(optimizer, self.parameters, (*moments, "step") if moments else ())
        self._theta, self._at = np.empty(0, np.float32), 0

    def rates(self) -> np.ndarray:
        """[4] float64: lr, β1, β2 (of RMSprop α), ε, as the optimiser's settings stand."""
        group = self.optimizer.param_groups[0]
        betas = group["betas"] if "betas" in group else (0.0, group.get("alpha", 0.0))
        return np.array([group["lr"], *betas, group.get("eps", 0.0)])

    def states(self, rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Of observations [S, D] what the networks see, normalised, and allowed [S, K], without rows if all is.

        Raises:
            ConfigError: if they have another width.
        """
        layout, normalizer = self.policy.layout, self.policy.normalizer
        obs = layout.vector(rows)
        allowed = rows[:, layout.vector_size :] if layout.choices else rows.new_empty((0, 0))
        obs = obs if normalizer is None else normalizer(obs)
        if obs.shape[1] != (inputs := int(self.sizes[0][0])):
            raise ConfigError(f"a segment has observations {list(obs.shape)}: this policy takes {inputs} numbers.")
        return obs.contiguous().numpy(), allowed.contiguous().numpy()

    def values(self, obs: Obs) -> Tensor:
        """V [N, T] of observations [N, T, D], without gradient."""
        assert isinstance(obs, Tensor)
        states, _ = self.states(obs.reshape(-1, obs.shape[-1]))
        return torch.from_numpy(self._valued(states)).view(obs.shape[:-1])

    def _valued(self, states: np.ndarray) -> np.ndarray:
        """[S] of what the networks see [S, D]."""
        from operant.control.kernels import estimate

        return estimate(self.memory()[0][self.split :], self.sizes[1], self.relu, states)

    def actions(self, action: Tensor, rows: int) -> np.ndarray:
        """[S, A] float32 of so many rows; one number that is the index of a categorical.

        Raises:
            ConfigError: if they are not this policy's.
        """
        outputs = int(self.sizes[0][-1])
        flat = action.reshape(rows, -1).float().numpy()
        if flat.shape[1] != (outputs if self.normal else 1):
            raise ConfigError(f"a segment has actions {list(action.shape)}: this policy gives {outputs} numbers.")
        if not self.normal and flat.size and not (flat.min() >= 0 and flat.max() < outputs):
            raise ConfigError(f"a segment has an action that is none of 0 to {outputs - 1}.")
        return np.ascontiguousarray(flat)

    def memory(self) -> tuple[np.ndarray, ...]:
        """Parameters, the optimiser's two moments [P] or empty, and its step counts [parameters], each one flat array.

        Looked at before every pass: loading a state puts tensors of its own in the optimiser.
        """
        if self.parameters[0].data_ptr() != self._at:
            self._theta, self._at = side_by_side(self.parameters).numpy(), self.parameters[0].data_ptr()
        *moments, count = self._state.memory() or [torch.zeros(1)]
        none = [np.empty(0, np.float32)] * (2 - len(moments))
        return self._theta, *none, *(x.numpy() for x in moments), count.numpy()


def obstacle(
    policy: Policy, critic: Critic | None, optimizer: torch.optim.Optimizer, *known: type[torch.optim.Optimizer]
) -> str | None:
    """Why updates by hand do not apply; None where they do.

    They apply to float32 perceptrons on a CPU with at most 65536 weights in a layer, a categorical or normal policy and
    one of the `known` optimisers, without extras.
    """
    parameters, groups = _parameters(policy, critic), optimizer.param_groups
    nets: list[Any] = [policy.net, policy.net if critic is None else critic.net]
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "a parameter is not float32 on the CPU"
    if not all(map(is_plain, nets)) or nets[0].activation != nets[1].activation:
        return "policy and critic are not plain perceptrons, both tanh or both relu"
    if not compiles(policy):
        return f"the policy is a {type(policy.distribution).__name__} one, neither categorical nor normal"
    if max(p.numel() for p in parameters) > LARGEST:
        return f"a layer has more than {LARGEST} weights"
    if critic is not None and policy.normalizer is not critic.normalizer:
        return "policy and critic normalise observations differently"
    if type(optimizer) not in known or len(groups) != 1:
        return f"the optimiser is not torch.optim.{' or '.join(kind.__name__ for kind in known)} with one group"
    if len(groups[0]["params"]) != len(parameters) or any(
        a is not b for a, b in zip(groups[0]["params"], parameters, strict=True)
    ):
        return "the optimiser does not hold the parameters of the policy, then those of the critic"
    if any(groups[0].get(name) for name in UNKNOWN):
        return f"{type(optimizer).__name__} is set to weight decay, momentum, AMSGrad, centring or maximisation"
    return uncompiled("operant.control.kernels")


def _both(agent: Agent) -> tuple[Policy, Critic]:
    return agent.policy, cast(Critic, agent.critic)  # `obstacle` sees whether it is one


def _parameters(policy: Policy, critic: Critic | None) -> list[torch.nn.Parameter]:
    return [*policy.parameters(), *(() if critic is None else critic.parameters())]


def _sizes(module: Policy | Critic) -> np.ndarray:
    """[L+1] widths from input to output."""
    layers: list[Any] = [*cast(MLP, module.net).layers]
    return np.array([layers[0].in_features, *(layer.out_features for layer in layers)], np.int64)


# ---------------------------------------------------------------------------------------------------- PPO
def fused_update(agent: Agent, optimizer: torch.optim.Optimizer, cfg: PPOConfig) -> FusedPPO | str:
    """The update of these modules, or in words why it does not apply; see `obstacle`.

    Args:
        agent: its policy categorical or normal; policy and critic share the normaliser and the kind of layers.
        optimizer: `torch.optim.Adam` over the parameters of the policy, then those of the critic.
        cfg: batch size, coefficients and bounds of the loss.
    """
    return obstacle(*_both(agent), optimizer, torch.optim.Adam) or FusedPPO(agent, optimizer, cfg)


class FusedPPO(Fused):
    """Calling it makes one pass over a segment; `fused_update` says where it applies."""

    def __init__(self, agent: Agent, optimizer: torch.optim.Optimizer, cfg: PPOConfig) -> None:
        super().__init__(*_both(agent), optimizer)
        self.cfg = cfg
        self._segment: Batch | None = None
        self._arrays: Arrays | None = None

    def __call__(
        self, steps: Batch, generator: np.random.Generator, *, lr: float, clip: float, clip_high: float
    ) -> list[Metrics]:
        """One epoch: every step of the segment once, in minibatches, in an order drawn from `generator`.

        Args:
            steps: S decisions, all `acted`; their observations are as the environment gave them.
            generator: the order of the minibatches.
            lr: Adam's learning rate.
            clip, clip_high: the ratio is bounded to [1 − clip, 1 + clip_high].

        Returns:
            The metrics of every minibatch, under the names of the readable update.
        """
        from operant.control.kernels import epoch

        cfg = self.cfg
        if steps is not self._segment or self._arrays is None:
            self._segment, self._arrays = steps, self._read(steps)
        theta, first, second, count = self.memory()
        rates = self.rates()
        rates[0] = lr
        value_clip = -1.0 if cfg.value_clip is None else cfg.value_clip
        bounds = 1.0 - clip, 1.0 + clip_high
        loss = np.array([*bounds, cfg.entropy_coef, cfg.value_coef, value_clip, cfg.max_grad_norm], np.float32)
        metrics = np.empty((-(-len(steps) // cfg.batch), len(NAMES)))
        epoch(
            theta, self.grad, first, second, int(count[0]), *self.sizes, self.relu, self.normal, True, *self._arrays,
            shuffled(len(steps), generator).numpy(), cfg.batch, cfg.whiten, loss, self.rule, rates, metrics,
        )  # fmt: skip
        count += len(metrics)
        told = torch.from_numpy(metrics).float().flatten().unbind()
        return [dict(zip(NAMES, told[k : k + len(NAMES)], strict=True)) for k in range(0, len(told), len(NAMES))]

    def _read(self, steps: Batch) -> Arrays:
        """obs [S, D] normalised, action [S, A], past [4, S], allowed [S, K] or without rows."""
        assert isinstance(steps.obs, Tensor)
        past = torch.stack([steps.logp, steps.adv, steps.target, steps.value]).detach().numpy()
        obs, allowed = self.states(steps.obs)
        return obs, self.actions(steps.action, len(steps)), past, allowed


# ---------------------------------------------------------------------------------------------------- A2C
def fused_step(agent: Agent, optimizer: torch.optim.Optimizer, cfg: SegmentConfig, weigh: Weigh) -> FusedA2C | str:
    """The gradient step of these modules, or in words why it does not apply; see `obstacle`.

    Args:
        agent: its policy categorical or normal; policy and critic share the normaliser and the kind of layers.
        optimizer: Adam, RMSprop or SGD over the parameters of the policy, then those of the critic.
        cfg: coefficients and bounds of the loss.
        weigh: what weighs the decisions.
    """
    return obstacle(*_both(agent), optimizer, *MOMENTS) or FusedA2C(agent, optimizer, cfg, weigh)


class FusedA2C(Fused):
    """Calling it takes one gradient step on a segment; `fused_step` says where it applies."""

    def __init__(self, agent: Agent, optimizer: torch.optim.Optimizer, cfg: SegmentConfig, weigh: Weigh) -> None:
        from operant.control import kernels

        super().__init__(*_both(agent), optimizer)
        self._kernels, self._cfg, self._weigh = kernels, cfg, weigh
        bound = inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self._loss = np.array([0.0, inf, cfg.entropy_coef, cfg.value_coef, -1.0, bound], np.float32)

    def __call__(self, traj: Trajectory, reward: Tensor, elapsed: Tensor | None) -> Metrics:
        """One gradient step.

        Args:
            traj: the segment, N rows of T steps.
            reward: [N, T], scaled where rewards are.
            elapsed: [N] int64, decisions of the open episodes that lie before it.

        Returns:
            Its metrics, under the names of the readable update.
        """
        assert isinstance(traj.obs, Tensor)
        n, steps = traj.reward.shape
        theta, first, second, count = self.memory()
        obs, allowed = self.states(traj.obs.reshape(n * (steps + 1), -1))
        value = torch.from_numpy(self._valued(obs)).view(n, steps + 1)
        adv, target = self._weigh(self._cfg, traj, reward, value)
        adv = weighed(self._cfg, traj, adv, elapsed)
        # A row of decisions for each row of states: the last of a copy has none.
        action, past = traj.action.new_zeros((n, steps + 1, *traj.action.shape[2:])), torch.zeros(4, n, steps + 1)
        action[:, :-1], past[1, :, :-1], past[2, :, :-1] = traj.action, adv, target
        decided = np.zeros((n, steps + 1), np.bool_)
        decided[:, :-1] = traj.acted.numpy()
        order, row = np.flatnonzero(decided), np.empty((1, 6))
        self._kernels.epoch(
            theta, self.grad, first, second, int(count[0]), *self.sizes, self.relu, self.normal, False, obs,
            self.actions(action, len(obs)), past.reshape(4, -1).numpy(), allowed, order, max(len(order), 1), False,
            self._loss, self.rule, self.rates(), row,
        )  # fmt: skip
        count += 1
        policy, entropy, _, _, critic, norm = torch.from_numpy(row[0]).float().unbind()
        return {"loss/policy": policy, "loss/value": critic, "policy/entropy": entropy, "grad/norm": norm}


# ---------------------------------------------------------------------------------------------------- cloning
def fused_clone(policy: Policy, optimizer: torch.optim.Optimizer, cfg: CloningConfig) -> FusedClone | str:
    """The gradient steps of cloning, or in words why they do not apply; see `obstacle`.

    Args:
        policy: categorical or normal, learnt by its likelihood.
        optimizer: `torch.optim.Adam` over its parameters.
        cfg: the likelihood, the size of a batch, the bound of the gradient.
    """
    if cfg.likelihood == "mse":
        return "the likelihood is mse"
    return obstacle(policy, None, optimizer, torch.optim.Adam) or FusedClone(policy, optimizer, cfg)


class FusedClone(Fused):
    """Calling it takes the gradient steps of several batches; `fused_clone` says where it applies."""

    def __init__(self, policy: Policy, optimizer: torch.optim.Optimizer, cfg: CloningConfig) -> None:
        super().__init__(policy, None, optimizer)
        self._batch, bound = cfg.batch, inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self._loss = np.array([0.0, inf, 0.0, 0.0, -1.0, bound], np.float32)

    def __call__(self, obs: Tensor, action: Tensor) -> list[Metrics]:
        """A step up mean log π(a|s) for each batch of the decisions obs [S, D], action [S, ...], in their order."""
        from operant.control.kernels import epoch

        theta, first, second, count = self.memory()
        states, allowed = self.states(obs)
        past = np.zeros((4, len(obs)), np.float32)
        past[1] = 1.0  # every decision weighs as much as the others
        metrics = np.empty((-(-len(obs) // self._batch), len(NAMES)))
        epoch(
            theta, self.grad, first, second, int(count[0]), *self.sizes, self.relu, self.normal, False, states,
            self.actions(action, len(obs)), past, allowed, np.arange(len(obs)), self._batch, False, self._loss,
            self.rule, self.rates(), metrics,
        )  # fmt: skip
        count += len(metrics)
        told = torch.from_numpy(metrics[:, [0, 5]]).float()
        return [{"loss/policy": loss, "grad/norm": norm} for loss, norm in told]
