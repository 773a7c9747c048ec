"""Learning from fixed data: actions valued without the environment, and policies valued without acting."""
