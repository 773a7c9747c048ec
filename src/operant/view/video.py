"""Frames in, a film out: an H.264 file written as the frames arrive, or a window on the screen."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operant.config.errors import DiskError, OperantError
from operant.env.headless import has_screen
from operant.run.disk import mending, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

Overlay = Callable[[int], str]
Hear = Callable[[str, bool], None]
"""Told the name of a key, and whether it went down or up."""
_INK, _PAPER = (236, 238, 241), (22, 25, 29)


def record(
    frames: Iterable[Frame], path: Path, *, fps: int, overlay: Overlay | None = None, poster: bool = False
) -> Path:
    """Encode `frames` (uint8 [H, W, 3], all of one shape) as `path`, an mp4 that every browser plays, and return it.

    Frames are encoded as they are drawn from the iterable and then let go, so that memory does not grow with the length
    of the film. `overlay(k)` is the caption of frame k, asked for before frame k + 1 is drawn; it stands in a bar below
    the picture, never over it, with parts set apart by " · ". Odd sizes are padded by one row or column, since H.264
    with 4:2:0 colour needs even ones. The file has a temporary name until it is complete: a film that was cut short
    leaves nothing behind. With `poster`, its last picture lies beside it as a small JPEG of the same name.

    Raises OperantError when there is no frame or a frame is not a picture, DiskError when the file cannot be written.
    """
    if fps < 1:
        raise OperantError(f"fps is {fps}; a film needs at least 1 frame per second")
    pictures = _checked(frames)
    first = next(pictures, None)
    if first is None:
        raise OperantError(f"no frames to write to {path.name}: the episode ended before its first picture")
    bar = _Bar(first.shape[1], overlay(0)) if overlay is not None else None
    partial, last = path.with_name(f".{path.name}.partial"), first
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _Encoder(partial, fps) as encoder:
            for index, picture in enumerate(chain((first,), pictures)):
                first = None  # the encoder has its own copy: keep no frame alive
                caption = overlay(index) if overlay is not None else ""
                last = _composed(picture, bar, caption)
                encoder.write(last)
                del picture
        partial.replace(path)
        if poster:
            _write_poster(last, path.with_suffix(".jpg"))
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_poster(picture: Frame, path: Path) -> None:
    """The last picture of a film, small, for a page to show before it is played."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((640, 640))
    with _disk(path):
        image.save(path, quality=85)


def show(frames: Iterable[Frame], fps: int, overlay: Overlay | None = None, hear: Hear | None = None) -> None:
    """Play `frames` in a window at `fps`, until they end or the window is closed (its button, Escape or q).

    Small pictures are enlarged by a whole factor. `overlay` is that of `record`. `hear` is told of keys that go down
    and up before the next frame is drawn; q is then a key like any other.

    Raises OperantError when there is no screen, or pygame is not installed.
    """
    if not has_screen() and "SDL_VIDEODRIVER" not in os.environ:
        raise OperantError("there is no screen here to open a window on; leave out --show to write a video instead")
    try:
        import pygame
    except ImportError as error:
        raise OperantError("a window needs pygame: pip install 'gymnasium[classic-control]'") from error
    try:
        pygame.display.init()
        _play(_checked(frames), fps, overlay, hear)
    except pygame.error as error:
        raise OperantError(f"no window could be opened ({error}); leave out --show to write a video instead") from error
    finally:
        pygame.display.quit()


