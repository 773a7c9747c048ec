"""Sentences that shape rewards: invariance on a tabular model of histories, segments, screens and their ways."""

from itertools import product

import numpy as np
import torch

from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.grounded import Relatedness, Screens, Shaped, auc, clip, fit_relatedness, told
from operant.grounded.screens import ACTIONS, PIECES, WORDS
from operant.math.shaping import potential_shaping
from operant.mdp import MDP, solve

GAMMA, STEPS = 0.9, 3


def histories(bonus):
    """A walk over a ring of three states in which a history of two actions, at most STEPS of them, is the state."""
    nodes = [h for n in range(STEPS + 1) for h in product(range(2), repeat=n)]
    at = {h: k for k, h in enumerate(nodes)}
    p, r = np.zeros((len(nodes), 2, len(nodes))), np.zeros((len(nodes), 2))
    for h in nodes[: at[(0,) * STEPS]]:
        for a in range(2):
            p[at[h], a, at[*h, a]] = 1
            place = (sum(h) + a - (len(h) + 1 - sum(h) - a)) % 3
            r[at[h], a] = (place == 1) * 0.3 + (place == 2) * 0.5 + bonus(h, (*h, a), len(h) + 1 == STEPS)
    return MDP(p, r, GAMMA, terminal=[at[h] for h in nodes if len(h) == STEPS]), nodes


def test_a_potential_of_histories_leaves_the_best_policies_and_a_bare_bonus_does_not():
    rng = np.random.default_rng(0)
    phi = {h: float(x) for n in range(STEPS + 1) for h in product(range(2), repeat=n) for x in [rng.normal() * 3]}

    def shaped(before, after, ended):
        told = potential_shaping(*(torch.tensor(x) for x in (phi[before], phi[after], ended)), discount=GAMMA)
        return float(told)

    plain, nodes = histories(lambda *_: 0.0)
    with_phi, _ = histories(shaped)
    bare, _ = histories(lambda _, after, __: phi[after])
    inner = [k for k, h in enumerate(nodes) if len(h) < STEPS]
    best, moved = solve(plain), solve(with_phi)
    assert (best.policy[inner] == moved.policy[inner]).all()
    np.testing.assert_allclose((moved.values + [phi[h] for h in nodes])[inner], best.values[inner], atol=1e-5)
    assert (solve(bare).policy[inner] != best.policy[inner]).any()


def test_segments_are_shaped_by_the_actions_since_their_episode_began():
    """Against a slow loop over a row with an end in it, and a second segment that goes on with what is open."""
    phi = lambda c: c @ torch.tensor([1.0, 0.3, -0.2])  # noqa: E731
    judge = Shaped(phi, 3, GAMMA)
    action = torch.tensor([[0, 1, 2, 0, 1], [1, 1, 0, 2, 2]])
    ends = torch.zeros(2, 5, dtype=torch.bool)
    ends[0, 1] = True
    acted = torch.ones(2, 5, dtype=torch.bool)
    acted[0, 2] = acted[1, 4] = False
    cut = torch.zeros_like(ends)
    cut[1, 2] = True
    counts = [torch.zeros(3), torch.zeros(3)]
    for _ in range(2):
        traj = Trajectory(
            obs=torch.zeros(2, 6, 1), action=action, logp=torch.zeros(2, 5), reward=torch.ones(2, 5), terminated=ends,
            truncated=cut, acted=acted, group=torch.arange(2),
        )  # fmt: skip
        made = judge(traj).reward
        for i, t in product(range(2), range(5)):
            if not acted[i, t]:
                assert made[i, t] == 1
                continue
            was = phi(counts[i])
            counts[i] = counts[i] + torch.eye(3)[action[i, t]]
            expected = 1 + GAMMA * (0 if ends[i, t] else phi(counts[i])) - was
            torch.testing.assert_close(made[i, t], expected)
            if ends[i, t] or cut[i, t]:
                counts[i] = torch.zeros(3)


def test_the_ways_of_screens_end_their_pieces_and_are_told():
    for task, piece in product(range(4), range(PIECES)):
        world = Screens(1, task, piece)
        world.reset(seed=0)
        way, paid = world.screen.way(piece), []
        for action in way:
            _, reward, over, _, _ = world.step(np.array([action]))
            paid.append(float(reward[0]))
        assert over[0], (task, piece)
        assert paid == [0.0] * (len(way) - 1) + [1.0]
        assert WORDS.contains(told(way, np.random.default_rng(0)))


def test_what_was_done_is_told_from_other_things_after_some_teaching():
    rng, streams = np.random.default_rng(1), Streams(1)
    net = Relatedness(ACTIONS, WORDS, 24, streams.torch("init"))
    clips = [clip(rng) for _ in range(150)]
    before = auc(net, clips, 400, rng)
    fit_relatedness(net, clips, steps=150, batch=64, lr=3e-3, streams=streams)
    assert auc(net, clips, 400, rng) > max(0.7, before)
    counts = torch.tensor([[0.0] * 6, [0, 0, 6, 2, 0, 0]])
    up, down = (net.potential(counts, f"go {way}") for way in ("up far", "down far, then go left"))
    assert down[1] > up[1]  # the mechanism: another sentence, another reward
    assert (down.abs() <= 1).all()
