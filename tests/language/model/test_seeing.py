"""Models that see: transformers' logits, samples that are the trainer's, learning, resuming, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from PIL import Image

from operant.config.errors import ConfigError
from operant.language import DPOConfig, Encoder, Engine, LanguageModel, Prompt, Sampling, Shuffled, dpo, sft
from operant.language.learn.optim_step import check_examples
from operant.language.learn.reference import pairs_with_reference
from operant.language.model.lora import LoraSpec
from operant.language.model.seeing import tower
from operant.language.model.shared_prefix import evaluate_groups
from operant.language.settings.learning import SFTConfig
from operant.language.text import pictures
from operant.language.text.packing import packed, padded
from operant.language.text.pairs import read_conversations, read_pairs
from operant.language.text.rendering import rendering_of
from reference.seeing_models import FAMILIES, processor_of, seeing

pytestmark = pytest.mark.filterwarnings("ignore:.*goes through transformers")
DRAW = np.random.default_rng(0)
WIDE, HIGH, OTHER = (DRAW.integers(0, 255, size, dtype=np.uint8) for size in ((16, 24, 3), (40, 20, 3), (16, 24, 3)))


def image(name: str) -> dict[str, str]:
    return {"type": "image", "image": name}


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def talks() -> list[list[dict[str, Any]]]:
    """One picture, and three of two sizes, one of them twice, among words."""
    a, b = pictures.put(WIDE), pictures.put(HIGH)
    return [
        [{"role": "user", "content": [image(a), text("what is it?")]}],
        [
            {
                "role": "user",
                "content": [text("look: "), image(b), text(" and "), image(b), text(" and again "), image(a)],
            }
        ],
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: seeing(kind, tmp_path_factory.mktemp(kind)) for kind in FAMILIES}


def logits(policy: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    if policy.whole is not None:
        return policy.whole.logits(tokens, torch.arange(tokens.shape[1]).expand_as(tokens))
    return policy.decoder.head(policy.hidden(tokens))


def rows_of(policy: LanguageModel, given: list[list[dict[str, Any]]]) -> tuple[torch.Tensor, list[list[int]]]:
    rows = [rendering_of(policy.tokenizer).prompt(talk) for talk in given]
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows]), rows


@pytest.mark.parametrize("kind", FAMILIES)
def test_logits_are_those_of_transformers_for_pictures_of_unequal_size(folders: dict[str, Path], kind: str):
    policy = LanguageModel.load(folders[kind])
    tokens, _ = rows_of(policy, talks())
    written = [rendering_of(policy.tokenizer).written(talk, prompt=True) for talk in talks()]
    a, b = Image.fromarray(WIDE), Image.fromarray(HIGH)
    processor = processor_of(folders[kind], kind)
    processor.tokenizer.padding_side = "right"
    given = processor(text=written, images=[[a], [b, b, a]], return_tensors="pt", padding=True)
    with torch.no_grad():
        want = policy.base(**given).logits
        found = logits(policy, tokens)
        there = given["attention_mask"].bool()
        assert (found - want)[there].abs().max() < 1e-5
        states = policy.hidden(tokens)
        assert (policy.base.lm_head(states) - want)[there].abs().max() < 1e-5
        # the same row alone, and with another picture of the same size
        other = [{"role": "user", "content": [image(pictures.put(OTHER)), text("what is it?")]}]
        alone, changed = (rows_of(policy, [talk])[0] for talk in (talks()[0], other))
        single = logits(policy, alone)
        assert (single - found[:1, : alone.shape[1]]).abs().max() < 1e-5
        assert (logits(policy, changed) - single).abs().max() > 1e-3


@pytest.mark.parametrize("kind", FAMILIES)
def test_samples_are_those_of_generate_and_their_probabilities_are_the_trainers(folders: dict[str, Path], kind: str):
    policy = LanguageModel.load(folders[kind])
    _, rows = rows_of(policy, talks())
    prompts = [Prompt(id=i, tokens=tuple(row)) for i, row in enumerate(rows)]
    engine = Engine(policy, seed=7, slots=3)
    greedy = engine.generate(prompts, Sampling(temperature=0.0, max_tokens=6))
    for talk, shown, c in zip(talks(), ([WIDE], [HIGH, HIGH, WIDE]), greedy, strict=True):
        given = processor_of(folders[kind], kind)(
            text=[rendering_of(policy.tokenizer).written(talk, prompt=True)],
            images=[[Image.fromarray(x) for x in shown]], return_tensors="pt",
        )  # fmt: skip
        want = policy.base.generate(**given, max_new_tokens=6, do_sample=False, eos_token_id=None)
        said, marker = want[0, given["input_ids"].shape[1] :].tolist(), policy.tokenizer.pictures.token
        end = said.index(marker) + 1 if marker in said else 6  # behind it theirs has a picture's place in its words
        assert said[:end] == list(c.tokens)[:end]
    for c in engine.generate(prompts, Sampling(max_tokens=6), samples=2):
        tokens = torch.tensor([[*c.prompt.tokens, *c.tokens]])
        acted = torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool)
        acted[:, len(c.prompt.tokens) - 1 :] = True
        logp, _ = policy.evaluate(tokens, acted)
        assert logp[acted].tolist() == pytest.approx(c.logp, abs=1e-5)


def lines(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> str:
    Image.fromarray(WIDE).save(tmp_path / "wide.png")
    return str(tmp_path / "wide.png")


def test_fine_tuning_learns_words_alone_and_packs_rows_with_pictures(
    folders: dict[str, Path], tmp_path: Path, file: str
):
    policy = LanguageModel.load(folders["llava"])
    encoder = Encoder(tokenizer=policy.tokenizer, length=256, rows=policy.vocab)
    talk = [{"role": "user", "content": [image(file), text("what?")]}, {"role": "assistant", "content": "red"}]
    more = [{"role": "user", "content": "no picture"}, {"role": "assistant", "content": "none"}]
    longer = [*talk, {"role": "user", "content": [text("and "), image(file)]}]
    longer.append({"role": "assistant", "content": "blue"})
    path = lines(tmp_path, [{"messages": m} for m in (talk, more, longer)])
    for learn in ("assistant", "all"):
        for e in read_conversations(path, encoder, learn=learn):
            assert not any(a and pictures.is_picture(t) for a, t in zip(e.acted, e.tokens[1:], strict=True))
    examples = read_conversations(path, encoder)
    assert policy.tokenizer.decode(
        [t for t, a in zip(examples[2].tokens[1:], examples[2].acted, strict=True) if a]
    ) == ("red<|im_end|>blue<|im_end|>")
    check_examples(examples, policy)
    grads = []
    for rows in (padded(examples, 0), packed(examples, 0, length=200)):
        policy.zero_grad()
        logp, _ = policy.evaluate(rows.tokens, rows.acted, position=rows.position, segment=rows.segment)
        logp.sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None]))
    assert (grads[0] - grads[1]).abs().max() < 1e-4 * grads[0].abs().max()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-3)
    loop = sft(
        SFTConfig(batch=3, length=256, packing=False, lr=5e-3),
        Shuffled(examples, _streams()),
        policy,
        optimizer,
        total_steps=90,
    )
    losses = [float(next(loop)["loss/nll"]) for _ in range(25)]
    assert losses[-1] < losses[0] - 0.5


def _streams() -> Any:
    from operant.data.streams import Streams

    return Streams(3)


@pytest.mark.parametrize("kind", ["qwen2_vl", "idefics3"])
@pytest.mark.parametrize("given", [talks()[0], [{"role": "user", "content": "no picture"}]], ids=["picture", "words"])
def test_a_placeholder_that_the_model_wrote_is_no_picture(folders: dict[str, Path], kind: str, given: Any):
    policy = LanguageModel.load(folders[kind])
    start = rendering_of(policy.tokenizer).prompt(given)
    prompt = Prompt(id=0, tokens=(*start, 70, policy.tokenizer.pictures.token, 71))
    (c,) = Engine(policy, seed=7).generate([prompt], Sampling(max_tokens=3))
    tokens = torch.tensor([[*prompt.tokens, *c.tokens]])
    acted = torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool)
    acted[:, -3:] = True
    assert policy.evaluate(tokens, acted)[0][acted].tolist() == pytest.approx(c.logp, abs=1e-5)


@pytest.mark.parametrize("kind", ["llava", "idefics3", "smolvlm"])
def test_a_group_shares_its_pictures_in_sampling_and_in_learning(folders: dict[str, Path], kind: str):
    policy = LanguageModel.load(folders[kind])
    _, rows = rows_of(policy, talks())
    engine = Engine(policy, seed=7)
    assert engine.compiles
    seen, eyes = [], policy.decoder.eyes  # type: ignore[attr-defined]
    policy.decoder.eyes = lambda **given: seen.append(len(given["pixel_values"])) or eyes(**given)  # type: ignore[attr-defined]
    engine.record = True
    done = engine.generate(
        [Prompt(id=i, tokens=tuple(row)) for i, row in enumerate(rows)], Sampling(max_tokens=5), samples=4
    )
    assert seen == [2]
    width = max(len(c.prompt.tokens) for c in done) + 5
    tokens = torch.zeros(len(done), width, dtype=torch.int64)
    acted = torch.zeros(len(done), width - 1, dtype=torch.bool)
    for row, to, c in zip(tokens, acted, done, strict=True):
        whole = (*c.prompt.tokens, *c.tokens)
        row[: len(whole)] = torch.tensor(whole)
        to[len(c.prompt.tokens) - 1 : len(whole) - 1] = True
    prompt = torch.tensor([len(c.prompt.tokens) for c in done])
    weight = torch.randn(acted.shape, generator=torch.Generator().manual_seed(0))
    found = []
    for way in ("tape", "groups", "rows"):
        policy.zero_grad()
        if way == "groups":
            policy.tape = None
        group = prompt if way != "rows" else torch.arange(len(done))
        logp = (
            evaluate_groups(policy, tokens, acted, prompt, group)
            if way != "rows"
            else policy.evaluate(tokens, acted)[0]
        )
        (logp * weight).sum().backward()
        found.append((logp.detach(), {n: p.grad for n, p in policy.base.named_parameters() if p.grad is not None}))
    assert any("vision" in name for name in found[0][1])
    for logp, grads in found[1:]:
        assert (logp - found[0][0]).abs().max() < 1e-5
        assert grads.keys() == found[0][1].keys()
        for name, grad in grads.items():
            assert (grad - found[0][1][name]).abs().max() < 1e-4 * max(1.0, float(grad.abs().max())), name


def test_pictures_stand_in_prompts_and_have_words_behind_them(folders: dict[str, Path]):
    policy = LanguageModel.load(folders["llava"])
    a = pictures.reference(pictures.put(WIDE))
    with pytest.raises(ConfigError, match="prompt 3: ends with a picture"):
        Prompt(id=3, tokens=(5, a))
    start = tuple(rendering_of(policy.tokenizer).prompt(talks()[0]))
    sampling = Sampling(max_tokens=40, stop=tuple(range(policy.vocab)))
    with pytest.raises(ConfigError, match="in prompts alone"):
        Engine(policy, seed=1).generate([Prompt(id=0, tokens=start)], sampling, after=lambda _: (a,) * 16)


def test_a_conversation_is_cut_before_a_picture_and_not_within(folders: dict[str, Path], file: str):
    policy = LanguageModel.load(folders["llava"])
    talk = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"},
            {"role": "user", "content": [image(file)] * 2}, {"role": "assistant", "content": "red"}]  # fmt: skip
    whole = Encoder(tokenizer=policy.tokenizer, length=256).conversation(talk, learn="assistant")
    first = next(i for i, t in enumerate(whole.tokens) if pictures.is_picture(t))
    for length, kept in (
        (first + 5, first),
        (first + 16, first + 16),
        (first + 20, first + 16),
        (first + 32, first + 32),
    ):
        cut = Encoder(tokenizer=policy.tokenizer, length=length).conversation(talk, learn="assistant")
        assert len(cut.tokens) == kept
        policy.evaluate(torch.tensor([cut.tokens]), torch.tensor([cut.acted]))


def test_preferences_move_with_the_picture(folders: dict[str, Path], tmp_path: Path, file: str):
    policy = LanguageModel.load(folders["qwen2_5_vl"])
    encoder = Encoder(tokenizer=policy.tokenizer, length=256, rows=policy.vocab)
    asked = [{"role": "user", "content": [image(file), text("what?")]}]
    path = lines(tmp_path, [{"prompt": asked, "chosen": "red", "rejected": "blue"}] * 2)
    pairs = pairs_with_reference(read_pairs(path, encoder), policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    loop = dpo(DPOConfig(batch=2, lr=3e-3), Shuffled(pairs, _streams()), policy, optimizer, total_steps=40)
    margins = [float(next(loop)["reward/margin"]) for _ in range(8)]
    assert margins[0] == pytest.approx(0.0, abs=1e-5)
    assert margins[-1] > 0.1


@pytest.mark.parametrize("kind", ["qwen2_vl", "llava", "idefics3"])
def test_a_frozen_tower_stays_and_adapters_are_where_they_are_wanted(folders: dict[str, Path], kind: str):
    def trained(policy: LanguageModel) -> set[str]:
        tokens, _ = rows_of(policy, talks()[:1])
        acted = torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool)
        acted[:, -3:] = True
        policy.evaluate(tokens, acted)[0].sum().backward()
        return {n for n, p in policy.model.named_parameters() if p.grad is not None and bool(p.grad.abs().max() > 0)}

    policy = LanguageModel.load(folders[kind])
    eyes = {name for name, _ in tower(policy.base)}
    assert trained(policy) & eyes
    policy = LanguageModel.load(folders[kind])
    policy.freeze_tower()
    assert not trained(policy) & eyes
    for part in ("language", "vision"):
        policy = LanguageModel.load(folders[kind], lora=LoraSpec(r=2, part=part))  # type: ignore[arg-type]
        with torch.no_grad():  # B = 0 gives A no gradient
            for n, p in policy.model.named_parameters():
                if "lora_B" in n:
                    p.fill_(0.1)
        adapted = trained(policy)
        assert adapted
        assert all("lora_" in n for n in adapted)
        assert {any(f".{t}." in n for t in ("language_model", "text_model")) for n in adapted} == {part == "language"}
    with pytest.raises(ConfigError, match="see"):
        LanguageModel.freeze_tower(_blind())
    with pytest.raises(ConfigError, match="see"):
        _blind(LoraSpec(part="vision"))


def _blind(lora: LoraSpec | None = None) -> LanguageModel:
    from operant.language import BaseConfig, fresh
    from operant.language.model import lora as adapters

    policy = fresh(BaseConfig(width=32, layers=1, heads=2), ())
    return policy if lora is None else LanguageModel(adapters.adapt(policy.model, lora), policy.tokenizer)


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_is_saved_is_read_again_here_and_by_transformers(folders: dict[str, Path], kind: str, tmp_path: Path):
    from transformers import AutoModelForImageTextToText

    policy = LanguageModel.load(folders[kind])
    policy.save(tmp_path)
    again = LanguageModel.load(tmp_path)
    tokens, rows = rows_of(policy, talks())
    assert rows_of(again, talks())[1] == rows
    acted = torch.ones(2, tokens.shape[1] - 1, dtype=torch.bool) & (tokens[:, 1:] < pictures.FIRST)
    with torch.no_grad():
        assert torch.equal(policy.evaluate(tokens, acted)[0], again.evaluate(tokens, acted)[0])
    theirs = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert all(torch.equal(p, q) for p, q in zip(theirs.parameters(), policy.base.parameters(), strict=True))


TASK = """
from operant.task import Example, Task
from operant.reward import Exact

