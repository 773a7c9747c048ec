"""The recipes of models that see and act: their worlds, what is paid there, and what is shown without the mechanism."""

import json

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.language.episodes.played import Asked, Played, Turn
from operant.language.learn.oracle import shown_turns
from operant.language.settings.worlds import EpisodeConfig, LoopRun
from operant.language.text import pictures
from operant.recipes import Trial, acting, metaspatial, rooms, seen_pages, web_agent_that_sees
from operant.recipes.rooms import Rooms, drafts, painted, room_of
from operant.recipes.seen_pages import Sites, site_of, template_of


def play(world, actions, number=1, split="test"):
    """The observations of a game."""
    game = world.game(world.scenario(split, number))
    return [game.begin(), *(game.do(action) for action in actions)]


def layout_text(layout):
    return json.dumps({name: [*at] for name, at in layout.items()})


def test_rooms_can_be_furnished_without_a_fault():
    for seed in range(0, 60, 3):
        room = room_of(seed)
        assert room.shares(room.gold) == (1.0, 1.0)
        assert 4 <= len(room.sizes) <= 6
        assert len(room.asked) in (2, 3)
        *loose, last = drafts(seed)
        assert last == room.gold
        assert len(loose) in (0, 2)
        area = sum(w * h for w, h in room.sizes.values()) * rooms.UNIT**2
        assert (painted(seed, room.gold)[0] != rooms.GROUND).any(-1).sum() == area
    lengths = {len([*drafts(seed)]) for seed in range(0, 60, 3)}
    assert lengths == {1, 3}


def test_faults_are_overlaps_and_what_sticks_out():
    room = rooms.Room({"bed": (3, 4), "lamp": (1, 1)}, (("lamp", "beside", "bed"), ("bed", "left of", "lamp")), {})
    beside = {"bed": (0, 0), "lamp": (3, 1)}
    assert (room.faulty(beside), room.shares(beside)) == (set(), (1.0, 1.0))
    assert room.faulty({"bed": (0, 0), "lamp": (2, 3)}) == {"bed", "lamp"}
    assert room.faulty({"bed": (8, 0), "lamp": (0, 9)}) == {"bed"}
    assert room.shares({"bed": (0, 0), "lamp": (5, 1)}) == (1.0, 0.5)  # two units between them
    white = (painted(3, dict.fromkeys(room_of(3).sizes, (0, 0)))[0] == 255).all(-1)
    assert white[0, 0]


@pytest.mark.parametrize("said", ["", "{", "[]", '{"bed":[1,2]}', "9" * 5000])
def test_what_is_no_layout_leaves_the_room_as_it_was(said):
    world = Rooms(train=2, test=4)
    (draft,) = [*world.oracle(world.scenario("test", 1))][-1:]
    _, first, second = play(world, [draft, said])
    assert second.error == "PARSE no layout"
    assert second.reward == 0.0
    assert second.pictures == first.pictures
    names = [*room_of(world.scenario("test", 1).seed).sizes]
    for at in ([1], [1, 2, 3], [1, 10], [-1, 0], [True, 0], ["1", 0], 5):
        assert room_of(4).read(json.dumps({**dict.fromkeys(names, (0, 0)), names[0]: at})) is None


def test_turns_pay_what_they_mend_and_sum_to_what_the_last_layout_is_worth():
    world = Rooms(train=60, test=2)
    number = next(n for n in range(60) if len(world.oracle(world.scenario("train", n))) == 3)
    seen = play(world, world.oracle(world.scenario("train", number)), number, "train")
    assert sum(obs.reward for obs in seen) == pytest.approx(1.0)
    assert [obs.terminated for obs in seen] == [False, False, False, True]
    assert seen[-1].info["success"]
    worse = play(world, [*world.oracle(world.scenario("train", number))[::-1][1:]], number, "train")
    assert worse[-1].reward < 0 < worse[1].reward or worse[-1].reward != 0
    chance = play(
        Rooms(train=60, test=2, paid="chance"), world.oracle(world.scenario("train", number)), number, "train"
    )
    assert sum(obs.reward for obs in chance) != pytest.approx(1.0)


def test_what_came_of_a_layout_is_shown_and_without_the_mechanism_another_room_is():
    """Two drafts of one room lead to two pictures, and to one where nothing is looked at."""
    room = room_of(Rooms(train=2, test=4).scenario("test", 1).seed)
    said = [layout_text(room.gold), layout_text(dict.fromkeys(room.sizes, (0, 0)))]
    for shown, count in (("render", 2), ("other", 1)):
        names = {play(Rooms(train=2, test=4, shown=shown), [each])[1].pictures for each in said}
        assert len(names) == count
        assert all(pictures.read(name).shape == (40, 40, 3) for (name,) in names)


def played(world, number, actions):
    """An episode in which these things were said."""
    found = Played(asked=Asked(id=0, group=0, member=0, scenario=world.scenario("test", number)))
    seen = play(world, actions, number)
    found.turns = [
        Turn(shown="", action=a, result=o.text, reward=o.reward, error=o.error, state=None, tokens=1, cut=False)
        for a, o in zip(actions, seen[1:], strict=True)
    ]
    found.success = bool(seen[-1].info.get("success", seen[-1].reward == 1.0))
    return found


