"""The pairs whose truth is known, the figures that the page states, and what hostile answers cost."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from language.reward import answers
from operant.language.reward.equivalence import equivalent

PAGE = Path(__file__).parents[3] / "docs" / "language" / "answers.md"
ROWS = answers.pairs()


def stated() -> dict[str, list[int]]:
    """The page's table: by kind its six figures."""
    rows = re.findall(r"^\| ([a-z ,]+) \|((?: \d+ \|){6})$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {kind: [int(figure) for figure in figures.split("|")[:-1]] for kind, figures in rows}


def test_the_pairs_are_many_and_of_many_kinds():
    assert len(ROWS) >= 300
    assert f"{len(ROWS)} pairs of our own" in PAGE.read_text(encoding="utf-8")
    assert len({(pair["gold"], pair["answer"]) for pair in ROWS}) == len(ROWS)
    assert len({pair["kind"] for pair in ROWS}) >= 20
    assert 0.4 < sum(pair["equal"] for pair in ROWS) / len(ROWS) < 0.6


@pytest.mark.parametrize("kind", sorted({pair["kind"] for pair in ROWS}))
def test_every_pair_gets_what_is_true(kind: str):
    wrong = [(p["gold"], p["answer"]) for p in ROWS if p["kind"] == kind and answers.ours(p) != p["equal"]]
    assert wrong == []


def test_the_page_states_the_figures():
    pytest.importorskip("math_verify")
    judged = [pair for pair in ROWS if pair["kind"] != "hostile"]  # those cost the library minutes
    mine, theirs, found = answers.count(answers.ours, ROWS), answers.count(answers.library, judged), stated()
    assert set(found) == set(mine)
    for kind, figures in found.items():
        rows = [pair for pair in ROWS if pair["kind"] == kind]
        equal = sum(pair["equal"] for pair in rows)
        assert figures[:4] == [equal, len(rows) - equal, *mine[kind]], kind
        assert kind == "hostile" or figures[4:] == [*theirs[kind]], kind


@pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="OPERANT_DATA names no folder of data sets")
def test_the_pairs_of_the_library_that_ours_differs_on_are_stated():
    rows, page = answers.library_pairs(), PAGE.read_text(encoding="utf-8")
    differ = [pair for pair in rows if answers.in_place(pair) != pair["equal"]]
    assert f"On {len(differ)} of the {len(rows)} pairs" in page
    assert [pair["answer"] for pair in differ if not pair["equal"]] == [r"-2 \\le x \\le 7"]


@pytest.mark.parametrize("text", [
    "9^{9^{9^{9}}}", "((((9!)!)!)!)!", "e^{e^{e^{e^{e^{9}}}}}", r"\binom{1000000000}{500000000}",
    "(" * 199 + "2" + ")" * 199,
    "{" * 199 + "2" + "}" * 199, "1+" * 199 + "1", "2^" * 199 + "1", "1," * 199 + "1",
    r"\frac{1}{" * 30 + "2" + "}" * 30,
    r"\sqrt{" * 60 + "2" + "}" * 60, "x^{" * 90 + "x" + "}" * 90, "|" * 300, r"\sin " * 70 + "1",
    r"(x+1)^{9999}(y+2)^{9999}",
    r"\pm" * 100 + "1", "1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1\\pm1",
    r"\text{" * 60 + "a" + "}" * 60, "=".join("x" * 150),
    "<".join("x" * 150), r"\begin{pmatrix}" + "1&" * 150 + r"1\end{pmatrix}",
    ",".join(rf"\sqrt{{{n}}}" for n in range(2, 39)),
    "9" * 399, "1e999", r"10^{10^{10}}", r"\sqrt[1000000000]{2}", r"(1+10^{-99})^{10^{9}}", r"\log_{2} 2^{99999}",
    r"\ln\ln\ln\ln\ln 2",
    r"\tan 10^{99999}", "a" * 400, r"\alpha" * 80, "5" + "!" * 200, r"\lfloor" * 50 + "2" + r"\rfloor" * 50,
])  # fmt: skip
def test_a_hostile_answer_costs_little_and_pays_nothing(text: str):
    start = time.process_time()
    assert not equivalent("7", text)
    assert not equivalent(r"\sqrt{7}x^2+\sin y", text)
    assert time.process_time() - start < 2.0
