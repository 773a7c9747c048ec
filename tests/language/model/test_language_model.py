import warnings

import pytest
import torch

from operant.config.errors import ConfigError
from operant.language.model import language_model as language
from operant.language.model.language_model import LanguageModel, Scalar
from reference import tiny

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def policy():
    return LanguageModel(tiny.model_of("qwen3"), tiny.tokenizer())


def test_what_is_saved_is_loaded(policy, tmp_path):
    policy.save(tmp_path / "model")
    again = LanguageModel.load(tmp_path / "model")
    row = tiny.rows((9,))[0][None]
    acted = torch.ones(1, 8, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(policy.evaluate(row, acted)[0], again.evaluate(row, acted)[0])
    assert again.tokenizer.pad_token_id == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_what_is_loaded_lies_where_torch_puts_its_own(policy, tmp_path):
    policy.save(tmp_path / "model")
    assert {p.data_ptr() % 64 for p in LanguageModel.load(tmp_path / "model").parameters()} == {0}
    shifted = torch.zeros(17)[1:].view(4, 4)
    layer = torch.nn.Linear(4, 4, bias=False)
    layer.weight.data = shifted
    assert language.aligned(layer).weight.data_ptr() % 64 == 0


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ConfigError, match=tmp_path.name):
        LanguageModel.load(tmp_path)


def test_chunks_change_neither_scores_nor_gradients(policy, monkeypatch):
    row = torch.stack(tiny.rows((14, 14)))
    acted = torch.arange(13).expand(2, -1) > 3

    def scored():
        policy.zero_grad()
        logp, entropy = policy.evaluate(row, acted)
        (logp.sum() + entropy.sum()).backward()
        return logp.detach(), entropy.detach(), policy.model.lm_head.weight.grad.clone()

    whole = scored()
    monkeypatch.setattr(language, "CHUNK", 300 * 3)
    for a, b in zip(whole, scored(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_no_step_acted_scores_nothing(policy):
    logp, entropy = policy.evaluate(torch.ones(2, 5, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.bool))
    assert logp.shape == entropy.shape == (2, 4)
    assert not logp.any()


def test_dropout_stays_off_in_training():
    model = tiny.model_of("gpt2", attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5)
    policy = LanguageModel(model, tiny.tokenizer())
    row = tiny.rows((9,))[0][None]
    before = policy.hidden(row)
    policy.train()
    assert policy.training
    assert torch.equal(before, policy.hidden(row))


def test_a_scalar_head_starts_at_zero_and_learns(policy):
    critic = Scalar(policy)
    row = tiny.rows((7,))[0][None]
    assert float(critic(row).abs().sum()) == 0.0
    critic(row).sum().backward()
    assert critic(row).shape == (1, 7)
    assert float(critic.head.weight.grad.abs().sum()) > 0.0


def test_a_scalar_reads_a_model_that_goes_through_transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        critic = Scalar(LanguageModel(tiny.model_of("mistral"), tiny.tokenizer()))
    torch.nn.init.ones_(critic.head.weight)
    row = tiny.rows((7,))[0][None]
    expected = critic.backbone.model.model(input_ids=row).last_hidden_state.sum(-1)
    torch.testing.assert_close(critic(row), expected)
