"""Indices and numbers out of range that reach compiled code, which reads and writes another's memory.

Each function that hands numbers of a caller's to a compiled kernel is called with what is right, and with -1, N, NaN
and nothing in each of its places: what is wrong is refused in words, in a process of its own, as it might not live.
"""

import inspect
import os
import signal
from functools import cache
from typing import NamedTuple

import gymnasium
import numba
import numpy as np
import pytest
import scipy.sparse as sp
from gymnasium.spaces import Discrete

import operant.mdp
import operant.tabular
from operant.config.errors import OperantError
from operant.mdp import MDP, METHODS, MatrixFree, Rows, solve
from operant.mdp.policies import uniform
from operant.tabular import Learner, LinearLearner, Settings, TileCoder, bandits

pytestmark = pytest.mark.filterwarnings("ignore:.*need not converge")
NAN, EMPTY = float("nan"), []
S, A = 4, 2
P = np.full((S, A, S), 1 / S)
MODEL = MDP(P, np.arange(S * A).reshape(S, A), 0.9, start=0)
LEARNERS = sorted(operant.tabular.ALGORITHMS)


def refused(function, given, *words):
    """Calls `function` with each of `given`, in a fork: it has to raise an error of ours that names one of `words`."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        for number, arguments in enumerate(given):
            os.write(tell, f"{number}\n".encode())
            try:
                what = f"accepted: {function(*arguments)!r}"
            except OperantError as error:
                what = "" if not words or any(word in str(error) for word in words) else f"in other words: {error}"
            except BaseException as error:
                what = f"{type(error).__name__}: {error}"
            if what:
                os.write(tell, what.encode(errors="replace")[:2000])
                os._exit(1)
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as file:
        last, _, what = file.read().strip().rpartition("\n")
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        what, last = f"ended by signal {os.WTERMSIG(status)}", what
    if status:
        pytest.fail(f"given {given[int(last.split()[-1])]}: {what}")


def each_wrong(function, right, wrong):
    """`function(*right)` passes; with one of its places filled wrongly it is refused."""
    function(*right)
    filled = [(place, value) for place, others in wrong.items() for value in others]
    refused(function, [[*right[:place], value, *right[place + 1 :]] for place, value in filled])


def bad(count):
    """What is no index below `count`."""
    return [-1, count, NAN, EMPTY, None, 0.5, 10**9, 2**70]


NUMBERS = [NAN, EMPTY, None, float("inf"), "one"]
COUNTS = [-1, 0, NAN, EMPTY, 1.5]


class Entry(NamedTuple):
    """A call with what is right, and for each place of its arguments what is wrong."""

    call: object
    right: tuple
    wrong: dict


def learner(algorithm="q-learning"):
    return Learner(S, A, Settings(algorithm=algorithm, discount=0.9), np.random.default_rng(0))


def linear():
    coder = TileCoder([0.0, 0.0], [1.0, 1.0], tiles=3, tilings=2)
    return LinearLearner(coder, A, Settings(discount=0.9, lam=0.5), np.random.default_rng(0))


def a_settings():
    return Settings(), np.random.default_rng(0)


MEANS = [EMPTY, [EMPTY], [[NAN, 0.0]], [[float("inf")]], [0.5], NAN]
POINTS = [[NAN, 0.5], [0.5], [0.1, 0.2, 0.3], EMPTY, 0.5]
NAMED = ("state is", "action is", "next_state is", "reward is")
OBSERVED = {0: bad(S), 1: bad(A), 2: NUMBERS, 3: bad(S)}
STEP = (1, 1, 1.0, 2, False, False)


def played(function, **given):
    return Entry(
        lambda means, steps, seeds, threads: function(means, steps=steps, seeds=seeds, threads=threads, **given),
        ([[0.1, 0.9]], 3, 1, 1),
        {0: MEANS, 1: COUNTS, 2: [-1, 2, NAN, EMPTY, [-1]], 3: COUNTS},
    )


def from_rows(**changes):
    arrays = {name: getattr(MODEL.rows, name) for name in Rows.__slots__} | changes
    return MDP.from_rows(Rows(**arrays), 0.9)


def damaged(name, at, value):
    array = getattr(MODEL.rows, name).copy()
    array[at] = value
    return from_rows(**{name: array})


def csr(indptr=None, indices=None):
    """A matrix that SciPy has not looked at."""
    matrix = sp.csr_array(P.reshape(S * A, S))
    if indptr is not None:
        matrix.indptr = np.array(indptr)
    if indices is not None:
        matrix.indices = np.asarray(indices)
    return MDP(matrix, np.zeros(S * A), 0.9, pairs=(np.repeat(range(S), A), np.tile(range(A), S)))


@numba.njit
def stays(s, a, successor, probability, reward):
    successor[0], probability[0], reward[0] = s, 1.0, 1.0
    return 1


@numba.njit
def wrong_count(s, a, successor, probability, reward):
    return 2000


@numba.njit
def negative_count(s, a, successor, probability, reward):
    return -3


@numba.njit
def wrong_state(s, a, successor, probability, reward):
    successor[0], probability[0], reward[0] = 10**7, 1.0, 1.0
    return 1


@numba.njit
def not_a_number(s, a, successor, probability, reward):
    successor[0], probability[0], reward[0] = s, np.nan, np.nan
    return 1


WRONG = [wrong_count, negative_count, wrong_state, not_a_number]


def enumerated(transition=stays, states=5, actions=2, successors=1, threads=1):
    return operant.mdp.enumerate_compiled(
        transition, states=states, actions=actions, successors=successors, discount=0.9, threads=threads, quiet=True
    )


def matrix_free(transition=stays, states=5, actions=2, successors=1, threads=1):
    model = MatrixFree(transition=transition, states=states, actions=actions, successors=successors, discount=0.9)
    return operant.mdp.solve_matrix_free(model, threads=threads, epsilon=1e-3)


def simulated(policy=None, steps=3, seed=0, max_steps=2, start=0):
    pi = uniform(MODEL) if policy is None else policy
    return operant.mdp.simulate(MODEL, pi, steps=steps, seed=seed, max_steps=max_steps, start=start)


class Walk(gymnasium.Env):
    """Goes where it is told to."""

    observation_space, action_space = Discrete(4, start=1), Discrete(2, start=1)

    def __init__(self, first=1, then=2, reward=0.0):
        self.first, self.answer = first, (then, reward, False, False, {})

    def reset(self, *, seed=None, options=None):
        return self.first, {}

    def step(self, action):
        return self.answer


def walked(first, then, reward):
    from operant.tabular.discrete_env import DiscreteEnv

    env = DiscreteEnv(Walk(first, then, reward), "walk", max_steps=5, seed=0)
    return env.reset(), env.step(0)


@cache
def sampler(kind):
    """Of a small policy; made before anything forks, as torch's threads do not outlive that."""
    import torch

    from operant.control.acting import sampler as of
    from operant.control.agent import Agent, AgentSpec

    agent = Agent(AgentSpec(obs_dim=3, action_kind=kind, action_sizes=(2,)), torch.Generator().manual_seed(0))
    return of(agent.policy), np.random.default_rng(0)


