"""Options of worlds of many turns: of another type, not finite or out of range, each is refused by its name"""

import pytest

from operant.config.errors import ConfigError
from operant.config.typed import require_types
from operant.language.episodes.world import load_world
from operant.language.task.load import load_task

ODD = {"none": None, "text": "x", "nan": float("nan"), "infinity": float("inf"), "list": [1], "table": {"a": 1},
       "truth": True, "bytes": b"x"}  # fmt: skip
OPTIONS = [
    *(("text/quests", option) for option in ("train", "rooms")), ("text/grid", "size"), ("text/calculator", "test"),
    *(("openenv", option) for option in ("train", "turns", "timeout"))
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("entry", "option"), OPTIONS)
def test_an_option_of_another_type_is_refused_by_its_name(entry, option, odd):
    with pytest.raises(ConfigError, match=f"option {option} "):
        load_world(entry, {option: ODD[odd]})


@pytest.mark.parametrize(("entry", "option"), [(w, o) for w, o in OPTIONS if o in ("turns", "timeout")])
@pytest.mark.parametrize("value", [0, -1, 10**30])
def test_an_option_out_of_range_is_refused_by_its_name(entry, option, value):
    with pytest.raises(ConfigError, match=f"option {option} "):
        load_world(entry, {option: value})


@pytest.mark.parametrize("file", ["~nobody/ids", "/", "nowhere", "\0"])
def test_a_file_of_tasks_that_cannot_be_read_is_told(file):
    with pytest.raises(ConfigError, match="the ids of tasks cannot be read"):
        load_world("appworld", {"train": file})


@pytest.mark.parametrize("odd", ["x", -1.5, float("nan"), True, [1], {"a": 1}])
@pytest.mark.parametrize(
    ("entry", "option"), [("arithmetic", "demonstrations"), ("arithmetic", "seed"), ("gsm8k", "chat"), ("sort", "seed")]
)
def test_an_option_of_a_task_of_another_type_is_refused_by_its_name(entry, option, odd):
    if odd is True and option == "chat":
        pytest.skip("it is of its type")
    with pytest.raises(ConfigError, match=f"option {option} of "):
        load_task(entry, {option: odd})


def test_what_a_function_is_annotated_with_otherwise_fits():
    def made(*, several: list[int], one: "int | list[int]" = 1, name: "str | None" = None, any=3):
        return several

    require_types(made, "it", {"several": [1], "one": [1], "name": None, "any": "x"})
    with pytest.raises(ConfigError, match="option name of it is 3: give a text or none"):
        require_types(made, "it", {"name": 3})


@pytest.mark.parametrize("entry", ["arithmetic", "sort", "reverse", "modular"])
@pytest.mark.parametrize("size", [-1, 10**30])
def test_a_size_of_a_task_out_of_range_is_refused(entry, size):
    with pytest.raises(ConfigError, match=f"{entry}: demonstrations is "):
        load_task(entry, {"demonstrations": size})
