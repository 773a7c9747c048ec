"""PPO on a learnt reward by loops over numbers, as the last PPO trainer of TRL computed it; and tiny token policies."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from operant.language.model.language_model import LanguageModel
from reference.tiny_language import tiny_model

Row = list[float]


def token_policy(
    vocabulary: int, *, seed: int = 0, width: int = 16, layers: int = 1, sharp: float = 1.0
) -> LanguageModel:
    """A language model over `vocabulary` bare tokens: 0 is padding, 1 the end. `sharp` multiplies its first logits."""
    model = tiny_model(
        "llama", vocabulary=vocabulary, width=width, layers=layers, heads=2, kv_heads=2, positions=64, seed=seed
    )
    model.lm_head.weight.data *= sharp
    return LanguageModel(model, SimpleNamespace(pad_token_id=0, eos_token_id=1, chat_template=None))


def advantages(
    score: Sequence[float],
    logp: Sequence[Row],
    ref: Sequence[Row],
    value: Sequence[Row],
    *,
    beta: float,
    discount: float,
    lam: float,
    after_end: bool = False,
) -> tuple[list[Row], list[Row]]:
    """Advantages and returns of each row's tokens. `value` has one number for each token, and one behind the last.

    With `after_end` the score falls one step behind a row's last token, at the state after it, as in that trainer where
    a row was shorter than the longest; its older form, and the papers, credit the last token.
    """
    found, returns = [], []
    for r, p, q, v in zip(score, logp, ref, value, strict=True):
        reward = [-beta * (a - b) for a, b in zip(p, q, strict=True)] + [0.0]
        steps = len(p) + after_end
        reward[steps - 1] += r
        last, adv = 0.0, [0.0] * steps
        for t in reversed(range(steps)):
            following = v[t + 1] if t + 1 < steps else 0.0
            last = reward[t] + discount * following - v[t] + discount * lam * last
            adv[t] = last
        found.append(adv[: len(p)])
        returns.append([a + b for a, b in zip(adv, v, strict=False)][: len(p)])
    return found, returns


def whitened(rows: Sequence[Row]) -> list[Row]:
    """Shifted and scaled over all numbers, with the unbiased variance."""
    flat = np.concatenate([np.asarray(r) for r in rows])
    mean, scale = flat.mean(), (flat.var(ddof=1) + 1e-8) ** -0.5
    return [[float((x - mean) * scale) for x in r] for r in rows]


def losses(
    logp: Sequence[Row],
    old: Sequence[Row],
    adv: Sequence[Row],
    value: Sequence[Row],
    old_value: Sequence[Row],
    returns: Sequence[Row],
    *,
    clip: float,
    value_clip: float,
) -> tuple[float, float]:
    """The clipped surrogate and the clipped value loss (with its ½), means over tokens."""  # fmt: skip
    policy, critic = list[float](), list[float]()
    for i, row in enumerate(logp):
        for t, now in enumerate(row):
            ratio = float(np.exp(now - old[i][t]))
            policy.append(max(-adv[i][t] * ratio, -adv[i][t] * min(max(ratio, 1 - clip), 1 + clip)))
            v, before, target = value[i][t], old_value[i][t], returns[i][t]
            near = min(max(v, before - value_clip), before + value_clip)
            critic.append(0.5 * max((v - target) ** 2, (near - target) ** 2))
    return float(np.mean(policy)), float(np.mean(critic))
