""" "auto" is written down when a run begins: what a later version picks changes no run that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import operant
from operant.cli.reproduce import reproduce
from operant.run.schemas import settings

SHORT: dict[str, Any] = {
    "env.num": 2, "algo.horizon": 32, "algo.batch": 32, "algo.epochs": 1, "algo.lr_schedule": "constant",
    "algo.clip_schedule": "constant", "policy.hidden": (8,), "eval.episodes": 1, "save.every": 128,
    "save.videos": False, "save.report": False, "quiet": True, "total_steps": 256,
}  # fmt: skip


def trained(env: Any, runs: Path, **more: Any) -> Path:
    return operant.train("ppo", env, runs=runs, **SHORT | more).folder.path


def weights(run: Path) -> dict[str, Any]:
    return load_file(sorted((run / "checkpoints").glob("step-*"))[-1] / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    x, y = weights(a), weights(b)
    return all((x[k] == y[k]).all() for k in x)


def of_before(run: Path) -> Path:
    """The folder as an earlier version wrote it, which picked among Gymnasium's."""
    file = run / "config.toml"
    text = file.read_text()
    for backend in ("native", "inprocess"):
        text = text.replace(f'backend = "{backend}"', 'backend = "auto"')
    file.write_text(text)
    assert settings(run).env.backend == "auto"  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize(("env", "then"), [("CartPole-v1", "native"), ("Pendulum-v1", "inprocess")])
def test_a_run_of_before_goes_on_in_its_world(env: str, then: str, tmp_path: Path) -> None:
    """An "auto" of a folder is Gymnasium's: resumed and reproduced, it is the run that never stopped."""
    whole = trained(env, tmp_path, **{"env.backend": then, "total_steps": 512})
    run = of_before(trained(env, tmp_path, **{"env.backend": then}))
    compiled = trained(env, tmp_path, total_steps=512)
    assert not same(whole, compiled)
    again = reproduce(run, runs=tmp_path, quiet=True, say=lambda text: None)
    assert again["agreement"] == "bitwise"
    operant.resume(run, to=512, quiet=True)
    assert same(run, whole)


def test_a_new_run_says_what_it_runs_in(tmp_path: Path) -> None:
    whole = trained("CartPole-v1", tmp_path, total_steps=512)
    run = trained("CartPole-v1", tmp_path)
    assert settings(run).env.backend == "compiled"  # type: ignore[attr-defined]
    operant.resume(run, to=512, quiet=True)
    assert same(run, whole)
    other = trained("CartPole-v1", tmp_path, **{"env.kwargs.sutton_barto_reward": True})
    assert settings(other).env.backend == "auto"  # type: ignore[attr-defined]


def test_another_environment_in_its_place_is_asked_for_what_it_has(tmp_path: Path) -> None:
    run = trained("CartPole-v1", tmp_path)
    file = tmp_path / "own.py"
    file.write_text("import gymnasium\n\ndef pole():\n    return gymnasium.make('CartPole-v1')\n")
    again = operant.resume(run, to=512, env=f"{file}:pole", quiet=True)
    assert again.folder.info()["steps"] == 512
