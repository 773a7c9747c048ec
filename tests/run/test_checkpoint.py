import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from operant.config.errors import ConfigError
from operant.control.agent import Agent, AgentSpec
from operant.control.train_state import Networks
from operant.run import checkpoint


class Killed(BaseException):
    """SIGKILL, as far as this process can play it: what stands on the disk stays as it is."""


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
    return agent, checkpoint.save(run, Networks(agent, optimizer), {"step": step}, keep=keep)


def test_a_checkpoint_comes_back_whole(run):
    agent, path = save(run, 64)
    loaded, step = checkpoint.load_policy(run)
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
    assert checkpoint.load_policy(run, "latest")[1] == 5
    assert checkpoint.load_policy(run, "best")[1] == 1


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
        checkpoint.load_policy(run)


@pytest.mark.parametrize("text", ["", "{}", "[]", "{nonsense", '{"files": 3}', '{"files": {}}'])
def test_without_a_manifest_there_is_no_checkpoint(run, text):
    _, path = save(run, 7)
    (path / "MANIFEST.json").write_text(text)
    with pytest.raises(ConfigError, match="no checkpoint there"):
        checkpoint.load_policy(run)


def test_a_missing_checkpoint_is_answered_with_those_there_are(run):
    save(run, 7)
    with pytest.raises(ConfigError, match=r"no checkpoint 'best'. There: latest, step-00000007"):
        checkpoint.load_policy(run, "best")


def test_an_interrupted_save_leaves_the_old_checkpoint(run, monkeypatch):
    save(run, 1)
    monkeypatch.setattr(checkpoint, "digest", lambda f: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="No space left"):
        save(run, 2)
    monkeypatch.undo()
    assert checkpoint.load_policy(run)[1] == 1
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["latest", "step-00000001"]


def test_the_manifest_names_sizes_and_hashes(run):
    _, path = save(run, 3)
    files = json.loads((path / "MANIFEST.json").read_text())["files"]
    assert all(files[n]["size"] == (path / n).stat().st_size and len(files[n]["sha256"]) == 64 for n in files)
    shutil.copytree(path, run / "elsewhere")
    assert checkpoint.verify(run / "elsewhere")["step"] == 3


def test_the_checkpoint_of_one_step_does_not_pass_for_another(run):
    _, path = save(run, 3)
    shutil.copytree(path, path.with_name("step-00000099"))
    with pytest.raises(ConfigError, match=r"step-00000099 is the checkpoint of step 3"):
        checkpoint.verify(path.with_name("step-00000099"))


def walk(agent, optimizer, steps, seed):
    gen = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(5, 2, generator=gen)
        (agent.critic(x).square().mean() + agent.policy.evaluate(x, torch.ones(5, 1))[0].mean()).backward()
        optimizer.step()


def fresh(seed=0, **settings):
    agent = Agent(SPEC, torch.Generator().manual_seed(seed))
    return agent, torch.optim.Adam([*agent.policy.parameters(), *agent.critic.parameters()], **settings)


@pytest.mark.parametrize("stepped", [0, 3])
def test_a_loaded_optimiser_goes_on_bit_for_bit(run, stepped):
    agent, optimizer = fresh(1, lr=0.01, eps=1e-5)
    walk(agent, optimizer, 7, seed=1)
    agent.normalizer.update(torch.randn(9, 2, generator=torch.Generator().manual_seed(4)))
    optimizer.param_groups[0]["lr"] = 0.003  # a schedule's
    path = checkpoint.save(run, Networks(agent, optimizer), {"step": 7}, keep=1)
    other, second = fresh(2)
    walk(other, second, stepped, seed=3)
    assert checkpoint.load(path, Networks(other, second))["step"] == 7
    assert second.param_groups[0]["lr"] == 0.003
    for a, o in ((agent, optimizer), (other, second)):
        walk(a, o, 5, seed=6)
    for name, x in agent.state_dict().items():
        assert torch.equal(x, other.state_dict()[name]), name
    for k, slots in optimizer.state_dict()["state"].items():
        for name, x in slots.items():
            assert torch.equal(x, second.state_dict()["state"][k][name]), (k, name)


def test_loading_keeps_the_flat_memory(run):
    from operant.control.perceptrons import side_by_side

    agent, optimizer = fresh(1)
    walk(agent, optimizer, 2, seed=1)
    path = checkpoint.save(run, Networks(agent, optimizer), {"step": 2}, keep=1)
    walk(agent, optimizer, 2, seed=2)
    parameters = optimizer.param_groups[0]["params"]
    flat, moments = side_by_side(parameters), side_by_side([optimizer.state[p]["exp_avg"] for p in parameters])
    checkpoint.load(path, Networks(agent, optimizer))
    assert side_by_side(parameters).data_ptr() == flat.data_ptr()
    assert side_by_side([optimizer.state[p]["exp_avg"] for p in parameters]).data_ptr() == moments.data_ptr()
    again, second = fresh(1)
    checkpoint.load(path, Networks(again, second))
    assert torch.equal(flat, side_by_side(second.param_groups[0]["params"]))


def test_an_optimiser_that_never_stepped_comes_back_so(run):
    agent, optimizer = fresh(1)
    path = checkpoint.save(run, Networks(agent, optimizer), {"step": 0}, keep=1)
    walk(agent, optimizer, 2, seed=2)
    checkpoint.load(path, Networks(agent, optimizer))
    assert not optimizer.state_dict()["state"]


