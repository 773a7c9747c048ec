"""Models of deterministic simulators, enumerated by trying every action in every state that is found."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operant.mdp.build.enumerate import enumerate_mdp
from operant.mdp.model import MDP
from operant.mdp.rows import ModelError
from operant.mdp.validate import public


@dataclass(frozen=True, slots=True)
class _Ended:
    """A state in which an episode has ended."""

    state: Hashable


@public()
def from_step(
    step: Callable[[Any, Any], tuple[Hashable, float, bool]],
    start: Hashable | Mapping[Hashable, float],
    *,
    actions: Callable[[Any], Iterable[Hashable]] | Sequence[Hashable],
    discount: float,
    horizon: int | None = None,
    limit: int | None = None,
    quiet: bool = False,
) -> MDP:
    """The model of a deterministic function: `step(state, action) -> (successor, reward, terminated)`.

    A state in which an episode ends is terminal; one that is also passed without ending has a terminal twin named
    ("end", state).

    Args:
        step: is called once for every state and action; a state is any hashable object.
        start: one state, or a mapping from state to probability.
        actions: the actions of every state, or a function of the state.
        discount, horizon: as `MDP`.
        limit, quiet: as `enumerate_mdp`.

    Raises:
        ModelError: as `enumerate_mdp`.
    """

    def transition(state: Hashable, action: Hashable) -> list[tuple[float, Hashable, float]]:
        successor, reward, terminated = step(state, action)
        return [(1.0, _Ended(successor) if terminated else successor, reward)]

    mdp = enumerate_mdp(
        transition,
        start,
        discount=discount,
        actions=actions,
        terminal=_ended,
        horizon=horizon,
        limit=limit,
        quiet=quiet,
    )
    return _renamed(mdp)


def _ended(state: Any) -> bool:
    return isinstance(state, _Ended)


def _renamed(mdp: MDP) -> MDP:
    """Ended states under their own name where no other state has it."""
    if mdp.states is None:
        return mdp
    passed = {state for state in mdp.states if not isinstance(state, _Ended)}
    names: list[Hashable] = []
    for state in mdp.states:
        if isinstance(state, _Ended):
            names.append(("end", state.state) if state.state in passed else state.state)
        else:
            names.append(state)
    return mdp.replace(states=names)


@public()
def from_simulator(
    simulator: Any,
    *,
    discount: float,
    actions: Sequence[Hashable] | None = None,
    key: Callable[[Any, Any], Hashable] | None = None,
    seeds: Sequence[int] = (0,),
    horizon: int | None = None,
    limit: int | None = None,
    quiet: bool = False,
) -> MDP:
    """The model of a deterministic simulator that can be put back: a Gymnasium environment, or an object like one.

    It has `reset(seed=…) -> (observation, info)` and `step(action) -> (observation, reward, terminated, truncated,
    info)`; and `get_state()` and `set_state(…)`, or else it is copied (copy.deepcopy). Wrappers are taken off, and
    time limits with them: pass horizon.

    In each state the first action is tried twice, and a state that is met again must answer its first action as before;
    so a simulator that draws random numbers, or an observation that does not tell states apart, is found.

    Args:
        simulator: the environment; it is left in another state than it was.
        discount: γ.
        actions: if None, 0 … n-1 of its discrete action space.
        key: key(observation, simulator) names the state by a hashable object; if None, the observation does.
        seeds: the seeds of the resets that give the start states, each equally likely.
        horizon: as `MDP`.
        limit, quiet: as `enumerate_mdp`.

    Raises:
        ModelError: if it is not deterministic or an observation stands for two states, naming state and action.
    """
    plain = getattr(simulator, "unwrapped", simulator)
    explorer = _Explorer(plain, _actions(plain) if actions is None else list(actions), key or _observed)
    starts = [explorer.begin(seed) for seed in seeds]
    if not starts:
        raise ModelError("seeds is empty: give at least one.")
    start = {state: starts.count(state) / len(starts) for state in starts}
    mdp = enumerate_mdp(
        explorer.expand, start, discount=discount, terminal=_ended, horizon=horizon, limit=limit, quiet=quiet
    )
    return _renamed(mdp)


class _Explorer:
    """Goes back to any state that was found and not yet expanded."""

    def __init__(self, simulator: Any, actions: Sequence[Hashable], key: Callable[[Any, Any], Hashable]) -> None:
        self.simulator, self.actions, self.key = simulator, actions, key
        self.settable = hasattr(simulator, "get_state") and hasattr(simulator, "set_state")
        self.kept: dict[Hashable, Any] = {}  # how to go back to a state that waits to be expanded
        self.answer: dict[Hashable, tuple[Hashable, float]] = {}  # of each expanded state to its first action
        self.met: set[Hashable] = set()  # states that were compared when met again
        self.tries = 0

    def begin(self, seed: int) -> Hashable:
        """The state after a reset."""
        observation, _ = self.simulator.reset(seed=seed)
        state = self.key(observation, self.simulator)
        self.kept.setdefault(state, self._keep())
        return state

    def expand(self, state: Hashable) -> dict[Hashable, list[tuple[float, Hashable, float]]]:
        """Outcomes of all actions in a state that was found before."""
        saved = self.kept.pop(state)
        choices: dict[Hashable, list[tuple[float, Hashable, float]]] = {}
        for number, action in enumerate(self.actions):
            successor, reward = self._try(saved, action)
            later = None if isinstance(successor, _Ended) else self._keep()
            if number == 0:
                self.answer[state] = successor, reward
                self._compare(state, saved, "it is not deterministic: use operant.mdp.enumerate_mdp")
            choices[action] = [(1.0, successor, reward)]
            if later is None or successor in self.kept:
                continue
            if successor not in self.answer:
                self.kept[successor] = later
            elif successor not in self.met:
                self.met.add(successor)
                self._compare(successor, later, "the name stands for several states: give `key` to tell them apart")
        return choices

    def _compare(self, state: Hashable, saved: Any, why: str) -> None:
        action = self.actions[0]
        now, before = self._try(saved, action), self.answer[state]
        if now != before:
            raise ModelError(f"state {state!r}, action {action!r} gave {before!r} and then {now!r}: {why}.")

    def _try(self, saved: Any, action: Hashable) -> tuple[Hashable, float]:
        """(successor, reward) of an action in a state that was kept; the simulator stands in the successor then.

        A generator of Gymnasium's is replaced by another one each time: copies of the same would agree.
        """
        if self.settable:
            self.simulator.set_state(saved)
        else:
            self.simulator = copy.deepcopy(saved)
        if hasattr(self.simulator, "np_random"):
            self.tries += 1
            self.simulator.np_random = np.random.default_rng(self.tries)
        observation, reward, terminated, _, _ = self.simulator.step(action)
        state = self.key(observation, self.simulator)
        return (_Ended(state) if terminated else state), float(reward)

    def _keep(self) -> Any:
        return copy.deepcopy(self.simulator.get_state() if self.settable else self.simulator)


def _actions(simulator: Any) -> list[Hashable]:
    space = getattr(simulator, "action_space", None)
    if not hasattr(space, "n"):
        raise ModelError(f"the actions of {type(simulator).__name__} are not numbered: give `actions`.")
    first = int(getattr(space, "start", 0))
    return list(range(first, first + int(getattr(space, "n", 0))))


def _observed(observation: Any, simulator: Any) -> Hashable:
    """An observation as a name: arrays as tuples."""
    del simulator
    if isinstance(observation, np.ndarray | np.generic):
        return _tupled(observation.tolist())
    if isinstance(observation, dict):
        return tuple((name, _observed(part, None)) for name, part in sorted(observation.items()))
    if isinstance(observation, list | tuple):
        return tuple(_observed(part, None) for part in observation)
    return observation


def _tupled(value: Any) -> Hashable:
    return tuple(_tupled(part) for part in value) if isinstance(value, list) else value
