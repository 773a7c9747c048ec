"""Typed records: the trajectory and its batches."""