def acted(kind):
    def call(obs):
        sample, generator = sampler(kind)
        return sample(obs, generator)

    return call


def mapped(name, value, at=0):
    """A folder whose checksums are right, and whose arrays are not."""
    import json
    import tempfile
    import zlib
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "m"
        operant.mdp.save_mapped(MODEL, folder)
        if name:
            file, manifest = folder / f"{name}.npy", json.loads((folder / "MANIFEST.json").read_text())
            array = np.load(file)
            array[at] = value
            file.write_bytes(file.read_bytes()[:128] + array.tobytes())
            manifest["files"][name]["crc32"] = zlib.crc32(array.tobytes())
            (folder / "MANIFEST.json").write_text(json.dumps(manifest))
        return solve(operant.mdp.open_mapped(folder))


MAPPED = [("indices", 10**6), ("indices", 2**32 - 1), ("indptr", 10**6, 1), ("pointer", 10**6, 1), ("data", NAN),
          ("reward", NAN), ("action", -1)]  # fmt: skip

ENTRIES = {
    "Learner": Entry(lambda s, a: Learner(s, a, *a_settings()), (S, A), {0: COUNTS, 1: COUNTS}),
    "Learner.act": Entry(lambda s, step: learner().act(s, step), (3, 2), {0: bad(S), 1: [-1, NAN, EMPTY]}),
    "Learner.greedy": Entry(lambda s: learner().greedy(s), (np.int64(3),), {0: bad(S)}),
    "LinearLearner": Entry(lambda a: LinearLearner(linear().coder, a, *a_settings()), (A,), {0: COUNTS}),
    "LinearLearner.act": Entry(lambda point: linear().act(point), ([0.5, 2.0],), {0: POINTS}),
    "LinearLearner.greedy": Entry(lambda point: linear().greedy(point), ([0.5, 2.0],), {0: POINTS}),
    "LinearLearner.observe": Entry(
        lambda *step: linear().observe(*step),
        ([0.5, 0.5], 1, 1.0, [0.1, 0.9], False, False),
        {0: POINTS, 1: bad(A), 2: NUMBERS, 3: POINTS},
    ),
    "TileCoder": Entry(
        lambda tiles, tilings: TileCoder([0.0, 0.0], [1.0, 1.0], tiles=tiles, tilings=tilings).active([0.5, 0.5]),
        ((2, 3), 4),
        {0: [-1, 0, NAN, EMPTY, (2, 2, 2)], 1: COUNTS},
    ),
    "TileCoder.active": Entry(lambda point: linear().coder.active(point), ([0.5, -9.0],), {0: POINTS}),
    "semi_gradient_td": Entry(
        lambda active: operant.tabular.semi_gradient_td(MODEL, uniform(MODEL), active, episodes=1, max_steps=2),
        ([[0], [1], [1], [2]],),
        {0: [-np.ones((S, 1)), np.full((S, 1), NAN), EMPTY, np.zeros((S, 0)), np.zeros((S + 1, 1), int), [[-1]] * S]},
    ),
    "bandits.epsilon_greedy": played(bandits.epsilon_greedy),
    "bandits.upper_confidence": played(bandits.upper_confidence),
    "bandits.gradient_bandit": played(bandits.gradient_bandit),
    "bandits.thompson": played(bandits.thompson, rewards="bernoulli"),
    "bandits of a kind": Entry(
        lambda rewards, c: bandits.upper_confidence([[0.5, 0.2]], steps=2, rewards=rewards, c=c),
        ("bernoulli", 1.0),
        {0: ["bernouli", NAN, EMPTY], 1: NUMBERS},
    ),
    "simulate": Entry(
        simulated,
        (uniform(MODEL), 3, 0, 2, 0),
        {
            0: [EMPTY, np.full(S * A, NAN), -uniform(MODEL), np.ones(3)],
            1: COUNTS,
            2: [-1, NAN, EMPTY],
            3: COUNTS,
            4: [-1, S, NAN, EMPTY, np.full(S, NAN)],
        },
    ),
    "batch_td": Entry(
        lambda state, following: operant.tabular.batch_td(MODEL, recorded(state, following)),
        ([0, 1], [1, 2]),
        {0: [[0, -1], [0, S], [0, NAN]], 1: [[1, -1], [1, S + 1], [1, NAN]]},
    ),
    "MDP of a sparse matrix": Entry(
        csr,
        (None, None),
        {
            0: [[0, 10**6, *range(8, 36, 4)], [0, 8, 4, *range(12, 36, 4)], [-1, *range(4, 36, 4)], [0, 4]],
            1: [np.full(32, -1), np.full(32, S), np.full(32, 2**32, np.int64), np.arange(32)],
        },
    ),
    "MDP.from_rows": Entry(
        damaged,
        ("reward", 0, 1.0),
        {0: ["pointer", "indptr"], 2: [NAN, float("inf")]},
    ),
    "MDP.from_rows by index": Entry(damaged, ("indices", 3, 3), {2: [S, 10**6, 2**32 - 1]}),
    "MDP.from_rows without rows": Entry(
        lambda name, array: from_rows(**{name: array}),
        ("reward", np.ones(S * A)),
        {1: [np.zeros(0), np.ones(S * A + 1), np.full(S * A, NAN), np.ones((S, A))]},
    ),
    "open_mapped": Entry(lambda change: mapped(*change), ((None, None),), {0: MAPPED}),
    "enumerate_compiled": Entry(
        enumerated, (stays, 5, 2, 1, 1), {0: WRONG, 1: COUNTS, 2: COUNTS, 3: COUNTS, 4: COUNTS}
    ),
    "solve_matrix_free": Entry(
        matrix_free, (stays, 5, 2, 1, 1), {0: WRONG, 1: COUNTS, 2: COUNTS, 3: COUNTS, 4: COUNTS}
    ),
    "proper": Entry(
        lambda rows: operant.mdp.proper(MODEL, rows),
        ([0, 2, 4, 6],),
        {0: [[0, 2, 4, -1], [0, 2, 4, 8], [0, 2, 4, NAN], EMPTY, [0, 2, 4, 5.5], [0, 2, 4, 1]]},
    ),
    "reachable": Entry(
        lambda states: operant.mdp.reachable(MODEL, states), ([0, 3],), {0: [[-1], [S], [NAN], np.ones(S + 1, bool)]}
    ),
    "robust_value_iteration": Entry(
        lambda radius: operant.mdp.robust_value_iteration(MODEL, uncertainty=operant.mdp.Distance(radius=radius)),
        (0.1,),
        {0: [-1, 3, NAN, EMPTY, [0.1]]},
    ),
    "MDP.row": Entry(MODEL.row, (3, 1), {0: [-1, S, NAN], 1: [-1, A, NAN]}),
    "DiscreteEnv": Entry(
        walked, (1, 2, 0.0), {0: [0, 5, 999999, NAN, EMPTY], 1: [0, 5, 10**6, NAN, EMPTY], 2: NUMBERS}
    ),
    "control.sampler of categories": Entry(
        acted("discrete"),
        (np.zeros((2, 3), np.float32),),
        {0: [np.zeros((n, d), np.float32) for n, d in ((2, 2), (2, 4), (1, 500))]},
    ),
    "control.sampler of numbers": Entry(
        acted("box"), (np.zeros((2, 3), np.float32),), {0: [np.zeros((2, 9000), np.float32), np.zeros(3, np.float32)]}
    ),
}


