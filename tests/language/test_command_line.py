"""Training a language model through the run folder: what it leaves, how it resumes, what it refuses."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers")

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

import operant
from operant.cli.main import main
from operant.cli.reproduce import reproduce
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.language.episodes.evaluate import sampling_of
from operant.language.learn.setup import model_of
from operant.language.learn.verifier import read_verifier
from operant.language.reward.trace import Trace
from operant.run import checkpoint
from operant.search.voting import voted
from reference.letters import TASK
from reference.tiny_language import NOT_PREFIX_PRESERVING, TEMPLATE, tiny_language

QUICK = {
    "quiet": True,
    "eval.episodes": 4,
    "eval.samples": 2,
    "save.report": False,
    "save.every": 2,
    "threads": 1,
    "sampling.max_tokens": 4,
}
GRPO = QUICK | {"algo.prompts": 2, "algo.samples": 4, "algo.batch": 4, "algo.lr": 1e-2}
STEPS = """
from operant.reward import ExactSteps
from operant.task import Example, Task, reward

@reward(pure=True, best=1.0)
def correct(trace):
    return float(trace.completion == trace.gold)

def task():
    made = [
        Example(prompt=f"{i} ", gold=f"a{i}=b{i}", solution=f"a{i}=b{i}", metadata={"steps": [f"a{i}", f"b{i}"]})
        for i in range(24)
    ]
    return Task(name="steps", train=made[:16], test=made[16:], rewards={"correct": correct}, step_reward=ExactSteps())
"""

VOWELS = """
from operant.task import Example, Task, reward

@reward(pure=True, best=None)
def length(trace):
    return len(trace.completion)

@reward(pure=True)
def each(trace):
    return [(i + 1, float(c in "aeiou")) for i, c in enumerate(trace.completion)]

