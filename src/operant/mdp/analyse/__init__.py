"""What a policy is worth, where it leads, and what changes if it does."""
