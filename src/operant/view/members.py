"""Runs to be compared: what each one is, measured and scored, and in which group it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError, OperantError
from operant.config.text import clean
from operant.config.toml import read_toml
from operant.run.folder import RunFolder
from operant.run.metrics import Column, read_metrics
from operant.run.progress import cut_in_words

TRAIN, EVALUATION = "train/return", "eval/return_mean"
APART = ("seed", "env.id", "track", "save.keep", "save.videos", "save.report")
"""Settings that do not part runs into groups: the seed, the environment (each has a section), and what is kept."""

LONGEST = 200
"""Letters of a name over a chart."""

Settings = dict[str, Any]
"""Dotted key → value."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One run of a comparison."""

    path: Path
    info: Mapping[str, Any]  # run.json
    settings: Settings | None  # None where there is no readable config.toml
    columns: Mapping[str, Column]

    @property
    def env(self) -> str:
        """The environment's id."""
        return _named(self.info.get("env") or "unknown environment")

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        return self.info.get("seed")

    @property
    def status(self) -> str:
        """started, killed, finished, interrupted or failed."""
        return str(self.info.get("status") or "unknown")

    @property
    def score(self) -> float | None:
        """Mean return of the final evaluation, as measured; None for a run that did not finish or was not evaluated."""
        evaluation = self.info.get("evaluation")
        return float(evaluation["mean"]) if evaluation and self.status == "finished" else None

    @property
    def protocol(self) -> str | None:
        """How the final evaluation was made, in words."""
        evaluation = self.info.get("evaluation") if self.score is not None else None
        if not evaluation:
            return None
        how = "deterministic" if evaluation.get("deterministic") else "sampled"
        seeds = f"seeds from {evaluation.get('seed')}"
        return f"{evaluation.get('episodes')} episodes, {how} actions, {seeds}{cut_in_words(evaluation)}"

    @property
    def steps(self) -> int:
        """Environment steps done, as far as run.json or the metrics know."""
        last = max((int(column.step[-1]) for column in self.columns.values()), default=0)
        return max(int(self.info.get("steps") or 0), last)


@dataclass(kw_only=True)
class Group:
    """Runs of one environment and one configuration, one for each seed."""

    env: str
    members: list[Member]
    settings: Settings
    name: str = ""
    method: tuple[str, ...] = ()  # equal for groups of several environments that stand for the same method

    @property
    def scored(self) -> list[Member]:
        """The members that have a final evaluation."""
        return [member for member in self.members if member.score is not None]

    @property
    def scores(self) -> list[float]:
        """Mean return of each final evaluation, by seed."""
        return [member.score for member in self.members if member.score is not None]


@dataclass(kw_only=True)
class Grouped:
    """Groups by environment, the settings in which those of an environment differ, and what must be said of them."""

    groups: dict[str, list[Group]]
    differences: dict[str, list[tuple[str, list[str]]]]  # env → (key, the value in each group)
    repeated: list[Member] = field(default_factory=list)


def read_member(path: Path) -> Member:
    """Read one run folder.

    Raises:
        ConfigError: if `path` is no run folder.
        OperantError: if a file of it cannot be read; names it.
    """
    folder = RunFolder(path)
    try:
        info = folder.standing()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OperantError(f"{path / 'run.json'} is damaged ({error}); mend it or leave this run out") from error
    metrics = read_metrics(folder.path, (TRAIN, EVALUATION))
    columns = {name: column for name in (TRAIN, EVALUATION) if (column := metrics.column(name)) is not None}
    return Member(path=path, info=info, settings=_settings(path), columns=columns)


def group(members: Sequence[Member]) -> Grouped:
    """Part runs into groups by environment and settings, and name each by what it differs in from the others.

    Where a seed was run twice in a group, the two are not independent: the one that got furthest counts, a finished
    one before any other and the later of equals; the rest are in `repeated`.
    """
    groups_by_key: dict[tuple[str, str], Group] = {}
    for member in members:
        settings = {k: v for k, v in (member.settings or {}).items() if k not in APART}
        if member.settings is None:
            settings = {"algorithm": member.info.get("algorithm"), "config.toml": "missing"}
        key = (member.env, json.dumps(settings, sort_keys=True, default=str))
        groups_by_key.setdefault(key, Group(env=member.env, members=[], settings=settings)).members.append(member)
    repeated: list[Member] = []
    for each in groups_by_key.values():
        repeated += _one_per_seed(each)
    by_env: dict[str, list[Group]] = {}
    for each in groups_by_key.values():
        by_env.setdefault(each.env, []).append(each)
    differing = {env: _differing([g.settings for g in groups]) for env, groups in by_env.items()}
    everywhere = sorted({key for keys in differing.values() for key in keys})
    for env, groups in by_env.items():
        _name(groups, differing[env])
        for each in groups:
            each.method = tuple(setting_text(each.settings.get(key)) for key in everywhere)
    table = {
        env: [(key, [setting_text(g.settings.get(key)) for g in groups]) for key in differing[env]]
        for env, groups in by_env.items()
    }
    return Grouped(groups=by_env, differences=table, repeated=repeated)


