"""What keeps PPO's policy near: clipped ratios, a penalty on the divergence, or nothing."""

import pytest
import torch
from safetensors.torch import load_file

import operant
from operant.config.registry import builder_of
from operant.config.resolve import resolve

SMALL = {"env.num": 4, "algo.horizon": 64, "algo.batch": 64, "algo.epochs": 3, "algo.lr": 3e-3, "algo.fused": "off"}


def build(env, **overrides):
    return builder_of("ppo")(resolve("ppo", env, overrides=SMALL | overrides, source="argument").config, env)


def parameters(agent):
    return torch.cat([p.detach().ravel() for p in agent.parameters()])


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_nothing_is_a_clip_that_is_never_met(env):
    free = build(env, **{"algo.objective": "none"})
    wide = build(env, **{"algo.clip": 1e30})
    tight = build(env, **{"algo.clip": 0.01})
    for job in (free, wide, tight):
        for _ in range(2):
            next(job.algorithm)
    torch.testing.assert_close(parameters(free.agent), parameters(wide.agent), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(parameters(free.agent), parameters(tight.agent), rtol=1e-3, atol=1e-3)


def test_a_heavier_penalty_keeps_nearer():
    far = []
    for coef in (1e-6, 1.0, 30.0):
        job = build("CartPole-v1", **{"algo.objective": "kl-fixed", "algo.kl_coef": coef, "algo.epochs": 10})
        far.append(float(next(job.algorithm)["policy/kl"]))
    assert far[0] > 2 * far[1] > 4 * far[2]


def test_the_weight_doubles_where_the_policy_went_too_far_and_halves_where_it_did_not():
    for target, factor in ((1e-9, 2.0), (10.0, 0.5)):
        job = build("CartPole-v1", **{"algo.objective": "kl-adaptive", "algo.kl_coef": 0.3, "algo.kl_target": target})
        assert [float(next(job.algorithm)["schedule/kl_coef"]) for _ in range(3)] == pytest.approx(
            [0.3 * factor**k for k in (1, 2, 3)]
        )


def test_the_hand_written_update_says_that_it_clips():
    job = build("CartPole-v1", **{"algo.objective": "kl-fixed", "algo.fused": "on"})
    with pytest.raises(operant.ConfigError, match="it clips the ratio, and algo"):
        next(job.algorithm)
    next(build("CartPole-v1", **{"algo.objective": "kl-fixed", "algo.fused": "auto"}).algorithm)


def test_an_adapted_weight_goes_on_from_a_checkpoint(tmp_path):
    """A run that is taken up again from the middle is the one that was never stopped, to the last bit of every row."""
    settings = SMALL | {
        "algo.objective": "kl-adaptive",
        "algo.kl_target": 1e-3,
        "algo.lr_schedule": "constant",
        "save.every": 512,
    }
    settings |= {"eval.episodes": 2, "save.videos": False, "save.report": False, "quiet": True}
    whole = operant.train("ppo", "CartPole-v1", runs=tmp_path / "a", total_steps=2048, **settings)
    part = operant.train("ppo", "CartPole-v1", runs=tmp_path / "b", total_steps=1024, **settings)
    longer = operant.resume(part.path, to=2048, quiet=True)
    rows = [run.metrics["schedule/kl_coef"].tolist() for run in (whole, longer)]
    assert rows[0] == rows[1]
    assert len(set(rows[0])) > 1  # it moved
    tensors = [load_file(run.path / "checkpoints" / "latest" / "model.safetensors") for run in (whole, longer)]
    assert all(torch.equal(x, tensors[1][name]) for name, x in tensors[0].items())