def test_layouts_are_measured_by_the_last_that_can_be_read():
    world = Rooms(train=2, test=4)
    room = room_of(world.scenario("test", 1).seed)
    heap = dict.fromkeys(room.sizes, (0, 0))
    told = metaspatial.told([played(world, 1, [layout_text(heap), layout_text(room.gold), "hm"])])
    assert (told["faulty"], told["holds"], told["first faulty"], told["right"]) == (0.0, 1.0, 1.0, 1.0)
    assert told["format"] == pytest.approx(2 / 3)
    assert metaspatial.told([played(world, 1, ["hm"])])["faulty"] == 1.0


def test_a_site_is_done_in_two_clicks_and_a_wrong_one_at_the_end_is_the_end():
    world = Sites(train=4, test=8)
    for number in range(8):
        scenario = world.scenario("test", number)
        site, clicks = site_of(scenario.seed, template_of(scenario.seed)), world.oracle(scenario)
        _, nothing, second, end = play(world, ["click [0]", *clicks], number)
        assert (nothing.text, second.text, end.reward, end.terminated) == ("nothing", "page 2", 1.0, True)
        wrong = next(n for n in site.numbers[1] if n != site.right[1])
        _, _, end = play(world, [clicks[0], f"click [{wrong}]"], number)
        assert (end.reward, end.terminated) == (0.0, True)
        assert play(world, ["tap 3"], number)[1].error is not None
        assert len(second.cells) == 16
        assert {x % 10 for x in second.cells if x} == {*site.numbers[1]}


def test_marks_stand_in_the_cell_of_their_widget_and_tell_the_numbers_alone():
    seed = seen_pages.seed_of("test", 1)
    site, step = site_of(seed, template_of(seed)), 24
    marked, plain = (pictures.read(f"page:{how}/{seed}/1") for how in ("marked", "plain"))
    differ = (marked != plain).any(-1).reshape(4, step, 4, step).mean((1, 3)).ravel() > 0.2  # an edge may cross
    assert differ.tolist() == [label > 0 for label in site.cells(1)]
    assert np.array_equal(plain, pictures.read(f"page:plain/{seed}/1"))
    text = play(Sites(train=2, test=4, shown="text"), [])[0]
    assert not text.pictures
    assert all(f"[{n}] " in text.text for n in site.numbers[0])
    assert play(Sites(train=2, test=4, shown="other"), [])[0].pictures != play(Sites(train=2, test=4), [])[0].pictures


def test_a_fact_of_the_first_page_is_in_the_prompt_of_the_second_with_history_alone():
    """The mechanism: the decision on the second page sees the first one's picture, or has no way to the fact."""
    world = Sites(train=4, test=2)
    for history, count in (("last", 2), ("lines", 1)):
        turns = shown_turns(world, EpisodeConfig(history=history, last=1), 4)[3:4]  # the second page of a recall
        (names,) = [pictures.pictures_in(turn.prompt) for turn in turns]
        assert [name[-1] for name in names] == ["0", "1"][-count:]
        assert len(turns[0].cells) == 16 * count
    site = site_of(world.scenario("train", 1).seed, "recall")
    (field,) = [w.colour for w in site.pages[0].widgets if w.kind == "field"]
    assert field not in site.text
    assert {w.colour for w in site.pages[1].widgets if w.kind == "button"} > {field}


@pytest.mark.parametrize("name", ["room:x", "room:3/bed-1", "room:3/throne-11", "page:marked/3/2", "page:bare/3/0"])
def test_names_that_are_no_pictures_are_refused(name):
    with pytest.raises(ConfigError, match="give "):
        pictures.read(name)


def test_settings_are_laid_over_one_another_and_a_miniature_is_small(tmp_path):
    for small in (False, True):
        t = Trial(arm="marks", seed=7, folder=tmp_path, miniature=small)
        its = acting.settings(t, web_agent_that_sees.WORLD, web_agent_that_sees.ALL, {"task": {"options": {"test": 2}}})
        cfg = LoopRun.model_validate(its)
        assert (cfg.seed, cfg.base.seed, cfg.base.width) == (7, 7, 16 if small else 96)
        assert cfg.sampling.max_tokens == (4 if small else 12)
        flat = acting.flat(its, "BASE")
        assert flat["task.options"] == {"test": 2}
        assert flat["episode.history"] == "last"
        assert flat["model.path"] == "BASE"
        assert "task.id" not in flat
    assert acting.SHARED["algo"]["scenarios"] == 16


def test_all_arms_of_rooms_say_as_many_layouts_in_a_step():
    turns = {arm: options.get("turns", 3) * algo.get("scenarios", 16) for arm, (_, options, algo) in
             metaspatial.ARMS.items()}  # fmt: skip
    assert {*turns.values()} == {48}
