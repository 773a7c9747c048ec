"""A small model that sees, made from nothing and kept, and `operant train grpo vision/count` on it."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch

from operant.config.errors import ConfigError
from operant.language import LanguageModel
from operant.language.model.seeing_base import fresh_seeing, imitate_seeing
from operant.language.settings.runs import BaseConfig
from operant.language.task.load import load_task
from operant.language.text import pictures
from operant.vision.drawing import labels
from operant.vision.names import name_of, picture, scene_of
from operant.vision.scene import Style

pytestmark = pytest.mark.filterwarnings("ignore:.*goes through transformers")
OPTIONS = {"demonstrations": 64, "train": 16, "test": 6, "least": 2, "most": 3}


def test_a_name_is_its_scene():
    style = Style(side=32, cell=8, least=2, most=3)
    name = name_of(5, 7, split="cogent-b", part="test", style=style)
    assert scene_of(name) == scene_of(name.removeprefix("scene:"))
    assert (pictures.read(name) == picture(name)).all()
    assert pictures.read(name).shape == (32, 32, 3)
    for wrong in ("", "cogent-a/train/32-8-2-3/5", "../train/32-8-2-3/5/7", "x/train/32-8-2-3/5/7"):
        with pytest.raises(ConfigError):
            pictures.read(f"scene:{wrong}")


@pytest.mark.parametrize("mode", ["direct", "think"])
def test_the_gold_is_what_the_scene_holds(mode: str):
    task = load_task("vision/count", OPTIONS | {"mode": mode, "noise": 0.0})
    for example in [*task.train, *task.test]:
        image, question = example.prompt[0]["content"]
        words = question["text"].split("?")[0].removeprefix("How many ").removesuffix(" are there").split()
        things = scene_of(image["image"]).things
        names = [w.removesuffix("s") for w in words if w != "things"]
        there = [t for t in things if all(n in (t.colour, t.shape) for n in names)]
        assert int(example.gold) == len(there)
        assert task.rewards["correct"](example.trace(example.solution)) == 1.0
        assert task.rewards["correct"](example.trace("9" if mode == "direct" else "<answer>9</answer>")) == 0.0
    shown = task.demonstrations[3]
    assert list(shown.cells) == labels(scene_of(shown.prompt[0]["content"][0]["image"]), 4).tolist()
    noisy = load_task("vision/count", OPTIONS | {"mode": mode, "noise": 0.5}).demonstrations
    assert any(a.completion != b.completion for a, b in zip(noisy, task.demonstrations, strict=True))
    with pytest.raises(ConfigError, match="mode 'guess': take of direct, think, after"):
        load_task("vision/count", {"mode": "guess"})


@pytest.mark.parametrize("mode", ["direct", "think", "after"])
@pytest.mark.parametrize(
    ("heads", "rewarded", "wrong"),
    [("relation exist", "exact", "maybe"), ("attribute", "exact", ""), ("refer", "overlap", "[0,0,1,1]"),
     ("detect", "precision", "[[0,0,1,1]]"), ("segment", "segment", '{"box":[0,0,1,1],"points":[[0,0],[0,0]]}')],
)  # fmt: skip
def test_solutions_are_right_and_what_is_not_is_not(heads: str, rewarded: str, wrong: str, mode: str):
    task = load_task("vision/ask", OPTIONS | {"heads": heads, "rewarded": rewarded, "mode": mode})
    for example in [*task.train[:8], *task.test]:
        paid = [reward(example.trace(example.solution)) for reward in task.rewards.values()]
        assert paid == [1.0] * len(paid)
        said = wrong if mode == "direct" else f"<think>{example.solution}</think><answer>{wrong}</answer>"
        assert task.rewards["correct"](example.trace(said)) == 0.0


def test_controls_take_the_next_question_s_picture_or_answer():
    plain, blind, unpaid = (
        load_task("vision/ask", OPTIONS | {"shuffled": how}).train for how in ("", "pictures", "answers")
    )
    for i in range(6):
        (image, question), (other, _) = (plain[k].prompt[0]["content"] for k in (i, i + 1))
        assert blind[i].prompt[0]["content"] == [other, question]
        assert unpaid[i].prompt[0]["content"] == [image, question]
        assert (blind[i].gold, unpaid[i].gold) == (plain[i].gold, plain[i + 1].gold)


def test_mixed_demonstrations_are_of_every_kind():
    shown = load_task("vision/ask", OPTIONS | {"mode": "mixed", "noise": 0.0}).demonstrations
    said = [d.completion for d in shown]
    kinds = [sum(s.isdigit() for s in said), sum(s.startswith("<think>") for s in said),
             sum(s.startswith("<answer>") for s in said), sum(" check " in s for s in said)]  # fmt: skip
    assert min(kinds) > 5
    assert sum(kinds[:3]) == len(said)
    twice = [s.split("<think>")[1].split("</think>")[0].split(" check ") for s in said if " check " in s]
    assert all(first == second for first, second in twice)


def test_patches_are_learnt_and_a_base_without_their_labels_is_refused():
    task = load_task("vision/count", OPTIONS)
    said: list[str] = []
    cfg = BaseConfig(width=32, layers=1, heads=2, examples=640, batch=32, lr=3e-3)
    policy = imitate_seeing(task, cfg, said.append)
    told = [float(line.split("patches ")[1]) for line in said[1:]]
    assert told[-1] < 0.75 * told[0]
    again = imitate_seeing(task, cfg, said.append)
    assert all(torch.equal(p, q) for p, q in zip(policy.parameters(), again.parameters(), strict=True))
    sized = fresh_seeing(BaseConfig(width=96, layers=3), (), side=32, cells=4)
    assert 400_000 < sum(p.numel() for p in sized.parameters()) < 500_000
    with pytest.raises(ConfigError, match="do not divide"):
        fresh_seeing(cfg, (), side=32, cells=5)
    from dataclasses import replace

    blind = [replace(d, cells=()) for d in task.demonstrations]
    with pytest.raises(ConfigError, match="cells"):
        imitate_seeing(replace(task, demonstrations=blind), cfg, said.append)


def test_grpo_trains_on_pictures_end_to_end(tmp_path: Path, monkeypatch: Any):
    import operant

    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path / "cache"))
    settings: dict[str, Any] = {
        "task.options": OPTIONS, "base.width": 32, "base.layers": 1, "base.heads": 2, "base.examples": 1920,
        "base.lr": 3e-3, "algo.prompts": 6, "algo.samples": 8, "quiet": True, "eval.episodes": 4, "eval.samples": 0,
        "save.report": False, "threads": 1,
    }  # fmt: skip
    run = operant.train("grpo", "vision/count", total_steps=2, runs=tmp_path, **settings)
    (base,) = (tmp_path / "cache").glob("base-*")
    again = LanguageModel.load(run.path / "checkpoints/latest")
    before = LanguageModel.load(base)
    assert again.tokenizer.chat_template == before.tokenizer.chat_template
    assert any(not torch.equal(p, q) for p, q in zip(again.parameters(), before.parameters(), strict=True))


def test_pictures_are_kept_up_to_so_many_bytes():
    kept = pictures.Kept(10, len)
    for name in "abc":
        kept.keep(name, 4 * name)
    assert (dict(kept), kept.held) == ({"b": "bbbb", "c": "cccc"}, 8)
    kept.keep("long", "x" * 20)  # the last in any case
    assert (dict(kept), kept.held) == ({"long": "x" * 20}, 20)
    kept.keep("d", "d")
    assert (dict(kept), kept.held) == ({"d": "d"}, 1)
