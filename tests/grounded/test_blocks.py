"""Blocks to be laid: what is drawn, seen and paid; and a reward learnt from states in which they lie as they should."""

import numpy as np
import pytest
import torch

from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env.spaces import Observations
from operant.env.text import words_of
from operant.grounded import Blocks, GoalNetwork, GoalReward, goal_states
from operant.grounded.blocks import COLOURS, INTERACT, KINDS, ORDERS, SHAPES, SPLITS, WAYS, said
from operant.grounded.goal_reward import likely_negatives


def fulfilled(obs, i):
    """Whether the sentence is true of the picture, read without the world's own state."""
    colour, shape, side, _, other, kind = words_of(obs["instruction"][i])
    view, places = obs["view"][i], []
    for c, s in ((colour, shape), (other, kind)):
        plane = view[..., COLOURS.index(c)] * view[..., len(COLOURS) + SHAPES.index(s)]
        places.append(np.argwhere(plane))
    to = {"north": (-1, 0), "east": (0, 1), "south": (1, 0), "west": (0, -1)}[side]
    return any((a == b + to).all() for a in places[0] for b in places[1])


def test_a_step_pays_where_the_sentence_is_true_of_what_is_seen():
    table, rng, paid = Blocks(64), np.random.default_rng(0), 0
    obs, _ = table.reset(seed=1)
    assert not any(fulfilled(obs, i) for i in range(64))
    for _ in range(60):
        obs, reward, over, cut, infos = table.step(rng.integers(0, INTERACT + 1, 64))
        assert not over.any()
        for i in range(64):
            last = obs if not cut[i] else {k: [v] * 64 for k, v in infos["final_obs"][i].items()}
            last = {"instruction": last["instruction"], "view": np.asarray(last["view"])}
            assert reward[i] == fulfilled(last, i)
        paid += reward.sum()
        assert (obs["view"][..., :3].sum((1, 2, 3)) == 4 - (table.carried >= 0)).all()
        assert (obs["view"][..., 5].sum((1, 2)) == 1).all()
    assert paid > 0


def test_blocks_are_taken_carried_and_laid_and_those_that_are_fixed_are_not():
    table = Blocks(1, fixed="red")
    table.reset(seed=0)
    for colour in (0, 1):
        table.kind[0], table.carried[0] = [k for k, (c, _) in enumerate(KINDS) if c == colour] * 2, -1
        table.at[0], table.here[0] = [(0, 0), (0, 1), (0, 2), (0, 3)], (0, 0)
        for action in (INTERACT, 2, INTERACT, 0):
            table.step(np.array([action]))
        assert table.at[0, 0].tolist() == ([0, 0] if colour == 0 else [1, 0])
        assert table.here[0].tolist() == [0, 0]


def test_goal_states_fulfil_their_instruction_and_held_out_ones_are_never_said():
    for split in SPLITS:
        goals = goal_states(40, split, np.random.default_rng(0))
        assert all(fulfilled(goals, i) for i in range(40))
        assert {*goals["instruction"]} <= {said(k) for k in SPLITS[split]}
    assert not {*SPLITS["train"]} & {*SPLITS["held-out"]}
    assert len(SPLITS["train"]) + len(SPLITS["held-out"]) == len(ORDERS) == 120
    assert len(WAYS) == 4


class Linear(torch.nn.Module):
    """z = w · row."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, rows):
        return self.layer(rows).squeeze(-1)


@pytest.mark.parametrize(("rho", "sure"), [(0.2, True), (1.0, False)])
def test_a_goal_that_is_visited_is_no_negative_example_where_rho_is_small(rho, sure):
    """The mechanism: three of four visited states fulfil their instruction, and without the choice they are taught as
    states that do not: the odds of a goal are then 4 : 3 at best."""
    good, bad = np.float32([[1, 0]]), np.float32([[0, 1]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = GoalReward(Linear(), good, rho, lr=0.1, batch=64, steps=40, streams=Streams(1))
    rows = torch.from_numpy(np.concatenate([good, good, good, bad])).repeat(4, 6, 1)[:, :6]
    flags = torch.zeros(4, 5, dtype=torch.bool)
    traj = Trajectory(
        obs=rows, action=torch.zeros(4, 5), logp=torch.zeros(4, 5), reward=torch.full((4, 5), 7.0), terminated=flags,
        truncated=flags, acted=~flags, group=torch.arange(4),
    )  # fmt: skip
    for _ in range(5):
        made = judge(traj)
    assert {*made.reward.flatten().tolist()} <= {0.0, 1.0}
    z = float(judge.network(torch.from_numpy(good)).detach())
    assert (z > 1.2) is sure
    assert sure or abs(z - np.log(4 / 3)) < 0.5


def test_a_goal_network_reads_the_instruction():
    seen = Observations(Blocks().single_observation_space)
    network = GoalNetwork(seen, 8, Streams(0).torch("init"))
    goals = goal_states(2, "train", np.random.default_rng(0))
    rows = torch.from_numpy(seen.batch(goals, 2))
    other = torch.from_numpy(seen.batch(goals | {"instruction": goals["instruction"][::-1]}, 2))
    assert (network(rows) != network(other)).all()


def test_the_share_that_is_least_likely_is_kept():
    logits = torch.tensor([3.0, -2.0, 0.0, -1.0])
    assert likely_negatives(logits, 0.5).tolist() == [1, 3]
    assert likely_negatives(logits, 1.0).tolist() == [1, 3, 2, 0]
    assert len(likely_negatives(logits, 0.01)) == 1
