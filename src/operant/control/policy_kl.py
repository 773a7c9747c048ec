"""KL(π_old || π) of the policies of a perceptron at each observation."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from operant.control.agent import AnyPolicy
from operant.control.policies import BernoulliPolicy, CategoricalPolicy, MultiCategoricalPolicy, NormalPolicy
from operant.data.trajectory import Obs
from operant.math.divergence import kl_categorical, kl_normal

Parameters = tuple[Tensor, ...]


def parameters_of(policy: AnyPolicy, obs: Obs) -> Parameters:
    """What the distribution is made of at each observation."""
    output = policy.output(obs)
    return (output, policy.log_std) if isinstance(policy, NormalPolicy) else (output,)


def kl(policy: AnyPolicy, old: Parameters, obs: Obs) -> Tensor:
    """KL(old || π) [...] at each observation, in nats; differentiable."""
    new = parameters_of(policy, obs)
    match policy:
        case CategoricalPolicy():
            return kl_categorical(old[0], new[0])
        case NormalPolicy():
            return kl_normal(old[0], old[1].exp(), new[0], new[1].exp())
        case MultiCategoricalPolicy():
            parts = zip(old[0].split(policy.sizes, -1), new[0].split(policy.sizes, -1), strict=True)
            return sum((kl_categorical(p, q) for p, q in parts), start=old[0].new_zeros(old[0].shape[:-1]))
        case BernoulliPolicy():
            p, q = old[0], new[0]
            heads, tails = logsigmoid(p) - logsigmoid(q), logsigmoid(-p) - logsigmoid(-q)
            return (p.sigmoid() * heads + (-p).sigmoid() * tails).sum(-1)
