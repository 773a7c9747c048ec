"""Enumeration by Python and compiled functions, deterministic simulators, and what they say when memory runs short."""

import tracemalloc

import gymnasium
import numba
import numpy as np
import pytest
import scipy.sparse as sp

from operant.data.memory import available
from operant.mdp import (
    MDP,
    ModelError,
    enumerate_compiled,
    enumerate_mdp,
    from_gymnasium,
    from_simulator,
    from_step,
    grid_world,
    memory,
    memory_of,
    solve,
)
from operant.mdp.build.forecast import require, require_solve
from reference.model_table import assert_identical, assert_same, merged, table_of

SIDE = 5


def drift(state, action):
    """A walk on a square, to the right or downwards; the wind blows the other way now and then."""
    x, y = state
    return [(0.8, (min(x + action, SIDE), y), -1.0), (0.2, (x, min(y + 1, SIDE)), -2.0 * action)]


def test_breadth_first_from_the_start():
    mdp = enumerate_mdp(drift, (0, 0), discount=0.9, actions=[0, 1], terminal=lambda s: s == (SIDE, SIDE))
    assert mdp.states[:6] == ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
    assert mdp.num_states == (SIDE + 1) ** 2
    assert mdp.start.tolist()[:2] == [1, 0]
    assert np.flatnonzero(mdp.rows.terminal).tolist() == [mdp.index((SIDE, SIDE))]
    triples = [
        (mdp.index(s), a, p, mdp.index(to), r)
        for s in mdp.states
        if s != (SIDE, SIDE)
        for a in (0, 1)
        for p, to, r in drift(s, a)
    ]
    assert_same(table_of(mdp), merged(triples))


def test_the_forms_of_actions_and_of_the_start():
    first = enumerate_mdp(drift, (0, 0), discount=0.9, actions=[0, 1])
    by_function = enumerate_mdp(drift, (0, 0), discount=0.9, actions=lambda s: (0, 1))
    at_once = enumerate_mdp(lambda s: {a: drift(s, a) for a in (0, 1)}, (0, 0), discount=0.9)
    assert_identical(by_function, first)
    assert_identical(at_once, first)
    spread = enumerate_mdp(drift, {(0, 0): 0.5, (3, 3): 0.5}, discount=0.9, actions=[0, 1])
    assert spread.states[:2] == ((0, 0), (3, 3))
    assert spread.start[:3].tolist() == [0.5, 0.5, 0]
    named = enumerate_mdp(
        lambda s: {"on": [(1.0, s + 1, 1.0)], "off": [(1.0, 0, 0.0)]} if s < 3 else {}, 0, discount=0.9
    )
    assert named.states is None  # numbered as they are named
    assert named.actions == ("on", "off")
    assert named.rows.terminal.tolist() == [False, False, False, True]
    late = enumerate_mdp(lambda s: {"ca"[s]: [(1.0, 1 - s, 0.0)], "b": [(1.0, s, 1.0)]}, 0, discount=0.9)
    assert {key: row[1] for key, row in table_of(late).items()} == {(0, 0): 0, (0, 1): 1, (1, 1): 1, (1, 2): 0}


