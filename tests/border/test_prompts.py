"""Prompts that no completion fits behind, found after hours: every run looks at them before its first step.

One that is too long or empty is left out and counted, wherever it stands; data that cannot be read are refused with
file and line; where nothing can be answered the run says so before it has done anything.
"""

import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

import operant
from operant.cli.main import main
from reference.tiny_language import tiny_folder, tiny_model, tiny_tokenizer

TASK = '''
import json
from operant.reward import Exact, ExactSteps
from operant.task import Demonstration, Example, Lazy, Task

class Own:
    """A loader as people write them."""
    def __init__(self, bad): self.bad = bad
    def __len__(self): return 12
    def __getitem__(self, i):
        if i == self.bad == 7: raise KeyError("no such row")
        return Example(prompt=f"{i} is ", gold=str(i), solution=str(i), metadata={"steps": [str(i)]})

def task(bad="", where="train", last=12):
    def one(i, kind):
        text = {"long": "x " * 70, "empty": "", "nothing": None, "half": "a \\ud800 b"}.get(bad, "")
        chosen = bad == "all" or (bad and kind == where and i == 9)
        prompt = (f"{kind} {i}" + "x " * 70 if bad == "all" else text) if chosen else f"{kind} {i} is "
        return Example(prompt=prompt, gold=str(i), solution=str(i), metadata={"steps": [str(i)]})
    train = [one(i, "train") for i in range(last)]
    if bad == "raises": train = Own(7)
    if bad == "lazy": train = Lazy(12, lambda i: one(i, "train") if i != 7 else {}["gone"])
    return Task(name="t", train=train, test=[one(i, "test") for i in range(last)], rewards={"correct": Exact()},
                demonstrations=[Demonstration(prompt=f"{i} is ", completion=str(i)) for i in range(12)],
                step_reward=ExactSteps(separator="\\n"), max_tokens=4)
'''
SMALL = ["--threads", "1", "--no-save.report", "--save.rollouts", "0", "--sampling.slots", "8"]
SAMPLING = {
    "grpo": ["--total-steps", "6", "--algo.prompts", "4", "--algo.samples", "2"],
    "rlhf": ["--total-steps", "6", "--algo.prompts", "4", "--algo.batch", "4"],
    "expert-iteration": ["--total-steps", "6", "--algo.prompts", "4", "--algo.samples", "2"],
    "process-reward": ["--total-steps", "4", "--algo.batch", "2", "--algo.prompts", "12", "--algo.samples", "2"],
}
"""With each algorithm, enough steps that every prompt is drawn."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model of 64 positions, and a task."""
    folder = tmp_path_factory.mktemp("prompts")
    tiny_folder(folder / "m")
    (folder / "t.py").write_text(TASK)
    return folder


