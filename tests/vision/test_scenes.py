"""Scenes, pictures and questions: every answer is found again by a slow reader of the question's own words."""

import re
import time

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.vision import (
    AmbiguousError,
    Scene,
    Style,
    Thing,
    degraded,
    draw_chart,
    draw_figure,
    draw_film,
    draw_page,
    draw_question,
    draw_scene,
    film_questions,
    labels,
    masks,
    render,
    run,
    transform,
    turned,
)
from operant.vision.drawing import GROUND, label_of
from operant.vision.film import _WAYS
from operant.vision.questions import HEADS, MOST_HOPS, written
from operant.vision.scene import COLOURS, SPLITS

SIDES = re.compile(r" (left of|right of|above|below) the ")


def middle(thing, axis):
    return (thing.box[axis] + thing.box[axis + 2]) / 2


def said(scene, words):
    """The things that words name, by loops over boxes alone."""
    found = list(scene.things)
    if match := SIDES.search(words):
        (pivot,) = said(scene, words[match.end() :])
        words = words[: match.start()]
        axis, sign = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}[match[1]]
        found = [t for t in found if t is not pivot and sign * (middle(pivot, axis) - middle(t, axis)) > 2]
    first, *rest = words.split()
    keys = {"leftmost": (0, 2, 1), "rightmost": (0, 2, -1), "highest": (1, 3, 1), "lowest": (1, 3, -1),
            "nearest": (3, 3, -1), "farthest": (3, 3, 1)}  # fmt: skip
    for word in rest if first in keys else [first, *rest]:
        word = {"things": "thing", "plusses": "plus"}.get(word, word.removesuffix("s") if word != "plus" else word)
        if word != "thing":
            found = [t for t in found if word in (t.shape, t.colour, t.size, t.texture)]
    if first in keys:
        a, b, sign = keys[first]
        found = sorted(found, key=lambda t: sign * (t.box[a] + t.box[b]))[:1]
    return found


def slow_answer(scene, q):
    """The answer of a question from its text."""
    text = q.text.rstrip("?.")
    for pattern, answer in {
        r"How many pixels are between the centres of the (.+) and the (.+)": lambda a, b: round(
            float(
                np.hypot(
                    *np.subtract(*(np.add(t.box[:2], t.box[2:]) / 2 for t in (said(scene, a)[0], said(scene, b)[0])))
                )
            ),
            1,
        ),
        r"How many (.+?) are there": lambda a: len(said(scene, a)),
        r"How many (.+?) are ((?:left of|right of|above|below) .+)": lambda a, b: len(said(scene, f"{a} {b}")),
        r"Are there any (.+)": lambda a: len(said(scene, a)) > 0,
        r"Are there more (.+) than (.+)": lambda a, b: len(said(scene, a)) > len(said(scene, b)),
        r"Are there fewer (.+) than (.+)": lambda a, b: len(said(scene, a)) < len(said(scene, b)),
        r"Are there as many (.+) as (.+)": lambda a, b: len(said(scene, a)) == len(said(scene, b)),
        r"What (size|texture|colour|shape) is the (.+)": lambda a, b: getattr(one(said(scene, b)), a),
        r"Is the (.+) nearer to the camera than the (.+)": lambda a, b: (
            one(said(scene, a)).box[3] > one(said(scene, b)).box[3]
        ),
        r"Is the (.+) small or large": lambda a: one(said(scene, a)).size,
        r"Is the (.+?) (left of|right of|above|below) the (.+)": lambda a, b, c: (
            one(said(scene, a)) in said(scene, f"things {b} the {c}")
        ),
        r"Where is the (.+)": lambda a: list(one(said(scene, a)).box),
        r"List the boxes of all (.+)": lambda a: [list(t.box) for t in said(scene, a)],
    }.items():
        if match := re.fullmatch(pattern, text):
            return answer(*match.groups())
    raise AssertionError(q.text)


def one(of):
    (thing,) = of
    return thing


@pytest.mark.parametrize("head", HEADS)
def test_every_answer_is_found_again_by_a_slow_reader(head):
    random, asked = np.random.default_rng(5), 0
    for i in range(120):
        scene = draw_scene(101, i, split=SPLITS[i % 4])
        q = draw_question(random, scene, head)
        if q is None:
            continue
        asked += 1
        assert q.answer == slow_answer(scene, q), (q.text, q.program)
        assert run(q.program, scene).answer == q.answer
        assert q.trace.endswith(q.written)
        assert q.key_steps[-1].endswith(q.written)
    assert asked > 90


def test_a_question_never_says_its_own_answer():
    random = np.random.default_rng(6)
    for i in range(300):
        q = draw_question(random, draw_scene(101, i), "attribute")
        if q is not None and q.hops == 0:
            assert str(q.answer) not in q.text.split(" is the ")[1].split()


