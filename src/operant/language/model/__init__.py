"""The language model itself: weights, forward passes, adapters, and what is saved of it."""
