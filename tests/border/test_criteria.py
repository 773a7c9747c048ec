"""Exact functions that answer another problem than the model means.

A model says which problem it is: discounted, total or average reward, or a number of decisions. Every public function
of `operant.mdp` that takes a model is asked about all of them, and answers as slow loops do, or refuses in words.
"""

import inspect
import itertools
from fractions import Fraction

import numpy as np
import pytest

import operant.mdp
from operant.config.errors import ConfigError
from operant.mdp import MDP, METHODS, Distance, ModelError, from_prism, open_mapped, solve

HORIZON = 4
CHANCES = np.array(  # in tenths: states 0, 1, 2 and the end
    [[[3, 4, 1, 2], [0, 2, 5, 3]], [[6, 0, 1, 3], [1, 1, 6, 2]], [[2, 2, 2, 4], [0, 7, 1, 2]]]
)
REWARDS = np.array([[1.0, -0.5], [0.25, 2.0], [-1.0, 0.5]])
START = np.array([0.5, 0.3, 0.2, 0.0])
WORTH = 0.75
ENDING = ("discounted", "total", "horizon", "horizon at γ = 1", "horizon of an average")
AVERAGE = ("average", "average at γ = 1")
KINDS = (*ENDING, *AVERAGE)
HORIZONS = ("horizon", "horizon at γ = 1", "horizon of an average")


def model(kind, worth=WORTH):
    """The same numbers, asked about in each way. What is about averages never ends."""
    if kind in AVERAGE:
        P = CHANCES[:, :, :3] + np.array([1, 0, 0]) * CHANCES[:, :, 3:]
        discount = 0.9 if kind == "average" else 1.0
        return MDP(P / 10, REWARDS, discount, criterion="average", start=START[:3])
    P = np.concatenate((CHANCES, np.zeros((1, 2, 4)))) / 10
    R = np.concatenate((REWARDS, np.zeros((1, 2))))
    criterion = "average" if kind == "horizon of an average" else None
    return MDP(
        P,
        R,
        0.9 if kind in ("discounted", "horizon", "horizon of an average") else 1.0,
        terminal={3: worth},
        start=START,
        horizon=HORIZON if kind in HORIZONS else None,
        criterion=criterion,
    )


class Slow:
    """What a model is worth, by loops over its entries and dense elimination."""

    def __init__(self, mdp, reward=None):
        rows = mdp.rows
        self.mdp, self.states = mdp, mdp.num_states
        self.discount = 1.0 if mdp.criterion == "average" else mdp.discount
        self.reward = np.array(rows.reward if reward is None else reward, dtype=float)
        self.ends, self.worth = rows.terminal, rows.terminal_value
        self.P = np.zeros((mdp.num_rows, self.states))
        for row in range(mdp.num_rows):
            for k in range(int(rows.indptr[row]), int(rows.indptr[row + 1])):
                self.P[row, rows.indices[k]] += rows.data[k]
        self.rows = [range(int(rows.pointer[s]), int(rows.pointer[s + 1])) for s in range(self.states)]

    def chain(self, pi):
        """P [S, S] and r [S] of a policy."""
        P, r = np.zeros((self.states, self.states)), np.zeros(self.states)
        for s, rows in enumerate(self.rows):
            for row in rows:
                P[s] += pi[row] * self.P[row]
                r[s] += pi[row] * self.reward[row]
        return P, r

    def values(self, pi, discount=None):
        P, r = self.chain(pi)
        P *= self.discount if discount is None else discount
        return np.linalg.solve(np.eye(self.states) - P, np.where(self.ends, self.worth, r))

    def gain_and_bias(self, pi):
        P, r = self.chain(pi)
        limit = np.linalg.matrix_power(P, 2**12)
        deviation = np.linalg.inv(np.eye(self.states) - P + limit) - limit
        return limit @ r, deviation @ r

    def backwards(self, steps, pi=None):
        v = np.zeros((steps + 1, self.states))
        v[:, self.ends] = self.worth[self.ends]
        for t in range(steps - 1, -1, -1):
            q = self.reward + self.discount * self.P @ v[t + 1]
            for s, rows in enumerate(self.rows):
                if len(rows):
                    v[t, s] = max(q[list(rows)]) if pi is None else sum(pi[row] * q[row] for row in rows)
        return v

    def policies(self):
        for choice in itertools.product(*(rows or [-1] for rows in self.rows)):
            pi = np.zeros(len(self.reward))
            pi[[row for row in choice if row >= 0]] = 1.0
            yield pi

    def best(self, value):
        return np.max([value(pi) for pi in self.policies()], axis=0)

    def objective(self, pi):
        """J of a policy, whichever problem is meant."""
        if self.mdp.horizon is not None:
            return START[: self.states] @ self.backwards(self.mdp.horizon, pi)[0]
        if self.mdp.criterion == "average":
            return self.gain_and_bias(pi)[0][0]
        return START[: self.states] @ self.values(pi)