def recorded(state, following):
    from operant.mdp.analyse.sampler import Recorded

    none = np.zeros(2, bool)
    return Recorded(
        state=np.array(state), row=np.zeros(2, np.int64), reward=np.ones(2), following=np.array(following),
        terminated=none, truncated=np.array([False, True]),
    )  # fmt: skip


@pytest.mark.spread(3)
@pytest.mark.parametrize("entry", ENTRIES)
def test_out_of_range_is_refused(entry):
    each_wrong(*ENTRIES[entry])


@pytest.mark.parametrize("method", ["observe", "learn"])
@pytest.mark.parametrize("entry", LEARNERS)
def test_a_transition_out_of_range_is_refused(entry, method):
    """By each algorithm's learner, of which nothing changes."""
    made = learner(entry)
    made.act(1)
    call = getattr(made, method)
    call(*STEP)
    call(np.int64(2), np.int32(1), np.float32(1.0), np.int64(3), np.bool_(False), np.bool_(True))
    before = made.state()
    filled = [(place, value) for place, others in OBSERVED.items() for value in others]
    refused(call, [[*STEP[:place], value, *STEP[place + 1 :]] for place, value in filled], *NAMED)
    with pytest.raises(OperantError, match="state is 4"):
        call(S, *STEP[1:])
    after = made.state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