def test_another_agent_or_optimiser_is_refused_in_words_and_untouched(run):
    agent, optimizer = fresh(1)
    walk(agent, optimizer, 2, seed=1)
    path = checkpoint.save(run, Networks(agent, optimizer), {"step": 2}, keep=1)
    wide = Agent(replace(SPEC, hidden=(16,)), torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match=r"policy\.json is of another agent: hidden differ"):
        checkpoint.load(path, Networks(wide, torch.optim.Adam(wide.parameters())))
    other, _ = fresh(2)
    before = {name: x.clone() for name, x in other.state_dict().items()}
    sgd = torch.optim.SGD([*other.policy.parameters(), *other.critic.parameters()])
    with pytest.raises(ConfigError, match=r"holds the state of Adam, not of SGD"):
        checkpoint.load(path, Networks(other, sgd))
    with pytest.raises(ConfigError, match=r"of groups of \[9\] parameters"):
        checkpoint.load(path, Networks(other, torch.optim.Adam(other.critic.parameters())))
    assert all(torch.equal(x, before[name]) for name, x in other.state_dict().items())


def test_every_nth_is_kept_for_ever(run):
    for seam in range(1, 10):
        agent, optimizer = fresh(seam)
        checkpoint.save(run, Networks(agent, optimizer), {"step": 10 * seam, "seam": seam}, keep=2, nth=3)
    names = sorted(int(p.name[5:]) for p in (run / "checkpoints").glob("step-*"))
    assert names == [30, 60, 80, 90]


def damage(path):
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def test_the_newest_valid_one_is_found_and_both_are_named(run):
    for step in (1, 2, 3):
        save(run, step)
    damage(run / "checkpoints" / "step-00000003")
    with pytest.warns(checkpoint.CheckpointWarning, match=r"step-00000003.*Using the one before, .*step-00000002"):
        path, state = checkpoint.newest(run)
    assert (path.name, state) == ("step-00000002", {"step": 2})
    with pytest.warns(checkpoint.CheckpointWarning):
        assert checkpoint.load_policy(run)[1] == 2
    with pytest.raises(ConfigError, match=r"model\.safetensors is damaged"):
        checkpoint.load_policy(run, "step-00000003")
    damage(run / "checkpoints" / "step-00000002")
    damage(run / "checkpoints" / "step-00000001")
    with pytest.raises(ConfigError, match=r"no valid checkpoint"):
        checkpoint.newest(run)


def test_a_whole_run_warns_of_nothing(run):
    save(run, 1)
    save(run, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint.newest(run)[1]["step"] == 2


def test_a_latest_that_dangles_is_said(run):
    save(run, 1)
    _, path = save(run, 2)
    shutil.rmtree(path)
    with pytest.warns(checkpoint.CheckpointWarning, match=r"step-00000002 is gone.*step-00000001"):
        assert checkpoint.newest(run)[1]["step"] == 1
    shutil.rmtree(run / "checkpoints" / "step-00000001")
    with pytest.raises(ConfigError, match=r"step-00000002 is gone"):
        checkpoint.load_policy(run)


@pytest.mark.parametrize("target", ["/tmp", "../../other/checkpoints/step-00000001", "..", "nowhere"])
@pytest.mark.parametrize("name", ["latest", "best"])
def test_a_link_out_of_the_folder_is_refused(run, target, name):
    save(run, 1)
    link = run / "checkpoints" / name
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(ConfigError, match=r"leads elsewhere|has no checkpoint 'best'"):
        checkpoint.load_policy(run, name)


@pytest.mark.parametrize("how", ["without links", "links followed", "links as text", "latest alone"])
def test_a_copied_folder_still_has_its_newest(run, tmp_path_factory, how):
    save(run, 1)
    save(run, 2)
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(run / "checkpoints", copy / "checkpoints")  # follows links
    latest = copy / "checkpoints" / "latest"
    assert latest.is_dir()
    if how in ("without links", "links as text"):
        shutil.rmtree(latest)
    if how == "links as text":
        latest.write_text("step-00000002")
    if how == "latest alone":
        for path in (copy / "checkpoints").glob("step-*"):
            shutil.rmtree(path)
    assert checkpoint.newest(copy)[1]["step"] == 2
    assert checkpoint.load_policy(copy)[1] == 2
    if how != "links as text":
        save(copy, 3)
        assert latest.readlink().name == "step-00000003"


@pytest.mark.parametrize("file", ["model.safetensors", "MANIFEST.json"])
def test_a_link_among_the_files_is_refused(run, tmp_path_factory, file):
    _, path = save(run, 1)
    other = tmp_path_factory.mktemp("other") / file
    shutil.move(path / file, other)
    (path / file).symlink_to(other)
    with pytest.raises(ConfigError, match=file):
        checkpoint.load_policy(run, "step-00000001")


def test_a_kill_at_any_moment_of_a_save_leaves_a_valid_checkpoint(run, monkeypatch):
    """Every call to the operating system that a save makes is, once, the last one of the process."""
    calls, limit = 0, 10**9

    def counted(module, name):
        real = getattr(module, name)

        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls > limit:
                raise Killed
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    for module, names in (
        (checkpoint.Path, ("mkdir", "replace", "symlink_to", "unlink")),
        (checkpoint.shutil, ("rmtree",)),
        (checkpoint.os, ("fsync",)),
    ):
        for name in names:
            counted(module, name)

    def saves():
        for step in (1, 1, 2):  # the same step again: its first checkpoint is replaced
            save(run, step, keep=1)
            yield step

    done = list(saves())
    total = calls
    assert total > 40
    for moment in range(total):
        calls, limit = 0, 10**9
        shutil.rmtree(run / "checkpoints")
        (run / "checkpoints").mkdir()
        calls, limit, done = 0, moment, []
        with suppress(Killed):
            for step in saves():
                done.append(step)
        limit = 10**9
        if done:
            assert checkpoint.newest(run)[1]["step"] >= done[-1], moment
        save(run, 3, keep=1)
        assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["latest", "step-00000003"], moment
