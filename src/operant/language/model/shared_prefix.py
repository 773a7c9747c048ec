"""Scoring of completions that share prompts: a prompt goes through the model once, whatever the size of its group."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from operant.language.cpu.backward import tape_logp
from operant.language.model import decoder_layouts as slim
from operant.language.model.language_model import LanguageModel, by_chunks
from operant.math.logprob import categorical_logp

TOLERANCE = 1e-3
"""Between a log-probability of the sampler and of the model."""


def evaluate_groups(
    policy: LanguageModel, tokens: Tensor, acted: Tensor, prompt: Tensor, group: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """log π(tokens[:, t+1] | tokens[:, ≤ t]) where `acted`, and 0 elsewhere: what `LanguageModel.evaluate` says.

    Of each group the prompt is computed once, and the completions attend to its keys and values.

    Args:
        policy: the model.
        tokens: [N, T+1], padded on the right.
        acted: [N, T] bool, nowhere before the last token of the prompt.
        prompt: [N] int64, tokens of the prompt, at least 1.
        group: [N] int64; rows with equal ids begin with the same prompt.
        temperature: divides the logits.

    Returns:
        [N, T], float32.
    """
    kept = _from_tape(policy, tokens, acted, temperature)
    if kept is not None:
        return kept
    end = int(acted.any(0).nonzero().max()) + 2 if bool(acted.any()) else 1
    if policy.whole is not None or end == 1:
        return policy.evaluate(tokens, acted, temperature=temperature)[0]
    _, member = torch.unique(group, return_inverse=True)
    first = torch.full((int(member.max()) + 1,), len(group), device=member.device)
    first = first.scatter_reduce(0, member, torch.arange(len(group), device=member.device), "amin")
    states = _hidden(policy.decoder, tokens[:, : end - 1], prompt, member, first)
    row, t = acted.nonzero(as_tuple=True)
    width = int(prompt.max())
    start = len(first) * width  # completions lie behind the prompts
    own = start + row * (end - 1 - int(prompt.min())) + t - prompt[row]
    index = torch.where(t < prompt[row], member[row] * width + t, own)
    action = tokens[row, t + 1]

    def score(x: Tensor, action: Tensor) -> tuple[Tensor]:
        return (categorical_logp(policy.decoder.head(policy.decoder.norm(x)).float() / temperature, action),)

    (logp,) = by_chunks(score, states[index], action, policy.vocab)
    return torch.zeros(acted.shape, dtype=logp.dtype, device=logp.device).index_put((row, t), logp)


def _from_tape(policy: LanguageModel, tokens: Tensor, acted: Tensor, temperature: float) -> Tensor | None:
    """[N, T] with their gradient, from what the sampler kept of these very rows under these very weights; else None.

    One row, which depends on the tokens alone, is computed again: its value is returned, and where it differs by more
    than `TOLERANCE` the tape is not used.
    """
    if policy.tape is None:
        return None
    policy.tape.checked = None
    if not torch.is_grad_enabled():
        return None
    held = policy.tape.find(tokens, acted, temperature)
    if held is None:
        return None
    row, t = acted.nonzero(as_tuple=True)
    logp = tape_logp(policy.tape, held, acted)
    chosen = int(tokens.sum()) % len(tokens)
    one = slice(chosen, chosen + 1)
    with torch.no_grad():
        again = policy.evaluate(tokens[one], acted[one], temperature=temperature)[0][acted[one]]
    off = again - logp.detach()[row == chosen]
    if float(off.abs().max()) > TOLERANCE:
        warnings.warn(
            f"the sampler's log-probabilities of a row differ by {float(off.abs().max()):.2g} from the model's: what "
            "it kept is not used, and all rows are computed again",
            stacklevel=2,
        )
        return None
    policy.tape.checked = chosen
    logp = logp + torch.zeros_like(logp).masked_scatter(row == chosen, off)
    return torch.zeros(acted.shape).index_put((row, t), logp)


def _hidden(decoder: slim.Decoder, tokens: Tensor, prompt: Tensor, member: Tensor, first: Tensor) -> Tensor:
    """[G·P + N·C, D] before the last norm: G prompts of width P, then N completions of width C, side by side.

    Projections and feed-forward layers see them as one row; attention takes them apart.
    """
    n, groups, width = len(tokens), len(first), int(prompt.max())
    longest = tokens.shape[1] - int(prompt.min())  # C
    column = torch.arange(longest, device=tokens.device)
    position = prompt[:, None] + column  # [N, C]
    inner = position.clamp(max=tokens.shape[1] - 1)
    flat = torch.cat((tokens[first, :width].flatten(), tokens.gather(1, inner).flatten()))[None]
    place = torch.cat((torch.arange(width, device=tokens.device).repeat(groups), inner.flatten()))[None]
    ahead = torch.arange(width, device=tokens.device) < prompt[:, None]  # [N, P]
    mask = torch.cat((ahead[:, None].expand(-1, longest, -1), (column <= column[:, None]).expand(n, -1, -1)), -1)
    mask = torch.zeros(mask.shape, device=tokens.device).masked_fill(~mask, -torch.inf)[:, None]  # [N, 1, C, P+C]
    x, at = decoder.embed(flat, place)
    mask, cut = mask.to(x.dtype), groups * width

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        (qp, qc), (kp, kc), (vp, vc) = (
            (
                y[0, :, :cut].unflatten(1, (groups, width)).transpose(0, 1),
                y[0, :, cut:].unflatten(1, (n, longest)).transpose(0, 1),
            )
            for y in (q, k, v)
        )  # [G, H, P, d] and [N, H, C, d]
        of_prompt = slim.attend(qp, kp, vp, decoder.scale)
        own = slim.attend(qc, torch.cat((kp[member], kc), 2), torch.cat((vp[member], vc), 2), decoder.scale, mask)
        return torch.cat([y.transpose(0, 1).flatten(1, 2) for y in (of_prompt, own)], 1)[None]

    return slim.layers(decoder, x, at, attention)[0]
