"""The graph of a policy does what the policy does, for every kind of action, and a graph that does not is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from operant.config.errors import ConfigError, OperantError
from operant.control.agent import Agent, AgentSpec
from operant.env.interface import Interface
from operant.env.spaces import Actions
from operant.view import onnx

SPACES = {
    "discrete": (spaces.Discrete(3, start=-2), "discrete", (3,)),
    "multidiscrete": (spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 7]]), "multidiscrete", (2, 3, 4, 5)),
    "multibinary": (spaces.MultiBinary((2, 2)), "multibinary", (4,)),
    "box": (spaces.Box(np.float32([-2, -np.inf]), np.float32([0.5, 1]), dtype=np.float32), "box", (2,)),
    "wide": (spaces.Box(-0.5, 0.5, (1, 2), dtype=np.float64), "box", (2,)),
    "whole": (spaces.Box(0, 3, (2,), dtype=np.uint8), "box", (2,)),
}


def agent(kind, sizes, *, normalized=True, seed=1):
    """An agent with weights large enough to choose every action, and statistics that are not the identity."""
    spec = AgentSpec(
        obs_dim=5, action_kind=kind, action_sizes=sizes, hidden=(16,), obs_clip=4.0 if normalized else None
    )
    made = Agent(spec, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for p in made.policy.parameters():
            p.add_(torch.randn(p.shape, generator=generator))
        if made.normalizer is not None:
            made.normalizer.update(torch.randn(50, 5, generator=generator) * 3 + 2)
    return made


def rows(num=1000):
    rng = np.random.default_rng(0)
    scale = rng.choice([0.0, 1.0, 10.0, 1e4], size=(num, 1))
    return (rng.normal(size=(num, 5)) * scale).astype(np.float32)


@pytest.mark.parametrize("name", SPACES)
def test_the_graph_takes_the_actions_of_the_library(name, tmp_path):
    space, kind, sizes = SPACES[name]
    made, file, obs = agent(kind, sizes), tmp_path / "policy.onnx", rows()
    onnx.write(made, space, file, {"environment": "none"})
    told = onnx.verify(file, made, space, obs)
    assert told.observations == 1000
    assert told.difference <= onnx.TOLERANCE
    found, library = onnx.run(file, obs), Actions(space).decode(made.act(obs))
    assert found.dtype == library.dtype
    assert found.shape == library.shape == (1000, *(space.shape or ()))
    if name in ("box", "wide"):
        np.testing.assert_allclose(found, library, atol=1e-5)
    else:
        assert (found != library).sum() <= told.ties
    assert len(np.unique(found.reshape(1000, -1), axis=0)) > 1
    for num in (1, 2, 7):
        assert np.array_equal(onnx.run(file, obs[:num]), found[:num]) or np.allclose(
            onnx.run(file, obs[:num]), found[:num]
        )
    assert all(space.contains(a if space.shape else a.item()) for a in found)


@pytest.mark.parametrize("std", ["none", "network"])
@pytest.mark.parametrize("name", ["wide", "whole"])
def test_a_squashed_policy_is_within_its_bounds(name, std, tmp_path):
    """DDPG's and TD3's μ(s), and the mode of SAC's normal; of whole numbers too."""
    space, kind, sizes = SPACES[name]
    between = Interface(spaces.Box(-np.inf, np.inf, (5,), np.float32), space)
    spec = AgentSpec(
        **between.encoded(), obs_dim=5, action_kind=kind, action_sizes=sizes, hidden=(16,), obs_clip=4.0, std=std,
        squash=True, critics=2,
    )  # fmt: skip
    made, file, obs = Agent(spec, torch.Generator().manual_seed(1)), tmp_path / "policy.onnx", rows()
    with torch.no_grad():
        made.policy.net.layers[-1].weight.mul_(100)
    onnx.write(made, space, file, {"environment": "none"})
    assert onnx.verify(file, made, space, obs).difference <= onnx.TOLERANCE
    found = onnx.run(file, obs)
    assert len(np.unique(found)) >= (4 if name == "whole" else 100)
    assert all(space.contains(action) for action in found)


def test_normalisation_is_inside(tmp_path):
    space, kind, sizes = SPACES["wide"]
    made, file = agent(kind, sizes), tmp_path / "policy.onnx"
    onnx.write(made, space, file, {})
    assert made.normalizer is not None
    made.normalizer.mean += 1.0
    with pytest.raises(OperantError, match="does not agree"):
        onnx.verify(file, made, space, rows())


@pytest.mark.parametrize("name", SPACES)
def test_a_graph_of_another_policy_is_refused(name, tmp_path):
    space, kind, sizes = SPACES[name]
    file = tmp_path / "policy.onnx"
    onnx.write(agent(kind, sizes), space, file, {})
    with pytest.raises(OperantError, match=r"does not agree with the policy on \d+ of 1000"):
        onnx.verify(file, agent(kind, sizes, seed=9), space, rows())


def test_a_graph_with_other_bounds_or_another_start_is_refused(tmp_path):
    file = tmp_path / "policy.onnx"
    for made, space, other in (
        (agent("box", (2,)), spaces.Box(-1, 1, (2,)), spaces.Box(-1, 2, (2,))),
        (agent("discrete", (3,)), spaces.Discrete(3), spaces.Discrete(3, start=1)),
        (agent("box", (2,)), spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (2,), dtype=np.float64)),
    ):
        onnx.write(made, space, file, {})
        onnx.verify(file, made, space, rows())
        with pytest.raises(OperantError, match=r"agree|actions of"):
            onnx.verify(file, made, other, rows())


def test_ties_may_be_decided_either_way_and_are_counted():
    space = spaces.Discrete(3, start=1)
    raw = np.float32([[0.0, 1.0, 1.0 - 1e-6], [0.0, 1.0, 0.9], [0, 5, 1]])
    want, have = np.array([2, 2, 2]), np.array([3, 3, 9])
    gap = onnx._gap(space, raw, want, have)
    assert gap[0] < onnx.TOLERANCE < gap[1] < gap[2] == np.inf


def test_the_file_says_what_it_is_and_nothing_of_this_machine(tmp_path):
    import onnx as package

    space, kind, sizes = SPACES["box"]
    file = tmp_path / "policy.onnx"
    onnx.write(agent(kind, sizes), space, file, {"environment": "Some-v1"})
    model = package.load(str(file))
    assert {p.key: p.value for p in model.metadata_props} == {"environment": "Some-v1"}
    assert [i.name for i in model.graph.input] == ["obs"]
    assert [o.name for o in model.graph.output] == ["action"]
    content = file.read_bytes()
    for trace in (str(Path(onnx.__file__).parent), str(tmp_path), "stack_trace", "site-packages"):
        assert trace.encode() not in content
    again = tmp_path / "again.onnx"
    onnx.write(agent(kind, sizes), space, again, {"environment": "Some-v1"})
    assert again.read_bytes() == content


def test_without_the_packages_the_command_is_named():
    with pytest.raises(ConfigError, match=r'pip install "operant\[export\]"'):
        onnx.needs("no_such_package")
