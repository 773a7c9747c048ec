"""Text files as other systems write them: marks of UTF-8, ends of lines, other encodings, depths, halves of characters.

Every reader of text takes the first two for what they are, and refuses the others with file and line.
"""

import json
import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest

from operant.cli.main import main
from operant.config.errors import OperantError
from operant.mdp import ModelError, load, solve, to_prism, worlds
from reference.tiny_language import tiny_folder

MAP = "discount: 0.9\nreward G: 1\nterminal: G\n\nS..G\n....\n"
TOML = '[env]\nid = "CartPole-v1"  # é\n\n[algo]\nlr = 0.01\n'
SPACE = '[a]\nkey = "algo.lr"\nvalues = [0.1, 0.2]\n'
LINES = "".join(json.dumps({"prompt": f"{i} is é", "completion": str(i)}, ensure_ascii=False) + "\n" for i in range(6))
PAIRS = "".join(
    json.dumps({"prompt": f"{i} ", "chosen": "é", "rejected": "b"}, ensure_ascii=False) + "\n" for i in range(6)
)
RULES = json.dumps({"critique": "é?", "revision": "so", "comparison": "which"}, ensure_ascii=False) + "\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    tiny_folder(folder / "m")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def model_json(folder):
    worlds.three_state().save(folder / "n.json")
    return (folder / "n.json").read_text()


def prism(folder):
    to_prism(worlds.three_state(), folder / "x.tra")
    return {path.name: path.read_bytes() for path in folder.glob("x.*")}


def read(entry, folder, home, change, capsys):
    """Read a file of a kind whose bytes are changed; what came of it, or the message."""
    if entry in ("map", "json", "tra", "srew", "trew"):
        if entry == "map":
            (folder / "m.txt").write_bytes(change(MAP.encode()))
            name = "m.txt"
        elif entry == "json":
            (folder / "m.json").write_bytes(change(model_json(folder).encode()))
            name = "m.json"
        else:
            name, files = "x.tra", prism(folder)
            chosen = [file for file in files if file.endswith(entry)] or ["x.tra"]
            (folder / chosen[0]).write_bytes(change(files[chosen[0]]))
        try:
            return np.asarray(solve(load(folder / name, discount=0.9)).values).round(6).tolist()
        except ModelError as error:
            return f"{error}"
    text, words = {
        "toml": (TOML, ["config", "show", "ppo", "@FILE"]),
        "map of the command line": (MAP, ["solve", "FILE", "--json"]),
        "demonstrations": (LINES, ["train", "sft", "FILE"]),
        "pairs": (PAIRS, ["train", "dpo", "FILE"]),
        "principles": (RULES, ["train", "constitutional", "ASKED", "--algo.principles", "FILE"]),
    }[entry]
    suffix = {"toml": "toml", "map of the command line": "txt"}.get(entry, "jsonl")
    path = folder / f"file.{suffix}"
    path.write_bytes(change(text.encode()))
    (folder / "asked.jsonl").write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(8)))
    words = [word.replace("FILE", str(path)).replace("ASKED", str(folder / "asked.jsonl")) for word in words]
    if words[0] == "train":
        words += ["--model", str(home / "m"), "--runs", str(folder / "runs"), "--threads", "1", "--no-save.report"]
        words += ["--total-steps", "2", "--algo.batch", "2"] if words[1] != "constitutional" else []
        words += (
            ["--sft.batch", "2", "--total-steps", "2", "--algo.revisions", "1"] if words[1] == "constitutional" else []
        )
        words += ["--sampling.max_tokens", "2"] if words[1] == "constitutional" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(words)
    said = capsys.readouterr()
    if code:
        return " ".join(said.err.split())
    if words[0] == "solve":
        return {key: value for key, value in json.loads(said.out)["model"].items() if key != "name"}
    return said.out if words[0] == "config" else "trained"


