"""What the pages name is there: files of the repository, and the tests that hold a promise."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
PAGES = [p for p in (*HERE.glob("*.md"), *(HERE / "docs").rglob("*.md")) if "reference" not in p.parts]
FILE = re.compile(r"(?<![\w/.-])(?:tests|bench|examples|src/operant|docs)/[\w/.-]*\w\.(?:py|md|jsonl|ipynb)\b")
TEST = re.compile(r"`(?:tests/[\w/]*\.py::)?(test_\w+)`")


def names_in_the_suite():
    for path in (HERE / "tests").rglob("test_*.py"):
        yield path.stem
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(HERE)))
def test_the_files_that_a_page_names_exist(page):
    named = {m.group(0) for m in FILE.finditer(page.read_text(encoding="utf-8"))}
    if page.name in ("log.md", "CHANGELOG.md"):
        return  # both tell what was
    elsewhere = {"docs/rl-algorithms/ppo.md", "src/operant/control/NAME.py"}  # CleanRL's, and whatever a reader writes
    assert [name for name in sorted(named - elsewhere) if not (HERE / name).exists()] == []


def test_the_tests_that_pages_name_exist():
    known = set(names_in_the_suite())
    named = {(m.group(1), page.name) for page in PAGES for m in TEST.finditer(page.read_text(encoding="utf-8"))}
    assert len(named) > 50
    assert [pair for pair in sorted(named) if pair[0] not in known] == []
