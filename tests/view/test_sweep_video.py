"""Films of sweeps: what is kept of them is bounded, and they decode to what was solved."""

from itertools import pairwise

import numpy as np
import pytest

from operant.config.errors import OperantError
from operant.mdp import MDP, solve, worlds
from operant.view.sweep_video import Sweeps, bins, greedy, strip

av = pytest.importorskip("av")


def decoded(path):
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        return frames, float(film.streams.video[0].average_rate)


def test_a_map_is_filmed_sweep_by_sweep_and_held_at_the_end(tmp_path):
    mdp = worlds.dyna_maze()
    sweeps = Sweeps(mdp)
    solution = solve(mdp, method="value-iteration", watch=sweeps)
    frames, fps = decoded(sweeps.film(solution, "maze", tmp_path / "sweeps.mp4"))
    assert len(frames) == len(sweeps.kept) + 1 + round(2 * fps)
    assert {frame.shape for frame in frames} == {frames[0].shape}
    height = frames[0].shape[0] - 60  # above the caption, which counts
    change = [np.abs(a[:height].astype(int) - b[:height]).max() for a, b in pairwise(frames)]
    assert min(change[:5]) > 40  # values spread with every sweep
    assert max(change[-round(fps) :]) < 40  # and then stand


def test_other_models_are_filmed_as_strips(tmp_path):
    mdp = worlds.forest()
    sweeps = Sweeps(mdp)
    solution = solve(mdp, method="value-iteration", watch=sweeps)
    frames, _ = decoded(sweeps.film(solution, "forest", tmp_path / "sweeps.mp4"))
    assert len(frames) > len(sweeps.kept)


def test_what_is_kept_grows_with_the_logarithm_of_the_sweeps():
    sweeps = Sweeps(worlds.forest())
    for iteration in range(1, 100_000):
        sweeps(iteration, 1.0, np.zeros(3))
    kept = [iteration for iteration, _, _ in sweeps.kept]
    assert kept[:48] == list(range(1, 49))
    assert len(kept) < 200


def test_a_method_without_sweeps_says_what_to_film(tmp_path):
    mdp = worlds.forest()
    with pytest.raises(OperantError, match="Try --method value-iteration"):
        Sweeps(mdp).film(solve(mdp), "forest", tmp_path / "sweeps.mp4")


def test_many_states_are_averaged_in_order():
    values = np.arange(1_000_000, dtype=np.float64)
    binned = bins(values)
    assert len(binned) == 54 * 160
    assert np.all(np.diff(binned) > 0)
    assert binned.mean() == pytest.approx(values.mean(), rel=1e-3)
    picture = strip(binned, (0.0, 1e6))
    assert picture.dtype == np.uint8
    assert picture[0, 0].sum() > picture[-1, 0].sum()  # pale where low, deep where high


def test_greedy_actions_are_all_that_are_tied():
    P = np.zeros((2, 3, 2))
    P[:, :, 1] = 1.0
    mdp = MDP(P, np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), 0.5, terminal=[1])
    assert greedy(mdp, np.zeros(2)).tolist() == [[True, True, False], [False, False, False]]
