"""Code, models, files, servers and keys that a stranger's folder names"""

import argparse
import ast
import json
import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import pytest

import operant
from operant.cli.main import main
from operant.cli.parser import build_parser
from operant.config.errors import ConfigError, OperantError
from operant.config.fields import leaves
from reference.settings import all_settings

ENV = """
import gymnasium as gym, numpy as np
from pathlib import Path
class Walk(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t >= 5, False, {}
    def render(self):
        return np.zeros((64, 64, 3), np.uint8)
def make(render_mode=None):
    return Walk(render_mode)
"""
SMALL = ["--env.num", "2", "--total-steps", "64", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1"]
SMALL += ["--policy.hidden", "8", "--eval.episodes", "1", "--no-save.videos", "--no-save.report"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a user's own environment, made here."""
    home = tmp_path_factory.mktemp("made")
    (home / "walk.py").write_text(ENV)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        assert main(["train", "ppo", str(home / "walk.py") + ":make", "--runs", str(home / "runs"), *SMALL]) == 0
    (run,) = (home / "runs").iterdir()
    return home, run


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The machine where the run was made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("XDG_STATE_HOME", str(made[0] / "state"))
    return made[1]


@pytest.fixture
def elsewhere(here, tmp_path, monkeypatch):
    """Another machine, to which the run was sent."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(here, tmp_path / "runs" / "nice", symlinks=True)
    return tmp_path / "runs" / "nice"


def naming(run, name, kwargs=""):
    """Let the settings of a run name an environment."""
    text = (run / "config.toml").read_text()
    text = re.sub(r"(?m)^id = .*$", lambda _: f"id = {json.dumps(name)}", text, count=1)
    (run / "config.toml").write_text(re.sub(r"(?m)^kwargs = .*$", lambda _: f"kwargs = {{{kwargs}}}", text, count=1))


def verbs():
    """Every verb that takes a folder, by the parser itself."""
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    words = {name: [a.dest for a in sub._actions if not a.option_strings] for name, sub in commands.choices.items()}
    return sorted(name for name, its in words.items() if its and its[0] in ("run", "model"))


MORE = {
    "resume": ["--to", "128"], "push": ["ada/nice"], "sample": ["say"], "export": ["--out", "shared"], "solve": [],
    "reproduce": ["--runs", "again"],
}  # fmt: skip
CALLS = {
    "Run.evaluate": lambda run: operant.Run(run).evaluate(episodes=1),
    "Run.play": lambda run: operant.Run(run).play(),
    "operant.resume": lambda run: operant.resume(run, to=128, quiet=True),
}


def tried(entry, run, *more):
    """What an entry point says of a run: its exit code, or 2 for a ConfigError."""
    if entry in CALLS:
        try:
            CALLS[entry](str(run))
        except OperantError as error:
            return error.exit_code
        return 0
    return main([entry, str(run), *MORE.get(entry, ()), *more])


WAYS = {
    "a file": lambda run: naming(run, f"{run}/evil.py:make"),
    "a file by a path that turns": lambda run: naming(run, f"{run}/../{run.name}/evil.py:make"),
    "a module": lambda run: naming(run, "runs.nice.evil:make"),
    "a module that registers an id": lambda run: naming(run, "runs.nice.evil:Name-v0"),
    "a package above it": lambda run: naming(run, "runs.nice.inner.deep:make"),
    "a link to it": lambda run: (Path("walk2.py").symlink_to(run / "evil.py"), naming(run, "walk2:make")),
    "a loader of pickles": lambda run: naming(run, "pandas:read_pickle", 'filepath_or_buffer = "runs/nice/evil.pkl"'),
    "a loader of hubs": lambda run: naming(
        run, "torch.hub:load", 'repo_or_dir = "runs/nice", model = "make", source = "local"'
    ),
    "a module of Python": lambda run: naming(run, "os:system", 'command = "touch EXECUTED"'),
}


class Harmful:
    def __reduce__(self):
        return os.system, ("touch EXECUTED",)


def plant(run):
    """Code of every kind in a folder."""
    evil = "from pathlib import Path\nPath('EXECUTED').touch()\ndef make(**k):\n    Path('EXECUTED').touch()\n"
    for name in ("evil.py", "hubconf.py", "inner/__init__.py", "inner/deep.py"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(evil)
    (run / "evil.pkl").write_bytes(pickle.dumps(Harmful()))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("entry", [*verbs(), *CALLS])
def test_code_in_a_folder_does_not_run(entry, way, elsewhere, tmp_path):
    plant(elsewhere)
    WAYS[way](elsewhere)
    code = tried(entry, "runs/nice")
    assert not (tmp_path / "EXECUTED").exists()
    assert code == 2 or entry in ("report", "compare", "push"), (entry, way, code)  # those that run nothing


@pytest.mark.parametrize("entry", ["eval", "Run.evaluate"])
@pytest.mark.parametrize("way", ["a file", "a module", "a link to it"])
def test_code_in_a_folder_does_not_run_either_that_was_made_here(entry, way, here, tmp_path):
    shutil.copytree(here, tmp_path / "runs" / "nice", symlinks=True)
    plant(tmp_path / "runs" / "nice")
    WAYS[way](tmp_path / "runs" / "nice")
    assert tried(entry, "runs/nice") == 2
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize("entry", ["eval", "resume", "play", "reproduce", *CALLS])
def test_code_that_a_folder_from_elsewhere_names_is_not_run(entry, elsewhere, capsys):
    """It lies outside of the folder, and is a good environment; but who sent the folder chose it."""
    assert tried(entry, elsewhere) == 2
    said = capsys.readouterr().err
    assert entry in CALLS or ("walk.py:make" in said and "--env" in said), said


@pytest.mark.parametrize("entry", ["eval", "resume", "play", "reproduce"])
def test_it_is_run_where_a_person_names_it(entry, made, elsewhere):
    assert tried(entry, elsewhere, "--env", f"{made[0]}/walk.py:make") == 0


@pytest.mark.parametrize("entry", ["eval", "resume", "play", "report", "reproduce", *CALLS])
def test_a_folder_made_here_opens_without_a_word(entry, here, tmp_path):
    """Also where it was moved, and where a copy followed its links."""
    shutil.copytree(here, tmp_path / "moved to é" / "run", symlinks=False)
    assert tried(entry, tmp_path / "moved to é" / "run") == 0


@pytest.mark.parametrize("entry", ["eval", "Run.evaluate"])
def test_a_folder_older_than_marks_opens_without_a_word(entry, here, tmp_path, monkeypatch):
    from operant.run import made_here

    shutil.copytree(here, tmp_path / "old", symlinks=True)
    info = json.loads((tmp_path / "old" / "run.json").read_text())
    assert info.pop(made_here.FIELD)
    (tmp_path / "old" / "run.json").write_text(json.dumps(info))
    assert tried(entry, tmp_path / "old") == 2
    (tmp_path / "later.py").touch()
    monkeypatch.setattr(made_here, "_since", lambda: [tmp_path / "later.py"])
    assert tried(entry, tmp_path / "old") == 0


@pytest.mark.parametrize("entry", ["eval", "Run.evaluate"])
def test_other_names_or_arguments_do_not_fit_a_mark(entry, here, made, tmp_path):
    shutil.copytree(here, tmp_path / "run", symlinks=True)
    naming(tmp_path / "run", f"{made[0]}/walk.py:Walk")
    assert tried(entry, tmp_path / "run") == 2
    naming(tmp_path / "run", f"{made[0]}/walk.py:make", 'render_mode = "rgb_array"')
    assert tried(entry, tmp_path / "run") == 2
    naming(tmp_path / "run", f"{made[0]}/walk.py:make")
    assert tried(entry, tmp_path / "run") == 0


# What else a config names: found by the settings themselves.


def texts():
    """Every setting that takes any text: (algorithm, key), once for each key."""
    found = {}
    for name, model in all_settings().items():
        for leaf in leaves(model).values():
            if leaf.kind == "string" and not leaf.choices:
                found.setdefault(leaf.key, name)
    return found


HARMLESS = {"adr.limits", "algorithm", "device", "algo.separator", "env.action_mask", "eval.split"}
REFUSED_ALREADY = {"policy.network"}
"""By `--trust`, as any code that a run is an algorithm or network of."""
TEXTS = texts()
VALUES = {"env.id": "mine:make", "task.id": "mine.py:task"}


def test_every_setting_that_takes_text_is_known_to_reach_beyond_the_run_or_not():
    outward = {leaf.key for model in all_settings().values() for leaf in leaves(model).values() if leaf.outward}
    assert outward | HARMLESS | REFUSED_ALREADY == set(TEXTS)


@pytest.mark.parametrize("entry", sorted(set(TEXTS) - HARMLESS - REFUSED_ALREADY))
@pytest.mark.parametrize("verb", ["resume", "reproduce"])
def test_nothing_that_a_folder_from_elsewhere_names_is_used(entry, verb, tmp_path, monkeypatch, capsys):
    from operant.config.resolve import dump, resolve

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SECRET", "THE-VALUE")
    algorithm, run = TEXTS[entry], tmp_path / "run"
    run.mkdir()
    if entry in VALUES:
        value, resolved = VALUES[entry], resolve(algorithm, VALUES[entry])
    else:
        value = "SECRET" if entry.endswith("key") else "http://127.0.0.1:9/v1"
        resolved = resolve(algorithm, "arithmetic", overrides={entry: value})
    (run / "config.toml").write_text(dump(resolved))
    info = {"schema_version": 1, "id": "run", "status": "finished", "seed": 1, "algorithm": algorithm}
    (run / "run.json").write_text(json.dumps(info))
    more = ["--to", "99999"] if verb == "resume" else []
    assert main([verb, str(run), *more]) == 2
    said = capsys.readouterr().err
    assert entry in said
    assert value in said
    assert "not made here" in said


@pytest.mark.parametrize("entry", ["reads_model", "reads_tokenizer"])
def test_code_of_a_model_is_neither_run_nor_offered(entry, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from operant.language.model.language_model import LanguageModel
    from reference.tiny_language import tiny_language

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # who is asked says yes
    model = tmp_path / "model"
    tiny_language("llama").save(model)
    assert LanguageModel.load(model).vocab
    code = "from pathlib import Path\nPath('EXECUTED').touch()\n"
    code += "from transformers import LlamaForCausalLM as M, LlamaConfig as C, PreTrainedTokenizerFast as T\n"
    (model / "evil.py").write_text(code)
    file, change = {
        "reads_model": (
            "config.json",
            {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}},
        ),
        "reads_tokenizer": (
            "tokenizer_config.json",
            {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}},
        ),
    }[entry]
    (model / file).write_text(json.dumps(json.loads((model / file).read_text()) | change))
    said = ""
    try:
        LanguageModel.load(model)
    except ConfigError as error:
        said = str(error)
    assert "trust_remote_code" not in said
    assert entry == "reads_tokenizer" or "never run" in said
    assert not (tmp_path / "EXECUTED").exists()


def test_every_call_that_might_offer_a_models_code_says_no():
    for path in Path(operant.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.match(r"Auto\w+\.from_(pretrained|config)$", ast.unparse(node.func)):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{path}:{node.lineno}"


TASK = """
from operant.reward import Exact
from operant.task import Example, Task
def task():
    made = [Example(prompt=f"{a} = ", gold=str(a), solution=str(a)) for a in range(30)]
    return Task(name="own", train=made[10:], test=made[:10], rewards={"correct": Exact()}, max_tokens=4)
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A run of a language model on a user's own task, made here."""
    pytest.importorskip("transformers")
    from reference.tiny_language import tiny_language

    home = tmp_path_factory.mktemp("spoken")
    tiny_language("llama").save(home / "model")
    (home / "own.py").write_text(TASK)
    words = ["--model", str(home / "model"), "--total-steps", "4", "--algo.batch", "4", "--threads", "1"]
    words += ["--eval.episodes", "2", "--eval.samples", "0", "--no-save.report", "--runs", str(home / "runs")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        assert main(["train", "sft", str(home / "own.py"), *words]) == 0
    (run,) = (home / "runs").iterdir()
    return home, run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["eval", "resume"])
def test_a_task_that_a_folder_from_elsewhere_names_needs_to_be_named(entry, spoken, tmp_path, monkeypatch, capsys):
    home, made = spoken
    run = tmp_path / "run"
    shutil.copytree(made, run, symlinks=True)
    more = [] if entry == "eval" else ["--to", "8", "--trust"]  # it names a model, too
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main([entry, str(run), *more]) == 2
    assert f"--task {home / 'own.py'}" in capsys.readouterr().err
    assert main([entry, str(run), *more, "--task", str(home / "own.py")]) == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert main([entry, str(run), *[word.replace("8", "12") for word in more if word != "--trust"]]) == 0


@pytest.mark.parametrize("entry", ["sample", "report"])
def test_what_needs_no_task_opens_it(entry, spoken, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = tmp_path / "run"
    shutil.copytree(spoken[1], run, symlinks=True)
    assert main([entry, str(run), *(["say", "--max-tokens", "2"] if entry == "sample" else [])]) == 0
