"""The page of a run: whole at any stage, closed to the network, honest about what is missing or not finite."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operant.config.errors import ConfigError, OperantError
from operant.config.resolve import dump, resolve
from operant.data.stats import bootstrap_ci, iqm
from operant.view import page as view_page
from operant.view.diagnostics import DIAGNOSTICS, of_tokens
from operant.view.formatting import number
from operant.view.page import command
from operant.view.report import write_report
from view.synthetic import rows, write_run

VOID = {"meta", "br", "img", "path", "link", "input", "hr"}
GOING: dict[str, Any] = {
    "status": "started",
    "evaluation": None,
    "seconds": None,
    "ended": None,
    "phases": {},
    "steps": 0,
}


class Page(HTMLParser):
    """A page taken apart: text by section, scripts, attributes; every tag must be closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {"": ""}
        self.scripts: list[str] = []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "h2":
            self.sections["?"] = ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in {"td", "th", "dt", "dd", "li"}:
            self.sections[list(self.sections)[-1]] += " "
        if tag == "h2":
            self.sections[self.sections.pop("?").strip()] = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.sections[list(self.sections)[-1]] += re.sub(r"\s+", " ", data)

    def paths(self, kind: str) -> list[str]:
        """The path strings of one kind of layer."""
        return [str(at["d"]) for tag, at in self.tags if tag == "path" and at["class"] == kind]


@pytest.fixture
def returns() -> list[float]:
    return np.random.default_rng(1).normal(231.4, 60.0, size=100).tolist()


def test_a_finished_run_has_every_part_in_order(tmp_path: Path, returns: list[float]) -> None:
    evals = {50_000: [1.0, 2.0, 3.0], 100_352: returns}
    run = write_run(tmp_path / "run", metrics=rows(), sealed=30, evals=evals, films=1)
    path = write_report(run)
    page = Page(path)
    assert path == run / "report.html"
    assert list(page.sections) == [
        "",
        "Learning curve",
        "Video",
        "Diagnostics",
        "Evaluation",
        "Where the time went",
        "Configuration",
        "Environment and software",
        "Attempts",
    ]
    head = page.sections[""]
    low, high = bootstrap_ci(returns)
    for words in (
        "LunarLander-v3",
        "PPO · seed 3",
        "finished",
        number(float(np.mean(returns))),
        number(iqm(returns)),
        f"95 % interval {number(low)} to {number(high)}",
        "100,352",
        "24.3 s",
        "4,128 steps/s",
        "Measured on 100 episodes, deterministic actions, seeds from 1000003.",
    ):
        assert words in head
    assert "finite" not in head
    assert "operant train ppo LunarLander-v3 --algo.lr 0.001 --seed 3" in page.sections["Environment and software"]
    assert "torch 2.10.0" in page.sections["Environment and software"]
    assert "learn 11.2 s 46 %" in page.sections["Where the time went"]
    assert "everything else 0.6 s" in page.sections["Where the time went"]


