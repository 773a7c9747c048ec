"""What models say about completions does not depend on how the rows are cut into parts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from operant.language.episodes.episodes import Episodes, episodes
from operant.language.learn.logprobs import all_token_logp, all_values, reference_logp, state_value, token_logp
from operant.language.learn.minibatch import with_advantages
from operant.language.model.language_model import LanguageModel, Scalar
from reference.groups import completion

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def policy() -> LanguageModel:
    from reference.tiny_language import tiny_model

    return LanguageModel(tiny_model("llama", vocabulary=100, width=16), None)


@pytest.fixture(scope="module")
def made() -> Episodes:
    rows = [completion(g, k, 2 + 3 * k + g, start=3 + g, forced=(1,) if k else ()) for g in range(2) for k in range(3)]
    return episodes(rows, [0.0] * 6)


@pytest.mark.parametrize("tokens", [1, 20, 10_000])
def test_log_probabilities_are_the_models_whatever_the_budget(
    policy: LanguageModel, made: Episodes, tokens: int
) -> None:
    traj = made.traj
    assert isinstance(traj.obs, torch.Tensor)
    with torch.no_grad():
        alone = torch.cat([policy.evaluate(traj.obs[i, None], traj.acted[i, None])[0] for i in range(6)])
    found = all_token_logp(policy, made, tokens)
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
    assert bool((found[~traj.acted] == 0).all())
    assert not found.requires_grad
    warm = all_token_logp(policy, replace(made, temperature=2.0), tokens)
    assert float((warm - found).abs().max()) > 1e-3
    some = token_logp(policy, with_advantages(made)[torch.tensor([4, 1])])
    assert some.requires_grad
    torch.testing.assert_close(some.detach(), alone[[4, 1]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [1, 20, 10_000])
def test_values_are_the_critics_and_end_with_the_last_decision(
    policy: LanguageModel, made: Episodes, tokens: int
) -> None:
    critic = Scalar(policy)
    with torch.no_grad():
        for p in critic.head.parameters():
            p.copy_(torch.linspace(-1.0, 1.0, p.numel()).view_as(p))
        whole = critic(made.traj.obs)
    found = all_values(critic, made, tokens)
    for row, (value, expected) in enumerate(zip(found, whole, strict=True)):
        end = int(made.length[row])
        torch.testing.assert_close(value[:end], expected[:end], atol=1e-5, rtol=1e-5)
    assert not found.requires_grad
    last = state_value(critic, with_advantages(made)[torch.tensor([0])])
    assert last.shape == whole[:1].shape
    assert bool((last[0, int(made.length[0]) :] == 0).all())


def test_the_reference_is_another_model_or_the_policy_without_its_adapters(made: Episodes, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from operant.language.model.lora import LoraSpec
    from reference.tiny_language import tiny_language

    tiny_language("llama").save(tmp_path)
    base = LanguageModel.load(tmp_path)
    adapted = LanguageModel.load(tmp_path, lora=LoraSpec(r=2))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:
                p.fill_(0.1)
    expected = all_token_logp(base, made, 50)
    torch.testing.assert_close(reference_logp(adapted, base, made, 50), expected, atol=0, rtol=0)
    torch.testing.assert_close(reference_logp(adapted, None, made, 50), expected, atol=1e-5, rtol=1e-5)
    assert float((all_token_logp(adapted, made, 50) - expected).abs().max()) > 1e-2
