"""Completions as trajectories, and the loop that collects them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from operant.config.errors import ConfigError
from operant.language.episodes.episodes import Prompts, Rollouts, by_length, episodes
from operant.language.sample.engine import Completion, Sampling
from reference.groups import completion


class Scripted:
    """An engine whose completions are as long as their sample says."""

    def __init__(self, positions: int = 64) -> None:
        self.policy: Any = SimpleNamespace(max_positions=positions, device="cpu")
        self.seconds = 0.0

    def generate(self, prompts: Any, sampling: Sampling, *, samples: int) -> list[Completion]:
        return [completion(p.id, k, 1 + k) for p in prompts for k in range(samples)]


def rollouts(score: Any, engine: Any = None, **options: Any) -> Rollouts:
    prompts = Prompts([[5, 6, 7]] * 4, seed=3)
    return Rollouts(engine or Scripted(), prompts, score, Sampling(max_tokens=8), samples=3, **options)


def test_a_row_says_where_the_policy_chose_and_how_it_ended() -> None:
    made = episodes([completion(4, 0, 5), completion(9, 0, 2, start=4, cut=True)], [1.5, -1.0])
    traj = made.traj
    assert traj.acted.tolist() == [[False] * 2 + [True] * 5, [False] * 3 + [True] * 2 + [False] * 2]
    assert traj.terminated.nonzero().tolist() == [[0, 6]]
    assert traj.truncated.nonzero().tolist() == [[1, 4]]
    assert traj.reward[0, 6] == 1.5
    assert traj.reward[1, 4] == -1.0
    assert traj.reward.count_nonzero() == made.rewarded.sum() == 2
    assert traj.group.tolist() == [4, 9]
    assert made.prompt.tolist() == [3, 4]
    assert made.length_limited.tolist() == [False, True]
    assert made.length.tolist() == [8, 6]
    one = completion(4, 0, 5)
    assert isinstance(traj.obs, torch.Tensor)
    assert traj.action[0][traj.acted[0]].tolist() == list(one.tokens)
    assert traj.obs[0, :3].tolist() == list(one.prompt.tokens)
    torch.testing.assert_close(traj.logp[0][traj.acted[0]], torch.tensor(one.logp))
    torch.testing.assert_close(made.kept[0][traj.acted[0]], torch.tensor(one.kept))


def test_steps_are_marked_even_where_they_earn_nothing() -> None:
    made = episodes([completion(1, 0, 5)], [[(1, 0.0), (4, 2.0)]])
    assert made.rewarded.nonzero()[:, 1].tolist() == [3, 6]
    assert made.traj.reward[0].tolist() == [0, 0, 0, 0, 0, 0, 2.0]


def test_a_reward_for_a_forced_token_goes_to_the_decision_before_it() -> None:
    made = episodes([completion(1, 0, 5, forced=(3, 4))], [1.0])
    assert made.traj.reward[0].nonzero().item() == made.traj.terminated[0].nonzero().item() == 4
    assert made.traj.acted[0].tolist() == [False, False, True, True, True, False, False]
    assert made.length.tolist() == [6]


def test_what_is_not_judged_is_truncated() -> None:
    made = episodes([completion(1, 0, 2), completion(1, 1, 2)], [None, 0.0])
    assert made.scored.tolist() == [False, True]
    assert made.traj.truncated.any(-1).tolist() == [True, False]
    assert made.rewarded.any(-1).tolist() == [False, True]


def test_wrong_scores_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 scores for 2 completions"):
        episodes([completion(1, 0, 2), completion(1, 1, 2)], [1.0])
    with pytest.raises(ConfigError, match="sample 0 of prompt 1: a step's reward at token 2 of 2"):
        episodes([completion(1, 0, 2)], [[(2, 1.0)]])


def test_every_prompt_once_before_any_twice_and_the_count_is_the_state() -> None:
    prompts = Prompts([[i] for i in range(7)], seed=1)
    first = [prompts(3), prompts(4), prompts(7)]
    drawn = [p.tokens[0] for part in first for p in part]
    assert sorted(drawn[:7]) == sorted(drawn[7:]) == list(range(7))
    assert drawn[:7] != drawn[7:]
    assert [p.id for part in first for p in part] == list(range(14))
    again = Prompts([[i] for i in range(7)], seed=1)
    again.drawn = 3
    assert again(4) == first[1]


def test_prompts_without_contrast_are_replaced() -> None:
    collect = rollouts(lambda cs: [float(c.sample if c.prompt.id % 2 else 0) for c in cs], resample=3)
    made = collect(4)
    assert made.rows == 12
    assert sorted(set(made.traj.group.tolist())) == [1, 3, 5, 7]
    assert collect.dropped == 4
    assert collect.prompts.drawn == 8
    short = rollouts(lambda cs: [float(c.sample if c.prompt.id == 1 else 0) for c in cs], resample=1)(4)
    assert short.traj.group.tolist() == [1, 1, 1]
    none = rollouts(lambda cs: [0.0 for _ in cs], resample=2)(4)
    assert none.rows == 12  # nothing had a contrast: training says so


def test_overlong_completions_lose_up_to_one() -> None:
    collect = rollouts(lambda cs: [1.0 for _ in cs], overlong=0.9)  # from 0.8 tokens to 8
    collect(1)
    expected = [1.0 - (n - 0.8) / 7.2 for n in (1, 2, 3)]
    assert collect.scores == pytest.approx(expected)
    assert rollouts(lambda cs: [1.0 for _ in cs], overlong=0.5)(1).traj.reward.sum() == 3.0


def test_a_limit_beyond_the_positions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 tokens and a completion of up to 8 are more than the 10 positions.*to 7"):
        rollouts(lambda cs: [0.0 for _ in cs], Scripted(positions=10))(1)


def test_parts_hold_every_row_once_within_the_budget() -> None:
    length = torch.tensor([5, 90, 3, 40, 41, 4, 200])
    parts = by_length(length, 100)
    assert sorted(torch.cat(parts).tolist()) == list(range(7))
    assert all(len(p) == 1 or len(p) * int(length[p].max()) <= 100 for p in parts)
    assert parts[0].tolist() == [6]
