"""What stands around a model that nobody trained: one harness, and the agents that are made of it."""
