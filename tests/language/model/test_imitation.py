"""How a small base imitates: which tokens, what is held out, when it stops, what is said; the same after a kill."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

pytest.importorskip("transformers")

from operant.language.episodes.rollout_files import RolloutRow
from operant.language.learn.outlook import contrast, plan
from operant.language.model import imitation
from operant.language.model.imitation import imitate, plan_of
from operant.language.model.small_base import small_base
from operant.language.settings.runs import BaseConfig, GRPORun
from operant.language.task.load import load_task
from operant.reward import Exact
from operant.task import Demonstration, Example, Task

TINY = {"width": 16, "layers": 1, "heads": 2, "positions": 64}


def copying(words, *, max_tokens=None, stop=(), repeat=1):
    """Words are answered by themselves."""
    examples = [Example(prompt=f"{w}>", gold=w, solution=w) for w in words]
    shown = [Demonstration(prompt=f"{w}>", completion=w) for w in words for _ in range(repeat)]
    return Task(
        name="copying", train=examples, test=examples[:1], rewards={"correct": Exact()}, demonstrations=shown,
        max_tokens=max_tokens, stop=stop,
    )  # fmt: skip


WORDS = [f"{a}{b}{c}" for a in "abcd" for b in "efgh" for c in "ijkl"]  # 64


def planned(task, **settings):
    return plan_of(task, list(task.demonstrations), BaseConfig(**settings))


def test_many_demonstrations_are_all_learnt_from_as_before():
    plan = planned(load_task("arithmetic", {"demonstrations": 7500, "train": 10, "test": 5}))
    assert (plan.examples, [*plan.held], len(plan.learnt)) == (60_000, [], 7500)


def test_few_are_gone_through_at_most_forty_times_and_a_tenth_of_the_prompts_is_held_out():
    plan = planned(load_task("arithmetic", {"demonstrations": 1000, "digits": 5, "train": 10, "test": 5}))
    assert len(plan.held) == 100
    assert len(plan.learnt) == 900
    assert plan.passes == 40
    assert sorted([*plan.held, *plan.learnt]) == [*range(1000)]
    assert planned(copying(WORDS), passes=400, examples=10_000).examples == 10_000  # examples bounds them all


def test_what_is_held_out_shares_no_prompt_with_what_is_learnt_from():
    task = copying(WORDS, repeat=3)
    plan = planned(task)
    asked = lambda of: {task.demonstrations[i].prompt for i in of}  # noqa: E731
    assert len(asked(plan.held)) == 6
    assert len(plan.held) == 18
    assert not asked(plan.held) & asked(plan.learnt)
    assert planned(task, seed=1).held != plan.held
    assert planned(task).held == plan.held


@pytest.mark.parametrize(
    ("words", "repeat", "held"),
    [(["a"], 1, 0), (["a", "b"], 1, 0), (["a"], 500, 0), (WORDS[:19], 1, 0), (WORDS[:20], 1, 2), ([""], 1, 0)],
    ids=["one", "two", "all the same", "nineteen", "twenty", "empty"],
)
def test_of_a_handful_none_is_held_out_and_it_is_still_trained(words, repeat, held):
    plan = planned(copying(words, repeat=repeat))
    assert len(plan.held) == held
    assert plan.examples >= 9_600
    policy = imitate(copying(words, repeat=repeat), BaseConfig(**TINY, examples=64), lambda line: None)
    assert all(bool(p.isfinite().all()) for p in policy.parameters())


def test_nothing_is_held_out_where_that_is_asked_for():
    assert [*planned(copying(WORDS), held_out=0.0).held] == []


def test_bytes_where_the_texts_are_short_and_else_pieces():
    assert planned(copying(WORDS)).tokenizer == "bytes"
    assert planned(copying([w * 50 for w in WORDS])).tokenizer == "bpe"  # 300 bytes of 256 positions
    assert planned(copying(WORDS, max_tokens=4)).tokenizer == "bytes"
    assert planned(copying(WORDS, max_tokens=2)).tokenizer == "bpe"  # three bytes and the end do not fit
    assert planned(copying(WORDS, stop=("END",))).tokenizer == "bpe"  # no single byte
    assert planned(copying(WORDS), tokenizer="bpe").tokenizer == "bpe"
    policy = imitate(copying(WORDS), BaseConfig(**TINY, examples=64), lambda line: None)
    ids = policy.tokenizer("aei>é")["input_ids"]
    assert len(ids) == 6
    assert policy.tokenizer.decode(ids) == "aei>é"
    assert len(policy.tokenizer) == 258


def test_it_stops_when_the_held_out_loss_falls_no_longer_and_keeps_the_best(monkeypatch):
    losses = iter([3.0, 2.0, 1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2])
    seen = []

    def measure(best):
        seen.append([x.clone() for x in best._average])
        return next(losses)

    monkeypatch.setattr(imitation._Best, "_measure", measure)
    said = []
    policy = imitate(copying(WORDS), BaseConfig(**TINY), said.append)
    assert len(seen) == 9  # best at the third pass: 1.5 times as many, and four more, begun ones not counted
    assert "Stopped after 9 passes; taken as it was after 3" in said[-1]
    assert "1.000" in said[-1]
    for p, x in zip(policy.parameters(), seen[2], strict=True):
        assert p.equal(x)


def test_the_held_out_loss_is_that_of_the_average_and_training_goes_on_from_the_weights():
    said = []
    task = copying(WORDS)
    policy = imitate(task, BaseConfig(**TINY, passes=150, lr=1e-2), said.append)
    first, last = said[0], said[-1]
    assert "58 demonstrations, 6 held out to stop by; at most about" in first
    assert "every byte a token, up to 166 passes over" in first  # 9,600 examples
    assert f"{sum(p.numel() for p in policy.parameters()):,} parameters" in first
    assert last.startswith("  Stopped after")
    loss = float(last.rpartition("(")[2].rstrip(").").removesuffix(")"))
    assert loss < 1.0  # nats a token; 258 of them begin at 5.5


@pytest.mark.spread(0)
def test_a_base_is_the_same_bit_for_bit_after_a_kill(tmp_path):
    script = textwrap.dedent("""
        import sys, torch
        from operant.language.model.small_base import small_base
        from operant.language.settings.runs import BaseConfig
        from operant.language.task.load import load_task
        torch.set_num_threads(1)
        task = load_task("reverse", {"demonstrations": 120, "longest": 4, "train": 10, "test": 5})
        cfg = BaseConfig(width=32, layers=1, heads=2, positions=64, passes=10)
        print("begun", flush=True)
        print(small_base(task, cfg, {"id": "reverse"}, say=lambda line: print(line, flush=True)))
    """)

    def run(cache, kill=False):
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=os.environ | {"OPERANT_CACHE": str(cache)}, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        if kill:
            while "20%" not in process.stdout.readline():
                pass
            time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return None
        return process.communicate()[0].splitlines()[-1]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run(killed, kill=True)
    assert not [*killed.glob("base-*")]  # whole or not at all
    weights = [(tmp_path / run(place) / "model.safetensors").read_bytes() for place in (killed, whole)]
    assert weights[0] == weights[1]


def row(prompt, sample, reward, mode="sampled"):
    return RolloutRow(
        prompt_id=prompt, sample=sample, prompt="p", completion="c", gold="g", finish="stop", mode=mode,
        rewards={"correct": reward}, reward=reward, advantage=None, tokens=(), logp=(),
    )  # fmt: skip


def test_samples_that_all_score_the_same_are_told_with_what_to_do():
    never = [row(p, s, 0.0) for p in range(8) for s in range(4)]
    told = contrast(never, small=True)
    assert "of 8 held-out prompts none has samples that differ" in told
    assert "--model DIR" in told
    assert "Ctrl-C" in told
    assert "demonstrations" not in contrast(never, small=False)
    some = [row(p, s, float(p == 0 and s == 0)) for p in range(40) for s in range(4)]
    assert "only 2.5%" in contrast(some, small=True)


def test_nothing_is_told_where_there_is_a_contrast_or_all_is_right_or_nothing_was_drawn():
    assert contrast([row(p, s, float(s == 0)) for p in range(8) for s in range(4)], small=True) == ""
    assert contrast([row(p, s, 1.0) for p in range(8) for s in range(4)], small=True) == ""
    assert contrast([row(p, 0, 0.0, "greedy") for p in range(8)], small=True) == ""


def test_the_plan_counts_steps_and_time():
    cfg = GRPORun(total_steps=100)
    assert plan(cfg, 256, 0.001) == "Plan: 100 steps of 256 completions each, about 52 s."
    assert plan(cfg, 0, 0.001) == "" == plan(cfg, 256, 0.0)


def test_a_file_of_few_demonstrations_is_trained_with_settings_for_a_small_base(tmp_path):
    from operant.config.resolve import resolve

    found = resolve("grpo", "mine.py")
    assert found.preset == "small-base"
    assert found.config.algo.prompts == 32
    assert found.config.algo.lr == 3e-4
    assert resolve("grpo", "mine.py", overrides={"model.path": "DIR"}).config.algo.lr == 1e-6
    assert resolve("grpo", "arithmetic").preset == "arithmetic"
    assert resolve("sft", "mine.py").preset is None
    assert resolve("grpo", "mine.py", overrides={"algo.lr": 1e-4}).config.algo.lr == 1e-4


def test_a_task_without_a_prompt_twice_is_found_again_by_its_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("OPERANT_CACHE", str(tmp_path))
    task, cfg = copying(WORDS), BaseConfig(**TINY, examples=64)
    assert small_base(task, cfg, {}) == small_base(task, cfg, {})
    assert small_base(task, cfg.model_copy(update={"held_out": 0.2}), {}) != small_base(task, cfg, {})
    assert small_base(replace(task, demonstrations=task.demonstrations[:32]), cfg, {}) != small_base(task, cfg, {})
