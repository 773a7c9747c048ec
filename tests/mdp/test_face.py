"""The face of the room: every name is what its module has, and the names alone import nothing heavy."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import operant.mdp


def test_every_name_is_the_one_of_its_module() -> None:
    names: list[str] = []
    for node in ast.walk(ast.parse(Path(operant.mdp.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("operant"):
            for name in (alias.name for alias in node.names):
                assert getattr(operant.mdp, name) is getattr(import_module(node.module), name), name
                names.append(name)
    assert sorted(names) == sorted(operant.mdp.__all__) == dir(operant.mdp)
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        _ = operant.mdp.slove


def test_the_methods_are_known_without_anything_heavy() -> None:
    code = (
        "import sys\n"
        "from operant.mdp.methods import METHODS\n"
        "assert 'auto' in METHODS\n"
        "sys.exit(bool({'numpy', 'scipy', 'numba', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_name_stands_once_in_the_groups_of_the_docstring_and_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/tabular/index.md").read_text()
    held = page.partition("## What `operant.mdp` holds")[2].partition("\n## ")[0]
    groups = (operant.mdp.__doc__ or "").partition("Models\n")[2].partition("\n\n")[0]
    for text, name in ((held, r"`(\w+)`"), (re.sub(r"(?m)^(\s+[^:\n]+:|\S+$)|\(.*?\)", "", groups), r"\b(\w+)\b")):
        named = re.findall(name, text)
        assert sorted(n for n in named if n in operant.mdp.__all__) == sorted(operant.mdp.__all__)
