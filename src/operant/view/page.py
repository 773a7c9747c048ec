"""What all pages share: templates, style and script, films and facts, and writing a page whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from operant.config.bounded import read_bytes
from operant.config.text import clean
from operant.run.disk import replace_file, writing
from operant.run.schemas import FILM, read_json
from operant.view.formatting import count, duration, fixed, interval, number, timestamp

if TYPE_CHECKING:
    from jinja2 import Environment

    from operant.run.folder import RunFolder

FACTS = ("step", "seed", "return", "length")
EMBEDDED = 15_000_000
"""Bytes of video that a page holds at most; films beyond it are linked to."""
POSTER = 400_000
"""Bytes of the picture of a film."""


@cache
def environment() -> Environment:
    """Jinja with escaping (not of Markdown), strict about what is undefined, and the filters of `view.formatting`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("operant.view", "templates"),
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (number, fixed, interval, count, duration, timestamp)
    cast("dict[str, object]", made.filters).update({function.__name__: function for function in filters})
    cast("dict[str, object]", made.tests)["finite"] = math.isfinite
    return made


def render(template: str, *styles: str, **values: Any) -> str:
    """A page as text. It holds its styles and its one script, the only one that it allows to run."""
    files = resources.files("operant.view").joinpath("templates")
    script = files.joinpath("page.js").read_text("utf-8")
    return (
        environment()
        .get_template(template)
        .render(
            **values,
            style="".join(files.joinpath(name).read_text("utf-8") for name in ("page.css", *styles)),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def png(figure: Any) -> str:
    """A figure as a data URL."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def films(folder: RunFolder) -> list[dict[str, Any]]:
    """The films, the last one first: their facts, and the bytes as a data URL as long as there is room."""
    room = EMBEDDED
    rows: list[dict[str, Any]] = []
    for path in reversed(folder.videos()):
        side, size = path.with_suffix(".json"), path.stat().st_size
        facts = dict.fromkeys(FACTS) | read_json(side, FILM) if side.is_file() else None
        film = {"name": path.name, "facts": facts, "link": f"videos/{quote(path.name)}", "size": size}
        film |= {"data": None, "poster": _poster(path.with_suffix(".jpg"))}
        if size <= room:
            room -= size
            film["data"] = "data:video/mp4;base64," + base64.b64encode(read_bytes(path, EMBEDDED)).decode()
        rows.append(film)
    return rows


def _poster(path: Path) -> str | None:
    """The picture of a film that stands before it is played, as a data URL."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(read_bytes(path, POSTER)).decode()
    except (OSError, ValueError):
        return None


def command(argv: Sequence[str]) -> str:
    """The command line that starts the same run again, quoted for a shell."""
    verb = next((word for word in ("train", "solve") if word in argv), None)
    return shlex.join(["operant", *argv[argv.index(verb) :]] if verb else argv)


def machine(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts about the computer and the software, in words; what is not known is left out."""
    host, git = info.get("host") or {}, info.get("git")
    packages = info.get("packages") or {}
    cores = host.get("cores")
    facts = [
        ("Platform", host.get("platform")),
        ("Processor", f"{host.get('cpu')}, {cores} core{'s' if cores != 1 else ''}" if host.get("cpu") else None),
        ("Python", host.get("python")),
        ("Packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("Code", f"{git.get('sha')}{' with uncommitted changes' if git.get('dirty') else ''}" if git else None),
        ("Parameters", count(info["parameters"]) if info.get("parameters") else None),
        ("Preset", info.get("preset")),
        ("Started", timestamp(info["started"]) if info.get("started") else None),
        ("Ended", timestamp(info["ended"]) if info.get("ended") else None),
        ("Run", info.get("id")),
    ]
    return [(name, str(value)) for name, value in facts if value]


def write_page(path: Path, page: str) -> Path:
    """Replace `path` by a page in one step and return it.

    Raises:
        DiskError: if the disk refuses; what was there is left as it was.
    """
    data = clean(page).encode()
    with writing(path, len(data)):
        replace_file(path, lambda file: file.write(data))
    return path
