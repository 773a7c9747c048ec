"""What all pages share: the templates' environment, and writing a page whole or not at all."""

from __future__ import annotations

import base64
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operant.config.errors import DiskError
from operant.view import words

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment() -> Environment:
    """Jinja with escaping, strict about what is undefined, and the filters of `view.words`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("operant.view", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words.number, words.fixed, words.count, words.duration, words.moment)
    cast("dict[str, object]", made.filters).update({function.__name__: function for function in filters})
    return made


def png(figure: Any) -> str:
    """A figure as a data URL."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def write_page(path: Path, page: str) -> Path:
    """Replace `path` by a page in one step and return it.

    Raises:
        DiskError: if the disk refuses; what was there is left as it was.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            file.write(page)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise DiskError(f"cannot write {path} ({len(page)} characters): {error.strerror}. Free some space.") from error
    return path
