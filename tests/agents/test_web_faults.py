"""Faults in a browser, two of each kind: nothing is lost, scored that the world broke, or left open."""

import importlib.util
import sys
from pathlib import Path

import pytest

from operant.agents.web.browser import browser_path

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("transformers")
if importlib.util.find_spec("miniwob") is None or browser_path() is None:
    pytest.skip("no browser is installed", allow_module_level=True)
if not Path("/proc/self/stat").exists():
    pytest.skip("processes are looked for in /proc", allow_module_level=True)

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_two_of_each_fault_cost_no_episode(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import web_faults

    monkeypatch.setattr(web_faults.tabs_module, "ACTING", 6.0)
    found = web_faults.run(2 * len(web_faults.KINDS), flight=4, seed=0)
    sys.modules.pop("web_faults")
    assert found["kinds"] == dict.fromkeys(web_faults.KINDS, 2)
    assert found["causes"] == {"success": 14}, found["notes"]
    assert (found["lost"], found["zero"]) == (0, 0)
    assert found["again"] >= 4  # a killed browser and a page that hangs each end an attempt
    assert found["contexts_left"] == 0
