"""Layers that are computed again in the backward pass: the same gradients, from less memory."""

import pytest
import torch

from operant.config.errors import ConfigError
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from operant.language.model.shared_prefix import evaluate_groups
from reference import tiny

pytest.importorskip("transformers")


def batch():
    rows = [torch.cat((p, c)) for p, c in zip(tiny.rows((5, 5, 9, 9)), tiny.rows((7, 12, 4, 9), seed=1), strict=True)]
    rows[1][:5], rows[3][:9] = rows[0][:5], rows[2][:9]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    column = torch.arange(tokens.shape[1] - 1)
    prompt, length = torch.tensor([5, 5, 9, 9]), torch.tensor([len(r) for r in rows])
    acted = (column >= prompt[:, None] - 1) & (column < length[:, None] - 1)
    return tokens, acted, prompt, torch.tensor([0, 0, 1, 1])


def gradients(policy, score):
    policy.zero_grad()
    kept = 0

    def pack(x):
        nonlocal kept
        kept += x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = score().square().sum()
    loss.backward()
    return [p.grad.clone() for p in policy.parameters() if p.grad is not None], kept


@pytest.mark.parametrize("family", tiny.SLIM)
def test_gradients_are_the_same_and_less_is_kept(family):
    policy = LanguageModel(tiny.model_of(family, num_hidden_layers=4), tiny.tokenizer())
    tokens, acted, prompt, group = batch()
    ways = {
        "rows": lambda: policy.evaluate(tokens, acted)[0],
        "groups": lambda: evaluate_groups(policy, tokens, acted, prompt, group),
    }
    before = {name: gradients(policy, way) for name, way in ways.items()}
    policy.recompute()
    for name, way in ways.items():
        (found, kept), (expected, all_of_it) = gradients(policy, way), before[name]
        assert kept < 0.7 * all_of_it
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


def test_dropout_of_adapters_is_drawn_the_same_again(tmp_path):
    pytest.importorskip("peft")
    LanguageModel(tiny.model_of("llama"), tiny.tokenizer()).save(tmp_path)
    policy = LanguageModel.load(tmp_path, lora=LoraSpec(r=4, dropout=0.5)).train()
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.fill_(0.1)
    tokens, acted, _, _ = batch()
    found = []
    for again in (False, True):
        if again:
            policy.recompute()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            found.append(gradients(policy, lambda: policy.evaluate(tokens, acted)[0])[0])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_models_that_go_through_transformers_refuse():
    with pytest.warns(UserWarning, match="goes through transformers"):
        policy = LanguageModel(tiny.model_of("mistral"), tiny.tokenizer())
    with pytest.raises(ConfigError, match="no slim forward"):
        policy.recompute()