def task():
    made = [Example(prompt=f"say {i}", gold="", solution="aeiou") for i in range(24)]
    return Task(name="vowels", train=made[:16], test=made[16:], rewards={"length": length}, step_reward=each)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    tiny_language("llama").save(folder / "model")
    for name, text in (("mine", TASK), ("steps", STEPS), ("vowels", VOWELS)):
        (folder / f"{name}.py").write_text(text)
    lines = [{"prompt": f"{i} + 1 =", "completion": f" {i + 1}"} for i in range(30)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def train(place, runs, algorithm="grpo", task="mine.py", **settings):
    path = str(place / task) if "." in task else task
    return operant.train(algorithm, path, runs=place / runs, **{"model.path": str(place / "model")} | settings)


def newest(run):
    path, _ = checkpoint.newest(run.path)
    files = [file for file in path.iterdir() if file.name not in ("state.json", "MANIFEST.json")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def rows(run):
    frame = run.metrics
    apart = [c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed", "time")]
    return frame.drop(columns=apart)


@pytest.fixture(scope="module")
def whole(place):
    return train(place, "whole", total_steps=6, **GRPO | {"algo.beta": 0.01, "algo.beta_schedule": "adaptive"})


def test_a_run_leaves_its_completions_with_each_reward_and_both_accuracies(whole):
    kept = pq.ParquetFile(whole.path / "rollouts" / "step-00000003.parquet").read().to_pylist()
    assert len(kept) == 8
    for row in kept:
        assert row["reward"] == pytest.approx(row["reward/letters"] + row["reward/early"])
        assert len(row["tokens"]) == len(row["logp"]) <= 4
        assert row["finish"] == ("length" if len(row["tokens"]) == 4 and row["tokens"][-1] != 1 else "stop")
    for group in {row["prompt_id"] for row in kept}:
        assert sum(row["advantage"] for row in kept if row["prompt_id"] == group) == pytest.approx(0.0, abs=1e-4)
    before = json.loads((whole.path / "evals" / "step-00000000-mode-4-s1000003.json").read_text())
    assert {"accuracy_greedy", "accuracy_sampled", "deterministic", "seed"} <= before.keys()
    held = pq.ParquetFile(whole.path / "rollouts" / "eval-step-00000006.parquet").read().to_pylist()
    assert sorted(row["mode"] for row in held) == ["greedy"] * 4 + ["sampled"] * 8
    assert {"reward/letters", "completion/length", "completion/truncated", "sampler/mismatch", "policy/entropy"} <= {
        *whole.metrics.columns
    }


def test_a_checkpoint_is_a_folder_that_transformers_reads(whole):
    from transformers import AutoModelForCausalLM

    path, _ = checkpoint.newest(whole.path)
    read = AutoModelForCausalLM.from_pretrained(path).state_dict()
    stored = load_file(path / "model.safetensors")
    assert all(torch.equal(x, read[name]) for name, x in stored.items())
    assert any(
        not torch.equal(x, load_file(whole.path.parents[1] / "model" / "model.safetensors")[n])
        for n, x in stored.items()
    )


def test_a_small_model_has_room_for_a_task_that_names_no_limit(place):
    cfg = resolve("grpo", str(place / "mine.py"), overrides={"model.path": str(place / "model")}).config
    policy = model_of(cfg)
    small = tiny_language("llama", positions=64)
    assert sampling_of(cfg, policy, None).max_tokens == min(256, policy.max_positions // 2)
    assert sampling_of(cfg, small, None).max_tokens == 32
    asked = resolve("grpo", str(place / "mine.py"), overrides={"sampling.max_tokens": 60}).config
    assert sampling_of(asked, small, None).max_tokens == 60


def test_a_run_s_folder_is_a_model(place, whole):
    settings = {"model.path": str(whole.path), "task.id": str(place / "mine.py")}
    policy = model_of(resolve("grpo", str(place / "mine.py"), overrides=settings).config)
    for a, b in zip(policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_resumed_run_is_the_run_that_was_never_stopped(place, whole):
    """Killed inside a generation window: while the tokens of a step are drawn."""
    code = (
        "import os, signal, sys, operant\n"
        "from operant.language.sample.engine import Engine\n"
        "generate, calls = Engine.generate, []\n"
        "def killed(self, prompts, sampling, **rest):\n"
        "    calls.append(sampling.temperature)\n"
        "    found = generate(self, prompts, sampling, **rest)\n"
        "    if len(calls) == 2 + 4:\n"  # two of the evaluation before, then the fourth step
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return found\n"
        "Engine.generate = killed\n"
        f"operant.train('grpo', {str(place / 'mine.py')!r}, runs={str(place / 'killed')!r}, total_steps=6, **{{"
        f"'model.path': {str(place / 'model')!r}, **{GRPO!r}, 'algo.beta': 0.01, 'algo.beta_schedule': 'adaptive'}})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    (path,) = (place / "killed").iterdir()
    assert checkpoint.newest(path)[1]["step"] == 2
    again = operant.resume(path, quiet=True)
    assert newest(again) == newest(whole)
    assert rows(again).equals(rows(whole))
    for name in ("step-00000003.parquet", "step-00000006.parquet", "eval-step-00000006.parquet"):
        ours, theirs = (pq.ParquetFile(r.path / "rollouts" / name).read() for r in (again, whole))
        assert ours.equals(theirs)


@pytest.mark.spread(0)
def test_a_process_that_compiles_gives_the_bits_of_one_that_reads_what_was_compiled(place, tmp_path):
    """On a fresh machine the first process compiles the kernels, and the one that resumes its run finds them."""
    found = []
    for name in ("compiles", "reads"):
        code = (
            f"import operant; operant.train('grpo', {str(place / 'mine.py')!r}, runs={str(tmp_path / name)!r}, "
            f"total_steps=3, **{{'model.path': {str(place / 'model')!r}, **{GRPO!r}, 'sampling.max_tokens': 16}})"
        )
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        (path,) = (tmp_path / name).iterdir()
        found.append(newest(SimpleNamespace(path=path)))
    assert any((tmp_path / "cache").rglob("*.nbc"))
    assert found[0] == found[1]


def test_adapters_resume_bit_for_bit(place):
    pytest.importorskip("peft")
    settings = GRPO | {"model.lora_rank": 2, "algo.beta": 0.01}
    once = train(place, "lora", total_steps=4, **settings)
    part = train(place, "lora-part", total_steps=2, **settings)
    again = operant.resume(part.path, to=4, quiet=True)
    assert newest(again) == newest(once)
    assert "adapters.safetensors" in newest(once)


def test_sft_on_a_file_resumes_and_its_held_out_likelihood_rises(place):
    settings = QUICK | {"save.every": 16, "algo.batch": 8, "algo.lr": 1e-2, "algo.lr_schedule": "constant"}
    once = train(place, "sft", "sft", "sums.jsonl", total_steps=64, **settings)
    part = train(place, "sft-part", "sft", "sums.jsonl", total_steps=32, **settings | {"algo.warmup": 0.0})
    assert part.step == 32
    before, after = (once.folder.info()[name]["mean"] for name in ("evaluation_before", "evaluation"))
    assert after > before + 0.5


def test_evaluating_a_run_gives_what_training_measured(whole):
    measured = whole.evaluate(4)
    assert measured["accuracy_greedy"] == whole.folder.info()["evaluation"]["accuracy_greedy"]
    with pytest.raises(operant.config.errors.ConfigError, match="no pictures"):
        whole.play()


def test_what_cannot_work_is_refused_in_one_line(place, capsys):
    model = ["--model", str(place / "model")]
    for words, said in (
        (["grpo", "arithmetics", *model], "no task"),
        (["grpo", str(place / "none.py"), *model], "none.py"),
        (["grpo", "arithmetic", "--model", str(place / "nothing")], "not a readable causal language model"),
        (["grpo", "arithmetic", *model, "--sampling.max_tokens", "600"], "positions"),
        (["grpo", "arithmetic", *model, "--task.options.digit", "3"], "digit"),
        (["grpo", "arithmetic", *model, "--preset", "dr-grpo"], "dr_grpo"),
        (["sft", str(place / "sums.jsonl")], "--model"),
        (["sft", str(place / "missing.jsonl")], "there is no file"),  # before a model is asked for
    ):
        assert main(["train", *words, "--runs", str(place / "refused")]) == 2, words
        error = capsys.readouterr().err
        assert said in error, error
        assert "Traceback" not in error


def test_a_model_whose_padding_is_its_end_is_refused(place, tmp_path, capsys):
    model = tiny_language("llama")
    model.tokenizer.pad_token = model.tokenizer.eos_token
    model.save(tmp_path / "model")
    assert main(["train", "grpo", "arithmetic", "--model", str(tmp_path / "model"), "--runs", str(tmp_path)]) == 2
    assert "padding" in capsys.readouterr().err


def test_a_paper_s_settings_lie_beneath_one_s_own():
    resolved = resolve("grpo", "arithmetic", overrides={"preset": "dr_grpo", "algo.scale": "batch", "model.path": "x"})
    assert resolved.config.algo.reduce == "fixed"
    assert resolved.config.algo.scale == "batch"
    assert resolved.provenance["algo.reduce"] == "preset dr_grpo"
    assert resolved.config.env.id == resolved.config.task.id == "arithmetic"
    assert not any(key.startswith("env.") for key in resolved.provenance)


def test_help_and_config_errors_import_neither_torch_nor_transformers():
    for words in (["train", "grpo", "--help"], ["train", "grpo", "arithmetic", "--algo.samples", "x"]):
        code = (
            f"import sys\nfrom operant.cli.main import main\nmain({words!r})\n"
            "assert not {'torch', 'transformers'} & sys.modules.keys()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize(
    ("algorithm", "line", "settings"),
    [
        ("reward-model", {"chosen": "yes", "rejected": "no no"}, {}),
        ("dpo", {"chosen": "yes", "rejected": "no no"}, {}),
        ("dpo", {"chosen": "yes", "rejected": "no no", "group": "%g"}, {"algo.loss": "gr_dpo"}),
        ("dpo", {"completion": "yes", "label": True}, {"algo.loss": "kto"}),
    ],
)
def test_what_learns_from_judgements_resumes_bit_for_bit_and_agrees_with_them(
    place, tmp_path, algorithm, line, settings
):
    lines = [{"prompt": f"say {i}:"} | line for i in range(24)]
    for i, each in enumerate(lines):
        if "group" in each:
            each["group"] = "ab"[i % 2]
        if "label" in each and i % 2:
            each |= {"completion": "no no", "label": False}
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    common = {"model.path": str(place / "model"), **QUICK, "save.every": 16, "algo.batch": 8, "algo.lr": 1e-2}
    common |= {"algo.lr_schedule": "constant", "algo.warmup": 0.0} | settings

    def run(steps, name):
        return operant.train(
            algorithm, str(tmp_path / "judged.jsonl"), runs=tmp_path / name, total_steps=steps, **common
        )

    whole, part = run(32, "whole"), run(16, "part")
    assert newest(operant.resume(part.path, to=32, quiet=True)) == newest(whole)
    assert whole.folder.info()["evaluation"]["agreement"] == 1.0


def test_a_learnt_reward_trains_and_resumes_bit_for_bit(place, tmp_path):
    lines = [{"prompt": f"say {i}:", "chosen": "yes", "rejected": "no no"} for i in range(12)]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    common = {"model.path": str(place / "model"), **QUICK, "algo.lr": 1e-3}
    judge = operant.train(
        "reward-model",
        str(tmp_path / "judged.jsonl"),
        runs=tmp_path / "rm",
        total_steps=8,
        **common,
        **{"algo.batch": 4},
    )
    common |= {"reward.path": str(judge.path), "algo.prompts": 4, "algo.samples": 2, "algo.epochs": 2, "algo.batch": 4}

    def run(steps, name):
        return operant.train("rlhf", str(place / "mine.py"), runs=tmp_path / name, total_steps=steps, **common)

    whole, part = run(4, "whole"), run(2, "part")
    assert newest(operant.resume(part.path, to=4, quiet=True)) == newest(whole)
    assert {"reward/letters", "value/explained_variance", "policy/kl_reference"} <= {*whole.metrics.columns}


@pytest.fixture(scope="module")
def verifier(place):
    """A process reward model of a file: a step is right if it begins with a."""
    lines = [
        {"prompt": f"{i} ", "steps": [f"a{i}", ["a", "b"][i % 2] + str(i)], "labels": [True, i % 2 == 0]}
        for i in range(24)
    ]
    (place / "steps.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))

    def run(name, steps):
        return train(
            place, name, "process-reward", "steps.jsonl", total_steps=steps,
            **QUICK | {"save.every": 32, "algo.batch": 8, "algo.lr": 1e-2, "algo.lr_schedule": "constant"},
            **{"algo.separator": "=", "algo.warmup": 0.0},
        )  # fmt: skip

    return run


def test_a_process_reward_model_learns_from_a_file_and_resumes_bit_for_bit(place, verifier):
    whole, part = verifier("prm", 128), verifier("prm-part", 64)
    assert newest(operant.resume(part.path, to=128, quiet=True)) == newest(whole)
    assert whole.folder.info()["evaluation"]["agreement"] == 1.0
    judge = read_verifier(str(whole.path), "cpu")
    good, bad, cut = judge(
        [
            Trace(prompt="3 ", completion="a3=a3"),
            Trace(prompt="3 ", completion="a3=b3"),
            Trace(prompt="3 ", completion="a3=a3", finish="length"),
        ]
    )
    assert [end for end, _ in good] == [3, 5]
    assert good[1][1] > 0.5 > bad[1][1]
    assert cut == [good[0], (5, 0.0)]
    long = judge([Trace(prompt="3 ", completion="a3=" * 400)])
    assert isinstance(long[0], str)


def test_a_process_reward_model_learns_from_a_task_whose_steps_are_judged(place, verifier):
    run = train(
        place, "prm-task", "process-reward", "steps.py", total_steps=16,
        **QUICK | {"algo.batch": 8, "algo.separator": "=", "algo.samples": 64, "sampling.max_tokens": 16},
    )  # fmt: skip
    assert run.step == 16
    with pytest.raises(operant.config.errors.ConfigError, match="no task to measure"):
        run.evaluate(2)
    with pytest.raises(operant.config.errors.ConfigError, match="no step reward"):
        train(place, "refused", "process-reward", "mine.py", total_steps=16, **QUICK)


@pytest.mark.parametrize("supervision", ["process", "both"])
def test_grpo_learns_from_steps_and_resumes_bit_for_bit(place, verifier, supervision):
    learnt = {"process.model": str(verifier("prm-for-grpo", 16).path)} if supervision == "both" else {}
    settings = GRPO | {"algo.supervision": supervision, **learnt}
    whole = train(place, f"steps-{supervision}", task="vowels.py", total_steps=4, **settings)
    part = train(place, f"steps-{supervision}-part", task="vowels.py", total_steps=2, **settings)
    assert newest(operant.resume(part.path, to=4, quiet=True)) == newest(whole)
    found = [
        row
        for step in range(1, 5)
        for row in pq.ParquetFile(whole.path / "rollouts" / f"step-0000000{step}.parquet").read().to_pylist()
    ]
    if supervision == "process":  # the steps alone are learnt from
        assert [row["reward"] for row in found] == [sum(c in "aeiou" for c in row["completion"]) for row in found]
        assert any(row["reward"] for row in found)
    else:
        assert all(row["reward"] >= row["reward/length"] for row in found)


def test_what_cannot_judge_steps_is_refused(place, verifier):
    for settings, said in (
        ({"algo.supervision": "process"}, "no step reward"),
        ({"process.model": "runs"}, "supervision is outcome"),
        ({"process.model": str(place / "model"), "algo.supervision": "both"}, "holds no judge"),
    ):
        with pytest.raises(operant.config.errors.ConfigError, match=said):
            train(place, "refused", total_steps=2, **GRPO | settings)


def test_a_run_in_bfloat16_is_made_again(place):
    run = train(
        place, "half", "sft", "sums.jsonl", total_steps=16,
        **QUICK | {"algo.batch": 8, "save.every": 16, "model.dtype": "bfloat16"},
    )  # fmt: skip
    assert reproduce(run.path, runs=place / "half-again", quiet=True, say=print)["agreement"] == "bitwise"


def test_a_run_that_samples_is_made_again_whatever_time_its_sampling_took(place):
    run = train(place, "sampled", total_steps=2, **GRPO)
    assert "time/sample" in run.metrics
    assert reproduce(run.path, runs=place / "sampled-again", quiet=True, say=print)["agreement"] == "bitwise"


def test_expert_iteration_learns_what_it_kept_and_resumes_bit_for_bit(place):
    settings = GRPO | {"algo.samples": 8, "algo.threshold": 0.0, "algo.keep": "best", "sampling.max_tokens": 48}
    whole = train(place, "expert", "expert-iteration", "vowels.py", total_steps=4, **settings)
    part = train(place, "expert-part", "expert-iteration", "vowels.py", total_steps=2, **settings)
    assert newest(operant.resume(part.path, to=4, quiet=True)) == newest(whole)
    assert whole.metrics["kept/prompts"].max() > 0.0  # those that ended by themselves
    assert whole.metrics["loss/nll"].notna().any()
    for step, share in zip((1, 2, 3, 4), whole.metrics["kept/share"].dropna(), strict=True):
        kept = pq.ParquetFile(whole.path / "rollouts" / f"step-0000000{step}.parquet").read().to_pylist()
        assert sum(row["advantage"] for row in kept) == pytest.approx(share * len(kept))
        assert all(row["finish"] == "stop" for row in kept if row["advantage"])


FLAT = """
from operant.task import Example, Task, reward

@reward(pure=True, best=None)
def constant(trace):
    return 1.0 if trace.completion == "right" else 0.5

@reward(pure=True, best=None)
def by_prompt(trace):
    return 99.0 if trace.completion == "right" else float(trace.metadata["number"])

def task(kind):
    made = [Example(prompt=f"say {i}", gold="", solution="right", metadata={"number": i}) for i in range(24)]
    return Task(name="flat", train=made[:16], test=made[16:], rewards={kind: globals()[kind]})
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("constant", "every completion scored 0.5: a constant reward teaches nothing"),
        ("by_prompt", "in every group all completions scored the same"),
        ("constant", "100% of the completions were cut at the limit"),
    ],
)
def test_the_first_step_of_a_run_says_what_cannot_be_learnt(place, kind, said):
    (place / "flat.py").write_text(FLAT)
    with pytest.warns(UserWarning, match=said):
        train(place, "flat", task="flat.py", total_steps=1, **GRPO | {"task.options.kind": kind, "eval.before": False})


@pytest.mark.parametrize("learn", ["assistant", "completion"])
def test_a_template_that_changes_earlier_turns_is_told_by_the_command(place, tmp_path, learn):
    model = tiny_language("llama")
    turns = [("user", "one"), ("assistant", "two three four"), ("user", "five"), ("assistant", "six")]
    line = json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}) + "\n"
    (tmp_path / "talk.jsonl").write_text(line * 12)
    for template, told in ((NOT_PREFIX_PRESERVING, True), (TEMPLATE, False)):
        model.tokenizer.chat_template = template
        model.save(tmp_path / "model")
        refused = learn == "assistant" and told
        with warnings.catch_warnings(record=True) as caught, pytest.raises(ConfigError) if refused else nullcontext():
            warnings.simplefilter("always")
            operant.train(
                "sft", str(tmp_path / "talk.jsonl"), runs=tmp_path / "runs", total_steps=8,
                **QUICK | {"model.path": str(tmp_path / "model"), "algo.batch": 8, "algo.learn": learn},
            )  # fmt: skip
        assert any("not prefix-preserving" in str(w.message) for w in caught) == told


def test_a_text_with_nothing_to_learn_is_refused_by_the_command(place, tmp_path, capsys):
    asked = {"messages": [{"role": "user", "content": "one"}]}
    (tmp_path / "asked.jsonl").write_text(json.dumps(asked) + "\n")
    words = ["train", "sft", str(tmp_path / "asked.jsonl"), "--model", str(place / "model"), "--runs", str(tmp_path)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "asked.jsonl:1: no token to learn from" in error


def test_several_answers_vote_or_are_chosen_by_a_judge(place, whole, verifier, tmp_path, capsys):
    lines = [{"prompt": f"say {i}:", "chosen": "yes", "rejected": "no no"} for i in range(12)]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    settings = QUICK | {"model.path": str(place / "model"), "algo.batch": 4, "total_steps": 8}
    judge = operant.train("reward-model", str(tmp_path / "judged.jsonl"), runs=tmp_path / "rm", **settings)

    def told(*words):
        assert main(["eval", str(whole.path), "--episodes", "5", "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)

    found = told("--votes", "4", "--best-of", "4", "--judge", str(judge.path))
    assert found["prompts"] == 5
    assert [*found["best_of"]] == ["1", "2", "4"]
    assert found["best_of"]["1"] == pytest.approx(found["one"])  # chosen among one, whatever the judge says
    assert found["vote"] == 0.0  # every answer was cut, so that there is none to vote for
    by_steps = told("--best-of", "2", "--judge", str(verifier("prm-for-eval", 16).path))
    assert [*by_steps["best_of"]] == ["1", "2"]
    answers = [["3", "4", "4"], ["5", None, "6"], [None, None, None]]
    assert voted(answers, [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]) == pytest.approx(1 / 3)
    assert main(["eval", str(whole.path), "--best-of", "2"]) == 2
    assert "--judge" in capsys.readouterr().err
    assert main(["eval", str(whole.path), "--best-of", "2", "--judge", str(place / "model")]) == 2
    assert "holds no judge" in capsys.readouterr().err
