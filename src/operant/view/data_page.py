"""A data set in figures, as a page, and its best episode as a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from operant.config.errors import ConfigError, EnvError
from operant.env.check_data import require_sound
from operant.env.dataset import DataSet, plain_actions
from operant.env.headless import draw_in_memory
from operant.env.interface import Interface
from operant.env.leaf import at, drawn, leaves
from operant.env.spaces import Actions
from operant.view import charts, page, panels
from operant.view.charts import Chart, Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from operant.env.findings import Problem

    Array = NDArray[Any]

LISTED = 40
"""Numbers of an observation whose range is told one by one."""


def summary(data: DataSet) -> dict[str, Any]:
    """Returns, lengths, ends and coverage of a data set, as JSON holds them."""
    ended = [bool(e.terminations[-1]) if len(e) else False for e in data.episodes]
    return {
        "env": data.env_id,
        "episodes": len(data),
        "steps": data.steps,
        "returns": _spread(data.returns),
        "lengths": _spread(data.lengths.astype(np.float64)),
        "terminated": sum(ended),
        "truncated": len(ended) - sum(ended),
        "coverage": [*coverage(data)],
    }


def coverage(data: DataSet) -> Iterator[dict[str, Any]]:
    """What was seen and done, row by row: of numbers their range, and the share of their space's; of choices shares."""
    for what, space, name in (
        ("observation", data.observation_space, "observations"),
        ("action", data.action_space, "actions"),
    ):
        for path, keys, inner in leaves(space):
            x = [np.asarray(at(getattr(e, name), keys)) for e in data.episodes]
            x = np.concatenate([part for part in x if part.shape[1:] == (inner.shape or ())])
            yield from _covered(f"{what}{path}", x, inner)


def write_data_page(path: Path, data: DataSet, problems: Sequence[Problem]) -> Path:
    """Write a page about a data set, one file, and return its path.

    Raises:
        DiskError: if it cannot be written.
    """
    told = summary(data)
    returns = data.returns
    head = [
        {"label": "Return", "value": f"{returns.mean():.1f}", "note": f"mean of {len(data)} episodes"},
        {"label": "Best", "value": f"{returns.max():.1f}", "note": f"episode {int(returns.argmax())}"},
        {"label": "Steps", "value": f"{data.steps:,}", "note": f"{data.lengths.mean():.0f} an episode"},
    ]
    text = page.render(
        "data.html.j2",
        name=Path(data.source).name,
        told=told,
        head=head,
        problems=problems,
        returns=panels.returns_chart(returns.tolist()) if len(data) > 1 else None,
        episodes=_by_episode(data),
        seen=_states(data),
    )
    return page.write_page(path, text)


def film_best(data: DataSet, env: str, out: Path) -> Path:
    """Do the best episode's actions once more from its seed, and film it.

    Raises:
        ConfigError: if it was recorded without a seed, or what is seen differs from what was recorded.
    """
    from operant.env.make import make
    from operant.view.play import Episode
    from operant.view.video import record

    episode = data.episodes[int(data.returns.argmax())]
    if episode.seed is None:
        raise ConfigError(f"{data.source}: its best episode has no seed, so it cannot be played once more")
    actions = plain_actions(Actions(data.action_space), episode.actions)
    draw_in_memory()
    copies = make(env, 1, backend="inprocess", render_mode="rgb_array", measured=True)
    try:
        require_sound(data, Interface.of(copies))
    except ConfigError:
        copies.close()
        raise

    def act(_: Array) -> Array:
        if played.length == len(actions):
            raise EnvError(f"{env} did not end where the recorded episode did: it is not its environment")
        return actions[played.length][None]

    played = Episode(copies, act, env, episode.seed)
    try:
        made = record(played.frames(), out, fps=copies.fps, overlay=played.caption, reads=played.reads)
    finally:
        copies.close()
    if abs(played.total - float(data.returns.max())) > 1e-3 * max(1.0, abs(played.total)):
        raise EnvError(
            f"the actions of the best episode gave {data.returns.max():.1f} when they were recorded and "
            f"{played.total:.1f} in {env}: it is another environment, or does not repeat"
        )
    return made


def _covered(name: str, x: Array, space: Any) -> Iterator[dict[str, Any]]:
    """The rows of one plain space."""
    if drawn(space):
        shades = len(np.unique(x[:: max(1, len(x) // 100)]))
        yield {"what": name, "told": f"pictures {space.shape}, of {shades} shades, mean {x.mean():.0f}"}
        return
    flat = x.reshape(len(x), -1)
    if isinstance(space, spaces.Box):
        low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
        for k in range(min(flat.shape[1], LISTED)):
            least, middle, most = np.quantile(flat[:, k].astype(np.float64), [0.0, 0.5, 1.0])
            row = {"what": f"{name}[{k}]" if flat.shape[1] > 1 else name, "least": least, "median": middle}
            reach = high[k] - low[k]
            share = f", {(most - least) / reach:.0%} of its range" if np.isfinite(reach) and 0 < reach < 1e30 else ""
            yield row | {"most": most, "told": f"from {least:.4g} to {most:.4g}, median {middle:.4g}{share}"}
        return
    start = np.atleast_1d(np.asarray(getattr(space, "start", 0))).ravel()
    for k in range(min(flat.shape[1], LISTED)):
        n = 2 if isinstance(space, spaces.MultiBinary) else int(np.ravel(getattr(space, "nvec", [space.n]))[k])
        values, counts = np.unique(flat[:, k], return_counts=True)
        most = sorted(zip(counts.tolist(), values.tolist(), strict=True), reverse=True)[:6]
        told = ", ".join(f"{int(v)}: {c / len(flat):.0%}" for c, v in most)
        yield {
            "what": f"{name}[{k}]" if flat.shape[1] > 1 else name,
            "told": f"{len(values)} of {n} choices from {int(start[min(k, len(start) - 1)])} on; {told}",
        }


def _spread(x: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(x.mean()), "median": float(np.median(x)), "least": float(x.min()), "most": float(x.max())}


def _by_episode(data: DataSet) -> Chart | None:
    """The return of each episode in the order of recording."""
    if len(data) < 2:
        return None
    k = np.arange(len(data), dtype=np.float64)
    made = charts.chart(Scale(0.0, float(k[-1])), charts.fit([data.returns]), "Return of each episode",
                        across="episodes", up="return")  # fmt: skip
    made.dots("dot", k, data.returns)
    lengths = data.lengths.astype(np.float64).tolist()
    made.reading(k, [("return", data.returns.tolist()), ("steps", lengths)], "episode")
    return made


def _states(data: DataSet) -> Chart | None:
    """Where the states lie: the two directions in which they vary most, of observations that are plain numbers."""
    space = data.observation_space
    if not isinstance(space, spaces.Box) or drawn(space) or np.prod(space.shape) < 2:
        return None
    x = np.concatenate([np.asarray(e.observations, np.float64).reshape(len(e.observations), -1) for e in data.episodes])
    x = x[:: max(1, len(x) // 2000)]
    if not np.isfinite(x).all():
        return None
    x = (x - x.mean(0)) / np.where((deviation := x.std(0)) > 1e-9, deviation, 1.0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    one, two = (x @ axes[:2].T).T
    made = charts.chart(charts.fit([one]), charts.fit([two]), "States that were seen", across="", up="")
    made.dots("dot", one, two)
    return made
