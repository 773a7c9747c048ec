"""Sampling: the engine and its decoders."""
