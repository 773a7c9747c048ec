"""The card of an exported policy: what it is, what it returned and by which protocol, and how to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.text import clean
from operant.env.masks import INFO
from operant.env.spaces import Observations
from operant.env.text import TEXT
from operant.view.page import environment

SAID = "a code for each of its words or characters: 0 behind the end, 1 if unknown, then by their place in policy.json"


def card(
    *,
    run: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    packages: Mapping[str, str],
    observations: Observations,
    action_space: gymnasium.Space[Any],
    replay: Mapping[str, Any] | None,
    table: bool = False,
) -> str:
    """README.md of an exported policy, with a front matter that hubs of models read.

    Args:
        run: `run.json` of the folder, with `export`.
        evaluation: `evaluation.json`.
        packages: the versions that measured it.
        observations: of one environment.
        action_space: of one environment.
        replay: seed and return of `replay.mp4`, or None where there is no video.
        table: the policy is a table and not a network.
    """
    absent = dict.fromkeys(("packages", "parameters", "seconds", "host"))
    text = (
        environment()
        .get_template("card.md.j2")
        .render(
            run=absent | dict(run),
            front=_front_matter(run["env"], run["algorithm"], evaluation),
            e=evaluation,
            packages=_versions(packages),
            trained=_versions(run.get("packages") or {}),
            numbers=observations.dim,
            dtype=np.dtype(observations.dtype).name,
            observations=layout(observations),
            actions=_one_line(action_space),
            replay=replay,
            table=table,
        )
    )
    return clean(text) + "\n"


def layout(observations: Observations) -> str:
    """How an observation becomes the D columns of a row of `obs`, as a Markdown table."""
    rows, packed = ["| columns | what | how |", "|---|---|---|"], observations.dtype is np.uint8
    for part in observations.parts:
        leaf, path = part.space, "".join(f"[{key!r}]" for key in part.keys)
        how = _written(leaf)
        how += ", four bytes a float32" if packed and not part.picture else ""
        ends = f"{part.columns.start} to {part.columns.stop - 1}"
        rows.append(f"| {ends} | `{path or 'observation'}`: `{_one_line(leaf)}` | {how} |")
    if observations.mask:
        ends = f"{observations.features} to {observations.dim - 1}"
        where = 'info["action_mask"]' if observations.action_mask == INFO else f"[{observations.action_mask!r}]"
        rows.append(f"| {ends} | `{where}` | 1 where an action is legal, 0 where it is not |")
    kind = "uint8" if packed else "float32, not normalised: the policy does that itself"
    return "\n".join(rows) + f"\n\n{kind}."


def _front_matter(env: str, algorithm: str, evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines between the rules: YAML, of which every value is written as JSON."""
    reward = f"{evaluation['mean']:.2f} +/- {evaluation['std']:.2f}"
    result = {
        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
        "dataset": {"name": env, "type": env},
        "metrics": [{"type": "mean_reward", "name": "mean_reward", "value": reward, "verified": False}],
    }
    fields = {
        "library_name": "operant",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["reinforcement-learning", "operant", algorithm, env, "onnx"],
        "model-index": [{"name": f"{algorithm}-{env}", "results": [result]}],
    }
    return [(name, json.dumps(value)) for name, value in fields.items()]


def _versions(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def _one_line(space: gymnasium.Space[Any]) -> str:
    return " ".join(str(space).split())


def _written(leaf: Any) -> str:
    """How what a plain space or a text holds stands in a row."""
    if isinstance(leaf, TEXT):
        return SAID
    if isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete):
        return f"one-hot, from {leaf.start}" if isinstance(leaf, spaces.Discrete) and leaf.start else "one-hot"
    return "row-major" if len(leaf.shape or ()) > 1 else "as it is"
