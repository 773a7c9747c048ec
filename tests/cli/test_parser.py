"""The command line's front half: what is read, what is refused and in which words, and the help."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from operant import __version__
from operant.cli.parser import parse
from operant.config.errors import ConfigError
from operant.config.fields import leaves
from operant.config.resolve import resolve
from operant.control.settings.ppo import PPORun

LEAVES = [leaf for leaf in leaves(PPORun).values() if leaf.path != ("algorithm",)]
VERBS = [
    "train",
    "solve",
    "resume",
    "eval",
    "play",
    "report",
    "compare",
    "sweep",
    "list",
    "config",
    "env",
    "record",
    "data",
    "task",
    "sample",
    "chat",
    "serve",
    "agent",
    "recipe",
    "export",
    "push",
    "doctor",
]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def read(line: str) -> argparse.Namespace:
    return parse(line.split())


def attempt(argv: list[str]) -> argparse.Namespace | int:
    """What is read, or the exit code of the only exception that may be raised."""
    try:
        return parse(argv)
    except SystemExit as stop:
        return int(str(stop.code))


def refusal(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(argv)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err.endswith(" --help`.\n")
    assert err.count("\n") == 1
    return err.rstrip("\n")


def printed(capsys: pytest.CaptureFixture[str], line: str) -> str:
    with pytest.raises(SystemExit) as caught:
        read(line)
    out, err = capsys.readouterr()
    assert (caught.value.code, err) == (0, "")
    return out


# --- what is read


def test_train_alone():
    found = vars(read("train ppo CartPole-v1"))
    assert found == {
        "verb": "train",
        "algorithm": "ppo",
        "env": "CartPole-v1",
        "envs": ["CartPole-v1"],
        "file": None,
        "overrides": {},
        "runs": Path("runs"),
        "dry_run": False,
        "seeds": None,
    }


@pytest.mark.parametrize(
    "line",
    [
        "train ppo A-v1 @c.toml --seed 3 --algo.lr=1e-3 --runs out --dry-run",
        "train --seed=3 ppo --runs=out A-v1 --dry-run @c.toml --algo.lr 1e-3",
        "train --dry-run --runs out --algo.lr 1e-3 --seed 3 -- ppo @c.toml A-v1",
    ],
)
def test_flags_and_words_mix(line: str):
    found = read(line)
    assert (found.algorithm, found.env, found.file) == ("ppo", "A-v1", Path("c.toml"))
    assert (found.runs, found.dry_run) == (Path("out"), True)
    assert found.overrides == {"seed": "3", "algo.lr": "1e-3"}


@pytest.mark.parametrize(
    ("flags", "overrides"),
    [
        ("--total-steps 7", {"total_steps": "7"}),
        ("--total_steps=7", {"total_steps": "7"}),
        ("--policy.log-std-init -1e-3", {"policy.log_std_init": "-1e-3"}),
        ("--policy.log_std_init -inf", {"policy.log_std_init": "-inf"}),
        ("--policy.hidden=64,64", {"policy.hidden": "64,64"}),
        ("--policy.normalize-obs", {"policy.normalize_obs": "true"}),
        ("--no-policy.normalize-obs", {"policy.normalize_obs": "false"}),
        ("--no_policy.normalize_obs", {"policy.normalize_obs": "false"}),
        ("--policy.normalize-obs=false", {"policy.normalize_obs": "false"}),
        ("--policy.normalize-obs False", {"policy.normalize_obs": "false"}),
        ("--policy.normalize-obs=maybe", {"policy.normalize_obs": "maybe"}),
        ("--algo.target-kl=", {"algo.target_kl": ""}),
        ("--device a=b=c", {"device": "a=b=c"}),
        ("--env.kwargs {a=1}", {"env.kwargs": "{a=1}"}),
        (
            "--env.kwargs.Gravity -9 --env.kwargs.wind-power=2",
            {"env.kwargs.Gravity": "-9", "env.kwargs.wind_power": "2"},
        ),
    ],
)
def test_settings_are_kept_as_text(flags: str, overrides: dict[str, str]):
    for line in (f"train ppo X-v0 {flags}", f"train {flags} ppo X-v0", f"config show ppo {flags} X-v0"):
        found = read(line)
        assert (found.algorithm, found.env, found.overrides) == ("ppo", "X-v0", overrides)


def test_two_command_lines_share_nothing():
    read("train ppo X-v0 --seed 3 --env.kwargs.a 1")
    assert read("train ppo X-v0").overrides == {}


def test_the_environment_may_stand_in_the_file_or_in_a_flag():
    found = read("train ppo @c.toml")
    assert (found.env, found.file) == ("", Path("c.toml"))
    assert read("train ppo --env.id X-v0").overrides == {"env.id": "X-v0"}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.key)
def test_every_setting_is_a_flag_that_resolve_takes(leaf):
    flag = "--" + leaf.key.replace("_", "-")
    given = {"integer": "3", "number": "0.5", "boolean": "true", "array": "3", "object": "{a=1}", "string": "text"}
    given |= {"array": "atari"} if leaf.key == "env.wrappers" else {}
    given |= {"number": "1.5"} if leaf.key == "explore.param_noise_rate" else {}  # above 1
    given |= {"number": "20.0"} if leaf.key == "policy.memory_span" else {}  # above 2
    value = leaf.choices[-1] if leaf.choices else given[leaf.kind]
    found = read(f"train ppo @c.toml {flag} {value}")
    assert found.overrides == {leaf.key: value}
    config = resolve("ppo", "" if leaf.path == ("env", "id") else "X-v0", overrides=found.overrides).config
    for name in leaf.path:
        config = getattr(config, name)
    assert config in (value, (3,), ("atari",), 3, 0.5, 1.5, 20.0, True, {"a": 1})


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "eval last",
            {"run": "last", "episodes": None, "seed": None, "stochastic": False, "checkpoint": "latest", "json": False},
        ),
        ("eval --episodes 5 r --seed=7 --stochastic --json --checkpoint best", {"episodes": 5, "seed": 7, "run": "r"}),
        ("play r --show --out a.mp4 --runs x", {"show": True, "out": Path("a.mp4"), "runs": Path("x"), "episodes": 1}),
        ("report r --open", {"run": "r", "open": True, "runs": Path("runs")}),
        ("list runs --json --runs x", {"what": "runs", "json": True, "runs": Path("x")}),
        ("list algorithms", {"what": "algorithms", "json": False}),
        ("list environments", {"what": "environments"}),
        ("doctor --json", {"json": True}),
        ("config show ppo X-v0 --json", {"what": "show", "env": "X-v0", "json": True}),
        ("config schema", {"what": "schema", "json": False}),
        ("env check X-v0 --seed 2", {"what": "check", "id": "X-v0", "seed": 2, "json": False}),
    ],
)
def test_the_other_verbs(line: str, wanted: dict[str, object]):
    found = vars(read(line))
    assert found["verb"] == line.split()[0]
    assert {key: found[key] for key in wanted} == wanted


# --- what is refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", "operant: unknown command 'trian'. Did you mean 'train'?"),
        ("--sed 3", "operant: unknown flag '--sed'."),
        ("train", "operant train: needs ALGO, ENV."),
        (
            "train ppo",
            "operant train: no environment. Name one, as in CartPole-v1, or a file that does, as in @config.toml.",
        ),
        ("train pp0 X", "operant train: unknown algorithm 'pp0'. Did you mean 'ppo'?"),
        (
            "train ppo X --algo.discont 3",
            "operant train: unknown flag '--algo.discont'. Did you mean '--algo.discount'?",
        ),
        ("train ppo X --gamma=3", "operant train: unknown flag '--gamma'. Did you mean '--algo.discount'?"),
        ("train ppo X --lr 3", "operant train: unknown flag '--lr'. Did you mean '--algo.lr'?"),
        (
            "train ppo X --every 3",
            "operant train: unknown flag '--every'. Did you mean '--eval.every' or '--save.every'?",
        ),
        ("train ppo X --dryrun", "operant train: unknown flag '--dryrun'. Did you mean '--dry-run'?"),
        (
            "train ppo X --no-policy.normalise-obs",
            "operant train: unknown flag '--no-policy.normalise-obs'. Did you mean '--no-policy.normalize-obs'?",
        ),
        ("train ppo X --tot 3", "operant train: unknown flag '--tot'. Did you mean '--stop-at'?"),
        ("train ppo X --env.kwargs. 3", "operant train: unknown flag '--env.kwargs.'. Did you mean '--env.kwargs'?"),
        ("train ppo X -s 3", "operant train: unknown flag '-s'."),
        ("train ppo X --seed", "operant train: --seed needs a value."),
        ("train ppo X --seed --dry-run", "operant train: --seed needs a value."),
        ("train ppo X --seed 1 --seed=2", "operant train: seed is given twice."),
        ("train ppo X --save.videos --no-save.videos", "operant train: save.videos is given twice."),
        ("train ppo X --env.kwargs.a 1 --env.kwargs.a 1", "operant train: env.kwargs.a is given twice."),
        ("train ppo X --runs a --runs b", "operant train: --runs is given twice."),
        ("train ppo X --dry-run=1", "operant train: --dry-run takes no value."),
        ("train ppo X --no-save.videos=1", "operant train: --no-save.videos takes no value."),
        ("config show ppo A B", "operant config show: two environments: 'A' and 'B'. Give one."),
        (
            "train ppo A b.toml",
            "operant train: two environments: 'A' and 'b.toml'. A file of settings is written @b.toml.",
        ),
        ("train ppo A @b @c", "operant train: two files of settings: 'b' and 'c'. Give one."),
        ("train ppo A @", "operant train: @ needs the name of a file, as in @config.toml."),
        ("train ppo A -- --", "operant train: unexpected '--'."),
        ("eval", "operant eval: needs RUN."),
        ("eval a b", "operant eval: unexpected 'b'."),
        ("eval a --episodes 0", "operant eval: --episodes is '0', expected a whole number of at least 1."),
        ("eval a --seed -1", "operant eval: --seed is '-1', expected a whole number of at least 0."),
        ("eval a --algo.lr 3", "operant eval: unknown flag '--algo.lr'."),
        ("list", "operant list: needs WHAT."),
        ("list run", "operant list: unknown 'run'. Did you mean 'runs'?"),
        ("list x", "operant list: unknown 'x'. There is: runs, policies, algorithms, environments."),
        ("config", "operant config: needs a command: show, schema."),
        ("config shw", "operant config: unknown command 'shw'. Did you mean 'show'?"),
        ("env", "operant env: needs a command: check."),
        ("doctor x", "operant doctor: unexpected 'x'."),
    ],
)
def test_one_line_that_names_the_nearest(capsys: pytest.CaptureFixture[str], line: str, message: str):
    found = refusal(capsys, line.split())
    assert re.sub(r" See `operant[a-z ]* --help`\.$", "", found) == message


def test_the_hint_names_the_verb(capsys: pytest.CaptureFixture[str]):
    assert refusal(capsys, ["train", "ppo"]).endswith(" See `operant train --help`.")
    assert refusal(capsys, ["env", "check"]).endswith(" See `operant env check --help`.")


@st.composite
def mistyped(draw: st.DrawFn) -> tuple[str, str]:
    """A flag with one letter wrong in its last part, and the flag that was meant."""
    flag = "--" + draw(st.sampled_from([leaf.key for leaf in LEAVES])).replace("_", "-")
    at = draw(st.integers(flag.rfind(".") + 2, len(flag) - 1))
    kind = draw(st.sampled_from(["drop", "add", "swap"]))
    letter = draw(st.sampled_from("qxz")) if kind != "drop" else ""
    return flag[:at] + letter + flag[at + (kind != "add") :], flag


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flags=mistyped(), equals=st.booleans())
def test_a_mistyped_flag_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, str], equals: bool
):
    typed, meant = flags
    if typed in {"--" + leaf.key.replace("_", "-") for leaf in LEAVES} or meant.startswith("--env.kwargs"):
        return
    words = [f"{typed}=1"] if equals else [typed, "1"]
    message = refusal(capsys, ["train", "ppo", "X-v0", *words])
    assert message.startswith(f"operant train: unknown flag '{typed}'. Did you mean '--")
    if len(meant) > 12:
        near = re.findall(r"'(--[^']*)'", message.partition(" Did you mean ")[2])
        assert any(name.rpartition(".")[0] == meant.rpartition(".")[0] or name == meant for name in near)


FLAGS = [f"--{leaf.key.replace('_', '-')}" for leaf in LEAVES]
WORDS = st.one_of(
    st.sampled_from(
        [*VERBS, "ppo", "CartPole-v1", "runs", "show", "schema", "check", "last", "@", "@c", "--", "-", "=", ""]
    ),
    st.sampled_from([*FLAGS, "--json", "--runs", "--dry-run", "--episodes", "--no-save.videos", "--env.kwargs.a"]),
    st.text(max_size=6),
    st.builds("--{}={}".format, st.text(max_size=4), st.text(max_size=4)),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.text(max_size=4)),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(argv=st.lists(WORDS, max_size=7) | st.lists(WORDS, max_size=6).map(lambda rest: ["train", "ppo", *rest]))
@example(argv=["train", "ppo", "X", "--seed", "9" * 5000])
@example(argv=["eval", "a", "--seed", "9" * 5000])
@example(argv=["eval", "a", "--seed", "²"])
@example(argv=["train", "ppo", "\udcff"])
@example(argv=["train", "ppo", "\n", "X"])
@example(argv=["train", "ppo", "X", "--a\nb"])
@example(argv=["train", "ppo", "X", "--%(prog)s"])
@example(argv=["train", ":", "X"])
@example(argv=["train", "nowhere.py:build", "X", "--help"])
def test_any_command_line_is_read_or_refused_in_one_line(capsys: pytest.CaptureFixture[str], argv: list[str]):
    found = attempt(argv)
    if isinstance(found, int):
        out, err = capsys.readouterr()
        assert found in (0, 2)
        assert (err.count("\n") == 1 and out == "") if found == 2 else err == ""
        return
    assert found.verb in VERBS
    if "overrides" in found:
        given = [word.partition("=")[0] for word in argv[: [*argv, "--"].index("--")] if word.startswith("--")]
        settable = [flag for flag in given if flag not in ("--json", "--dry-run", "--runs")]
        assert len(found.overrides) == len(settable), "a flag was dropped"


@settings(max_examples=300, deadline=None)
@given(overrides=st.dictionaries(st.sampled_from(FLAGS), st.text(max_size=5), max_size=3))
def test_what_is_read_is_resolved_or_refused(overrides: dict[str, str]):
    found = attempt(["train", "ppo", "X-v0", *(f"{flag}={value}" for flag, value in overrides.items())])
    assert isinstance(found, argparse.Namespace)
    try:
        provenance = resolve("ppo", "" if "--env.id" in overrides else "X-v0", overrides=found.overrides).provenance
    except ConfigError:
        return
    for key in found.overrides:
        assert any(where == "command line" for name, where in provenance.items() if (name + ".").startswith(key + "."))


# --- help


def test_alone_it_says_how_to_start(capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, "")
    assert [line.split("   ")[0].strip() for line in out.split("\n") if line.startswith("  operant")] == [
        "operant train ppo CartPole-v1",
        "operant play last",
        "operant report last",
    ]


def test_version(capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, "--version") == f"operant {__version__}\n"


@pytest.mark.parametrize("line", ["", *VERBS, "train ppo", "train ppo X", "config show", "config schema", "env check"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_fits_eighty_columns(capsys: pytest.CaptureFixture[str], line: str, flag: str):
    out = printed(capsys, f"{line} {flag}")
    assert max(map(len, out.split("\n"))) <= 80
    assert out.startswith("usage: operant")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, "--help")
    assert re.findall(r"^    ([a-z]+) ", out, re.MULTILINE) == VERBS


def test_the_help_of_train_has_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]):
    text = " ".join(printed(capsys, "train ppo --help").split())
    for leaf in LEAVES:
        if leaf.path == ("env", "id"):
            continue
        flag = leaf.key.replace("_", "-")
        assert (f"--[no-]{flag} " if leaf.kind == "boolean" else f"--{flag} ") in text
        assert leaf.help in text
    assert f"weight of the next step's value [{PPORun().algo.discount}]" in text
    for name in ("env", "policy", "algo", "eval", "save"):
        assert f" {name}: " in text


@pytest.mark.parametrize("verb", ["train", "serve"])
def test_nothing_heavy_is_imported(verb: str):
    code = (
        "import sys\nimport operant.cli.main\nfrom operant.cli.parser import parse\n"
        f"try: parse(['{verb}', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'gymnasium', 'pandas', 'transformers', 'starlette') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().endswith("[]")


def test_help_prints_on_a_terminal_without_greek():
    code = "from operant.cli.parser import parse; parse(['train', 'ppo', '--help'])"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "?, weight of the next step's value" in ran.stdout