def uniform(mdp):
    slow = Slow(mdp)
    return np.array([1.0 / len(rows) for rows in slow.rows for _ in rows])


def softmax(mdp, theta):
    out = np.exp(theta)
    for rows in Slow(mdp).rows:
        out[list(rows)] /= out[list(rows)].sum() if len(rows) else 1.0
    return out


def gradient(mdp, theta, width=1e-5):
    slow, out = Slow(mdp), np.zeros(len(theta))
    for k in range(len(theta)):
        step = width * np.eye(len(theta))[k]
        up, down = (slow.objective(softmax(mdp, theta + sign * step)) for sign in (1, -1))
        out[k] = (up - down) / (2 * width)
    return out


def soft(mdp, temperature):
    slow, v = Slow(mdp), np.zeros(mdp.num_states)
    for _ in range(600):
        q = slow.reward + slow.discount * slow.P @ v
        for s, rows in enumerate(slow.rows):
            v[s] = temperature * np.log(np.exp(q[list(rows)] / temperature).sum()) if len(rows) else slow.worth[s]
    return v


def variance(mdp, pi):
    slow = Slow(mdp)
    v, P, _ = slow.values(pi), *slow.chain(pi)
    local = np.zeros(slow.states)
    for s, rows in enumerate(slow.rows):
        for row in rows:
            for t in range(slow.states):
                local[s] += pi[row] * slow.P[row, t] * (slow.reward[row] + slow.discount * v[t] - v[s]) ** 2
    return np.linalg.solve(np.eye(slow.states) - slow.discount**2 * P, local)


def visits(mdp, pi):
    """Σ γ^t P(S_t = s, A_t = a), decisions counted where there is a horizon."""
    slow, state, out = Slow(mdp), START[: mdp.num_states].copy(), np.zeros(mdp.num_rows)
    for t in range(mdp.horizon or 2000):
        now = np.zeros(mdp.num_rows)
        for s, rows in enumerate(slow.rows):
            for row in rows:
                now[row] = state[s] * (pi[row] if pi.ndim == 1 else pi[t, row])
        out += slow.discount**t * now
        state = now @ slow.P
    return out


def best_answer(mdp):
    """v*, or the gain, or v_t: what `solve` should say."""
    slow = Slow(mdp)
    if mdp.horizon is not None:
        return slow.backwards(mdp.horizon)
    return slow.best(lambda pi: slow.gain_and_bias(pi)[0] if mdp.criterion == "average" else slow.values(pi))


def answer_of(solution):
    return solution.values if solution.gain is None else solution.gain


def evaluated(mdp, found):
    slow, pi = Slow(mdp), uniform(mdp)
    if found.gain is None:
        return [(found.values, slow.values(pi))]
    gain, bias = slow.gain_and_bias(pi)
    return [(found.gain, gain), (found.values, bias)]


def entropy(mdp):
    return -0.5 * np.log(uniform(mdp))


def explained(mdp):
    """Features whose expectations are those of a policy: what is found matches them."""
    table, pi = np.eye(mdp.num_rows)[:, :3], softmax(mdp, np.linspace(-1.0, 1.0, mdp.num_rows))
    aim = visits(mdp, pi) @ table
    found = operant.mdp.maxent_irl(mdp, table, aim, tolerance=1e-7)
    return [(found.expectations, aim), (visits(mdp, found.policy) @ table, aim)]


def recorded(mdp):
    """Episodes end where the horizon says, and nowhere else but in terminal states."""
    found = operant.mdp.simulate(mdp, uniform(mdp), steps=300, seed=1)
    ends = np.flatnonzero(found.terminated | found.truncated)
    lengths = np.diff(np.concatenate(([-1], ends)))
    cut, limit = found.truncated[ends[:-1]], mdp.horizon or 10**9
    want = (lengths[:-1] == limit) & ~found.terminated[ends[:-1]]
    return [(lengths.max() <= limit, True), (cut, want)]


