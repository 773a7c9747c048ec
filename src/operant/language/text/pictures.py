"""Pictures by name: one store, and the number by which a row of tokens refers to a picture.

A name is a file's path, `data:image/…;base64,…`, `KIND:…` of a kind in the registry (`scene:…`), or `array:HASH` of an
array that was put in. A row of tokens carries a picture as its reference, once for each place that the picture takes in
the model: a number from `FIRST` on, a hash of the name, so that rows that are equal see the same, in every process and
after a resume. Pixels are read when they are needed, and the last ones are kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.config.registry import PICTURES
from operant.config.text import home_path

FIRST = 1 << 61
"""No vocabulary comes so far."""
LAST = FIRST + (1 << 56)
"""Behind the last number of a picture."""
KEPT = 2**28
"""Bytes of pixels that are kept."""
LARGEST = 2**26
"""Pixels of a picture that is read."""
TYPES = ("image", "image_url", "input_image")

Pixels = NDArray[np.uint8]
_names: dict[int, str] = {}
_put: dict[str, Pixels] = {}


class Kept(OrderedDict[str, Any]):
    """What was made last, of so many bytes in all; the very last in any case.

    Args:
        most: bytes.
        size: of one, in bytes.
    """

    def __init__(self, most: int, size: Callable[[Any], int]) -> None:
        super().__init__()
        self.most, self.size, self.held = most, size, 0

    def keep(self, name: str, made: Any) -> None:
        """Keep one under a new name, and no longer those that were asked for least lately."""
        self[name] = made
        self.held += self.size(made)
        while len(self) > 1 and self.held > self.most:
            self.held -= self.size(self.popitem(last=False)[1])


_read = Kept(KEPT, lambda pixels: pixels.nbytes)


def is_picture(token: int) -> bool:
    """Whether a token of a row is a part of a picture."""
    return FIRST <= token < LAST


def reference(name: str) -> int:
    """The number of a picture."""
    token = FIRST + int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:7], "little")
    _names[token] = name
    return token


def name_of(token: int) -> str:
    """The name behind a reference. Raises ConfigError where this process has never met it."""
    if token not in _names:
        raise ConfigError(f"a row refers to picture {token}, which was never named here: encode its messages first")
    return _names[token]


def put(picture: Any) -> str:
    """Keep an array [H, W, 3] of uint8, or a picture of Pillow, and give it a name."""
    pixels = np.ascontiguousarray(picture.convert("RGB") if hasattr(picture, "convert") else picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ConfigError(f"a picture is [height, width, 3] uint8, not {list(pixels.shape)} {pixels.dtype}")
    name = f"array:{hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]}"
    _put.setdefault(name, pixels)
    return name


def read(name: str) -> Pixels:
    """[H, W, 3] of a picture.

    Raises:
        ConfigError: if there is none, or it cannot be read.
    """
    if name in _put:
        return _put[name]
    if name not in _read:
        _read.keep(name, _pixels(name))
    _read.move_to_end(name)
    return _read[name]


def _pixels(name: str) -> Pixels:
    kind, colon, rest = name.partition(":")
    if colon and kind in PICTURES:
        module, _, function = PICTURES[kind].partition(":")
        return getattr(import_module(module), function)(rest)
    if kind in ("http", "https"):
        raise ConfigError(
            f"{name:.80}: pictures are not fetched from elsewhere; give a file, or data:image/png;base64,…"
        )
    if kind == "array":
        raise ConfigError(f"the picture {name} was put in by another process, and this one does not have it")
    try:
        if kind == "data" and colon:
            head, _, text = rest.partition(",")
            if not head.startswith("image/") or not head.endswith(";base64"):
                raise ConfigError(f"data:{head:.40} is no picture: give data:image/png;base64,…")
            return _decoded(io.BytesIO(base64.b64decode(text, validate=True)))
        return _decoded(home_path(name))
    except (OSError, ValueError, binascii.Error, SyntaxError) as error:
        raise ConfigError(f"{name:.80}: not a picture that can be read ({error})") from error


def _decoded(source: Any) -> Pixels:
    from PIL import Image, ImageOps

    with Image.open(source) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"{image.width} × {image.height} pixels are more than {LARGEST:,}")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def parts_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a message says, part by part: texts {"type": "text", "text": …}, pictures {"type": "image", "image": name}.

    Pictures may also be named as {"type": "image", "path" or "url": …} and as OpenAI's {"type": "image_url",
    "image_url": {"url": …}}, or be arrays and pictures of Pillow, which are put into the store.

    Raises:
        ConfigError: for any other part.
    """
    said: object = message["content"]
    if isinstance(said, str):
        return [{"type": "text", "text": said}]
    found: list[Mapping[str, Any]] = []
    parts: Sequence[Any] = said if isinstance(said, list | tuple) else [said]
    for part in parts:
        fields: Mapping[str, Any] = part if isinstance(part, Mapping) else {}
        kind = fields.get("type")
        if kind == "text" and isinstance(fields.get("text"), str):
            found.append({"type": "text", "text": fields["text"]})
            continue
        named: Any = next((fields[k] for k in ("image", "path", "url", "image_url") if fields.get(k) is not None), None)
        named = named.get("url") if isinstance(named, Mapping) else named
        if kind not in TYPES or named is None:
            raise ConfigError(f'a message has the part {part!r:.80}: give {{"type": "text", "text": …}}, or '
                              '{"type": "image", "image": FILE}')  # fmt: skip
        found.append({"type": "image", "image": str(named) if isinstance(named, str | Path) else put(named)})
    return found


def pictures_in(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the pictures in messages, in order."""
    return [
        str(part["image"])
        for message in messages
        if not isinstance(message["content"], str)
        for part in parts_of(message)
        if part["type"] == "image"
    ]


def spoken(message: Mapping[str, Any]) -> str:
    """What a message says in words; a picture is ⟨picture NAME⟩ there."""
    if isinstance(message["content"], str):
        return message["content"]
    return "".join(p["text"] if p["type"] == "text" else f"⟨picture {p['image']:.60}⟩" for p in parts_of(message))


def is_content(value: object) -> bool:
    """Whether something is what a message may say: a text, or a list of parts."""
    if isinstance(value, str):
        return True
    if not isinstance(value, list | tuple) or not value:
        return False
    try:
        parts_of({"content": value})
    except ConfigError:
        return False
    return True
