"""Settings stand once: the config of a run, `Settings` and the keywords of the functions are the same ones."""

import inspect
import subprocess
import sys
import warnings

import pytest

import operant.tabular
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.mdp import worlds
from operant.mdp.policies import uniform
from operant.tabular import Constant, ConvergenceWarning, Harmonic, Settings, bandits, control, td
from operant.tabular.settings import READS
from operant.tabular.settings.runs import TABLES

CLIFF = worlds.cliff_walking()
COMMON = {"discount": None, "step_size": 0.5, "epsilon": 0.1, "initial": 0.0}
REQUIRED = inspect.Parameter.empty
KEYWORDS = {
    "q-learning": COMMON,
    "sarsa": COMMON,
    "expected-sarsa": COMMON,
    "double-q-learning": COMMON,
    "n-step-sarsa": COMMON | {"n": REQUIRED},
    "tree-backup": COMMON | {"n": REQUIRED, "target_epsilon": None},
    "q-sigma": COMMON | {"n": REQUIRED, "sigma": REQUIRED},
    "sarsa-lambda": COMMON | {"lam": REQUIRED, "traces": "replacing"},
    "true-online-sarsa": COMMON | {"lam": REQUIRED},
    "watkins-q": COMMON | {"lam": REQUIRED, "traces": "replacing"},
    "dyna-q": COMMON | {"planning": 5},
    "dyna-q-plus": COMMON | {"planning": 5, "kappa": 1e-4},
    "prioritised-sweeping": COMMON | {"step_size": 1.0, "planning": 5, "threshold": 1e-4},
    "monte-carlo": COMMON | {"step_size": Harmonic(), "visits": "first", "exploring_starts": False},
    "off-policy-monte-carlo": {name: COMMON[name] for name in ("discount", "epsilon", "initial")},
}


@pytest.mark.parametrize("name", TABLES)
def test_a_function_has_the_keywords_that_its_algorithm_reads(name):
    function = getattr(operant.tabular, name.replace("-", "_"))
    first, *shown, options = inspect.signature(function).parameters.values()
    assert {parameter.name: parameter.default for parameter in shown} == KEYWORDS[name]
    assert (first.name, options.name, options.kind) == ("mdp", "options", inspect.Parameter.VAR_KEYWORD)
    own = KEYWORDS[name].keys() - COMMON.keys()
    assert own == {*READS[name][1:]} - {"longest"}  # `max_steps` says it
    assert all(hasattr(TABLES[name]().algo, each) and f"\n    {each}: " in function.__doc__ for each in own)


@pytest.mark.parametrize("name", TABLES)
def test_the_default_of_a_run_is_the_default_of_settings(name):
    settings = resolve(name, "NoPreset-v0").config.settings()
    rates = {"step_size": Constant(0.1), "epsilon": Constant(0.1)}  # where a run's defaults are its own, as γ's
    assert settings == Settings(algorithm=name, discount=0.99, **rates)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: operant.tabular.q_learning(CLIFF, stepsize=0.1),
            "q_learning: .*'stepsize'.* Did you mean 'step_size'?",
        ),
        (lambda: operant.tabular.q_learning(CLIFF, gamma=0.1), "'gamma'.* Did you mean 'discount'?"),
        (lambda: operant.tabular.q_learning(CLIFF, episode=3), "'episode'.* Did you mean 'episodes'?"),
        (lambda: operant.tabular.q_learning(CLIFF, lam=0.5), "there is no keyword 'lam'"),
        (lambda: operant.tabular.sarsa_lambda(CLIFF, lam=0.5, traces="dutsch"), "traces is .* Did you mean 'dutch'?"),
        (lambda: operant.tabular.n_step_sarsa(CLIFF, n=0), "n is 0, expected a whole number of at least 1"),
        (lambda: operant.tabular.dyna_q(CLIFF, planning=-1), "planning is -1, expected a whole number of at least 0"),
        (lambda: operant.tabular.monte_carlo(CLIFF, max_steps=0), "max_steps is 0"),
        (lambda: control(CLIFF, Settings(), seed=3), "control: .*'seed'.* Did you mean 'seeds'?"),
        (lambda: td(CLIFF, uniform(CLIFF), initials=1.0), "td: .*'initials'.* Did you mean 'initial'?"),
        (
            lambda: operant.tabular.td_lambda(CLIFF, uniform(CLIFF), lam=2.0),
            "lam is 2.0, expected a number from 0 to 1",
        ),
        (lambda: bandits.thompson([[0.0, 1.0]], step=5), "thompson: .*'step'.* Did you mean 'steps'?"),
        (lambda: Settings(step_size="fast"), "step_size is 'fast': it is a number in .* or a schedule"),
        (lambda: Settings(alpha=0.1), "there is no setting 'alpha'. Did you mean 'step_size'?"),
        (lambda: Settings(algorithm="q_learning"), "no tabular algorithm is named .* Did you mean 'q-learning'?"),
        (lambda: Settings(n=2.5, sigma=3), "n is 2.5, .*\nsigma is 3, "),
    ],
)
@pytest.mark.filterwarnings("ignore::operant.tabular.ConvergenceWarning")
def test_what_is_wrong_is_named_with_the_nearest_that_is_right(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_a_keyword_that_is_missing_is_pythons_own_error():
    with pytest.raises(TypeError, match=r"n_step_sarsa\(\).* missing a required argument: 'n'"):
        operant.tabular.n_step_sarsa(CLIFF)
    with pytest.raises(TypeError, match="too many positional arguments"):
        operant.tabular.q_learning(CLIFF, 0.1)


def test_a_warning_stands_where_the_room_was_called():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        operant.tabular.q_learning(CLIFF, epsilon=0.0, episodes=1, max_steps=5)
        control(CLIFF, Settings(epsilon=0.0), episodes=1, max_steps=5)
        td(CLIFF, uniform(CLIFF), episodes=1, max_steps=5)
    assert [warning.filename for warning in caught] == [__file__] * 3


def test_a_policy_that_is_not_the_one_that_acts_needs_no_exploration_that_ends():
    overrides = {"algo.step_size_schedule": "harmonic"}
    acting, greedy = (
        resolve("tree-backup", "Taxi-v4", overrides=overrides | more).config.settings()
        for more in ({}, {"algo.target_epsilon": 0.0})
    )
    assert (acting.on_policy, greedy.on_policy) == (True, False)
    assert [what for what, _ in acting.violations(noisy=True)] == ["epsilon"]
    assert greedy.violations(noisy=True) == []


def test_the_face_and_the_settings_wait_for_nothing_heavy():
    code = (
        "import sys, operant.tabular, operant.tabular.settings.runs\n"
        "operant.tabular.Settings, operant.tabular.Harmonic, operant.tabular.ConvergenceWarning\n"
        "assert not {'torch', 'numpy', 'numba', 'gymnasium'} & sys.modules.keys()\n"
        "from operant.tabular import *\n"
        "assert callable(control) and callable(monte_carlo)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(callable(getattr(operant.tabular, name)) for name in dir(operant.tabular) if name[0].islower())
