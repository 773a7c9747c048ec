"""Rewards for what is seen: against slow references, against every hole of the published forms, and those forms."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest

from operant.config.errors import ConfigError
from operant.language.reward import published
from operant.reward import (
    Acted,
    BoxAndPoints,
    BoxOverlap,
    ByKind,
    Calls,
    Criteria,
    Detection,
    Every,
    Exact,
    Format,
    GoldError,
    MeanPrecision,
    PointInBox,
    Reward,
    SpanOverlap,
    Tolerance,
    Trace,
)

TAG = ("tag:answer",)
BOX = [10, 10, 30, 30]
CAT = {"box": BOX, "label": "cat"}
POINTS = {"box": BOX, "points": [[15, 15], [25, 25]]}
CALLS = ["change_colour(0, red)", "remove(3)", "move(2, left)"]
SEEN: dict[str, tuple[Reward, object, str]] = {
    "box": (BoxOverlap(answer=TAG), BOX, json.dumps(BOX)),
    "box, at a threshold": (BoxOverlap(answer=TAG, threshold=0.5), BOX, json.dumps(BOX)),
    "span": (SpanOverlap(answer=TAG), [2, 7], "[2, 7]"),
    "span, at a threshold": (SpanOverlap(answer=TAG, threshold=0.9), [2, 7], "[2, 7]"),
    "action": (Acted(answer=TAG), {"action": "click", "box": BOX}, '{"action": "click", "point": [12, 12]}'),
    "criteria": (Criteria(answer=TAG), [BOX, [40, 40, 50, 50]], json.dumps([[40, 40, 50, 50], BOX])),
    "point": (PointInBox(answer=TAG), BOX, "[12, 29.5]"),
    "detection": (Detection(answer=TAG), [BOX, [40, 40, 50, 50]], json.dumps([[40, 40, 50, 50], BOX])),
    "boxes alone": (Detection(answer=TAG, confidence=False), [BOX], json.dumps([BOX])),
    "precision": (
        MeanPrecision(answer=TAG),
        [{"box": BOX, "label": "cat"}],
        json.dumps([{"box": BOX, "label": "cat"}]),
    ),
    "box and points": (BoxAndPoints(answer=TAG, side=64), POINTS, json.dumps(POINTS)),
    "tolerance": (Tolerance(answer=TAG), 40, "41"),
    "calls": (Calls(answer=TAG), CALLS, "; ".join(CALLS)),
}


def given(completion: str, gold: object, **more: object) -> Trace:
    return Trace(prompt="p", completion=completion, gold=gold, **more)  # type: ignore[arg-type]


def tag(answer: object) -> str:
    return f"<answer>{answer if isinstance(answer, str) else json.dumps(answer)}</answer>"


@pytest.mark.parametrize("name", SEEN)
def test_the_right_answer_gets_all_and_what_is_none_gets_nothing(name: str):
    judge, gold, right = SEEN[name]
    assert judge(given(tag(right), gold)) == pytest.approx(1.0)
    spray = [[x, y, x + 20, y + 20] for x in range(0, 64, 4) for y in range(0, 64, 4)]
    for answer in (
        "", " ", "[]", "{}", "null", "true", '"a"', "[10, 10, 30]", "[10, 10, 30, 30, 10]", "[30, 30, 10, 10]",
        "[NaN, 10, 30, 30]", "[1e999, 1, 2, 3]", "[-Infinity, 0, Infinity, 64]", "[true, true, 30, 30]",
        "[[10, 10], [30, 30]]",
        "10, 10, 30, 30", "__import__('os').getcwd()", "(10, 10, 30, 30)", "[" * 5000, "9" * 5000, "\ud800", "[7, 2]",
        f"{right} {right}", json.dumps([json.loads(right)] * 9) if right[0] in "[{" and name != "point" else "no",
        json.dumps(spray) if "detection" not in name and "boxes" not in name else "x", "all of them", f"[{right}",
    ):  # fmt: skip
        assert judge(given(tag(answer), gold)) < 0.12, answer
    for completion in (right, f"<answer>{right}", f"{right}</answer>", tag("no") + right, tag(right) + tag(right), ""):
        assert judge(given(completion, gold)) == 0.0
    assert judge(given(f"<answer>{right}", gold, finish="length")) == 0.0


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("gold", [None, "", "twelve", {"a": 1}, [1, 2, "x"]])
def test_a_gold_that_cannot_be_read_is_an_error_and_no_reward(name: str, gold: object):
    judge, _, right = SEEN[name]
    with pytest.raises(GoldError):
        judge(given(tag(right), gold))


def test_a_hostile_answer_costs_little():
    many = json.dumps([{"box": BOX, "label": "cat", "confidence": 0.5}] * 600)
    for name, (judge, gold, _) in SEEN.items():
        for answer in (many, "[" * 100_000, "f(" * 50_000, "; ".join(["remove(3)"] * 5000), '"' * 30_000):
            began = time.process_time()
            assert judge(given(tag(answer), gold)) < 0.12, name
            assert time.process_time() - began < 0.2, name


def test_overlaps_are_those_of_counted_pixels():
    draw = random.Random(3)
    for _ in range(60):
        a, b = ([*sorted(draw.sample(range(12), 2)), *sorted(draw.sample(range(12), 2))] for _ in range(2))
        first, second = ([p[0], p[2], p[1], p[3]] for p in (a, b))
        cells = [{(x, y) for x in range(p[0], p[2]) for y in range(p[1], p[3])} for p in (first, second)]
        want = len(cells[0] & cells[1]) / len(cells[0] | cells[1])
        assert BoxOverlap()(given(json.dumps(first), second)) == pytest.approx(want)
        spans = [set(range(p[0], p[2])) for p in (first, second)]
        want = len(spans[0] & spans[1]) / len(spans[0] | spans[1])
        assert SpanOverlap()(given(json.dumps(first[::2]), second[::2])) == pytest.approx(want)


def slow_precision(found: list[dict], gold: list[dict], threshold: float) -> float:
    """COCO's average precision of one label, by its words."""
    from operant.language.reward.places import iou

    taken: set[int] = set()
    hits = []
    for f in sorted(found, key=lambda f: -f["confidence"]):
        best = max(
            (j for j in range(len(gold)) if j not in taken and iou(f["box"], gold[j]["box"]) >= threshold),
            key=lambda j: iou(f["box"], gold[j]["box"]), default=None,
        )  # fmt: skip
        hits.append(best is not None)
        taken |= set() if best is None else {best}
    total = 0.0
    for step in range(101):
        reached = [
            sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if sum(hits[: k + 1]) / len(gold) >= step / 100
        ]
        total += max(reached, default=0.0)
    return total / 101


