import json
import shutil

import pytest
import torch

from operant.config.errors import ConfigError
from operant.policy.agent import Agent, AgentSpec
from operant.training import checkpoint

SPEC = AgentSpec(
    obs_dim=2,
    action_kind="box",
    action_sizes=(1,),
    hidden=(8,),
    activation="relu",
    log_std_init=-0.5,
    obs_clip=5.0,
    reward_clip=None,
)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def save(run, step, keep=3):
    agent = Agent(SPEC, torch.Generator().manual_seed(step))
    optimizer = torch.optim.Adam(agent.parameters())
    agent.critic(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return agent, checkpoint.save(run, agent, optimizer, {"step": step}, keep=keep)


def test_a_checkpoint_comes_back_whole(run):
    agent, path = save(run, 64)
    loaded, step = checkpoint.load_agent(run)
    assert step == 64
    assert path.name == "step-00000064"
    for name, x in agent.state_dict().items():
        assert torch.equal(x, loaded.state_dict()[name]), name
    assert {p.name for p in path.iterdir()} == {
        "model.safetensors",
        "optim.safetensors",
        "policy.json",
        "state.json",
        "MANIFEST.json",
    }


def test_the_newest_and_the_best_are_kept(run):
    save(run, 1)
    checkpoint.point(run / "checkpoints" / "best", run / "checkpoints" / "step-00000001")
    for step in (2, 3, 4, 5):
        save(run, step, keep=2)
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert names == ["best", "latest", "step-00000001", "step-00000004", "step-00000005"]
    assert checkpoint.load_agent(run, "latest")[1] == 5
    assert checkpoint.load_agent(run, "best")[1] == 1


@pytest.mark.parametrize("name", ["model.safetensors", "optim.safetensors", "policy.json", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_never_loaded(run, name, damage):
    _, path = save(run, 7)
    file = path / name
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:-1])
    else:
        file.unlink()
    with pytest.raises(ConfigError, match=name):
        checkpoint.load_agent(run)


@pytest.mark.parametrize("text", ["", "{}", "[]", "{nonsense", '{"files": 3}', '{"files": {}}'])
def test_without_a_manifest_there_is_no_checkpoint(run, text):
    _, path = save(run, 7)
    (path / "MANIFEST.json").write_text(text)
    with pytest.raises(ConfigError, match="no checkpoint there"):
        checkpoint.load_agent(run)


def test_a_missing_checkpoint_is_answered_with_those_there_are(run):
    save(run, 7)
    with pytest.raises(ConfigError, match=r"no checkpoint 'best'. There: latest, step-00000007"):
        checkpoint.load_agent(run, "best")


def test_an_interrupted_save_leaves_the_old_checkpoint(run, monkeypatch):
    save(run, 1)
    monkeypatch.setattr(checkpoint, "_digest", lambda f: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="No space left"):
        save(run, 2)
    monkeypatch.undo()
    assert checkpoint.load_agent(run)[1] == 1
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["latest", "step-00000001"]


def test_the_manifest_names_sizes_and_hashes(run):
    _, path = save(run, 3)
    files = json.loads((path / "MANIFEST.json").read_text())["files"]
    assert all(files[n]["size"] == (path / n).stat().st_size and len(files[n]["sha256"]) == 64 for n in files)
    other = run / "checkpoints" / "step-00000099"
    shutil.copytree(path, other)
    checkpoint.verify(other)
