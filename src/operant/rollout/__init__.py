"""The only place where an environment meets a policy."""
