"""Every registered method has its place on the map, and the page is the one that the registry gives."""

import importlib.util
from pathlib import Path

from operant.config.registry import ALGORITHMS

FILE = Path(__file__).resolve().parents[2] / "docs" / "map.py"
SPEC = importlib.util.spec_from_file_location("docs_map", FILE)
MAP = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MAP)


def test_no_registered_method_lacks_its_place():
    assert sorted(ALGORITHMS.keys() - MAP.PLACES.keys()) == []


def test_the_page_is_made_from_the_registry():
    assert MAP.PAGE.read_text(encoding="utf-8") == MAP.page(), "run python docs/map.py"


def test_each_method_is_on_it_once_with_what_it_is():
    text = MAP.page()
    for name in ALGORITHMS:
        assert text.count(f"- [`{name}`]") == 1
        assert len(MAP.about(name)) > 5, name
