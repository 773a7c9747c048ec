"""A reward that a model wrote as Python: it runs in the sandbox (`operant.workers.sandbox`) and nowhere else.

The text defines `compute_reward(QUANTITY, …)` and returns a total and a dictionary of its components, as in Eureka.
Each step is a block of its own; what comes back is text, read as numbers and as nothing else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from operant.config.bounded import loads
from operant.config.errors import EnvError
from operant.design.expression import State
from operant.design.reward import MOST
from operant.workers.sandbox import Limits, Outcome, Refused, Sandbox

LIMITS = Limits(seconds=5.0, grace=0.5, calls=0, output=4_000, cpu=3_600, memory=256 << 20)
"""Of a reward: five seconds a step, since a machine may be busy, and an hour of the processor in all."""
LONGEST = 20_000
REST = "rest"
"""What of a total its components do not add up to, as a component."""
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)
_BEGIN = """
import json as _json
def _operant_step(state):
    code = compute_reward.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    missing = [name for name in names if name not in state]
    if missing:
        raise NameError(f"compute_reward asks for {missing[0]}, which is no quantity: there are {', '.join(state)}")
    total, parts = compute_reward(**{name: state[name] for name in names})
    print(_json.dumps([float(total), {str(name): float(value) for name, value in parts.items()}]))
"""


class CandidateError(EnvError):
    """What a reward that is tried did wrong; told to whoever proposed it."""


def code_in(answer: str) -> str:
    """The Python of a model's answer: its last fenced block that defines `compute_reward`, or all of it."""
    blocks = [block for block in _FENCE.findall(answer) if "def compute_reward" in block]
    return (blocks[-1] if blocks else answer).strip()


class Sandboxed:
    """A reward of Python text as a function of a state; one sandbox, one interpreter.

    Raises:
        CandidateError: if the text is too long, or fails as it is defined.
    """

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST:
            raise CandidateError(f"a reward of {len(source):,} characters: at most {LONGEST:,} are run")
        self._sandbox = Sandbox(limits=LIMITS)
        self._shell = self._sandbox.open(_refuse)
        try:
            self._run(source)
            self._run(_BEGIN)
        except BaseException:
            self.close()
            raise

    def __call__(self, state: State) -> Mapping[str, float]:
        """Its components; what they lack of the total is one more.

        Raises:
            CandidateError: if it raises, is late, is ended, or answers what is no reward.
        """
        plain = {name: np.asarray(value, np.float64).tolist() for name, value in state.items()}
        done = self._run(f"_operant_step({_literal(plain)})")
        return _read(done.text)

    def _run(self, block: str) -> Outcome:
        done = self._shell.run(block)
        if done.ended is not None:
            raise CandidateError(f"the reward was stopped: {done.ended}")
        if done.error is not None:
            raise CandidateError(f"the reward raised: {done.error.strip()[-1_000:]}")
        return done

    def close(self) -> None:
        """End the sandbox."""
        self._shell.close()
        self._sandbox.close()


def _literal(plain: Mapping[str, Any]) -> str:
    """A state as Python's literal; numbers that are not finite are refused where they come from."""
    return json.dumps(plain, allow_nan=False)


def _read(said: str) -> Mapping[str, float]:
    """The components that a block printed: whatever else it printed, its last line has to be one reward."""
    lines: Sequence[str] = said.strip().splitlines()
    try:
        found = loads(lines[-1] if lines else "")
    except ValueError as error:
        raise CandidateError("the reward answered what is no reward: return a total and a dictionary") from error
    match found:
        case [float() | int() as total, dict(parts)] if len(parts) <= MOST:
            numbers = {name: x for name, x in parts.items() if _NAME.fullmatch(name) and _is_number(x)}
            if len(numbers) == len(parts) and _is_number(total):
                rest = total - math.fsum(numbers.values())
                return numbers | ({REST: rest} if abs(rest) > 1e-9 * max(1.0, abs(total)) else {})
        case _:
            pass
    raise CandidateError(f"the reward answered what is no reward: a total, and at most {MOST} numbers by name")


def _is_number(value: Any) -> bool:
    """Whether it is one that a reward may be: finite, and no larger than what single precision holds."""
    return type(value) in (int, float) and abs(value) < 1e30


def _refuse(name: str, args: list[Any], kwargs: dict[str, Any]) -> NoReturn:
    del args, kwargs
    raise Refused(404, f"a reward calls nothing: {name}")
