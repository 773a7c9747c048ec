"""One file per way of solving."""
