"""Processes that serve: one supervised pool, its wire, and imports by name."""
