"""Mechanisms of the recipes of models that see: what a group is paid, and which way its gradient goes, without them."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from operant.language.task.load import load_task
from operant.math.baseline import group_mean, group_scale
from operant.recipes import (
    Trial,
    lmm_r1,
    med_r1,
    mmr1,
    ocean_r1,
    openvlthinker,
    othink_mr1,
    q_insight,
    r1_vl,
    reason_rft,
    seeing,
    timezero,
    ui_r1,
    video_r1,
    vision_r1_guided,
    vision_r1_ptst,
    visual_rft,
    vsgrpo,
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


STUDIES = {
    m.RECIPE.name: m.STUDY
    for m in (
        lmm_r1, med_r1, mmr1, ocean_r1, openvlthinker, othink_mr1, q_insight, r1_vl, reason_rft, timezero, ui_r1,
        video_r1, vision_r1_guided, vision_r1_ptst, visual_rft, vsgrpo,
    )
}  # fmt: skip


def told(study, arm, number=-1):
    """The settings of a stage of an arm."""
    stage = study.arms[arm].stages[number]
    return study.settings(Trial(arm=arm, seed=1, folder=Path("f")), stage, dict(stage.asked), "BASE")


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_right_is_worth_most_and_solutions_are_right(name):
    study = STUDIES[name]
    for arm in study.arms:
        made = task(study, arm, train=2, test=1)
        for example in made.train:
            top = made.rewards["correct"](example.trace(example.solution))
            if "published" not in str(study.arms[arm].stages):
                assert top == pytest.approx(getattr(made.rewards["correct"], "best", 1.0) or 1.0)
            assert made.rewards["correct"](example.trace("nothing")) < top
    shown = load_task(ASK, {"mode": "mixed", "train": 1, "test": 1, **study.shown, "demonstrations": 4}).demonstrations
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

    def compared(says):
        rows = [row(f"<think>-</think><answer>{says(g)}</answer>", 1.0, prompt=i, mode="greedy") for i, g in level]
        return q_insight.compared(made, rows)

    assert compared(lambda gold: gold)["order"] == 1.0
    assert compared(lambda gold: 6 - int(gold))["order"] == 0.0
    assert compared(lambda _: 3)["order"] == compared(lambda _: "much")["order"] == 0.5
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


def test_the_bonus_of_order_moves_the_gradient_between_being_right_and_being_formed(monkeypatch):
    assert told(video_r1.STUDY, "t-grpo")["algo.order_bonus"] == 0.3
    assert "algo.order_bonus" not in told(video_r1.STUDY, "grpo")
    made = task(video_r1.STUDY, "t-grpo", heads="first")
    for example in made.train:
        frames, mixed = ([p["image"] for p in prompt[0]["content"][:-1]]
                         for prompt in (example.prompt, example.metadata["mixed"]))  # fmt: skip
        assert sorted(frames) == sorted(mixed)
        assert frames == sorted(frames)
    assert any([*e.metadata["mixed"]] != [*e.prompt] for e in made.train)
    one = torch.zeros(3, dtype=torch.long)
    plain, paid = (torch.tensor([2.0 + bonus, 1.0, 0.0]) for bonus in (0.0, 0.3))  # right; formed and wrong; neither
    first, second = ((x - group_mean(x, one)) / group_scale(x, one, 0.0) for x in (plain, paid))
    assert float(first[1]) == pytest.approx(0.0)
    assert float(second[1]) < -0.05  # what is wrong in its form is pushed down
    assert video_r1.gap({"in first": 0.9, "in direction": 0.7, "mixed first": 0.5, "mixed direction": 0.5}) == {
        "gap": pytest.approx(0.3)
    }
    other = task(video_r1.STUDY, "t-grpo", shuffled="frames").train
    shown = [[p["image"] for p in e.prompt[0]["content"][:-1]] for e in other]
    assert any(names != sorted(names) for names in shown)


def test_key_steps_move_the_gradient_and_never_lift_what_is_wrong():
    steps, order, published = (task(r1_vl.STUDY, arm, train=40) for arm in ("steps", "order", "published"))
    example = next(e for e in steps.train if len(e.metadata["key_steps"]) > 2)
    whole = example.solution
    lines = whole.split("\n")
    short = "\n".join([lines[0], lines[1], lines[-1]])
    first, second = weights(steps, example, [whole, short])
    assert first > 0 > second
    assert weights(order, example, [whole, short]) == [0.0, 0.0]
    assert all(of.rewards["format"](example.trace(x)) == 1.0 for of in (steps, order) for x in (whole, short))
    wrong = whole.replace(f"<answer>{example.gold}<", "<answer>nothing<")
    right = f"<answer>{example.gold}</answer>"
    assert steps.rewards["correct"](example.trace(wrong)) == 0.0 < steps.rewards["correct"](example.trace(right))
    total = [
        sum(published.weight(n) * r(example.trace(x)) for n, r in published.rewards.items()) for x in (wrong, right)
    ]
    assert total[0] > total[1]  # stuffed and formed, it outranks what is right
    last = steps.test[0]
    whole, none = (row(x, w, mode="greedy") for x, w in ((last.solution, 1.1), ("Answer: none", 0.0)))
    assert r1_vl.recalled(steps, [whole, none]) == {"steps": 0.5, "stuffed": 0.0}
    shown = load_task(ASK, {"demonstrations": 30, **r1_vl.STUDY.shown}).demonstrations
    assert all(d.completion.startswith("Rationale:\nStep 1: ") for d in shown)


def test_cycles_begin_at_the_base_and_imitate_what_was_written(tmp_path, monkeypatch):
    stages = openvlthinker.STUDY.arms["three"].stages
    assert [(s.algorithm, s.rewritten, s.asked.get("lossy", 0.0)) for s in stages[::3]] == [
        ("sft", False, 0.2), ("sft", True, 0.0), ("sft", True, 0.0)
    ]  # fmt: skip
    assert [(s.asked.get("hops"), s.settings.get("model.tower")) for s in stages[1:3]] == [(None, "frozen"), (2, None)]
    total = {name: sum(s.share for s in arm.stages) for name, arm in openvlthinker.STUDY.arms.items()}
    assert total["three"] == pytest.approx(total["rl"], abs=0.02) == pytest.approx(total["sft"], abs=0.02)
    begun = []

    class Ran:
        metrics = ()

        def __init__(self):
            self.path = f"RUN-{len(begun)}"

    def train(algorithm, env, **settings):
        begun.append((algorithm, Path(env).name, settings["model.path"]))
        return Ran()

    monkeypatch.setattr(seeing, "train", train)
    monkeypatch.setattr(seeing, "rewritten", lambda model, options, file: file.with_suffix(f".{model}.jsonl"))
    openvlthinker.STUDY.learn(Trial(arm="three", seed=1, folder=tmp_path), "BASE")
    assert begun[:6] == [
        ("sft", "ask", "BASE"), ("grpo", "ask", "RUN-1"), ("grpo", "ask", "RUN-2"),
        ("sft", "traces-3.RUN-3.jsonl", "BASE"), ("grpo", "ask", "RUN-4"), ("grpo", "ask", "RUN-5"),
    ]  # fmt: skip
    true, misread = (
        load_task(ASK, {"mode": "think", "demonstrations": 60, "noise": 0.0, "lossy": x}) for x in (0.0, 0.5)
    )
    pairs = [*zip(true.demonstrations, misread.demonstrations, strict=True)]
    assert all(a.prompt == b.prompt and a.cells == b.cells for a, b in pairs)
    assert sum(a.completion != b.completion for a, b in pairs) > 15


def test_the_weight_of_the_divergence_is_what_arms_differ_in():
    from operant.language.learn.kl_controller import KLController

    weight = {}
    for arm in ("rising", "cosine", "falling", "none", "weak", "constant", "strong"):
        its = told(othink_mr1.STUDY, arm)
        control = KLController(its["algo.beta"], its["algo.beta_schedule"])
        weight[arm] = [control.begin(1 - k / 150) for k in range(151)]
    assert weight["rising"][0] == weight["cosine"][0] == weight["falling"][-1] == 0.0
    assert all(a < b for a, b in pairwise(weight["cosine"]))
    mean = [sum(weight[arm]) / 151 for arm in ("rising", "cosine", "falling", "constant")]
    assert mean == pytest.approx([0.04] * 4, rel=1e-3)


def test_what_the_limit_cuts_earns_nothing():
    made = task(vision_r1_ptst.STUDY, "ptst")
    example, pay = made.train[0], made.rewards["correct"]
    assert pay(example.trace(example.solution)) == 1.0
    assert pay(example.trace(example.solution.partition("</answer>")[0], finish="length")) == 0.0
    assert pay(example.trace(f"<answer>{example.gold}</answer>")) == 0.0  # right, and not in its form
    assert made.weight("format") == 0.0
    limits = [(told(vision_r1_ptst.STUDY, "ptst", k)["sampling.max_tokens"],
               told(vision_r1_ptst.STUDY, "ptst", k)["algo.samples"]) for k in range(3)]  # fmt: skip
    assert limits == [(24, 16), (40, 8), (64, 4)]
    assert told(vision_r1_ptst.STUDY, "long")["sampling.max_tokens"] == 64
    shown = load_task(ASK, {"mode": "mixed", "demonstrations": 200} | vision_r1_ptst.STUDY.shown).demonstrations
    traces = [d.completion for d in shown if "<think>" in d.completion]
    assert sum(" check " in t for t in traces) > 0.8 * len(traces)


def test_a_threshold_that_tightens_takes_away_what_it_paid():
    loose, tight = (task(vision_r1_guided.STUDY, "progressive", rewarded=f"criteria-{k}", test=40) for k in (50, 75))
    example = next(e for e in loose.test if len(e.gold) == 1 and e.gold[0][2] - e.gold[0][0] > 4)
    x0, y0, x1, y1 = example.gold[0]
    near, none = json.dumps([[x0, y0, x1, y1 - 2]]), json.dumps([[0, 0, 1, 1]])  # IoU 5/7
    first, second = weights(loose, example, [near, none])
    assert first > 0 > second
    assert weights(tight, example, [near, none]) == [0.0, 0.0]
    assert [s.asked["rewarded"] for s in vision_r1_guided.STUDY.arms["progressive"].stages] == [
        "criteria-50",
        "criteria-75",
    ]


def test_variance_is_what_draws_a_half_of_the_questions():
    assert told(mmr1.STUDY, "variance")["algo.variance_share"] == 0.5
    assert "algo.variance_share" not in told(mmr1.STUDY, "uniform")
    its = told(mmr1.STUDY, "variance")
    assert its["total_steps"] * 32 == 8 * its["task.options"]["train"]
    hops = {e.prompt[0]["content"][1]["text"].count(" of the ") for e in task(mmr1.STUDY, train=60).train}
    assert hops >= {0, 1}


def test_the_order_of_stages_is_what_two_arms_differ_in():
    heads = {name: [s.asked.get("heads", "count attribute relation") for s in ocean_r1.STUDY.arms[name].stages]
             for name in ("reason-see", "see-reason")}  # fmt: skip
    assert heads["reason-see"] == heads["see-reason"][::-1]
    assert ocean_r1.mean({"in": 0.4, "see": 0.8}) == {"mean": pytest.approx(0.6)}
    made = task(ocean_r1.STUDY, "mixed", train=60)
    for example in made.train:
        assert made.rewards["correct"](example.trace(example.solution)) == 1.0
    assert {e.metadata["kind"] for e in made.train} == {"count", "attribute", "relation", "refer"}


def test_a_number_that_is_near_has_a_gradient_in_degrees_alone():
    graded, whole = (task(vsgrpo.STUDY, arm, heads="distance", rewarded=paid)
                     for arm, paid in (("vanilla", "relative"), ("whole", "exact")))  # fmt: skip
    example = graded.train[0]
    near, far = f"{float(example.gold) * 1.1:.1f}", f"{float(example.gold) * 3:.1f}"
    first, second = weights(graded, example, [near, far])
    assert first > 0 > second
    assert weights(whole, example, [near, far]) == [0.0, 0.0]


def test_other_apparatus_show_the_same_things():
    names = {}
    for place, its in med_r1.STUDY.places.items():
        made = load_task(ASK, {**med_r1.STUDY.asked, **its, "train": 1, "test": 1})
        names[place] = made.test[0].prompt[0]["content"][0]["image"]
    assert names["in"].startswith("scene:")
    assert {name.partition("/")[0] for name in names.values()} == {"scene:cogent-a", "seen:inverted-1", "seen:edges-1",
                                                                  "seen:speckle-1"}  # fmt: skip
    from operant.language.text import pictures

    photo, inverted, edges, speckle = (pictures.read(name) for name in names.values())
    assert (photo.astype(int) + inverted == 255).all()
    assert edges.max() > 50
    assert (speckle != photo).any()
    assert (pictures.read(names["speckle"]) == speckle).all()
    assert med_r1.unseen({"inverted": 0.3, "edges": 0.6, "speckle": 0.9}) == {"unseen": pytest.approx(0.6)}
