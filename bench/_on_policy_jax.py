"""PPO on CartPole as PureJaxRL does it, timed: the whole training is one compiled JAX program on one core.

Written from the public description of the algorithm (Lu et al. 2022, "Discovered Policy Optimisation", and its
library): gymnax environments stepped by `vmap`, rollout, advantages, epochs and minibatches all inside `lax.scan`. A
time limit ends an episode like a fall does: nothing is bootstrapped behind it. Run in an environment of its own, with
jax, gymnax and optax; `on_policy.py` says how that is made.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from importlib.metadata import version
from platform import python_version
from typing import Any

os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax

NUM, HORIZON, BATCH, EPOCHS = 8, 256, 256, 10
DISCOUNT, LAM, CLIP, VALUE, ENTROPY = 0.99, 0.95, 0.2, 1.0, 0.0


def network(key: Any, sizes: tuple[int, ...], gain: float) -> list[dict[str, Any]]:
    """Orthogonal weights of gain √2, and `gain` in the last layer; biases are 0."""
    keys = jax.random.split(key, len(sizes) - 1)
    gains = [2.0**0.5] * (len(sizes) - 2) + [gain]
    return [
        {"w": jax.nn.initializers.orthogonal(g)(k, (i, o)), "b": jnp.zeros(o)}
        for k, g, i, o in zip(keys, gains, sizes[:-1], sizes[1:], strict=True)
    ]


def run(layers: list[dict[str, Any]], x: Any) -> Any:
    """The perceptron, tanh between its layers."""
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def training(updates: int) -> Any:
    """key → (parameters, per update: sum of the returns of the episodes that ended in it, their number)."""
    env, params = gymnax.make("CartPole-v1")
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(3e-4, eps=1e-5))
    reset = jax.vmap(env.reset, in_axes=(0, None))
    advance = jax.vmap(env.step, in_axes=(0, 0, 0, None))

    def step(carry: Any, _: None) -> tuple[Any, Any]:
        theta, state, obs, total, key = carry
        key, draw, go = jax.random.split(key, 3)
        logits = run(theta["policy"], obs)
        action = jax.random.categorical(draw, logits)
        logp = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
        value = run(theta["critic"], obs)[:, 0]
        after, state, reward, terminated, truncated, _ = advance(jax.random.split(go, NUM), state, action, params)
        done, total = terminated | truncated, total + reward
        record = {"obs": obs, "action": action, "logp": logp, "value": value, "reward": reward, "done": done}
        return (theta, state, after, total * ~done, key), (record, (total * done).sum(), done.sum())

    def advantages(record: Any, last: Any) -> Any:
        def back(carry: Any, x: Any) -> tuple[Any, Any]:
            adv, following = carry
            go = 1.0 - x["done"]
            adv = x["reward"] + DISCOUNT * following * go - x["value"] + DISCOUNT * LAM * go * adv
            return (adv, x["value"]), adv

        return jax.lax.scan(back, (jnp.zeros_like(last), last), record, reverse=True, unroll=16)[1]

    def loss(theta: Any, b: Any) -> Any:
        logits = jax.nn.log_softmax(run(theta["policy"], b["obs"]))
        logp = jnp.take_along_axis(logits, b["action"][:, None], 1)[:, 0]
        adv = (b["adv"] - b["adv"].mean()) / (b["adv"].std() + 1e-8)
        ratio = jnp.exp(logp - b["logp"])
        surrogate = jnp.minimum(ratio * adv, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * adv).mean()
        value = 0.5 * jnp.square(run(theta["critic"], b["obs"])[:, 0] - b["target"]).mean()
        entropy = -(jnp.exp(logits) * logits).sum(-1).mean()
        return -surrogate + VALUE * value - ENTROPY * entropy

    def minibatch(carry: Any, b: Any) -> tuple[Any, None]:
        theta, moments = carry
        change, moments = optimizer.update(jax.grad(loss)(theta, b), moments, theta)
        return (optax.apply_updates(theta, change), moments), None

    def update(carry: Any, _: None) -> tuple[Any, Any]:
        theta, moments, state, obs, total, key = carry
        (theta, state, obs, total, key), (record, sums, ended) = jax.lax.scan(
            step, (theta, state, obs, total, key), None, HORIZON
        )
        adv = advantages(record, run(theta["critic"], obs)[:, 0])
        flat = {k: record[k].reshape(-1, *record[k].shape[2:]) for k in ("obs", "action", "logp")}
        flat |= {"adv": adv.reshape(-1), "target": (adv + record["value"]).reshape(-1)}

        def epoch(carry: Any, _: None) -> tuple[Any, None]:
            theta, moments, key = carry
            key, draw = jax.random.split(key)
            order = jax.random.permutation(draw, NUM * HORIZON)
            cut = jax.tree.map(lambda x: x[order].reshape(-1, BATCH, *x.shape[1:]), flat)
            (theta, moments), _ = jax.lax.scan(minibatch, (theta, moments), cut)
            return (theta, moments, key), None

        (theta, moments, key), _ = jax.lax.scan(epoch, (theta, moments, key), None, EPOCHS)
        return (theta, moments, state, obs, total, key), (sums.sum(), ended.sum())

    def train(key: Any) -> Any:
        key, a, b, c = jax.random.split(key, 4)
        theta = {"policy": network(a, (4, 64, 64, 2), 0.01), "critic": network(b, (4, 64, 64, 1), 1.0)}
        obs, state = reset(jax.random.split(c, NUM), params)
        carry = (theta, optimizer.init(theta), state, obs, jnp.zeros(NUM), key)
        carry, seen = jax.lax.scan(update, carry, None, updates)
        return carry[0], seen

    return jax.jit(train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    updates = max(1, given.steps // (NUM * HORIZON))

    start = time.perf_counter()
    compiled = training(updates).lower(jax.random.key(0)).compile()
    compiling = time.perf_counter() - start
    jax.block_until_ready(compiled(jax.random.key(10**6)))
    start = time.perf_counter()
    _, (sums, ended) = jax.block_until_ready(compiled(jax.random.key(given.seed)))
    seconds = time.perf_counter() - start

    late = slice(3 * updates // 4, None)
    sums, ended = np.asarray(sums)[late].sum(), np.asarray(ended)[late].sum()
    result = {
        "value": updates * NUM * HORIZON / seconds,
        "return": float(sums / ended) if ended else None,
        "compile_s": round(compiling, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": {name: version(name) for name in ("jax", "jaxlib", "gymnax", "optax")}
        | {"python": python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
