"""The recipes of models that see: what arms are told, what is measured, and that mechanisms change what is paid."""

import pytest

from operant.language.task.load import load_task
from operant.recipes import Trial, cls_rl, mm_eureka, recipe, seeing, seg_zero, visualthinker_r1_zero, vlm_r1
from operant.recipes.answers import ASK, answer, form, right, votes
from operant.recipes.boxes import listed
from operant.recipes.r1_v import STUDY
from operant.vision.drawing import masks, render
from operant.vision.names import scene_of
from reference.said import row


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
    assert found["in"] == 1.0
    assert (told[0]["model.path"], told[0]["algo.lr"]) == ("DIR", 1e-6)
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


def test_a_box_after_the_last_right_one_costs_nothing_without_the_factor():
    loads = {name: load_task(ASK, vlm_r1.FIND | {"train": 1, "test": 8} | arm.stages[0].asked)
             for name, arm in vlm_r1.STUDY.arms.items() if name in ("plain", "length-aware")}  # fmt: skip
    example = next(e for e in loads["plain"].test if len(e.gold) == 2)
    guesses = str([*example.gold, [0, 0, 3, 3], [1, 1, 4, 4]])
    paid = {name: task.rewards["correct"](example.trace(guesses)) for name, task in loads.items()}
    assert paid == {"plain": 1.0, "length-aware": 0.5}
    at = loads["plain"].test.index(example)
    told = listed(loads["plain"], [row(guesses, 1.0, prompt=at), row("[[", 0.0, prompt=at),
                                          row(example.solution, 1.0, prompt=at, mode="greedy")])  # fmt: skip
    assert told == {"boxes": 1.0, "precision": 1.0}


def test_the_segmenter_fills_what_the_policy_points_at():
    task = load_task(ASK, {"heads": "segment", "rewarded": "segment", "train": 1, "test": 12})
    for example in task.test:
        scene = scene_of(example.prompt[0]["content"][0]["image"])
        (true,) = [m for m, t in zip(masks(scene), scene.things, strict=True) if [*t.box] == example.gold["box"]]
        mine = seg_zero.segment(render(scene), seg_zero.read(example.solution))
        assert (mine & true).sum() > 0.8 * (mine | true).sum()
        assert not seg_zero.segment(render(scene), (example.gold["box"], [(-5, 40), (99, 0)])).all()
    rows = [row(e.solution, 1.0, prompt=i, mode="greedy") for i, e in enumerate(task.test)]
    assert seg_zero.overlap(task, rows)["giou"] > 0.85
    assert seg_zero.overlap(task, [row("nothing", 0.0, mode="greedy")])["giou"] == 0.0


def test_looks_are_counted_and_what_they_pay():
    task = load_task(ASK, {"mode": "think", "train": 1, "test": 1})
    rows = [row("<think>a1 check a1</think><answer>1</answer>", 1.0), row("<think>a1</think>", 0.0), row("x", 1.0)]
    found = visualthinker_r1_zero.looks(task, rows)
    assert found == {"looks": pytest.approx(1 / 3), "looks pay": 0.5}
    shown = load_task(ASK, {"mode": "mixed", "demonstrations": 400} | visualthinker_r1_zero.STUDY.shown).demonstrations
    traces = [d.completion for d in shown if "<think>" in d.completion]
    assert 0.04 < sum(" check " in t for t in traces) / len(traces) < 0.16


def test_few_questions_stay_few_and_no_thinking_pays_the_whole_completion(tmp_path):
    study = cls_rl.STUDY
    for name in ("rl-direct", "rl-think", "rl-shuffled"):
        (stage,) = study.arms[name].stages
        t = Trial(arm=name, seed=1, folder=tmp_path)
        told = study.settings(t, stage, {**study.asked, **study.arms[name].asked, **stage.asked}, "BASE")
        assert (told["task.options"]["train"], told["total_steps"]) == (cls_rl.FEW, 75)
    direct, think = (
        load_task(ASK, {"heads": "attribute", "mode": m, "train": 1, "test": 1}) for m in ("direct", "think")
    )
    tagged = f"<think>a1</think><answer>{direct.test[0].gold}</answer>"
    assert direct.rewards["correct"](direct.test[0].trace(tagged)) == 0.0
    assert think.rewards["correct"](think.test[0].trace(tagged)) == 1.0


def test_the_filter_and_the_divergence_are_what_the_arms_differ_in(tmp_path):
    arms = mm_eureka.STUDY.arms
    told = {n: mm_eureka.STUDY.settings(Trial(arm=n, seed=1, folder=tmp_path), a.stages[0], {}, "B")
            for n, a in arms.items() if a.stages}  # fmt: skip
    assert {n: (s["algo.beta"], s.get("algo.resample", 0)) for n, s in told.items()} == {
        "filtered": (0.0, 4), "all": (0.0, 0), "divergence": (0.04, 4), "leave-one-out": (0.0, 4), "frozen": (0.0, 4),
        "shuffled": (0.0, 4),
    }  # fmt: skip
    task = load_task(ASK, {**mm_eureka.STUDY.asked, "train": 1, "test": 1})
    assert (task.weight("correct"), task.weight("format")) == (1.0, 0.5)
