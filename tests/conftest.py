import atexit
import os
import shutil
import sys
import tempfile

import pytest
import torch

torch.set_num_threads(1)  # two workers share two cores, and small products are fastest on one

STATE = tempfile.mkdtemp(prefix="operant-state-")
os.environ["XDG_STATE_HOME"] = STATE  # the key that marks runs; not that of who runs the tests
atexit.register(shutil.rmtree, STATE, ignore_errors=True)


BEFORE = pytest.StashKey[list[str]]()


def pytest_collection_finish(session):
    session.config.stash[BEFORE] = [*sys.path]


@pytest.fixture(autouse=True)
def _folders_of_imports(monkeypatch, request):
    """A file's folder is on the path once the file was run: no test has another's, nor that of another's fixtures."""
    monkeypatch.setattr(sys, "path", [*request.config.stash[BEFORE]])
