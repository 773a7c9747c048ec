"""What a newcomer opens in the browser: a run's report in light, dark and on a telephone, its film, and TensorBoard."""

import json
import re
import subprocess
import sys
import threading

import av
import numpy as np
import pytest

from first_hour.browser import UNREADABLE, chromium, page
from operant.cli.main import main
from operant.run.metrics import read_metrics

LAST_FRAME = """async () => {
  const film = document.querySelector("video");
  await new Promise(done => { film.onseeked = done; film.currentTime = film.duration; });
  const canvas = Object.assign(document.createElement("canvas"), {width: film.videoWidth, height: film.videoHeight});
  canvas.getContext("2d").drawImage(film, 0, 0);
  return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with a film and a report."""
    runs = tmp_path_factory.mktemp("pages")
    words = ["train", "ppo", "CartPole-v1", "--runs", str(runs), "--total-steps", "8192", "--eval.episodes", "8"]
    assert main([*words, "--eval.every", "2048", "--eval.during", "4"]) == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_report_reads_well(browser, run, width, scheme):
    with page(browser, (run / "report.html").as_uri(), width=width, scheme=scheme) as opened:
        assert opened.complaints == []
        assert [address for address in opened.asked if not address.startswith(("file:", "data:"))] == []
        wide = opened.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], wide
        assert opened.evaluate(UNREADABLE) == []
        score = json.loads((run / "run.json").read_text())["evaluation"]["mean"]
        shown = re.search(r"final evaluation\s+([\d.,]+)", opened.inner_text("header"))
        assert shown is not None
        assert float(shown[1].replace(",", "")) == pytest.approx(score, abs=0.5)


def test_a_curve_has_titles_and_tells_its_values(browser, run):
    with page(browser, (run / "report.html").as_uri()) as opened:
        curve = opened.locator("figure.chart").first
        titles = curve.inner_text()
        assert "steps" in titles, titles
        assert "return" in titles, titles
        curve.locator(".plot").hover(position={"x": 200, "y": 60})
        told = curve.locator(".reading").inner_text()
        assert re.search(r"\d", told), told


def test_a_film_has_a_poster_and_ends_with_the_final_return(browser, run):
    (film,) = (run / "videos").glob("*.mp4")
    with page(browser, (run / "report.html").as_uri()) as opened:
        poster = opened.locator("video").first.get_attribute("poster")
        assert poster is not None
        assert poster.startswith("data:image/")
        seen = np.array(opened.evaluate(LAST_FRAME), dtype=np.uint8)
    with av.open(str(film)) as container:
        *_, last = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    seen = seen.reshape(*last.shape[:2], 4)[..., :3]
    assert np.abs(seen.astype(int) - last).mean() < 8.0  # colours are converted in two ways


@pytest.fixture
def tensorboard(tmp_path_factory):
    """A run whose rows are mirrored, and TensorBoard's own server over it."""
    pytest.importorskip("tensorboard")
    runs = tmp_path_factory.mktemp("mirrored")
    words = ["train", "ppo", "CartPole-v1", "--runs", str(runs), "--total-steps", "4096", "--eval.episodes", "2"]
    assert main([*words, "--track", "tensorboard", "--no-save.videos", "--no-save.report"]) == 0
    (folder,) = runs.iterdir()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stderr)))
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield folder, address[0]
        server.terminate()


def test_tensorboard_shows_the_rows_that_a_run_mirrors(browser, tensorboard):
    folder, address = tensorboard
    rows = read_metrics(folder).frame()
    with page(browser, f"{address}/#timeseries") as opened:
        opened.get_by_text("train", exact=False).first.wait_for(timeout=60_000)
        (name,) = opened.evaluate("fetch('data/runs').then(answer => answer.json())")
        tags = opened.evaluate("fetch('data/plugin/scalars/tags').then(answer => answer.json())")
        assert {"train/return", "policy/kl"} <= set(tags[name])
        where = f"data/plugin/scalars/scalars?tag=policy%2Fkl&run={name}"
        points = opened.evaluate(f"fetch('{where}').then(answer => answer.json())")
    assert [step for _, step, _ in points] == list(rows["step"])
    assert np.allclose([value for *_, value in points], rows["policy/kl"], rtol=1e-6)
