"""Films: streamed, whole or absent, captioned beside the picture."""

from __future__ import annotations

import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from operant.config.errors import DiskError, OperantError
from operant.view.video import record, show


def solid(count: int, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    for index in range(count):
        yield np.full((height, width, 3), index % 256, dtype=np.uint8)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_every_frame_comes_back_in_order_at_its_time(tmp_path: Path) -> None:
    levels = [0, 60, 120, 180, 240]
    frames = (np.full((40, 60, 3), level, dtype=np.uint8) for level in levels)
    path = record(frames, tmp_path / "deep" / "film.mp4", fps=25)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 25
        times = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(times, np.arange(5) / 25)
    assert np.allclose([frame.mean() for frame in decoded(path)], levels, atol=4)
    assert [entry.name for entry in path.parent.iterdir()] == ["film.mp4"]


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    written = record(solid(50), tmp_path / "film.mp4", fps=30).read_bytes()
    assert 0 < written.index(b"moov") < written.index(b"mdat")


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    count, alive, peak = 3000, 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[np.ndarray]:
        nonlocal alive, peak
        for index in range(count):
            # The array that owns the memory is the one to watch: a view of it may die while the memory is held.
            frame = np.full((32, 32, 3), index % 256, dtype=np.uint8)
            weakref.finalize(frame, gone)
            alive += 1
            peak = max(peak, alive)
            yield frame
            del frame

    tracemalloc.start()
    path = record(frames(), tmp_path / "long.mp4", fps=60, overlay=lambda step: f"x · step {step}")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 3
    assert most < count * 32 * 32 * 3 / 4  # copies of the frames are not kept either
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == count


def test_the_caption_is_asked_for_before_the_next_frame_is_drawn(tmp_path: Path) -> None:
    drawn = -1
    pairs: list[tuple[int, int]] = []

    def frames() -> Iterator[np.ndarray]:
        nonlocal drawn
        for frame in solid(5):
            drawn += 1
            yield frame

    record(frames(), tmp_path / "film.mp4", fps=10, overlay=lambda k: pairs.append((k, drawn)) or f"step {drawn}")
    assert sorted(set(pairs)) == [(k, k) for k in range(5)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47), (48, 65), (49, 64), (210, 160)])
def test_odd_sizes_are_padded_not_cropped(tmp_path: Path, height: int, width: int) -> None:
    frames = decoded(record(iter([np.full((height, width, 3), 200, np.uint8)]), tmp_path / "odd.mp4", fps=10))
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert abs(float(frames[0][:height, :width].mean()) - 200) < 25


def test_the_caption_stands_below_the_picture_and_changes(tmp_path: Path) -> None:
    bright = [np.full((400, 600, 3), 255, dtype=np.uint8)] * 2
    path = record(bright, tmp_path / "film.mp4", fps=10, overlay=lambda k: "CartPole-v1 · return " + "17"[k] * 3)
    plain, other = decoded(path)
    height = plain.shape[0] - 400
    assert 20 <= height <= 40
    assert plain[:399].min() > 235  # nothing is written over the picture
    bar = plain[402:].astype(int)
    assert np.median(bar) < 60
    assert bar.max() > 180
    assert np.abs(bar - other[402:].astype(int)).max() > 100


def test_a_long_caption_on_a_small_picture_takes_more_rows(tmp_path: Path) -> None:
    words = "Environment-v1 · seed 3 · step 120 · return 120"
    narrow = decoded(record(solid(1, 210, 160), tmp_path / "a.mp4", fps=10, overlay=lambda _: words))[0]
    wide = decoded(record(solid(1, 210, 600), tmp_path / "b.mp4", fps=10, overlay=lambda _: words))[0]
    assert narrow.shape[0] - 210 > wide.shape[0] - 210
    assert narrow.shape[1] == 160


def test_no_frames_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(OperantError, match="no frames"):
        record(iter(()), tmp_path / "none.mp4", fps=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (None, "render_mode='rgb_array'"),
        (np.zeros((48, 64), np.uint8), r"uint8 \[48, 64\]"),
        (np.zeros((48, 64, 3), np.float32), "float32"),
        (np.zeros((48, 66, 3), np.uint8), "one size"),
    ],
)
def test_a_frame_that_is_no_picture_is_named_and_nothing_is_left(tmp_path: Path, second: object, words: str) -> None:
    with pytest.raises(OperantError, match=words) as caught:
        record([np.zeros((48, 64, 3), np.uint8), second], tmp_path / "film.mp4", fps=10)  # type: ignore[list-item]
    assert "frame 1" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError, OSError])
def test_an_interruption_keeps_the_old_film_and_its_own_error(tmp_path: Path, failure: type[BaseException]) -> None:
    path = record(solid(3), tmp_path / "film.mp4", fps=10)
    before = path.read_bytes()

    def broken() -> Iterator[np.ndarray]:
        yield from solid(100)
        raise failure

    with pytest.raises(failure):
        record(broken(), path, fps=10)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_disk_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".film.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(DiskError, match="could be written"):
        record(solid(300, 240, 320), tmp_path / "film.mp4", fps=10)
    assert not (tmp_path / "film.mp4").exists()


def test_fps_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(OperantError, match="fps is 0"):
        record(solid(1), tmp_path / "film.mp4", fps=0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen driver")
def test_show_says_so_where_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OperantError, match="no screen"):
        show(solid(3), 30)


def test_show_draws_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    captions: list[int] = []
    show(solid(4), 1000, overlay=lambda k: captions.append(k) or f"step {k}")
    assert captions == [0, 1, 2, 3]
