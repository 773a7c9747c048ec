"""Teachers of agents, and small models cloned on them."""

import asyncio

import pytest

from operant.agents import Calculator, Grid, Quests
from operant.agents.harness import agents
from operant.agents.harness.agents import PlanActReflect, Reflexion, every, played
from operant.agents.harness.clone import clone, demonstrations, rows, shuffled
from operant.agents.harness.episode import Episode, Form
from operant.agents.harness.teachers import Taught, teacher_of
from operant.config.errors import ConfigError


def shown(world, agent=agents.turns, split="train", many=40, **how):
    return demonstrations(world, world.scenarios(split)[:many], agent, how.pop("form", Form()), **how)


@pytest.mark.parametrize(("world", "least"), [(Grid(train=60), 0.7), (Quests(train=60, rooms=3), 0.9)])
def test_a_teacher_solves_most_and_says_a_thought_and_an_action(world, least):
    found = shown(world, slip=0.0)
    assert sum(episode.success for episode, _ in found) >= least * len(found)
    assert all(episode.malformed == 0 for episode, _ in found)
    said = [step for episode, _ in found for step in episode.steps[1:]]
    assert all(step.thought and "\n" not in step.thought for step in said)
    (episode, _) = shown(world, form=Form(thinks=False), many=1)[0]
    assert all(not step.thought for step in episode.steps)


@pytest.mark.parametrize("world", [Grid(train=90), Quests(train=90, rooms=3)])
def test_a_lesson_helps_the_next_attempt_more_than_none(world):
    """Scenarios in which a teacher that slips fails: with the lesson of it, it does better than without."""
    failed = [e for e, _ in shown(world, slip=0.25, many=90) if not e.success]
    assert len(failed) >= 5

    def again(notes):
        won = 0
        for before in failed:
            taught = Taught(teacher_of(world), thinks=True, slip=0.0, seed=0)
            taught.episode = episode = Episode(world, before.scenario, taught)
            episode.notes = [f"Lesson: {taught.teacher.lesson(before)}"] if notes else []
            asyncio.run(played(agents.turns, episode))
            won += len(episode.steps) if episode.success else 99
        return won

    assert again(True) < again(False)


def test_what_a_teacher_says_is_of_what_was_seen():
    world = Grid(train=30)
    for episode, taught in shown(world, PlanActReflect(when=every(2)), many=12, slip=0.0):
        said = {line["call"]: line["said"] for line in episode.log if "call" in line}
        assert said["plan"].startswith("To the ")
        assert said["reflect"].startswith(("CONTINUE", "REPLAN: a wall is"))
        value = int(taught.teacher.value(episode))
        assert value == 10 if episode.success else value < 10
        drawn = world.map(episode.scenario.seed, episode.scenario.template)
        walls = taught.teacher.lesson(episode)
        assert all(f"{x} {y}" not in walls for x, y in [drawn.start, drawn.exit])
    with pytest.raises(ConfigError, match="text/calculator has no teacher"):
        teacher_of(Calculator())


@pytest.fixture(scope="module")
def policy():
    pytest.importorskip("transformers")
    from operant.language.model.fresh import fresh
    from operant.language.settings.runs import BaseConfig

    texts = [step.seen.text for e, _ in shown(Grid(train=9), many=9) for step in e.steps]
    return fresh(BaseConfig(width=16, layers=1, heads=2, positions=2_048, tokenizer="words"), texts)


def test_what_is_learnt_is_what_was_said_but_for_slips(policy):
    found = shown(Grid(train=9), Reflexion(trials=2), many=9, slip=0.3)
    learnt = rows(policy, found)
    assert any(taught.slips for _, taught in found)
    for (episode, taught), played_ in zip(found, learnt, strict=True):
        calls = [line["said"] for line in episode.log if "call" in line]
        said = [text for number, text in enumerate(calls) if number not in taught.slips]
        own = [policy.tokenizer.decode([t for t, mine in zip(row.tokens, row.sampled, strict=True) if mine])
               for row in played_.graph.rows()]  # fmt: skip
        assert sum(text.count("<eos>") for text in own) == len(said)
        assert sorted("".join(own).replace("<eos>", "\0").split("\0")[:-1]) == sorted(said)


def test_shuffled_thoughts_are_those_of_others_and_actions_stay(policy):
    found, kept = (shown(Grid(train=9), many=9, slip=0.0) for _ in range(2))
    shuffled(found, 1)
    pairs = [(a["said"].split("\n"), b["said"].split("\n")) for (e, _), (f, _) in zip(found, kept, strict=True)
             for a, b in zip(e.log, f.log, strict=True) if "call" in a]  # fmt: skip
    assert [a[1] for a, _ in pairs] == [b[1] for _, b in pairs]
    assert sorted(a[0] for a, _ in pairs) == sorted(b[0] for _, b in pairs)
    assert sum(a[0] != b[0] for a, b in pairs) > len(pairs) / 2
    for episode, _ in found:
        calls = [line for line in episode.log if "call" in line]
        heard = [m["content"] for m in calls[-1]["messages"] if m["role"] == "assistant"]
        assert heard == [line["said"] for line in calls[:-1]]


def test_a_clone_is_made_once_and_found_again(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from operant.language.settings.worlds import WorldBaseConfig

    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path))
    base = WorldBaseConfig(width=16, layers=1, heads=2, positions=1_024, examples=4, traces=4, batch=2, learn="all")
    lines = []
    for _ in range(2):
        made = clone(Grid(train=8), agents.turns, Form(), base, about=["grid"], say=lines.append)
    assert len([*tmp_path.iterdir()]) == 1
    clone(Grid(train=8), agents.turns, Form(thinks=False), base, about=["grid"], say=lines.append)
    assert len([*tmp_path.iterdir()]) == 2
    assert len(made.tokenizer) > 100
