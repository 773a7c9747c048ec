"""What differs from commit 4775408 on purpose: patterns of `case:part`, and causes that docs/log.md tells."""

from __future__ import annotations

INTENDED: dict[str, str] = {
    "mdp/irl:found/log_likelihood": "w · μ_E - E[V] at once, no longer less a penalty that cancels: the last bit",
    "language/*:*.out/completions": "operant sample decodes by compiled code: the same tokens, log π in the last bits",
}
