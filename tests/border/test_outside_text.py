"""Text of others on its way to a terminal, a page or a file"""

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from operant.cli.main import main
from operant.config import errors

SRC = Path(inspect.getfile(main)).parents[1]
ESC = "\x1b]0;TITLE\x07\x1b[2J\x1b[31mRED\x1b[0m\x1b]8;;http://evil.example\x07click\x1b]8;;\x07\r\nFAKE LINE\x9b2J"
KINDS = {
    "escape sequences": ESC,
    "markup": "[/nope][link=http://evil.example]x[/link][bold",
    "an order of reading": "evil\u202efdp.exe\u2066\u200f",
    "half a character": "\ud800x\udfff",
    "NUL": "a\0b",
    "mathematics": "$\\frac{$",
    "html": "</script><script>document.title='PWNED'</script><img src=x onerror=alert(1)>{{7*7}}",
    "ends of lines": "a\nb\r\nc\u2028d\x85e",
    "length": "A" * 100_000,
}
FIELDS = ("env", "algorithm", "status", "error", "preset", "id", "started", "argv", "host", "packages", "git", "phases")


def hostile(good, run, text):
    """A copy of a run in which the text stands wherever one can stand."""
    shutil.copytree(good, run, symlinks=True)
    info = json.loads((run / "run.json").read_text())
    tables = {"argv": [text, "train", text], "host": {text: text, "cpu": text}, "packages": {text: text}}
    tables |= {"git": {"sha": text, "dirty": True}, "phases": {text: 1.0}}
    info |= {field: tables.get(field, text) for field in FIELDS}
    (run / "run.json").write_text(json.dumps(info))
    row = {"attempt": 1, "step": 90, "time": 3.0, f"loss/{text}": {"nf": "nan"}, "loss/value": 1.0}
    (run / "metrics" / "live.jsonl").write_text(json.dumps(row) + "\n")
    config = (run / "config.toml").read_text().replace('id = "CartPole-v1"', f"id = {json.dumps(text)}", 1)
    (run / "config.toml").write_text(config if "\ud800" not in text else (run / "config.toml").read_text())
    return run


def steering(text):
    """Characters that steer what shows them; ends of lines and tabs do not."""
    return {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} | {
        c
        for c in text
        if unicodedata.bidirectional(c) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
    }


WORDS = {
    "list": lambda run: ["list", "runs", "--runs", str(run.parent)],
    "report": lambda run: ["report", str(run)],
    "compare": lambda run: ["compare", str(run), str(run.parent.parent / "other"), "--out", str(run.parent / "out")],
    "eval": lambda run: ["eval", str(run), "--episodes", "1"],
    "resume": lambda run: ["resume", str(run), "--to", "128"],
    "play": lambda run: ["play", str(run)],
    "export": lambda run: ["export", str(run), "--out", str(run.parent / "shared")],
    "reproduce": lambda run: ["reproduce", str(run), "--runs", str(run.parent / "again")],
    "train": lambda run: ["train", "ppo", str(run / "config.toml")],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entry", WORDS)
def test_nothing_steers_the_terminal(entry, kind, good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = hostile(good, tmp_path / "runs" / "run", KINDS[kind])
    shutil.copytree(good, tmp_path / "other", symlinks=True)
    assert main(WORDS[entry](run)) in (0, 1, 2, 3)
    said = capsys.readouterr()
    assert not steering(said.out + said.err)
    assert "Traceback" not in said.err
    assert not [p for p in tmp_path.rglob("*") if "tmp" in p.name]
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert not steering(text)
        assert "<script>document" not in text
        assert "<img src=x" not in text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["list", "compare"])
def test_honest_brackets_are_shown(entry, good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = hostile(good, tmp_path / "runs" / "run", "grid[4x4] [bold]wide[/bold]")
    shutil.copytree(good, tmp_path / "other", symlinks=True)
    assert main(WORDS[entry](run)) == 0
    assert "grid[4x4] [bold]wide[/bold]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("entry", ["report", "compare"])
def test_a_page_is_written_whatever_stands_in_it(entry, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = hostile(good, tmp_path / "runs" / "run", "".join(text for k, text in KINDS.items() if k != "length"))
    shutil.copytree(good, tmp_path / "other", symlinks=True)
    assert main(WORDS[entry](run)) == 0
    assert list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize(
    "entry", ["list algorithms", "config schema ppo", "train ppo --help", "config show ppo CartPole-v1"]
)
@pytest.mark.parametrize("way", ["ascii", "closed"])
def test_a_terminal_of_few_letters_or_none_is_written_to(entry, way):
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = f"{sys.executable} -m operant {entry}{' >&-' if way == 'closed' else ''}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=env)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert way == "closed" or done.stdout.isascii()


KINDS_OF_ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("entry", KINDS_OF_ERRORS)
def test_an_error_says_nothing_that_steers(entry):
    said = str(entry(f"there is no {''.join(KINDS.values())}"))
    assert not steering(said)
    assert "[/nope][link=" in said


@pytest.mark.parametrize("entry", ["clean"])
def test_every_character_that_steers_is_replaced_and_no_other(entry):
    from operant.config.text import REPLACED, clean

    every = [chr(n) for n in (*range(0x11000), *range(0x1F000, 0x20000), *range(0xE0000, 0xE0200))]
    for lines in (True, False):
        seen = clean("".join(every), lines=lines)
        kept = {c for c, its in zip(every, seen, strict=True) if c == its}
        assert not steering(kept)
        assert ("\n" in kept) == lines
    letters = "naïve 日本語 \N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}👩\u200d💻 शी\u200dर ± → ∞ e\u0301 \ue0b0"
    assert clean(letters) == letters
    assert clean("a\r\nb\x1b[2J") == f"a\nb{REPLACED}[2J"
    assert clean("a\nb\tc", lines=False) == f"a{REPLACED}b c"


def test_verbs_print_by_say_and_tell_alone():
    """So that what they print is cleaned; JSON for programs is ASCII, or goes to no terminal."""
    found = []
    for path in (SRC / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and path.name != "say.py":
                name = ast.unparse(node.func)
                if name == "print" or re.fullmatch(r"sys\.std(out|err)\.write", name):
                    found.append(f"{path.name}:{node.lineno}")
    assert {place.partition(":")[0] for place in found} <= {"sample.py", "seeds.py"}, found


def test_tables_take_cells_and_no_markup():
    for path in (SRC / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("table.add_row"):
                first = ast.unparse(node.args[0])
                assert "cell" in first, f"{path.name}:{node.lineno}: {first}"
