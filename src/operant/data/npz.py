"""Archives of arrays (`.npz`), read within bounds: one of kilobytes may unpack to gigabytes, or say it holds more."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.bounded import open_regular
from operant.data.memory import allow


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Every array by its name; nothing in it is unpickled.

    Raises:
        OSError: if the file cannot be read, or is no regular file.
        ValueError: if it is no archive of arrays, is damaged, or unpacks to more than there is memory for.
    """
    try:
        with open_regular(path) as file:
            with zipfile.ZipFile(file) as archive:
                allow(sum(member.file_size for member in archive.infolist()), "it unpacks to")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, NotImplementedError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
