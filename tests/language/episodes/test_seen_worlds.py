"""Worlds that show pictures: what prompts tell of them, what is trained, and the base that is made where none is."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from operant.api import train
from operant.config.errors import ConfigError
from operant.language.episodes.history import Past, messages_of
from operant.language.episodes.runner import Asked, Runner
from operant.language.episodes.world import Observation, Scenario
from operant.language.learn.oracle import shown_turns
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.worlds import EpisodeConfig
from operant.language.text.pictures import is_picture, reference
from reference.seeing_models import seeing
from reference.tiny_language import tiny_language

LOOKS = "scene:cogent-a/train/32-8-3-8/0/{}"


class Gallery:
    """Two pictures, one after the other; of each is said whether its number is even."""

    name, system, turns, splits = "gallery", "", 3, ("train", "test")

    def scenarios(self, split: str) -> Sequence[Scenario]:
        first = 0 if split == "train" else 100
        return [Scenario(id=i, template="look", seed=i, instruction="Even?") for i in range(first, first + 12)]

    def open(self, scenario: Scenario) -> Any:
        return _Walk(scenario.seed)

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        return ["yes" if n % 2 == 0 else "no" for n in (scenario.seed, scenario.seed + 1)]


class _Walk:
    def __init__(self, seed: int) -> None:
        self.seed, self.turn = seed, 0

    def seen(self, **more: Any) -> Observation:
        name = LOOKS.format(self.seed + self.turn)
        return Observation(text=f"room {self.turn}", pictures=(name,), cells=(self.turn,) * 16, **more)

    async def reset(self) -> Observation:
        return self.seen()

    async def step(self, action: str) -> Observation:
        right = action.strip() == ("yes" if (self.seed + self.turn) % 2 == 0 else "no")
        self.turn += 1
        return self.seen(reward=0.5 * right, terminated=self.turn == 2)

    async def close(self) -> None: ...


def make() -> Gallery:
    return Gallery()


def names(message):
    content = message["content"]
    return [] if isinstance(content, str) else [p["image"] for p in content if p["type"] == "image"]


def test_histories_of_turns_show_their_pictures_and_lines_show_the_last():
    past = [Past(f"room {i}", "go", "gone", (f"p{i}",)) for i in range(3)]
    full = messages_of("full", "", "task", past, "now", pictures=["p3"])
    assert [names(m) for m in full[::2]] == [["p0"], ["p1"], ["p2"], ["p3"]]
    assert full[0]["content"][-1] == {"type": "text", "text": "task\nroom 0"}
    last = messages_of("last", "", "task", past, "now", pictures=["p3"], left_out=2)
    assert [names(m) for m in last[::2]] == [["p2"], ["p3"]]
    (lines,) = messages_of("lines", "", "task", past, "now", pictures=["p3"])
    assert names(lines) == ["p3"]


@pytest.mark.parametrize(("history", "pictures"), [("full", [1, 2]), ("last", [1, 2]), ("lines", [1, 1])])
def test_each_turn_is_a_row_that_was_fed_its_pictures(history, pictures, tmp_path):
    policy = LanguageModel.load(str(seeing("llava", tmp_path)))
    runner = Runner(Gallery(), Engine(policy, seed=1, slots=2), EpisodeConfig(history=history), Sampling(max_tokens=3))
    asked = [Asked(id=i, group=i, member=0, scenario=s) for i, s in enumerate(Gallery().scenarios("train")[:3])]
    for p in runner.play(asked):
        rows = p.graph.rows()
        assert [len({t for t in row.prompt if is_picture(t)}) for row in rows] == pictures
        assert reference(LOOKS.format(p.asked.scenario.seed + 1)) in rows[1].prompt
        assert not any(is_picture(t) for row in rows for t in row.tokens)
        assert len(p.turns) == 2


def test_a_model_that_reads_texts_alone_says_so():
    runner = Runner(Gallery(), Engine(tiny_language(), seed=1, slots=2), EpisodeConfig(), Sampling(max_tokens=3))
    asked = [Asked(id=0, group=0, member=0, scenario=Gallery().scenarios("train")[0])]
    with pytest.raises(ConfigError, match="take a model that sees"):
        runner.play(asked)


def test_what_the_oracle_shows_has_the_cells_of_the_pictures_that_are_told():
    full, lines = (shown_turns(Gallery(), EpisodeConfig(history=h), 4) for h in ("full", "lines"))
    assert [d.completion for d in full[:4]] == ["yes", "no", "no", "yes"]
    assert full[1].cells == (0,) * 16 + (1,) * 16
    assert lines[1].cells == (1,) * 16
    assert "yes → room 1" in json.dumps([*lines[1].prompt], ensure_ascii=False)


@pytest.mark.filterwarnings("ignore::operant.language.learn.batch_checks.TrainingWarning")
def test_a_base_that_sees_is_made_and_learns_by_reward(tmp_path, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path / "cache"))
    settings = {
        "base.width": 16, "base.layers": 1, "base.heads": 2, "base.examples": 32, "base.traces": 8, "base.batch": 8,
        "algo.scenarios": 2, "algo.samples": 2, "algo.lr": 1e-3, "sampling.max_tokens": 3, "eval.episodes": 2,
    }  # fmt: skip
    run = train("loop", f"{__file__}:make", total_steps=1, seed=1, runs=tmp_path, quiet=True, **settings)
    assert run.folder.info()["evaluation"]["episodes"] == 2
    (base,) = (tmp_path / "cache").iterdir()
    assert json.loads((base / "config.json").read_text())["model_type"] == "llava"
