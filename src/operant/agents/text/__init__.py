"""Worlds that are read and answered in lines of text."""
