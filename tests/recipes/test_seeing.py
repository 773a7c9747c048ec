"""The recipes of models that see: what arms are told, what is measured, and that mechanisms change what is paid."""

import pytest

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.task.load import load_task
from operant.recipes import Trial, recipe, seeing
from operant.recipes.r1_v import STUDY
from operant.recipes.seeing import ASK, answer, form, right, votes


def row(completion, worth, *, prompt=0, mode="sampled", finish="stop", tokens=3):
    return RolloutRow(
        prompt_id=prompt, sample=0, prompt="", completion=completion, finish=finish, mode=mode, reward=worth,
        rewards={"correct": worth, "format": worth}, advantage=None, tokens=[0] * tokens, logp=[],
    )  # fmt: skip


def test_answers_are_voted_on_by_question():
    task = load_task(ASK, {"mode": "think", "train": 1, "test": 1})
    two, three = "<think>a1 b1</think><answer>2</answer>", "<answer>3</answer>"
    rows = [row(two, 1.0), row(two, 1.0), row(three, 0.0), row("5", 0.0, prompt=1), row(three, 1.0, prompt=1)]
    assert [answer(task, r) for r in rows] == ["2", "2", "3", None, "3"]
    assert votes(task, rows) == 1.0
    assert votes(task, [*rows, row(three, 0.0), row(three, 0.0)]) == 0.5
    greedy = [row(two, 1.0, mode="greedy", tokens=5), row("5", 0.0, mode="greedy", tokens=1)]
    assert right([*rows, *greedy], "greedy") == 0.5
    assert form([*rows, *greedy]) == {"format": 0.5, "tokens": 3.0}


@pytest.mark.parametrize("miniature", [True, False])
def test_every_arm_begins_at_one_base_and_sees_as_many_questions(miniature, tmp_path):
    asked = {}
    for name, arm in STUDY.arms.items():
        t = Trial(arm=name, seed=5, folder=tmp_path, miniature=miniature)
        for stage in arm.stages:
            told = STUDY.settings(t, stage, {**STUDY.places["in"], **arm.asked, **stage.asked}, "BASE")
            assert (told["model.path"], told["seed"], told["task.options"]["noise"]) == ("BASE", 5, 0.0)
            asked[name] = told["task.options"]["train"]
            assert told["total_steps"] * (1 if stage.algorithm == "sft" else 32) == asked[name]
    assert len(asked) == len(STUDY.arms) - 1
    assert len({*asked.values()}) == 1


def test_a_model_of_the_hub_is_asked_in_words_and_needs_no_base(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(seeing, "train", lambda algorithm, env, **settings: told.append(settings) or Ran())
    monkeypatch.setattr(seeing, "measured", lambda model, options, *_: (load_task(ASK, options), [row("2", 1.0),
                                                                     row("2", 1.0, mode="greedy")]))  # fmt: skip
    monkeypatch.setattr(seeing, "small_base", lambda *_, **__: pytest.fail("a base is made"))
    found = recipe("r1-v").trial(Trial(arm="rl-think", seed=1, folder=tmp_path, miniature=True, model="DIR"))
    assert found["out"] == 1.0
    assert told[0]["model.path"] == "DIR"
    question = load_task(ASK, told[0]["task.options"]).train[0]
    assert "<think>" in question.prompt[0]["content"][1]["text"]
    assert "/224-0-" in question.prompt[0]["content"][0]["image"]


class Ran:
    """A run that took no step."""

    path, metrics = "RUN", ()


def test_shuffled_rewards_pay_other_answers():
    options = {"split": "cogent-a", "mode": "think", "train": 20, "test": 1}
    plain, shuffled = (load_task(ASK, options | more) for more in ({}, {"shuffled": "answers"}))
    paid = [[t.rewards["correct"](e.trace(f.solution)) for e, f in zip(t.train, plain.train, strict=True)]
            for t in (plain, shuffled)]  # fmt: skip
    assert sum(paid[0]) == 20
    assert 0 < sum(paid[1]) < 15
