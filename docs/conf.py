"""The documentation site: `make site`. Pages are those of this folder; the reference is written from the docstrings."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import operant

project, author, release = "operant", "The operant authors", operant.__version__
project_copyright = "2026, The operant authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["check.py", "conf.py", "**/.ipynb_checkpoints"]
html_theme, html_title = "furo", "operant"
html_copy_source = False
nb_execution_mode = "off"  # the suite runs the notebooks
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
suppress_warnings = ["myst.header", "ref.python"]

HERE = Path(__file__).parent
FACES = {
    "operant": "train, resume and open runs",
    "operant.mdp": "exact finite Markov decision processes",
    "operant.mdp.worlds": "the worlds of the books",
    "operant.tabular": "learning in tables",
    "operant.control": "deep reinforcement learning for control",
    "operant.language": "language models as policies",
    "operant.agents": "worlds of many turns, and the sandbox",
    "operant.reward": "what a completion is worth",
    "operant.task": "data with rewards",
    "operant.env": "environments, and what is wrong with them",
    "operant.search.best_of_n": "the best of several answers",
    "operant.search.voting": "votes among answers",
    "operant.search.pass_at_k": "any of k answers",
    "operant.search.beam": "beams over steps",
    **{f"operant.math.{p.stem}": "" for p in sorted((HERE.parent / "src/operant/math").glob("[a-z]*.py"))},
}
"""What people import, each a page of the reference; the modules of `operant.math` say themselves what they are."""


def names(face: str) -> list[str]:
    """The public functions and classes of a face."""
    module = importlib.import_module(face)
    listed = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    own = [n for n in listed if inspect.isroutine(x := getattr(module, n)) or inspect.isclass(x)]
    if face.startswith(("operant.math", "operant.search")):
        own = [n for n in own if getattr(module, n).__module__ == face]
    return sorted(own, key=str.lower)


def write_reference() -> None:
    """One page for each face, with every public name of it."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    described: set[int] = set()  # what two faces show is indexed once
    for face, what in FACES.items():
        module = importlib.import_module(face)
        first = (module.__doc__ or "").strip()
        lines = [f"# {face}", "", *([f"_{what}_", ""] if what else []), first, ""]
        for name in names(face):
            item = getattr(module, name)
            kind = "autoclass" if inspect.isclass(item) else "autofunction"
            options = ["   :members:"] if kind == "autoclass" else []
            options += ["   :no-index:"] if id(item) in described else []
            described.add(id(item))
            lines += ["```{eval-rst}", f".. {kind}:: {face}.{name}", *options, "```", ""]
        page = folder / f"{face}.md"
        text = "\n".join(lines)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    index = ["# Reference", "", "From the docstrings: equation, shapes, units, errors, source.", ""]
    (folder / "index.md").write_text(
        "\n".join([*index, "```{toctree}", ":maxdepth: 1", "", *FACES, "```", ""]), encoding="utf-8"
    )


def plain(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with names in backticks: bars and stars of formulas are no markup."""
    for k, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [part.replace("|", r"\|").replace("*", r"\*") for part in parts[::2]]
        lines[k] = "``".join(parts)


def setup(app: Any) -> None:
    """Write the reference before the pages are read."""
    write_reference()
    app.connect("autodoc-process-docstring", plain, priority=400)
