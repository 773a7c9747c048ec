"""What `src/` never calls: everything that can run code out of data. One file may, in a process of the sandbox."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"

MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "pickletools",
    "jsonpickle",
}
NAMES = {"eval", "exec", "compile", "__import__"}
"""Builtins, as a call or as a value handed on. `__import__` may take a literal name."""
ATTRIBUTES = {
    "torch.load",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "os.system",
    "os.popen",
    "pandas.read_pickle",
    "pandas.eval",
    "builtins.eval",
    "builtins.exec",
    "builtins.compile",
    "builtins.__import__",
}
METHODS = {"extractall", "extract", "unpack_archive"}
"""Of archives; `filter="data"` makes tarfile's safe, nothing makes zipfile's say so."""
KEYWORDS = {"allow_pickle", "shell", "trust_remote_code", "weights_only"}
"""Never anything but the safe literal."""
SAFE = {"allow_pickle": False, "shell": False, "trust_remote_code": False, "weights_only": True}


SANDBOX = "operant/workers/sandbox_child.py"
"""Runs code, as a process of its own with nothing in reach; no module imports it (`tests/workers/test_sandbox.py`)."""


def violations(source: str, file: str = "<source>") -> list[str]:
    """Every banned thing in a source text, as file:line: what."""
    tree = ast.parse(source)
    aliases = _aliases(tree)
    found: list[tuple[int, str]] = []
    own = _parameters(tree)
    for node in ast.walk(tree):
        if node in own:
            continue
        found += [(node.lineno, what) for what in _banned(node, aliases)]
    return [f"{file}:{line}: {what}" for line, what in sorted(set(found))]


def _aliases(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for, wherever in the file it is imported."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                known[a.asname or a.name.partition(".")[0]] = a.name if a.asname else a.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return known


def _parameters(tree: ast.AST) -> set[ast.AST]:
    """The names in functions that mean a parameter of theirs, such as `eval` where it is a section of the config."""
    found: set[ast.AST] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            given = {a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
            found |= {n for part in function.body for n in ast.walk(part) if isinstance(n, ast.Name) and n.id in given}
    return found


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return "?"


def _banned(node: ast.AST, aliases: dict[str, str]):
    if isinstance(node, ast.Import):
        yield from (f"import {a.name}" for a in node.names if a.name.partition(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{a.name}" for a in node.names]
        if (node.module or "").partition(".")[0] in MODULES:
            yield f"import {node.module}"
        yield from (name for name in names if name in ATTRIBUTES or set(name.split(".")) & MODULES)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in NAMES - {"__import__"}:
        yield node.id
    elif isinstance(node, ast.Attribute):
        dotted = _dotted(node, aliases)
        if dotted in ATTRIBUTES or dotted.partition(".")[0] in MODULES or set(dotted.split(".")[1:]) & MODULES:
            yield dotted
    elif isinstance(node, ast.Call):
        yield from _call(node, aliases)


def _call(node: ast.Call, aliases: dict[str, str]):
    name = _dotted(node.func, aliases)
    if name in ("__import__", "importlib.import_module"):
        literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if literal and str(node.args[0].value).partition(".")[0] in MODULES:
            yield f"import {node.args[0].value}"
        if name == "__import__" and not literal:
            yield "__import__ of a computed name"
    keywords = {k.arg: k.value for k in node.keywords}
    for key in KEYWORDS & keywords.keys():
        value = keywords[key]
        if not (isinstance(value, ast.Constant) and value.value is SAFE[key]):
            yield f"{key} not {SAFE[key]}"
    method = name.rpartition(".")[2]
    if method in METHODS and (isinstance(node.func, ast.Attribute) or name.startswith("shutil.")):
        how = keywords.get("filter")
        if not (isinstance(how, ast.Constant) and how.value == "data"):
            yield f"{method} without filter='data'"


def test_src_calls_nothing_banned():
    files = sorted(SRC.rglob("*.py"))
    assert len(files) > 50
    found = [line for f in files for line in violations(f.read_text(encoding="utf-8"), f.relative_to(SRC).as_posix())]
    assert not [line for line in found if not line.startswith(SANDBOX)], "\n".join(found)
    assert {line.rpartition(": ")[2] for line in found} == {"exec", "compile"}  # the sandbox's, and nothing else of it


def test_nothing_imports_the_file_that_runs_code():
    for file in SRC.rglob("*.py"):
        assert "import sandbox_child" not in (text := file.read_text(encoding="utf-8"))
        assert "workers.sandbox_child" not in text


@pytest.mark.parametrize(
    "source",
    [
        *(f"import {m}" for m in sorted(MODULES)),
        *(f"from {m} import x" for m in sorted(MODULES)),
        "import pickle as p",
        "def f():\n    import pickle",
        "import multiprocessing\nmultiprocessing.reduction.pickle.loads(b'')",
        "from multiprocessing.reduction import pickle",
        "from importlib import import_module\nimport_module('pickle')",
        "__import__('pickle')",
        "__import__(name)",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load",
        "from torch import load as l",
        "import torch\nread = torch.load",
        "import torch\ntorch.jit.load('x')",
        "from torch import jit\njit.load('x')",
        "from torch.jit import load",
        "import torch\ntorch.hub.load('a', 'b')",
        "import torch\ntorch.load('x', weights_only=True)",
        "eval('1')",
        "exec('1')",
        "f = eval",
        "def f(eval):\n    return eval\n\ndef g():\n    return eval",
        "compile('1', 'x', 'exec')",
        "import builtins\nbuiltins.eval('1')",
        "import yaml\nyaml.load(f)",
        "import yaml\nyaml.load(f, Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "from numpy import load\nload('x', allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "import tarfile\ntarfile.open('x').extractall()",
        "import tarfile\ntarfile.open('x').extractall(filter='fully_trusted')",
        "import zipfile\nzipfile.ZipFile('x').extractall('y')",
        "import zipfile\nzipfile.ZipFile('x').extract('y')",
        "import shutil\nshutil.unpack_archive('x')",
        "from shutil import unpack_archive\nunpack_archive('x')",
        "import os\nos.system('x')",
        "from os import system",
        "import os\nos.popen('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import subprocess as s\ns.Popen('x', shell=flag)",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
    ],
)
def test_each_banned_thing_is_caught(source):
    assert violations(source)


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('x')",
        "import tomllib\ntomllib.load(f)",
        "import json\njson.load(f)",
        "model.eval()",
        "class Config:\n    eval: int",
        "def f(eval):\n    return eval.seed",
        "from safetensors.torch import load_file\nload_file('x')",
        "import tarfile\ntarfile.open('x').extractall('y', filter='data')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import subprocess\nsubprocess.run(['x'])",
        "import yaml\nyaml.safe_load(f)",
        "__import__('json')",
    ],
)
def test_what_is_harmless_is_let_through(source):
    assert not violations(source)
