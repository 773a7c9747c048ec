"""What the border holds: `python tests/border/count.py` runs its tests and prints kinds, pairs tried, held and failed.

    python tests/border/count.py                      # this tree; exits with 1 if a pair failed
    python tests/border/count.py --against 4775408    # the same tests on an older tree: which pairs failed there
    python tests/border/count.py --only strangers     # one kind

A pair is a mechanism (a test) at an entry point (its parameter `entry`); inputs beyond that do not count. What an older
tree did is kept in `before.json`, and told beside what this one does.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BEFORE = HERE / "before.json"
sys.path.insert(0, str(ROOT / "bench"))

from revisions import checked_out  # noqa: E402


def outcomes(source: Path, tests: Path, *more: str) -> dict[str, str]:
    """Run tests of the border on the library in `source`: by pair "passed", "failed" or "skipped"."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "outcomes.json"
        env = os.environ | {"PYTHONPATH": os.pathsep.join((str(source), str(HERE)))}
        command = [sys.executable, "-m", "pytest", str(tests), "--border-json", str(told), "-n", "2", *more]
        subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr)
        return json.loads(told.read_text()) if told.exists() else {}


def kinds() -> dict[str, str]:
    """By file: the first line of what it says."""
    files = {path.stem.removeprefix("test_"): path for path in sorted(HERE.glob("test_*.py"))}
    said = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for name, path in files.items()}
    return {name: (text or name).splitlines()[0] for name, text in said.items()}


def table(found: dict[str, str], before: dict[str, str]) -> None:
    """One line a kind, and the sum."""
    counts = {name: Counter[str]() for name in kinds()}
    for pair, outcome in found.items():
        count = counts[pair.partition("::")[0]]
        count[outcome] += 1
        count["before"] += before.get(pair) == "failed"
    head = ("pairs", "held", "failed", "skipped", "failed before")
    print(*(f"{word:>13}" for word in head), " kind")
    rows = [(said, counts[name]) for name, said in kinds().items()]
    for said, c in [*rows, ("all", sum((c for _, c in rows), Counter()))]:
        numbers = (c["passed"] + c["failed"], c["passed"], c["failed"], c["skipped"], c["before"])
        print(*(f"{n:>13}" for n in numbers), f" {said}")


def main() -> None:
    """Run, print, and say by the exit code whether all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT", help="run on this commit and keep what failed in before.json")
    parser.add_argument("--only", metavar="KIND", nargs="+", choices=kinds(), help="these files alone")
    given = parser.parse_args()
    before: dict[str, str] = json.loads(BEFORE.read_text()) if BEFORE.exists() else {}
    files = [HERE / f"test_{name}.py" for name in given.only or kinds()]
    if given.against:
        with checked_out(given.against) as tree:
            for file in files:  # one by one, as some of it ends the process there
                before |= outcomes(tree / "src", file, "-p", "old_names")
                BEFORE.write_text(json.dumps(before, indent=0, sort_keys=True) + "\n")
        print(f"{given.against}: {Counter(before.values())}")
        return
    found = outcomes(ROOT / "src", HERE) if not given.only else {}
    for file in files if given.only else ():
        found |= outcomes(ROOT / "src", file)
    table(found, before)
    failed = sorted(pair for pair, outcome in found.items() if outcome == "failed")
    print(*failed, sep="\n")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
