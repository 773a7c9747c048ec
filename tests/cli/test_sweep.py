"""Sweeps: what a space may say, what is searched, how a search goes on, and what it leaves."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from operant.cli import sweep as sweep_module
from operant.cli.main import main
from operant.cli.seeds import Fleet, Seed
from operant.cli.space import read_space
from operant.cli.sweep import Sweep
from operant.config.errors import ConfigError, EnvError
from operant.config.resolve import load, resolve

SPACE = """\
[space]
"algo.lr" = {low = 1e-4, high = 1e-2, log = true}
algo.epochs = {low = 3, high = 20}
"policy.hidden" = {choices = [[16], [32, 32]]}

[fixed]
total_steps = 1000
env.num = 4
"""

RUN = """\
import json, math, pathlib, sys, time
path, lr, seed, mode = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
(path / "evals").mkdir(parents=True)
print("Run folder:", path, flush=True)
score = 100 - 50 * (math.log10(lr) + 3) ** 2 + seed
def tell(step, mean):
    (path / "evals" / "x.tmp").write_text(json.dumps({"mean": mean}))
    (path / "evals" / "x.tmp").rename(path / "evals" / f"step-{step:08d}.json")
for step in range(100, 1000, 100):
    tell(step, score * step / 1000)
if mode == "fails":
    print("error: policy/kl became non-finite", file=sys.stderr); sys.exit(4)
if mode == "broken":
    print("error: no such environment", file=sys.stderr); sys.exit(3)
if mode == "hangs":
    time.sleep(60)
