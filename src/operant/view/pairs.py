"""Two clips side by side, for a person who says which is better (`operant.control.preferences`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError, EnvError
from operant.data.npz import read_npz
from operant.env import VectorEnv
from operant.env.headless import draw_in_memory
from operant.env.make import make
from operant.view.video import record

Array = NDArray[Any]
SECONDS, GAP = 2, 12
"""How long a clip is at least shown, and the points between two pictures."""
WHICH = ("first", "second")


def film_pairs(run: Path, config: Any, env: Any) -> list[Path]:
    """Film each pair of clips that a run asked a person to judge: `preferences/pair-0003.mp4`, where there is none yet.

    Args:
        run: its folder.
        config: its settings.
        env: its environment, which has to do again what it did.

    Raises:
        ConfigError: if the run asked for none, or a file is no pair of clips.
        EnvError: if the environment draws nothing, or does not repeat.
    """
    files = sorted((run / "preferences").glob("pair-*.npz"))
    if not files:
        raise ConfigError(f"{run} asked nobody about clips: train preference-ppo with --preferences.labels FILE")
    draw_in_memory()
    its, made = config.env, list[Path]()
    copies = make(
        env, 1, backend="inprocess", kwargs=its.kwargs, action_mask=its.action_mask, wrappers=its.wrappers,
        render_mode="rgb_array",
    )  # fmt: skip
    try:
        for file in files:
            out = file.with_suffix(".mp4")
            if not out.exists():
                made.append(_film(copies, file, out))
    finally:
        copies.close()
    return made


def _film(copies: VectorEnv, file: Path, out: Path) -> Path:
    try:
        pair = read_npz(file)
        first, second = _pictures(copies, pair, file)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(f"{file}: not a pair of clips that can be shown again ({error})") from error
    many = max(len(first), len(second))
    name, fps = file.stem.replace("-", " "), max(1, min(copies.fps, many // SECONDS))
    return record(_beside(first, second), out, fps=fps, overlay=lambda k: f"{name} · first | second · step {k}")


def _pictures(copies: VectorEnv, pair: dict[str, Array], file: Path) -> tuple[list[Array], list[Array]]:
    """What was seen before each action of both clips: all actions are done once more."""
    found: tuple[list[Array], list[Array]] = [], []
    seen = [pair[f"obs_{which}"] for which in WHICH]
    obs = copies.reset(int(pair["seed"]))
    for call, action in enumerate(pair["given"]):
        here = [(k, call - int(pair["start"][k])) for k in range(2)]
        for k, step in ((k, step) for k, step in here if 0 <= step < len(seen[k])):
            if not np.allclose(obs[0], seen[k][step], rtol=1e-4, atol=1e-4):
                raise EnvError(f"{file}: the environment does not do again what it did, so there is no film")
            picture = copies.render()
            if picture is None:
                raise EnvError(f"{file}: its environment draws no pictures (no 'rgb_array' render mode)")
            found[k].append(picture)
        obs = copies.step(action[None]).obs
    return found


def _beside(first: list[Array], second: list[Array]) -> Iterator[Array]:
    """The two of each time, the shorter clip standing still at its end."""
    for k in range(max(len(first), len(second))):
        left, right = (clip[min(k, len(clip) - 1)] for clip in (first, second))
        yield np.concatenate([left, np.full((len(left), GAP, 3), 255, np.uint8), right], axis=1)
