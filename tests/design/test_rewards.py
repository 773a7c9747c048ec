"""The language of rewards: what it reads comes back, what it does not read is refused, and types hold."""

import math
from pathlib import Path

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.design.commands import corrected, translate
from operant.design.draws import APART, Grammar, discarded, rescaled
from operant.design.expression import (
    NUMBER,
    TRUTH,
    Call,
    ExpressionError,
    Name,
    Number,
    compiled,
    kind_of,
    parse,
    text,
)
from operant.design.reward import Compiled, forms, least_mutations, read
from operant.design.tasks import TASKS, SwingUp, task_of

KINDS = {"x": 0, "y": 0, "v": 2, "w": 2, "z": 3}
STATE = {"x": 0.3, "y": -1.2, "v": np.array([0.3, -0.4]), "w": np.array([1.0, 2.0]), "z": np.ones(3)}


def value(source):
    return float(compiled(parse(source))(STATE))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("8 - 3 - 2", 3), ("8 / 4 / 2", 1), ("-x * 2", -0.6), ("--x", 0.3),
        ("2 - -3", 5), ("exp(-abs(y) / 0.5)", math.exp(-2.4)), ("clip(y, -1, 1)", -1), ("norm(v)", 0.5),
        ("dot(v, w)", -0.5), ("sum(2 * v + w)", 2.8), ("largest(abs(v))", 0.4), ("where(x > 0, 5, 7)", 5),
        ("where(both(x > 0, y >= 0), 5, 7)", 7), ("where(not(either(x < 0, y <= 0)), 5, 7)", 7),
        ("square(x) - 1e-1", -0.01), ("max(x, y) + min(x, y)", -0.9), ("tanh(0)", 0), (" .5*sqrt( 4. ) ", 1),
        ("where(x + 1 > y * 2, 1, 0)", 1), ("log(exp(2))", 2), ("sin(0) + cos(0)", 1),
    ],
)  # fmt: skip
def test_arithmetic_is_that_of_numpy(source, expected):
    assert value(source) == pytest.approx(expected, abs=1e-12)
    assert kind_of(parse(source), KINDS) == NUMBER


def drawn(rng, depth, kind=NUMBER):
    """A random typed tree."""
    names = [name for name, its in KINDS.items() if its == kind]
    if kind == TRUTH:
        return Call(str(rng.choice(["<", "<=", ">", ">="])), (drawn(rng, depth - 1), drawn(rng, depth - 1)))
    if depth <= 0:
        return Number(float(np.round(rng.normal() * 10.0 ** rng.integers(-8, 8), 12))) if kind == NUMBER and \
            rng.random() < 0.5 else Name(str(rng.choice(names)))  # fmt: skip
    which = rng.random()
    if which < 0.5:
        return Call(
            str(rng.choice(["+", "-", "*", "/", "min", "max"])), (drawn(rng, depth - 1, kind), drawn(rng, depth - 1))
        )
    if which < 0.7:
        inner = drawn(rng, depth - 1, kind)
        return (
            Call(str(rng.choice(["exp", "abs", "tanh"])), (inner,))
            if isinstance(inner, Number)
            else Call("neg", (inner,))
        )
    if kind == NUMBER and which < 0.85:
        return Call("where", (drawn(rng, 1, TRUTH), drawn(rng, depth - 1), drawn(rng, depth - 1)))
    return (
        Call("norm", (drawn(rng, depth - 1, 2),)) if kind == NUMBER else Call("square", (drawn(rng, depth - 1, kind),))
    )