def test_mean_precision_is_that_of_the_slow_count():
    draw = random.Random(4)
    for _ in range(40):
        place = lambda: [x := draw.randrange(0, 40), y := draw.randrange(0, 40), x + 16, y + 16]  # noqa: E731
        gold = [{"box": place(), "label": draw.choice("ab")} for _ in range(draw.randint(1, 5))]
        found = [
            {"box": [v + draw.randint(-3, 3) for v in g["box"]] if draw.random() < 0.7 else place(),
             "label": draw.choice("aab"), "confidence": draw.random()}
            for g in gold * 2
        ]  # fmt: skip
        labels = {g["label"] for g in gold}
        want = sum(
            slow_precision([f for f in found if f["label"] == x], [g for g in gold if g["label"] == x], t / 100)
            for x in labels for t in range(50, 100, 5)
        ) / (10 * len(labels))  # fmt: skip
        case = given(json.dumps(found), gold)
        assert published.plain_mean_precision(case) == pytest.approx(want)
        assert MeanPrecision()(case) == pytest.approx(want * min(1.0, len(gold) / len(found)))


def test_listing_boxes_hacks_plain_precision_and_nothing_else():
    """Guesses behind a right box raise plain mAP where the right one is missed, and never cost it anything."""
    gold = [BOX, [40, 40, 60, 60]]
    one = given(tag([BOX]), gold)
    spray = [[x, y, x + 20, y + 20] for x in range(0, 44, 4) for y in range(0, 44, 4) if [x, y] != BOX[:2]]
    many = given(tag([BOX, *spray]), gold)
    assert published.plain_mean_precision(many) > published.plain_mean_precision(one)
    assert len(spray) / len(gold) > 1.5
    for judge in (MeanPrecision(answer=TAG), Detection(answer=TAG), Detection(answer=TAG, confidence=False)):
        assert judge(many) < judge(one) / 2
        assert judge(given(tag([BOX, BOX]), gold)) <= judge(one)  # nor does saying it twice


