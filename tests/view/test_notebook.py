"""A run shows itself in a notebook: its score, its curve and its folder; nothing in it is markup of a stranger's."""

import json
import shutil
from html.parser import HTMLParser

import pytest

import operant

QUICK = {"env.num": 2, "algo.horizon": 32, "policy.hidden": [8], "eval.episodes": 3, "save.report": False}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


def read(html):
    found = Tags()
    found.feed(html)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return operant.train(
        "ppo", "CartPole-v1", total_steps=800, runs=runs, quiet=True, **{"save.videos": False}, **QUICK
    )


def test_it_holds_score_curve_and_folder(run):
    found = read(run._repr_html_())
    assert {"svg", "path", "table"} <= set(found.tags)
    assert "script" not in found.tags
    assert "ppo on CartPole-v1, seed 1" in found.text
    assert f"return {run.folder.info()['evaluation']['mean']:.2f}" in found.text
    assert str(run.path) in found.text
    assert "fill:#" not in run._repr_html_()  # no ground of its own: light and dark pages show through
    assert "background" not in run._repr_html_()


def test_what_a_stranger_wrote_is_text(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy, symlinks=True)
    info = json.loads((copy / "run.json").read_text())
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    (copy / "run.json").write_text(json.dumps(info | {"env": bad, "error": bad, "algorithm": bad, "status": bad}))
    found = read(operant.Run(copy)._repr_html_())
    assert not {"script", "img"} & set(found.tags)
    assert "alert(1)" in found.text


def test_metrics_that_cannot_be_read_cost_the_curve_alone(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy, symlinks=True)
    for file in (copy / "metrics").iterdir():
        file.write_bytes(b"nothing")
    found = read(operant.Run(copy)._repr_html_())
    assert "svg" not in found.tags
    assert "evaluation" in found.text


def test_a_policy_that_ships_shows_its_card_s_figure():
    assert "return 500.00" in read(operant.Run("operant/CartPole-v1")._repr_html_()).text


def test_a_solution_says_its_method_and_its_certificate():
    from operant.mdp import MDP, solve

    solution = solve(MDP([[[1.0]]], [3.0], 0.5, start=0))
    found = read(solution._repr_html_())
    assert solution.method in found.text
    assert "1 states" in found.text
    assert f"{solution.certificate.radius:.3g}" in found.text


def test_a_notebook_shows_it(run):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    code = f"import operant\noperant.Run({str(run.path)!r})"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=120).execute()
    (output,) = book.cells[0].outputs
    assert "<svg" in output["data"]["text/html"]
