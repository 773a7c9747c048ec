"""Networks and algorithms of a person's own: trained, saved, resumed, and never imported from a folder unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError

NETWORK = """
from pathlib import Path
import torch
from torch import nn

Path(__file__).with_name("imported").write_text("yes")


class Net(nn.Module):
    def __init__(self, obs_dim):
        super().__init__()
        self.first = nn.Linear(obs_dim, 16)

    def forward(self, obs):
        return torch.relu(self.first(obs))


def make(obs_dim):
    return Net(obs_dim)


def flat(obs_dim):
    return nn.Flatten(0)


def words(obs_dim):
    return "no module"


def broken(obs_dim):
    raise RuntimeError("of its own")
"""

ALGORITHM = """
import torch
from operant.control import ControlRun, Job, Networks, Section, on_policy


class Settings(Section):
    lr: float = 1e-2
    horizon: int = 16


class ReinforceRun(ControlRun):
    algo: Settings = Settings()


def build(cfg: ReinforceRun, env, say) -> Job:
    parts = on_policy(cfg, env)
    policy = parts.agent.policy
    optimizer = torch.optim.Adam(parts.agent.parameters(), lr=cfg.algo.lr)

    def loop():
        while True:
            traj = parts.collect(cfg.algo.horizon)
            logp, _ = policy.evaluate(traj.obs[:, :-1].flatten(0, 1), traj.action.flatten(0, 1))
            loss = -(logp * traj.reward.flatten() * traj.acted.flatten()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield {"loss/policy": loss.detach()} | parts.collect.stats()

    return Job(
        algorithm=loop(),
        learned=Networks(parts.agent, optimizer),
        counter=parts.collect,
        begin=parts.begin,
        evaluate=parts.evaluate,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def silent(cfg, env, say):
    return None


def nothing(cfg: ReinforceRun, env, say):
    return None


def broken(cfg: ReinforceRun, env, say):
    job = build(cfg, env, say)
    job.algorithm = iter([])
    return job


def raising(cfg: ReinforceRun, env, say):
    raise RuntimeError("of its own")
"""

SHORT = {"total_steps": 512, "save.videos": False, "save.report": False, "eval.episodes": 2, "algo.horizon": 32}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "mine.py").write_text(ALGORITHM)
    return tmp_path


def with_network(name: str = "net.py:make", **more: object) -> operant.Run:
    settings: dict[str, object] = SHORT | {"policy.network": name, "env.num": 2} | more
    return operant.train("ppo", "CartPole-v1", quiet=True, **settings)


def test_a_network_of_ones_own_is_kept_as_a_state_dictionary_and_read_back(here: Path) -> None:
    run = with_network()
    tensors = load_file(run.path / "checkpoints" / "latest" / "model.safetensors")
    assert tensors["policy.net.body.first.weight"].shape == (16, 4)
    assert json.loads((run.path / "checkpoints" / "latest" / "policy.json").read_text())["network"] == str(
        Path("net.py:make").absolute()
    )
    again = operant.Run(run.path, trust=True)
    obs = np.ones((3, 4), np.float32)
    assert np.array_equal(again.policy.act(obs), run.policy.act(obs))
    assert np.array_equal(again.value(obs), run.value(obs))


def test_the_same_seed_gives_the_same_weights_whatever_the_global_generator(here: Path) -> None:
    def weights() -> torch.Tensor:
        _, agent = operant.loop("ppo", "CartPole-v1", **(SHORT | {"policy.network": "net.py:make"}))
        return next(agent.parameters()).detach().clone()  # type: ignore[attr-defined]

    torch.manual_seed(1)
    first, drawn = weights(), torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(weights(), first)
    torch.manual_seed(1)
    weights()
    assert torch.equal(torch.rand(1), drawn), "making it must not move the global generator"


@pytest.mark.parametrize("call", ["eval", "play", "resume", "export", "reproduce"])
def test_a_folder_that_names_code_is_not_believed(here: Path, call: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = with_network()
    (here / "imported").unlink()
    for name in list(__import__("sys").modules):
        if name.startswith("operant_user_net"):
            del __import__("sys").modules[name]
    more = ["--to", "1024"] if call == "resume" else []
    assert main([call, str(run.path), *more]) == 2
    assert "--trust" in capsys.readouterr().err
    assert not (here / "imported").exists()


def test_a_policy_file_that_names_code_is_not_believed_either(here: Path) -> None:
    run = with_network()
    text = (run.path / "config.toml").read_text().replace('network = "net.py:make"', 'network = "mlp"')
    (run.path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match="trust"):
        operant.Run(run.path).policy.act(np.zeros(4, np.float32))


def test_a_run_with_a_network_of_ones_own_resumes_bit_for_bit(here: Path) -> None:
    same = {"save.every": 512, "algo.lr_schedule": "constant", "algo.clip_schedule": "constant"}
    whole = with_network(**same, total_steps=1024)
    part = with_network(**same)
    assert main(["resume", str(part.path), "--to", "1024", "--trust"]) == 0
    a, b = (load_file(run.path / "checkpoints" / "latest" / "model.safetensors") for run in (whole, part))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.py:flat", r"expected float32 \[2, F\]"),
        ("net.py:words", "returned a str"),
        ("net.py:broken", r"net\.py:\d+: the network net.py:broken raised RuntimeError: of its own"),
        ("net.py:mak", "nearest: make"),
        ("nowhere.py:make", "there is no file"),
        ("mpl", "policy.network is"),
    ],
)
def test_a_network_that_is_none_is_refused_with_the_reason(here: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        with_network(name)


def test_an_algorithm_of_ones_own_trains_resumes_and_is_measured(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [w for k, v in SHORT.items() for w in (f"--{k.replace('_', '-')}", str(v).lower())]
    assert main(["train", "mine.py:build", "CartPole-v1", *flags, "--env.num", "2"]) == 0
    assert main(["eval", "last", "--episodes", "2"]) == 2
    assert "mine.py:build" in capsys.readouterr().err
    assert main(["eval", "last", "--episodes", "2", "--trust"]) == 0
    assert main(["resume", "last", "--to", "1024", "--trust"]) == 0
    run = operant.Run(next((here / "runs").iterdir()), trust=True)
    assert run.metrics["loss/policy"].notna().all()
    assert run.folder.info()["algorithm"] == "mine.py:build"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "returned a NoneType, not an operant.control.Job"),
        ("broken", "its loop must go on for ever"),
        ("raising", r"mine\.py:\d+: the algorithm mine.py:raising raised RuntimeError: of its own"),
    ],
)
def test_an_algorithm_that_is_none_is_refused_with_the_reason(here: Path, name: str, said: str) -> None:
    with pytest.raises(operant.OperantError, match=said):
        operant.train(f"mine.py:{name}", "CartPole-v1", quiet=True, **(SHORT | {"env.num": 2}))


def test_an_algorithm_without_settings_is_told_what_it_lacks(here: Path) -> None:
    with pytest.raises(ConfigError, match="Annotate its first parameter"):
        operant.train("mine.py:silent", "CartPole-v1", quiet=True)