def test_nothing_there_and_nothing_found():
    for judge in (MeanPrecision(), Detection()):
        assert [judge(given(x, [])) for x in ("[]", json.dumps([BOX]))] == [1.0, 0.0]
        assert [judge(given(x, [BOX])) for x in ("[]", "")] == [0.0, 0.0]


def test_a_label_must_agree():
    gold = [{"box": BOX, "label": "cat"}]
    wrong = json.dumps([{"box": BOX, "label": "dog"}])
    assert [judge(given(wrong, gold)) for judge in (MeanPrecision(), Detection())] == [0.0, 0.0]


def test_confidence_pays_whoever_is_as_sure_as_right():
    gold = [BOX]
    hit, miss = [[BOX, c] for c in (0.1, 0.5, 0.9)], [[[40, 40, 60, 60], c] for c in (0.1, 0.5, 0.9)]

    def value(box: object, c: float, judge: Reward) -> float:
        return judge(given(tag([{"box": box, "confidence": c}]), gold))

    assert [value(b, c, Detection(answer=TAG)) for b, c in hit] == pytest.approx(
        [0.5 + x / 2 for x in (0.19, 0.75, 0.99)]
    )
    assert [value(b, c, Detection(answer=TAG)) for b, c in miss] == [0.0, 0.0, 0.0]
    # Brier's sum is proper: with a share p of hits, no confidence expects more than p
    for p in (0.2, 0.5, 0.8):
        expected = {c / 100: p * (1 - (1 - c / 100) ** 2) - (1 - p) * (c / 100) ** 2 for c in range(101)}
        assert max(expected, key=expected.__getitem__) == p
    made_up = [{"box": [x, 40, x + 5, 45], "confidence": 0.0} for x in range(0, 50, 6)]
    sure = [{"box": [40, 40, 60, 60], "confidence": 0.9}]
    assert published.mean_confidence(given(tag([*sure, *made_up]), gold)) > published.mean_confidence(
        given(tag(sure), gold)
    )
    several = [BOX, [40, 40, 60, 60], [1, 40, 11, 50]]
    right = [{"box": BOX, "confidence": 0.5}]
    for judge, pays in ((published.mean_confidence, True), (Detection(answer=TAG), False)):
        assert (judge(given(tag([*right, *made_up[:2]]), several)) > judge(given(tag(right), several))) is pays


