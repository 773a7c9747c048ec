"""Sweeps that bound the values from both sides, and the certificates made of them."""