def demonstrated(mdp):
    demos = [([0, 1, 2], [1, 0, 1]), ([1, 1], [1, 0])]
    found = operant.mdp.feature_expectations(mdp, np.eye(mdp.num_rows), demos)
    want, gamma = np.zeros(mdp.num_rows), Slow(mdp).discount
    for states, actions in demos:
        for t, (s, a) in enumerate(zip(states, actions, strict=True)):
            want[2 * s + a] += gamma**t / 2
    return [(found, want)]


def swept(mdp):
    sweeps = operant.mdp.evaluation_sweeps(mdp, uniform(mdp))
    return [(next(itertools.islice(sweeps, 600, None))[0], Slow(mdp).values(uniform(mdp)))]


def stretched(mdp):
    """All pieces of r + x, at some x of each."""
    found, pairs = operant.mdp.breakpoints(mdp, np.linspace(-1.0, 1.0, mdp.num_rows).round(1), low=-2, high=2), []
    for piece in found:
        x = (piece.low + piece.high) / 2
        slow = Slow(mdp, mdp.rows.reward + float(x) * np.linspace(-1.0, 1.0, mdp.num_rows).round(1))
        got = [float(v + x * k) for v, k in zip(piece.values, piece.slopes, strict=True)]
        pairs.append((got, slow.best(slow.values)))
    return pairs


def epsilon_soft(mdp):
    slow, found = Slow(mdp), operant.mdp.best_epsilon_soft(mdp, 0.2)
    return [(found[0].values, slow.best(lambda pi: slow.values(0.8 * pi + 0.2 * uniform(mdp))))]


def gradients(mdp):
    theta = np.linspace(-0.5, 1.0, mdp.num_rows)
    found = operant.mdp.exact_policy_gradient(mdp, theta)
    return [(found.objective, Slow(mdp).objective(softmax(mdp, theta))), (found.gradient, gradient(mdp, theta))]


def limits(mdp):
    P, _ = Slow(mdp).chain(uniform(mdp))
    P += np.diag(mdp.rows.terminal.astype(float))
    return [(operant.mdp.stationary(mdp, uniform(mdp)), START[: mdp.num_states] @ np.linalg.matrix_power(P, 2**12))]


def steps(mdp):
    P, _ = Slow(mdp).chain(uniform(mdp))
    want = np.linalg.solve(np.eye(mdp.num_states) - P, ~mdp.rows.terminal * 1.0)
    return [(operant.mdp.expected_steps(mdp, uniform(mdp)), want)]


def occupied(mdp):
    return [(operant.mdp.occupancy(mdp, uniform(mdp)), visits(mdp, uniform(mdp)))]


def fitted(mdp):
    features = np.eye(mdp.num_states)[:, :3]
    return [(operant.mdp.td_fixed_point(mdp, uniform(mdp), features, lam=0.5), Slow(mdp).values(uniform(mdp))[:3])]


def backed_up(mdp):
    v = np.linspace(-1.0, 2.0, mdp.num_states)
    slow = Slow(mdp)
    pairs = [(operant.mdp.action_values(mdp, v), slow.reward + slow.discount * slow.P @ v)]
    if mdp.horizon is not None:
        several = slow.backwards(mdp.horizon)
        want = [slow.reward + slow.discount * slow.P @ later for later in several[1:]]
        pairs.append((operant.mdp.action_values(mdp, several), want))
    return pairs


def finite(mdp, **given):
    return [(operant.mdp.finite_horizon(mdp, **given).values, Slow(mdp).backwards(given.get("horizon", HORIZON)))]


def finite_values(mdp):
    found = operant.mdp.finite_horizon_values(mdp, uniform(mdp), horizon=3)
    return [(found, Slow(mdp).backwards(3, uniform(mdp)))]


def solved(function, **given):
    return lambda mdp: [(answer_of(function(mdp, **given)), best_answer(mdp))]


def rational(mdp):
    return [([float(v) for v in operant.mdp.solve_exactly(mdp).values], best_answer(mdp))]


def rational_policy(mdp):
    found = operant.mdp.evaluate_exactly(mdp, [Fraction(1, 2)] * mdp.num_rows)
    return [([float(v) for v in found], Slow(mdp).values(uniform(mdp)))]