def test_hops_are_those_of_the_program():
    random = np.random.default_rng(7)
    for head, most in MOST_HOPS.items():
        for hops in range(most + 1):
            drawn = [draw_question(random, draw_scene(101, i), head, hops=hops) for i in range(20)]
            for q in filter(None, drawn):
                relations = sum(step[0] in ("relate", "extreme") for step in q.program)
                assert q.hops == hops
                assert hops <= relations <= hops + 1
    with pytest.raises(ConfigError, match="hops"):
        draw_question(random, draw_scene(1, 0), "compare", hops=1)


def test_a_program_without_one_thing_is_refused_and_a_wrong_one_has_words():
    scene = draw_scene(101, 0)
    with pytest.raises(AmbiguousError):
        run([["scene"], ["unique"], ["query", "shape"]], scene)
    for program in ([["count"]], [["scene"]], [["scene"], ["fly"]], [["scene"], ["filter"], ["count"]]):
        with pytest.raises(ConfigError):
            run(program, scene)


def test_splits_share_no_composition_and_parts_no_scene():
    looks = {s: {(t.shape, t.colour) for i in range(150) for t in draw_scene(101, i, split=s).things} for s in SPLITS}
    apart = {x for x in looks["cogent-a"] & looks["cogent-b"] if x[0] != "circle"}
    assert not apart
    assert looks["view"] <= looks["cogent-a"]
    assert {s for s, _ in looks["super"]} == {"star", "plus", "crescent"}
    assert min(len(draw_scene(101, i, split="super").things) for i in range(50)) >= 10
    tiny = Style(side=32, cell=16, least=1, most=1)  # so few that parts drawn apart would meet
    parts = [{draw_scene(3, i, part=part, style=tiny) for i in range(150)} for part in ("train", "test")]
    assert not parts[0] & parts[1]
    assert not {repr(draw_figure(1, i)) for i in range(200)} & {repr(draw_figure(1, i, part="test")) for i in range(50)}


def test_things_keep_apart_and_inside_and_the_draw_is_that_of_its_number():
    for i in range(60):
        scene = draw_scene(101, i, split=SPLITS[i % 4])
        assert scene == draw_scene(101, i, split=SPLITS[i % 4])
        boxes = [t.box for t in scene.things]
        assert all(0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 64 for x0, y0, x1, y1 in boxes)
        for a in range(len(boxes)):
            for b in range(a):
                (x0, y0, x1, y1), (u0, v0, u1, v1) = boxes[a], boxes[b]
                assert x1 + 2 <= u0 or u1 + 2 <= x0 or y1 + 2 <= v0 or v1 + 2 <= y0
    assert draw_scene(101, 1) != draw_scene(102, 1)


def test_masks_are_the_pixels_that_are_painted_and_a_nearer_thing_hides_a_farther_one():
    scene = draw_scene(101, 4)
    picture, seen = render(scene), masks(scene)
    for thing, mask in zip(scene.things, seen, strict=True):
        assert mask.any()
        full = (picture == COLOURS[thing.colour]).all(-1) | (
            picture == (np.array(COLOURS[thing.colour]) * 0.5).astype(int)
        ).all(-1)
        assert full[mask].all()
    assert (picture[~seen.any(0)] == GROUND).all()
    far, near = (
        Thing("square", "red", "large", "flat", (5, 5, 18, 18)),
        Thing("square", "blue", "large", "flat", (9, 9, 22, 22)),
    )
    for order in ((far, near), (near, far)):
        both = Scene(side=64, things=order)
        assert tuple(render(both)[12, 12]) == COLOURS["blue"]
        assert masks(both)[order.index(near), 12, 12]
        assert not masks(both)[order.index(far), 12, 12]
        assert masks(both).sum(0).max() == 1


def test_a_camera_that_turns_moves_places_and_four_quarters_are_none():
    scene = draw_scene(101, 2)
    assert turned(turned(turned(turned(scene, 2), 2), 2), 2) == scene == turned(turned(scene, 1), 1)
    circles = Scene(
        side=64, things=tuple(t for t in scene.things if t.shape in ("circle", "square") and t.texture == "flat")
    )
    assert circles.things
    assert (render(turned(circles, 2)) == np.rot90(render(circles))).all()
    assert (render(turned(circles, 1)) == render(circles)[:, ::-1]).all()