def test_the_page_needs_nothing_and_runs_nothing_but_its_own_script(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "run", metrics=rows(), films=1)))
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "poster"):
            assert not attributes.get(name) or str(attributes[name]).startswith("data:video/mp4;base64,"), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\(|https?://", page.source)
    policy = next(str(a["content"]) for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_the_film_in_the_page_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", metrics=rows(), films=2)
    films = sorted((run / "videos").glob("*.mp4"))
    page = Page(write_report(run))
    embedded = [str(a["src"]).split(",")[1] for tag, a in page.tags if tag == "video"]
    assert [base64.b64decode(film) for film in embedded] == [film.read_bytes() for film in reversed(films)]
    assert "Step 100,000 · seed 1000003 · return 231.4" in page.sections["Video"]
    monkeypatch.setattr(view_page, "EMBEDDED", films[1].stat().st_size)
    page = Page(write_report(run))
    assert sum(tag == "video" for tag, _ in page.tags) == 1
    assert [a["href"] for tag, a in page.tags if tag == "a"] == [f"videos/{films[0].name}"]


def test_what_comes_from_files_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    metrics = rows(3)
    metrics[0][f"loss/{evil}"] = math.nan
    info = {
        "env": evil,
        "algorithm": evil,
        "id": evil,
        "status": "failed",
        "error": evil,
        "preset": evil,
        "argv": ["operant", "train", evil],
        "host": {"platform": evil, "cpu": evil, "cores": 2, "python": evil},
        "packages": {evil: evil},
        "phases": {evil: 3.0},
        "attempts": [{"attempt": evil, "started": evil, "ended": evil}],
        "started": evil,
    }
    quoted = json.dumps(evil)
    config = f"[env]\nid = {quoted}  # {evil}\n{quoted} = 1  # command line\n"
    run = write_run(tmp_path / "run", info=info, metrics=metrics, config=config, films=1)
    film = next((run / "videos").glob("*.mp4"))
    film.rename(film.with_name("<script>x.mp4".replace("/", "")))
    page = Page(write_report(run))
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in page.tags)
    for section in ("", "Diagnostics", "Where the time went", "Configuration", "Environment and software", "Attempts"):
        assert "<script>alert(1)</script>" in page.sections[section], section


def test_the_pointer_reads_an_evaluation_only_where_there_is_one(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "run", metrics=rows(), evals={51_200: [3.0, 5.0]})))
    hover = next(json.loads(str(a["data-hover"])) for _, a in page.tags if "data-hover" in a)
    names, values = zip(*hover["rows"], strict=True)
    assert names == ("return", "smoothed", "evaluation")
    read = {step: value for step, value in zip(hover["step"], values[2], strict=True) if value is not None}
    assert read == {51_200: 4.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_listed_and_marked_and_leaves_a_gap(tmp_path: Path, bad: float) -> None:
    clean = Page(write_report(write_run(tmp_path / "clean", metrics=rows(), config=None)))
    metrics = rows()
    for name in ("train/return", "policy/kl", "loss/policy"):
        metrics[20][name] = bad
    page = Page(write_report(write_run(tmp_path / "run", metrics=metrics, sealed=10)))
    assert clean.paths("bad") == []
    assert len(page.paths("bad")) == 3  # one chart each, and loss/policy has a chart because it went wrong
    for name in ("train/return", "policy/kl", "loss/policy"):
        assert f"{name} 1 × {number(bad)} in" in page.sections[""]
    assert "at step 43,008" in page.sections[""]
    for kind in ("raw", "smooth"):
        assert [path.count("M") for path in clean.paths(kind)] == [1]
        assert [path.count("M") for path in page.paths(kind)] == [2]


def test_a_return_that_is_not_finite_is_no_secret(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics=rows(), evals={100_352: [1.0, 2.0, math.nan, 4.0]})
    page = Page(write_report(run))
    assert "returns of the evaluation at step 100,352 1 × NaN in 4 values" in page.sections[""]
    assert "Interquartile mean NaN" in page.sections[""]
    assert "1 of 4 returns are not finite" in page.sections["Evaluation"]
    assert len(page.paths("bad")) == 1


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", info=GOING, config=None)
    (run / "run.json").write_text(json.dumps({"schema_version": 1, "id": "x", "status": "started"}))
    page = Page(write_report(run))
    assert "still going, or was killed" in page.sections[""]
    assert "not evaluated" in page.sections[""]
    assert "nothing to draw yet" in page.sections["Learning curve"]
    assert "No video" in page.sections["Video"]
    assert "No metric" in page.sections["Diagnostics"]
    assert "No evaluation" in page.sections["Evaluation"]
    assert "no config.toml" in page.sections["Configuration"]


def test_a_run_in_progress_leaves_room_for_what_is_to_come(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "run", info=GOING, metrics=rows(10))))
    xs = [float(x) for x in re.findall(r"[ML](\d+\.\d) ", page.paths("smooth")[0])]
    assert max(xs) == pytest.approx(204.8, abs=0.2)  # 20,480 of 100,000 steps
    assert "20,480" in page.sections[""]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"status": "interrupted"}, "This run was interrupted."),
        ({"status": "failed", "error": "policy/kl became NaN"}, "This run failed.policy/kl became NaN"),
    ],
)
def test_a_run_that_did_not_finish_says_so(tmp_path: Path, info: dict[str, Any], words: str) -> None:
    page = Page(write_report(write_run(tmp_path / "run", info=GOING | info, metrics=rows(5))))
    assert words in page.sections[""]