@pytest.mark.parametrize(
    ("transition", "options", "message"),
    [
        (lambda s: {0: [(1.0, s)]}, {}, r"transition\(0, 0\): not enough values"),
        (lambda s: {0: [(1.0, [s], 0)]}, {}, "unhashable"),
        (lambda s: {0: 3}, {}, "not iterable"),
        (lambda s: [1], {}, r"transition\(0\) is \[1\]: without `actions`"),
        (lambda s: {0: [(0.4, 0, 0.0)]}, {}, "state 0, action 0: the probabilities sum to 0.4"),
        (lambda s: {0: [(1.0, s + 1, 0.0)]}, {"limit": 2_000_000}, "enumeration stopped with .* `limit`"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(transition, options, message):
    with pytest.raises(ModelError, match=message):
        enumerate_mdp(transition, 0, discount=0.9, **options)


@numba.njit
def slippery(s, a, successor, probability, reward):
    """A 6×5 grid with slip 0.3, -1 a move; from the last cell any move ends the episode and pays 7."""
    y, x = s // 6, s % 6
    if s == 29:
        successor[0], probability[0], reward[0] = -1, 1.0, 7.0
        return 1
    if s == 13:
        return 0  # a pit
    for k in range(3):
        way = (a + k - 1) % 4
        to_y = min(max(y + (way == 2) - (way == 0), 0), 4)
        to_x = min(max(x + (way == 1) - (way == 3), 0), 5)
        successor[k], reward[k] = to_y * 6 + to_x, -1.0
        probability[k] = 0.7 if k == 1 else 0.15
    return 3


def test_a_compiled_function_gives_the_grid_world_that_it_describes():
    mdp = enumerate_compiled(slippery, states=30, actions=4, successors=3, discount=0.95)
    drawn = grid_world(
        "......\n......\n.P....\n......\n.....G", discount=0.95, living_reward=-1, slip=0.3, terminal="P"
    )
    wanted = table_of(drawn)
    for a in range(4):
        wanted[29, a] = ({30: 1.0}, 7.0)
    assert_same(table_of(mdp), wanted)
    assert np.flatnonzero(mdp.rows.terminal).tolist() == [13, 30]
    assert mdp.rows.outcome_reward is None
    for threads in (2, 3):
        again = enumerate_compiled(slippery, states=30, actions=4, successors=3, discount=0.95, threads=threads)
        assert_identical(again, mdp)


def test_names_start_and_rewards_of_outcomes_pass_through():
    def coin(s, a, successor, probability, reward):
        if s == 1 and a == 1:
            return 0
        successor[0], probability[0], reward[0] = s, 0.5, 1.0
        successor[1], probability[1], reward[1] = -1, 0.5, 3.0
        return 2

    mdp = enumerate_compiled(
        coin, states=2, actions=2, successors=2, discount=0.5, start=[0.5, 0.5], names=["a", "b"], action_names="xy"
    )
    assert mdp.states == ("a", "b", "end")
    assert mdp.actions == ("x", "y")
    assert mdp.start.tolist() == [0.5, 0.5, 0]
    assert_same(
        table_of(mdp), {(0, 0): ({0: 0.5, 2: 0.5}, 2), (0, 1): ({0: 0.5, 2: 0.5}, 2), (1, 0): ({1: 0.5, 2: 0.5}, 2)}
    )
    assert mdp.rows.outcome_reward.tolist() == [1, 3] * 3


def test_faults_of_a_compiled_function_are_named():
    @numba.njit
    def faulty(s, a, successor, probability, reward):
        successor[0], probability[0], reward[0] = (0, 0.9, 0.0) if s == 0 else (2, 1.0, 0.0)
        return 3 if s == 2 else 1

    for states, message in (
        (1, "state 0, action 0: the probabilities sum to 0.9"),
        (2, "state 1, action 0 leads to state 2, which does not exist: states are 0 to 1, and -1 ends"),
        (3, "state 2, action 0 returns 3 outcomes, which is not 0 to 2: raise `successors`"),
    ):
        with pytest.raises(ModelError, match=message):
            enumerate_compiled(faulty, states=states, actions=2, successors=2, discount=0.5)
    with pytest.raises(ModelError, match="Numba cannot compile"):
        enumerate_compiled(lambda s, a, to, p, r: {}["a"], states=4, actions=2, successors=2, discount=0.5)
    with pytest.raises(ModelError, match=r"the model of 30 states .* may be used"):
        enumerate_compiled(slippery, states=30, actions=4, successors=3, discount=0.95, limit=1000)
    with pytest.raises(ModelError, match="actions is 0"):
        enumerate_compiled(slippery, states=30, actions=0, successors=3, discount=0.95)


def test_a_function_that_changes_its_mind_is_found():
    @numba.njit
    def moody(s, a, successor, probability, reward):
        successor[0], probability[0], reward[0] = s, 1.0, 0.0
        return 1 if np.random.random() < 0.5 else 0

    with pytest.raises(ModelError, match="called again"):
        enumerate_compiled(moody, states=200, actions=2, successors=1, discount=0.5)


def test_the_forecast_is_what_the_arrays_take():
    mdp = enumerate_compiled(slippery, states=30, actions=4, successors=3, discount=0.95)
    told = memory(mdp.num_states, mdp.num_rows / mdp.num_states, mdp.nnz / mdp.num_rows)
    assert abs(told.model - mdp.rows.nbytes) <= 16  # the ends of pointers
    assert memory_of(mdp).model == mdp.rows.nbytes
    assert told.total == told.model + told.solve
    big = memory(70_000_000, 4, 3)
    assert 15e9 < big.model < 16e9  # 12 B an entry, 16 B a pair, 13 B a state
    assert "70,000,000 states" in str(big)
    assert memory(2**32, 1, 1).model > 24 * 2**32  # wide indices
    assert available() > 0
    with pytest.raises(ModelError, match="a pyramid needs 2 GB of memory and 1 GB may be used"):
        require(2 * 10**9, "a pyramid", limit=10**9)
    with pytest.raises(ModelError, match="needs"):
        require(10**18, "everything")


def test_the_forecast_covers_what_a_solve_takes():
    states = 20_000
    generator = np.random.default_rng(0)
    successor = np.sort(generator.integers(0, states, size=(4 * states, 3)), axis=1)
    matrix = sp.csr_array((np.full(successor.size, 1 / 3), successor.ravel(), np.arange(0, successor.size + 1, 3)))
    pairs = np.repeat(np.arange(states), 4), np.tile(np.arange(4), states)
    mdp = MDP(matrix, generator.random(4 * states), 0.9, pairs=pairs)
    for model in (mdp, mdp.replace(horizon=5)):
        solve(model, threads=1)  # compile
        tracemalloc.start()
        solve(model, threads=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        told = memory_of(model).solve
        assert 0.75 * told < peak < 1.05 * told
        require_solve(model)
        with pytest.raises(ModelError, match="solving 20,000 states needs"):
            require_solve(model, limit=told - 1)


def test_a_step_function_and_its_ends():
    def step(state, action):
        return state + action, -1.0, state + action == 3

    mdp = from_step(step, 0, actions=lambda s: [1, 2] if s < 3 else [-1], discount=0.9)
    assert mdp.states == (0, 1, 2, 3, 4)
    assert mdp.rows.terminal.tolist() == [False, False, False, True, False]
    assert table_of(mdp)[mdp.index(4), 2] == ({mdp.index(3): 1.0}, -1.0)
    both = from_step(lambda s, a: ((s + a) % 4, 1.0, s + a == 3 and a == 2), 0, actions=[1, 2], discount=0.9)
    assert both.rows.terminal[both.index(("end", 3))]
    assert not both.rows.terminal[both.index(3)]
    assert table_of(both)[both.index(1), 1] == ({both.index(("end", 3)): 1.0}, 1.0)


def values(mdp):
    v, rows = mdp.rows.terminal_value.copy(), mdp.rows
    full = np.flatnonzero(np.diff(rows.pointer))
    for _ in range(300):
        v[full] = np.maximum.reduceat(rows.reward + mdp.discount * (mdp.matrix @ v), rows.pointer[full].astype(int))
    return v


@pytest.mark.parametrize(("name", "options"), [("CliffWalking-v1", {}), ("FrozenLake-v1", {"is_slippery": False})])
def test_an_environment_that_is_stepped_equals_its_table(name, options):
    env = gymnasium.make(name, **options)
    stepped = from_simulator(env, discount=0.9, seeds=range(2))
    table = from_gymnasium(name, discount=0.9, **options)
    wanted, found = values(table), values(stepped)
    alive = [i for i in range(stepped.num_states) if not stepped.rows.terminal[i]]
    assert len(alive) > 10
    np.testing.assert_allclose(found[alive], wanted[[stepped.states[i] for i in alive]], atol=1e-9)
    assert {stepped.states[i] for i in np.flatnonzero(stepped.rows.terminal)} <= set(
        np.flatnonzero(table.rows.terminal)
    )


class Counter:
    """Counts to nine; state can be set. Its observation hides the last digit unless `honest`."""

    def __init__(self, honest):
        self.at, self.honest = 0, honest

    def reset(self, seed=None):
        self.at = 0
        return self.observe(), {}

    def observe(self):
        return self.at if self.honest else self.at // 2

    def get_state(self):
        return self.at

    def set_state(self, state):
        self.at = state

    def step(self, action):
        self.at = min(self.at + action, 9)
        return self.observe(), float(self.at), self.at == 9, False, {}


def test_an_object_with_a_state_and_an_observation_that_hides_it():
    mdp = from_simulator(Counter(True), discount=1.0, actions=[2, 1])
    assert set(mdp.states) == set(range(10))
    assert values(mdp)[mdp.index(0)] == sum(range(10))
    with pytest.raises(ModelError, match="stands for several states: give `key`"):
        from_simulator(Counter(False), discount=1.0, actions=[2, 1])
    named = from_simulator(Counter(False), discount=1.0, actions=[2, 1], key=lambda seen, self: (seen, self.at % 2))
    assert values(named)[named.index((0, 0))] == sum(range(10))


def test_a_simulator_that_draws_is_refused():
    with pytest.raises(ModelError, match="not deterministic"):
        from_simulator(gymnasium.make("FrozenLake-v1"), discount=0.9)
    with pytest.raises(ModelError, match="are not numbered"):
        from_simulator(gymnasium.make("Pendulum-v1"), discount=0.9)
    assert isinstance(from_simulator(gymnasium.make("FrozenLake-v1", is_slippery=False), discount=0.9), MDP)
