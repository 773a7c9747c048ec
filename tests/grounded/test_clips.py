"""Captions as rewards: windows of frames against a slow loop, what contrast teaches, and a field that is played."""

import numpy as np
import pytest
import torch

from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env.spaces import Observations
from operant.grounded import CaptionReward, ClipModel, Field, contrastive, field_clips, fit_clips
from operant.grounded.field import DEEDS, NEEDED, PROMPT, THINGS, USE, WORDS

SEEN = Observations(Field().single_observation_space)


def made(size=8, frames=3):
    return ClipModel(SEEN, WORDS, frames, size, Streams(0).torch("init"))


def test_a_clip_is_the_last_frames_of_its_own_episode():
    judge, d = CaptionReward(made(), ["someone walks to the cow", "someone wanders about"], 1.0), SEEN.dim
    obs = torch.rand(2, 8, d)
    ended, acted = torch.zeros(2, 7, dtype=torch.bool), torch.ones(2, 7, dtype=torch.bool)
    ended[0, 2], acted[0, 3] = True, False
    seen = []
    judge.fits = lambda rows: seen.append(rows) or torch.ones(len(rows))
    flags = torch.zeros_like(ended)
    paid = judge(Trajectory(
        obs=obs, action=torch.zeros(2, 7), logp=torch.zeros(2, 7), reward=torch.zeros(2, 7), terminated=ended,
        truncated=flags, acted=acted, group=torch.arange(2),
    )).reward  # fmt: skip
    assert torch.equal(paid, acted.float())
    expected = []
    for row in range(2):
        for k in range(7):
            if acted[row, k]:
                first = 4 if row == 0 and k > 3 else 0
                expected.append(torch.stack([obs[row, max(first, j)] for j in (k - 1, k, k + 1)]))
    assert torch.equal(seen[0], torch.stack(expected))


def test_a_reward_is_what_a_caption_has_above_its_share():
    model, captions = made(), [f"someone walks to the {thing}" for thing in THINGS]
    rows = torch.rand(5, 3, SEEN.dim)
    with torch.no_grad():
        p = model(rows, captions).softmax(-1)
        found = CaptionReward(model, captions, 1.0).fits(rows)
        other = CaptionReward(model, captions[1:] + captions[:1], 1.0).fits(rows)
    torch.testing.assert_close(found, (p[:, 0] - 0.25).clamp(min=0))
    torch.testing.assert_close(other, (p[:, 1] - 0.25).clamp(min=0))  # the mechanism: another goal, another reward


def test_contrast_is_least_where_each_clip_has_its_caption():
    good = torch.eye(3) * 9
    assert contrastive(good) < 0.01 < contrastive(good.roll(1, 0))
    assert contrastive(torch.zeros(4, 4)) == pytest.approx(np.log(4))


def test_clips_teach_which_thing_somebody_goes_to():
    rng, model = np.random.default_rng(0), made(32)
    clips = field_clips(400, 3, rng)
    assert all(rows.shape == (3, SEEN.dim) and WORDS.contains(text) for rows, text in clips)
    first = fit_clips(model, clips, steps=10, batch=24, lr=3e-3, streams=Streams(1))
    assert fit_clips(model, clips, steps=80, batch=24, lr=3e-3, streams=Streams(2)) < first - 0.3


@pytest.mark.parametrize("task", range(4))
def test_who_goes_there_and_uses_it_is_done(task):
    world = Field(16, task, dense=0.1)
    world.reset(seed=0)
    far, total, over = world.far(), np.zeros(16), np.zeros(16, bool)
    for _ in range(25):
        _, reward, done, _, _ = world.step(world.toward())
        total += np.where(over, 0.0, reward)
        over |= done
    assert over.all()
    np.testing.assert_allclose(total, 1 + 0.1 * (far + NEEDED), rtol=1e-5)
    assert USE == 4
    assert not {PROMPT.format(d, t) for d, t in zip(DEEDS, THINGS, strict=True)} & {x for _, x in field_clips(
        60, 3, np.random.default_rng(1))}  # fmt: skip
