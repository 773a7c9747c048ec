"""`operant solve`: models by name and by file, the certificate in words and in JSON, a folder that other verbs know."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from operant.cli.main import main
from operant.cli.models import open_model, worlds
from operant.mdp import MDP, METHODS
from operant.run.folder import RunFolder
from operant.view import solutions

MAZE = """\
S..#..
.#..#.
...#.G
"""


@pytest.fixture
def solve(tmp_path, capsys):
    """Solve a model; returns what was printed as JSON, with the exit code."""

    def run(*words):
        code = main(["solve", *words, "--runs", str(tmp_path / "runs"), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def test_the_help_names_every_method(capsys):
    assert main(["solve", "--help"]) == 0
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert set(METHODS) <= words


def test_frozen_lake_is_solved_to_the_published_values(solve):
    code, found, err = solve("FrozenLake-v1", "--discount", "0.99")
    assert code == 0
    assert found["start_value"] == pytest.approx(0.542026, abs=1e-6)
    assert found["certificate"]["policy_loss"] <= 1e-6
    for row in found["states"]:
        assert row["lower"] <= row["value"] <= row["upper"]
    assert "γ = 0.99" not in err  # it was said, so nothing was assumed


def test_without_discount_the_values_are_those_of_reaching_the_goal(solve):
    _, found, _ = solve("FrozenLake-v1", "--discount", "1")
    assert found["start_value"] == pytest.approx(float(Fraction(14, 17)), abs=1e-6)
    assert found["model"]["criterion"] == "total"


def test_options_reach_the_environment_and_the_horizon_the_solver(solve):
    _, large, _ = solve("FrozenLake-v1", "--discount", "1", "--env.kwargs.map_name", "8x8")
    assert large["model"]["states"] == 64
    _, short, _ = solve("FrozenLake-v1", "--discount", "1", "--horizon", "100")
    assert short["start_value"] == pytest.approx(0.744190, abs=1e-6)  # the time limit of the environment
    assert short["method"] == "finite-horizon"
    _, dry, _ = solve("FrozenLake-v1", "--discount", "0.5", "--env.kwargs", "{is_slippery = false}")
    assert dry["start_value"] == pytest.approx(0.5**5, abs=1e-6)


def test_a_map_a_world_and_files_are_models(solve, tmp_path):
    path = tmp_path / "maze.txt"
    path.write_text(MAZE)
    code, found, err = solve(str(path), "--discount", "0.9")
    assert code == 0
    assert found["start_value"] == pytest.approx(0.0, abs=1e-6)  # walls part the start from the goal
    assert "G with reward 1" in err
    _, world, _ = solve("world:cliff-walking")
    assert world["start_value"] == pytest.approx(-13.0, abs=1e-6)
    for suffix in (".npz", ".json"):
        name, mdp, _ = open_model("four-by-four", {})
        mdp.save(tmp_path / f"model{suffix}")
        _, again, _ = solve(str(tmp_path / f"model{suffix}"))
        assert name == "four-by-four"
        assert min(row["value"] for row in again["states"]) == pytest.approx(-3.0, abs=1e-6)


def test_what_a_map_says_itself_is_not_assumed(solve, tmp_path):
    path = tmp_path / "maze.map"
    path.write_text("discount: 0.5\nterminal: GH\nreward G: 8\n\nS.G\n..H\n")
    _, found, err = solve(str(path))
    assert found["start_value"] == pytest.approx(4.0, abs=1e-6)
    assert "Episodes end" not in err
    assert "nothing says otherwise" not in err
    _, found, _ = solve(str(path), "--discount", "0.25", "--env.kwargs.rewards", "{G = 16}")
    assert found["start_value"] == pytest.approx(4.0, abs=1e-6)


def test_prism_files_are_models(solve, tmp_path):
    from operant.mdp.io.prism import to_prism

    to_prism(open_model("cliff-walking", {})[1], tmp_path / "cliff.tra")
    code, found, err = solve(str(tmp_path / "cliff.tra"))
    assert code == 0, err
    assert found["start_value"] == pytest.approx(-13.0, abs=1e-6)


@pytest.mark.parametrize("name", sorted(worlds()))
def test_every_world_opens_by_its_name(name):
    assert open_model(name, {})[1].num_states > 0


def test_an_unsound_world_is_an_error_of_one_line(solve, capsys):
    code, found, err = solve("four-by-three", "--env.kwargs.living_reward", "0.1", "--discount", "1")
    assert (code, found) == (2, None)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["FrozenLak-v1"], "FrozenLake-v1"),
        (["gambelr"], "Did you mean 'gambler'?"),
        (["world:gambelr"], "Did you mean 'gambler'?"),
        (["CartPole-v1"], "has no table of transitions"),
        (["nowhere.txt"], "no such file"),
        (["nowhere.npz"], "no such file"),
        (["FrozenLake-v1", "--env.kwargs.map_nam", "8x8"], "Did you mean 'map_name'?"),
        (["FrozenLake-v1", "--env.kwargs.map_name", "9x9"], "KeyError"),
        (["car-rental", "--env.kwargs.most_move", "3"], "Did you mean 'most_moved'?"),
        (["FrozenLake-v1", "--method", "value-itertion"], "Did you mean 'value-iteration'?"),
        (["FrozenLake-v1", "--method", "relative-value-iteration"], "does not solve a discounted problem"),
        (["FrozenLake-v1", "--discount", "1.5"], "expected a number from 0 to 1"),
        (["FrozenLake-v1", "--epsilon", "0"], "expected a number above 0"),
        (["FrozenLake-v1", "--epsilon", "1e-40"], "epsilon"),
        (["FrozenLake-v1", "--horizon", "x"], "expected a whole number"),
        (["FrozenLake-v1", "--env.kwargs", "8x8"], "takes a table"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(solve, tmp_path, words, said):
    code, found, err = solve(*words)
    assert (code, found) == (2, None)
    assert said in err
    assert "Traceback" not in err
    assert not list((tmp_path / "runs").glob("*"))  # nothing is left behind


@pytest.fixture
def folder(tmp_path, capsys):
    """A solved model on disk."""

    def run(*words):
        assert main(["solve", *words, "--runs", str(tmp_path)]) == 0
        said = capsys.readouterr()
        return max(tmp_path.glob("*-solve-*"), key=lambda p: p.stat().st_mtime_ns), said.out

    return run


def test_only_policies_that_end_are_counted_if_asked(solve, tmp_path):
    """Staying is free and ending costs one."""
    P = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]
    MDP(P, [[0.0, -1.0], [0.0, 0.0]], 1.0, terminal=[1], start=0).save(tmp_path / "costly.npz")
    assert solve(str(tmp_path / "costly.npz"))[1]["start_value"] == pytest.approx(0.0, abs=1e-6)
    assert solve(str(tmp_path / "costly.npz"), "--must-terminate")[1]["start_value"] == pytest.approx(-1.0, abs=1e-6)


def test_a_solve_for_which_there_is_no_memory_is_refused_before_it_starts(solve, monkeypatch):
    monkeypatch.setattr("operant.data.memory.available", lambda: 1000)
    code, _, err = solve("FrozenLake-v1")
    assert code == 2
    assert "solving 16 states needs" in err
    assert "may be used" in err


def test_the_terminal_shows_certificate_and_arrows(folder):
    path, out = folder("FrozenLake-v1", "--discount", "0.99")
    assert "every value is within" in out
    assert "Value of the start: 0.54202" in out
    assert "  ← H ← H\n  ↑ ↓ ← H\n  H → ↓ G" in out
    record = solutions.read(path)
    assert record.optimal is not None
    assert record.optimal[6].tolist() == [True, False, True, False]  # left and right are tied


def test_other_verbs_know_the_folder(folder, tmp_path, capsys):
    path, _ = folder("CliffWalking-v1", "--discount", "0.99", "--method", "value-iteration")
    (tmp_path / path.name / "report.html").unlink()
    assert main(["report", "last", "--runs", str(tmp_path)]) == 0
    page = (path / "report.html").read_text()
    assert "It is certain that every value lies within" in page
    assert page.count("data:image/png") == 1
    assert main(["list", "runs", "--runs", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out.split("report.html\n")[1])
    assert row["status"] == "finished"
    assert row["return"] == pytest.approx(-12.247898, abs=1e-6)
    for verb in ("eval", "play", "resume", "export", "reproduce"):
        assert main([verb, str(path)]) == 2
        assert "is a solved model, not a training run" in capsys.readouterr().err


def test_solutions_are_compared_side_by_side_and_not_with_runs(folder, tmp_path, capsys):
    one, _ = folder("CliffWalking-v1", "--discount", "0.99", "--method", "value-iteration")
    two, _ = folder("CliffWalking-v1", "--discount", "0.99", "--method", "modified-policy-iteration")
    three, _ = folder("FrozenLake-v1", "--discount", "0.99")
    assert main(["compare", str(one), str(two), str(three), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in found["solutions"]][:2] == ["value-iteration", "modified-policy-iteration"]
    (pair,) = found["pairs"]  # of one model only
    assert pair["apart"] <= pair["allowed"]
    assert pair["differ"] == 0
    assert main(["compare", str(one), str(two)]) == 0
    assert "policies agree up to ties" in capsys.readouterr().out
    run = RunFolder.create(tmp_path, env="X-v0", algorithm="ppo", seed=1).path
    assert main(["compare", str(one), str(run)]) == 2
    assert "compare runs with runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "solution.npz").write_bytes(b"PK"),
        lambda path: (path / "solution.json").write_text("[]"),
        lambda path: (path / "solution.json").write_text("{}"),
        lambda path: np.savez(path / "solution.npz", values=np.zeros(3)),
        lambda path: np.savez(path / "solution.npz", values=np.array([{}], dtype=object)),
    ],
    ids=["cut", "a list", "empty", "other arrays", "a pickle"],
)
def test_a_damaged_solution_is_told_and_nothing_is_unpickled(folder, capsys, damage):
    path, _ = folder("two-state")
    damage(path)
    assert main(["report", str(path)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_names_of_a_model_are_escaped_in_its_page(folder, tmp_path):
    path = tmp_path / "<script>alert(1)</script>.txt".replace("/", "_")
    path.write_text("S.G\n")
    written, _ = folder(str(path), "--discount", "0.9")
    assert "<script>alert" not in (written / "report.html").read_text()


def test_it_does_not_wait_for_torch():
    code = (
        "import sys\n"
        "from operant.cli import solve, models, parser\n"
        "models.open_model('FrozenLake-v1', {})\n"
        "import operant.view.solve_report\n"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
