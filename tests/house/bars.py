"""The bars of the house that can be counted: `python tests/house/bars.py` prints each with its figure and its limit.

A code line holds code: no comment, no docstring, no blank. A kernel is a file that holds a jitted function; `mdp/` and
the kernels are counted apart. Worlds are the rooms side by side in the middle of the house; none imports another.
"""

from __future__ import annotations

import ast
import importlib
import io
import re
import sys
import tempfile
import tokenize
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src" / "operant"
WORLDS = ("tabular", "control", "language")
JITTED = re.compile(
    r"^\s*@(outer|inner|inner_counted|compiled|serial|parallel|kernel|numba\.njit|triton\.jit)\b|= (outer|compiled)\(",
    re.MULTILINE,
)

ROOMS = {
    "grounded": 1925, "vision": 1390, "design": 1320, "robots": 1390, "games": 1480, "search": 835,
    "recipes": 5360, "agents": 8000, "algo": 5, "cli": 3605, "config": 1570, "control": 10110,
    "data": 1084, "env": 3890, "language": 14200, "math": 1385, "run": 3010, "tabular": 1690,
    "view": 3740, "workers": 1085, "": 420,
}  # fmt: skip
"""The most code lines of each room outside kernels; an issue that needs more raises its own rooms, and says so."""
TOTAL = 19_500
"""What the design asks for; not met yet, so each room is held to what it has."""
FUNCTION, ALGORITHM, FILE = 60, 200, 350
CIRCLES, CROSSING = 0, 0
BY_HAND = "language/cpu/"
"""Passes written by hand stand behind one door and are as long as they have to be; they count as code all the same."""
PLACES = 2
CROSSED = {"CartPole iteration": 12, "GRPO step": 25, "table to policy": 10}


