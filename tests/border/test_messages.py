"""Messages that name the wrong cause, and settings that are not used"""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

import operant
from operant.cli.main import main
from operant.config import errors
from operant.config.errors import OperantError
from operant.config.fields import leaves
from reference.settings import all_settings, settings_of

SMALL = ["--env.num", "2", "--total-steps", "64", "--algo.horizon", "16", "--algo.batch", "16", "--algo.epochs", "1"]
SMALL += ["--policy.hidden", "8", "--eval.episodes", "1", "--no-save.videos", "--no-save.report"]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


WORDS = {
    "gamma": "algo.discount", "eval_freq": "eval.every", "eval-freq": "eval.every", "algo.gamma": "algo.discount",
    "eval.freq": "eval.every", "save.freq": "save.every", "n_envs": "env.num", "learning_rate": "algo.lr",
    "total_timesteps": "total_steps", "clip_range": "algo.clip", "ent_coef": "algo.entropy_coef",
    "gae_lambda": "algo.lam", "net_arch": "policy.hidden", "save_freq": "save.every",
    "n_eval_episodes": "eval.episodes",
    "discount": "algo.discount", "algo.hidden": "policy.hidden", "algo.discont": "algo.discount",
}  # fmt: skip
LANGUAGE = {
    "num_generations": "algo.samples", "max_completion_length": "sampling.max_tokens", "kl_coef": "algo.beta",
    "learning_rate": "algo.lr", "lora_r": "model.lora_rank", "torch_dtype": "model.dtype", "gamma": None,
}  # fmt: skip


@pytest.mark.parametrize("entry", ["command line", "python", "file"])
@pytest.mark.parametrize("word", WORDS)
def test_another_librarys_word_is_known_before_a_near_spelling(entry, word, tmp_path, capsys):
    if entry == "command line":
        assert main(["train", "ppo", "CartPole-v1", f"--{word}", "0.9"]) == 2
        said, meant = capsys.readouterr().err, "--" + WORDS[word].replace("_", "-")
    elif entry == "python":
        with pytest.raises(OperantError) as caught:
            operant.train("ppo", "CartPole-v1", **{word: 0.9})
        said, meant = str(caught.value), WORDS[word]
    else:
        room, _, name = word.rpartition(".")
        (tmp_path / "mine.toml").write_text((f"[{room}]\n" if room else "") + f"{name} = 0.9\n")
        assert main(["train", "ppo", "CartPole-v1", "@mine.toml"]) == 2
        said, meant = capsys.readouterr().err, WORDS[word]
    assert f"Did you mean '{meant}'?" in said, said


@pytest.mark.parametrize("entry", ["grpo"])
@pytest.mark.parametrize("word", LANGUAGE)
def test_so_is_that_of_libraries_for_language_models(entry, word, capsys):
    assert main(["train", entry, "arithmetic", f"--{word}", "0.9"]) == 2
    said = capsys.readouterr().err
    meant = LANGUAGE[word]
    assert meant is None or f"Did you mean '--{meant.replace('_', '-')}'?" in said, said


def test_every_word_of_other_libraries_means_a_setting_that_there_is():
    from operant.config.elsewhere import MEANT

    known = {leaf.key for model in all_settings().values() for leaf in leaves(model).values()}
    assert {key for keys in MEANT.values() for key in keys.split()} <= known


def integers():
    """Every setting that is a whole number without a limit of its own: (algorithm, key), once for each key."""
    found = {}
    for name, model in all_settings().items():
        for leaf in leaves(model).values():
            if leaf.kind == "integer" and "maximum" not in leaf.spec:
                found.setdefault(leaf.key, name)
    return found


@pytest.mark.parametrize("entry", sorted(integers()))
def test_a_whole_number_that_run_json_could_not_hold_is_refused_at_once(entry):
    from operant.config.resolve import resolve

    algorithm = integers()[entry]
    target = "arithmetic" if settings_of(algorithm).target[0] == "task" else "CartPole-v1"
    for number in (2**53 + 1, 2**63, 2**64, 10**30):
        with pytest.raises(OperantError, match=re.escape(entry)) as caught:
            resolve(algorithm, target, overrides={entry: number})
        assert "large" in str(caught.value)