def test_box_and_points_are_terms_that_scale_with_the_picture():
    def value(told: object, side: float = 840.0, gold: object = None) -> float:
        return BoxAndPoints(side=side)(given(json.dumps(told), gold or big))

    big = {"box": [100, 100, 300, 300], "points": [[150, 150], [250, 250]]}
    assert value(big) == 1.0
    assert value(big | {"points": [[250, 250], [150, 150]]}) == 1.0  # either way round
    assert value(big | {"box": [120, 120, 320, 320]}) == pytest.approx(2 / 3)  # off by 20
    assert value(big | {"points": [[150, 150], [350, 350]]}) == pytest.approx(2 / 3)  # out of its own box
    assert value(big | {"box": [0, 0, 840, 840]}) == pytest.approx(1 / 3)  # all of the picture
    assert value({"box": [500, 500, 700, 700], "points": [[550, 550], [650, 650]]}) == 0.0  # well laid out, and wrong
    assert value(big | {"box": [120, 120, 320, 320]}, side=1700.0) == pytest.approx(1.0)
    wrong = {"bbox": [500, 500, 700, 700], "pointless": 1}
    assert published.keys_by_prefix(given(tag(wrong), big)) == 1.0
    assert value(wrong) == 0.0
    by_prefix = {"bbox": big["box"], "point_1": [150, 150], "point_2": [250, 250]}
    assert published.keys_by_prefix(given(tag(by_prefix), big)) == 3.0  # laid out, and its points are never read


def test_tolerance_is_a_half_cosine_between_its_ends():
    def value(x: float, gold: float = -40.0) -> float:
        return Tolerance()(given(str(x), gold))

    assert [value(x) for x in (-40, -42, -38)] == pytest.approx([1, 1, 1])
    assert value(-45) == pytest.approx(0.5) == value(-35)
    assert [value(x) for x in (-48, -32, 40, 1e300)] == pytest.approx([0, 0, 0, 0])
    assert [value(0, 0), value(0.001, 0)] == [1, 0]


def slow_calls(found: list[str], gold: list[str]) -> float:
    """The best pairing, by trying all."""
    from operant.language.reward.spatial import call_worth, calls_of

    f, g = calls_of(found), calls_of(gold)
    size = max(len(f), len(g))
    g = [*g, *[None] * (size - len(g))]
    return max(
        sum(call_worth(a, b) for a, b in zip(f, order, strict=False) if b is not None)
        for order in itertools.permutations(g)
    ) / size  # fmt: skip


def test_calls_are_paired_as_the_slow_search_pairs_them():
    draw = random.Random(5)
    say = lambda: f"{draw.choice(('move', 'turn'))}({draw.randrange(2)}, {draw.choice('ab')})"  # noqa: E731
    for _ in range(60):
        gold, found = [say() for _ in range(draw.randint(1, 4))], [say() for _ in range(draw.randint(1, 4))]
        assert Calls()(given("; ".join(found), gold)) == pytest.approx(slow_calls(found, gold))
    near = ("move(1, right)", "move(2, left)", "move(2, up)", "fly(1, left)")
    assert [Calls()(given(x, ["move(1, left)"])) for x in near] == [0.5, 0.5, 0.25, 0.0]
    assert Calls(graded=False)(given("move(1, right)", ["move(1, left)"])) == 0.0
    twice = given(tag("move(1, left); move(1, left)"), ["move(1, left)", "remove(2)"])
    assert published.calls_paid_again(twice) == 1.0
    assert Calls(answer=TAG)(twice) == 0.5


def test_the_other_published_forms_pay_for_their_holes():
    assert [published.substring_both_ways(given(x, "cat")) for x in ("<answer></answer>", "<answer>a</answer>",
            "<answer>dog, cat</answer>", "<answer>dog</answer>")] == [1, 1, 1, 0]  # fmt: skip
    assert published.number_anywhere(given("12 <answer>7</answer>", "12")) == 1
    assert published.unparsable_gold_pays(given("", "twelve")) == 1
    wrong, right = given("<answer>13</answer>", "12", tokens=(1, 2)), given("<answer>12</answer>", "12", tokens=(1, 2))
    assert published.overwritten_cosine(wrong) == published.overwritten_cosine(right) > 0.9
    steps = {"key_steps": ["area", "base"]}
    assert published.steps_pay_the_wrong(given("area base <answer>13</answer>", "12", metadata=steps)) > 0


