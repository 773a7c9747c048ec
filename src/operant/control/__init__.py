"""Control by deep reinforcement learning: networks, policies, the collector, PPO."""
