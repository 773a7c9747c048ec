"""The pages of the recipes are what the recipes and their published rows say."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "docs" / "recipes.py"
SPEC = importlib.util.spec_from_file_location("docs_recipes", FILE)
MADE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MADE)


def test_pages_are_those_that_are_made():
    there = {file.name: file.read_text(encoding="utf-8") for file in MADE.PAGES.iterdir()}
    assert there == MADE.pages(), "run python docs/recipes.py"


def test_a_recipe_is_at_most_a_hundred_and_fifty_lines():
    room = FILE.parents[1] / "src" / "operant" / "recipes"
    for name in MADE.RECIPES:
        file = room / f"{name.replace('-', '_')}.py"
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 150, file