def test_only_evaluations_and_no_training_return(tmp_path: Path) -> None:
    metrics = [{k: v for k, v in row.items() if k != "train/return"} for row in rows(4)]
    metrics[1] |= {"eval/return_mean": 5.0, "eval/return_std": 1.0, "eval/return_iqm": 4.5, "eval/episodes": 10}
    page = Page(write_report(write_run(tmp_path / "run", info={"evaluation": None}, metrics=metrics)))
    assert "No training episode had ended" in page.sections["Learning curve"]
    assert (page.paths("raw"), len(page.paths("dot")), len(page.paths("whisker"))) == ([], 1, 1)
    assert "evaluation at step 4,096" in page.sections[""]
    assert "4.50" in page.sections["Evaluation"]


def test_equal_returns_are_said_and_not_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics=rows(), evals={100_352: [500.0] * 100})
    page = Page(write_report(run))
    assert "All 100 episodes returned 500." in page.sections["Evaluation"]
    assert page.paths("bar") == []


def test_the_histogram_counts_every_episode(tmp_path: Path, returns: list[float]) -> None:
    page = Page(write_report(write_run(tmp_path / "run", metrics=rows(), evals={100_352: returns})))
    tops = [1000 - float(y) for y in re.findall(r"V(\d+\.\d)H", page.paths("bar")[0])]
    counts = np.histogram(returns, bins=20)[0]
    assert np.allclose(tops, counts[counts > 0] / counts.max() * 1000 / 1.08, atol=0.1)
    assert page.paths("rug")[0].count("M") == 100


def test_resumed_attempts_are_visible(tmp_path: Path) -> None:
    attempts = [
        {"attempt": 1, "started": "2026-01-05T10:15:00Z", "ended": None},
        {"attempt": 2, "started": "2026-01-05T11:15:00Z", "ended": "2026-01-05T11:20:00Z"},
    ]
    metrics = rows(25) + rows(29, attempt=2, begin=20 * 2048, seed=4)
    page = Page(write_report(write_run(tmp_path / "run", info={"attempts": attempts}, metrics=metrics)))
    assert len(page.paths("attempt")) == 1
    assert page.paths("redone")[0].count("L") == 4
    assert page.paths("raw")[0].count("L") == 46
    assert "resumed" in page.sections["Learning curve"]
    assert "not ended" in page.sections["Attempts"]


def test_settings_that_were_chosen_come_first_with_where_they_came_from(tmp_path: Path) -> None:
    text = Page(write_report(write_run(tmp_path / "run"))).sections["Configuration"]
    chosen = ("algo.lr 0.001 command line", "env.num 8 preset lunarlander", "[64, 64] settings/mine.toml:7")
    for row in (*chosen, "algo.anneal false command line"):
        assert text.index(row) < text.index("settings at their default")
    assert max(map(text.index, (chosen[0], chosen[2], "algo.anneal"))) < text.index(chosen[1])  # the preset's come last
    for row in ("total_steps 100000", "algo.horizon 256", "env.kwargs {}", "algo.whiten true"):
        assert text.index(f"{row} default") > text.index("4 settings at their default")


def test_a_config_that_is_no_toml_is_said(tmp_path: Path) -> None:
    text = Page(write_report(write_run(tmp_path / "run", config="= = ="))).sections["Configuration"]
    assert "config.toml cannot be read" in text