@cache
def files() -> dict[str, Path]:
    """Every module of the library by its dotted name."""
    names = {p: ".".join(("operant", *p.relative_to(SRC).with_suffix("").parts)) for p in SRC.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def is_kernel(path: Path) -> bool:
    """Whether a file holds a jitted function."""
    return JITTED.search(path.read_text(encoding="utf-8")) is not None


def code_lines(path: Path) -> int:
    """Lines that hold code."""
    held: set[int] = set()
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in skipped:
            held.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            held.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(held)


def rooms() -> dict[str, int]:
    """Code lines of each room; kernels, and `mdp/`, under names of their own."""
    counts: dict[str, int] = {}
    for path in files().values():
        first, *rest = path.relative_to(SRC).parts
        room = first if rest else ""
        name = room if room == "mdp" else "kernels" if is_kernel(path) else room
        counts[name] = counts.get(name, 0) + code_lines(path)
    return counts


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of ours that a file imports, at its head or later, but for those that only types need."""
    for node in _running(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("operant"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in files() else node.module), node.lineno
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in files())


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but for the blocks of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def crossing() -> list[str]:
    """The imports from one world into another."""
    found: list[str] = []
    for path in files().values():
        room = path.relative_to(SRC).parts[0]
        for name, line in imports(path):
            there = name.split(".")[1] if "." in name else ""
            if room in WORLDS and there in WORLDS and there != room:
                found.append(f"{path.relative_to(SRC)}:{line} imports {name}")
    return found


def circles() -> list[list[str]]:
    """Groups of modules that import one another in a circle, by Tarjan's algorithm."""
    graph = {name: [n for n, _ in imports(path) if n in files() and n != name] for name, path in files().items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(v: str) -> None:
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10_000)
    for name in graph:
        if name not in index:
            visit(name)
    return found


def functions() -> list[tuple[int, str]]:
    """Lines of each function outside kernels, the longest first."""
    found: list[tuple[int, str]] = []
    for path in files().values():
        if is_kernel(path) or BY_HAND in path.as_posix():
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append((size, f"{path.relative_to(SRC)}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


def long_files() -> list[tuple[int, int, str]]:
    """Lines of each file outside kernels beside its limit; an algorithm's file is counted without its `build`."""
    from operant.config.registry import ALGORITHMS

    own = {f"{where.partition(':')[0]}" for _, where in ALGORITHMS.values()}
    found: list[tuple[int, int, str]] = []
    for name, path in files().items():
        if is_kernel(path) or BY_HAND in path.as_posix():
            continue
        lines = path.read_text(encoding="utf-8").count("\n")
        if name in own:
            lines -= sum((n.end_lineno or n.lineno) - n.lineno + 3 for n in parsed(path).body if _builds(n))
        limit = ALGORITHM if name in own or name.startswith("operant.tabular.") else FILE
        found.append((lines, limit, str(path.relative_to(SRC))))
    return sorted(found, key=lambda row: row[0] / row[1], reverse=True)


def _builds(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "build"


def places(algorithm: str) -> list[str]:
    """The files besides its own in which an algorithm's name stands as text.

    Its own is the one that the registry names; of tabular algorithms, which one loop runs, one of `tabular/algorithms`.
    Recipes use algorithms, and no new one touches them.
    """
    from operant.config.registry import ALGORITHMS

    own = files()[ALGORITHMS[algorithm][1].partition(":")[0]]
    named = [
        path
        for path in files().values()
        if path.name != "__init__.py"
        and any(isinstance(n, ast.Constant) and n.value == algorithm for n in ast.walk(parsed(path)))
    ]
    elsewhere = ("algorithms", "recipes")
    return sorted(str(path.relative_to(SRC)) for path in named if path != own and path.parent.name not in elsewhere)


def crossed(work: Callable[[], object]) -> list[str]:
    """The files of ours whose functions `work()` enters."""
    seen: set[str] = set()

    def note(frame: object, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)  # type: ignore[attr-defined]
        if event == "call" and path.is_relative_to(SRC):
            seen.add(str(path.relative_to(SRC)))

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return sorted(seen)


def walks(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The three walks of a datum, after a warm-up that compiles and imports: what is done, and the files entered."""
    import operant
    from operant.mdp import load, solve

    mdp = importlib.import_module("operant.mdp.worlds").four_by_three()
    mdp.save(folder / "world.npz")
    for name, work in {
        "CartPole iteration": _iteration(operant.loop("ppo", "CartPole-v1", seed=1)[0]),
        "table to policy": lambda: solve(load(folder / "world.npz")),
        "GRPO step": _iteration(operant.loop("grpo", "arithmetic", **SMALL)[0]),
    }.items():
        work()
        # what is collected meanwhile may enter others, and a kernel that is compiled ends the watching
        yield name, min(filter(None, [crossed(work) for _ in range(3)]), key=len, default=[])


SMALL = {"base.width": 64, "base.layers": 2, "base.examples": 64, "algo.prompts": 2, "algo.samples": 2}
"""A base that is made in a second: which files are entered does not depend on what it can do."""


def _iteration(loop: Iterator[object]) -> Callable[[], object]:
    return lambda: next(loop)


def main() -> None:
    """Print every bar."""
    counts = rooms()
    outside = sum(n for name, n in counts.items() if name not in ("mdp", "kernels"))
    print(f"code lines outside mdp and kernels  {outside:,} (at most {TOTAL:,})")
    for name, n in sorted(counts.items(), key=lambda item: -item[1]):
        limit = f" (at most {ROOMS[name]:,})" if name in ROOMS else ""
        print(f"    {name or '(top)':<10} {n:>6,}{limit}")
    print(f"imports that cross worlds           {len(crossing())} (at most {CROSSING})")
    print(f"import circles                      {len(circles())} (at most {CIRCLES})")
    for size, where in functions()[:3]:
        print(f"long function                       {size} (at most {FUNCTION})  {where}")
    for lines, limit, where in long_files()[:3]:
        print(f"long file                           {lines} (at most {limit})  {where}")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, entered in walks(Path(folder)):
            print(f"files entered, {name:<20} {len(entered)} (at most {CROSSED[name]})")


if __name__ == "__main__":
    main()