def softly(function):
    def call(mdp):
        return [(function(mdp, temperature=0.5).values, soft(mdp, 0.5))]

    return call


def with_entropy(mdp):
    found = operant.mdp.soft_evaluate(mdp, uniform(mdp), temperature=0.5)
    return evaluated_under(mdp, found, mdp.rows.reward + entropy(mdp))


def evaluated_under(mdp, found, reward):
    slow = Slow(mdp, reward)
    if found.gain is None:
        return [(found.values, slow.values(uniform(mdp)))]
    return [(found.gain, slow.gain_and_bias(uniform(mdp))[0])]


def unpenalised(mdp):
    steps = operant.mdp.monotone_policy_iteration(mdp, penalty=0.0, iterations=8, start=START)
    return [(steps[-1].objective, START @ best_answer(mdp))]


def petsc(mdp):
    pytest.importorskip("petsc4py")
    return [(operant.mdp.solve_petsc(mdp).values, best_answer(mdp))]


D, T, A, H = ("discounted",), ("total",), AVERAGE, HORIZONS
ASKED = {  # what is asked of each function, and about which problems it has to answer
    "action_values": (backed_up, KINDS),
    "best_epsilon_soft": (epsilon_soft, D + T),
    "breakpoints": (stretched, D + T),
    "evaluate": (lambda m: evaluated(m, operant.mdp.evaluate(m, uniform(m))), D + T + A),
    "evaluate_exactly": (rational_policy, D + T),
    "evaluation_sweeps": (swept, D + T),
    "exact_policy_gradient": (gradients, KINDS),
    "expected_steps": (steps, D + T),
    "feature_expectations": (demonstrated, ENDING),
    "finite_horizon": (lambda m: finite(m) + finite(m, horizon=2) if m.horizon else finite(m, horizon=4), KINDS),
    "finite_horizon_values": (finite_values, KINDS),
    "interval_iteration": (solved(operant.mdp.interval_iteration, epsilon=1e-8), T),
    "linear_programming": (solved(operant.mdp.linear_programming, epsilon=1e-7), D + T),
    "maxent_irl": (explained, D + H),
    "bias_policy_iteration": (solved(operant.mdp.bias_policy_iteration), A),
    "monotone_policy_iteration": (unpenalised, D),
    "multichain_policy_iteration": (solved(operant.mdp.multichain_policy_iteration), A),
    "occupancy": (occupied, D + T),
    "optimistic_value_iteration": (solved(operant.mdp.optimistic_value_iteration, epsilon=1e-8), T),
    "relative_value_iteration": (solved(operant.mdp.relative_value_iteration, epsilon=1e-8), A),
    "return_variance": (lambda m: [(operant.mdp.return_variance(m, uniform(m)), variance(m, uniform(m)))], D + T),
    "robust_value_iteration": (solved(operant.mdp.robust_value_iteration, uncertainty=Distance(radius=0.0)), D),
    "simulate": (recorded, KINDS),
    "soft_evaluate": (with_entropy, D + T + A),
    "soft_policy_iteration": (softly(operant.mdp.soft_policy_iteration), D),
    "soft_value_iteration": (softly(operant.mdp.soft_value_iteration), D),
    "solve": (solved(operant.mdp.solve, epsilon=1e-8), KINDS),
    "solve_exactly": (rational, D + T),
    "solve_on_device": (solved(operant.mdp.solve_on_device, device="cpu"), D),
    "solve_petsc": (petsc, D),
    "stationary": (limits, D + T + A),
    "td_fixed_point": (fitted, D + T),
}
GRAPH = {  # what does not depend on the problem at all
    "can_terminate": lambda m: operant.mdp.can_terminate(m).tolist(),
    "components": lambda m: operant.mdp.components(m).count,
    "maximal_end_components": lambda m: operant.mdp.maximal_end_components(m).count,
    "memory_of": lambda m: operant.mdp.memory_of(m).model,
    "proper": lambda m: operant.mdp.proper(m, [0, 2, 4, -1]).tolist(),
    "reachable": lambda m: operant.mdp.reachable(m).tolist(),
}
KEPT = {"save_mapped", "to_prism", "check"}  # tested below


def takes_a_model(name):
    function = getattr(operant.mdp, name)
    return inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), "") == "mdp"


def test_every_function_that_takes_a_model_is_asked():
    names = {name for name in operant.mdp.__all__ if takes_a_model(name)}
    assert names == ASKED.keys() | GRAPH.keys() | KEPT


