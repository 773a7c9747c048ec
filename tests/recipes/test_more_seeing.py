"""Mechanisms of the recipes of models that see: what a group is paid, and which way its gradient goes, without them."""

import json

import pytest
import torch

from operant.language.task.load import load_task
from operant.math.baseline import group_mean, group_scale
from operant.recipes import (
    Trial,
    lmm_r1,
    q_insight,
    reason_rft,
    seeing,
    timezero,
    ui_r1,
    visual_rft,
)  # fmt: skip
from operant.recipes.answers import ASK, by_kind, rewritten
from operant.recipes.boxes import calibrated
from operant.recipes.seeing import Arm, Stage, Study
from operant.vision.names import scene_of
from reference.said import row


def task(study, arm="", **more):
    """The task that an arm's last stage learns from."""
    its = study.arms.get(arm)
    asked = {} if its is None else {**its.asked, **(its.stages[-1].asked if its.stages else {})}
    place = next(iter(study.places.values()))
    return load_task(ASK, {**study.asked, **place, **asked, "train": 8, "test": 4, **more})


def weights(of, example, said):
    """What each completion of a group weighs in GRPO's gradient."""
    paid = torch.tensor([of.rewards["correct"](example.trace(text)) for text in said])
    one = torch.zeros(len(said), dtype=torch.long)
    return ((paid - group_mean(paid, one)) / group_scale(paid, one, 1e-4)).tolist()


STUDIES = {"visual-rft": visual_rft.STUDY, "lmm-r1": lmm_r1.STUDY, "reason-rft": reason_rft.STUDY,
           "q-insight": q_insight.STUDY, "ui-r1": ui_r1.STUDY, "timezero": timezero.STUDY}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_right_is_worth_most_and_solutions_are_right(name):
    study = STUDIES[name]
    for arm in study.arms:
        made = task(study, arm)
        for example in made.train[:4]:
            top = made.rewards["correct"](example.trace(example.solution))
            if "published" not in str(study.arms[arm].stages):
                assert top == pytest.approx(getattr(made.rewards["correct"], "best", 1.0) or 1.0)
            assert made.rewards["correct"](example.trace("nothing")) < top
    shown = load_task(ASK, {"demonstrations": 12, "mode": "mixed", "train": 1, "test": 1, **study.shown}).demonstrations
    assert all(d.completion for d in shown)


def test_confidence_moves_the_gradient_where_it_is_paid():
    example = next(e for e in task(visual_rft.STUDY, "rl").test if len(e.gold) == 1)
    sure, unsure = (json.dumps([{"box": example.gold[0], "confidence": c}]) for c in (1.0, 0.1))
    first, second = weights(task(visual_rft.STUDY, "rl"), example, [sure, unsure])
    assert first > 0 > second
    assert weights(task(visual_rft.STUDY, "unsure"), example, [sure, unsure]) == [0.0, 0.0]
    made_up = json.dumps([json.loads(sure)[0], {"box": [0, 0, 2, 2], "confidence": 0.0}])
    mended, published = (task(visual_rft.STUDY, arm).rewards["correct"] for arm in ("rl", "published"))
    loss = [of(example.trace(sure)) - of(example.trace(made_up)) for of in (mended, published)]
    assert loss == pytest.approx([0.5, 0.5])
    assert mended(example.trace(sure)) == 1.0
    assert published(example.trace(sure)) == 2.0  # where the made-up box costs a quarter of what is paid


def test_confidence_is_held_against_what_is_matched():
    made = task(visual_rft.STUDY)
    at, example = next((i, e) for i, e in enumerate(made.test) if len(e.gold) == 1)
    said = [json.dumps([{"box": box, "confidence": c}]) for box, c in ((example.gold[0], 0.9), ([0, 0, 1, 1], 0.9))]
    rows = [row(x, 0.0, prompt=at) for x in said]
    assert calibrated(made, rows)["ece"] == pytest.approx(0.4)  # half of them is matched
    assert calibrated(made, rows[:1])["ece"] == pytest.approx(0.1)
    assert calibrated(made, [row("none", 0.0)])["ece"] == 1.0


def test_words_tell_the_same_scene_and_show_nothing():
    photo, words = task(lmm_r1.STUDY, "pictures"), task(lmm_r1.STUDY, "text")
    for seen, told in zip(photo.train, words.train, strict=True):
        assert (seen.gold, seen.solution) == (told.gold, told.solution)
        (text,) = told.prompt[0]["content"]
        things = scene_of(seen.prompt[0]["content"][0]["image"]).things
        assert all(f"{t.colour} {t.shape}" in text["text"] for t in things)
        assert text["text"].endswith(seen.prompt[0]["content"][1]["text"])
    shown = load_task(ASK, {"mode": "mixed", "demonstrations": 8} | lmm_r1.STUDY.shown).demonstrations
    assert [len(d.cells) for d in shown] == [16, 16, 0, 0, 16, 16, 0, 0]  # both splits in both ways


