"""Precedence, provenance, what is refused and in which words, and the way back from config.toml."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operant.config import resolve as room
from operant.config.errors import ConfigError
from operant.config.fields import Leaf, leaves
from operant.config.resolve import Resolved, dump, load, presets, resolve, schema
from operant.control.settings.ppo import PPORun

PLAIN = "SomeEnv-v0"  # an environment without a preset
Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def writer(text: str | bytes, name: str = "config.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return writer


def refused(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    assert caught.value.exit_code == 2
    return str(caught.value).split("\n")


def attempt(*args: Any, **kwargs: Any) -> Resolved | str:
    """The config, or the message of the only error that may be raised."""
    try:
        return resolve(*args, **kwargs)
    except ConfigError as error:
        return str(error)


# --- precedence and provenance


def test_defaults_alone():
    found = resolve("ppo", PLAIN)
    assert found.config.model_copy(update={"env": PPORun().env}) == PPORun()
    assert found.preset is None
    asked = {"algorithm", "env.id"}
    assert {key for key, where in found.provenance.items() if where != "default"} == asked
    assert set(found.provenance) == {leaf.key for leaf in leaves(PPORun).values()}


def test_each_layer_wins_over_the_one_before(write: Writer):
    file = write("total_steps = 5\n[algo]\nepochs = 3\nlam = 0.5\n")
    found = resolve("ppo", "CartPole-v1", file=file, overrides={"algo.lam": "0.25"})
    assert (found.config.total_steps, found.config.algo.epochs, found.config.algo.lam) == (5, 3, 0.25)
    assert found.config.algo.discount == 0.98  # the preset's
    assert found.preset == "CartPole-v1"
    where = found.provenance
    assert where["threads"] == "default"
    assert where["algo.discount"] == "preset CartPole-v1"
    assert where["total_steps"] == f"{file}:1"
    assert where["algo.epochs"] == f"{file}:3"
    assert where["algo.lam"] == where["env.id"] == where["algorithm"] == "command line"


def test_python_arguments_say_so():
    found = resolve("ppo", PLAIN, overrides={"algo.discount": 0.5}, source="argument")
    assert found.config.algo.discount == 0.5
    assert found.provenance["algo.discount"] == found.provenance["env.id"] == "argument"


@pytest.mark.parametrize(
    "text",
    [
        "algo.discount = 0.5",
        "[algo]\ndiscount = 0.5",
        "algo = {lam = 0.9, discount = 0.5}",
        '["algo"]\n"discount" = 0.5',
    ],
)
def test_every_way_to_write_a_key_sets_it(write: Writer, text: str):
    found = resolve("ppo", PLAIN, file=write("\n\n" + text))
    assert found.config.algo.discount == 0.5
    assert found.provenance["algo.discount"].endswith(f"config.toml:{3 + text.count(chr(10))}")


def test_the_environment_may_be_in_the_file_and_the_word_wins(write: Writer):
    file = write('env.id = "CartPole-v1"')
    alone, both = resolve("ppo", file=file), resolve("ppo", "Acrobot-v1", file=file)
    assert (alone.config.env.id, alone.preset, alone.provenance["env.id"]) == (
        "CartPole-v1",
        "CartPole-v1",
        f"{file}:1",
    )
    assert (both.config.env.id, both.preset, both.provenance["env.id"]) == ("Acrobot-v1", "Acrobot-v1", "command line")
    for overrides in ({"env.id": "CartPole-v1"}, {"env.id": '"CartPole-v1"'}, {"env": {"id": "CartPole-v1"}}):
        assert resolve("ppo", overrides=overrides).preset == "CartPole-v1"


def test_no_environment_is_an_error(write: Writer):
    assert refused("ppo") == ["command line: no environment. Name one, as in `operant train ppo CartPole-v1`."]
    assert "no environment" in refused("ppo", file=write("seed = 1"))[0]


def test_an_environment_given_twice_is_an_error():
    (line,) = refused("ppo", "A-v0", overrides={"env.id": "B-v0"})
    assert line == 'command line: env.id is given twice, as "A-v0" and as "B-v0".'
    assert resolve("ppo", "A-v0", overrides={"env.id": "A-v0"}).config.env.id == "A-v0"


def test_the_same_key_in_two_spellings_is_given_twice():
    (line,) = refused("ppo", PLAIN, overrides={"total-steps": "1", "total_steps": "2"})
    assert line == "command line: total_steps is given twice, as 1 and as 2."
    (line,) = refused("ppo", PLAIN, overrides={"algo": {"lr": 0.5}, "algo.lr": 0.25}, source="argument")
    assert line == "argument: algo.lr is given twice, as 0.5 and as 0.25."


def test_algorithms_are_named_once(write: Writer):
    assert refused("pp0", PLAIN) == ["unknown algorithm 'pp0'. Did you mean 'ppo'? See `operant list algorithms`."]
    (line,) = refused("ppo", PLAIN, file=write('seed = 3\nalgorithm = "dqn"'))
    assert line.endswith('config.toml:2: algorithm is "dqn", but "ppo" was asked for. Remove the line.')
    assert resolve("ppo", PLAIN, file=write('algorithm = "ppo"')).config.algorithm == "ppo"


# --- the tables of any name


def test_tables_merge_and_values_replace(write: Writer):
    file = write("[env.kwargs]\ngravity = -5.0\nwind = {power = 1, on = true}\n")
    found = resolve("ppo", PLAIN, file=file, overrides={"env.kwargs.gravity": "-9", "env.kwargs.wind.power": 2})
    assert found.config.env.kwargs == {"gravity": -9, "wind": {"power": 2, "on": True}}
    assert found.provenance["env.kwargs.wind.on"] == f"{file}:3"
    assert found.provenance["env.kwargs.wind.power"] == "command line"
    assert "env.kwargs" not in found.provenance


def test_entries_are_unset_and_tables_cleared(write: Writer):
    file = write("[env.kwargs]\na = 1\nb = 2\n")
    assert resolve("ppo", PLAIN, file=file, overrides={"env.kwargs.a": "none"}).config.env.kwargs == {"b": 2}
    gone = resolve("ppo", PLAIN, file=file, overrides={"env.kwargs": "{}"})
    assert (gone.config.env.kwargs, gone.provenance["env.kwargs"]) == ({}, "command line")
    both = resolve("ppo", PLAIN, file=file, overrides={"env.kwargs": {"a": None, "b": None}})
    assert (both.config.env.kwargs, both.provenance["env.kwargs"]) == ({}, "command line")
    for overrides in ({"env.kwargs": None}, {"env": {"kwargs": None}}):
        for layer in (None, file):
            none = resolve("ppo", PLAIN, file=layer, overrides=overrides)
            assert (none.config.env.kwargs, none.provenance["env.kwargs"]) == ({}, "command line")
    (line,) = refused("ppo", PLAIN, file=file, overrides={"env.kwargs.c": None})
    assert line == "command line: env.kwargs.c is not set, so there is nothing to unset."


# --- values


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("algo.discount", "0.95", 0.95),
        ("algo.discount", "1", 1.0),
        ("algo.lam", ".5", 0.5),
        ("total-steps", "1e6", 1_000_000),
        ("total_steps", "1_000", 1000),
        ("seed", 3.0, 3),
        ("seed", np.int64(3), 3),
        ("algo.lr", np.float64(0.25), 0.25),
        ("policy.hidden", "64,32", (64, 32)),
        ("policy.hidden", "[64, 32]", (64, 32)),
        ("policy.hidden", "64", (64,)),
        ("policy.hidden", "[]", ()),
        ("policy.hidden", [64, 32.0], (64, 32)),
        ("policy.hidden", np.array([64, 32]), (64, 32)),
        ("policy.activation", "relu", "relu"),
        ("policy.activation", '"relu"', "relu"),
        ("policy.normalize-obs", "true", True),
        ("policy.normalize_obs", "True", True),
        ("policy.normalize_obs", True, True),
        ("device", "cuda:1", "cuda:1"),
        ("device", "1", "1"),
        ("device", "none", "none"),
        ("algo.target_kl", "none", None),
        ("algo.target_kl", "None", None),
        ("algo.target_kl", None, None),
        ("algo.target_kl", "1e-2", 0.01),
        ("algo.fused", "on", "on"),
        ("env.kwargs", "{a = 1}", {"a": 1}),
        ("env.kwargs.mode", "fast", {"mode": "fast"}),
        ("env.kwargs.mode", "[1, 2]", {"mode": [1, 2]}),
        ("env.kwargs.mode", "1,2", {"mode": "1,2"}),
        ("env.kwargs.mode", '"1"', {"mode": "1"}),
        ("env.kwargs.on-top", "false", {"on-top": False}),
        ("env.kwargs.at", Path("a/b"), {"at": "a/b"}),
        ("env", "{num = 3}", 3),
    ],
)
def test_values(key: str, given: object, value: object):
    config = resolve("ppo", PLAIN, overrides={key: given}).config
    path = ("env", "num") if key == "env" else tuple(key.replace("-", "_").split("."))[:2]
    found: Any = config
    for name in path:
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["1, 2]#", '1, "the end of the text"]\nother = [2', "__import__('os').getcwd()", "[" * 5000, "1]\n[x]\ny = [2"],
)
def test_text_is_never_evaluated_nor_read_as_more_than_a_value(text: str):
    assert resolve("ppo", PLAIN, overrides={"env.kwargs.a": text}).config.env.kwargs == {"a": text}


# --- refusals


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        ("algo.discont", "'algo.discount'"),
        ("discount", "'algo.discount'"),
        ("policy.lr", "'algo.lr'"),
        ("gamma", "'algo.discount'"),
        ("algo.gae_lambda", "'algo.lam'"),
        ("learning-rate", "'algo.lr'"),
        ("every", "'eval.every' or 'save.every'"),
        ("totalsteps", "'total_steps'"),
        ("algo.discount.x", "'algo.discount'"),
        ("seed.x", "'seed'"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, guess: str):
    (line,) = refused("ppo", PLAIN, overrides={key: "1"})
    shown = key.replace("-", "_")
    assert line == f"command line: unknown key '{shown}'. Did you mean {guess}? See `operant config schema`."


@pytest.mark.parametrize("key", ["", ".", "algo.", "algo..lr", "qqqq", "__class__", "algo.model_config", "env.kwargs."])
def test_any_other_key_is_refused(key: str):
    (line,) = refused("ppo", PLAIN, overrides={key: "1"})
    assert "command line: unknown key" in line


def test_all_problems_of_a_file_come_at_once_by_line(write: Writer):
    file = write(
        'seed = -1\n[algo]\ndiscont = 0.9\nlr = "fast"\nclip = nan\n'
        '[policy]\nactivation = "tahn"\nhidden = [\n  64,\n  -1,\n]\n'
        "[save]\nvideos = 1\n[env]\nnum_envs = 3\nkwargs = 3\n[algos]\nlr = 1\n[[eval]]\nx = 1\n"
    )
    found = [line.removeprefix(str(file)) for line in refused("ppo", PLAIN, file=file, overrides={"algo.lam": "2"})]
    see = " See `operant config schema`."
    assert found == [
        ":1: seed is -1, expected a whole number of at least 0.",
        f":3: unknown key 'algo.discont'. Did you mean 'algo.discount'?{see}",
        ':4: algo.lr is "fast", expected a number above 0.',
        ":5: algo.clip is nan, expected a number above 0.",
        ":7: policy.activation is \"tahn\", expected one of tanh, relu. Did you mean 'tanh'?",
        ":8: policy.hidden is [64, -1], expected a list, each item a whole number of at least 1.",
        ":13: save.videos is 1, expected true or false.",
        f":15: unknown key 'env.num_envs'. Did you mean 'env.num'?{see}",
        ":16: env.kwargs is 3, expected a table.",
        f":18: unknown key 'algos.lr'. Did you mean 'algo.lr'?{see}",
        ":19: eval is [{x = 1}], expected a table of settings.",
        "command line: algo.lam is 2, expected a number from 0 to 1.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", True, "seed is true, expected a whole number of at least 0."),
        ("algo.epochs", 2.5, "algo.epochs is 2.5, expected a whole number of at least 1."),
        ("algo.epochs", "many", 'algo.epochs is "many", expected a whole number of at least 1.'),
        ("algo.clip", None, 'algo.clip is "none", expected a number above 0.'),
        ("algo.target_kl", -1.0, "algo.target_kl is -1.0, expected a number above 0, or none."),
        ("policy.log_std_init", float("inf"), "policy.log_std_init is inf, expected a number that is finite."),
        ("save.videos", "yes", 'save.videos is "yes", expected true or false.'),
        ("algo", 3, "algo is 3, expected a table of settings."),
        ("algo.fused", "true", 'algo.fused is "true", expected one of auto, on, off.'),
        ("env.kwargs.f", print, "env.kwargs.f: a value of type builtin_function_or_method is not a number, text, "),
        ("env.kwargs.f", [None], "env.kwargs.f: a list cannot hold none."),
        ("device", "\udcff", "device: '\\udcff' is not valid text."),
    ],
)
def test_a_wrong_value_says_what_is_expected(key: str, value: object, expected: str):
    (line,) = refused("ppo", PLAIN, overrides={key: value})
    assert line.startswith("command line: " + expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1\nalgo.lr 3\n", "2:9: not TOML: expected '=' after a key in a key/value pair."),
        ("seed = 1\n[algo\n", "2:6: not TOML: expected ']' at the end of a table declaration."),
        ("seed = 1\nseed = 2\n", "2:9: not TOML: cannot overwrite a value."),
        ('seed = "', "1:9: not TOML: unterminated string."),
        ("seed = " + "[" * 50_000, " nested too deeply."),
    ],
)
def test_bad_toml_says_where(write: Writer, text: str, message: str):
    file = write(text)
    (line,) = refused("ppo", PLAIN, file=file)
    assert line == f"{file}:{message}"


def test_unreadable_files_say_so(write: Writer, tmp_path: Path):
    write("seed = 1")
    missing = tmp_path / "confg.toml"
    assert refused("ppo", PLAIN, file=missing) == [f"{missing}: no such file. Did you mean 'config.toml'?"]
    assert refused("ppo", PLAIN, file=tmp_path / "no" / "c.toml") == [f"{tmp_path / 'no' / 'c.toml'}: no such file."]
    assert refused("ppo", PLAIN, file=tmp_path)[0].startswith(f"{tmp_path}: cannot be read: ")
    binary = write(b"seed = 1 # \xff")
    assert refused("ppo", PLAIN, file=binary) == [
        f"{binary}: cannot be read: line 1 is not UTF-8 (it has the byte 0xff): save the file as UTF-8."
    ]
    assert resolve("ppo", PLAIN, file=write(b"\xef\xbb\xbfseed = 7")).config.seed == 7


# --- the way back


def test_dump_has_every_key_with_its_origin(write: Writer):
    file = write("[algo]\nepochs = 3\n")
    text = dump(resolve("ppo", "CartPole-v1", file=file, overrides={"policy.hidden": "8,8", "algo.target_kl": "none"}))
    lines = [" ".join(line.split()) for line in text.split("\n")]
    for line in (
        'env.id = "CartPole-v1" # command line',
        "algo.discount = 0.98 # preset CartPole-v1",
        f"algo.epochs = 3 # {file}:2",
        "policy.hidden = [8, 8] # command line",
        'algo.target_kl = "none" # command line',
        'save.every = "none" # default',
        "env.kwargs = {} # default",
    ):
        section, _, entry = line.partition(".")
        assert entry in lines[lines.index(f"[{section}]") :]
    assert sum("=" in line for line in lines) == len(leaves(PPORun))


def values_of(leaf: Leaf) -> st.SearchStrategy[Any]:
    spec = leaf.spec
    plain = st.text(max_size=8).filter(lambda text: text.lower() != "none")
    found: st.SearchStrategy[Any]
    match leaf.kind:
        case _ if leaf.choices:
            found = st.sampled_from(leaf.choices)
        case "integer":
            found = st.integers(spec.get("minimum", spec.get("exclusiveMinimum", -1) + 1), 2**53)
        case "number":
            low, high = spec.get("minimum", spec.get("exclusiveMinimum")), spec.get("maximum")
            found = st.floats(low, high, allow_nan=False, allow_infinity=False, exclude_min="exclusiveMinimum" in spec)
        case "boolean":
            found = st.booleans()
        case "array" if leaf.key == "env.wrappers":
            found = st.lists(st.sampled_from(["atari", "grey", "resize 8 9", "sticky 0.25"]), max_size=4)
        case "array":
            found = st.lists(st.integers(1, 10**6), max_size=4)
        case "object":
            words = plain | st.text(st.sampled_from("a.\"'\\\n\t\x7f#=é"), max_size=4)
            item = st.integers() | st.floats(allow_nan=False) | words | st.booleans() | st.dates() | st.just({})
            found = st.dictionaries(words, item | st.lists(item, max_size=2) | st.dictionaries(words, item), max_size=3)
        case _:
            found = plain
    return found | st.none() if leaf.optional else found


OPTIONAL = {
    leaf.key: values_of(leaf) for leaf in leaves(PPORun).values() if leaf.path not in (("algorithm",), ("env", "id"))
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.fixed_dictionaries({}, optional=OPTIONAL), env=st.sampled_from([PLAIN, "CartPole-v1", "Hopper-v5"]))
def test_dump_and_load_round_trip_exactly(tmp_path: Path, tree: dict[str, Any], env: str):
    quoted = {key: room.toml_value(value) if isinstance(value, str) else value for key, value in tree.items()}
    found = resolve("ppo", env, overrides=quoted)
    file = tmp_path / "run.toml"
    file.write_text(dump(found), encoding="utf-8", newline="")
    assert load(file, trust=True) == found.config
    again = resolve("ppo", env, file=file)  # as the file of another run: the same settings, over any preset
    assert again.config == found.config
    assert {
        where.rpartition(":")[0] for key, where in again.provenance.items() if key not in ("algorithm", "env.id")
    } == {str(file)}


def test_load_applies_no_preset_and_refuses_as_resolve_does(write: Writer):
    assert load(write('env.id = "CartPole-v1"')).algo == PPORun().algo
    for text, message in (
        ('\nalgorithm = "pp"', ":2: unknown algorithm 'pp'. Did you mean 'ppo'? See `operant list algorithms`."),
        ("seed = -1", ":1: seed is -1, expected a whole number of at least 0."),
    ):
        with pytest.raises(ConfigError) as caught:
            load(write(text))
        assert str(caught.value).endswith("config.toml" + message)


# --- presets and schema

WANTED = [
    "Acrobot-v1",
    "Ant-v5",
    "BipedalWalker-v3",
    "CartPole-v1",
    "HalfCheetah-v5",
    "Hopper-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "LunarLander-v3",
    "MiniGrid-DoorKey-5x5-v0",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
    "operant.robots:ant",
    "operant.robots:biped",
    "operant.robots:g1",
    "operant.robots:go2",
]


def test_presets_are_there_and_each_names_its_source():
    assert [each.env for each in presets() if each.algorithm == "ppo"] == sorted(WANTED)
    assert all(len(each.note) > 10 and each.path.read_text().startswith("# ") for each in presets())


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: f"{preset.algorithm}-{preset.env}")
def test_every_preset_resolves_and_is_used_whole(preset: room.Preset):
    found = resolve(preset.algorithm, preset.env)
    assert found.preset == preset.env
    tree = tomllib.loads(preset.path.read_text())
    for (*above, name), value in room._entries(tree, ()):
        at: Any = found.config
        for part in above:
            at = getattr(at, part)
        given = at[name] if isinstance(at, dict) else getattr(at, name)
        assert (list(given) if isinstance(given, tuple) else given) == value
        assert found.provenance[".".join((*above, name))] == f"preset {preset.env}"
    if isinstance(found.config, PPORun):
        algo, num = found.config.algo, found.config.env.num
        assert (algo.horizon * num) % algo.batch == 0, "minibatches of one size"


def test_the_preset_of_a_callable_lies_in_a_folder_of_its_module():
    assert resolve("ppo", "operant.robots:go2").preset == "operant.robots:go2"
    assert resolve("ppo", "operant.robots/go2").preset is None
    assert resolve("pqn", "MinAtar/Breakout-v1").preset == "MinAtar/Breakout-v1"


def test_an_environment_id_is_no_path():
    assert resolve("ppo", "../ppo/CartPole-v1").preset is None


def test_the_schema_covers_every_leaf():
    text = json.dumps(schema())
    assert all(f'"{leaf.path[-1]}"' in text and leaf.help for leaf in leaves(PPORun).values())
    with pytest.raises(ConfigError, match="unknown algorithm"):
        schema("po")


# --- any mistake at all

NAMES = [leaf.key for leaf in leaves(PPORun).values()]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A key with one mistake in its name, and what was meant."""
    key = draw(st.sampled_from(NAMES))
    at = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from("abcxyz_"))
    kind = draw(st.sampled_from(["drop", "add", "swap"]))
    if kind == "drop":
        return key[:at] + key[at + 1 :], key
    return key[:at] + letter + key[at + (kind == "swap") :], key


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=mutated(), in_file=st.booleans(), blank=st.integers(0, 5))
def test_a_mistyped_key_is_never_ignored(tmp_path: Path, names: tuple[str, str], in_file: bool, blank: int):
    typed, meant = names
    if typed in NAMES or typed.startswith("env.kwargs.") or typed in PPORun.model_fields:
        return
    file = tmp_path / "c.toml"
    quoted = ".".join(f'"{part}"' for part in typed.split("."))
    file.write_text("\n" * blank + f"{quoted} = 1\n")
    found = refused("ppo", PLAIN, **({"file": file} if in_file else {"overrides": {typed: "1"}}))
    shown = room.toml_key(typed.split("."))
    assert len(found) == 1
    assert found[0].startswith(f"{file}:{blank + 1}" if in_file else "command line")
    assert f"unknown key '{shown}'." in found[0]
    if len(meant) > 6 and typed.rpartition(".")[2] not in {name.rpartition(".")[2] for name in NAMES}:
        assert "Did you mean" in found[0]


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from([*NAMES, *PPORun.model_fields]) | st.text(max_size=12), value=JSONISH)
def test_any_override_is_taken_or_refused_in_words(key: str, value: object):
    found = attempt("ppo", PLAIN, overrides={key: value})
    if isinstance(found, str):
        assert all(line.startswith("command line: ") for line in found.split("\n"))
        assert "pydantic" not in found
    else:
        taken = [name for name, where in found.provenance.items() if where == "command line"]
        assert set(taken) >= {"algorithm", "env.id"}
        assert len(taken) > 2 or value == {} or key in ("algorithm", "env.id", "env")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2000), junk=st.text(max_size=6), length=st.integers(0, 12))
def test_a_damaged_file_is_taken_or_refused_with_its_place(tmp_path: Path, cut: int, junk: str, length: int):
    text = dump(resolve("ppo", PLAIN))
    cut %= len(text)
    file = tmp_path / "c.toml"
    file.write_bytes((text[:cut] + junk + text[cut + length :]).encode("utf-8", "replace"))
    found = attempt("ppo", PLAIN, file=file)
    if isinstance(found, str):
        assert all(line.startswith((f"{file}:", "command line: ")) for line in found.split("\n"))


def test_nothing_heavy_is_imported():
    code = (
        "import sys, operant.config.resolve as r; r.resolve('ppo', 'CartPole-v1'); r.schema(); "
        "print([m for m in ('torch', 'numpy', 'gymnasium', 'pandas') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
