"""A newcomer's own environment with a fault in it: checked, trained into the fault, mended, and gone on with."""

import json
import re

from first_hour.terminal import shown

CART = '''"""A cart written in an evening: its third sensor gives out."""

import gymnasium as gym


class Cart(gym.Wrapper):
    def __init__(self):
        super().__init__(gym.make("CartPole-v1", render_mode="rgb_array"))
        self.steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == FAULT:
            speed = {"wheel": 1.0}["speed"]
        return super().step(action)


def make():
    return Cart()
'''
SHORT = "--total-steps 4096 --env.num 4 --algo.horizon 128 --algo.batch 128 --eval.episodes 4"


def test_a_fault_is_named_by_its_line_and_costs_nothing_that_was_learnt(tmp_path):
    cart = tmp_path / "cart.py"
    cart.write_text(CART.replace("FAULT", "150"))
    line = 1 + CART[: CART.index("speed = ")].count("\n")
    seen = shown("operant env check cart.py:make", tmp_path)
    assert seen.code == 3
    assert "KeyError: 'speed'" in seen, str(seen)
    assert f"cart.py:{line})" in seen, str(seen)

    cart.write_text(CART.replace("FAULT", "700"))
    seen = shown(f"operant train ppo cart.py:make {SHORT}", tmp_path)
    assert seen.code == 3, str(seen)
    assert "copy 0, step 700: step() raised KeyError: 'speed'" in seen, str(seen)
    assert f"cart.py:{line})" in seen, str(seen)
    assert "Kept: step 2,560." in seen, str(seen)
    assert "Traceback (most" not in seen, str(seen)
    (run,) = (tmp_path / "runs").iterdir()
    assert f"operant resume runs/{run.name}" in seen, str(seen)
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    (log,) = (run / "logs").iterdir()
    assert "Traceback (most" in log.read_text()

    cart.write_text(CART.replace("FAULT", "-1"))
    seen = shown("operant resume last", tmp_path)
    assert seen.code == 0, str(seen)
    assert "cart.py, differs" in seen, str(seen)  # it says what is no longer as it was
    assert "from step 2,560" in seen, str(seen)
    info = json.loads((run / "run.json").read_text())
    assert (info["status"], info["steps"]) == ("finished", 4096)
    assert list((run / "videos").glob("*.mp4"))
    assert (run / "report.html").is_file()


def test_training_shows_how_it_goes(tmp_path):
    longer = SHORT.replace("4096", "20480") + " --no-save.videos --no-save.report"
    seen = shown(f"operant train ppo CartPole-v1 {longer}", tmp_path)
    assert seen.code == 0, str(seen)
    panels = [screen for screen in seen.screens if "speed" in screen]
    assert panels, "the panel never showed"
    whole = [panel for panel in panels if re.search(r"KL.*entropy", panel.replace("\n", " "))]
    assert whole, panels[-1]  # some are seen half drawn
