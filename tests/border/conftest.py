"""What is counted at the border: a file is a kind of fault, a test in it a mechanism, its parameter `entry` an entry point.

A pair of mechanism and entry point counts once, however many inputs it is tried with; a test without `entry` is one pair.
"""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOUND = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser):
    parser.addoption("--border-json", help="write what each pair came to into this file")


def pytest_configure(config):
    config.stash[FOUND] = {}


def pair_of(item) -> str:
    """`kind::mechanism[entry]` of a test."""
    entry = "" if not hasattr(item, "callspec") else item.callspec.params.get("entry", "")
    name = getattr(entry, "__name__", entry)
    return f"{item.path.stem.removeprefix('test_')}::{item.originalname.removeprefix('test_')}[{name}]"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if HERE in item.path.parents and (report.failed or report.skipped or report.when == "call"):
        found = item.config.stash[FOUND]
        worst = {"failed": 2, "passed": 1, "skipped": 0}
        before = found.get(pair_of(item), "skipped")
        found[pair_of(item)] = max(before, report.outcome, key=lambda outcome: worst[outcome])


def pytest_sessionfinish(session):
    if path := session.config.getoption("--border-json"):
        Path(path).write_text(json.dumps(session.config.stash[FOUND], indent=0, sort_keys=True))
