"""The card of an exported policy: what it is, what it returned and by which protocol, and how to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim

from operant.env.spaces import leaves


def card(
    *,
    run: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    packages: Mapping[str, str],
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    replay: Mapping[str, Any] | None,
    table: bool = False,
) -> str:
    """README.md of an exported policy, with a front matter that hubs of models read.

    Args:
        run: `run.json` of the folder, with `export`.
        evaluation: `evaluation.json`.
        packages: the versions that measured it.
        observation_space: of one environment.
        action_space: of one environment.
        replay: seed and return of `replay.mp4`, or None where there is no video.
        table: the policy is a table and not a network.
    """
    env, algorithm, export = run["env"], run["algorithm"], run["export"]
    name = f"{algorithm}-{env}"
    trained = run.get("packages") or {}
    video = (
        f"[`replay.mp4`](replay.mp4) shows one episode: seed {replay['seed']}, return {replay['return']:.1f}."
        if replay
        else "There is no video: no picture could be drawn where this was exported."
    )
    sections = [
        _front_matter(name, env, algorithm, evaluation),
        f"# {algorithm.upper()} on {env}\n\n"
        f"Trained by operant for {run['steps']:,} environment steps "
        f"(run `{run['id']}`, seed {run['seed']}). This is the policy of step {export['step']:,}{_chosen(export)}.\n\n"
        f"{video}",
        "## Measured return\n\n" + _measured(evaluation, env, packages),
        "## Use\n\n"
        "```bash\noperant eval .       # the protocol above\noperant play .       # a video\n"
        "operant reproduce .  # trains it again, and compares\n```\n\n"
        "Without operant, by `policy.onnx` alone:\n\n"
        "```python\nimport numpy as np\nimport onnxruntime\n\n"
        'session = onnxruntime.InferenceSession("policy.onnx")\n'
        f"obs = np.zeros((1, {flatdim(observation_space)}), np.float32)  # raw observations, as many rows as you like\n"
        '(action,) = session.run(["action"], {"obs": obs})\n```\n\n' + _graph(export["onnx"], table),
        "## Observations\n\n" + layout(observation_space),
        f"## Actions\n\n`{_one_line(action_space)}`, one a row, in the dtype of the space.",
        "## Training\n\n"
        f"All settings, with where each came from, are in `config.toml`; the metrics of the run are in `metrics/`. "
        f"{run.get('parameters') or 0:,} parameters, {run.get('seconds') or 0:.0f} s on "
        f"{(run.get('host') or {}).get('cpu', 'an unnamed processor')}.\n\n" + _versions(trained),
    ]
    return "\n\n".join(sections) + "\n"


def layout(space: gymnasium.Space[Any]) -> str:
    """How an observation of `space` becomes the D numbers of a row of `obs`, as a Markdown table."""
    rows, begin = ["| numbers | what | how |", "|---|---|---|"], 0
    for path, leaf in leaves(space):
        size = flatdim(leaf)
        hot = isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete)
        start = f", from {leaf.start}" if isinstance(leaf, spaces.Discrete) and leaf.start else ""
        how = f"one-hot{start}" if hot else "row-major" if len(leaf.shape or ()) > 1 else "as it is"
        rows.append(f"| {begin} to {begin + size - 1} | `{path or 'observation'}`: `{_one_line(leaf)}` | {how} |")
        begin += size
    return "\n".join(rows) + "\n\nfloat32, not normalised: the policy does that itself."


def _front_matter(name: str, env: str, algorithm: str, evaluation: Mapping[str, Any]) -> str:
    """Between the rules: YAML, of which every value is written as JSON."""
    result = {
        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
        "dataset": {"name": env, "type": env},
        "metrics": [
            {
                "type": "mean_reward",
                "name": "mean_reward",
                "value": f"{evaluation['mean']:.2f} +/- {evaluation['std']:.2f}",
                "verified": False,
            }
        ],
    }
    fields = {
        "library_name": "operant",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["reinforcement-learning", "operant", algorithm, env, "onnx"],
        "model-index": [{"name": name, "results": [result]}],
    }
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _chosen(export: Mapping[str, Any]) -> str:
    return ", the best of the evaluations made in training" if export["checkpoint"] == "best" else ""


def _measured(evaluation: Mapping[str, Any], env: str, packages: Mapping[str, str]) -> str:
    low, high = evaluation["iqm_ci95"]
    interval = "–" if low is None else f"[{low:.2f}, {high:.2f}]"
    how = "the mode of the policy" if evaluation["deterministic"] else "a sample of the policy"
    return (
        "| mean | deviation | interquartile mean | its 95 % interval | shortest, longest | episodes |\n"
        "|--:|--:|--:|--:|--:|--:|\n"
        f"| {evaluation['mean']:.2f} | {evaluation['std']:.2f} | {evaluation['iqm']:.2f} | {interval} "
        f"| {min(evaluation['lengths'])}, {max(evaluation['lengths'])} steps | {evaluation['episodes']} |\n\n"
        f"Undiscounted returns of whole episodes of `{env}`, after training; actions are {how}; {evaluation['copies']} "
        f"copies, copy i begins with seed {evaluation['seed']} + i and goes on from there. {evaluation['note']}The "
        "interval is a bootstrap over episodes of this one policy: it says nothing of other training seeds. Every "
        f"return is in `evaluation.json`.\n\n{_versions(packages, 'Measured')}"
    )


def _versions(packages: Mapping[str, str], verb: str = "Trained") -> str:
    return f"{verb} with {', '.join(f'{name} {version}' for name, version in packages.items())}."


def _graph(onnx: Mapping[str, Any], table: bool) -> str:
    ties = f" ({onnx['ties']} ties between equal scores were decided differently)" if onnx["ties"] else ""
    held = (
        "the table of action values, of which the largest is taken, and what makes it an action of the environment "
        "(first number); `table.json` holds the same in words"
        if table
        else "the normalisation of observations, the network, the mode of the policy and what makes it an action of "
        "the environment (bounds, first number)"
    )
    return (
        f"The graph holds {held}. On "
        f"{onnx['observations']:,} observations, real and extreme, it agreed with the library to "
        f"{onnx['difference']:.1g}{ties}."
    )


def _one_line(space: gymnasium.Space[Any]) -> str:
    return " ".join(str(space).split())