def setting_text(value: object) -> str:
    """A setting as a table or a name shows it; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(setting_text(item) for item in value) + "]"  # pyright: ignore[reportUnknownArgumentType]
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def notes(grouped: Grouped) -> list[str]:
    """Everything that a reader must know before comparing, in sentences; nothing is left out in silence."""
    sentences: list[str] = []
    for env, groups in grouped.groups.items():
        for each in groups:
            for member in each.members:
                sentences += _of_run(member)
        sentences += _of_environment(env, groups)
    sentences += [
        f"{member.path.name} is another run of seed {member.seed} with the same settings: the two are not independent, "
        "and it is not counted."
        for member in grouped.repeated
    ]
    return sentences


def _of_run(member: Member) -> Iterable[str]:
    name, steps = member.path.name, f"step {member.steps:,} of {int(member.info.get('total_steps') or 0):,}"
    score = member.score
    if member.status != "finished":
        error = f": {str(member.info['error']).rstrip('.')}" if member.info.get("error") else ""
        what = {
            "started": "is still going, or was killed",
            "killed": "was killed",
            "interrupted": "was interrupted",
            "failed": "failed",
        }.get(member.status, f"has the status {member.status}")
        yield f"{name} {what} at {steps}{error}. Its curve is drawn as far as it goes; it has no final score."
    elif score is None:
        yield f"{name} finished without a final evaluation: it has no final score."
    elif not math.isfinite(score):
        yield f"{name}: its final evaluation is {score}, so no interquartile mean of its group exists."
    elif cut := cut_in_words(member.info["evaluation"]):
        yield f"{name}: in its final evaluation{cut.lstrip(';')}: their returns are not those of whole episodes."
    if member.settings is None:
        yield f"{name} has no readable config.toml: it stands in a group of its own kind."
    if TRAIN not in member.columns:
        yield f"{name} has no training return: no episode had ended."
    for metric, column in member.columns.items():
        bad = column.step[~_finite(column)]
        if len(bad):
            where = f"at step {bad[0]:,.0f}" if len(bad) == 1 else f"{len(bad):,} times from step {bad[0]:,.0f} on"
            yield f"{name}: {metric} was not finite {where}; the curves have a gap and a red mark there."


def _of_environment(env: str, groups: Sequence[Group]) -> Iterable[str]:
    members = [member for each in groups for member in each.members]
    protocols = sorted({member.protocol for member in members if member.protocol})
    if len(protocols) > 1:
        yield f"{env}: final evaluations were not all made alike ({'; '.join(protocols)}): compare them with care."
    steps = sorted({int(each.members[0].info.get("total_steps") or 0) for each in groups})
    if len(steps) > 1:
        yield f"{env}: groups were trained for different numbers of steps ({', '.join(f'{s:,}' for s in steps)})."
    for what, read in (("versions of operant", _version), ("commits", _commit)):
        values = sorted({version for member in members if (version := read(member))})
        if len(values) > 1:
            yield f"{env}: runs were made by different {what} ({', '.join(values)})."


def _version(member: Member) -> str | None:
    return (member.info.get("packages") or {}).get("operant")


def _commit(member: Member) -> str | None:
    git = member.info.get("git")
    return str(git["sha"])[:10] if git and git.get("sha") else None


def _finite(column: Column) -> Any:
    import numpy as np

    return np.isfinite(column.value)


def _settings(path: Path) -> Settings | None:
    try:
        tree = read_toml(path / "config.toml")[0]
    except ConfigError:
        return None
    return dict(_flat(tree))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield prefix + key, value


def _one_per_seed(each: Group) -> list[Member]:
    """Keep one run for each seed, by seed; returns the others."""
    ranked = sorted(
        each.members, key=lambda m: (m.status == "finished", m.steps, str(m.info.get("started"))), reverse=True
    )
    kept: dict[int | None, Member] = {}
    others: list[Member] = []
    for member in ranked:
        if member.seed in kept and member.seed is not None:
            others.append(member)
        else:
            kept[member.seed] = member
    each.members = sorted((m for m in ranked if m not in others), key=lambda m: (m.seed is None, m.seed, m.path.name))
    return others


def _differing(settings: Sequence[Settings]) -> list[str]:
    """The keys that do not have one value in all of these, in the order in which they first come."""
    keys = list(dict.fromkeys(key for each in settings for key in each))
    return [key for key in keys if len({json.dumps(each.get(key), default=str) for each in settings}) > 1]


def _name(groups: Sequence[Group], keys: Sequence[str]) -> None:
    """Name each group by up to three of the settings in which it differs; a letter where that does not tell all."""
    last = [key.rpartition(".")[2] for key in keys]
    short = [tail if last.count(tail) == 1 else key for key, tail in zip(keys, last, strict=True)]
    for index, each in enumerate(groups):
        parts = [
            str(each.settings.get(key)) if key == "algorithm" else f"{name} {setting_text(each.settings.get(key))}"
            for key, name in zip(keys[:3], short, strict=False)
        ]
        letter = f" ({_letter(index)})" if len(keys) > 3 else ""
        each.name = _named(", ".join(parts) or str(each.settings.get("algorithm"))) + letter


def _named(text: object) -> str:
    """A name as it fits over a chart."""
    name = clean(text, lines=False)
    return name if len(name) <= LONGEST else name[:LONGEST] + "…"


def _letter(index: int) -> str:
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")
