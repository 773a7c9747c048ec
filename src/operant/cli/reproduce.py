"""`operant reproduce`: make a run again from its settings and its seed, and hold the two against each other."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from operant.api import start
from operant.cli.say import say, tell
from operant.config.errors import ConfigError
from operant.config.resolve import Resolved
from operant.config.schema import RunConfig
from operant.config.text import command
from operant.config.write import json_text
from operant.env import EnvLike
from operant.run import checkpoint, exported
from operant.run.backend import as_it_was
from operant.run.disk import digest
from operant.run.find import find, trained
from operant.run.folder import RunFolder, provenance
from operant.run.job import Say
from operant.run.made_here import consented
from operant.run.schemas import settings
from operant.run.sources import changes, of_folder, sources
from operant.run.stop import OnMetrics

TOLERANCE = 1e-4
"""Runs agree without being equal where nothing differs by more than this share of the largest value of its column."""

TIMED = ("attempt", "time")
"""Columns that tell of the clock; so do those that begin with `phase/`, `speed/` and `time/`."""


def verb(args: argparse.Namespace) -> int:
    """Reproduce, and say whether it agrees; exit code 1 if not."""
    result = reproduce(find(args.run, args.runs), runs=args.runs, env=args.env, trust=args.trust, say=say)
    tell(json_text(result, indent=2) if args.json else "\n".join(_told(result)))
    again = result["reproduction"]
    say(f"Next: {command('compare', result['run'], again)}, or {command('report', again)}")
    return 0 if result["agrees"] else 1


def reproduce(
    path: Path,
    *,
    runs: Path | str = "runs",
    env: EnvLike | None = None,
    trust: bool = False,
    quiet: bool = False,
    say: Say = print,
) -> dict[str, Any]:
    """Train what `config.toml` says in a new run folder, and compare parameters, metrics and return.

    Returns run and reproduction (paths), agreement ("bitwise", "rounding" or "none"), agrees, parameters, metrics,
    evaluation, and changed: what differs between the machines, as rows of what, then, now.

    Args:
        path: a finished run, or an exported policy.
        runs: where the new run folder is made.
        env: the environment, where the run was made with a callable instead of a name.
        trust: import the Python code that the run names as its algorithm or network; take the models and servers that
            it names, though it was not made here.
        quiet: show no progress.
        say: told what differs before the training begins, and where things lie.

    Raises:
        ConfigError: if the run was not finished, or an exported policy names code as its environment.
    """
    old = trained(path)
    then, cfg = old.standing(), settings(path, trust=trust)
    if then.get("status") != "finished":
        raise ConfigError(
            f"{path} is {then.get('status')}, not finished: there is no result to reproduce. "
            f"To finish it: operant resume {path}"
        )
    if env is None and exported.is_exported(path):
        env = exported.environment(path, cfg.env.id)
    cfg = consented(path, cfg, env=env, trust=trust)
    changed = changes(then, provenance() | {"sources": sources(cfg, env) | of_folder(path)})
    for row in changed:
        say(f"{row['what']} differs: {row['then']} then, {row['now']} now")
    if not changed:
        say("Packages and machine are those that the run names.")
    again = _again(as_it_was(cfg, env or cfg.env.id), then)
    new = start(again, env=env, runs=runs, quiet=quiet, say=say, on_metrics=_end(then)).folder
    now = new.info()
    parameters = compare_parameters(old, new)
    metrics = compare_metrics(old.metrics(), new.metrics())
    parts = [part for part in (parameters, metrics) if part is not None]
    largest = max(part["difference"] for part in parts)
    agreement = "bitwise" if all(p["same"] for p in parts) else "rounding" if largest <= TOLERANCE else "none"
    new.update(reproduces=then["id"], agreement=agreement)
    return {
        "run": str(path),
        "reproduction": str(new.path),
        "agreement": agreement,
        "agrees": agreement != "none",
        "parameters": parameters,
        "metrics": metrics,
        "evaluation": compare_returns(then.get("evaluation"), now.get("evaluation")),
        "changed": changed,
    }


def _again(cfg: RunConfig, then: Mapping[str, Any]) -> Resolved:
    """The settings of a run to train once more, mirrored nowhere."""
    origin = defaultdict[str, str](lambda: f"run {then['id']}")
    return Resolved(cfg.model_copy(update={"track": None}), origin, then.get("preset"))


def _end(then: Mapping[str, Any]) -> OnMetrics | None:
    """Ends training where the run was ended, by whomever; None where it was not."""
    last = (then.get("stopped") or {}).get("step")
    return None if last is None else lambda row: bool(row["step"] < last)


def compare_parameters(old: RunFolder, new: RunFolder) -> dict[str, Any] | None:
    """The final policy files: SHA-256 of both, same, and the largest difference as a share of its tensor's largest.

    None where the old folder is an exported policy of an earlier step.
    """
    if (file := _final(old)) is None or (other := _final(new)) is None:
        return None
    a, b = load_file(file), load_file(other)
    digests = [digest(f)["sha256"] for f in (file, other)]
    if a.keys() != b.keys() or any(a[k].shape != b[k].shape for k in a):
        gap = math.inf
    else:
        gap = max(_gap(a[name].double().numpy(), b[name].double().numpy()) for name in a)
    return {"then": digests[0], "now": digests[1], "same": digests[0] == digests[1], "difference": gap}


def compare_metrics(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, Any]:
    """The metric rows but for what tells of the clock: rows, SHA-256 of both, same, difference, first.

    `difference` is the largest, as a share of the largest value of its column, and infinite where rows or metrics are
    missing; `first` is the step and the metric at which the rows first differ.
    """
    a, b = (_untimed(frame) for frame in (a, b))
    digests = [_digest(frame) for frame in (a, b)]
    gap, first = (0.0, None) if a.columns.equals(b.columns) and len(a) == len(b) else (math.inf, None)
    rows = min(len(a), len(b))
    differs: list[tuple[int, str]] = []
    for name in a.columns.intersection(b.columns):
        x, y = a[name].to_numpy(np.float64)[:rows], b[name].to_numpy(np.float64)[:rows]
        gap = max(gap, _gap(x, y))
        unequal = np.flatnonzero(~((x == y) | (np.isnan(x) & np.isnan(y))))
        differs += [(int(unequal[0]), str(name))] if unequal.size else []
    if differs:
        row, name = min(differs)
        first = {"step": int(a["step"].iloc[row]), "metric": name}
    return {
        "rows": len(a),
        "rows_now": len(b),
        "then": digests[0],
        "now": digests[1],
        "same": digests[0] == digests[1],
        "difference": gap,
        "first": first,
    }


def compare_returns(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The two final evaluations: then, now, difference of the means, and its 95 % interval over episodes.

    The interval is Δ ± 1.96 √(s₁²/n₁ + s₂²/n₂). None where one is missing or they followed different protocols.
    """
    if not then or not now or any(then[key] != now[key] for key in ("episodes", "seed", "deterministic")):
        return None
    delta = now["mean"] - then["mean"]
    half = 1.96 * math.sqrt((then["std"] ** 2 + now["std"] ** 2) / then["episodes"])
    return {"then": then["mean"], "now": now["mean"], "difference": delta, "interval": [delta - half, delta + half]}


