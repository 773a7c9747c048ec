"""Keywords that a function does not take, dropped without a word.

Every public function of `operant.mdp` and `operant.tabular` refuses a mistyped keyword, before anything else, and names
the one that was meant.
"""

import inspect

import numpy as np
import pytest

import operant.mdp
import operant.tabular
from operant.config.errors import ConfigError
from operant.mdp import MDP
from operant.tabular import bandits


def functions():
    """Every public function by the name under which it is imported."""
    found = {f"mdp.{name}": getattr(operant.mdp, name) for name in operant.mdp.__all__}
    found |= {f"tabular.{name}": getattr(operant.tabular, name) for name in dir(operant.tabular) if name[:2] != "__"}
    found |= {f"bandits.{name}": value for name, value in vars(bandits).items() if value_of(bandits, value)}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


def value_of(module, value):
    return inspect.isfunction(value) and value.__module__ == module.__name__ and value.__name__[0] != "_"


FUNCTIONS = functions()
OPEN = {"mdp.load", "mdp.from_gymnasium"}
"""What goes on to a file's reader, or to an environment: tested below."""


def mistyped(name):
    """Two letters change places; a short name loses its last one."""
    return name[:-3] + name[-2] + name[-3] + name[-1] if len(name) > 3 and name[-3] != name[-2] else name[:-1]


@pytest.mark.parametrize("entry", sorted(FUNCTIONS.keys() - OPEN))
def test_a_mistyped_keyword_is_refused_with_the_nearest(entry):
    function = FUNCTIONS[entry]
    taken = inspect.signature(function).parameters.values()
    names = [p.name for p in taken if p.kind not in (p.VAR_KEYWORD, p.POSITIONAL_ONLY)]
    more = ["episodes"] if "tabular" in entry and any(p.kind is p.VAR_KEYWORD for p in taken) else []
    more += ["epsilon", "max_iterations"] if any("Stop" in str(p.annotation) for p in taken) else []
    more += ["epsilon", "initial"] if any("Limits" in str(p.annotation) for p in taken) else []
    for meant in [max(names, key=len), *more]:
        typo = mistyped(meant)
        assert typo not in names
        with pytest.raises(ConfigError, match=rf"'{typo}'.*[Dd]id you mean.*'{meant}'"):
            function(**{typo: 3})


MODEL = MDP([[[1.0]]], [3.0], 0.5, start=0)
ANYWHERE = {
    "MDP": lambda _, **given: MDP([[[1.0]]], [3.0], 0.5, **given),
    "MDP.replace": lambda _, **given: MODEL.replace(**given),
    "MDP.from_rows": lambda _, **given: MDP.from_rows(MODEL.rows, 0.5, **given),
    "MappedWriter": lambda folder, **given: operant.mdp.MappedWriter(folder / "m", 0.5, **given),
    "from_gymnasium": lambda _, **given: operant.mdp.from_gymnasium("FrozenLake-v1", discount=0.9, **given),
    "from_gymnasium of a table": lambda _, **given: operant.mdp.from_gymnasium({}, discount=0.9, **given),
    "load npz": lambda folder, **given: operant.mdp.load(saved(folder, "m.npz"), **given),
    "load json": lambda folder, **given: operant.mdp.load(saved(folder, "m.json"), **given),
    "load map": lambda folder, **given: operant.mdp.load(written(folder), **given),
    "load tra": lambda folder, **given: operant.mdp.load(exported(folder), **given),
}


def saved(folder, name):
    MODEL.save(folder / name)
    return folder / name


def written(folder):
    (folder / "m.txt").write_text("discount: 0.9\n\n..\n")
    return folder / "m.txt"


def exported(folder):
    operant.mdp.to_prism(MODEL, folder / "m.tra")
    return folder / "m.tra"


@pytest.mark.parametrize("entry", sorted(ANYWHERE))
def test_what_goes_on_to_a_model_is_refused_too(entry, tmp_path):
    with pytest.raises(ConfigError, match=r"horizn.*Did you mean 'horizon'"):
        ANYWHERE[entry](tmp_path, horizn=3)


def test_right_keywords_pass():
    assert operant.mdp.solve(MODEL, epsilon=1e-3, method="value-iteration", initial=np.zeros(1)).values[0] > 5.9
    assert operant.mdp.robust_value_iteration(MODEL, uncertainty=operant.mdp.Distance(radius=0.0), epsilon=1e-3)
    assert operant.mdp.from_mdptoolbox([np.eye(1)], [3.0], 0.5, horizon=2, start=0).horizon == 2
    options = {"is_slippery": False, "map_name": "8x8"}
    assert operant.mdp.from_gymnasium("FrozenLake-v1", discount=0.9, **options).num_states == 64
    assert operant.tabular.q_learning(MODEL, episodes=2, max_steps=3, epsilon=0.5).returns.shape == (1, 2)
