"""An episode in pictures on a page: what was seen before each action and at its end, small, as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from operant.view.turns import cut, decoded

WIDEST = 480
"""Points of a picture's width; wider ones are made smaller."""
COLOURS = 64


def strip(pictures: Sequence[bytes]) -> list[str]:
    """Pictures as PNG of few colours; [] where one is none that can be read."""
    from PIL import Image

    try:
        shown = cut([decoded(picture) for picture in pictures])
    except (OSError, ValueError, Image.DecompressionBombError):
        return []
    found: list[str] = []
    for array in shown:
        image, out = Image.fromarray(array), io.BytesIO()
        if image.width > WIDEST:
            image = image.resize((WIDEST, max(1, image.height * WIDEST // image.width)))
        image.quantize(COLOURS).save(out, "PNG", optimize=True)
        found.append("data:image/png;base64," + base64.b64encode(out.getvalue()).decode())
    return found
