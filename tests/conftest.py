import atexit
import os
import shutil
import sys
import tempfile
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read as torch is imported: threads wait asleep

import pytest
import torch

torch.set_num_threads(1)  # two workers share two cores, and small products are fastest on one

STATE = tempfile.mkdtemp(prefix="operant-state-")
os.environ["XDG_STATE_HOME"] = STATE  # the key that marks runs; not that of who runs the tests
atexit.register(shutil.rmtree, STATE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _one_thread():
    """A run in this process sets its own number, which the tests behind it do not inherit."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _environment():
    """Nor the variables: which library MuJoCo draws with, say, which its workers would look for."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True, scope="module")
def _folders_of_fixtures():
    """A file's folder is on the path once the file was run: no module has those of another's fixtures."""
    before = [*sys.path]
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def _folders_of_imports(monkeypatch):
    """Nor a test those of another."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def pytest_addoption(parser):
    parser.addoption("--every-case", action="store_true", help="run every case of the tests that are marked spread")


def pytest_collection_modifyitems(config, items):
    """Names are the same in every process, or two workers cannot share the suite; of many cases some are run."""
    named = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if named:
        raise pytest.UsageError(f"tests named by where an object lies in memory, leave out ids=str: {named}")
    if not config.getoption("every_case") and not any("::" in word for word in config.args):
        left = _left_out(items)
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _left_out(items):
    """Of the cases of a test that is marked `spread(n)` all but n, as far from one another as they can stand."""
    cases = {}
    for item in items:
        mark = item.get_closest_marker("spread")
        if mark is not None:
            cases.setdefault((item.path, item.originalname, *mark.args), []).append(item)
    return {
        item
        for (*_, n), mine in cases.items()
        for place, item in enumerate(mine)
        if place not in {round(k * (len(mine) - 1) / max(n - 1, 1)) for k in range(n)}
    }
