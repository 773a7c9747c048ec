"""Models that stormpy builds from PRISM sources, as arrays; kept in the user's cache folder, outside the repository."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from operant.mdp import MDP


def checked(source: Path, properties: str, constants: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(stormpy's model, its properties by name)."""
    import stormpy

    program, _ = stormpy.instantiate_constants(stormpy.parse_prism_program(str(source)), constants)
    named = {p.get_name(): p for p in stormpy.parse_properties(properties, program)}
    options = stormpy.BuilderOptions([p.get_raw_formula() for p in named.values()])
    options.set_build_all_reward_models()
    options.set_build_all_labels()
    return stormpy.build_model(program, options=options), named


def arrays(source: Path, properties: str, constants: dict[str, Any]) -> dict[str, np.ndarray]:
    """The model: data, indices, indptr, group (first rows of states), start, reward:<name> [L], target:<name> [S]."""
    import stormpy

    key = hashlib.sha256(f"3{source.read_text()}{properties}{constants}{stormpy.__version__}".encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "operant-tests"
    file = folder / f"{source.stem}-{key}.npz"
    if file.exists():
        with np.load(file) as stored:
            return dict(stored)
    model, named = checked(source, properties, constants)
    matrix = model.transition_matrix
    group = np.array([matrix.get_row_group_start(s) for s in range(model.nr_states)] + [matrix.nr_rows])
    data, indices, indptr = [], [], [0]
    for row in range(matrix.nr_rows):
        for entry in matrix.get_row(row):
            indices.append(entry.column)
            data.append(entry.value)
        indptr.append(len(data))
    found = {"data": data, "indices": indices, "indptr": indptr, "group": group, "start": model.initial_states[0]}
    owner = np.repeat(np.arange(model.nr_states), np.diff(group))
    for name, rewards in model.reward_models.items():
        total = np.zeros(matrix.nr_rows)
        if rewards.has_state_rewards:
            total += np.array(rewards.state_rewards)[owner]
        if rewards.has_state_action_rewards:
            total += np.array(rewards.state_action_rewards)
        assert not rewards.has_transition_rewards
        found[f"reward:{name}"] = total
    for name, property_ in named.items():
        goal = property_.get_raw_formula().subformula.subformula
        mask = np.zeros(model.nr_states, dtype=bool)
        mask[list(stormpy.model_checking(model, goal).get_truth_values_vector())] = True
        found[f"target:{name}"] = mask
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as out:
        np.savez_compressed(out, **found)
    Path(out.name).replace(file)
    return {name: np.asarray(value) for name, value in found.items()}


def model_of(stored: dict[str, np.ndarray], target: str, reward: str | None, sign: float) -> MDP:
    """Maximise the chance to reach a target (worth `sign`, with reward None), or `sign` times a reward until then."""
    states = len(stored["group"]) - 1
    matrix = sp.csr_array((stored["data"], stored["indices"], stored["indptr"]), shape=(stored["group"][-1], states))
    owner = np.repeat(np.arange(states), np.diff(stored["group"]))
    label = np.arange(len(owner)) - stored["group"][:-1][owner]
    goal = np.flatnonzero(stored[f"target:{target}"])
    earned = np.zeros(len(owner)) if reward is None else sign * stored[f"reward:{reward}"]
    worth = sign if reward is None else 0.0
    return MDP(
        matrix, earned, 1.0, pairs=(owner, label), terminal={int(s): worth for s in goal}, start=int(stored["start"])
    )
