"""How Numba compiles the kernels of this library: kept on disk where that is possible, and never stale."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

FAST = frozenset({"reassoc", "contract", "arcp", "nsz"})
"""What the compiler may do with floating-point numbers where speed asks for it; NaN and infinity stay what they are."""


def outer(function: F, flags: frozenset[str] = FAST) -> F:
    """Compile a kernel: what Python calls. It releases the interpreter's lock."""
    return compiled(function, nogil=True, error_model="numpy", fastmath=set(flags))


def inner(function: F, flags: frozenset[str] = FAST) -> F:
    """Compile a function that kernels call: it is laid into them, and counts no references.

    Never linked: of a function that several kernels call, the linker takes the copy that the process met first, whether
    alone or as a part of whichever kernel, compiled now or read from the disk. Two copies are optimised in two places,
    and those that may add in another order (`FAST`) do, so that a run would depend on what its process did before.
    """
    return compiled(function, forceinline=True, error_model="numpy", fastmath=set(flags), _nrt=False)


def inner_counted(function: F) -> F:
    """As `inner`, for a function that makes arrays or calls the BLAS: it has to count references."""
    return compiled(function, forceinline=True, error_model="numpy", fastmath=set(FAST))


def compiled(function: Any, **options: Any) -> Any:
    """`numba.njit(**options)(function)` with a cache on disk, wherever a folder can be written.

    Numba takes a kernel from its cache when the text of the kernel's own file is the same, although a kernel of another
    file is compiled into it. Here the cache is stamped with the text of every file that holds kernels. The stamp stands
    beside Numba's version, which is read first: the rest of an older index may name types that are gone.
    """
    try:
        found: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
    file = found._cache._cache_file
    file._version = f"{file._version} {_text_of_kernels()}"
    file.save = partial(_save, file)
    return found


def _save(file: Any, key: Any, data: Any) -> None:
    """Numba's own, with a file for each key (signature, processor, bytecode).

    Numba numbers them in the order in which they come. Two processes that save at once may then take one number for two
    keys, and the index of the one names the code of the other, for ever.
    """
    index = file._load_index()
    if key not in index:
        number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6], "big")
        index[key] = file._data_name(number)
    file._save_data(index[key], data)
    file._save_index(index)


def on_disk(kernel: Any) -> bool:
    """Whether some version of a kernel was compiled on this machine, from the text as it is now."""
    file = getattr(kernel._cache, "_cache_file", None)
    return file is not None and bool(file._load_index())


@cache
def _text_of_kernels() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        text = path.read_bytes()
        if b"compiled" in text or b"numba" in text:
            digest.update(text)
    return digest.hexdigest()
