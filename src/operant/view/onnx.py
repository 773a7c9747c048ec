"""A policy as one ONNX graph: raw observations in, the actions that the environment takes out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from operant.config.errors import ConfigError, OperantError
from operant.control.action_values import Greedy
from operant.control.agent import Agent
from operant.control.distributions import Parameters
from operant.control.policies import Policy
from operant.env.spaces import Actions
from operant.math.logprob import ruled_out
from operant.run.disk import is_full
from operant.tabular import TablePolicy, TilesPolicy

Graphed = Agent | TablePolicy | TilesPolicy
"""Policies that have an ONNX form."""

OPSET = 18
LOWEST = -1e38
"""Scores below it are of what is masked."""
TOLERANCE = 1e-5
"""Largest difference allowed between the graph and the library, as a share of the row's largest output where > 1."""


class Deployed(nn.Module):
    """The mode of an agent's policy, decoded for an action space: `Actions.decode(agent.decide(obs))` in torch alone.

    Raw observations [N, D] float32 to actions [N, *shape] in the dtype of the space: normalised, through the network,
    argmax, mean or the likelier bit, then clipped to the bounds (`Box`) or shifted by `start` (`Discrete`). Rows are
    uint8 where pictures are observed; a mask stands in the last columns of a row.
    """

    start: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, agent: Graphed, space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.policy = agent.policy
        self.shape = tuple(space.shape or ())
        self.dtype: torch.dtype = torch.from_numpy(np.zeros(0, space.dtype)).dtype
        self.integer = isinstance(space, spaces.Box) and not self.dtype.is_floating_point
        wide = torch.float64 if self.integer else self.dtype
        if isinstance(space, spaces.Box):
            self.register_buffer("low", torch.from_numpy(space.low.copy()).to(wide))
            self.register_buffer("high", torch.from_numpy(space.high.copy()).to(wide))
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            self.register_buffer("start", torch.as_tensor(np.asarray(space.start, np.int64)))
        self.box = isinstance(space, spaces.Box)
        self.shifted = isinstance(space, spaces.Discrete | spaces.MultiDiscrete)

    def mode(self, obs: Tensor) -> Tensor:
        """[N, D] → [N, ...], the policy's own action, squashed where it is."""
        if not isinstance(self.policy, Policy):
            return self.policy.mode(obs)
        return self._mode(scores(self.policy, obs))

    def _mode(self, of: Tensor) -> Tensor:
        assert isinstance(self.policy, Policy)
        its = self.policy.distribution
        return of.argmax(-1) if isinstance(its, Greedy) else its.finish(its.mode(Parameters(of, self.policy.log_std)))

    def forward(self, obs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[N, D] → [N, *shape]; of a network of action values these, too, [N, A]."""
        if not self.valued:
            return self._decoded(self.mode(obs))
        q = scores(self.policy, obs)
        return self._decoded(self._mode(q)), q

    @property
    def valued(self) -> bool:
        """Whether it has action values."""
        return isinstance(self.policy, Policy) and isinstance(self.policy.distribution, Greedy)

    def _decoded(self, action: Tensor) -> Tensor:
        action = action.reshape(-1, *self.shape)
        if self.shifted:
            action = action + self.start
        if self.box:
            rounded = action.round().to(self.low.dtype) if self.integer else action.to(self.low.dtype)
            action = torch.minimum(torch.maximum(rounded, self.low), self.high)
        return action.to(self.dtype)


def scores(policy: Any, obs: Tensor) -> Tensor:
    """What a network decides by for raw rows, [N, outputs]; the lowest number where an action is masked."""
    output: Tensor = policy.output(obs)
    if isinstance(policy, Policy) and isinstance(policy.distribution, Greedy):
        output = policy.distribution.expected(output)
    allowed = policy.layout.allowed(obs) if isinstance(policy, Policy) else None
    return output if allowed is None else ruled_out(output, allowed)


def formless(agent: Graphed) -> str:
    """Why a policy has no graph of one input and one output, in words; "" where it has."""
    if not isinstance(agent, Agent):
        return ""
    if agent.remembers:
        return "it remembers from step to step"
    if agent.spec.action_kind == "composite":
        return "its actions have several parts"
    if agent.layout.packed:
        return "it observes pictures and numbers in one row of bytes"
    return ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a graph was held against the library."""

    observations: int
    difference: float  # the largest, as a share of the row's largest output where that exceeds 1
    ties: int  # rows of discrete choices that lie within the tolerance of each other and were decided differently


def write(agent: Graphed, space: gymnasium.Space[Any], path: Path, about: Mapping[str, str]) -> None:
    """Write the mode of a policy as ONNX: input `obs` [N, D] float32, output `action` [N, *shape], N free.

    A network of action values gives them as a second output, `q` [N, A].

    Args:
        agent: on the CPU.
        space: the environment's action space.
        path: the file.
        about: kept as the model's metadata.

    Raises:
        ConfigError: if the packages of the extra `export` are missing.
        OperantError: if the policy has no ONNX form.
    """
    onnx = needs("onnx")
    needs("onnxscript")
    example = torch.zeros(2, agent.spec.obs_dim, dtype=torch.uint8 if reads_bytes(agent) else torch.float32)
    shapes = {"obs": {0: torch.export.Dim("N")}}
    deployed = Deployed(agent, space).eval()
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                deployed,
                (example,),
                input_names=["obs"],
                output_names=["action", "q"] if deployed.valued else ["action"],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            model = program.model_proto
    except Exception as error:  # the exporter raises a dozen types
        if is_full(error):
            raise
        raise OperantError(f"this policy has no ONNX form ({type(error).__name__}: {error})") from error
    for thing in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        thing.ClearField("doc_string")
        thing.ClearField("metadata_props")  # where the exporter notes paths of this machine
    del model.functions[:], model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def run(path: Path, obs: NDArray[Any], output: str = "action") -> NDArray[Any]:
    """The graph's actions [N, *shape] for raw observations [N, D], or another output, by onnxruntime on the CPU."""
    runtime = needs("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run([output], {"obs": obs})[0]


def verify(path: Path, agent: Graphed, space: gymnasium.Space[Any], obs: NDArray[Any]) -> Agreement:
    """Hold a graph against torch and against the path by which the library acts, on raw observations [N, D].

    Continuous actions may differ by `TOLERANCE`, where rounded to whole numbers by a step. Of two choices whose scores
    differ by less than `TOLERANCE` (a tie, in float32) either is right.

    Raises:
        OperantError: if they do not agree; names the observation.
    """
    library = Actions(space).decode(agent.decide(obs))
    deployed = Deployed(agent, space)
    with torch.no_grad():
        rows = torch.from_numpy(obs)
        made = deployed(rows)
        plain = (made[0] if deployed.valued else made).numpy()
        # what is rounded or compared: numbers, or the scores of choices, [N, outputs]
        raw = (deployed.mode(rows) if deployed.box else scores(agent.policy, rows)).numpy()
    graph = run(path, obs)
    for name, found in (("torch", plain), ("the graph", graph)):
        if found.shape != library.shape or found.dtype != library.dtype:
            raise OperantError(
                f"{path}: actions of {name} are {found.dtype}{list(found.shape)}, "
                f"those of the library {library.dtype}{list(library.shape)}"
            )
    legal = np.where(raw > LOWEST, np.abs(raw), 0.0)
    slack = TOLERANCE * np.maximum(1.0, legal.max(axis=1))  # [N]
    worst, ties = 0.0, 0
    if deployed.valued:
        apart = np.where(raw > LOWEST, np.abs(run(path, obs, "q") - raw), 0.0).max(axis=1)
        worst = float((apart / slack).max(initial=0.0)) * TOLERANCE
        if not worst <= TOLERANCE:
            raise OperantError(f"{path} does not give the action values of the policy: they differ by {apart.max()}")
    for found in (plain, graph):
        gap = _gap(space, raw, library, found)  # [N]
        if (bad := np.flatnonzero(~(gap <= slack))).size:
            one = bad[0]
            raise OperantError(
                f"{path} does not agree with the policy on {bad.size} of {len(obs)} observations: for "
                f"{obs[one].tolist()} it gives {found[one].tolist()} instead of {library[one].tolist()}"
            )
        worst = max(worst, float((gap / slack).max(initial=0.0)) * TOLERANCE)
        ties += int((found != library).reshape(len(obs), -1).any(axis=1).sum()) if _chooses(space) else 0
    return Agreement(len(obs), worst, ties)


def reads_bytes(agent: Graphed) -> bool:
    """Whether rows are of bytes."""
    return isinstance(agent, Agent) and agent.layout.bytes


def needs(package: str) -> Any:
    """Import a package of the extra `export`.

    Raises:
        ConfigError: if it is not installed; names the command.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f'export needs {package}: run pip install "operant[export]"') from error


def _chooses(space: gymnasium.Space[Any]) -> bool:
    return not isinstance(space, spaces.Box) or np.dtype(space.dtype or np.float32).kind in "iu"


def _gap(space: gymnasium.Space[Any], raw: NDArray[Any], want: NDArray[Any], have: NDArray[Any]) -> NDArray[Any]:
    """[N]: by how much the policy's own scores prefer `want` to `have`; for continuous actions, their distance."""
    rows = len(raw)
    want, have = want.reshape(rows, -1), have.reshape(rows, -1)
    if isinstance(space, spaces.MultiBinary):
        return np.where(want == have, 0.0, np.abs(raw)).max(axis=1)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [int(n) for n in space.nvec.ravel()]
        starts = np.asarray(space.start).ravel()
        gap = np.zeros(rows)
        for k, part in enumerate(np.split(raw, np.cumsum(sizes)[:-1], axis=1)):
            index = have[:, k] - starts[k]
            inside = (index >= 0) & (index < sizes[k])
            chosen = part[np.arange(rows), np.where(inside, index, 0)]
            gap = np.maximum(gap, np.where(inside, part.max(axis=1) - chosen, np.inf))
        return gap
    distance = np.abs(want.astype(np.float64) - have.astype(np.float64))
    if not _chooses(space):
        return distance.max(axis=1)
    off_border = np.abs(np.abs(raw - np.floor(raw)) - 0.5)  # how far from where rounding turns
    return np.where(distance == 0, 0.0, np.where(distance == 1, off_border, np.inf)).max(axis=1)


@contextmanager
def _quiet() -> Generator[None]:
    """Let the exporter's remarks on packages it could also use go unprinted."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