def test_a_tree_comes_back_from_its_text():
    rng = np.random.default_rng(101)
    for _ in range(400):
        tree = drawn(rng, int(rng.integers(0, 5)))
        assert kind_of(tree, KINDS) == NUMBER
        if len(text(tree)) <= 1000:
            assert parse(text(tree)) == tree, text(tree)


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('x')", "().__class__", "x.__class__", "x.real", "v[0]", "lambda: 1", "exec(x)",
        "eval(x)", "open(x)", "getattr(x, y)", "x if y else 1", "[1 for x in v]", "x := 1", "x ** 9", "9 // 2", "x @ y",
        "f'{x}'", "'x'", "x; y", "x\ny y", "print(x)", "globals()", "exp(*v)", "exp(x=1)", "1e999", "x == y",
        "a" * 2000, "(" * 200 + "x" + ")" * 200, "-" * 500 + "x", "1 +", "", "exp()", "exp(x, y)", ")", "x < y < 1",
        "x\u200b", "\uff45\uff58\uff50(x)", "True and x", "0x10",
        "1_000", "1j", "neg(x)", "exp", "min(x)", "\x00", "import os", "exp(x)(y)", "x y",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(source):
    with pytest.raises(ExpressionError):
        kind_of(parse(source), KINDS)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("v + z", "one length"), ("x > v", "compare"), ("(x > 0) + 1", "a truth is none"), ("norm(x)", "vectors"),
        ("where(x, 1, 0)", "a truth first"), ("both(x, y > 0)", "truths"), ("xx", "There are"),
        ("dot(v, z)", "one length"), ("where(x > 0, v, w)", "choose"), ("exp(x > 0)", "a truth is none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(source, says):
    with pytest.raises(ExpressionError, match=says):
        kind_of(parse(source), KINDS)


def test_vectors_and_copies_are_computed_at_once():
    many = {"x": np.arange(3.0), "v": np.arange(6.0).reshape(3, 2)}
    np.testing.assert_allclose(
        compiled(parse("x + norm(v)"))(many), np.arange(3.0) + np.linalg.norm(many["v"], axis=-1)
    )


def test_a_reward_comes_back_and_is_the_sum_of_its_components():
    source = "near = 2 * exp(-abs(x) / 0.5)\nfar = -0.1 * square(y)\nplain = x"
    reward = read(source, KINDS)
    assert read(reward.text(), KINDS) == reward
    found = Compiled(reward)(STATE)
    assert found == pytest.approx({"near": 2 * math.exp(-0.6), "far": -0.144, "plain": 0.3})
    assert [each.weight for each in reward.components] == [2, -0.1, 1]


@pytest.mark.parametrize(
    "source",
    ["", "x", "a = x\na = y", "a = v", "a = x > 0", "A = x", "a.b = x", "a = x = y", "a == x",
     "\n".join(f"c{i} = x" for i in range(13)), "a = __import__"],
)  # fmt: skip
def test_what_is_no_reward_is_refused(source):
    with pytest.raises(ExpressionError):
        read(source, KINDS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_offers_what_its_rewards_ask_for(name):
    task = TASKS[name]
    env = task.make()
    env.reset(seed=1)
    action = env.action_space.sample()
    obs, *_ = env.step(action)
    state = task.observe(env.unwrapped, obs, action)
    env.close()
    assert state.keys() == task.quantities.keys()
    for key, its in task.quantities.items():
        assert np.shape(state[key]) == ((its.size,) if its.size else ())
    assert compiled(parse(task.score))(state) in (0, 1)
    for source in (task.sparse, task.human, translate(task.command, task).text()):
        assert math.isfinite(sum(map(float, Compiled(read(source, task.kinds))(state).values())))
    assert "def step" in task.source()
    assert task_of(name) is task


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="pendulum"):
        task_of("pendulumm")


def test_the_pole_that_hangs_keeps_its_energy_and_stops_at_walls():
    env = SwingUp()
    env.reset(seed=1)
    env.state = np.array([0.0, 0.0, 2.0, 0.0])

    def energy():
        _, v, angle, spin = env.state
        moving = 0.5 * 1.1 * v**2 + 0.1 * 0.5 * v * spin * np.cos(angle) + 0.5 * 0.1 * (4 / 3) * 0.25 * spin**2
        return moving + 0.1 * 9.8 * 0.5 * np.cos(angle)

    before = energy()
    for _ in range(25):
        env.step(np.zeros(1))
        assert energy() == pytest.approx(before, abs=0.05)
    for _ in range(100):
        obs, *_ = env.step(np.ones(1))
    assert obs[0] == pytest.approx(2.4)


# --- draws and mutations ---


@pytest.mark.parametrize("name", TASKS)
def test_fresh_rewards_are_typed_and_far_from_the_humans(name):
    task, rng = TASKS[name], np.random.default_rng(101)
    grammar = Grammar(task)
    for _ in range(100):
        reward = grammar.fresh(rng)
        assert read(reward.text(), task.kinds) == reward
        assert least_mutations(reward, grammar.human) > APART
        assert max(forms(reward).values()) == 1
        once = grammar.add(grammar.rewrite(reward, reward.names()[0], rng), rng)
        assert read(once.text(), task.kinds) == once
        assert least_mutations(once, grammar.human) > 0


def test_each_mutation_does_what_its_name_says():
    task, rng = TASKS["pendulum"], np.random.default_rng(101)
    reward = read("up = 1 * exp(-abs(height - 1) / 0.5)\nspin = -0.1 * square(spin)", task.kinds)
    grammar = Grammar(task)
    for _ in range(50):
        scaled = rescaled(reward, "up", rng)
        assert scaled != reward
        assert forms(scaled) == forms(reward)
        assert scaled.components[1] == reward.components[1]
        down = rescaled(reward, "up", rng, down=True)
        assert abs(down.components[0].weight) < 1
        more = grammar.add(reward, rng)
        assert more.components[:2] == reward.components
        assert len(more.components) == 3
        again = grammar.rewrite(reward, "up", rng)
        assert again.components[1] == reward.components[1]
        assert again.components[0].body != reward.components[0].body
        assert "height" in again.components[0].text()
    assert discarded(reward, "up").names() == ["spin"]
    assert discarded(discarded(reward, "up"), "spin").names() == ["spin"]


# --- words ---


def test_a_correction_changes_one_component_only():
    task = TASKS["pendulum"]
    reward = translate("bring height to 1; keep spin at 0 weakly", task)
    assert reward.text() == "height = -1 * square(height - 1)\nspin = -0.00156 * square(spin)"
    after = corrected(reward, "make height large", task)
    assert after.text() == "height = 1 * height\nspin = -0.00156 * square(spin)"


@pytest.mark.parametrize("words", ["", "jump", "bring hight to 1", "bring height to one", "make height wide"])
def test_words_that_are_no_commands_are_refused(words):
    with pytest.raises(ConfigError):
        translate(words, TASKS["pendulum"])


def test_a_vector_is_brought_to_nought_alone():
    assert "dot(to_target, to_target)" in translate("bring to_target to 0", TASKS["reacher"]).text()
    with pytest.raises(ConfigError, match="to 0 alone"):
        translate("bring to_target to 1", TASKS["reacher"])


def test_no_name_of_the_face_is_hidden_by_a_module():
    """A lazy name is lost once a module of that name is imported."""
    import operant.design
    from operant.design import eureka, outcome

    assert not {path.stem for path in Path(eureka.__file__).parent.glob("*.py")} & {*dir(operant.design)}
    assert callable(operant.design.search)
    assert outcome.reflection is operant.design.reflection
