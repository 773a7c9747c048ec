"""A run that is stopped at a seam and resumed, beside the same run in one piece."""

from __future__ import annotations

import operant

QUIET = {
    "quiet": True,
    "eval.episodes": 2,
    "save.videos": False,
    "save.report": False,
}


def files(run):
    """All that a run's last checkpoint holds."""
    folder = run.path / "checkpoints" / "latest"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("state.json", "MANIFEST.json")}


def rows(run):
    """A run's metrics, without times."""
    frame = run.metrics
    return frame.drop(columns=[c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed")])


def assert_resumes(tmp_path, algorithm, env, *, every, **settings):
    """`every` and 2·`every` are steps of seams: trained to the first and on, or to the second at once, all is equal.

    An environment in process resets inside its step, so that every step is one of the policy's and counts.
    """
    common = QUIET | {"save.every": every, "env.backend": "inprocess"} | settings
    whole = operant.train(algorithm, env, runs=tmp_path / "whole", total_steps=2 * every, **common)
    part = operant.train(algorithm, env, runs=tmp_path / "part", total_steps=every, **common)
    longer = operant.resume(part.path, to=2 * every, quiet=True, trust=True)
    assert longer.step == whole.step == 2 * every
    ours, theirs = files(longer), files(whole)
    assert [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)] == []
    assert rows(longer).equals(rows(whole))
    return whole
