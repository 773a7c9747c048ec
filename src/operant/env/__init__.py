"""Adapters to environments, and environments of our own."""
