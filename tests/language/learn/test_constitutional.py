"""Critique and revision, and soft labels, with tiny language models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.learn import critiques
from operant.language.learn.critiques import demonstrations, labelled, preferences, revise
from operant.language.learn.exchange import plain_dialogue, prompt_tokens
from operant.language.learn.principles import PRINCIPLES
from operant.language.learn.reward_model import reward_model
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.learning import RewardModelConfig
from operant.language.settings.rlhf import ConstitutionalConfig
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from reference.tiny_language import tiny_language, tiny_tokenizer

PROMPTS = ["What is 12 + 30?", "Sort 3 1 2."]
COMPARED = [("What is 2 + 2?", "It is 4.", "It is 5."), ("Sort 2 1.", "1 2", "2 1")]


@pytest.fixture(scope="module")
def chat() -> LanguageModel:
    return tiny_language("llama", layers=1)


@pytest.fixture(scope="module")
def plain(chat: LanguageModel) -> LanguageModel:
    """The same model, without a chat template."""
    return LanguageModel(chat.model, tiny_tokenizer(None))


def draws() -> np.random.Generator:
    return Streams(0).numpy("principles")


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_each_round_criticises_the_last_answer_under_a_drawn_principle(kind: str, request) -> None:
    model: LanguageModel = request.getfixturevalue(kind)
    asked: list[str] = []

    class Listening(Engine):
        def generate(self, prompts, sampling, *, samples=1, after=None):
            asked.extend(self.policy.tokenizer.decode(p.tokens) for p in prompts)
            ids.extend(p.id for p in prompts)
            return super().generate(prompts, sampling, samples=samples, after=after)

    ids: list[int] = []
    cfg, sampling = ConstitutionalConfig(revisions=2), Sampling(max_tokens=5, stop=(1, 5))
    found = revise(cfg, Listening(model, seed=0), sampling, PROMPTS, PRINCIPLES, draws(), first_id=100)
    assert ids == list(range(100, 110))  # a key of its own for each of 2 · (1 + 2 · 2) samples
    for i, r in enumerate(found):
        assert r.prompt == PROMPTS[i]
        assert (len(r.answers), len(r.critiques), len(r.principles)) == (3, 2, 2)
        for number in range(2):
            critique, revision = asked[2 + 4 * number + i], asked[4 + 4 * number + i]
            assert r.prompt in critique
            assert r.answers[number] in critique
            assert r.principles[number].critique in critique
            assert r.principles[number].revision in revision
            assert r.critiques[number] in revision
    again = revise(cfg, Engine(model, seed=0), sampling, PROMPTS, PRINCIPLES, draws(), first_id=100)
    assert again == found
    other = revise(cfg, Engine(model, seed=0), sampling, PROMPTS, PRINCIPLES, draws(), first_id=200)
    assert other != found


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_the_last_revision_is_what_is_learnt(kind: str, request) -> None:
    model: LanguageModel = request.getfixturevalue(kind)
    encoder = Encoder(tokenizer=model.tokenizer, length=200)
    one = critiques.Revised(prompt="Hi?", answers=("bad", "good"), critiques=("c",), principles=PRINCIPLES[:1])
    empty = critiques.Revised(prompt="Hi?", answers=("bad", " "), critiques=("c",), principles=PRINCIPLES[:1])
    (learnt,) = demonstrations([one, empty], encoder)
    start = prompt_tokens(model, [{"role": "user", "content": "Hi?"}])
    assert list(learnt.tokens[: learnt.prompt]) == start  # the policy is asked as it is taught
    said = model.tokenizer.decode(learnt.tokens[learnt.prompt :])
    assert "good" in said
    assert "bad" not in said


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_labels_are_the_normalised_probabilities_of_both_orders(kind: str, request) -> None:
    model: LanguageModel = request.getfixturevalue(kind)
    cfg = ConstitutionalConfig()
    p = preferences(cfg, model, COMPARED, PRINCIPLES[:1], draws())
    swapped = preferences(cfg, model, [(q, b, a) for q, a, b in COMPARED], PRINCIPLES[:1], draws())
    assert torch.allclose(p + swapped, torch.ones(2, dtype=torch.float64), atol=1e-6)
    question = PRINCIPLES[0].comparison
    for i, (prompt, a, b) in enumerate(COMPARED):
        share = []
        for x, y in ((a, b), (b, a)):
            told = {}
            for letter in "AB":
                exchange = plain_dialogue([{"role": "user", "content": prompt}])
                text = f"Consider this exchange:\n\n{exchange}\n\n{question}\n(A) {x}\n(B) {y}"
                start = prompt_tokens(model, [{"role": "user", "content": text}])
                lead = model.tokenizer("The answer is: (", add_special_tokens=False)["input_ids"]
                (word,) = model.tokenizer(letter, add_special_tokens=False)["input_ids"]
                with torch.no_grad():
                    logits = model.model(torch.tensor([[*start, *lead]])).logits[0, -1]
                told[letter] = float(logits.softmax(-1)[word])
            share.append(told["A"] / (told["A"] + told["B"]))
        assert float(p[i]) == pytest.approx(0.5 * (share[0] + 1 - share[1]), abs=1e-5)


def test_a_liking_for_a_letter_is_no_label_and_certainty_is_bounded(chat: LanguageModel, monkeypatch) -> None:
    monkeypatch.setattr(critiques, "probability_of_first", lambda *_: 0.9)  # always (A)
    assert preferences(ConstitutionalConfig(), chat, COMPARED, PRINCIPLES, draws()).tolist() == pytest.approx([0.5] * 2)
    turns = itertools.cycle((0.95, 0.05))
    monkeypatch.setattr(critiques, "probability_of_first", lambda *_: next(turns))
    bounded = preferences(ConstitutionalConfig(certain=0.6), chat, COMPARED, PRINCIPLES, draws())
    assert bounded.tolist() == pytest.approx([0.6] * 2)


def test_a_preference_model_learns_the_labels(chat: LanguageModel) -> None:
    pairs = labelled(COMPARED, torch.tensor([0.8, 0.3]), Encoder(tokenizer=chat.tokenizer, length=200))
    assert [p.probability for p in pairs] == pytest.approx([0.8, 0.3])
    model = Scalar(tiny_language("llama", layers=1, seed=1))
    cfg = RewardModelConfig(loss="soft_label", batch=2, lr=1e-2, centring=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    learn = reward_model(cfg, Shuffled(pairs, Streams(0)), model, optimizer, total_steps=120)
    loss = [float(next(learn)["loss/preference"]) for _ in range(60)]
    entropy = float(np.mean([-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.8, 0.3)]))
    assert loss[0] > entropy + 0.05
    assert loss[-1] == pytest.approx(entropy, abs=0.01)


def test_what_is_missing_or_too_long_is_named(chat: LanguageModel) -> None:
    cfg = ConstitutionalConfig()
    with pytest.raises(ConfigError, match="principles"):
        revise(cfg, Engine(chat, seed=0), Sampling(max_tokens=5), PROMPTS, [], draws())
    with pytest.raises(ConfigError, match="principles"):
        preferences(cfg, chat, COMPARED, [], draws())
    with pytest.raises(ConfigError, match="shorter"):
        preferences(cfg, chat, [("?", "a" * 600, "b")], PRINCIPLES, draws())
