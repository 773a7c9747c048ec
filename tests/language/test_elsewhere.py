"""Every loop on a language model, on an accelerator that is pretended, and some in bfloat16.

What the pretended one shows: no tensor of the CPU meets one of the device, and the numbers are those of the CPU.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

SCRIPT = Path(__file__).resolve().parents[1] / "reference" / "language_loops.py"


ON = ("cpu:float32", "elsewhere:float32", "cpu:bfloat16")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By device and type, the last metrics of each loop."""
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path_factory.mktemp("loops")), *ON]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [line for line in lines if "error" in line]
    return {on: {line["loop"]: line for line in lines if line["on"] == on} for on in ON}


def pairs(found, on):
    assert len(found[on]) == {"elsewhere:float32": 12, "cpu:bfloat16": 5}[on]
    for loop, there in found[on].items():
        here = found["cpu:float32"][loop]
        assert here.keys() == there.keys()
        yield loop, here, there


@pytest.mark.spread(0)
def test_on_another_device_every_loop_computes_what_it_does_on_a_cpu(found):
    for loop, here, there in pairs(found, "elsewhere:float32"):
        for name in here.keys() - {"loop", "on"}:
            assert math.isclose(here[name], there[name], rel_tol=1e-3, abs_tol=1e-5), (loop, name)


def test_loops_run_in_bfloat16(found):
    for loop, here, there in pairs(found, "cpu:bfloat16"):
        for name in here.keys() & {"loss/nll", "loss/preference", "loss/step"}:
            assert math.isclose(here[name], there[name], rel_tol=0.02), (loop, name)
        assert there.get("sampler/mismatch", 0.0) < 1e-3