@pytest.mark.parametrize("entry", sorted(ASKED))
def test_the_question_that_the_model_asks(entry):
    asked, answered = ASKED[entry]
    for kind in KINDS:
        mdp = model(kind)
        if kind not in answered:
            with pytest.raises(ModelError, match=r"."):
                asked(mdp)
            continue
        for found, want in asked(mdp):
            np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(want), atol=2e-6, err_msg=kind)


@pytest.mark.parametrize("entry", sorted(GRAPH))
def test_what_the_graph_says_is_the_same_for_every_question(entry):
    answers = [GRAPH[entry](model(kind)) for kind in ENDING]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("entry", ["save_mapped", "to_prism", "save npz", "save json", "replace", "policies.induced"])
def test_what_is_written_or_made_anew_asks_the_same(entry, tmp_path):
    from operant.mdp.policies import induced

    for kind in KINDS:
        mdp = model(kind, worth=0.0 if entry == "to_prism" else WORTH)
        if entry == "save_mapped":
            operant.mdp.save_mapped(mdp, tmp_path / kind)
            again = open_mapped(tmp_path / kind)
        elif entry.startswith("save"):
            path = tmp_path / f"m.{entry[5:]}"
            mdp.save(path)
            again = operant.mdp.load(path)
        elif entry == "to_prism":
            operant.mdp.to_prism(mdp, tmp_path / "m.tra")
            ends = {} if kind in AVERAGE else {"target": "terminal", "reach": False}
            given = {"discount": mdp.discount, "horizon": mdp.horizon, "criterion": mdp.criterion}
            again = from_prism(tmp_path / "m.tra", **given, **ends)
        else:
            again = mdp.replace() if entry == "replace" else induced(mdp, uniform(mdp))
        if entry == "policies.induced":
            pi, slow = uniform(mdp), Slow(mdp)
            want = slow.backwards(mdp.horizon, pi) if mdp.horizon else None
            if want is None:
                want = slow.gain_and_bias(pi)[0] if kind in AVERAGE else slow.values(pi)
        else:
            want = best_answer(mdp)
        np.testing.assert_allclose(answer_of(solve(again, 1e-8)), want, atol=2e-6, err_msg=kind)


def test_what_is_suspicious_depends_on_the_question():
    stuck = {"discount": 1.0, "P": [[[1.0, 0.0]], [[0.0, 1.0]]], "R": [0.0, 0.0], "terminal": [1]}
    assert "endless" in {problem.kind for problem in operant.mdp.check(MDP(**stuck))}
    for other in ({"horizon": 3}, {"criterion": "average"}, {"discount": 0.9}):
        assert "endless" not in {problem.kind for problem in operant.mdp.check(MDP(**stuck | other))}


@pytest.mark.parametrize("entry", sorted(METHODS))
def test_ties_are_all_optimal_actions(entry):
    """Under every method, and every problem that it solves: brute force over what each action can still come to."""
    tried = 0
    for kind in KINDS:
        for twins in (False, True):
            mdp = twin(model(kind)) if twins else model(kind)
            if mdp.horizon is None and mdp.criterion not in METHODS[entry].fits:
                continue
            if mdp.horizon is not None and "finite-horizon" not in METHODS[entry].fits:
                continue
            found, tried = solve(mdp, 1e-9, entry), tried + 1
            np.testing.assert_array_equal(found.ties(1e-6), optimal(mdp), err_msg=kind)
            chosen = found.rows[..., ~mdp.rows.terminal]
            inside = found.ties()
            assert np.take_along_axis(inside, chosen, axis=-1).all() if mdp.horizon else inside[chosen].all()
            q = Slow(mdp)
            later = found.values[1:] if mdp.horizon else found.values[None]
            want = np.array([q.reward + q.discount * q.P @ v for v in later])
            np.testing.assert_allclose(found.action_values, want if mdp.horizon else want[0], atol=1e-9)
    assert tried


def twin(mdp):
    """Every action twice, so that all optimal ones tie."""
    order = np.repeat(np.arange(mdp.num_rows), 2)
    action = 2 * mdp.rows.action[order] + np.tile([0, 1], mdp.num_rows)
    ends = {int(s): float(mdp.rows.terminal_value[s]) for s in np.flatnonzero(mdp.rows.terminal)}
    given = {"horizon": mdp.horizon, "criterion": mdp.criterion, "start": mdp.start}
    pairs = (mdp.row_state[order], action)
    return MDP(mdp.matrix[order], mdp.rows.reward[order], mdp.discount, pairs=pairs, terminal=ends or None, **given)


