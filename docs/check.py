"""Run every Python block of the README and of the pages in docs/, each page in one namespace and a folder of its own.

    python docs/check.py [page.md ...]

A block is skipped only where its first line says so: `# not run: <why>`.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(page: Path) -> list[str]:
    """Run a page; returns what failed."""
    text, namespace = page.read_text(), {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        source = match.group(1)
        if source.startswith("# not run:"):
            continue
        line = text[: match.start(1)].count("\n") + 1
        code = compile("\n" * (line - 1) + source, str(page), "exec")
        try:
            exec(code, namespace)  # noqa: S102  the project's own pages
        except Exception:
            return [f"{page.relative_to(ROOT)}:{line}\n{traceback.format_exc()}"]
    return []


def main(names: list[str]) -> int:
    """Run the named pages, or all."""
    pages = [Path(n).resolve() for n in names] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    failures: list[str] = []
    for page in pages:
        blocks = len(BLOCK.findall(page.read_text()))
        start, here = time.monotonic(), Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            failed = run(page)
            os.chdir(here)
        failures += failed
        print(
            f"{'FAIL' if failed else 'ok  '} {page.relative_to(ROOT)}: "
            f"{blocks} blocks, {time.monotonic() - start:.1f} s"
        )
    for failure in failures:
        print("\n" + failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
