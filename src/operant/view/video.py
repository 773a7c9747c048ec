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
from operant.view.caption import PAPER, Bar, Reads, Script

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

Overlay = Callable[[int], str]
Hear = Callable[[str, bool], None]
"""Told the name of a key, and whether it went down or up."""


def record(
    frames: Iterable[Frame], path: Path, *, fps: int, overlay: Overlay | None = None, reads: Reads | None = None,
    poster: bool = False,
) -> Path:  # fmt: skip
    """Encode `frames` (uint8 [H, W, 3], all of one shape) as `path`, an mp4 that every browser plays, and return it.

    Frames are encoded as they are drawn from the iterable and then let go, so that memory does not grow with the length
    of the film. `overlay(k)` is the caption of frame k, asked for before frame k + 1 is drawn; it stands in a bar below
    the picture, never over it, with parts set apart by " · ", and below that what was read, `reads(k)`. Odd sizes are
    padded by one row or column, since H.264 with 4:2:0 colour needs even ones. The file has a temporary name until it
    is complete: a film that was cut short leaves nothing behind. With `poster`, its last picture lies beside it as a
    small JPEG of the same name.

    Raises OperantError when there is no frame or a frame is not a picture, DiskError when the file cannot be written.
    """
    if fps < 1:
        raise OperantError(f"fps is {fps}; a film needs at least 1 frame per second")
    pictures = _checked(frames)
    first = next(pictures, None)
    if first is None:
        raise OperantError(f"no frames to write to {path.name}: the episode ended before its first picture")
    below = _Below(overlay, reads)
    partial, last = path.with_name(f".{path.name}.partial"), first
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _Encoder(partial, fps) as encoder:
            for index, picture in enumerate(chain((first,), pictures)):
                first = None  # the encoder has its own copy: keep no frame alive
                last = below.composed(picture, index)
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


def show(
    frames: Iterable[Frame], fps: int, overlay: Overlay | None = None, hear: Hear | None = None,
    reads: Reads | None = None,
) -> None:  # fmt: skip
    """Play `frames` in a window at `fps`, until they end or the window is closed (its button, Escape or q).

    Small pictures are enlarged by a whole factor. `overlay` and `reads` are those of `record`. `hear` is told of keys
    that go down and up before the next frame is drawn; q is then a key like any other.

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
        _play(_checked(frames), fps, overlay, hear, reads)
    except pygame.error as error:
        raise OperantError(f"no window could be opened ({error}); leave out --show to write a video instead") from error
    finally:
        pygame.display.quit()


def _play(
    pictures: Iterator[Frame], fps: int, overlay: Overlay | None, hear: Hear | None, reads: Reads | None
) -> None:  # fmt: skip
    import pygame

    clock = pygame.time.Clock()
    screen: Any = None
    below = _Below(overlay, reads)
    for index, picture in enumerate(pictures):
        factor = max(1, 480 // max(picture.shape[:2]))
        picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        canvas = below.composed(picture, index)
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


class _Below:
    """What stands below every picture of a film, made for the first of them."""

    def __init__(self, overlay: Overlay | None, reads: Reads | None) -> None:
        self.overlay, self.reads = overlay, reads
        self.bar: Bar | None = None
        self.script: Script | None = None

    def composed(self, picture: Frame, index: int) -> Frame:
        """The picture [H, W, 3] with what stands below it, padded to even sides."""
        import numpy as np

        whole, width = [picture], picture.shape[1]
        if self.overlay is not None:
            caption = self.overlay(index)
            self.bar = self.bar or Bar(width, caption)
            whole.append(self.bar.draw(caption))
        texts = self.reads(index) if self.reads is not None else ()
        if texts and index == 0:
            self.script = Script(width, texts)
        if self.script is not None:
            whole.append(self.script.draw(texts))
        height = sum(len(part) for part in whole)
        canvas = np.empty((height + height % 2, width + width % 2, 3), dtype=np.uint8)
        canvas[:] = PAPER
        canvas[:height, :width] = np.vstack(whole)
        return canvas


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
