"""How Numba compiles the kernels of this library: kept on disk where that is possible, and never stale."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(function: Any, **options: Any) -> Any:
    """`numba.njit(**options)(function)` with a cache on disk, wherever a folder can be written.

    Numba takes a kernel from its cache when the text of the kernel's own file is the same, although a kernel of another
    file is compiled into it. Here the cache is stamped with the text of every file that holds kernels.
    """
    try:
        found: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
    file = found._cache._cache_file
    file._source_stamp = (file._source_stamp, _text_of_kernels())
    return found


@cache
def _text_of_kernels() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        text = path.read_bytes()
        if b"compiled" in text or b"numba" in text:
            digest.update(text)
    return digest.hexdigest()
