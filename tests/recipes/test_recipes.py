"""The room of recipes: claims, rows that are kept, names of the lectures, and every recipe in miniature."""

import json
import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from operant.agents.web.browser import browser_path
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.recipes import Claim, Recipe, published, recipe, registry, run, runner, verify
from operant.recipes.page import page
from operant.recipes.registry import ALIASES, ON_PAPER, RECIPES

BROWSED = ("web-ladder",)
"""Recipes that play in a browser."""


def rows(**numbers):
    return [
        {"arm": arm, "seed": seed, "metrics": {"x": x}}
        for arm, values in numbers.items()
        for seed, x in enumerate(values, 1)
    ]


def says(table, **claim):
    return Claim(**{"text": "", "metric": "x", "arm": "a", "bar": 0.0} | claim).verdict(table, (1, 2, 3))


def test_a_claim_that_must_hold_is_about_the_estimate():
    assert says(rows(a=[1, 2, 3]), bar=2.0).says == "holds"
    assert says(rows(a=[1, 2, 3]), bar=2.1).says == "fails"
    assert says(rows(a=[1, 2, 3]), bar=2.0, most=True).says == "holds"
    assert says(rows(a=[1, 2]), bar=0.0).says == "not yet run"
    assert says(rows(a=[1, None, 3]), bar=0.0).says == "not yet run"


def test_an_open_claim_is_about_the_whole_interval():
    assert says(rows(a=[5, 6, 7]), bar=4.0, must=False).says == "holds"
    assert says(rows(a=[1, 6, 7]), bar=4.0, must=False).says == "null"
    assert says(rows(a=[1, 2, 3]), bar=4.0, must=False).says == "fails"
    assert says(rows(a=[math.nan, 6, 7]), bar=4.0, must=False).says == "fails"  # what is no number reaches nothing


def test_arms_are_held_against_each_other_seed_by_seed():
    """The seeds differ more than the arms: in pairs the difference is the same on each."""
    table = rows(a=[1.0, 11.0, 21.0], b=[0.0, 10.0, 20.0])
    found = says(table, over="b", bar=0.5, must=False)
    assert (found.says, found.estimate, found.low, found.high) == ("holds", 1.0, 1.0, 1.0)
    assert says(rows(a=[2, 4, 6], b=[1, 2, 3]), over="b", ratio=True, bar=2.0).estimate == 2.0


@pytest.fixture
def coin(monkeypatch):
    """A recipe of one number, in the place of one that ships."""
    calls = []

    def trial(t):
        calls.append((t.arm, t.seed, t.miniature))
        return {"x": t.seed + (10.0 if t.arm == "heads" else 0.0)}

    made = Recipe(
        name="coin", title="Coin", source="nobody", paper="p", here="h", mechanism="m",
        arms={"heads": "a", "tails": "b"}, controls=("tails",), trial=trial,
        claims=(Claim(text="heads are more", metric="x", arm="heads", over="tails", bar=10.0),),
    )  # fmt: skip
    for module in (runner, published):
        monkeypatch.setattr(module, "recipe", lambda name: made)
    return made, calls


def test_rows_are_kept_as_they_come_and_a_run_goes_on(coin, tmp_path, monkeypatch):
    _, calls = coin
    result = run("coin", arms=["heads"], seeds=2, runs=tmp_path)
    assert [v.says for v in result.verdicts] == ["not yet run"]
    assert calls == [("heads", 1, False), ("heads", 2, False)]
    result = run("coin", runs=tmp_path)
    assert [v.says for v in result.verdicts] == ["holds"]
    assert len(calls) == 6
    told = json.loads((tmp_path / "recipe-coin" / "result.json").read_text())
    assert told["claims"][0]["says"] == "holds"
    assert len(told["rows"]) == 6
    run("coin", runs=tmp_path)
    assert len(calls) == 6
    monkeypatch.setattr(runner, "spec_of", lambda *_, **__: "another text")
    assert run("coin", runs=tmp_path, seeds=1).verdicts[0].says == "not yet run"
    assert len(calls) == 8


