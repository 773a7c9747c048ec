"""The search: what is asked, logged and reflected; a kill changes nothing; candidates stay in the sandbox."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.design import child, sandboxed
from operant.design.child import Candidate, train_on
from operant.design.draws import Grammar
from operant.design.eureka import Search, search
from operant.design.outcome import FAILED, Outcome, Tip, outcome_of, reflection, tips
from operant.design.proposers import Feedback, GrammarProposer, LanguageProposer, local, served
from operant.design.reward import forms, read
from operant.design.rewarded import logged, make
from operant.design.sandboxed import REST, CandidateError, Sandboxed, code_in
from operant.design.tasks import TASKS

PENDULUM = TASKS["pendulum"]
SMALL = {"algo.horizon": 128, "save.every": 1024}
GOOD = "def compute_reward(height, spin):\n    near = 2.0 * height\n    return near - 1.0, {'near': near}"


def outcome(**changed):
    series = {"up": [0.1 * k for k in range(10)], "flat": [1.0] * 10, "huge": [-500.0 - 9 * k for k in range(10)]}
    return Outcome(**{"score": 0.9, "components": series, "scores": [0.1 * k for k in range(10)],
                      "lengths": [200.0] * 10} | changed)  # fmt: skip


# --- reflection ---


def test_the_reflection_says_what_the_paper_says():
    said = reflection(outcome(), "hold it still")
    assert "the values of each of its components, of the task's score and of the length of episodes" in said
    assert "at 10 checkpoints" in said
    assert "up: ['0.00', '0.10', '0.20'," in said
    assert "flat: ['1.00'" in said
    assert "Max: 1.00, Mean: 1.00, Min: 1.00" in said
    assert "task_score: ['0.00'" in said
    assert "episode_lengths: ['200.00'" in said
    assert "(1) Scores that stay near zero throughout" in said
    assert "(c) leave it out" in said
    assert said.endswith("\nA person who watched the policy says: hold it still")
    assert "could not be run: no such thing. Mend it" in reflection(Outcome(score=FAILED, error="no such thing."))


def test_tips_are_read_from_the_series():
    assert tips(outcome()) == [Tip("flat", "flat"), Tip("dominates", "huge")]
    assert tips(outcome(scores=[0.0] * 10))[0] == Tip("rewrite all")
    assert tips(Outcome(score=FAILED, error="x")) == [Tip("rewrite all")]
    assert tips(outcome(components={"up": [0.1 * k for k in range(10)]})) == []


def test_an_outcome_is_ten_means_and_the_best_score():
    rows = [
        {"components": {"a": float(i), "b": -2.0 * i}, "human": float(-i), "episodes": i % 2,
         "score": float(i) if i % 2 else None, "length": 10.0 if i % 2 else None}
        for i in range(40)
    ]  # fmt: skip
    found = outcome_of(rows)
    assert list(found.components["a"]) == [1.5 + 4 * k for k in range(10)]
    assert list(found.scores) == [2.0 + 4 * k for k in range(10)]  # of 1 and 3, 5 and 7, …
    assert found.score == 38.0
    assert found.correlation == pytest.approx(1.0)
    assert outcome_of(rows[:3]).scores == [0.0, 1.0, 1.0]


# --- proposers ---


def proposals(proposer, feedback=None, samples=40, seed=101, iteration=1):
    return proposer.propose(feedback, samples, Streams(seed), iteration)


def test_proposals_depend_on_the_seed_and_the_iteration_alone():
    its = GrammarProposer(PENDULUM)
    assert proposals(its) == proposals(its)
    assert proposals(its)[:5] == proposals(its, samples=5)
    assert not {*proposals(its)} & {*proposals(its, seed=102)}
    assert not {*proposals(its)} & {*proposals(its, iteration=2)}


def test_mutations_follow_the_tips_and_the_independent_arm_does_not():
    """The mechanism: with feedback, samples are near the best; without it, they are draws from the same grammar."""
    best = "up = 1 * height\nflat = 0.5 * tanh(spin / 2)\nhuge = -100 * square(torque)"
    feedback = Feedback(reward=best, outcome=outcome())
    parent = forms(read(best, PENDULUM.kinds))
    near = [read(text, PENDULUM.kinds) for text in proposals(GrammarProposer(PENDULUM), feedback)]
    assert all((parent & forms(each)).total() >= 1 for each in near)
    huge = [c.weight for each in near for c in each.components if c.name == "huge"]
    assert sum(abs(weight) < 100 for weight in huge) > 8  # scaled down
    assert sum("flat" not in each.names() for each in near) > 3  # discarded
    independent = GrammarProposer(PENDULUM, reflects=False)
    assert proposals(independent, feedback) == proposals(GrammarProposer(PENDULUM))
    fresh = proposals(GrammarProposer(PENDULUM), replace(feedback, outcome=outcome(scores=[0.0] * 10)))
    unlike = [not parent & forms(read(text, PENDULUM.kinds)) for text in fresh]
    assert sum(unlike[::2]) > 10  # near-zero scores: every other sample is drawn anew
    assert not any(unlike[1::2])


def test_a_persons_words_set_what_they_name():
    told = Feedback(reward="up = 1 * height", outcome=outcome(), words="keep spin at 0 strongly")
    texts = proposals(GrammarProposer(PENDULUM), told)
    assert sum("square(spin)" in text for text in texts) > 25
    assert proposals(GrammarProposer(PENDULUM), replace(told, words="hm")) == \
        proposals(GrammarProposer(PENDULUM), replace(told, words=""))  # fmt: skip


def test_a_search_may_begin_from_a_human_reward():
    texts = proposals(GrammarProposer(PENDULUM, start=PENDULUM.human))
    assert texts[0] == read(PENDULUM.human, PENDULUM.kinds).text()
    assert len({*texts}) > 10


class Served:
    """A client that says the same to all."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def generate(self, prompts, *, samples, **how):
        self.asked.append((prompts, samples, how))
        return [type("Reply", (), {"text": self.text})() for _ in range(samples)]


