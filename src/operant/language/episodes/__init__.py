"""Prompts become scored episodes."""
