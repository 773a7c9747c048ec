"""How much memory there is, and the words for it."""

from __future__ import annotations

import os
from pathlib import Path

SMALL = 2**26
"""Bytes that are always there."""
SHARE = 0.9
"""Of what is available, the part that may be filled: the rest is for the file cache and the system."""


def available() -> int | None:
    """Bytes that can be had without swapping, within the limits set on this process; None where it cannot be told."""
    limits = [_meminfo(), _control_group(), _address_space()]
    known = [number for number in limits if number is not None]
    return max(0, min(known)) if known else None


def usable() -> int | None:
    """Bytes that may be used: nine tenths of what is available; None where that cannot be told."""
    free = available()
    return None if free is None else int(SHARE * free)


def gigabytes(size: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB" if size < 1000 else f"{size:,.0f} GB"


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # what others use is not known
    except (ValueError, OSError, AttributeError):
        return None


def _control_group() -> int | None:
    """What is left in this process's control group (version 2 or 1), file cache counted as free."""
    for folder, limit, used, cache in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            root = Path(folder)
            most, now = int((root / limit).read_text()), int((root / used).read_text())
            stat = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
            return most - now + int(stat.get(cache, 0))
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
    return None


def _address_space() -> int | None:
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        return most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None


def allow(needed: int, what: str, most: int = 2**63) -> None:
    """Refuse to read what would not fit: a small file may unpack to more than there is.

    Args:
        needed: bytes in memory.
        what: for the message: "it unpacks to".
        most: bytes that may be used, whatever there is.

    Raises:
        ValueError: with both figures.
    """
    if needed <= SMALL:
        return
    there = usable()
    allowed = most if there is None else min(most, there)
    if needed > allowed:
        raise ValueError(f"{what} {gigabytes(needed)}, and no more than {gigabytes(allowed)} of it is read")