ENTRIES = [
    "map",
    "json",
    "tra",
    "srew",
    "trew",
    "toml",
    "map of the command line",
    "demonstrations",
    "pairs",
    "principles",
]
KEPT = {
    "a mark": lambda data: b"\xef\xbb\xbf" + data,
    "carriage returns and newlines": lambda data: data.replace(b"\n", b"\r\n"),
    "carriage returns": lambda data: data.replace(b"\n", b"\r"),
}


@pytest.mark.parametrize("how", sorted(KEPT))
@pytest.mark.parametrize("entry", ENTRIES)
def test_marks_and_ends_of_lines_change_nothing(entry, how, tmp_path, home, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    wanted = read(entry, tmp_path / "a", home, lambda data: data, capsys)
    found = read(entry, tmp_path / "b", home, KEPT[how], capsys)
    clean = (lambda x: x.replace("/a/", "/b/")) if isinstance(wanted, str) else (lambda x: x)
    assert found == clean(wanted)
    assert not isinstance(found, str) or entry not in ("map", "json", "tra", "srew", "trew")


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry != "json"])
def test_another_encoding_is_named(entry, tmp_path, home, capsys):
    """JSON may be in UTF-16, says its standard, and is read."""
    found = read(entry, tmp_path, home, lambda data: data.decode().encode("utf-16"), capsys)
    assert "it is in UTF-16, as its first bytes say: save it as UTF-8" in found
    found = read(entry, tmp_path, home, lambda data: data[:5] + b"\xe9" + data[5:], capsys)
    assert "line 1 is not UTF-8 (it has the byte 0xe9): save the file as UTF-8" in found


BROKEN = {
    "half a character": (r'{"prompt": "x \ud83d", "completion": "y"}', "not JSON ("),
    "deep": ('{"prompt": ' + "[" * 5000 + "]" * 5000 + "}", "nested more than 100 deep"),
    "a huge number": ('{"prompt": "x", "completion": "y", "n": ' + "9" * 5000 + "}", "not JSON (Exceeds the limit"),
    "a list": ('["prompt"]', "a JSON object belongs here"),
    "cut": ('{"prompt": "x", "compl', "not JSON ("),
    "a number for a text": ('{"prompt": 3, "completion": "y", "chosen": "a", "rejected": "b"}', "prompt is not a text"),
}


@pytest.mark.parametrize("how", sorted(BROKEN))
@pytest.mark.parametrize("entry", ["demonstrations", "pairs"])
def test_a_line_that_is_no_example_is_named(entry, how, tmp_path, home, capsys):
    line, words = BROKEN[how]
    found = read(
        entry, tmp_path, home, lambda data: b"".join(data.splitlines(True)[:3]) + line.encode() + b"\n", capsys
    )
    assert "file.jsonl:4: " in found
    assert words in found


MISSPELT = {"discont": "discount", "slpi": "slip", "terminals": "terminal", "wall": "walls", "rewrad G": "reward X",
            "horizn": "horizon", "Discount": "discount", "living_rewards": "living_reward"}  # fmt: skip


@pytest.mark.parametrize("entry", sorted(MISSPELT))
def test_an_option_of_a_map_that_is_misspelt_is_named_with_the_nearest(entry, tmp_path):
    for text in (f"discount: 0.9\n{entry}: 1\n\nS..G\n....\n", f"discount: 0.9\n{entry}: 1\nS..G\n....\n"):
        (tmp_path / "m.txt").write_text(text)
        with pytest.raises(ModelError, match=rf"m\.txt:2: '{entry}' is no option .*Did you mean '{MISSPELT[entry]}'"):
            load(tmp_path / "m.txt")


@pytest.mark.parametrize("entry", ["colons", "words"])
def test_maps_that_look_like_options_are_maps(entry, tmp_path):
    rows = "abc:d\nS..:G\n" if entry == "colons" else "start\n....G\n"
    (tmp_path / "m.txt").write_text(f"discount: 0.9\nterminal: G\n\n{rows}")
    assert load(tmp_path / "m.txt").num_states == 10
    (tmp_path / "m.txt").write_text(rows)
    with pytest.raises(OperantError, match="discount is missing"):
        load(tmp_path / "m.txt")
    assert load(tmp_path / "m.txt", discount=0.9).num_states == 10
