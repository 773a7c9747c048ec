"""The desk: a world of apps behind typed calls, its tasks, and what they require."""
