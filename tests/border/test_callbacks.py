"""A person's function that is called in training: what it raises, returns or does to what it is given loses no run.

Every kind of loop: networks, tables, language models, and an algorithm of a person's own; begun and gone on with.
"""

import pytest

import operant

OWN = """
import torch
from operant.control import ControlRun, Job, Networks, Section, on_policy

class Settings(Section):
    lr: float = 1e-2

class Run(ControlRun):
    algo: Settings = Settings()

def build(cfg: Run, env, say) -> Job:
    parts = on_policy(cfg, env)
    optimizer = torch.optim.Adam(parts.agent.parameters(), lr=cfg.algo.lr)
    def loop():
        while True:
            parts.collect(32)
            yield parts.collect.stats()
    return Job(algorithm=loop(), learned=Networks(parts.agent, optimizer), counter=parts.collect, begin=parts.begin,
               evaluate=parts.evaluate, total_steps=cfg.total_steps, eval=cfg.eval, save=cfg.save)
"""
QUIET = {"save.videos": False, "save.report": False, "eval.episodes": 2}
NETWORK = {**QUIET, "env.num": 4, "policy.hidden": [8]}
LANGUAGE = {
    "save.report": False, "eval.episodes": 2, "base.width": 64, "base.layers": 2, "base.examples": 64, "eval.before":
    False, "algo.prompts": 2, "algo.samples": 2, "sampling.max_tokens": 4, "total_steps": 3,
}  # fmt: skip
LOOPS = {
    "ppo": ("CartPole-v1", {**NETWORK, "algo.horizon": 32, "total_steps": 400}),
    "q-learning": ("FrozenLake-v1", {**QUIET, "algo.every": 100, "total_steps": 400}),
    "grpo": ("arithmetic", LANGUAGE),
    "own": ("CartPole-v1", {**NETWORK, "total_steps": 400}),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def train(entry, fn=None, **more):
    env, settings = LOOPS[entry]
    name = "mine.py:build" if entry == "own" else entry
    return operant.train(name, env, quiet=True, on_metrics=fn, **(settings | more))


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no words")


RAISED = [KeyError("nope"), SystemExit(0), GeneratorExit(), Unspeakable(), StopIteration()]


@pytest.mark.filterwarnings("ignore::operant.run.sources.ChangedWarning")
@pytest.mark.parametrize("entry", LOOPS)
def test_what_it_raises_is_told_once_and_training_goes_on(entry):
    for error in RAISED if entry == "q-learning" else RAISED[:1]:
        calls = []

        def fn(row, error=error, calls=calls):
            calls.append(row)
            raise error

        with pytest.warns(UserWarning, match=rf"on_metrics raised {type(error).__name__}.*test_callbacks\.py:\d+.*on"):
            run = train(entry, fn)
        info = run.folder.info()
        assert len(calls) == 1
        assert (info["status"], info.get("stopped")) == ("finished", None)
        assert info["evaluation"]["episodes"] == 2
        assert len(run.metrics) > 1


@pytest.mark.parametrize("entry", LOOPS)
def test_a_run_that_it_stops_is_saved_and_measured(entry):
    def fn(row):
        seen.append(row["step"])
        return len(seen) < 2

    seen = []
    run = train(entry, fn)
    info = run.folder.info()
    assert (info["status"], info["stopped"]) == ("finished", {"step": seen[1], "why": "on_metrics returned False"})
    assert info["evaluation"]["episodes"] == 2
    assert run.step == seen[1]


@pytest.mark.parametrize("entry", LOOPS)
def test_it_gets_every_row_and_what_it_does_to_one_changes_nothing(entry):
    def fn(row):
        seen.append(dict(row))
        row.clear()

    seen = []
    run = train(entry, fn)
    frame = run.metrics
    column = "train/episodes" if entry != "grpo" else "train/return"
    trained = frame[frame[column].notna()]  # a final evaluation of a language model is a row too
    assert [row["step"] for row in seen] == trained["step"].tolist()
    assert [row[column] for row in seen] == trained[column].tolist()


@pytest.mark.parametrize("entry", LOOPS)
def test_a_return_that_is_reached_ends_training(entry):
    run = train(entry, stop_at=-1.0, total_steps=3 if entry == "grpo" else 2000)
    stopped = run.folder.info()["stopped"]
    assert "has reached stop_at, -1" in stopped["why"]
    assert stopped["step"] == run.step


@pytest.mark.filterwarnings("ignore::operant.run.sources.ChangedWarning")
@pytest.mark.parametrize("entry", LOOPS)
def test_it_is_called_where_a_run_goes_on(entry):
    def stop(row):
        raise operant.StopTraining("half")

    run = train(entry, stop)
    seen = []
    to = run.step + (1 if entry == "grpo" else 200)
    on = operant.resume(run.path, to=to, quiet=True, trust=entry == "own", on_metrics=lambda row: seen.append(row))
    assert seen
    assert seen[-1]["step"] == on.step > run.step
    assert on.folder.info()["status"] == "finished"