def test_every_diagnostic_is_drawn_with_its_range(tmp_path: Path) -> None:
    metrics = rows()
    for row in metrics:
        row["policy/std"] = 0.6
        for diagnostic in DIAGNOSTICS:  # those of other kinds of algorithm
            row.setdefault(diagnostic.metric, 0.5 * ((diagnostic.low or 0.0) + (diagnostic.high or 1.0)))
    page = Page(write_report(write_run(tmp_path / "run", metrics=metrics)))
    text = page.sections["Diagnostics"]
    for row in DIAGNOSTICS:
        assert row.title in text
        assert row.meaning in text
        assert of_tokens(row, once=False).advice in text  # completions were measured
    bands = [a for tag, a in page.tags if tag == "i" and a.get("class") == "band"]
    assert len(bands) == sum(row.low is not None for row in DIAGNOSTICS)
    assert "100 % in 0–0.02" in text
    kl = re.fullmatch(r"top:([\d.]+)%;height:([\d.]+)%", str(bands[0]["style"]))  # from 0.02 down to 0, of 0.0212
    assert kl is not None
    assert [float(g) for g in kl.groups()] == pytest.approx([5.66, 94.34], abs=0.01)
    assert 'class="outside"' not in page.source


def test_one_step_on_a_batch_of_completions_clips_nothing_and_is_no_fault(tmp_path: Path) -> None:
    metrics = rows()
    for row in metrics:
        row |= {"completion/length": 3.5, "policy/kl": 1e-12, "policy/clip_fraction": 0.0}
    page = Page(write_report(write_run(tmp_path / "run", metrics=metrics)))
    assert "100 % in 0–0.3" in page.sections["Diagnostics"]
    assert "algo.target_kl" not in page.sections["Diagnostics"]
    assert 'class="outside"' not in page.source
    metrics[3]["policy/kl"] = 1e-3
    page = Page(write_report(write_run(tmp_path / "several", metrics=metrics)))
    assert "outside 0.02–0.3" in page.sections["Diagnostics"]


def test_a_diagnostic_outside_its_range_is_said_and_what_is_far_stays_on_the_page(tmp_path: Path) -> None:
    metrics = rows()
    for row in metrics[30:]:
        row["policy/kl"] = 0.5
    metrics[40]["grad/norm"] = 4e7
    page = Page(write_report(write_run(tmp_path / "run", metrics=metrics)))
    assert "outside 0–0.02" in page.sections["Diagnostics"]
    assert sum(tag == "article" and a.get("class") == "outside" for tag, a in page.tags) == 1
    assert "1 beyond the frame, as far as 40,000,000" in page.sections["Diagnostics"]
    assert len(page.paths("edge")) == 1
    norm = page.paths("line")[[row.metric for row in DIAGNOSTICS if row.metric in metrics[0]].index("grad/norm")]
    heights = [float(y) for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", norm)]
    assert (min(heights), len(heights)) == (0.0, len(metrics))  # the line goes to the edge, not across the page


def test_a_long_run_makes_a_small_page(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run", metrics=rows(6000, per=100), sealed=6000))
    assert page.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (
            ["operant", "train", "ppo", "A v", "--set", "{'a': 1}"],
            """operant train ppo 'A v' --set '{'"'"'a'"'"': 1}'""",
        ),
        (["__main__.py", "train", "ppo", "X"], "operant train ppo X"),
        (["script.py", "fast"], "script.py fast"),
        ([], ""),
    ],
)
def test_the_command_to_run_it_again(argv: list[str], text: str) -> None:
    assert command(argv) == text


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run folder"):
        write_report(tmp_path)
    run = write_run(tmp_path / "run")
    (run / "run.json").write_text("{")
    with pytest.raises(OperantError, match="damaged"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_the_config_that_the_config_room_writes_has_a_source_for_every_key(tmp_path: Path) -> None:
    resolved = resolve("ppo", "CartPole-v1", overrides={"algo.lr": "0.01", "env.kwargs": "{a = true}"})
    text = Page(write_report(write_run(tmp_path / "run", config=dump(resolved)))).sections["Configuration"]
    assert "algo.lr 0.01 command line" in text
    assert "not said" not in text
