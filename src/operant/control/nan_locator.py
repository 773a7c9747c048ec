"""Where a NaN or an infinity entered an iteration of PPO: its update is done again, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import NonFiniteError
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.networks.trunk import plain
from operant.data.finite import State, first_bad, first_bad_of, spelled
from operant.data.trajectory import Batch, Metrics, Trajectory, shuffled

Facts = dict[str, Any]
FIELDS = ("obs", "action", "logp", "reward", "terminated", "truncated", "acted")


class Inspector:
    """Remembers what an update begins with: the batch, and copies of parameters, statistics, moments and generator."""

    def __init__(self, agent: Agent, optimizer: torch.optim.Optimizer, generator: np.random.Generator) -> None:
        self._agent, self._optimizer, self._generator = agent, optimizer, generator
        self._state = State(agent, optimizer)

    def remember(self, traj: Trajectory, weighed: Mapping[str, Tensor], lr: float) -> None:
        """Note where an update begins.

        Args:
            traj: the segment.
            weighed: what was made of it, [N, T] or [N, T+1] each, in the order in which it was made.
            lr: the learning rate.
        """
        self._traj, self._weighed, self._lr = traj, weighed, lr
        self._packed = self._state.packed()
        self._stepped = {p for p in self._agent.parameters() if p in self._optimizer.state}
        self._order = self._generator.bit_generator.state

    @contextmanager
    def locating(
        self, steps: Batch, size: int, seen: Sequence[Metrics], update: Callable[[Batch], Metrics]
    ) -> Generator[None]:
        """A NonFiniteError that is raised within becomes one that `locate` gives."""
        try:
            yield
        except NonFiniteError as fault:
            raise self.locate(fault, steps, size, seen, update) from None

    def locate(
        self,
        fault: NonFiniteError,
        steps: Batch,
        size: int,
        seen: Sequence[Metrics],
        update: Callable[[Batch], Metrics],
    ) -> NonFiniteError:
        """The error that names the first tensor that was not finite, and where.

        The agent and the optimiser are left as they were when it was found.

        Args:
            fault: what was noticed at the end of the iteration.
            steps: the S decisions of the segment.
            size: how many of them are a minibatch.
            seen: the metrics of every minibatch of the iteration.
            update: one gradient step on one minibatch.
        """
        self._restore()
        tensors = self._record()
        found = self._given() or self._again(steps, size, len(seen), update, tensors)
        if found is None:
            found = _noticed(seen, -(-len(steps) // size), fault)
        message, facts = found
        more = "" if str(fault) in message else f" Noticed as: {fault}"
        return NonFiniteError(f"{message}.{more}", facts=fault.facts | facts | {"located": True}, tensors=tensors)

    def _restore(self) -> None:
        """Go back to where the update began."""
        for parameter in self._agent.parameters():
            if parameter not in self._stepped:
                self._optimizer.state.pop(parameter, None)
        self._state.unpack(self._packed)
        self._generator.bit_generator.state = self._order

    def _record(self) -> dict[str, Tensor]:
        batch = {name: x for name in FIELDS if isinstance(x := getattr(self._traj, name), Tensor)}
        began = {f"before/{name}": x.detach().clone() for name, x in self._state.named().items()}
        return batch | dict(self._weighed) | {"sample": self._traj.acted.nonzero()} | began

    def _given(self) -> tuple[str, Facts] | None:
        """What was not finite before the first minibatch."""
        if not np.isfinite(self._lr):
            return f"the learning rate is {self._lr}", {"tensor": "learning rate"}
        if found := first_bad_of(self._state.named()):
            name = spelled(*found)
            return f"{name} was not finite before the update", {"tensor": name}
        batch = {name: x for name in FIELDS[:4] if isinstance(x := getattr(self._traj, name), Tensor)}
        if found := first_bad_of(batch | dict(self._weighed)):
            name, (copy, column, *rest) = found
            facts = {"tensor": name, "copy": copy, "column": column, "component": rest}
            return f"{name}{_component(rest)} of environment copy {copy}, column {column}, is not finite", facts
        return None

    def _again(
        self, steps: Batch, size: int, most: int, update: Callable[[Batch], Metrics], tensors: dict[str, Tensor]
    ) -> tuple[str, Facts] | None:
        """Do the minibatches again and stop at the first number that is not finite."""
        sample, done = tensors["sample"], 0
        per_epoch = -(-len(steps) // size)
        while done < most:
            for number, index in enumerate(shuffled(len(steps), self._generator, steps.logp.device).split(size)):
                tensors["minibatch"] = index
                facts: Facts = {"epoch": done // per_epoch + 1, "minibatch": number + 1}
                when = f"minibatch {number + 1} of epoch {facts['epoch']}"
                for name, x, by_row in self._pieces(steps[index], update):
                    if (at := first_bad(x)) is None:
                        continue
                    if not by_row:
                        facts |= {"tensor": spelled(name, at)}
                        return f"{spelled(name, at)} is not finite in {when}", facts
                    row, rest = at[0], list(at[1:])
                    copy, column = (int(i) for i in sample[index[row]])
                    facts |= {"tensor": name, "row": row, "copy": copy, "column": column, "component": rest}
                    where = f"row {row} of {when} (environment copy {copy}, column {column})"
                    return f"{name}{_component(rest)} is not finite in {where}", facts
                done += 1
        return None

    def _pieces(self, b: Batch, update: Callable[[Batch], Metrics]) -> Iterator[tuple[str, Tensor, bool]]:
        """One gradient step: name, tensor, and whether its first dimension is the row of the minibatch."""
        agent = self._agent
        with torch.no_grad():
            if agent.normalizer is not None:
                yield "the normalised observation", agent.normalizer(agent.layout.vector(plain(b.obs))), True
            output = "the mean of the action" if isinstance(agent.policy.distribution, Normal) else "the logits"
            yield output, agent.policy.output(b.obs), True
            logp, entropy = agent.policy.evaluate(b.obs, b.action)
            yield "the log-probability", logp, True
            yield "the probability ratio", (logp - b.logp).exp(), True
            yield "the entropy", entropy, True
            value = agent.critic(b.obs)
            yield "the value", value, True
            yield "the squared error of the value", (value - b.target).square(), True
        gradients: dict[str, Tensor] = {}

        def note(name: str) -> Callable[[Tensor], None]:
            return lambda p: gradients.update({name: p.detach() if p.grad is None else p.grad.detach().clone()})

        hooks = [p.register_post_accumulate_grad_hook(note(name)) for name, p in agent.named_parameters()]
        metrics = update(b)
        for hook in hooks:
            hook.remove()
        yield from ((name, x, False) for name, x in metrics.items() if name != "grad/norm")
        yield from ((f"the gradient of {name}", x, False) for name, x in gradients.items())  # from the loss backwards
        yield "grad/norm", metrics["grad/norm"], False
        for name, x in self._state.named().items():
            yield name, x, False


def _noticed(seen: Sequence[Metrics], per_epoch: int, fault: NonFiniteError) -> tuple[str, Facts]:
    """What the iteration itself showed, where the readable update on the same batch stays finite."""
    for done, metrics in enumerate(seen):
        if found := first_bad_of(metrics):
            facts = {"tensor": found[0], "epoch": done // per_epoch + 1, "minibatch": done % per_epoch + 1}
            where = f"minibatch {facts['minibatch']} of epoch {facts['epoch']}"
            return f"{found[0]} is not finite in {where}; the readable update on the same batch stays finite", facts
    return str(fault).rstrip("."), {}


def _component(rest: Sequence[int]) -> str:
    return f", component {', '.join(map(str, rest))}," if rest else ""
