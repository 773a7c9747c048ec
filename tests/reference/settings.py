"""The settings of every algorithm by name, of this tree and of those from before the registry."""

from importlib import import_module


def all_settings():
    registry = import_module("operant.config.registry")
    return registry.all_settings() if hasattr(registry, "all_settings") else dict(registry.ALGORITHMS)


def settings_of(algorithm):
    return all_settings()[algorithm]