def test_a_language_model_is_sent_two_messages_or_four():
    client = Served(f"I think.\n```python\n{GOOD}\n```\nThat is all.")
    proposer = LanguageProposer(PENDULUM, served(client), "echo")
    assert proposals(proposer, samples=2) == [GOOD, GOOD]
    feedback = Feedback(reward=GOOD, outcome=outcome(), words="slower")
    proposals(proposer, feedback, samples=1)
    (first,), (second,) = (asked[0] for asked in client.asked)
    assert [message["role"] for message in first] == ["system", "user"]
    assert "swing the pendulum up" in first[1]["content"]
    assert "def step(self" in first[1]["content"]
    assert "height: float" in first[1]["content"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == f"```python\n{GOOD}\n```"
    assert second[3]["content"].endswith("slower")
    assert client.asked[0][2]["seed"] != client.asked[1][2]["seed"] or client.asked[0][1] != client.asked[1][1]


def test_the_code_of_an_answer_is_its_last_block_that_defines_a_reward():
    assert code_in("```python\ndef compute_reward(x): pass\n```\nno:\n```\ndef compute_reward(y): pass\n```") == \
        "def compute_reward(y): pass"  # fmt: skip
    assert code_in("  plain ") == "plain"


# --- the environment ---


def test_what_is_paid_is_the_sum_and_each_component_is_told_and_logged():
    env = make("pendulum", "up = 2 * height\nspin = -0.1 * square(spin)")
    with logged() as ledger:
        env.reset(seed=1)
        seen = [env.step(np.array([0.5], np.float32)) for _ in range(200)]
    paid, infos = [each[1] for each in seen], [each[4] for each in seen]
    assert paid == pytest.approx([sum(info["components"].values()) for info in infos])
    assert "score" not in infos[-2]
    row = ledger.row()
    assert row["components"]["up"] == pytest.approx(np.mean([info["components"]["up"] for info in infos]))
    assert (row["episodes"], row["length"], row["score"]) == (1, 200.0, infos[-1]["score"])
    assert ledger.row()["components"] == {}
    env.close()


def test_a_component_that_is_no_number_is_named():
    env = make("pendulum", "up = 1 * height\nbad = log(-1 - abs(spin))")
    env.reset(seed=1)
    with pytest.raises(CandidateError, match="component bad is nan"):
        env.step(np.zeros(1, np.float32))
    env.close()


# --- Python stays in the sandbox ---

STATE = {"height": 0.5, "spin": -1.0, "to_target": np.array([3.0, 4.0])}


def test_python_is_paid_as_it_says():
    box = Sandboxed(GOOD)
    assert box(STATE) == {"near": 1.0, REST: -1.0}
    box.close()
    box = Sandboxed(
        "import math\ndef compute_reward(to_target):\n    d = math.hypot(*to_target)\n    return -d, {'d': -d}"
    )
    assert box(STATE) == {"d": -5.0}
    box.close()


ATTACKS = {
    "import": "import os\ndef compute_reward(height):\n    os.system('touch {mark}')\n    return 1.0, {{}}",
    "open": "def compute_reward(height):\n    open('{mark}', 'w').write('x')\n    return 1.0, {{}}",
    "attribute": "def compute_reward(height):\n    for c in ().__class__.__base__.__subclasses__():\n"
    "        if c.__name__ == 'Popen': c(['touch', '{mark}'])\n"
    "    raise SystemError([c.__name__ for c in ().__class__.__base__.__subclasses__()][:3])",
    "time": "def compute_reward(height):\n    while True: pass",
    "memory": "def compute_reward(height):\n    return len(bytearray(1 << 32)), {{}}",
    "defined": "open('{mark}', 'w').write('x')\ndef compute_reward(height): return 1.0, {{}}",
    "no number": "def compute_reward(height): return 'x', {{}}",
    "infinite": "def compute_reward(height): return float('inf'), {{}}",
    "nan": "def compute_reward(height): return 0.0, {{'a': float('nan')}}",
    "forged": "def compute_reward(height):\n    print('[1e400, {{}}]')\n    raise SystemExit",
    "names": "def compute_reward(height): return 0.0, {{'<script>': 1.0}}",
    "many": "def compute_reward(height): return 0.0, {{f'c{{i}}': 1.0 for i in range(500)}}",
    "unknown": "def compute_reward(hight): return 0.0, {{}}",
    "nothing": "x = 1",
    "syntax": "def compute_reward(",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_candidate_that_attacks_fails_and_nothing_happens(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sandboxed, "LIMITS", replace(sandboxed.LIMITS, seconds=1.0))
    mark, secret = tmp_path / "mark", _secret(tmp_path)
    begun = time.monotonic()
    with pytest.raises(CandidateError):
        Sandboxed(ATTACKS[name].format(mark=mark))(STATE)
    assert time.monotonic() - begun < 5
    assert not mark.exists()
    assert secret.read_text() == "ours"


def _secret(folder):
    secret = folder / "secret"
    secret.write_text("ours")
    return secret


# --- child runs and the search ---


def test_a_child_run_logs_each_component_and_is_not_trained_twice(tmp_path):
    candidate = Candidate(
        task="pendulum", reward="up = 1 * height\neffort = -0.01 * square(torque)", total_steps=4096, settings=SMALL
    )
    found = train_on(candidate, tmp_path / "a")
    assert len(found.scores) == 8
    assert [*found.components] == ["up", "effort"]
    assert all(-1 <= x <= 1 for x in found.components["up"])
    assert all(x < 0 for x in found.components["effort"])
    shutil.rmtree(tmp_path / "a" / "runs")
    assert train_on(candidate, tmp_path / "a") == found
    other = train_on(replace(candidate, reward="up = 1 * height", total_steps=512), tmp_path / "a")
    assert [*other.components] == ["up"]  # what was there is another candidate's


def test_a_child_that_was_killed_comes_to_what_it_would_have_come_to(tmp_path, monkeypatch):
    candidate = Candidate(
        task="pendulum", reward="up = 1 * height\nspin = -0.1 * square(spin)", total_steps=4096, settings=SMALL
    )
    whole = train_on(candidate, tmp_path / "whole")
    tell, calls = child._append, []

    def killing(log, ledger, row):
        tell(log, ledger, row)
        calls.append(row["step"])
        if len(calls) == 5:
            shutil.copytree(tmp_path / "cut", tmp_path / "kept")  # what a kill leaves: no save, no farewell
            with (tmp_path / "kept" / log.name).open("a") as file:
                file.write('{"step": 99')

    monkeypatch.setattr(child, "_append", killing)
    train_on(candidate, tmp_path / "cut")
    monkeypatch.setattr(child, "_append", tell)
    assert train_on(candidate, tmp_path / "kept") == whole
    rows = [(tmp_path / name / "components.jsonl").read_text() for name in ("whole", "kept")]
    assert rows[0] == rows[1]
    assert len([*(tmp_path / "kept" / "runs").iterdir()]) == 1  # it went on, and did not begin anew


class Listed:
    """Proposes what it is given."""

    name = "listed"

    def __init__(self, *texts, kind="expression"):
        self.texts, self.kind, self.told = texts, kind, []

    def propose(self, feedback, samples, streams, iteration):
        self.told.append(feedback)
        return [*self.texts][:samples]


def test_a_search_reflects_on_the_best_and_goes_on_where_it_stopped(tmp_path):
    cfg = Search(iterations=2, samples=2, total_steps=2048, seed=101, settings=SMALL, words={0: "slower"})
    its = GrammarProposer(PENDULUM)
    found = search(PENDULUM, its, cfg, tmp_path / "a")
    assert found.outcome.score == max(map(max, found.scores))
    assert found.scores[found.iteration][found.sample] == found.outcome.score
    said = (tmp_path / "a" / "iteration-00" / "reflection.md").read_text()
    assert said.endswith("says: slower\n")
    assert "task_score" in said
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert (result["reward"], result["scores"]) == (found.reward, found.scores)

    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "iteration-01" / "sample-01")  # as if it had stopped before
    (tmp_path / "b" / "result.json").unlink()
    assert search(PENDULUM, its, cfg, tmp_path / "b") == found
    assert search(PENDULUM, its, cfg, tmp_path / "b") == found
    with pytest.raises(ConfigError, match="another proposer, seed"):
        search(PENDULUM, GrammarProposer(PENDULUM, reflects=False), replace(cfg, seed=1), tmp_path / "b")


def test_python_that_fails_is_a_score_and_where_all_fail_the_next_iteration_asks_again(tmp_path):
    cfg = Search(iterations=2, samples=2, total_steps=512, settings=SMALL)
    proposer = Listed("def compute_reward(x): return 1", GOOD, kind="python")
    found = search(PENDULUM, proposer, cfg, tmp_path / "a")
    assert [scores[0] for scores in found.scores] == [FAILED, FAILED]
    assert found.sample == 1
    assert {*found.outcome.components} == {"near", REST}
    assert proposer.told[1].reward == GOOD
    failing = Listed("x = 1", "raise ValueError", kind="python")
    with pytest.raises(ConfigError, match="none of 4 candidates"):
        search(PENDULUM, failing, cfg, tmp_path / "b")
    assert failing.told == [None, None]


@pytest.mark.spread(0)
def test_processes_side_by_side_come_to_the_same(tmp_path):
    cfg = Search(iterations=1, samples=2, total_steps=512, seed=101, settings=SMALL)
    its = GrammarProposer(PENDULUM)
    one, two = (search(PENDULUM, its, replace(cfg, workers=n), tmp_path / str(n)) for n in (1, 2))
    assert one == two
    assert (tmp_path / "2" / "iteration-00" / "sample-01" / "child.log").exists()


def test_the_humans_reward_is_no_seed():
    human = Grammar(PENDULUM).human
    texts = proposals(GrammarProposer(PENDULUM), samples=200)
    assert all(not forms(read(text, PENDULUM.kinds)).keys() >= forms(human).keys() for text in texts)


def test_nothing_of_a_users_environment_is_imported_by_a_folders_name(tmp_path):
    """A reward's text travels in run folders: it is arithmetic, or runs in the sandbox."""
    with pytest.raises(ConfigError):
        make("pendulum", f"a = open('{tmp_path}')")
    assert [*tmp_path.iterdir()] == []


def test_a_model_of_a_folder_is_asked_and_its_nonsense_is_a_failed_candidate(tmp_path):
    from operant.language import BaseConfig, fresh

    fresh(BaseConfig(width=32, layers=1, heads=2, positions=8192, tokenizer="bytes"), ()).save(tmp_path / "model")
    proposer = LanguageProposer(PENDULUM, local(tmp_path / "model", max_tokens=24), "tiny")
    texts = proposals(proposer, samples=2)
    assert len(texts) == 2
    assert texts == proposals(proposer, samples=2)
    candidate = Candidate(task="pendulum", reward=texts[0], kind="python", total_steps=512, settings=SMALL)
    assert train_on(candidate, tmp_path / "child").score == FAILED
    with pytest.raises(ConfigError, match="is no model"):
        local(tmp_path)
