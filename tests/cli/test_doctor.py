"""What `operant doctor` says of threads."""

import pytest
import torch

from operant.cli import doctor


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((0.001, 0.05), "two would hurt now: a gradient step of 256 units takes 1.0 ms with one and 50.0 ms with two"),
        ((0.002, 0.001), "two help networks that are so wide"),
        ((0.001, 0.001), "two do not help"),
    ],
)
def test_it_says_when_two_threads_would_hurt(times, words, monkeypatch):
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(doctor, "_step_time", lambda threads: times[threads - 1])
    row = doctor._threads()
    assert words in row["found"]
    assert ("--threads at 1" in row["found"]) == (times[1] > times[0])


def test_on_one_core_there_is_nothing_to_time(monkeypatch):
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(doctor, "_step_time", lambda threads: 1 / 0)
    assert "leave --threads at 1" in doctor._threads()["found"]


def test_threads_stay_as_they_were():
    before = torch.get_num_threads()
    assert all(doctor._step_time(count) > 0 for count in (1, 2))
    assert torch.get_num_threads() == before
