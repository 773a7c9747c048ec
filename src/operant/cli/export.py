"""`operant export`: a policy in a folder of its own, ready to be shared, with the evidence of what it can do."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from operant.api import Run
from operant.cli.say import say, tell
from operant.config.errors import ConfigError, DiskError
from operant.config.schema import RunConfig
from operant.config.text import absolute_path, command
from operant.data.stats import bootstrap_ci, iqm
from operant.data.streams import Streams
from operant.env import EnvLike, VectorEnv
from operant.env.interface import Interface
from operant.run import exported
from operant.run.actor import Actor
from operant.run.disk import mending, refusal
from operant.run.evaluate import Evaluator
from operant.run.evaluate import copies as made_copies
from operant.run.find import find
from operant.run.folder import provenance, write_json
from operant.run.progress import working
from operant.run.sources import short, without_folders
from operant.tabular.table import TablePolicy, as_json
from operant.view import onnx
from operant.view.card import card

OBSERVATIONS = 1000
"""On which the graph is held against the library: nine of ten real, the rest extreme."""

KEPT = (
    *("schema_version", "id", "status", "algorithm", "env", "seed", "total_steps", "steps", "started", "ended"),
    *("seconds", "preset", "parameters", "argv", "git", "host", "packages", "phases", "attempts", "evaluation"),
    *("source", "sources"),
)
"""Fields of `run.json` that go with an exported policy."""

OTHER_SEEDS = 1_000_000
"""Added to the first evaluation seed where evaluations with those seeds chose the checkpoint."""


def verb(args: argparse.Namespace) -> None:
    """Export, and say where to."""
    with working("export"):
        folder = export(find(args.run, args.runs), out=args.out, name=args.checkpoint, env=args.env, trust=args.trust)
    made = json.loads((folder / "evaluation.json").read_text())
    graph = json.loads((folder / "run.json").read_text())["export"]["onnx"]
    tell(folder)
    held = f"there is no policy.onnx, as {graph.get('why')}"
    if "difference" in graph:
        seen = f"{graph['observations']:,} observations"
        held = f"policy.onnx agrees with the policy to {graph['difference']:.1g} on {seen}"
    say(
        f"Return {made['mean']:.2f} ± {made['std']:.2f} over {made['episodes']} episodes; {held}.\n"
        f"Next: {command('eval', folder)}, or {command('push', folder, 'NAME/REPOSITORY')}"
    )


def export(
    path: Path, *, out: Path | None = None, name: str = "latest", env: EnvLike | None = None, trust: bool = False
) -> Path:
    """Write a policy as a folder that can be shared; returns the folder.

    It holds `policy.onnx` (verified), the policy file, `config.toml`, `run.json` without paths of this machine, the
    metrics, `evaluation.json` (measured here), a video, a card and a manifest. It appears whole or not at all.

    Args:
        path: a run folder.
        out: the folder to write, `export` in the run folder if None; an earlier export there is replaced.
        name: which checkpoint.
        env: the environment, where the run was made with a callable instead of a name.
        trust: import the Python code that the run names as its algorithm or network.

    Raises:
        ConfigError: if there is no such checkpoint, `out` holds something else, or a package is missing.
        OperantError: if the graph does not agree with the policy.
        DiskError: if the disk refuses.
    """
    if exported.is_exported(path):
        raise ConfigError(f"{path} is an exported policy already. Copy the folder, or push it.")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        onnx.needs(package)
    run = Run(path, name=name, env=env, trust=trust)
    if why := run.export_refusal():
        raise ConfigError(why)
    final = run.path / "export" if out is None else absolute_path(out)
    if final.exists() and (not final.is_dir() or (any(final.iterdir()) and not exported.is_exported(final))):
        raise ConfigError(f"{final} holds something else than an exported policy. Choose another --out.")
    draft = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        run.permitted()
        _fill(draft, run, run.env)
        exported.seal(draft)
        if final.exists():
            shutil.rmtree(final)
        draft.replace(final)
    except Exception as error:
        if (reason := refusal(error)) is None:
            raise
        raise DiskError(f"cannot write {final}: {reason}. {mending(error)} (--out).") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return final


def _fill(folder: Path, run: Run, env: EnvLike) -> None:
    """Write everything but the manifest."""
    agent, step, cfg = run.policy, run.step, run.config
    copies = made_copies(cfg, env, cfg.eval.copies)
    try:
        obs = observations(copies, agent, cfg)
        space, between = copies.action_space, Interface.of(copies)
    finally:
        copies.close()
    if agent.interface is None:  # the run is of an earlier version
        agent.know(between)
    agent.save(folder)
    spec = folder / "policy.json"
    spec.write_text(without_folders(spec.read_text(), cfg))
    if isinstance(agent, TablePolicy):
        (folder / "table.json").write_text(as_json(agent.table), encoding="utf-8")
    graph = folder / "policy.onnx"
    about = {
        "environment": short(cfg.env.id),
        "algorithm": short(cfg.algorithm),
        "step": str(step),
        "library": "operant",
    }
    held: dict[str, Any] = {"why": onnx.formless(agent)}
    if not held["why"]:
        onnx.write(agent, space, graph, about)
        held = asdict(onnx.verify(graph, agent, space, obs))
    evaluation = _measure(run, env, step)
    write_json(folder / "evaluation.json", evaluation)
    info = {key: value for key, value in run.folder.info().items() if key in KEPT}
    info |= {"argv": without_paths(info.get("argv") or []), "attempts": info.get("attempts") or []}
    recorded: dict[str, dict[str, Any]] = info.pop("sources", None) or {}
    recorded.pop("config.toml", None)  # from which folders are cut
    info |= {"sources": {key: its | {"path": Path(its["path"]).name} for key, its in recorded.items()}}
    info["export"] = {"step": step, "checkpoint": run.name, "onnx": held}
    write_json(folder / "run.json", info)
    text = (run.path / "config.toml").read_text(encoding="utf-8")
    (folder / "config.toml").write_text(without_folders(_without_folders(text), cfg), encoding="utf-8")
    shutil.copytree(run.path / "metrics", folder / "metrics", ignore=_empty)
    page = card(
        run=info,
        evaluation=evaluation,
        packages=evaluation["packages"],
        observations=between.observations,
        action_space=space,
        replay=_replay(run, step, folder),
        table=isinstance(agent, TablePolicy),
    )
    (folder / "README.md").write_text(page, encoding="utf-8")


def observations(copies: VectorEnv, agent: Actor, cfg: RunConfig) -> np.ndarray:
    """Raw observations [1000, D]: 900 from episodes of the sampled policy, 100 extreme.

    Extreme are all zeros, every corner value of a finite bound at once, and 98 with each number at ten times the least
    or the largest seen; of bytes at the least or the largest. Masks are real ones.
    """
    noise = Streams(cfg.seed).numpy("export")
    seen, wanted = [copies.reset(cfg.eval.seed)], OBSERVATIONS * 9 // 10
    while len(seen) * copies.num < wanted:
        seen.append(copies.step(agent.decide(seen[-1], generator=noise)).obs)
    real = np.concatenate(seen)[:wanted]  # [900, D]
    low, high = real.min(axis=0), real.max(axis=0)
    rest = OBSERVATIONS - wanted
    far = np.where(noise.random((rest, real.shape[1])) < 0.5, low, high) * np.float32(10)  # [100, D]
    far[0] = 0.0
    features = copies.observations.features
    wild = far[:, :features].clip(0, 255) if real.dtype == np.uint8 else far[:, :features]
    far = np.hstack([wild, real[:rest, features:]])
    return np.concatenate([real, far]).astype(real.dtype)


def without_paths(argv: Sequence[str]) -> list[str]:
    """A command line of which every absolute or home path is cut to its last part, and the folder of runs left out."""
    words: list[str] = []
    skip = False
    for word in argv:
        if skip or word.startswith("--runs="):
            skip = False
            continue
        if word == "--runs":
            skip = True
            continue
        head, path = re.match(r"(@|--[\w.-]+=|)(.*)", word, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
        words.append(head + (re.split(r"[/\\]", path)[-1] if re.match(r"[/~.\\]|[A-Za-z]:[/\\]", path) else path))
    return words


def _without_folders(toml: str) -> str:
    """A config.toml whose comments name files without their folders."""
    return re.sub(r"(#[ ]).*[/\\]([^/\\\n]+:\d+)$", r"\1\2", toml, flags=re.MULTILINE)


def _empty(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).stat().st_size == 0]


def _measure(run: Run, env: EnvLike, step: int) -> dict[str, Any]:
    """`evaluation.json`: the return of the policy, and everything that it depends on."""
    cfg = run.config
    chosen = run.name == "best"
    seed = cfg.eval.seed + (OTHER_SEEDS if chosen else 0)
    evaluator = Evaluator(cfg, env, run.policy)
    try:
        result = evaluator(cfg.eval.episodes, seed=seed)
    finally:
        evaluator.close()
    interval = [None if math.isnan(x) else x for x in bootstrap_ci(result.returns)]
    return {
        "env": short(cfg.env.id),
        "step": step,
        "episodes": len(result.returns),
        **result.marks(cfg.eval),
        "copies": result.copies,
        "deterministic": cfg.eval.deterministic,
        "seed": seed,
        "mean": float(result.returns.mean()),
        "std": float(result.returns.std()),
        "iqm": iqm(result.returns),
        "iqm_ci95": interval,
        "note": f"The evaluations that chose it began at seed {cfg.eval.seed}. " if chosen else "",
        "returns": result.returns.tolist(),
        "lengths": result.lengths.tolist(),
        "packages": provenance()["packages"],
    }


def _replay(run: Run, step: int, folder: Path) -> Mapping[str, Any] | None:
    """Copy a video of this step as `replay.mp4`, filmed first where there is none; None where nothing can be drawn."""
    videos = [
        v for v in run.folder.videos() if v.name.startswith(f"step-{step:08d}-") and v.with_suffix(".json").is_file()
    ]
    try:
        video = videos[-1] if videos else run.play()[0]
    except Exception as error:  # simulators raise types of their own where there is no screen
        warnings.warn(f"no video: {error}", stacklevel=2)
        return None
    about: dict[str, Any] = json.loads(video.with_suffix(".json").read_text())
    shutil.copyfile(video, folder / "replay.mp4")
    return about
