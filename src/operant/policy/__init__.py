"""Modules that act and modules that value."""
