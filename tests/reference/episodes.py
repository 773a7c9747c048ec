"""Episodes of any spaces, by random actions, for tests of what reads and learns from data sets."""

import gymnasium
import numpy as np

from operant.env.dataset import DataSet, Episode, stacked


def played(env, count=4, steps=6, seed=0, act=None):
    """A data set of `count` episodes of an environment, by `act(obs)` or at random; cut after `steps`."""
    env = gymnasium.make(env) if isinstance(env, str) else env
    env.action_space.seed(seed)
    episodes = []
    for k in range(count):
        obs, info = env.reset(seed=seed + k)
        seen, done, rewards, masks, over = [obs], [], [], [info.get("action_mask")], False
        while not over and len(rewards) < steps:
            mask = masks[-1]
            action = act(obs) if act else env.action_space.sample(mask if mask is None else np.int8(mask))
            obs, reward, terminated, truncated, info = env.step(action)
            seen.append(obs), done.append(action), rewards.append(float(reward)), masks.append(info.get("action_mask"))
            over = terminated or truncated
        ends = np.zeros((2, len(rewards)), bool)
        ends[0, -1], ends[1, -1] = terminated, not terminated
        masked = masks[0] is not None
        episodes.append(
            Episode(
                observations=stacked(env.observation_space, seen), actions=stacked(env.action_space, done),
                rewards=np.array(rewards), terminations=ends[0], truncations=ends[1], seed=seed + k,
                action_mask=np.stack(masks).astype(np.int8) if masked else None,
            )
        )  # fmt: skip
    name = env.spec.id if env.spec else ""
    return DataSet(
        episodes=episodes, observation_space=env.observation_space, action_space=env.action_space, env_id=name
    )
