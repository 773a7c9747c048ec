"""What a person may have meant who mistyped a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


def nearest(name: str, candidates: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The candidates closest to a mistyped name, best first, whose share of matching letters reaches `cutoff`.

    Capital letters count as small ones.
    """
    known = {candidate.lower(): candidate for candidate in candidates}
    return [known[match] for match in get_close_matches(str(name).lower(), known, n=most, cutoff=cutoff)]


def did_you_mean(names: Sequence[str]) -> str:
    """` Did you mean 'a' or 'b'?` with a leading space, or nothing."""
    return f" Did you mean {' or '.join(repr(name) for name in names)}?" if names else ""


def missing(path: Path, suffix: str = "") -> str:
    """What is wrong with a path where a file belongs: it is something else, a link to nothing, or nearly another."""
    if path.exists():
        return "it is a folder." if path.is_dir() else "it is no regular file."
    if path.is_symlink():
        return "it is a link to nothing."
    beside = [each.name for each in path.parent.glob(f"*{suffix}") if each.is_file()] if path.parent.is_dir() else []
    return f"no such file.{did_you_mean(nearest(path.name, beside))}"


def nearest_are(name: str, candidates: Iterable[str]) -> str:
    """`; nearest: a, b, c`, or nothing."""
    near = nearest(name, candidates, most=3)
    return f"; nearest: {', '.join(near)}" if near else ""
