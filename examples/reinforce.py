"""An algorithm of your own: REINFORCE (Williams 1992) as a file that trains, resumes and reports as any other.

operant train examples/reinforce.py:build CartPole-v1 --algo.lr 3e-3
operant eval last --trust          # a folder's code is imported only where you say so

python examples/reinforce.py [--steps 30000]
"""

import argparse

import torch

from operant.control import ControlRun, Job, Networks, Section, on_policy
from operant.math.advantage import reward_to_go
from operant.math.baseline import whiten
from operant.math.objective import policy_gradient


class Settings(Section):
    """What can be set: each is a flag, `--algo.lr`."""

    lr: float = 1e-2
    horizon: int = 256


class ReinforceRun(ControlRun):
    """A run of it."""

    algo: Settings = Settings()


def build(cfg: ReinforceRun, env, say) -> Job:
    """From settings and environment to what the run folder drains."""
    parts = on_policy(cfg, env)
    policy, optimizer = parts.agent.policy, torch.optim.Adam(parts.agent.parameters(), lr=cfg.algo.lr)

    def loop():
        while True:
            traj = parts.collect(cfg.algo.horizon)
            ret = reward_to_go(traj.reward, traj.terminated, traj.truncated, traj.acted, discount=0.99)
            logp, _ = policy.evaluate(traj.obs[:, :-1].flatten(0, 1), traj.action.flatten(0, 1))
            loss, _ = policy_gradient(logp, whiten(ret, traj.acted).flatten(), traj.acted.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield {"loss/policy": loss.detach()} | parts.collect.stats()

    return Job(
        algorithm=loop(),
        learned=Networks(parts.agent, optimizer),
        counter=parts.collect,
        begin=parts.begin,
        evaluate=parts.evaluate,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


if __name__ == "__main__":
    import operant

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30_000)
    args = parser.parse_args()
    run = operant.train(f"{__file__}:build", "CartPole-v1", total_steps=args.steps, **{"save.videos": False})
    print(f"return {run.evaluate(episodes=20)['mean']:.1f}")
