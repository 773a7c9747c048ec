"""Drain a generator into a run folder."""
