"""Logs that grow a line at a time: a kill, a full disk or an editor costs no row but the one that was being written"""

import json
import os

import pytest

from operant.cli.main import main
from operant.config.errors import ConfigError, DiskError
from operant.run.log import append_log, read_log, rewrite_log

KINDS = {"arm": (str,), "seed": (int,), "metrics": (dict,)}
ROW = {"arm": "a", "seed": 1, "metrics": {"x": 1.0}}
LINE = (json.dumps(ROW) + "\n").encode()

LEFT = {
    "nothing": (None, 0), "an empty file": (b"", 0), "a whole line": (LINE, 1), "no end of a line": (LINE[:-1], 1),
    "half a line": (LINE + LINE[:20], 1), "half a first line": (LINE[:9], 0), "a letter of a line": (LINE + b"{", 1),
    "ends of lines of another system": (LINE.replace(b"\n", b"\r\n"), 1),
}  # fmt: skip


@pytest.mark.parametrize("left", LEFT)
def test_what_is_appended_stands_on_a_line_of_its_own(left, tmp_path):
    data, whole = LEFT[left]
    log = tmp_path / "rows.jsonl"
    if data is not None:
        log.write_bytes(data)
    assert read_log(log, KINDS) == [ROW] * whole
    append_log(log, ROW, ROW)
    assert read_log(log, KINDS) == [ROW] * (whole + 2)


BROKEN = {
    "no JSON before the end": (b"{\n" + LINE, "rows.jsonl:1"), "a list": (LINE + b"[1]\n", "rows.jsonl:2"),
    "without a seed": (b'{"arm": "a", "metrics": {}}\n', "there is no seed"),
    "a seed as a text": (LINE.replace(b"1,", b'"1",'), "seed is str"),
    "an arm as a list": (LINE.replace(b'"a"', b"[1]"), "arm is list"),
    "a metric as a text": (LINE.replace(b"1.0", b'"a"'), "metrics holds what is str"),
    "another encoding": (LINE.decode().encode("utf-16"), "UTF-16"), "zeros": (b"\0" * 9 + b"\n", "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_row_that_is_none_is_told_with_its_line_and_nothing_is_written(how, tmp_path):
    data, why = BROKEN[how]
    log = tmp_path / "rows.jsonl"
    log.write_bytes(data)
    with pytest.raises(ConfigError, match=why):
        read_log(log, KINDS)
    assert log.read_bytes() == data


def test_a_disk_without_room_takes_no_half_of_a_row(tmp_path, monkeypatch):
    from operant.run import log as module

    log = tmp_path / "rows.jsonl"
    log.write_bytes(LINE)

    class Full:
        def __init__(self, file):
            self.fileno, self.truncate = file.fileno, file.truncate
            self.write = lambda data: file.write(data[:9])

    whole = module.append_whole
    monkeypatch.setattr(module, "append_whole", lambda file, data: whole(Full(file), data))
    with pytest.raises(DiskError, match="No space left"):
        append_log(log, ROW)
    assert log.read_bytes() == LINE
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskError):
        rewrite_log(log, [])
    assert log.read_bytes() == LINE


@pytest.mark.parametrize("more", [["--seeds", "100"], ["--runs", "afile"], ["--runs", "afile/inside"]])
def test_a_recipe_is_told_in_a_line_what_it_cannot_do(more, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("precious")
    assert main(["recipe", "run", "general-problem-solver", "--miniature", *more]) in (2, 5)
    assert "error: " in capsys.readouterr().err
    assert (tmp_path / "afile").read_text() == "precious"


@pytest.mark.parametrize("seeds", [0, -1, 4])
def test_a_recipe_has_the_seeds_it_has(seeds, tmp_path):
    from operant.recipes import run

    with pytest.raises(ConfigError, match="has the seeds 1, 2, 3"):
        run("general-problem-solver", seeds=seeds, runs=tmp_path)
