"""The difference between two loops is the explanation of the second, so it stays short and is shown in the docs.

python tests/language/learn/test_diffs.py    # write the differences into the pages again
"""

from __future__ import annotations

import ast
import difflib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "operant"
FILES = {
    "ppo": PACKAGE / "control" / "ppo.py",
    "rlhf": PACKAGE / "language" / "learn" / "rlhf.py",
    "grpo": PACKAGE / "language" / "learn" / "grpo.py",
}
DIFFS = [("ppo", "rlhf", 70), ("rlhf", "grpo", 60)]
"""From, to, and the bar on lines removed and added."""


def loop(name: str) -> list[str]:
    """The generator of an algorithm and its update, without docstrings and blank lines."""
    text = FILES[name].read_text()
    lines, kept = text.splitlines(), list[str]()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name in (name, "_update", "_loss"):
            first = node.body[0]
            assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)  # noqa: PT018
            kept += lines[node.lineno - 1 : first.lineno - 1] + lines[first.end_lineno : node.end_lineno]
    return [line for line in kept if line.strip()]


def shown(old: str, new: str) -> str:
    """The difference as the pages show it."""
    return "\n".join(difflib.unified_diff(loop(old), loop(new), f"{old}.py", f"{new}.py", n=2, lineterm=""))


def page(new: str) -> tuple[Path, re.Pattern[str]]:
    """Where a difference is shown."""
    block = re.compile(r"(?<=^```diff\n).*?(?=\n```$)", re.DOTALL | re.MULTILINE)
    return ROOT / "docs" / "language" / f"{new}.md", block


@pytest.mark.parametrize(("old", "new", "bar"), DIFFS)
def test_the_difference_is_short(old: str, new: str, bar: int) -> None:
    matcher = difflib.SequenceMatcher(None, loop(old), loop(new), autojunk=False)
    changed = sum(b - a + d - c for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")
    assert 0 < changed <= bar
    assert sum(line[0] in "+-" for line in shown(old, new).splitlines()[2:]) <= bar


@pytest.mark.parametrize(("old", "new", "bar"), DIFFS)
def test_the_difference_is_shown_on_its_page(old: str, new: str, bar: int) -> None:
    place, block = page(new)
    (found,) = block.findall(place.read_text())
    assert found == shown(old, new), f"run: python {Path(__file__).relative_to(ROOT)}"


def test_all_three_estimate_advantages_with_the_same_words() -> None:
    """One line is that of PPO to the letter in RLHF, and in GRPO but for γ, λ and the scale."""
    line = "adv = gae(reward, value, terminated, truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)"
    assert all(f"        {line}" in loop(name) for name in ("ppo", "rlhf"))
    assert f"        adv = scale({line[6:].replace('cfg.discount', '1.0').replace('cfg.lam', '1.0')})" in loop("grpo")


if __name__ == "__main__":
    for old, new, _ in DIFFS:
        place, block = page(new)
        place.write_text(block.sub(lambda _, old=old, new=new: shown(old, new), place.read_text(), count=1))
