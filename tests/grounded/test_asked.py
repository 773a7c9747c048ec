"""Questions in a house: ways, what is seen, the two levels of a walk, and what each of them learns from."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from operant.config.errors import EnvError
from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import Asked, Pacman, imitate, reinforce, walk
from operant.grounded.asked import COLOURS, KINDS, QUESTIONS, SIDE, STOP, VIEW, ways
from operant.grounded.pacman import ACTIONS, chunks


def agent_of(world, most=5, size=16):
    return Pacman(Observations(world.single_observation_space), size, most, Streams(1).torch("pacman"))


def breadth_first(doors, goal):
    """Steps to where one stands before a cell and looks at it, from every state, by a queue over what leads there."""
    cells, after, _ = ways(doors)
    told, queue = {}, []
    for state in range(4 * SIDE**2):
        (x, y), k = divmod(state // 4, SIDE), state % 4
        if cells[x, y] == 1 and (x + [1, 0, -1, 0][k], y + [0, 1, 0, -1][k]) == divmod(goal, SIDE):
            told[state] = 0
            queue.append(state)
    for at in queue:
        for state in np.flatnonzero((after == at).any(1)).tolist():
            if state not in told and cells.flat[state // 4] == 1:
                told[state] = told[at] + 1
                queue.append(state)
    return told


def test_ways_are_those_of_a_search():
    doors, goal = (0, 3, 1, 2), 7 * SIDE + 6
    steps, told = ways(doors)[2][:, goal], breadth_first((0, 3, 1, 2), 7 * SIDE + 6)
    assert {s: d for s, d in enumerate(steps) if np.isfinite(d)} == told


def test_who_goes_a_shortest_way_stands_before_the_thing_and_sees_its_colour():
    world = Asked(16)
    world.reset(seed=2)
    its = walk(world, None, torch.Generator(), 5)
    assert its.stopped.all()
    assert (its.last == 0).all()
    assert (its.acted.sum(1) == its.first + 1).all()
    np.testing.assert_allclose(its.reward.where(its.acted, 0.0).sum(1), 0.05 * its.first, atol=1e-5)
    seen = Observations(world.single_observation_space)
    view = next(part for part in seen.parts if part.space.shape)
    for i in range(16):
        row = its.rows[i, its.acted[i].sum() - 1]
        cell = row[view.columns].reshape(VIEW, VIEW, -1)[VIEW // 2, VIEW - 2]
        assert cell[len(KINDS) : len(KINDS) + len(COLOURS)].argmax() == its.answer[i]
        assert cell[[*KINDS].index("ball") : [*KINDS].index("box") + 1].sum() == 1


def test_the_question_and_the_room_decide_the_answer():
    world = Asked(64)
    world.reset(seed=0)
    for i in range(64):
        thing, mark = QUESTIONS[world.question[i]]
        x, y = np.argwhere((world.cells[i] & 15) == KINDS[mark])[0]
        room = world.cells[i, 5 * (x > 4) :, 5 * (y > 4) :][:4, :4]
        (cell,) = [c for c in room.ravel() if c & 15 == KINDS[thing]]
        assert cell >> 4 == world.answer[i]


def test_walls_hide_what_is_behind_them():
    world = Asked(64)
    obs, _ = world.reset(seed=0)
    unseen = obs["view"][..., -1] == 0
    assert unseen.any()
    assert (obs["view"][unseen] == 0).all()


def test_a_shortest_way_in_chunks():
    action = torch.tensor([[0, 0, 0, 1, 1, 0, 3]])
    assert chunks(action, 2).int().tolist() == [[1, 0, 1, 1, 0, 1, 1]]
    assert chunks(action, 5).int().tolist() == [[1, 0, 0, 1, 0, 1, 1]]
    assert chunks(action, 1).all()


@pytest.mark.parametrize("most", [1, 3])
def test_what_is_drawn_has_the_probability_that_is_said(most):
    """Step by step and all at once, the planner has the same in mind: log π of a walk is that of its steps."""
    world = Asked(6, limit=12)
    world.reset(seed=3)
    agent = agent_of(world, most)
    its = walk(world, agent, torch.Generator().manual_seed(0))
    assert its.planned.all() == (most == 1)
    logp = agent.logp(its)
    mind, past, repeats = torch.zeros(6, 16), torch.full((6,), -1), torch.zeros(6).long()
    for t in range(its.action.shape[1]):
        x = torch.cat([agent.walks(its.rows[:, t]), (past[:, None] == torch.arange(ACTIONS)).float()], -1)
        again = agent.controller(torch.cat([mind, x], -1)).squeeze(-1).sigmoid()
        again = torch.where((repeats == 0) | (repeats == most), 0.0, again)
        thought = agent.memory.step(x, mind)[0]
        plans = agent.planner(thought).softmax(-1).gather(1, its.action[:, t : t + 1]).squeeze(1)
        chosen = its.planned[:, t]
        expected = torch.where(chosen, (1 - again) * plans, again).log()
        torch.testing.assert_close(logp[:, t][its.acted[:, t]], expected[its.acted[:, t]], atol=1e-5, rtol=1e-4)
        mind, past = torch.where(chosen[:, None], thought, mind), its.action[:, t]
        repeats = torch.where(chosen, 1, repeats + 1)


def test_copying_teaches_both_and_reward_leaves_the_answerer():
    """The mechanism: what was copied is changed by reward, and only where one walks."""
    world = Asked(16)
    world.reset(seed=1)
    agent, shown = agent_of(world), walk(world, None, torch.Generator(), 5)
    before = float(agent.logp(shown)[shown.acted].mean().detach())
    imitate(agent, shown, steps=15, batch=16, lr=3e-3, rng=np.random.default_rng(0))
    assert float(agent.logp(shown)[shown.acted].mean().detach()) > before + 0.2
    copied, answers = deepcopy(agent.state_dict()), agent.answers(shown)
    reinforce(agent, world, updates=1, lr=1e-3, discount=0.99, grown=0.5, generator=torch.Generator().manual_seed(0))
    changed = {name.split(".")[0] for name, x in agent.state_dict().items() if not torch.equal(x, copied[name])}
    assert changed == {"walks", "memory", "planner", "controller"}
    assert torch.equal(agent.answers(shown), answers)
    assert world.farthest == 3


def test_who_hears_the_question_alone_sees_nothing():
    world = Asked(8)
    world.reset(seed=1)
    agent, shown = agent_of(world), walk(world, None, torch.Generator(), 5)
    view = next(part for part in Observations(world.single_observation_space).parts if part.space.shape).columns
    other = shown._replace(rows=shown.rows.clone())
    other.rows[..., view] = 1.0 - other.rows[..., view]
    assert torch.equal(agent.answers(shown, True), agent.answers(other, True))
    assert not torch.equal(agent.answers(shown), agent.answers(other))


def test_houses_of_the_test_are_others():
    with pytest.raises(EnvError, match="no split tests"):
        Asked(1, "tests")
    world = Asked(4, "test", nearest=13)
    world.reset(seed=0)
    assert (world.left() >= 13).all()
    assert STOP == 3