def test_settings_that_mean_nothing_are_refused():
    for make in (
        lambda: BoxOverlap(answer=()), lambda: BoxOverlap(threshold=1.0), lambda: Detection(threshold=-0.1),
        lambda: BoxAndPoints(side=0), lambda: Tolerance(full=0.3), lambda: Calls(answer=("nowhere",)),
        lambda: MeanPrecision(answer="whole"), lambda: PointInBox(answer=()), lambda: SpanOverlap(answer=()),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            make()


def test_an_action_is_paid_for_its_place_and_a_place_for_its_action():
    gold = {"action": "click", "box": BOX}
    said = {"click": [12, 12], "write": [12, 12], "click ": [12, 12]}
    paid = [Acted()(given(json.dumps({"action": a, "point": p}), gold)) for a, p in said.items()]
    assert paid == [1.0, 0.0, 0.0]
    beside, none = json.dumps({"action": "click", "point": [40, 12]}), json.dumps({"action": "click"})
    assert [Acted()(given(x, gold)) for x in (beside, none)] == [0.5, 0.0]
    scroll = {"action": "scroll"}
    assert Acted()(given(json.dumps(scroll), scroll)) == 1.0
    pointed = json.dumps({"action": "scroll", "point": [1, 1]})
    assert Acted()(given(pointed, scroll)) == 0.0  # nothing is pointed at
    for guesses in (f"[{none}, {beside}]", json.dumps(scroll | {"other": 1}), '{"action": 3}', "", "click"):
        assert Acted()(given(guesses, gold)) == 0.0
    elsewhere = json.dumps({"action": "write", "point": [12, 12]})
    assert published.type_pays_alone(given(elsewhere, gold)) == 1.0  # a place is paid at which another thing is done
    assert published.type_pays_alone(given("[1]", gold)) == 0.0


def test_criteria_count_what_is_matched_and_what_is_made_up():
    gold = [BOX, [40, 40, 60, 60]]
    shifted = [10, 10, 30, 28]  # IoU 0.9
    assert Criteria()(given(json.dumps([shifted]), gold)) == pytest.approx(1 / 2 * (1 + 0.9) / 2)
    assert Criteria(threshold=0.95)(given(json.dumps([shifted]), gold)) == 0.0
    made_up = [*gold, [1, 1, 5, 5], [1, 50, 5, 60]]
    assert Criteria()(given(json.dumps(made_up), gold)) == pytest.approx(1 / 2)
    assert Criteria()(given(json.dumps([BOX, BOX, BOX, BOX]), gold)) < 0.5
    assert Criteria()(given("[]", gold)) == 0.0
    spray = [[x, y, x + 20, y + 20] for x in range(0, 60, 10) for y in range(0, 60, 10)]
    assert Criteria()(given(json.dumps(spray), gold)) < 0.1
    assert published.criteria_summed(given(json.dumps(spray), gold)) > 0.35  # its recall is paid
    with pytest.raises(ConfigError, match="threshold"):
        Criteria(threshold=1.0)


def test_every_reward_counts_and_each_kind_has_its_own():
    hard = Every(rewards=(Format(), Exact(answer=TAG)))
    right = "<think>a</think><answer>3</answer>"
    said = (right, "<answer>3</answer>", right.replace("3", "4"), "")
    assert [hard(given(x, "3")) for x in said] == [1.0, 0.0, 0.0, 0.0]
    assert (hard.pure, hard.best) == (True, 1.0)
    by = ByKind(rewards={"box": BoxOverlap(), "word": Exact()})
    assert by(given(json.dumps(BOX), BOX, metadata={"kind": "box"})) == 1.0
    assert by(given("red", "red", metadata={"kind": "word"})) == 1.0
    assert (by.pure, by.best) == (True, 1.0)
    with pytest.raises(GoldError, match="kind"):
        by(given("red", "red"))
    with pytest.raises(ConfigError, match="two rewards"):
        Every(rewards=(Format(),))
