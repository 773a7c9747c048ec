"""An algorithm of a person's own, behind a guard: what goes wrong in it is told with its place, not as a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from operant.config.errors import ConfigError, OperantError, place_of, raised, shown
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
        except BaseException as error:
            raise OperantError(f"{place_of(error) or name}: the algorithm {name} {raised(error)}") from error

    def metrics(of: Iterator[Metrics]) -> Metrics:
        found: Any = next(of)
        if not isinstance(found, Mapping):
            raise ConfigError(f"the algorithm {name} yielded {shown(found)}: expected metrics, a number for each name")
        for value in cast("Mapping[str, Any]", found).values():
            float(value)
        return cast(Metrics, found)

    def loop(of: Iterator[Metrics]) -> Iterator[Metrics]:
        while True:
            try:
                yield safely(lambda: metrics(of))
            except StopIteration:
                raise OperantError(f"the algorithm {name} ended: its loop must go on for ever") from None

    def made(cfg: Any, env: EnvLike, say: Say) -> Job:
        job = safely(lambda: build(cfg, env, say))
        if not isinstance(job, Job):
            raise ConfigError(f"{name} returned a {type(job).__name__}, not an operant.control.Job")
        job.algorithm = loop(job.algorithm)
        begin = job.begin
        job.begin = lambda at: safely(lambda: begin(at))
        return job

    return made