@pytest.mark.parametrize("entry", LEARNERS)
def test_what_was_saved_leads_nowhere_else(entry):
    """An index in a saved learner that is beyond its arrays is refused, and nothing changes."""
    made = learner(entry)
    made.act(1)
    for step in range(6):
        made.observe(step % S, step % A, 1.0, (step + 1) % S, step == 5, False)
    right = made.state()
    made.load(right)
    indices = [name for name, array in right.items() if array.dtype.kind == "i" and array.size]
    assert indices
    for name in indices:
        for value in (-(2**40), 2**62):
            wrong = {each: array.copy() for each, array in right.items()}
            wrong[name].flat[0] = value
            with pytest.raises(OperantError, match=name.replace(".", r"\.")):
                made.load(wrong)
    assert all(np.array_equal(array, right[name], equal_nan=True) for name, array in made.state().items())


OPTIONS = {"episodes": COUNTS, "max_steps": COUNTS, "seeds": [-1, 0, NAN, EMPTY, [-1], [0.5]], "threads": COUNTS,
           "start": [-1, S, NAN, EMPTY, np.full(S, NAN)], "exact": [[1.0], np.zeros(S + 1)]}  # fmt: skip
RUN = {"episodes": 1, "max_steps": 2, "seeds": 1}


def runs():
    """Every function of `operant.tabular` that runs on a model."""
    names = [name for name in dir(operant.tabular) if inspect.isfunction(getattr(operant.tabular, name))]
    return [name for name in names if name not in ("batch_td", "batch_monte_carlo", "control")]