def test_labels_of_cells_are_what_stands_there():
    scene = draw_scene(101, 0, style=Style(cell=16))
    found = labels(scene, 4).reshape(4, 4)
    assert (found > 0).sum() == len(scene.things)
    for t in scene.things:
        assert found[int(t.centre[1]) // 16, int(t.centre[0]) // 16] == label_of(t.shape, t.colour)


def test_degradations_grow_with_their_level():
    picture = render(draw_scene(101, 0)).astype(float)
    for kind in ("blur", "noise", "jpeg", "dark"):
        off = [np.abs(degraded(picture.astype(np.uint8), kind, level) - picture).mean() for level in range(1, 6)]
        assert off == sorted(off)
        assert off[0] > 0
    with pytest.raises(ConfigError, match="level"):
        degraded(picture.astype(np.uint8), "blur", 6)


def test_films_are_what_their_frames_show():
    heads = set()
    for i in range(40):
        film = draw_film(101, i, frames=9)
        names = [[f"{t.colour} {t.shape}" for t in film.frame(k).things] for k in range(9)]
        for q in film_questions(film):
            heads.add(q.head)
            if q.head == "interval":
                name = re.search(r"the (\w+ \w+) there", q.text)[1]
                there = [k for k in range(9) if name in names[k]]
                assert q.answer == [there[0], there[-1] + 1]
            elif q.head == "first":
                a, b = re.findall(r"the (\w+ \w+)", q.text)
                first = {n: next(k for k in range(9) if n in names[k]) for n in (a, b)}
                assert q.answer == min((a, b), key=first.__getitem__)
                assert first[a] != first[b]
            else:
                name = re.search(r"the (\w+ \w+) move", q.text)[1]
                boxes = [t.box for k in range(9) for t in film.frame(k).things if f"{t.colour} {t.shape}" == name]
                dx, dy = boxes[-1][0] - boxes[0][0], boxes[-1][1] - boxes[0][1]
                assert {"right": dx > 0, "left": dx < 0, "down": dy > 0, "up": dy < 0}[q.answer]
    assert heads == {"interval", "first", "direction"}


def test_changes_lead_from_one_scene_to_the_other():
    for i in range(60):
        scene = draw_scene(101, i)
        after, calls = transform(scene, 3, i, steps=1 + i % 3)
        order = sorted(scene.things, key=lambda t: t.box)
        things = {n: [t.shape, t.colour, list(t.box)] for n, t in enumerate(order)}
        for name, arguments in (re.fullmatch(r"(\w+)\((.+)\)", call).groups() for call in calls):
            number, *value = arguments.split(", ")
            match name:
                case "remove":
                    del things[int(number)]
                case "move":
                    dx, dy = _WAYS[value[0]]
                    things[int(number)][2] = [
                        b + d for b, d in zip(things[int(number)][2], (dx, dy, dx, dy), strict=True)
                    ]
                case _:
                    things[int(number)][name == "change_colour"] = value[0]
        assert sorted(things.values()) == sorted([t.shape, t.colour, list(t.box)] for t in after.things)


def test_charts_and_figures_show_what_they_ask():
    for i in range(60):
        chart = draw_chart(101, i, steps=1 + i % 6)
        picture, heights = chart.picture(), {}
        for colour in chart.bars:
            rows = (picture == COLOURS[colour]).all(-1).any(1)
            heights[colour] = round(rows.sum() / 6)
        words = chart.text.removeprefix("What is the height of the ").removesuffix(" bar?")
        total, sign = 0, 1
        for word in re.findall(r"plus|minus|" + "|".join(COLOURS), words):
            if word in ("plus", "minus"):
                sign = 1 if word == "plus" else -1
            else:
                total += sign * heights[word]
        assert chart.answer == total
        assert len(chart.steps) == 1 + i % 6
        figure = draw_figure(101, i)
        blue = (figure.picture() == COLOURS["blue"]).all(-1) | (figure.picture() == 150).all(-1)
        rows, columns = blue.any(1).sum() / 6, blue.any(0).sum() / 6
        seen = {"width": columns, "height": rows, "perimeter": 2 * (rows + columns), "area": blue.sum() / 36}
        assert figure.answer == pytest.approx(seen[figure.asked], abs=1.0 if figure.kind == "triangle" else 0.2)


def test_pages_show_their_elements_and_nothing_beside_them():
    for i in range(40):
        page = draw_page(101, i, count=2 + i % 9)
        picture, inside = page.picture(), np.zeros((112, 128), bool)
        assert len({e.text for e in page.elements}) == len(page.elements) == 2 + i % 9
        for e in page.elements:
            x0, y0, x1, y1 = e.box
            assert 0 <= x0 < x1 <= 128
            assert 0 <= y0 < y1 <= 112
            assert not inside[y0:y1, x0:x1].any()
            inside[y0:y1, x0:x1] = True
            assert (picture[y0:y1, x0:x1] != 250).any()
        assert (picture[~inside] == 250).all()
        assert page.tree().count("\n") == len(page.elements) - 1


def test_scenes_come_by_the_thousand():
    for i in range(20):
        render(draw_scene(101, i))
    began = time.process_time()
    for i in range(300):
        render(draw_scene(101, i))
    assert 300 / (time.process_time() - began) > 1000  # about 4,000 on one quiet core


def test_written_answers():
    assert [written(x) for x in (True, False, 3, 2.5, 4.0, "red", [1, 2])] == [
        "yes",
        "no",
        "3",
        "2.5",
        "4",
        "red",
        "[1, 2]",
    ]
