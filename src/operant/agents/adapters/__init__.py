"""Worlds of others: tasksets of verifiers, OpenEnv servers, AppWorld servers."""
