"""Training that begins from the weights of another run: what fits is taken over exactly, what does not is named.

Every world and face; the run can be made again, and goes on without its source.
"""

import json
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import operant
from operant.cli.main import main
from operant.cli.reproduce import reproduce
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.run.shipped import shipped

QUIET = {"save.videos": False, "save.report": False, "eval.episodes": 2}
NETWORK = {**QUIET, "env.num": 2, "algo.horizon": 16, "algo.batch": 16, "total_steps": 32, "algo.lr": 1e-30}
TABLE = {**QUIET, "algo.every": 1, "total_steps": 1, "algo.step_size": 1e-300}
FITS = {
    "ppo": ("ppo", "CartPole-v1", NETWORK, "operant/CartPole-v1"),
    "ppo.normalised": ("ppo", "Acrobot-v1", {**NETWORK, "algo.lr": 1e-30}, "operant/Acrobot-v1"),
    "ppo.box": ("ppo", "Pendulum-v1", NETWORK, "operant/Pendulum-v1"),
    "q-learning": ("q-learning", "CliffWalking-v1", TABLE, "operant/CliffWalking-v1"),
    "double-q-learning": ("double-q-learning", "CliffWalking-v1", TABLE, "operant/CliffWalking-v1"),
    "dyna-q": ("dyna-q", "CliffWalking-v1", {**TABLE, "algo.planning": 1}, "operant/CliffWalking-v1"),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(entry, **more):
    algorithm, env, settings, source = FITS[entry]
    return operant.train(algorithm, env, quiet=True, **(settings | {"init_from": source} | more))


@pytest.mark.parametrize("entry", FITS)
def test_weights_are_those_of_the_source(entry):
    """With steps too small to change anything, what is saved is what was begun from, but for the statistics."""
    run = begin(entry)
    name = FITS[entry][3].removeprefix("operant/")
    then = load_file(shipped()[name] / "model.safetensors")
    now = load_file(run.path / "checkpoints" / "latest" / "model.safetensors")
    assert then.keys() == now.keys()
    for key in then:
        if "normalizer" not in key and "reward_scale" not in key:
            np.testing.assert_allclose(now[key], then[key], rtol=1e-6, atol=1e-9)
        elif key.endswith("count"):
            assert now[key] >= then[key] > 1000  # statistics go on from where they were
    recorded = run.folder.info()["sources"]["init_from"]
    assert recorded["path"] == str(shipped()[name])
    assert len(recorded["files"]["model.safetensors"]) == 64


CARTPOLE, CLIFF = "--from operant/CartPole-v1", "--from operant/CliffWalking-v1"
MISFITS = {
    "spaces": (f"ppo Acrobot-v1 {CARTPOLE}", r"policy\.net\.layers\.0\.weight is float32 \[64, 4\] there"),
    "normaliser": (f"ppo Acrobot-v1 {CARTPOLE}", r"normalizer\.mean is missing there and float64 \[6\]"),
    "left over": (
        "ppo Acrobot-v1 --from operant/Acrobot-v1 --no-policy.normalize-obs", r"\[6\] there and missing here",
    ),
    "width": (f"ppo CartPole-v1 {CARTPOLE} --policy.hidden 32,64", r"\[64, 4\] there and float32 \[32, 4\]"),
    "activation": (f"ppo CartPole-v1 {CARTPOLE} --policy.activation relu", "activation is tanh there and relu"),
    "table": (f"ppo CartPole-v1 {CLIFF}", "they are of kind table, this run's networks"),
    "networks": (f"q-learning CliffWalking-v1 {CARTPOLE}", "they are of kind networks, this run's table"),
    "language": ("ppo CartPole-v1 --from operant/arithmetic", "they are of kind language, this run's networks"),
    "states": (f"q-learning FrozenLake-v1 {CLIFF}", r"q is float64 \[48, 4\] there and float64 \[16, 4\]"),
    "nothing": ("ppo CartPole-v1 --from nope", "no run 'nope' under"),
}  # fmt: skip


@pytest.mark.parametrize("entry", MISFITS)
def test_what_does_not_fit_is_named_and_nothing_is_made(entry, capsys, tmp_path):
    words, said = MISFITS[entry]
    assert main(["train", *words.split(), "--runs", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert re.search(said, err), err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("entry", ["policy", "run"])
def test_weights_that_were_altered_are_refused(entry, good, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(shipped()["CartPole-v1"] if entry == "policy" else good, source, symlinks=True)
    for file in source.rglob("model.safetensors"):
        tensors = load_file(file)
        save_file({name: x + 1 for name, x in tensors.items()}, file)
    with pytest.raises(ConfigError, match=r"altered|damaged"):
        begin("ppo", init_from=source)


@pytest.mark.parametrize("entry", ["ppo", "q-learning"])
def test_it_is_made_again_bit_for_bit_and_goes_on_without_its_source(entry, tmp_path):
    first = begin(entry)
    run = begin(entry, init_from=first, runs=tmp_path / "then")
    assert reproduce(run.path, runs=tmp_path / "again", quiet=True, say=lambda line: None)["agreement"] == "bitwise"
    shutil.rmtree(first.path)
    with pytest.warns(UserWarning, match="init_from"):
        on = operant.resume(run.path, to=2 * run.step, quiet=True)
    assert on.step > run.step


@pytest.mark.parametrize("entry", ["last", "beginning", "Run", "loop", "command", "checkpoint"])
def test_a_source_is_named_as_runs_are(entry, good, tmp_path):
    shutil.copytree(good, tmp_path / "runs" / good.name, symlinks=True)
    small = {"policy.hidden": [8]}
    if entry == "command":
        words = "train ppo CartPole-v1 --from CartPole-v1-ppo --policy.hidden 8 --dry-run"
        assert main(words.split()) == 0
        return
    source = {"last": "last", "beginning": "CartPole-v1-ppo", "Run": operant.Run(good)}.get(entry, good)
    source = good / "checkpoints" / "latest" if entry == "checkpoint" else source
    if entry == "loop":
        agent = operant.loop("ppo", "CartPole-v1", init_from=good, **small)[1]
        then = load_file(good / "checkpoints" / "latest" / "model.safetensors")
        assert all(np.array_equal(x.numpy(), then[name]) for name, x in agent.stored().items())
        return
    run = begin("ppo", init_from=source, **small)
    assert json.loads((run.path / "run.json").read_text())["sources"]["init_from"]["path"]


@pytest.mark.parametrize("entry", ["grpo", "sft", "rlhf"])
def test_a_language_model_begins_from_its_final_model(entry):
    found = [resolve(entry, "arithmetic", overrides={key: "R"}).config for key in ("from", "init_from", "model.path")]
    assert [cfg.model.path for cfg in found] == ["R"] * 3
