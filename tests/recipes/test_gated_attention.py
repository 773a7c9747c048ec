"""The mechanism of gated attention: with it what is said decides which of what is seen counts, without it does not."""

from __future__ import annotations

import pytest
import torch

from operant.config.resolve import resolve
from operant.control.setup import on_policy
from operant.recipes import gated_attention, recipe

SAID = ("go to the red ball", "go to the blue thing")


@pytest.mark.parametrize("join", ["gated", "concat"])
def test_a_sentence_changes_the_slope_by_what_is_seen_where_there_are_gates(join):
    its = {**gated_attention.SETTINGS, "policy.join": join}
    parts = on_policy(resolve("ppo", gated_attention.ROOM, overrides=its).config, gated_attention.ROOM)
    trunk, seen = parts.agent.trunks[0], parts.collect.env.observations
    view = parts.collect.env.observation_space["view"].sample()
    slopes = []
    for said in SAID:
        rows = torch.from_numpy(seen.read({"instruction": said, "view": view})[0]).requires_grad_()
        trunk(rows)[:, :128].sum().backward()
        slopes.append(rows.grad[:, trunk.layout.pictures[0].columns])
    assert slopes[0].abs().max() > 0
    assert torch.equal(*slopes) == (join == "concat")


def test_without_the_data_it_says_so_and_measures_nothing(tmp_path, monkeypatch):
    from operant.recipes.recipe import Trial

    monkeypatch.delenv("OPERANT_DATA", raising=False)
    told: list[str] = []
    trial = Trial(arm="gated", seed=1, folder=tmp_path, miniature=True, say=told.append)
    assert recipe("gated-attention").trial(trial) == {}
    assert "OPERANT_DATA" in told[0]
