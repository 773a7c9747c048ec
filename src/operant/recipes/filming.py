"""A film of what came of a trial."""

from __future__ import annotations

from typing import Any

from operant.control import Agent
from operant.data.streams import Streams
from operant.env import VectorEnv, make
from operant.env.headless import draw_in_memory
from operant.recipes.recipe import Trial
from operant.run.sources import short
from operant.view.play import Episode
from operant.view.video import record


def filmed(t: Trial, agent: Agent, env: str, **kwargs: Any) -> None:
    """Of the first seed an episode of the agent, `episode.mp4` in the trial's folder, with what it read.

    Args:
        t: what is tried.
        agent: acts by draws.
        env: of which world, with `kwargs`.
    """
    if t.seed == 1:
        draw_in_memory()
        film(t, agent, make(env, 1, kwargs=kwargs, render_mode="rgb_array"), short(env))


def film(t: Trial, agent: Agent, copies: VectorEnv, name: str) -> None:
    """The same of environments that are there, of the first of which pictures are taken; they are closed."""
    noise = Streams(t.seed).numpy("film")
    episode = Episode(copies, lambda obs: agent.decide(obs, generator=noise), name, 900_000)
    try:
        agent.forget()
        with agent.attention() as episode.looked:
            record(episode.frames(), t.folder / "episode.mp4", fps=copies.fps, overlay=episode.caption,
                   reads=episode.reads, poster=True)  # fmt: skip
    finally:
        copies.close()
    t.say(f"{t.arm}: an episode is filmed in {t.folder / 'episode.mp4'}")
