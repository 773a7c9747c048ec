"""Draw the pictures of the pages again: run the pages and keep what they save, with 128 colours.

python docs/tabular/figures/regenerate.py [page.md ...]

A page's pictures go to the folder `figures` beside it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from check import run  # noqa: E402  docs/check.py runs the pages of all tests

LARGEST = 60_000
"""Bytes."""


def main(names: list[str]) -> int:
    """Run the named pages, or all of docs/tabular, and copy their pictures; 1 if a page fails or a picture is large."""
    pages = [Path(name).resolve() for name in names] or sorted(HERE.parent.glob("*.md"))
    wrong: list[str] = []
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            here = Path.cwd()
            os.chdir(folder)
            wrong += run(page)
            os.chdir(here)
            for drawn in sorted(Path(folder).glob("*.png")):
                with Image.open(drawn) as picture:
                    small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
                kept = page.parent / "figures" / drawn.name
                small.save(kept, optimize=True)
                size = kept.stat().st_size
                print(f"{page.name}: {drawn.name}, {size:,} bytes")
                wrong += [f"{drawn.name} has {size:,} bytes, more than {LARGEST:,}"] if size > LARGEST else []
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
