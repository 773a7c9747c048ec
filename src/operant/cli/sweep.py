"""`operant sweep`: a search for settings."""

from __future__ import annotations

import argparse

from operant.config.errors import ConfigError


def verb(args: argparse.Namespace) -> int | None:
    """Search for settings with a high return."""
    raise ConfigError("`operant sweep` is being built.")