def test_a_change_that_is_half_right_is_paid_in_degrees_alone():
    graded, whole = (task(reason_rft.STUDY, arm, heads="transform", rewarded=paid)
                     for arm, paid in (("rft", "calls"), ("ungraded", "calls-whole")))  # fmt: skip
    example = next(e for e in graded.train if e.gold[0].startswith("change_colour"))
    call, *rest = example.gold
    half = f"{call.partition(',')[0]}, none)"
    said = [f"<think>a1</think><answer>{'; '.join([x, *rest])}</answer>" for x in (half, "jump(0)")]
    first, second = weights(graded, example, said)
    assert first > 0 > second
    assert weights(whole, example, said) == [0.0, 0.0]
    kinds = {e.metadata["kind"] for e in task(reason_rft.STUDY, "rft", train=40).train}
    assert kinds == {"count", "figure", "transform"}


def test_levels_order_pairs():
    made = task(q_insight.STUDY, test=30)
    level = [(i, e.gold) for i, e in enumerate(made.test) if e.metadata["kind"] == "level"]

    def told(says):
        rows = [row(f"<think>-</think><answer>{says(g)}</answer>", 1.0, prompt=i, mode="greedy") for i, g in level]
        return q_insight.compared(made, rows)

    assert told(lambda gold: gold)["order"] == 1.0
    assert told(lambda gold: 6 - int(gold))["order"] == 0.0
    assert told(lambda _: 3)["order"] == told(lambda _: "much")["order"] == 0.5
    assert by_kind(made, [row("x", 0.5, prompt=level[0][0], mode="greedy")]) == {"level": 0.5}


def test_one_question_of_two_is_learnt_in_the_arms_without_the_mechanism():
    for arm in ("level", "kind"):
        assert {e.metadata["kind"] for e in task(q_insight.STUDY, arm, train=20).train} == {arm}


def test_a_place_is_paid_for_its_action():
    gold, tied, apart = None, task(ui_r1.STUDY, "rl-direct", train=30), task(ui_r1.STUDY, "apart", train=30)
    example = next(e for e in tied.train if e.gold["action"] == "click")
    gold = example.gold
    middle = [(a + b) // 2 for a, b in zip(gold["box"][:2], gold["box"][2:], strict=True)]
    other = [json.dumps({"action": "tick", "point": at}) for at in (middle, [0, 31])]
    assert weights(tied, example, other) == [0.0, 0.0]
    first, second = weights(apart, example, [f"<answer>{x}</answer>" for x in other])
    assert first > 0 > second  # the wrong action is drawn to where another is done
    themes = {e.prompt[0]["content"][0]["image"].split("/")[0] for e in task(ui_r1.STUDY, split="cogent-b").train}
    assert themes == {"screen:dark"}


def test_spans_are_paid_in_degrees():
    graded, hard = (task(timezero.STUDY, arm) for arm in ("rl-direct", "ungraded"))
    example = next(e for e in graded.train if e.gold[1] - e.gold[0] > 2)
    start, end = example.gold
    near, far = f"[{start},{end - 1}]", f"[{end},{end + 1}]"
    first, second = weights(graded, example, [near, far])
    assert first > 0 > second
    assert weights(hard, example, [f"<answer>{x}</answer>" for x in (near, far)]) == [0.0, 0.0]
    assert len(example.prompt[0]["content"]) == 9
    assert timezero.recalled(graded, [row("", x, mode="greedy") for x in (0.6, 0.4)]) == {"R@0.5": 0.5, "R@0.7": 0.0}


def test_stages_that_are_done_are_not_done_again(tmp_path, monkeypatch):
    """An arm that is stopped after its first stage goes on with the second, from the model of the first."""
    begun = []

    class Ran:
        metrics = ()

        def __init__(self, number):
            self.path = f"RUN-{number}"

    def train(algorithm, env, **settings):
        begun.append((algorithm, settings["model.path"], settings["total_steps"]))
        if len(begun) == 2:
            raise KeyboardInterrupt
        return Ran(len(begun))

    monkeypatch.setattr(seeing, "train", train)
    study = Study(arms={"two": Arm("x", [Stage("sft", share=0.1), Stage(share=0.9)])})
    t = Trial(arm="two", seed=1, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.learn(t, "BASE")
    model, numbers = study.learn(t, "BASE")
    assert begun == [("sft", "BASE", 15 * 32), ("grpo", "RUN-1", 135), ("grpo", "RUN-1", 135)]
    assert model == "RUN-3"
    assert numbers["seconds"] >= 0.0
    assert study.learn(t, "BASE")[0] == "RUN-3"
    assert len(begun) == 3


def test_what_a_model_answers_rightly_is_what_the_base_imitates(tmp_path, monkeypatch):
    from operant.recipes import answers

    made = load_task(ASK, {"mode": "think", "train": 12, "test": 1})
    rows = [row(made.train[i].solution, 1.0, prompt=i) for i in (0, 3)] + [row("<answer>9</answer>", 0.0, prompt=1)]
    monkeypatch.setattr(answers, "answers", lambda *_: rows)
    file = rewritten("MODEL", {"mode": "think", "train": 12, "test": 1}, tmp_path / "traces.jsonl")
    told = [json.loads(line)["messages"] for line in file.read_text().splitlines()]
    assert len(told) == 10  # two that were answered, and solutions
    assert [t[-1]["content"] for t in told[:2]] == [made.train[i].solution for i in (0, 3)]
    assert told[1][0]["content"][0]["image"] == made.train[3].prompt[0]["content"][0]["image"]