def _final(folder: RunFolder) -> Path | None:
    """The policy file with which a run ended."""
    if not exported.is_exported(folder.path):
        return checkpoint.newest(folder.path)[0] / "model.safetensors"
    step = exported.load(folder.path)[1]
    return folder.path / "model.safetensors" if step == folder.info()["steps"] else None


def _untimed(frame: pd.DataFrame) -> pd.DataFrame:
    names = [n for n in frame.columns if n not in TIMED and not n.startswith(("phase/", "speed/", "time/"))]
    return frame.reindex(columns=sorted(names))


def _digest(frame: pd.DataFrame) -> str:
    """SHA-256 of the names and of every value, as its shortest decimal that reads back the same."""
    text = json.dumps([list(frame.columns), frame.to_numpy(np.float64).tolist()])
    return hashlib.sha256(text.encode()).hexdigest()


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    """The largest |a - b| as a share of the largest finite |a|; infinite where one is finite and the other is not."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    whole = np.isfinite(a) & np.isfinite(b)
    if not (whole | same).all():
        return math.inf
    largest = np.abs(a[whole]).max()
    return float(np.abs(a - b)[whole].max() / largest) if largest > 0 else math.inf


def _told(result: Mapping[str, Any]) -> list[str]:
    """The result in sentences."""
    metrics, parameters, returns = result["metrics"], result["parameters"], result["evaluation"]
    lines = [
        {
            "bitwise": "Agrees bitwise.",
            "rounding": f"Agrees up to rounding (within {TOLERANCE:g} of the largest value).",
            "none": "Does not agree.",
        }[result["agreement"]]
    ]
    if parameters is None:
        lines.append("  parameters: not compared; the folder holds the policy of an earlier step")
    else:
        lines.append(
            f"  parameters: {_same(parameters)}; SHA-256 {parameters['then'][:12]} and {parameters['now'][:12]}"
        )
    lines.append(
        f"  metrics: {metrics['rows']} rows and {metrics['rows_now']}, {_same(metrics)}; "
        f"SHA-256 {metrics['then'][:12]} and {metrics['now'][:12]}"
    )
    if metrics["first"]:
        lines.append(f"  first difference: {metrics['first']['metric']} at step {metrics['first']['step']:,}")
    if returns is not None:
        low, high = returns["interval"]
        lines.append(
            f"  return: {returns['then']:.2f} then, {returns['now']:.2f} now; difference {returns['difference']:+.2f}, "
            f"95 % interval over episodes [{low:.2f}, {high:.2f}]"
        )
    return lines


def _same(part: Mapping[str, Any]) -> str:
    return "equal" if part["same"] else f"differ by up to {part['difference']:.2g}"
