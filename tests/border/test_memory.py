"""What does not fit in memory: seen before it is begun, and told as that where it is not"""

import numpy as np
import pytest

from operant.cli import main as command_line
from operant.cli.main import main
from operant.config.errors import place_of


@pytest.mark.parametrize(
    "more",
    [["--algo.population", "999999999"], ["--algo.horizon", "999999999"], ["--algo.particles", "1000000"],
     ["--algo.population", "100000", "--algo.horizon", "100000"]],
)  # fmt: skip
def test_plans_that_do_not_fit_are_refused_before_a_run_begins(more, tmp_path, capsys):
    assert main(["train", "pets", "Pendulum-v1", *more, "--runs", str(tmp_path / "runs")]) == 2
    assert more[0].removeprefix("--algo.") in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [MemoryError("149 GiB"), RuntimeError("can't allocate memory: you tried to allocate 9 bytes"), MemoryError()],
)
def test_no_memory_is_told_in_a_line(error, monkeypatch, capsys):
    def greedy(_):
        raise error

    greedy.__code__ = greedy.__code__.replace(co_filename=command_line.__file__)
    monkeypatch.setitem(command_line.VERBS, "doctor", greedy)
    assert main(["doctor"]) == 1
    assert "there is not the memory for it" in capsys.readouterr().err


def test_a_library_in_another_language_is_no_persons_code():
    with pytest.raises((MemoryError, ValueError)) as found:
        np.random.default_rng(0).standard_normal((2**40, 2**20))
    error = found.value.with_traceback(found.value.__traceback__.tb_next)  # without this file
    assert place_of(error) is None