@pytest.mark.parametrize("entry", runs())
def test_options_of_a_run_out_of_range_are_refused(entry):
    function = getattr(operant.tabular, entry)
    needed = {
        name: {"n": 2, "lam": 0.5, "sigma": 0.5, "active": [[0]] * S}.get(name, uniform(MODEL))
        for name, p in inspect.signature(function).parameters.items()
        if p.default is p.empty and name not in ("mdp", "options", "given")
    }
    function(MODEL, **needed, **RUN)
    given = [(RUN | {name: value},) for name, others in OPTIONS.items() for value in others]
    refused(lambda options: function(MODEL, **needed, **options), given)


@pytest.mark.parametrize("entry", sorted(METHODS))
def test_values_to_start_from_are_looked_at(entry):
    changes = {"discounted": {}, "total": {"discount": 1.0}, "average": {"criterion": "average"}}
    kind = next(kind for kind in ("discounted", "total", "average", "finite-horizon") if kind in METHODS[entry].fits)
    ends = MDP(P, -np.ones((S, A)), 0.9, terminal=[3])
    mdp = ends.replace(**changes.get(kind, {"horizon": 2}))
    assert np.isfinite(solve(mdp, method=entry).values).all()
    given = [{"initial": x} for x in ([NAN] * S, EMPTY, np.zeros(S + 1), [float("inf")] * S)]
    given += [{"threads": x} for x in COUNTS if kind == "discounted" and entry != "linear-programming"]
    given += [{"max_iterations": x} for x in COUNTS] + [{"epsilon": x} for x in (0, -1, NAN, EMPTY)]
    refused(lambda options: solve(mdp, method=entry, **options), [(options,) for options in given])


TOKENS = [(3, NAN), (0.5, 1), (-1,), (10**6,), (2**70,), (3, 300), ()]


@pytest.fixture(scope="module")
def engine():
    """A language model so small that compiled code decodes it."""
    pytest.importorskip("transformers")
    from operant.language.model.language_model import LanguageModel
    from operant.language.sample.engine import Engine
    from reference.tiny_language import tiny_model

    made = Engine(LanguageModel(tiny_model("llama", vocabulary=300), None), seed=0, slots=2)
    assert made.compiles
    return made


@pytest.mark.parametrize("entry", ["Engine.generate", "Engine.generate after a stop", "Engine"])
def test_tokens_out_of_range_are_refused(entry, engine):
    from operant.language.sample.engine import Engine, Prompt, Sampling

    every = Sampling(max_tokens=2, stop=tuple(range(300)))
    if entry == "Engine":
        for slots in COUNTS:
            with pytest.raises(OperantError, match="slots is"):
                Engine(engine.policy, seed=0, slots=slots)
    for tokens in TOKENS if entry == "Engine.generate" else []:
        with pytest.raises(OperantError, match="token"):
            engine.generate([Prompt(id=0, tokens=(1, 2)), Prompt(id=1, tokens=tokens)], every)
    for samples in (-1, NAN, EMPTY) if entry == "Engine.generate" else []:
        with pytest.raises(OperantError, match="samples is"):
            engine.generate([Prompt(id=0, tokens=(1, 2))], every, samples=samples)
    for tokens in TOKENS[:-1] if entry == "Engine.generate after a stop" else []:
        with pytest.raises(OperantError, match="token"):
            engine.generate(
                [Prompt(id=0, tokens=(1, 2))], Sampling(max_tokens=9, stop=every.stop), after=lambda _, t=tokens: t
            )
    assert len(engine.generate([Prompt(id=0, tokens=(1, 2))], every, samples=2)) == 2
