"""Potential-based shaping: a bonus that changes what is learnt first, and not what is best."""

from __future__ import annotations

from torch import Tensor


def potential_shaping(before: Tensor, after: Tensor, terminated: Tensor, *, discount: float) -> Tensor:
    """F = γ Φ(h') − Φ(h), with Φ = 0 behind an end: r + F has the best policies of r.

    Over an episode Σ γ^t F = −Φ(h_0), whatever is done. Φ may be of histories h; then it is so in the process of
    histories, of which a policy that sees states alone is one that cannot tell them apart.

    Args:
        before: Φ of what lies behind each decision, [...].
        after: Φ of the same with the decision and what it led to, [...].
        terminated: whether it ended the task, [...] bool.
        discount: γ.

    Source: Ng, Harada and Russell (1999), Policy invariance under reward transformations, theorem 1; of histories
    Goyal, Niekum and Mooney (2019), Using natural language for reward shaping, section 5.
    """
    return discount * after.masked_fill(terminated, 0.0) - before
