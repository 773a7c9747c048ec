"""Legged robots that follow commands: settings, descriptions, rewards by name, and the environment."""
