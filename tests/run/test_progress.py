import io

import pytest
from rich.console import Console

from operant.config.values import duration
from operant.run import progress as module
from operant.run.progress import progress, sparkline


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (12_000, "3 h 20 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_sparkline_scales_and_averages():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(list(range(100)), 40)) <= 40
    assert sparkline([float("nan")], 8) == ""
    assert sparkline([3.0, 3.0], 8) == "▁▁"


def test_off_a_terminal_there_are_plain_lines_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 31.0, 31.0, 31.0, 40.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("ppo X", 1000) as tell:
        tell(100, {"train/return": 5.0}, {})
        tell(310, {}, {})
        tell(400, {}, {})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["ppo X: 310 of 1,000 steps, 10 steps/s, return 5.0, 1 min 09 s left"]


def test_the_panel_shows_steps_speed_return_and_phases():
    panel = module._Panel("ppo X", module._Clock(1000))
    panel.returns = [1.0, 2.0]
    out = io.StringIO()
    metrics = {"policy/kl": 0.01, "policy/entropy": 0.5}
    Console(file=out, width=80).print(panel.panel(250, metrics, {"collect": 3.0, "learn": 1.0}))
    for text in ("ppo X", "250", "return", "2.0", "collect 75%", "learn 25%", "left", "0.0100"):
        assert text in out.getvalue()
