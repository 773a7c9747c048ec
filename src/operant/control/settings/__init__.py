"""What a person may set of a run of deep reinforcement learning; torch-free."""