@pytest.mark.parametrize("entry", ["eval", "play", "Run.evaluate", "Run.play", "env check", "sweep"])
def test_a_seed_that_run_json_could_not_hold_is_refused_at_once(entry, tmp_path, capsys):
    assert main(["train", "ppo", "CartPole-v1", *SMALL]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    seed = 2**53 + 1
    if entry.startswith("Run."):
        with pytest.raises(OperantError, match="seed"):
            getattr(operant.Run(run), entry[4:])(episodes=1, seed=seed)
    else:
        words = {"env check": ["env", "check", "CartPole-v1"], "sweep": ["sweep", "ppo", "CartPole-v1", "@s.toml"]}
        assert main([*words.get(entry, [entry, str(run)]), "--seed", str(seed)]) == 2
        assert "up to" in capsys.readouterr().err
    assert main(["eval", str(run), "--episodes", "1", "--seed", str(2**53)]) == 0
    assert main(["report", str(run)]) == 0


def test_a_run_of_the_largest_seed_can_be_opened(tmp_path):
    assert main(["train", "ppo", "CartPole-v1", "--seed", str(2**53), *SMALL]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert main(["eval", str(run), "--episodes", "1"]) == 0


SAYS = {errno.ENOSPC: "Free some space", errno.EDQUOT: "Free some space", errno.EACCES: "Make it writable"}
SAYS |= {errno.EROFS: "Make it writable", errno.ENOTDIR: "Make it writable", errno.EIO: "Make it writable"}


@pytest.mark.parametrize("entry", ["writing", "write_page", "save_figure", "write_json"])
@pytest.mark.parametrize("number", SAYS)
def test_a_refused_write_is_answered_by_what_mends_it(entry, number, tmp_path, monkeypatch):
    from operant.run import disk
    from operant.run.folder import write_json
    from operant.view import curves, page

    refusal = OSError(number, "refused")

    def refuse(*_, **__):
        raise refusal

    class Figure:
        savefig = refuse

    def within():
        with disk.writing(tmp_path / "x", 1):
            refuse()

    monkeypatch.setattr("os.fsync", refuse)
    calls = {
        "writing": within,
        "write_page": lambda: page.write_page(tmp_path / "x.html", "page"),
        "save_figure": lambda: curves.save_figure(Figure(), tmp_path / "x.png"),
        "write_json": lambda: write_json(tmp_path / "x.json", {}),
    }
    with pytest.raises(errors.DiskError) as caught:
        calls[entry]()
    assert SAYS[number] in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("entry", ["train", "report"])
def test_a_place_that_cannot_be_written_is_no_full_disk(entry, tmp_path, capsys):
    (tmp_path / "file").write_text("a file")
    words = {"train": ["train", "ppo", "CartPole-v1", "--runs", "file/runs", *SMALL]}
    if entry == "report":
        assert main(["train", "ppo", "CartPole-v1", *SMALL]) == 0
        (run,) = (tmp_path / "runs").iterdir()
        (run / "report.html").mkdir()
        words["report"] = ["report", str(run)]
    assert main(words[entry]) == 5
    said = capsys.readouterr().err
    assert "Free some space" not in said
    assert "error: cannot" in said


@pytest.mark.parametrize("entry", ["list algorithms", "config schema ppo", "--help", "config show ppo CartPole-v1"])
def test_a_full_standard_output_is_named(entry):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "operant", *entry.split()], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 5, done.stderr
    assert "standard output" in done.stderr
    assert "Free some" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


TASK = """
from operant.reward import Exact, reward
from operant.task import Example, Task
@reward(best=None, pure=True)
def odd(trace):
    if trace.completion and trace.completion not in map(str, range(30)):
        raise ValueError("the judge is away")
    return float(trace.completion == trace.gold)
def task():
    made = [Example(prompt=f"{a} = ", gold=str(a), solution=str(a)) for a in range(30)]
    return Task(name="odd", train=made[10:], test=made[:10], rewards={"correct": odd}, max_tokens=4)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["grpo", "rlhf", "expert-iteration"])
def test_rewards_that_all_fail_are_named_and_not_the_learning_rate(entry, tmp_path, capsys):
    pytest.importorskip("transformers")
    from reference.tiny_language import tiny_language

    tiny_language("llama").save(tmp_path / "model")
    (tmp_path / "odd.py").write_text(TASK)
    words = ["--model", "model", "--total-steps", "1", "--algo.prompts", "2", "--algo.samples", "2", "--threads", "1"]
    words += ["--eval.episodes", "2", "--eval.samples", "0", "--no-eval.before", "--no-save.report"]
    assert main(["train", entry, "odd.py", *words]) == 1
    said = capsys.readouterr().err
    assert "the judge is away" in said
    assert "odd.py:7" in said
    assert "judged" in said
    assert "algo.lr" not in said


def offered(algorithm, capsys):
    """The settings that the help of an algorithm names."""
    assert main(["train", algorithm, "--help"]) == 0
    said = capsys.readouterr().out
    flags = set(re.findall(r"--(?:\[no-\])?([a-z0-9.-]+)", said))
    return {key for leaf in leaves(settings_of(algorithm)).values() if (key := leaf.key).replace("_", "-") in flags}


UNUSED = {
    "dpo": ("sampling.", "base.", "eval.samples", "task.options"),
    "reward-model": ("sampling.", "base.", "eval.samples", "task.options"),
    "process-reward": ("eval.samples",), "constitutional": ("base.", "eval.samples"), "sft": ("base.lr",),
    "grpo": ("save.videos",), "rlhf": ("save.videos",), "expert-iteration": ("save.videos",),
}  # fmt: skip
USED = {"dpo": "algo.beta", "sft": "sampling.max_tokens", "process-reward": "sampling.top_p", "grpo": "base.width"}


@pytest.mark.parametrize("entry", sorted(all_settings()))
def test_help_offers_what_an_algorithm_uses(entry, capsys):
    shown = offered(entry, capsys)
    assert "total_steps" in shown
    assert USED.get(entry, "eval.episodes") in shown
    hidden = UNUSED.get(entry, ())
    assert not [key for key in shown if key.startswith(hidden)] if hidden else True
    helps = {leaf.key: leaf.help for leaf in leaves(settings_of(entry)).values()}
    assert not [key for key in shown if "no use" in helps[key]]


@pytest.mark.parametrize("entry", ["dpo", "reward-model"])
def test_what_help_leaves_out_is_read_by_nothing(entry, tmp_path, monkeypatch):
    """A short run of it, with every reading of a setting written down."""
    pytest.importorskip("transformers")
    from operant.config.registry import builder_of
    from operant.config.resolve import resolve
    from operant.config.schema import Section
    from operant.language.settings.runs import BaseConfig, SamplingConfig
    from reference.tiny_language import tiny_language

    tiny_language("llama").save(tmp_path / "model")
    lines = [f'{{"prompt": "say {i} ", "chosen": "hello {i}", "rejected": "sorry {i}"}}' for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    read = set()
    plain = Section.__getattribute__

    def noted(self, name):
        if name in type(self).model_fields:
            read.add((type(self), name))
        return plain(self, name)

    monkeypatch.setattr(Section, "__getattribute__", noted)
    settings = {"model.path": str(tmp_path / "model"), "threads": 1, "total_steps": 8, "algo.batch": 4}
    cfg = resolve(entry, str(tmp_path / "pairs.jsonl"), overrides=settings).config
    read.clear()
    job = builder_of(entry)(cfg, "", print)
    next(job.algorithm)
    job.evaluate(1)
    assert (type(cfg.algo), "lr") in read
    assert not {(kind, name) for kind, name in read if kind in (BaseConfig, SamplingConfig)}


@pytest.mark.parametrize("entry", ["dpo"])
def test_who_sets_what_is_not_used_is_told(entry, recwarn):
    from operant.config.resolve import resolve

    resolve(entry, "pairs.jsonl", overrides={"sampling.top_p": 0.5, "algo.beta": 0.2})
    (warned,) = [str(w.message) for w in recwarn]
    assert "sampling.top_p" in warned
    assert "algo.beta" not in warned
