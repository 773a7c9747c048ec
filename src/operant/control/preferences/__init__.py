"""Learning from preferences over clips."""