def test_a_seed_that_is_run_again_lands_where_it_should(coin, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "STORED", tmp_path)
    with pytest.raises(ConfigError, match="nothing of coin is published"):
        verify("coin", runs=tmp_path)
    (tmp_path / "coin.json").write_text(json.dumps(run("coin", runs=tmp_path / "a").plain()))
    assert verify("coin", runs=tmp_path) == []
    told = json.loads((tmp_path / "coin.json").read_text())
    told["rows"] = [row | {"metrics": {"x": row["metrics"]["x"] + 100.0}} for row in told["rows"]]
    (tmp_path / "coin.json").write_text(json.dumps(told))
    (line,) = verify("coin", runs=tmp_path / "b")
    assert "x is 11, and 1" in line


def test_where_a_new_seed_lands_is_student_s():
    """Of 20,000 draws of n + 1 numbers the last lies within in 99 of 100 cases."""
    rng = np.random.default_rng(0)
    inside = [low <= x[-1] <= high for x in rng.normal(size=(4000, 4)) for low, high in [published.expected(x[:3])]]
    assert np.mean(inside) == pytest.approx(0.99, abs=0.006)
    assert published.expected([1.0]) == (-math.inf, math.inf)


def test_a_recipe_speaks_of_arms_that_it_has(coin):
    with pytest.raises(ValueError, match="arms that it has not: edge"):
        replace(coin[0], controls=("edge",))


def test_names_are_resolved_or_refused_in_words(monkeypatch, capsys):
    with pytest.raises(ConfigError, match="no recipe lrq; nearest: lqr"):
        recipe("lrq")
    monkeypatch.setitem(registry.ALIASES, "kalman", ("lqr", "the same equation"))
    monkeypatch.setitem(registry.ON_PAPER, "apollo", ("it needs a rocket", "operant recipe run lqr"))
    assert recipe("kalman") is recipe("LQR")
    with pytest.raises(ConfigError, match=r"it needs a rocket\. The nearest thing that runs: operant recipe run lqr"):
        recipe("apollo")
    assert main(["recipe", "list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*RECIPES, "kalman", "apollo"))
    assert main(["recipe", "run", "lqr", "--arm", "pp"]) == 2
    assert "lqr has no arm pp; nearest: ppo" in capsys.readouterr().err


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is(name, capsys):
    its = recipe(name)
    assert its.name == name
    assert its.controls
    assert len(its.seeds) >= 3
    assert any(claim.must for claim in its.claims)
    text = page(its)
    assert all(claim.text in text for claim in its.claims)
    assert main(["recipe", "show", name]) == 0
    told = capsys.readouterr().out
    assert all(arm in told for arm in its.arms)


@pytest.mark.spread(4)
@pytest.mark.filterwarnings(
    "ignore::operant.language.learn.batch_checks.TrainingWarning", "ignore:.*goes through transformers"
)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_in_miniature(name, tmp_path, tmp_path_factory, monkeypatch):
    if name in BROWSED and (find_spec("playwright") is None or find_spec("miniwob") is None or browser_path() is None):
        pytest.skip("no browser is installed")
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    result = run(name, seeds=1, miniature=True, runs=tmp_path)
    assert {row["arm"] for row in result.rows} == {*recipe(name).arms}
    assert all(math.isfinite(x) for row in result.rows for x in row["metrics"].values())


def test_no_name_stands_twice():
    names = [*RECIPES, *ALIASES, *ON_PAPER]
    assert len(names) == len({*names})
    assert all(of in RECIPES for of, _ in ALIASES.values())
    assert {kind for _, kind, _ in registry.standing()} == {"recipe", "alias", "on paper"}


@pytest.mark.parametrize(("name", "shares"), [("r1-v", True), ("vlm-r1", True), ("lqr", False)])
def test_rows_are_of_the_text_that_recipes_share_as_well(name, shares, monkeypatch):
    its, read = recipe(name), runner.inspect.getsource
    before = runner.spec_of(its)
    for of in ("seeing", "answers", "claims"):
        changed = f"operant.recipes.{of}"
        monkeypatch.setattr(
            runner.inspect, "getsource", lambda m, at=changed: read(m) + ("# other" if m.__name__ == at else "")
        )
        assert (runner.spec_of(its) != before) is (shares and of != "claims")
