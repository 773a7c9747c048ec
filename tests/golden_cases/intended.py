"""What differs from commit 4775408 on purpose: patterns of `case:part`, and causes that docs/log.md tells."""

from __future__ import annotations

INTENDED: dict[str, str] = {}
