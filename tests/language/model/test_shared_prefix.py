"""Completions scored with their prompt computed once, against every row by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from operant.language.episodes.episodes import Episodes, episodes
from operant.language.model import language_model as model
from operant.language.model import shared_prefix as shared
from operant.language.model.language_model import LanguageModel
from reference.groups import completion

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def made() -> Episodes:
    """Prompts of 1 to 6 tokens, completions of 1 to 9, groups of several sizes mixed up, forced tokens."""
    rows = [completion(g, k, 1 + (3 * g + 4 * k) % 9, start=1 + 5 * (g % 2)) for k in range(4) for g in range(1 + k)]
    rows += [completion(7, 0, 8, start=4, forced=(2, 3))]
    return episodes(rows, [0.0] * len(rows))


def language(family: str) -> LanguageModel:
    from reference.tiny_language import tiny_model

    return LanguageModel(tiny_model(family, vocabulary=100), None)


def gradients(logp: Tensor, policy: LanguageModel) -> list[Tensor]:
    weight = torch.linspace(-1.0, 1.0, logp.numel()).view_as(logp)
    return list(torch.autograd.grad((weight * logp).sum(), list(policy.parameters())))


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma", "gpt2"])
def test_values_and_gradients_are_those_of_each_row(family: str, made: Episodes) -> None:
    policy, traj = language(family), made.traj
    assert isinstance(traj.obs, Tensor)
    ours = shared.evaluate_groups(policy, traj.obs, traj.acted, made.prompt, traj.group, temperature=0.7)
    alone, _ = policy.evaluate(traj.obs, traj.acted, temperature=0.7)
    torch.testing.assert_close(ours, alone, atol=5e-6, rtol=1e-5)
    for x, y in zip(gradients(ours, policy), gradients(alone, policy), strict=True):
        torch.testing.assert_close(x, y, atol=5e-5, rtol=1e-4)


def test_a_large_vocabulary_goes_through_the_head_in_parts(made: Episodes, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, traj = language("llama"), made.traj
    assert isinstance(traj.obs, Tensor)
    whole = shared.evaluate_groups(policy, traj.obs, traj.acted, made.prompt, traj.group)
    monkeypatch.setattr(model, "CHUNK", 700)  # seven tokens at a time
    parts = shared.evaluate_groups(policy, traj.obs, traj.acted, made.prompt, traj.group)
    torch.testing.assert_close(parts, whole)
    for x, y in zip(gradients(parts, policy), gradients(whole, policy), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)


def test_other_rows_change_nothing(made: Episodes) -> None:
    policy, traj = language("qwen3"), made.traj
    assert isinstance(traj.obs, Tensor)
    whole = shared.evaluate_groups(policy, traj.obs, traj.acted, made.prompt, traj.group)
    some = torch.tensor([8, 1, 4])
    part = shared.evaluate_groups(policy, traj.obs[some], traj.acted[some], made.prompt[some], traj.group[some])
    torch.testing.assert_close(part, whole[some], atol=5e-6, rtol=1e-5)


def test_nothing_to_score_is_nothing(made: Episodes) -> None:
    policy, traj = language("llama"), made.traj
    assert isinstance(traj.obs, Tensor)
    blank = torch.zeros_like(traj.acted)
    assert shared.evaluate_groups(policy, traj.obs, blank, made.prompt, traj.group).count_nonzero() == 0
