"""A solved model on disk: `solution.npz` for programs, `solution.json` for people, and both read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError
from operant.data.npz import read_npz
from operant.run.disk import writing
from operant.run.folder import RunFolder, write_json
from operant.run.schemas import encode_number, read_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.mdp.solution import Solution
    from operant.view.grid_layout import Layout

    Floats = NDArray[np.float64]

LISTED = 1_000
"""States that `solution.json` lists at most; the arrays hold all of them."""

CELLS = 10_000
"""Cells up to which a map is kept, and drawn."""

TIED = 2_000_000
"""Pairs of state and action up to which all optimal actions are kept, not one."""

KINDS: dict[str, tuple[type, ...]] = {
    "model": (dict,), "method": (str,), "why": (str,), "iterations": (int,), "seconds": (int, float),
    "epsilon": (int, float), "certificate": (dict,), "history": (list,), "actions": (list,), "grid": (dict, type(None)),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """A solution as it was kept. For a finite horizon all are those of the first step."""

    path: Path
    about: Mapping[str, Any]  # solution.json
    values: Floats  # [S]
    policy: NDArray[np.integer[Any]]  # [S]
    lower: Floats  # [S]
    upper: Floats  # [S]
    terminal: NDArray[np.bool_]  # [S]
    optimal: NDArray[np.bool_] | None  # [S, A], None where it was too large to keep

    @property
    def layout(self) -> Layout | None:
        """Where the states stand on a map; None where they do not."""
        import numpy as np

        from operant.view.grid_layout import Layout

        grid = self.about["grid"]
        if grid is None:
            return None
        moves = [None if move is None else (float(move[0]), float(move[1])) for move in grid["moves"]]
        states = np.asarray(grid["states"], dtype=np.int64)
        return Layout(states=states, marks=grid["lines"], moves=moves, names=self.actions)

    @property
    def actions(self) -> list[str]:
        """The names of the actions."""
        return [str(name) for name in self.about["actions"]]

    @property
    def taken(self) -> NDArray[Any]:
        """All optimal actions [S, A] where they were kept, else the policy [S]."""
        return self.policy if self.optimal is None else self.optimal


def is_solution(run: Path) -> bool:
    """Whether a folder holds a solved model and not a training run."""
    return (run / "solution.npz").is_file() and (run / "solution.json").is_file()


def summarised(solution: Solution, name: str, epsilon: float) -> dict[str, Any]:
    """What a solution says, as plain values: the content of `solution.json`.

    The value of the start is Σ start(s) v(s) (for the average criterion the gain there), null without a start.
    """
    mdp, certificate = solution.mdp, solution.certificate
    return {
        "model": {
            "name": name,
            "states": mdp.num_states,
            "pairs": mdp.num_rows,
            "entries": mdp.nnz,
            "discount": mdp.discount,
            "criterion": mdp.criterion if mdp.horizon is None else "finite-horizon",
            "horizon": mdp.horizon,
        },
        "method": solution.method,
        "why": solution.why,
        "iterations": solution.iterations,
        "seconds": solution.seconds,
        "epsilon": epsilon,
        "certificate": {
            "gap": encode_number(certificate.gap),
            "radius": encode_number(certificate.radius),
            "policy_loss": encode_number(certificate.policy_loss),
            "rounding": encode_number(certificate.rounding),
            "why": certificate.why,
        },
        "start_value": _start_value(solution),
        "history": [[i, gap] for i, gap in _thin(solution.history) if math.isfinite(gap)],
        "actions": [str(a) for a in mdp.actions] if mdp.actions else [str(a) for a in range(mdp.num_actions)],
        "grid": _grid(solution),
        "states": _states(solution),
    }


def keep(solution: Solution, name: str, epsilon: float, folder: RunFolder) -> Record:
    """Write `solution.npz` and `solution.json` into a run folder.

    Raises:
        DiskError: if the disk refuses.
    """
    import numpy as np

    from operant.view.grid_layout import actions_taken

    mdp = solution.mdp
    policy, arrays = solution.policy, {"values": solution.values, "policy": solution.policy, "rows": solution.rows}
    arrays |= {"lower": solution.certificate.lower, "upper": solution.certificate.upper, "terminal": mdp.rows.terminal}
    if solution.gain is not None:
        arrays["gain"] = solution.gain
    if policy.ndim == 1 and mdp.num_states * mdp.num_actions <= TIED:
        arrays["optimal"] = actions_taken(mdp, solution.ties())
    path = folder.path / "solution.npz"
    with writing(path, sum(array.nbytes for array in arrays.values())):
        np.savez(path, allow_pickle=False, **arrays)
    write_json(folder.path / "solution.json", summarised(solution, name, epsilon))
    return read(folder.path)


def read(path: Path) -> Record:
    """Read a solved model back.

    Raises:
        ConfigError: if a file is missing or damaged; names it.
    """
    about = read_json(path / "solution.json", KINDS)
    if missing := sorted(KINDS.keys() - about.keys()):
        raise ConfigError(f"{path / 'solution.json'} is damaged (it lacks {missing[0]}); solve the model again")
    try:
        arrays = read_npz(path / "solution.npz")
        values, policy = arrays["values"], arrays["policy"]
        if values.ndim == 2:
            values, policy = values[0], policy[0]
        lower, upper, terminal = arrays["lower"], arrays["upper"], arrays["terminal"]
        if lower.ndim == 2:
            lower, upper = lower[0], upper[0]
        record = Record(
            path=path,
            about=about,
            values=values,
            policy=policy,
            lower=lower,
            upper=upper,
            terminal=terminal,
            optimal=arrays.get("optimal"),
        )
        if len({len(values), len(policy), len(terminal), len(record.lower), len(record.upper)}) != 1:
            raise ValueError("its arrays are of different lengths")
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ConfigError(f"{path / 'solution.npz'} is damaged ({error}); solve the model again") from error
    return record


def _start_value(solution: Solution) -> float | None:
    start = solution.mdp.start
    if start is None:
        return None
    values = solution.gain if solution.gain is not None else solution.values
    return float(start @ (values[0] if values.ndim == 2 else values))


def _thin(history: tuple[tuple[int, float], ...], limit: int = 400) -> list[tuple[int, float]]:
    """At most about so many, evenly chosen, the last among them."""
    step = max(1, -(-len(history) // limit))
    return [*history[:-1:step], *history[-1:]]


def _grid(solution: Solution) -> dict[str, Any] | None:
    from operant.view.grid_layout import layout_of

    layout = layout_of(solution.mdp)
    if layout is None or layout.states.size > CELLS:
        return None
    return {
        "states": layout.states.tolist(),
        "lines": list(layout.marks),
        "moves": [m and list(m) for m in layout.moves],
    }


def _states(solution: Solution) -> list[dict[str, Any]]:
    """The first states, one by one."""
    mdp, certificate = solution.mdp, solution.certificate
    values, policy = solution.values, solution.policy
    lower, upper = certificate.lower, certificate.upper
    if values.ndim == 2:
        values, policy = values[0], policy[0]
    if lower.ndim == 2:
        lower, upper = lower[0], upper[0]
    named = mdp.states
    return [
        {
            "state": str(s if named is None else named[s]),
            "value": encode_number(float(values[s])),
            "lower": encode_number(float(lower[s])),
            "upper": encode_number(float(upper[s])),
            "action": None if policy[s] < 0 else str(policy[s] if mdp.actions is None else mdp.actions[policy[s]]),
        }
        for s in range(min(LISTED, mdp.num_states))
    ]