def _play(pictures: Iterator[Frame], fps: int, overlay: Overlay | None, hear: Hear | None) -> None:
    import pygame

    clock = pygame.time.Clock()
    screen: Any = None
    bar: _Bar | None = None
    for index, picture in enumerate(pictures):
        factor = max(1, 480 // max(picture.shape[:2]))
        picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        caption = overlay(index) if overlay is not None else ""
        if bar is None and overlay is not None:
            bar = _Bar(picture.shape[1], caption)
        canvas = _composed(picture, bar, caption)
        height, width = canvas.shape[:2]
        if screen is None:
            screen = pygame.display.set_mode((width, height))
            pygame.display.set_caption("operant")
        screen.blit(pygame.image.frombuffer(canvas.tobytes(), (width, height), "RGB"), (0, 0))
        pygame.display.flip()
        for event in pygame.event.get():
            key = event.type in (pygame.KEYDOWN, pygame.KEYUP)
            ends = (pygame.K_ESCAPE,) if hear is not None else (pygame.K_ESCAPE, pygame.K_q)
            left = event.type == pygame.KEYDOWN and event.key in ends
            if key and hear is not None:
                hear(pygame.key.name(event.key), event.type == pygame.KEYDOWN)
            if left or event.type == pygame.QUIT:
                return
        clock.tick(fps)


def _checked(frames: Iterable[Frame | None]) -> Iterator[Frame]:
    """The same frames, each seen to be uint8 [H, W, 3] of the first one's shape."""
    import numpy as np

    shape: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        if frame is None:
            raise OperantError(f"frame {index} is None: make the environment with render_mode='rgb_array'")
        picture = np.asarray(frame)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise OperantError(
                f"frame {index} is {picture.dtype} {list(picture.shape)}; a frame is uint8 [height, width, 3]"
            )
        shape = shape or picture.shape
        if picture.shape != shape:
            raise OperantError(
                f"frame {index} is {list(picture.shape)}, the first was {list(shape)}; a film has one size"
            )
        yield picture
        del frame, picture


def _composed(picture: Frame, bar: _Bar | None, caption: str) -> Frame:
    """The picture with its bar below, padded to even height and width: [2⌈(H+bar)/2⌉, 2⌈W/2⌉, 3]."""
    import numpy as np

    height, width = picture.shape[:2]
    total = height + (bar.height if bar is not None else 0)
    canvas = np.empty((total + total % 2, width + width % 2, 3), dtype=np.uint8)
    canvas[:] = _PAPER
    canvas[:height, :width] = picture
    if bar is not None:
        canvas[height : height + bar.height, :width] = bar.draw(caption)
    return canvas


class _Bar:
    """A slim caption bar. Parts keep their place while numbers grow, so that the eye can follow one of them."""

    def __init__(self, width: int, first: str) -> None:
        from PIL import ImageFont

        self.width = width
        self.size = max(11, min(28, width // 42))
        self.font = ImageFont.load_default(size=self.size)
        self.margin = self.size * 3 // 4
        self.rows: list[int] = []  # the row of each part
        room = self.font.getlength("0000")  # for numbers that grow
        row, x = 0, float(self.margin)
        for part in first.split(" · "):
            need = self.font.getlength(part) + (room if part[-1:].isdigit() else 0)
            if x > self.margin and x + need > width - self.margin:
                row, x = row + 1, float(self.margin)
            self.rows.append(row)
            x += need + self.size
        self.widths = [0.0] * len(self.rows)  # of each part, the widest so far
        self.leading = self.size * 3 // 2
        self.height = self.leading * (row + 1) + self.size // 2

    def draw(self, caption: str) -> Frame:
        """The bar with `caption`: [height, width, 3]."""
        import numpy as np
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (self.width, self.height), _PAPER)
        pen = ImageDraw.Draw(image)
        row, x = 0, float(self.margin)
        for index, part in enumerate(caption.split(" · ", maxsplit=len(self.rows) - 1)):
            if self.rows[index] != row:
                row, x = self.rows[index], float(self.margin)
            middle = self.size // 4 + self.leading * row + self.leading / 2
            pen.text((x, middle), part, fill=_INK, font=self.font, anchor="lm")
            self.widths[index] = max(self.widths[index], self.font.getlength(part))
            x += self.widths[index] + self.size
        return np.asarray(image)


class _Encoder:
    """An mp4 that is being written: H.264 where the build of FFmpeg has it, MPEG-4 part 2 otherwise, with a word."""

    def __init__(self, path: Path, fps: int) -> None:
        self.path, self.fps = path, fps
        self.stream: Any = None

    def __enter__(self) -> _Encoder:
        import av

        with _disk(self.path):
            self.container = av.open(str(self.path), "w", format="mp4", options={"movflags": "+faststart"})
        return self

    def write(self, canvas: Frame) -> None:
        import av

        with _disk(self.path):
            if self.stream is None:
                self.stream = self._open(*canvas.shape[:2])
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            self.container.mux(self.stream.encode(frame))

    def _open(self, height: int, width: int) -> Any:
        import av

        h264 = "libx264" in av.codecs_available
        if not h264:
            warnings.warn(
                "PyAV has no libx264 here: the video is MPEG-4 part 2, not every browser plays it", stacklevel=4
            )
        options = {"preset": "veryfast", "crf": "20", "threads": "1"} if h264 else {"qscale": "3"}
        stream = cast("Any", self.container.add_stream("libx264" if h264 else "mpeg4", rate=self.fps, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        return stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                self.container.close()
            return
        with _disk(self.path):
            self.container.mux(self.stream.encode(None))
            self.container.close()


class _disk:
    """Turn what the operating system refuses while a file is written into a DiskError in words."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        reason = None if error is None else refusal(error)
        if error is not None and reason is not None:
            written = self.path.stat().st_size if self.path.is_file() else 0
            run = self.path.parent.parent
            again = shlex.join(["operant", "play", str(run)]) if (run / "run.json").is_file() else "try again"
            raise DiskError(
                f"no video could be written to {self.path}: {reason} (more than {written:,} bytes needed). "
                f"{mending(error)}, then: {again}"
            ) from error
