"""What is asked of an agent in the three sites."""
