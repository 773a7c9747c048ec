"""Kernels are kept on disk, a change in any file of kernels makes them stale, and none depends on what ran before."""

import importlib
import pickle
import pkgutil
from pathlib import Path

import numba
import numpy as np

import operant
from operant.data import compiled as module
from operant.data.compiled import compiled


def plus_one(x):
    return x + 1


def test_a_kernel_is_taken_from_the_cache_only_if_every_file_of_kernels_is_the_same(monkeypatch):
    stamps = {"text": "one"}
    monkeypatch.setattr(module, "_text_of_kernels", lambda: stamps["text"])

    def hits() -> int:
        found = compiled(plus_one)
        assert found(np.float64(1.0)) == 2.0
        return sum(found.stats.cache_hits.values())

    hits()
    assert hits() == 1  # the second process would find it
    stamps["text"] = "two"
    assert hits() == 0
    assert hits() == 1


def test_an_index_of_older_code_may_name_what_is_gone():
    """A tuple of arrays that has moved to another file, say."""
    index = Path(compiled(plus_one)._cache._cache_file._index_path)
    index.write_bytes(pickle.dumps(numba.__version__) + b"coperator\nno_such_type\n.")
    assert compiled(plus_one)(1) == 2


def test_processes_that_save_at_once_do_not_mix_their_code(monkeypatch):
    """Two signatures, or two processors: one process saves between the two halves of what the other does."""
    first, second = compiled(plus_one), compiled(plus_one)
    files = [found._cache._cache_file for found in (first, second)]
    write = files[1]._save_data

    def interrupted(name, data):
        assert first(1) == 2
        write(name, data)

    for file in files:
        monkeypatch.setattr(file, "_load_index", dict)  # neither has seen the other's
    monkeypatch.setattr(files[1], "_save_data", interrupted)
    assert second(1.5) == 2.5
    monkeypatch.undo()
    third = compiled(plus_one)
    assert repr((third(1), third(1.5))) == "(2, 2.5)"  # not 2.0


def test_a_kernel_is_not_taken_from_the_cache_of_another_processor(monkeypatch):
    """NUMBA_CPU_NAME, which Numba keeps under this name, is a part of the key."""

    def hits(name: str) -> int:
        monkeypatch.setattr(numba.config, "CPU_NAME", name)
        found = compiled(plus_one)
        assert found(np.float32(1.0)) == 2.0
        return sum(found.stats.cache_hits.values())

    compiled(plus_one)._cache.flush()
    assert [hits(name) for name in ("generic", "core2", "generic", "core2")] == [0, 0, 1, 1]


def test_without_a_folder_to_write_kernels_are_compiled_all_the_same(monkeypatch):
    plain = numba.njit

    def refuse(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*args, **options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert compiled(plus_one)(2) == 3


def test_kernels_that_may_reorder_sums_are_laid_into_those_that_call_them():
    """A linker would take whichever copy of them the process met first, and copies add in other orders."""
    calls = 0
    for found in pkgutil.walk_packages(operant.__path__, "operant."):
        if "kernels" not in found.name and not found.name.endswith("simd"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError:  # Triton's kernels
            continue
        for caller in filter(numba.extending.is_jitted, vars(module).values()):
            for name in caller.py_func.__code__.co_names:
                callee = caller.py_func.__globals__.get(name)
                if numba.extending.is_jitted(callee):
                    calls += 1
                    options = callee.targetoptions
                    assert options.get("forceinline") or "reassoc" not in options.get("fastmath", ()), (caller, callee)
    assert calls > 100