def optimal(mdp):
    slow = Slow(mdp)
    if mdp.horizon is None:
        if mdp.criterion == "average":
            gains = {pi.tobytes(): slow.gain_and_bias(pi) for pi in slow.policies()}
            _, h = max(gains.values(), key=lambda both: both[0][0])
        else:
            h = slow.best(slow.values)
        later = h[None]
    else:
        later = slow.backwards(mdp.horizon)[1:]
    out = np.zeros((len(later), mdp.num_rows), dtype=bool)
    for t, v in enumerate(later):
        q = slow.reward + slow.discount * slow.P @ v
        for rows in slow.rows:
            for row in rows:
                out[t, row] = q[row] >= max(q[list(rows)]) - 1e-7
    return out if mdp.horizon is not None else out[0]


@pytest.mark.parametrize("entry", ["auto", "multichain-policy-iteration"])
def test_ties_look_at_the_gain_first(entry):
    """A road that pays at once and leads to less for ever is not optimal."""
    P = [[[0, 1.0, 0], [0, 0, 1.0]], [[0, 1.0, 0], [0, 1.0, 0]], [[0, 0, 1.0], [0, 0, 1.0]]]
    roads = MDP(P=P, R=[[5, 0], [1, 1], [2, 2]], discount=1.0, criterion="average")
    assert solve(roads, method=entry).ties().tolist() == [False, True, True, True, True, True]
    assert solve(roads.replace(discount=0.5), method=entry).ties().tolist() == [False, True, True, True, True, True]


WAIT = {("x", "stay"): {"x": 1.0}, ("x", "stop"): {"t": 1.0}}


@pytest.mark.parametrize("entry", ["solve", "solve_exactly", "linear_programming", "breakpoints"])
def test_to_wait_for_ever_is_worth_nothing_and_counts(entry):
    """Policies that end are not all policies: what counts these alone says so where others are better."""
    waits = MDP(WAIT, {("x", "stay"): 0.0, ("x", "stop"): -1.0}, 1.0, terminal=["t"])
    ends = MDP(WAIT, {("x", "stay"): 0.0, ("x", "stop"): 1.0}, 1.0, terminal=["t"])
    if entry == "solve":
        assert (solve(waits).values[0], solve(ends).values[0]) == (0.0, 1.0)
        assert solve(waits, must_terminate=True).values[0] == -1.0
    elif entry == "solve_exactly":
        assert operant.mdp.solve_exactly(ends).values[0] == 1
        assert operant.mdp.solve_exactly(waits, must_terminate=True).values[0] == -1
        with pytest.raises(ModelError, match="stay for ever in state 0 "):
            operant.mdp.solve_exactly(waits)
    elif entry == "breakpoints":
        slope = [0.0, 1.0]
        assert operant.mdp.breakpoints(waits, slope, low=1, high=2, at=1)[0].values[0] == -1
        with pytest.raises(ModelError, match="stay for ever in state 0 "):
            operant.mdp.breakpoints(waits, slope, low=0, high=2)
    else:
        with pytest.raises(ModelError, match="for ever without a loss"):
            operant.mdp.linear_programming(waits)


LEARNERS = ("q_learning", "sarsa_lambda", "monte_carlo", "td", "monte_carlo_prediction", "semi_gradient_td", "batch_td")


@pytest.mark.parametrize("entry", LEARNERS)
def test_learners_of_returns_refuse_averages(entry):
    import operant.tabular

    mdp = model("average")
    more = {
        "sarsa_lambda": {"lam": 0.5},
        "td": {"policy": uniform(mdp)},
        "monte_carlo_prediction": {"policy": uniform(mdp)},
        "semi_gradient_td": {"policy": uniform(mdp), "active": [[0], [1], [2]]},
    }
    if entry == "batch_td":
        record = operant.mdp.simulate(mdp, uniform(mdp), steps=5, seed=0)
        with pytest.raises(ConfigError, match="average"):
            operant.tabular.batch_td(mdp, record)
        return
    with pytest.raises(ConfigError, match="average"):
        getattr(operant.tabular, entry)(mdp, episodes=2, max_steps=5, **more.get(entry, {}))
