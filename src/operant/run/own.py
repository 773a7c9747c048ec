"""An algorithm of a person's own, behind a guard: what goes wrong in it is told with its place, not as a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from operant.config.errors import ConfigError, OperantError, place_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.run.job import Job, Say
from operant.run.sources import short


def guarded(name: str, build: Callable[..., Any]) -> Callable[[Any, EnvLike, Say], Job]:
    """The same `build`, whose errors and those of the loop that it makes name the line of the person's file.

    Args:
        name: what the algorithm is called, `file.py:build`.
        build: a function of the settings, the environment and what tells a line.
    """

    name = short(name)

    def safely(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except (OperantError, StopIteration):
            raise
        except Exception as error:
            where = place_of(error) or name
            raise OperantError(f"{where}: the algorithm {name} raised {type(error).__name__}: {error}") from error

    def loop(of: Iterator[Metrics]) -> Iterator[Metrics]:
        while True:
            try:
                yield safely(lambda: next(of))
            except StopIteration:
                raise OperantError(f"the algorithm {name} ended: its loop must go on for ever") from None

    def made(cfg: Any, env: EnvLike, say: Say) -> Job:
        job = safely(lambda: build(cfg, env, say))
        if not isinstance(job, Job):
            raise ConfigError(f"{name} returned a {type(job).__name__}, not an operant.control.Job")
        job.algorithm = loop(job.algorithm)
        return job

    return made