(path / "run.json").write_text(json.dumps({"evaluation": {"mean": score}}))
"""


@pytest.fixture
def asked(monkeypatch):
    """Runs that do not train: their score has its peak at lr = 1e-3. Holds what each trial was asked, and its mode."""
    found = {"overrides": [], "mode": lambda trial: "trains"}

    def pretend(algorithm, env, *, overrides, seeds, runs, threads):
        found["overrides"].append(overrides)
        mode = found["mode"](len(found["overrides"]) - 1)
        command = [sys.executable, "-c", RUN]
        made = [Seed(s, [*command, str(runs / f"s{s}"), str(overrides["algo.lr"]), str(s), mode]) for s in seeds]
        return Fleet(made, workers=2, threads=1)

    monkeypatch.setattr(sweep_module, "fleet", pretend)
    monkeypatch.setattr("operant.cli.seeds.POLL", 0.02)
    return found


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


def sweep(path, folder, **rest) -> Sweep:
    options = {"seeds": 2, "quiet": True} | rest
    return Sweep(read_space(path, "ppo", "CartPole-v1"), "ppo", "CartPole-v1", folder, **options)


def values(found: Sweep) -> list[tuple]:
    return [tuple(trial.params.values()) for trial in found.ended]


# --- spaces


def test_a_space_is_read(space):
    found = read_space(space, "ppo", "CartPole-v1")
    assert [(a.key, a.low, a.high, a.log, a.whole) for a in found.axes[:2]] == [
        ("algo.lr", 1e-4, 1e-2, True, False),
        ("algo.epochs", 3, 20, False, True),
    ]
    assert found.axes[2].choices == ([16], [32, 32])
    assert found.fixed == {"total_steps": 1000, "env.num": 4}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[space]\n"algo.lrr" = {low = 1, high = 2}', ":2: unknown key 'algo.lrr'. Did you mean 'algo.lr'?"),
        (
            '[space]\n\n"learning_rate" = {low = 1, high = 2}',
            ":3: unknown key 'learning_rate'. Did you mean 'algo.lr'?",
        ),
        ('[space]\n"algo.lr" = {low = -1.0, high = 2.0}', ":2: algo.lr is -1.0, expected a number above 0."),
        ('[space]\n"algo.epochs" = {low = 1.5, high = 2.5}', ":2: algo.epochs is 1.5, expected a whole number"),
        ('[space]\n"algo.lr" = {lo = 1, high = 2}', ":2: algo.lr: unknown word 'lo'. Did you mean 'low'?"),
        ('[space]\n"algo.lr" = {low = 2, high = 1}', ":2: algo.lr: low is 2, which is not below high, 1."),
        ('[space]\n"algo.clip" = {low = 0, high = 1, log = true}', ":2: algo.clip: low is 0, but a logarithmic"),
        ('[space]\n"algo.lr" = {low = 1}', ":2: algo.lr: low and high must both be numbers"),
        ('[space]\n"algo.batch" = {choices = []}', ":2: algo.batch: choices stand alone"),
        ('[space]\n"algo.batch" = {choices = [64, "many"]}', ':2: algo.batch is "many", expected a whole number'),
        ('[space]\n"algo.lr" = 0.1', ":2: algo.lr is 0.1, expected {low ="),
        ('[space]\n"seed" = {choices = [1, 2]}', ":2: seed is not a setting of a sweep"),
        ('[space]\n"algo.lr" = {low = 1, high = 2}\n[fixed]\nalgo.lr = 1.0', ":4: algo.lr is searched and held fixed."),
        ('[space]\n"algo.lr" = {low = 1, high = 2}\n[fixed]\nalgo.lamb = 1.0', ":4: unknown key 'algo.lamb'."),
        ('[spaces]\n"algo.lr" = {low = 1, high = 2}', ":1: unknown table 'spaces'. Did you mean 'space'?"),
        ("[space]\n", ": nothing to search."),
        ("[space", ": not TOML"),
    ],
)
def test_a_wrong_space_is_refused_with_its_line(tmp_path, capsys, text, line):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    assert main(["sweep", "ppo", "CartPole-v1", f"@{path}", "--dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert str(path) in error
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text('[space]\n"algo.lrr" = {low = 1, high = 2}\n[fixed]\nalgo.lamb = 1.0\n')
    with pytest.raises(ConfigError) as caught:
        read_space(path, "ppo", "CartPole-v1")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [f"{path}:2", f"{path}:4"]


# --- searches


def test_the_best_is_the_highest_iqm_and_a_config_that_train_takes(space, tmp_path, asked):
    found = sweep(space, tmp_path / "s")
    found.run(6)
    complete = [trial for trial in found.ended if trial.state.name == "COMPLETE"]
    assert len(found.ended) == 6
    assert found.best.value == max(trial.value for trial in complete)
    assert found.best.value == pytest.approx(sum(found.best.user_attrs["scores"]) / 2)
    config = resolve("ppo", "CartPole-v1", file=tmp_path / "s" / "best.toml").config
    asked_of_best = asked["overrides"][found.best.number]
    assert config.algo.lr == asked_of_best["algo.lr"]
    assert list(config.policy.hidden) == asked_of_best["policy.hidden"]
    assert (config.total_steps, config.env.num, config.eval.every) == (1000, 4, 100)
    assert config.save.videos  # what a trial leaves out, the final run has
    assert len(list((tmp_path / "s" / "trials").glob("*/s*/run.json"))) >= 2 * len(complete)


def test_a_search_that_goes_on_is_the_search_that_never_stopped(space, tmp_path, asked):
    whole = sweep(space, tmp_path / "a")
    whole.run(5)
    sweep(space, tmp_path / "b").run(2)
    again = sweep(space, tmp_path / "b")
    again.run(5)
    assert values(again) == values(whole)
    before = len(asked["overrides"])
    again.run(5)
    assert len(asked["overrides"]) == before
    other = sweep(space, tmp_path / "c", seed=2)
    other.run(2)
    assert values(other) != values(whole)[:2]


def test_an_interrupted_trial_is_put_back(space, tmp_path, asked, monkeypatch):
    whole = sweep(space, tmp_path / "a")
    whole.run(3)
    asked["overrides"].clear()
    asked["mode"] = lambda trial: "hangs" if trial == 1 else "trains"
    looked = sweep_module._Watch.__call__

    def interrupt(watch, running):
        looked(watch, running)
        if len(asked["overrides"]) == 2 and watch.told >= 900 and not running.stopped:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(sweep_module._Watch, "__call__", interrupt)
    first = sweep(space, tmp_path / "b")
    with pytest.raises(KeyboardInterrupt, match="trial 1"):
        first.run(3)
    assert len(first.ended) == 1
    again = sweep(space, tmp_path / "b")
    again.run(3)
    assert values(again) == values(whole)


def test_a_failed_trial_is_told_and_the_search_goes_on(space, tmp_path, asked):
    asked["mode"] = lambda trial: "fails" if trial == 0 else "trains"
    found = sweep(space, tmp_path / "s")
    found.run(3)
    assert [trial.user_attrs["ended"] for trial in found.ended] == ["fail", "complete", "complete"]
    assert found.ended[0].user_attrs["error"] == "policy/kl became non-finite"
    assert found.best.number != 0


def test_an_environment_that_cannot_be_made_ends_the_search(space, tmp_path, asked):
    asked["mode"] = lambda trial: "broken"
    with pytest.raises(EnvError, match="no such environment"):
        sweep(space, tmp_path / "s").run(3)


def test_a_trial_below_the_median_is_pruned(tmp_path, asked):
    path = tmp_path / "space.toml"
    path.write_text('[space]\n"algo.lr" = {choices = [1e-3, 1.1e-3, 1e-6]}\n[fixed]\ntotal_steps = 1000\n')
    found = sweep(path, tmp_path / "s")
    for lr in ("0.001", "0.0011", "0.001", "0.0011", "1e-06", "0.001"):
        found.study.enqueue_trial({"algo.lr": lr})
    asked["mode"] = lambda trial: "hangs" if trial == 4 else "trains"
    found.run(6)
    assert [trial.user_attrs["ended"] for trial in found.ended][4:] == ["pruned", "complete"]


def test_another_search_in_the_same_folder_is_refused(space, tmp_path, asked):
    sweep(space, tmp_path / "s").run(1)
    with pytest.raises(ConfigError, match="another seeds"):
        sweep(space, tmp_path / "s", seeds=3)
    space.write_text(SPACE.replace("high = 20", "high = 21"))
    with pytest.raises(ConfigError, match="another space"):
        sweep(space, tmp_path / "s")


def test_without_optuna_the_fix_is_named(space, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "ppo", "CartPole-v1", f"@{space}", "--dir", str(tmp_path / "s")]) == 2
    assert 'pip install "operant[sweep]"' in capsys.readouterr().err


def test_the_command_trains_and_prints_the_table(tmp_path, capsys):
    path = tmp_path / "space.toml"
    path.write_text(
        '[space]\n"algo.lr" = {low = 1e-4, high = 1e-2, log = true}\n[fixed]\ntotal_steps = 512\nenv.num = 4\n'
        "algo.horizon = 32\neval.episodes = 4\neval.during = 2\n"
    )
    folder = tmp_path / "s"
    flags = ["--trials", "1", "--seeds", "1", "--dir", str(folder)]
    assert main(["sweep", "ppo", "CartPole-v1", f"@{path}", *flags]) == 0
    told = capsys.readouterr()
    assert f"best: {folder / 'best.toml'} (trial 0" in told.out
    assert "--seed 2 --seeds 5" in told.err
    (run,) = (folder / "trials" / "0000").iterdir()
    config = load(run / "config.toml")
    assert config.algo.lr == resolve("ppo", "CartPole-v1", file=folder / "best.toml").config.algo.lr
    assert config.eval.every == 51
    assert json.loads((run / "run.json").read_text())["evaluation"]["episodes"] == 4
    assert not list(Path(run / "videos").iterdir())
