"""pass@k: the chance that at least one of k answers is right."""

from __future__ import annotations

import math


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """1 − C(n − c, k) / C(n, k) from n samples of which c are right: without bias, unlike 1 − (1 − c/n)^k.

    Args:
        samples: n.
        correct: c, 0 … n.
        k: 1 … n.

    Raises:
        ValueError: a number is out of its range.

    Source: Chen et al. (2021), Evaluating large language models trained on code, arXiv:2107.03374, equation 1.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"{correct} right of {samples}, k = {k}: need 0 ≤ correct ≤ samples and 1 ≤ k ≤ samples")
    if samples - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - correct + 1, samples + 1))
