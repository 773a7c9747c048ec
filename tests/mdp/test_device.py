"""The sparse tensors of torch give the answers of the kernels; on a GPU too, where one is at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.io.mapped import open_mapped, save_mapped
from operant.mdp.model import MDP
from operant.mdp.rows import ModelError
from operant.mdp.solvers.device import DeviceRows, solve_on_device
from operant.mdp.solvers.solve import solve
from reference.scale_models import ragged

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def model(seed: int, *, leak: bool = False, discount: float = 0.95) -> MDP:
    """300 states with 1 to 5 actions, some terminal."""
    rows = ragged(np.random.default_rng(seed), 300, most_actions=5, most_outcomes=4, leak=leak)
    return MDP.from_rows(rows, discount, leak=leak)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", ["value-iteration", "modified-policy-iteration"])
@pytest.mark.parametrize("leak", [False, True])
def test_the_answer_is_that_of_the_kernels(device: str, method: Any, leak: bool) -> None:
    mdp = model(1, leak=leak)
    exact = solve(mdp, 1e-11)
    found = solve_on_device(mdp, device=device, epsilon=1e-5, method=method)
    assert found.certificate.gap <= 1e-5
    assert (found.certificate.lower <= exact.certificate.upper).all()
    assert (exact.certificate.lower <= found.certificate.upper).all()
    assert np.abs(found.values - exact.values).max() <= found.certificate.radius + 1e-11
    assert exact.ties(1e-4)[found.rows[found.rows >= 0]].all()
    assert np.array_equal(found.rows < 0, mdp.rows.terminal)
    assert f"on {device}" in found.why


@pytest.mark.parametrize("device", DEVICES)
def test_one_sweep_is_that_of_the_kernel(device: str) -> None:
    mdp = model(2)
    v = np.random.default_rng(0).normal(size=300)
    v[mdp.rows.terminal] = mdp.rows.terminal_value[mdp.rows.terminal]
    out, choice = np.empty(300), np.empty(300, np.int64)
    bounds = Sweeps(mdp, 1).backup(v, out, choice)
    rows = DeviceRows(mdp, torch.device(device))
    q = rows.action_values(rows.put(v))
    best = rows.best(q)
    np.testing.assert_allclose(best.cpu().numpy(), out, rtol=0, atol=1e-14)
    greedy = rows.greedy(q, best).cpu().numpy()
    assert np.array_equal(np.where(greedy == mdp.num_rows, -1, greedy), choice)
    assert rows.extremes(best - rows.put(v)) == pytest.approx(bounds)
    rows.take(rows.greedy(q, best))
    np.testing.assert_allclose(rows.evaluate(rows.put(v)).cpu().numpy(), out, rtol=0, atol=1e-14)


def test_the_first_of_equal_actions_is_taken() -> None:
    P = np.ones((1, 3, 1))
    mdp = MDP(P, np.array([[1.0, 2.0, 2.0]]), 0.5)
    assert solve_on_device(mdp, device="cpu").policy.tolist() == [1]


def test_a_model_of_terminal_states_only() -> None:
    mdp = MDP(np.zeros((2, 1, 2)), np.full((2, 1), -np.inf), 0.5, terminal={0: 3.0, 1: -1.0})
    found = solve_on_device(mdp, device="cpu")
    assert found.values.tolist() == [3.0, -1.0]
    assert found.policy.tolist() == [-1, -1]


def test_a_mapped_model_goes_to_the_device(tmp_path: Path) -> None:
    save_mapped(model(3), tmp_path / "m")
    mine = solve_on_device(open_mapped(tmp_path / "m"), device="cpu")
    assert mine.values.tobytes() == solve_on_device(model(3), device="cpu").values.tobytes()


def test_each_sweep_is_watched_and_a_start_is_used() -> None:
    seen: list[tuple[int, float]] = []
    cold = solve_on_device(model(4), device="cpu", watch=lambda i, gap, v: seen.append((i, float(v[0]))))
    assert [i for i, _ in seen] == list(range(1, cold.iterations + 1))
    assert seen[-1][1] == pytest.approx(cold.values[0], abs=1e-4)
    warm = solve_on_device(model(4), device="cpu", initial=cold.values)
    assert warm.iterations < cold.iterations


def test_what_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r'no device "?.*use device="cpu"'):
        solve_on_device(model(5), device="cuda:99")
    with pytest.raises(ModelError, match="does not run on a device"):
        solve_on_device(model(5), device="cpu", method="policy-iteration")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cannot be certified"):
        solve_on_device(model(5), device="cpu", epsilon=1e-17)
    stopped = solve_on_device(model(5), device="cpu", max_iterations=1)
    assert "max_iterations" in stopped.why
    assert stopped.certificate.gap > 1e-6

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr("operant.mdp.solvers.device.DeviceRows", full)
    with pytest.raises(ModelError, match="not enough memory"):
        solve_on_device(model(5), device="cpu")


def test_torch_is_not_imported_with_the_module() -> None:
    code = "import sys, operant.mdp.solvers.device; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
