"""One training of Stable-Baselines3 or sb3-contrib, by its own code, from weights and a batch that are given.

    PYTHON stable_baselines.py FOLDER

It is run by the Python of an environment that has both (`bench/_peers.py` makes it), and knows nothing of operant. For
each `NAME.npz` in the folder it writes `NAME.out.npz`: the weights after the training, in the order in which they came.

On policy an environment plays what was recorded, the policy says what was done in it, and `collect_rollouts` and
`train` are theirs, returns, time limits and memories included. Off policy `train` draws the batches that are given.
Whatever is random comes from the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import ReplayBufferSamples
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

Arrays = dict[str, Any]
Slots = list[list[torch.Tensor]]
"""Where weights belong, in the order of the file; one that holds several tensors is cut along its first axis."""

ON_POLICY = {"a2c": A2C, "ppo": PPO, "trpo": TRPO, "masked": MaskablePPO, "recurrent": RecurrentPPO}
OFF_POLICY = {"dqn": DQN, "qr-dqn": QRDQN, "ddpg": DDPG, "td3": TD3, "sac": SAC, "crossq": CrossQ}
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Recorded(gymnasium.Env[Any, Any]):
    """Plays what was recorded, whatever is done."""

    def __init__(self, given: Arrays) -> None:
        self.given, self.now, dim = given, 0, given["obs"].shape[1]
        self.observation_space = spaces.Box(-np.inf, np.inf, (dim,), np.float32)
        self.action_space = space_of(given)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.given["obs"][min(self.now, len(self.given["obs"]) - 1)], {}

    def step(self, action: Any) -> Any:
        k, self.now = self.now, self.now + 1
        ended = bool(self.given["terminated"][k]), bool(self.given["truncated"][k])
        return self.given["next_obs"][k], float(self.given["reward"][k]), *ended, {}

    def action_masks(self) -> Any:
        """As sb3-contrib asks for them."""
        return self.given["mask"][self.now]


def space_of(given: Arrays) -> Any:
    """Of the actions: a choice, or numbers, in [-1, 1] off policy."""
    its = given["settings"]
    if its["choices"]:
        return spaces.Discrete(its["choices"])
    bound = its.get("bound", 1.0)
    return spaces.Box(-bound, bound, (given["action"].shape[-1],), np.float32)


# ---------------------------------------------------------------------------------------------------- weights
def put(slots: Slots, weights: list[Any]) -> None:
    """Copy weights where they belong."""
    assert len(slots) == len(weights), (len(slots), len(weights))
    with torch.no_grad():
        for slot, x in zip(slots, weights, strict=True):
            for p, part in zip(slot, torch.from_numpy(x).split([len(p) for p in slot]), strict=True):
                assert p.shape == part.shape, (p.shape, part.shape)
                p.copy_(part)


def each(*parts: Any) -> Slots:
    """A slot for each parameter of some modules, and for each tensor."""
    return [[p] for part in parts for p in (part.parameters() if isinstance(part, nn.Module) else [part])]


def ends(first: Any, second: Any) -> Slots:
    """Two last layers that are one in the file."""
    return [[first.weight, second.weight], [first.bias, second.bias]]


def actor_critic_slots(policy: Any) -> Slots:
    """Of a policy with a perceptron each, perhaps above a memory each."""
    memory = [[policy.lstm_actor], [policy.lstm_critic]] if hasattr(policy, "lstm_actor") else [[], []]
    deviation = [policy.log_std] if hasattr(policy, "log_std") else []
    its = policy.mlp_extractor
    actor = each(*memory[0], its.policy_net, policy.action_net, *deviation)
    return actor + each(*memory[1], its.value_net, policy.value_net)


def replay_slots(method: str, model: Any) -> Slots:
    """What learns, then its targets."""
    if method in ("dqn", "qr-dqn"):
        nets = (model.q_net, model.q_net_target) if method == "dqn" else (model.quantile_net, model.quantile_net_target)
        return each(*nets)
    critic = each(*(getattr(model.critic, f"qf{k}") for k in range(model.critic.n_critics)))
    if method in ("sac", "crossq"):
        actor = each(model.actor.latent_pi) + ends(model.actor.mu, model.actor.log_std)
        return actor + critic + (each(model.critic_target) if method == "sac" else []) + each(model.log_ent_coef)
    return each(model.actor.mu) + critic + each(model.actor_target.mu, model.critic_target)


# ---------------------------------------------------------------------------------------------------- on policy
def on_policy(given: Arrays) -> list[Any]:
    """Collect what was recorded, and train once."""
    its, steps = given["settings"], len(given["reward"])
    env = DummyVecEnv([lambda: Recorded(given)])
    network = {"net_arch": {"pi": its["hidden"], "vf": its["hidden"]}, "activation_fn": ACTIVATIONS[its["activation"]]}
    network |= {"optimizer_kwargs": its["optimizer"]}
    policy = "MlpPolicy"
    if "lstm" in its:
        policy, network = "MlpLstmPolicy", network | {"lstm_hidden_size": its["lstm"]}
    made: Any = ON_POLICY[its["method"]]
    model = made(policy, env, n_steps=steps, policy_kwargs=network, device="cpu", **its["given"])
    slots = actor_critic_slots(model.policy)
    put(slots, given["weights"])
    does_what_was_done(model, given)
    _, callback = model._setup_learn(steps, callback=None)
    model.set_logger(configure(None, []))
    model.collect_rollouts(env, callback, model.rollout_buffer, n_rollout_steps=steps)
    np.random.randint = lambda *_, **__: 0  # the recurrent buffer begins where the segment does
    torch.randn_like = torch.zeros_like  # conjugate gradient begins at 0, and not 1e-4 of noise away
    model.train()
    return [torch.cat(slot) for slot in slots]


def does_what_was_done(model: Any, given: Arrays) -> None:
    """Let the policy choose the actions that were recorded; what it says of them is its own."""
    policy, place = model.policy, iter(range(len(given["reward"])))
    say = policy.forward

    def forward(obs: Any, *more: Any, **named: Any) -> Any:
        action = torch.as_tensor(given["action"][next(place)])[None]
        if "lstm" not in given["settings"]:
            values, logp, _ = policy.evaluate_actions(obs, action, **named)
            return action, values, logp
        _, values, _, states = say(obs, *more, **named)
        distribution, _ = policy.get_distribution(obs, more[0].pi, more[1])
        return action, values, distribution.log_prob(action), states

    policy.forward = forward


# ---------------------------------------------------------------------------------------------------- off policy
def off_policy(given: Arrays) -> list[Any]:
    """As many gradient steps as there are batches."""
    its = given["settings"]
    network = {"net_arch": its["hidden"], "activation_fn": ACTIVATIONS[its["activation"]]}
    network |= {"optimizer_kwargs": its["optimizer"]} | its.get("network", {})
    first = {name: x[0] for name, x in given.items() if name not in ("weights", "settings")}
    env = DummyVecEnv([lambda: Recorded(first | {"settings": its})])
    made: Any = OFF_POLICY[its["method"]]
    model = made("MlpPolicy", env, policy_kwargs=network, device="cpu", buffer_size=10, **its["given"])
    if its["method"] == "crossq":  # which norms its actor as well, where ours norms the critics alone
        plain = [layer for layer in model.actor.latent_pi if isinstance(layer, nn.Linear | nn.ReLU)]
        model.actor.latent_pi = nn.Sequential(*plain)
        model.actor.optimizer = torch.optim.Adam(model.actor.parameters(), its["given"]["learning_rate"])
        model.actor.optimizer.defaults |= its["optimizer"]
        model.actor.optimizer.param_groups[0].update(its["optimizer"])
    if its["method"] in ("ddpg", "td3"):  # which have no ½ in the critics' loss
        model.critic.optimizer.param_groups[0]["eps"] *= 2
    slots = replay_slots(its["method"], model)
    put(slots, given["weights"])
    model.set_logger(configure(None, []))
    batches, noise = iter(range(len(given["reward"]))), iter(torch.from_numpy(given["noise"]))
    model.replay_buffer.sample = lambda *_, **__: batch(given, next(batches))
    torch.Tensor.normal_ = lambda x, mean=0.0, std=1.0: x.copy_(mean + std * next(noise))
    torch.distributions.Normal.rsample = lambda n, shape=(): n.loc + n.scale * next(noise)
    for _ in range(len(given["reward"])):
        model.train(1, given["reward"].shape[1])
    return [torch.cat(slot) for slot in slots]


def batch(given: Arrays, k: int) -> Any:
    """The k-th, as their replay gives it."""

    def of(name: str) -> Any:
        x = torch.from_numpy(given[name][k])
        return x if x.ndim == 2 else x[:, None]

    return ReplayBufferSamples(
        of("obs"), of("action"), of("next_obs"), of("terminated").float(), of("reward"), of("discount")
    )


def read(file: Path) -> Arrays:
    """Arrays by name, the weights in a list, and the settings."""
    with np.load(file) as stored:
        given = {name: stored[name] for name in stored.files}
    weights = [given.pop(f"weight{k}") for k in range(sum(name.startswith("weight") for name in given))]
    return given | {"weights": weights, "settings": json.loads(str(given.pop("settings")))}


def main() -> None:
    torch.set_num_threads(1)
    places = [(np.random, "randint"), (torch, "randn_like"), (torch.Tensor, "normal_")]
    places += [(torch.distributions.Normal, "rsample")]
    random = [(where, name, getattr(where, name)) for where, name in places]
    for file in sorted(Path(sys.argv[1]).glob("*.npz")):
        given = read(file)
        run = on_policy if given["settings"]["method"] in ON_POLICY else off_policy
        after = run(given)
        for where, name, own in random:
            setattr(where, name, own)
        np.savez(file.with_suffix(".out.npz"), *(x.detach().numpy() for x in after))


if __name__ == "__main__":
    main()