def ask(i):
    parts = [{"type": "image", "image": f"FOLDER/{i}.png"}, {"type": "text", "text": "Which?"}]
    return Example(prompt=({"role": "user", "content": parts},), gold="abcd"[i % 4], solution="abcd"[i % 4])

def task():
    made = [ask(i) for i in range(8)]
    def first(trace):
        return sum(map(ord, trace.completion)) % 7 / 7
    first.pure, first.best = True, None
    return Task(name="which", train=made[:4], test=made[4:], rewards={"correct": Exact(), "first": first}, max_tokens=4)
"""


@pytest.mark.parametrize("kind", ["qwen2_vl", "llava"])
def test_grpo_on_pictures_resumes_bit_for_bit(
    folders: dict[str, Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import operant

    for i in range(8):
        Image.fromarray(np.full((16, 16 + 8 * (i % 2), 3), 30 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "mine.py").write_text(TASK.replace("FOLDER", str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    common: dict[str, Any] = {
        "model.path": str(folders[kind]), "algo.prompts": 2, "algo.samples": 4, "algo.lr": 1e-3, "quiet": True,
        "eval.episodes": 2, "eval.samples": 0, "save.every": 2, "save.report": False, "threads": 1, "algo.beta": 0.01,
    }  # fmt: skip
    whole = operant.train("grpo", "mine.py", total_steps=4, runs=tmp_path / "whole", **common)
    cut = operant.train("grpo", "mine.py", total_steps=2, runs=tmp_path / "cut", **common)
    cut = operant.resume(cut.path, to=4, quiet=True)
    for part in ("checkpoints/latest/model.safetensors", "checkpoints/latest/optim.safetensors"):
        assert (whole.path / part).read_bytes() == (cut.path / part).read_bytes()
    before = (folders[kind] / "model.safetensors").read_bytes()
    assert (whole.path / "checkpoints/latest/model.safetensors").read_bytes() != before
    from operant.language.episodes.rollout_files import read_rollouts

    (row, *_) = read_rollouts(next((whole.path / "rollouts").glob("step-*.parquet")))
    assert "⟨picture" in row["prompt"]
    LanguageModel.load(whole.path / "checkpoints/latest")


def test_what_no_model_can_see_is_refused_in_words(folders: dict[str, Path], tmp_path: Path, file: str):
    policy = LanguageModel.load(folders["llava"])
    rendering = rendering_of(policy.tokenizer)

    def asked(part: Any) -> list[int]:
        return rendering.prompt([{"role": "user", "content": [part]}])

    (tmp_path / "no.png").write_bytes(b"no picture")
    for part, why in (
        (image(str(tmp_path / "none.png")), "read"), (image(str(tmp_path / "no.png")), "read"),
        (image("https://example.org/a.png"), "not fetched"), (image("data:text/plain;base64,AAAA"), "no picture"),
        (image("data:image/png;base64,%%%"), "read"), ({"type": "film", "film": "a"}, "part"), ("text", "part"),
        (image("array:0123"), "another process"), ({"type": "image"}, "part"),
        ({"type": "image", "image": np.zeros((4, 4), np.uint8)}, "uint8"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=why):
            asked(part)
    blind = _blind().tokenizer
    blind.chat_template = policy.tokenizer.chat_template
    with pytest.raises(ConfigError, match="model that sees"):
        rendering_of(blind).prompt([{"role": "user", "content": [image(file)]}])
    whole = asked(image(file))
    tokens = torch.tensor([whole[: next(i for i, t in enumerate(whole) if pictures.is_picture(t)) + 5]])
    with pytest.raises(ConfigError, match="a part of the picture"):
        policy.evaluate(tokens, torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool))
    # the placeholder in what a person says is text
    assert len(asked(text("<image>"))) > len(asked(text("a")))
    assert rendering.tokenizer.convert_tokens_to_ids("<image>") not in asked(text("<image>"))


def test_a_picture_has_one_reference_however_it_is_named(file: str):
    held = io.BytesIO()
    Image.fromarray(WIDE).save(held, "PNG")
    data = f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"
    for name in (file, data, pictures.put(WIDE), pictures.put(Image.fromarray(WIDE))):
        assert (pictures.read(name) == WIDE).all()
        assert pictures.name_of(pictures.reference(name)) == name
        assert pictures.is_picture(pictures.reference(name))
        assert pictures.reference(name) < 2**63
    assert pictures.put(WIDE) == pictures.put(WIDE.copy()) != pictures.put(OTHER)
    parts = [image(data), {"type": "image_url", "image_url": {"url": data}}, {"type": "image", "path": data}]
    assert pictures.pictures_in([{"content": parts}, {"content": "none"}]) == [data] * 3
