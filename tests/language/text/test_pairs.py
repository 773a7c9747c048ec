import gzip
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.language.text.conversation import Encoder
from operant.language.text.pairs import (
    Verdict,
    dialogue,
    mismatch,
    read_conversations,
    read_pairs,
    read_rankings,
    read_steps,
    read_verdicts,
)
from reference.tiny_language import tiny_tokenizer

USER = {"role": "user", "content": "hello"}


def said(text):
    return {"role": "assistant", "content": text}


@pytest.fixture(scope="module")
def encoder():
    return Encoder(tokenizer=tiny_tokenizer(), length=100)


@pytest.fixture
def file(tmp_path):
    def write(*objects):
        path = tmp_path / "data.jsonl"
        path.write_text("\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects) + "\n")
        return path

    return write


def acted_text(encoder, e):
    return encoder.tokenizer.decode([t for t, a in zip(e.tokens[1:], e.acted, strict=True) if a])


def test_conversations(encoder, file):
    path = file({"messages": [USER, said("hi")]}, "", {"prompt": "one", "completion": " two"}, {"text": "three"})
    found = read_conversations(path, encoder)
    assert [acted_text(encoder, e) for e in found][:2] == ["hi<end>", " two<eos>"]
    assert [e.where for e in found] == [f"{path}:1", f"{path}:3", f"{path}:4"]


def test_pairs(encoder, file):
    plain = {"prompt": "say", "chosen": " a", "rejected": " b", "margin": 2, "group": "x", "probability": 0.75}
    messages = {"chosen": [USER, said("yes"), USER, said("no")], "rejected": [USER, said("yes"), USER, said("never")]}
    texts = {"chosen": "\n\nHuman: hello\n\nAssistant: yes", "rejected": "\n\nHuman: hello\n\nAssistant: no"}
    early = {"chosen": [USER, said("yes"), USER, said("no")], "rejected": [USER, said("what"), USER, said("never")]}
    found = read_pairs(file(plain, messages, texts, early), encoder)
    assert (found[0].margin, found[0].group, found[0].probability) == (2.0, "x", 0.75)
    assert [(acted_text(encoder, p.chosen), acted_text(encoder, p.rejected)) for p in found] == [
        (" a<eos>", " b<eos>"),
        ("no<end>", "never<end>"),
        ("yes<end>", "no<end>"),
        ("yes<end>no<end>", "what<end>never<end>"),
    ]
    for p in found:
        assert p.chosen.tokens[: p.chosen.prompt] == p.rejected.tokens[: p.rejected.prompt]


def test_what_is_too_long_is_refused_or_left_out_and_counted(encoder, file):
    long, short = {"prompt": "say " * 30, "completion": " it"}, {"prompt": "say", "completion": " it"}
    path = file(short, long, short, long)
    with pytest.raises(ConfigError, match=r":2: cut at 20 tokens, .* or set too_long to leave_out"):
        read_conversations(path, Encoder(tokenizer=encoder.tokenizer, length=20))
    with pytest.warns(UserWarning, match=r"2 of 4 examples of .* are left out, the first because .*:2: cut at 20"):
        found = read_conversations(path, Encoder(tokenizer=encoder.tokenizer, length=20, too_long="leave_out"))
    assert [e.where for e in found] == [f"{path}:1", f"{path}:3"]
    with pytest.raises(ConfigError, match=r"all 2 examples of .* are too long, the first because .*:1: cut at 20"):
        read_conversations(file(long, long), Encoder(tokenizer=encoder.tokenizer, length=20, too_long="leave_out"))
    with pytest.raises(ConfigError, match="no token to learn from"):  # not for its length
        read_conversations(
            file({"messages": [USER]}), Encoder(tokenizer=encoder.tokenizer, length=20, too_long="leave_out")
        )


def test_rankings_verdicts_and_steps(encoder, file):
    (found,) = read_rankings(file({"prompt": "say", "answers": [" a", " b", " c"], "ranks": [2, 1, 1]}), encoder)
    assert found.rank == (2, 1, 1)
    assert acted_text(encoder, found.answers[2]) == " c<eos>"
    (verdict,) = read_verdicts(file({"prompt": "say", "completion": " a", "label": False}), encoder)
    assert not verdict.desirable
    line = {"prompt": "sum", "steps": ["1 + 1 is 2", "so 3", "the answer"], "labels": [True, None, 0.25]}
    (steps,) = read_steps(file(line), encoder)
    assert steps.correct == (1.0, 0.25)
    at = [i + 1 for i, a in enumerate(steps.solution.acted) if a]
    assert encoder.tokenizer.decode(steps.solution.tokens[: at[0] + 1]) == "sum1 + 1 is 2\n"
    assert at[1] == len(steps.solution.tokens) - 1
    (short,) = read_steps(file(line), Encoder(tokenizer=encoder.tokenizer, length=at[1]))
    assert short.correct == (1.0,)


def test_mismatched_answers(encoder):
    verdicts = [
        Verdict(answer=encoder.completion(p, a), desirable=True)
        for p, a in (("x", " one"), ("y z", " two"), ("w", " 3"))
    ]
    found = mismatch(verdicts, 100)
    decoded = [encoder.tokenizer.decode(v.mismatched.tokens) for v in found]
    assert decoded == ["x two<eos>", "y z 3<eos>", "w one<eos>"]
    assert [acted_text(encoder, v.mismatched) for v in found] == [" two<eos>", " 3<eos>", " one<eos>"]
    assert len(mismatch(verdicts, 4)[0].mismatched.tokens) <= 4
    with pytest.raises(ConfigError, match="at least two"):
        mismatch(verdicts[:1], 10)


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (read_pairs, "{", r"data\.jsonl:2: not JSON"),
        (read_pairs, "[1]", r":2: a JSON object belongs here, not \[1\]"),
        (read_pairs, {"prompt": "x", "chosen": " a"}, ":2: no rejected; the line has prompt, chosen"),
        (read_pairs, {"chosen": "a", "rejected": "b"}, ":2: no prompt, and a dialogue begins with"),
        (read_pairs, {"chosen": [USER], "rejected": [USER]}, ":2: no answer of the assistant"),
        (read_pairs, {"prompt": "x", "chosen": " a", "rejected": 3}, ":2: rejected is not a text"),
        (read_pairs, {"prompt": "x", "chosen": " a", "rejected": " b", "margin": "1"}, ":2: margin is '1'"),
        (read_pairs, {"prompt": "x", "chosen": " a", "rejected": " b", "probability": 2}, r":2: .* in \[0, 1\]"),
        (read_pairs, {"prompt": [{"role": "user"}], "chosen": " a", "rejected": " b"}, ":2: prompt is not a list of"),
        (read_rankings, {"prompt": "x", "answers": [" a"]}, ":2: answers is not a list of at least two"),
        (read_rankings, {"prompt": "x", "answers": [" a", " b"], "ranks": [1, 1]}, ":2: ranks is not a list of 2"),
        (read_verdicts, {"prompt": "x", "completion": " a", "label": 1}, ":2: label is 1; give true or false"),
        (read_steps, {"prompt": "x", "steps": ["a"], "labels": []}, ":2: steps and labels are not two lists"),
        (read_steps, {"prompt": "x", "steps": ["a"], "labels": [3]}, r":2: labels is 3; give a number in \[0, 1\]"),
        (read_steps, {"prompt": "x", "steps": ["a"], "labels": [None]}, ":2: no token to learn from"),
        (read_conversations, {"messages": [USER]}, ":2: no token to learn from"),
        (read_conversations, {"prompt": "x", "completion": [said("a")]}, ":2: the prompt is a text and"),
    ],
)
def test_errors_name_the_line(encoder, file, read, line, message):
    good = {
        read_pairs: {"prompt": "x", "chosen": " a", "rejected": " b"},
        read_rankings: {"prompt": "x", "answers": [" a", " b"]},
        read_verdicts: {"prompt": "x", "completion": " a", "label": True},
        read_steps: {"prompt": "x", "steps": ["a"], "labels": [True]},
        read_conversations: {"text": "x"},
    }[read]
    with pytest.raises(ConfigError, match=message):
        read(file(good, line), encoder)


