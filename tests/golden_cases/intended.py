"""What differs from commit 4775408 on purpose: patterns of `case:part`, and causes that docs/log.md tells."""

from __future__ import annotations

_SHOWN = "the file shows the advantages that were learnt from, charge and correction included"
_KEPT = "PPO on a learnt reward keeps its completions as save.rollouts says"
_LABELLED = "the completions that a step reward labelled are kept"
_COUNTED = "prioritised sweeping counts outcomes, where it kept the last one of each pair"
_COMPILED = "a new run of classic control is in compiled environments, whose first states are other ones"
_SPACES = "the policy file keeps both spaces"
_REORDERED = "PPO by hand adds a layer's gradient in another order and values states by its own kernel: other last bits"
_BY_HAND = (
    "fused", "fused-switches", "fused-stops-at-kl", "baselines", "box-fused", "box-plain", "dict", "native",
    "inprocess", "process", "envpool", "measured", "seeds",
)  # fmt: skip
"""Cases of PPO whose update is the one by hand."""

INTENDED: dict[str, str] = {
    "*:*policy.json/observation_space*": _SPACES,
    "*:*policy.json/action_space*": _SPACES,
    "*:*run.json/mark*": "a run that names what lies beyond it is marked as made here",
    "*:*run.json/sources*": "a run keeps what its settings name, by SHA-256",
    "tabular/prioritised-sweeping:*/optim.safetensors/*": _COUNTED,
    "tabular/settings:prioritised-sweeping/lake/*": _COUNTED,
    "control/ppo-preset:*": _COMPILED,
    **{f"control/ppo-{name}:*": _REORDERED for name in _BY_HAND},
    "control/loop:*": _REORDERED,
    "mdp/irl:found/log_likelihood": "w · μ_E - E[V] at once, no longer less a penalty that cancels: the last bit",
    "language/grpo-rloo:*/rollouts/*/advantage": _SHOWN,
    "language/grpo-reinforce-pp:*/rollouts/*/advantage": _SHOWN,
    "language/grpo-correction-*:*/rollouts/*/advantage": _SHOWN,
    "language/rlhf*:*/run/rollouts/step-*.parquet/*": _KEPT,
    "language/process-reward-task:*/run/rollouts/step-00000000.parquet/*": _LABELLED,
    "mdp/gradients:average/*": "average reward is evaluated in one place, by another elimination: 1e-15",
    "mdp/evaluation:average/values": "average reward is evaluated in one place, by another elimination: 1e-15",
    "language/*:*.out/completions/[lk]*p*": "operant sample decodes by compiled code: the same tokens, other last bits",
}
