"""An episode in pictures on a page: what was seen before each action and at its end, small, as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from operant.view.turns import decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDEST = 480
"""Points of a picture's width; wider ones are made smaller."""
COLOURS = 64
MARGIN = 4
"""Points that are left beside the last in which a picture has something."""


def strip(pictures: Sequence[bytes]) -> list[str]:
    """Pictures as PNG of few colours; [] where one is none that can be read."""
    from PIL import Image

    try:
        shown = _trimmed([decoded(picture) for picture in pictures])
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


def _trimmed(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Without the columns at the right and the rows at the bottom that are of the corner's colour in all of them."""
    high = wide = 1
    for x in pictures:
        used = (x != x[-1, -1]).any(-1)
        high = max([high, *(np.flatnonzero(used.any(1))[-1:] + MARGIN)])
        wide = max([wide, *(np.flatnonzero(used.any(0))[-1:] + MARGIN)])
    return [x[:high, :wide] for x in pictures]