def test_files(encoder, file, tmp_path):
    with pytest.raises(ConfigError, match="no line in it"):
        read_pairs(file(""), encoder)
    with pytest.raises(ConfigError, match=r"there is no file .*none\.jsonl"):
        read_pairs(tmp_path / "none.jsonl", encoder)
    path = tmp_path / "data.jsonl.gz"
    with gzip.open(path, "wt") as out:
        out.write(json.dumps({"text": "x"}))
    assert len(read_conversations(path, encoder)) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_conversations(path, encoder)


def test_dialogues():
    found = dialogue("\n\nHuman: a\n\nb Human: no turn\n\nAssistant: c\n\nHuman: d\n\nAssistant:")
    assert [(m["role"], m["content"]) for m in found] == [
        ("user", "a\n\nb Human: no turn"),
        ("assistant", "c"),
        ("user", "d"),
        ("assistant", ""),
    ]
    with pytest.raises(ValueError, match="a dialogue begins with"):
        dialogue("hello")


@pytest.mark.skipif("OPERANT_DATA" not in os.environ, reason="OPERANT_DATA is not set")
def test_real_pairs(tmp_path):
    """A hundred of them, among which one parts long before its last answers."""
    with gzip.open(Path(os.environ["OPERANT_DATA"]) / "preferences/hh_harmless_base_test.jsonl.gz", "rt") as file:
        some = list(file)[1200:1300]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(some))
    encoder = Encoder(tokenizer=tiny_tokenizer(), length=4096)
    encoder.tokenizer.model_max_length = 10**6
    found = read_pairs(path, encoder)
    assert len(found) == 100
    for p in found:
        assert p.chosen.tokens[: p.chosen.prompt] == p.rejected.tokens[: p.rejected.prompt]
