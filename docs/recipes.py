"""Write docs/recipes/: a page for each recipe from what it says of itself and its published rows, and their index.

    python docs/recipes.py [FOLDER ...]

With folders of runs (`runs/recipe-NAME`) their results are published first: copied beside the recipes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from operant.recipes import RECIPES, recipe
from operant.recipes.page import page
from operant.recipes.published import STORED, published
from operant.recipes.registry import standing

PAGES = Path(__file__).resolve().parent / "recipes"


def index() -> str:
    """Every name of the lectures, and what became of the claims of those that run."""
    lines = [
        "# Recipes",
        "",
        "The named systems of the literature, each one readable file: what it claims, and what became",
    ]
    lines += [
        "of that here. `operant recipe run NAME` runs one.",
        "",
        "| recipe | claims that must hold | open questions |",
        "|---|---|---|",
    ]
    for name in RECIPES:
        its = recipe(name)
        rows, _ = published(its)
        said = [(claim.must, claim.verdict(rows, its.seeds).says) for claim in its.claims]
        must, asked = ([says for needed, says in said if needed is kind] for kind in (True, False))
        held = "not yet run" if "not yet run" in must else f"{must.count('holds')} of {len(must)} hold"
        lines.append(f"| [{its.title}]({name}.md) | {held} | {', '.join(asked)} |")
    others = [(name, kind, about) for name, kind, about in standing() if kind != "recipe"]
    if others:
        lines += [
            "",
            "| name | | |",
            "|---|---|---|",
            *(f"| {name} | {kind} | {about} |" for name, kind, about in others),
        ]
    lines += ["", "```{toctree}", ":hidden:", "", *RECIPES, "```", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    return {"index.md": index()} | {f"{name}.md": page(recipe(name)) for name in RECIPES}


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        shutil.copy(Path(folder) / "result.json", STORED / f"{Path(folder).name.removeprefix('recipe-')}.json")
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
