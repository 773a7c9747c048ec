import pytest
import torch

from operant.config.errors import ConfigError
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from reference import tiny

pytest.importorskip("transformers")
pytest.importorskip("peft")

ROW = tiny.rows((9,))[0][None]
ACTED = torch.ones(1, 8, dtype=torch.bool)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = {}
    for family in ("llama-tied", "qwen2", "gpt2"):
        found[family] = tmp_path_factory.mktemp(family)
        LanguageModel(tiny.model_of(family), tiny.tokenizer()).save(found[family])
    return found


def adapted(folder, **change):
    """A model whose adapters do something."""
    policy = LanguageModel.load(folder, lora=LoraSpec(r=4, alpha=8.0, **change))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                p.normal_(0.0, 0.2, generator=generator)
    return policy


def score(policy):
    with torch.no_grad():
        return policy.evaluate(ROW, ACTED)[0]


@pytest.mark.parametrize("family", ["llama-tied", "qwen2", "gpt2"])
def test_adapters_alone_train_and_the_reference_is_the_model_without_them(folders, family):
    plain = LanguageModel.load(folders[family])
    policy = adapted(folders[family])
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert not torch.allclose(score(policy), score(plain), atol=1e-2)
    with policy.reference():
        assert torch.equal(score(policy), score(plain))
    with torch.no_grad():
        expected = policy.model(input_ids=ROW).logits[:, :-1].log_softmax(-1).gather(-1, ROW[:, 1:, None])[..., 0]
    torch.testing.assert_close(score(policy), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama-tied", "qwen2", "gpt2"])
def test_a_merged_folder_and_an_adapter_folder_give_the_same_model(folders, family, tmp_path):
    policy = adapted(folders[family])
    expected = score(policy)
    policy.save(tmp_path / "merged")
    policy.save_adapter(tmp_path / "adapter")
    assert torch.equal(score(policy), expected)  # saving leaves it alone
    merged = LanguageModel.load(tmp_path / "merged")
    assert not merged.adapted
    torch.testing.assert_close(score(merged), expected, atol=1e-5, rtol=1e-5)
    again = LanguageModel.load(folders[family], adapter=tmp_path / "adapter")
    assert torch.equal(score(again), expected)
    assert {n for n, p in again.named_parameters() if p.requires_grad} == {
        n for n, p in policy.named_parameters() if p.requires_grad
    }


def test_fresh_adapters_compute_nothing_and_are_the_same_each_time(folders):
    state = torch.random.get_rng_state()
    one = LanguageModel.load(folders["qwen2"], lora=LoraSpec(r=2, targets=("q_proj", "v_proj")))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(score(one), score(LanguageModel.load(folders["qwen2"])))
    two = LanguageModel.load(folders["qwen2"], lora=LoraSpec(r=2, targets=("q_proj", "v_proj")))
    pairs = zip(one.named_parameters(), two.named_parameters(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in pairs)
    assert not any("o_proj" in n for n, p in one.named_parameters() if p.requires_grad)


def test_dropout_of_adapters_follows_the_mode(folders):
    policy = adapted(folders["qwen2"], dropout=0.5)
    policy.train()
    assert not torch.equal(policy.hidden(ROW), policy.hidden(ROW))
    policy.eval()
    assert torch.equal(policy.hidden(ROW), policy.hidden(ROW))


def test_what_cannot_be_is_said(folders, tmp_path):
    plain = LanguageModel.load(folders["qwen2"])
    with pytest.raises(ConfigError, match="no adapters"), plain.reference():
        pass
    with pytest.raises(ConfigError, match="no adapters"):
        plain.save_adapter(tmp_path)
    with pytest.raises(ConfigError, match="adapter_model"):
        LanguageModel.load(folders["qwen2"], adapter=tmp_path)
    with pytest.raises(ConfigError, match="nosuch"):
        LanguageModel.load(folders["qwen2"], lora=LoraSpec(targets=("nosuch",)))
    with pytest.raises(ConfigError, match="rank"):
        LoraSpec(r=0)
