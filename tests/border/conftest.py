"""What is counted at the border: a file is a kind of fault, a test a mechanism, its parameter `entry` an entry point.

A pair of mechanism and entry point counts once, however many inputs it is tried with; a test without `entry` is one
pair.
"""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WORST = {"skipped": 0, "passed": 1, "failed": 2}


class Pairs:
    """What each pair came to; the worst of its inputs counts."""

    def __init__(self):
        self.outcomes = {}

    def pytest_runtest_logreport(self, report):
        told = dict(report.user_properties)
        if "border" in told and (report.when == "call" or report.outcome != "passed"):
            before = self.outcomes.get(told["border"], "skipped")
            self.outcomes[told["border"]] = max(before, report.outcome, key=WORST.get)

    def pytest_sessionfinish(self, session):
        if path := session.config.getoption("--border-json"):
            Path(path).write_text(json.dumps(self.outcomes, indent=0, sort_keys=True), encoding="utf-8")


def pytest_addoption(parser):
    parser.addoption("--border-json", help="write what each pair came to into this file")


def pytest_configure(config):
    if config.getoption("--border-json", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Pairs(), "border-pairs")


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A finished run of PPO on CartPole; to be copied, and left as it is."""
    from operant.cli.main import main

    runs = tmp_path_factory.mktemp("good")
    words = ["train", "ppo", "CartPole-v1", "--runs", str(runs), "--env.num", "2", "--algo.horizon", "16"]
    words += ["--algo.batch", "16", "--algo.epochs", "1", "--policy.hidden", "8", "--eval.episodes", "1"]
    assert main([*words, "--total-steps", "64", "--no-save.videos", "--no-save.report"]) == 0
    (run,) = runs.iterdir()
    return run


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Note the test's pair: `kind::mechanism[entry]`."""
    entry = item.callspec.params.get("entry", "") if hasattr(item, "callspec") else ""
    name = getattr(entry, "__name__", entry)
    kind, mechanism = item.path.stem.removeprefix("test_"), item.originalname.removeprefix("test_")
    item.user_properties.append(("border", f"{kind}::{mechanism}[{name}]"))
