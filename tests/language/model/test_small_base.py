"""The small base: made once, found again, and another for other settings."""

from dataclasses import replace

import pytest

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.model.small_base import small_base
from operant.language.settings.runs import BaseConfig
from operant.language.task.load import load_task

TINY = BaseConfig(width=16, layers=1, heads=2, positions=32, examples=64, batch=32)
OPTIONS = {"demonstrations": 64, "train": 10, "test": 5}


def test_a_base_is_made_once_and_another_for_other_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path / "cache"))
    task, said = load_task("arithmetic", OPTIONS), []
    place = small_base(task, TINY, {"id": "arithmetic"}, say=said.append)
    weights = (place / "model.safetensors").read_bytes()
    assert said[0].startswith("Training a small base")
    said.clear()
    assert small_base(task, TINY, {"id": "arithmetic"}, say=said.append) == place
    assert said == [f"Small base: {place}"]
    other = small_base(load_task("arithmetic", OPTIONS | {"forgets_carry": 1.0}), TINY, {"id": "arithmetic"})
    assert other != place  # its worked examples differ
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")] == []
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    assert (small_base(task, TINY, {"id": "arithmetic"}) / "model.safetensors").read_bytes() == weights
    policy = LanguageModel.load(place)
    assert policy.tokenizer.pad_token_id != policy.tokenizer.eos_token_id
    assert policy.tokenizer.decode(policy.tokenizer("12+34=")["input_ids"]) == "12+34="


def test_a_word_is_the_same_tokens_wherever_it_stands_and_one_table_reads_and_says(tmp_path):
    """What is to be copied out of a text must not change with the sign before it."""
    texts = ["Pay Elena Lund for the sushi.\n>send(to='Elena Lund', note='sushi')"] * 50

    def within(tokenizer, text):
        tokens = tokenizer(text)["input_ids"]
        assert tokenizer.decode(tokens) == text
        return [tokenizer.decode([t]) for t in tokens]

    more = {"tied": True, "init": 0.5, "vocabulary": 400}
    apart, joined = (fresh(TINY.model_copy(update=more | {"tokenizer": kind}), texts) for kind in ("words", "bpe"))
    said = within(apart.tokenizer, texts[0])
    assert said.count("Elena") == said.count("Lund") == said.count("sushi") == 2
    assert within(joined.tokenizer, texts[0]).count("Elena") == 1
    assert within(apart.tokenizer, "for a  \t b")[-3:] == ["  \t ", "b"] or "b" in within(
        apart.tokenizer, "for a  \t b"
    )
    assert len(fresh(TINY.model_copy(update={"vocabulary": 300}), texts).tokenizer) <= 300
    table = apart.model.get_input_embeddings().weight
    assert apart.model.get_output_embeddings().weight is table
    assert float(table.detach().std()) == pytest.approx(0.5, rel=0.05)
    apart.save(tmp_path)
    again = LanguageModel.load(tmp_path)
    assert again.model.get_output_embeddings().weight is again.model.get_input_embeddings().weight


def test_without_worked_examples_a_model_must_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="--model"):
        small_base(replace(load_task("arithmetic", OPTIONS), demonstrations=()), TINY, {})