@pytest.fixture
def train(home, tmp_path, monkeypatch, capsys):
    """Trains, and gives the exit code, what was said on standard error, and the run."""
    monkeypatch.chdir(tmp_path)

    def run(algorithm, what="", *flags, **options):
        given = [part for name, value in options.items() for part in (f"--task.options.{name}", value)]
        words = ["train", algorithm, str(home / (what or "t.py")), "--model", str(home / "m"), "--runs", "runs", *given]
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code = main(
                [*words, *SMALL, *(SAMPLING[algorithm] if what == "" and algorithm in SAMPLING else []), *flags]
            )
        runs = sorted((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else []
        return code, " ".join(capsys.readouterr().err.split()), runs[-1] if runs else None

    return run


def finished(run):
    return json.loads((run / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("bad", ["long", "empty"])
@pytest.mark.parametrize("entry", sorted(SAMPLING))
def test_a_prompt_of_train_that_cannot_be_answered_is_left_out_and_counted(entry, bad, train):
    code, said, run = train(entry, bad=bad)
    assert code == 0 or "judged answers are too few" in said, said  # of what random weights write no step ends
    assert "1 of 12 prompts of t, train are left out, the first t, train[9]:" in said
    why = "the 64 positions of the model. Shorten" if bad == "long" else "is empty, and there is nothing to go on from"
    assert why in said
    assert entry == "process-reward" or finished(run)


@pytest.mark.parametrize("entry", ["grpo", "sft", "rlhf"])
def test_a_prompt_of_test_is_left_out_before_the_first_step(entry, train):
    flags = ["--total-steps", "4", "--algo.batch", "2"] if entry == "sft" else []
    code, said, run = train(entry, "", *flags, bad="long", where="test")
    assert code == 0
    assert said.index("1 of 12 prompts of t, test are left out, the first t, test[9]:") >= 0
    assert finished(run)
    assert main(["eval", str(run), "--trust", "--episodes", "12", "--json"]) == 0


@pytest.mark.parametrize("entry", ["eval", "votes"])
def test_what_is_measured_later_leaves_it_out_too(entry, train, home, capsys):
    (home / "later.py").write_text(TASK)
    _, _, run = train("grpo", "later.py", *SAMPLING["grpo"])
    (home / "later.py").write_text(TASK.replace('bad="", where="train"', 'bad="long", where="test"'))
    for name in [
        name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).endswith("later.py")
    ]:
        del sys.modules[name]
    capsys.readouterr()
    more = ["--votes", "2"] if entry == "votes" else []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["eval", str(run), "--trust", "--episodes", "12", *more]) == 0
    out = capsys.readouterr()
    assert "1 of 12 prompts of t, test are left out" in " ".join(out.err.split())


@pytest.mark.parametrize("entry", sorted(SAMPLING))
def test_where_nothing_can_be_answered_the_run_says_so_first(entry, train):
    code, said, run = train(entry, bad="all")
    assert code == 2
    assert "none of the 12 prompts of t, train can be answered:" in said
    assert "more than the 64 positions of the model. Shorten the prompts, or take a model with more" in said
    assert run is None or not finished(run)


@pytest.mark.parametrize("entry", sorted(SAMPLING))
def test_a_limit_that_leaves_no_room_is_told_with_the_one_that_does(entry, train):
    code, said, _ = train(entry, "", "--sampling.max_tokens", "60")
    assert code == 2
    assert "Set sampling.max_tokens to 5" in said


BAD = {
    "raises": r"t, train[7] raised KeyError: 'no such row' (",
    "lazy": r"t, train[7] raised KeyError: 'gone' (",
    "nothing": r"t, train[9]: its prompt is neither a text nor messages",
    "half": r"t, train[9]: its prompt cannot be read",
}


@pytest.mark.parametrize("bad", sorted(BAD))
@pytest.mark.parametrize("entry", sorted(SAMPLING))
def test_an_example_that_cannot_be_made_is_named_before_the_first_step(entry, bad, train):
    code, said, run = train(entry, bad=bad)
    assert code == 2
    assert BAD[bad] in said
    assert run is None or not finished(run)


LINES = {
    "sft": {"prompt": "a ", "completion": "b"},
    "dpo": {"prompt": "a ", "chosen": "b", "rejected": "c"},
    "kto": {"prompt": "a ", "completion": "b", "label": True},
    "reward-model": {"prompt": "a ", "chosen": "b", "rejected": "c"},
    "process-reward": {"prompt": "a ", "steps": ["b"], "labels": [True]},
}


@pytest.mark.parametrize("entry", sorted(LINES))
def test_a_line_of_a_file_that_is_too_long_is_named_and_may_be_left_out(entry, train, home):
    lines = [LINES[entry] | {"prompt": f"{i} "} for i in range(8)]
    lines[5] = LINES[entry] | {"prompt": "x " * 70}
    (home / "long.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["--algo.batch", "2", "--total-steps", "4", *(["--algo.loss", "kto"] if entry == "kto" else [])]
    entry = "dpo" if entry == "kto" else entry
    code, said, run = train(entry, "long.jsonl", *flags)
    assert code == 2
    assert "long.jsonl:6: cut at 64 tokens, nothing to learn from is left" in said
    assert "raise the length, or set too_long to leave_out" in said
    code, said, run = train(entry, "long.jsonl", *flags, "--algo.too_long", "leave_out")
    assert code == 0
    assert "1 of 8 examples of" in said
    assert finished(run)


@pytest.mark.parametrize("entry", ["revision", "feedback"])
def test_what_is_asked_in_constitutional_ai_and_is_too_long_is_left_out(entry, train, home):
    lines = [{"prompt": f"say {i}"} for i in range(8)] + [{"prompt": "x " * 70}]
    (home / "asked.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["--algo.stage", entry, "--total-steps", "2", "--sampling.max_tokens", "2", "--sft.batch", "2"]
    principles = home / "principles.jsonl"
    principles.write_text(json.dumps({"critique": "why?", "revision": "so?", "comparison": "which?"}))
    code, said, _ = train("constitutional", "asked.jsonl", *flags, "--algo.principles", str(principles),
                            "--preference.batch", "2", "--algo.revisions", "1", "--sft.length", "64")  # fmt: skip
    assert "1 of 9 exchanges are left out, the first that of prompt 8:" in said
    assert code == 0 or "positions of the model that judges" in said


def test_an_answer_that_the_reward_model_cannot_read_is_not_judged(home):
    import torch

    from operant.language.learn.reward_scorer import RewardScorer
    from operant.language.model.language_model import LanguageModel, Scalar
    from operant.language.sample.sampling import Completion, Prompt

    model = Scalar(LanguageModel(tiny_model(positions=16), tiny_tokenizer()))
    torch.nn.init.normal_(model.head.weight)

    def written(count):
        no = (0.0,) * count
        return Completion(prompt=Prompt(id=0, tokens=(7, 8)), sample=0, tokens=(9,) * count, logp=no, kept=no,
                          acted=(True,) * count, finish="stop")  # fmt: skip

    scorer = RewardScorer(model)
    with pytest.warns(UserWarning, match="22 tokens, the reward model 16 positions: such answers are not judged"):
        found = scorer([written(3), written(20), written(14)])
    assert found[1] is None
    assert found[0] == pytest.approx(scorer([written(3)])[0], abs=1e-5)
    assert found[2] is not None


def test_loops_of_ones_own_pass_over_prompts_too():
    from operant.language.episodes.episodes import Prompts

    prompts = Prompts([(1,), (1,) * 9, (1, 2), ()], seed=0)
    with pytest.warns(UserWarning, match="prompts are passed over, the first"):
        drawn = prompts(4, 10, 4)
    assert sorted(len(p.tokens) for p in drawn) == [1, 1, 2, 2]
    assert prompts.drawn == drawn[-1].id + 1
    assert operant.__version__
