import warnings

import pytest
import torch

from operant.language.model import decoder_layouts as slim
from operant.language.model.language_model import LanguageModel
from reference import tiny

pytest.importorskip("transformers")


def language(family, **change):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LanguageModel(tiny.model_of(family, **change), tiny.tokenizer())


@pytest.fixture(scope="module")
def models():
    return {family: language(family) for family in (*tiny.SLIM, *tiny.WHOLE)}


@pytest.mark.parametrize("family", tiny.SLIM)
def test_the_layouts_are_read(models, family):
    assert models[family].whole is None
    assert slim.obstacle(models[family].model) is None


@pytest.mark.parametrize("family", [*tiny.SLIM, *tiny.WHOLE])
def test_scores_equal_left_padded_logits(models, family):
    """Mixed lengths: ours padded on the right, transformers' on the left with explicit positions."""
    policy, lengths = models[family], (5, 17, 11, 2)
    rows = tiny.rows(lengths)
    width = max(lengths)
    right = torch.zeros(len(rows), width, dtype=torch.int64)
    left, seen = torch.zeros_like(right), torch.zeros_like(right)
    for i, row in enumerate(rows):
        right[i, : len(row)], left[i, width - len(row) :], seen[i, width - len(row) :] = row, row, 1
    place = (seen.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = policy.model(input_ids=left, attention_mask=seen, position_ids=place).logits / 0.7
        acted = torch.arange(width - 1) < torch.tensor(lengths)[:, None] - 1
        logp, entropy = policy.evaluate(right, acted, temperature=0.7)
    for i, row in enumerate(rows):
        given = logits[i, width - len(row) : -1].log_softmax(-1)
        torch.testing.assert_close(logp[i, : len(row) - 1], given.gather(-1, row[1:, None])[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(entropy[i, : len(row) - 1], -(given.exp() * given).sum(-1), atol=1e-5, rtol=1e-5)
    assert bool((logp[~acted] == 0).all())


@pytest.mark.parametrize("family", [*tiny.SLIM, *tiny.WHOLE])
def test_packed_rows_score_as_rows_of_their_own(models, family):
    policy, lengths = models[family], (6, 9, 3)
    rows = tiny.rows(lengths, seed=3)
    packed = torch.cat(rows)[None]
    place = torch.cat([torch.arange(n) for n in lengths])[None]
    segment = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    acted = segment[:, 1:] == segment[:, :-1]
    with torch.no_grad():
        logp, _ = policy.evaluate(packed, acted, position=place, segment=segment)
        alone = [policy.evaluate(r[None], torch.ones(1, len(r) - 1, dtype=torch.bool))[0][0] for r in rows]
        states = policy.hidden(packed, place, segment)
    torch.testing.assert_close(logp[acted], torch.cat(alone), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states[0, 6:15], policy.hidden(rows[1][None])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2"])
def test_gradients_equal_those_of_transformers(models, family):
    policy, row = models[family], tiny.rows((12,))[0][None]
    policy.train()
    policy.evaluate(row, torch.ones(1, 11, dtype=torch.bool))[0].sum().backward()
    ours = {name: p.grad.clone() for name, p in policy.model.named_parameters()}
    policy.zero_grad()
    policy.model(input_ids=row).logits[:, :-1].log_softmax(-1).gather(-1, row[:, 1:, None]).sum().backward()
    for name, p in policy.model.named_parameters():
        torch.testing.assert_close(ours[name], p.grad, atol=2e-4, rtol=1e-4, msg=lambda text, name=name: name + text)
    policy.zero_grad()


@pytest.mark.parametrize(
    ("family", "word"),
    [("mistral", "mistral"), ("gemma2", "gemma2"), ("qwen2-window", "sliding"), ("gpt2-inverse", "inverse")],
)
def test_a_variant_goes_through_transformers_and_says_so(family, word):
    with pytest.warns(UserWarning, match=word):
        policy = LanguageModel(tiny.model_of(family), tiny.tokenizer())
    assert policy.whole is not None
    with pytest.raises(Exception, match="no slim forward"):
        _ = policy.decoder


@pytest.mark.parametrize("rope", ["dynamic", "yarn", "llama3"])
def test_rotations_that_depend_on_the_row_beside_are_refused(rope):
    given = {"rope_type": rope, "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 64}
    if rope == "llama3":
        given |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    policy = language("llama", rope_parameters=given)
    assert (policy.whole is None) == (rope != "dynamic")
    row = tiny.rows((20,))[0][None]
    with torch.no_grad():
        expected = policy.model(input_ids=row).logits[:, :-1].log_softmax(-1).gather(-1, row[:, 1:, None])[..., 0]
        logp, _ = policy.evaluate(row, torch.ones(1, 19, dtype=torch.bool))
    torch.testing.assert_close(logp, expected, atol=1e-5, rtol=1e-5)


def test_the_weights_are_the_models_own(models):
    policy, row = models["qwen2"], tiny.rows((6,))[0][None]
    with torch.no_grad():
        before = policy.hidden(row)
        policy.model.model.layers[0].mlp.down_proj.weight.mul_(1.5)
        assert not torch.allclose(before, policy.hidden(row))
        policy.model.model.layers[0].mlp.down_proj.weight.div_(1.5)
