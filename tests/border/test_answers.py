"""Answers: what is read as a number, or as mathematics, is what was written, and nothing less or more is paid for."""

import importlib
import json
import time
from fractions import Fraction

import pytest

from operant.reward import (
    CosineLength,
    GoldError,
    KeySteps,
    MathEquivalence,
    Numeric,
    RelativeAccuracy,
    Trace,
    last_number,
    number,
    reward,
)
from operant.task import score

try:
    tasks = importlib.import_module("operant.task.load")  # where it was
except ImportError:
    tasks = importlib.import_module("operant.language.task.load")

WRITTEN = {
    "whole": "{}", "tag:answer": "so <answer>{}</answer>", "boxed": "so \\boxed{{{}}} it is",
    "after:####": "so 7\n#### {}\n",
    "last_number": "It is {}. That is all.",
}  # fmt: skip


def paid_by(judge, place):
    def paid(text, gold):
        given = Trace(
            prompt="", completion=WRITTEN[place].format(text), gold=gold, tokens=(1, 2), metadata={"key_steps": ["so"]}
        )
        return judge(given) >= 1.0

    return paid


ENTRIES = {
    "number": lambda text, gold: number(text) == Fraction(gold),
    "last_number": lambda text, gold: number(last_number(f"It is {text}, I think.") or "") == Fraction(gold),
    **{f"Numeric in {place}": paid_by(Numeric(answer=(place,)), place) for place in WRITTEN},
    **{f"RelativeAccuracy in {place}": paid_by(RelativeAccuracy(answer=(place,)), place) for place in WRITTEN},
    "KeySteps": paid_by(KeySteps(verdict=Numeric(answer=("tag:answer",))), "tag:answer"),
    "CosineLength": paid_by(CosineLength(verdict=Numeric(answer=("boxed",)), limit=9), "boxed"),
    "MathEquivalence in boxed": paid_by(MathEquivalence(), "boxed"),
    "MathEquivalence in tag:answer": paid_by(MathEquivalence(answer=("tag:answer",)), "tag:answer"),
}
entries = pytest.mark.parametrize("entry", ENTRIES)
PERCENT, MINUS = "50\\%", "−3"
READ = [
    ("-3", "-3"), (MINUS, "-3"), ("- 3", "-3"), ("3/4", "3/4"), ("\\frac{3}{4}", "0.75"), ("\\frac34", "0.75"),
    ("1 1/2", "1.5"),
    ("½", "0.5"), ("1,000", "1000"), ("1{,}000", "1000"), ("1\\,000", "1000"), ("1 000", "1000"), ("1.000,50",
    "1000.5"),
    ("0,5", "0.5"), (".5", "0.5"), ("2^{10}", "1024"), ("3 x 10^5", "300000"), ("3\\times 10^{5}", "300000"),
    ("1e3", "1000"),
    ("5!", "120"), ("٣", "3"), (PERCENT, "1/2"), ("50 %", "1/2"), ("50 percent", "1/2"), ("(-3)", "-3"), ("007", "7"),
]  # fmt: skip
PART = [
    (MINUS, "3"), ("3/4", "4"), ("3/4", "3"), ("\\frac{3}{4}", "4"), ("1 1/2", "2"), ("1{,}000", "0"), ("1 000", "0"),
    ("1\\,000", "0"), ("0,5", "5"), ("2^{10}", "10"), ("2^{10}", "2"), ("3 x 10^5", "5"), (PERCENT, "50"), ("5!", "5"),
    ("10-5", "-5"), ("10 - 5", "5"), ("x/2", "2"), ("2x", "2"), ("\\sqrt{2}", "2"), ("101_2", "101"), ("3:4", "4"),
    ("x_2", "2"),
    ("x^2", "2"), ("1.2.3", "3"), ("0x10", "10"), ("5/0", "0"), ("--3", "-3"), ("|-5|", "-5"), ("\\pm 5", "5"),
]  # fmt: skip
NOTHING = ["", "x", "nan", "1/0", "9^{9^9}", "1e9999", "9" * 200, "six", "\ud800", "\\frac{1}{0}"]


@entries
def test_a_number_is_read_as_it_was_written(entry):
    read = ENTRIES[entry]
    assert [text for text, gold in READ if not read(text, gold)] == []


@entries
def test_a_part_of_what_was_written_is_not_paid(entry):
    read = ENTRIES[entry]
    worth = {("10 - 5", "5")} if "Math" in entry else set()  # mathematics works a sum out
    assert [pair for pair in PART if pair not in worth and read(*pair)] == []


def skip_what_hangs(entry):
    """An older tree asks a library that does not come back."""
    if "Math" in entry and "strict" not in str(number.__kwdefaults__):
        pytest.skip("this tree would hang")


@entries
def test_what_is_no_number_pays_nothing(entry):
    skip_what_hangs(entry)
    read = ENTRIES[entry]
    assert [text for text in NOTHING for gold in ("0", "1", "7", "6") if read(text, gold)] == []


@pytest.mark.parametrize("entry", [name for name in ENTRIES if "Numeric" in name or "Relative" in name])
def test_a_gold_that_may_be_two_numbers_is_an_error(entry):
    for gold in ("1,5", "3 or 4", "12 apples", "5 cm"):
        with pytest.raises(GoldError):
            ENTRIES[entry]("1.5", gold)


@pytest.mark.parametrize("entry", ["whole", "after:####", "last_number", "boxed"])
def test_a_number_that_was_cut_is_none(entry):
    reward = Numeric(answer=(entry,))
    for text, gold in (("1", "1"), ("3", "3"), ("12.", "12"), ("1,", "1"), ("3/", "3"), ("2^", "2"), ("−1", "-1")):
        completion = {"boxed": "\\boxed {}", "after:####": "#### {}"}.get(entry, "{}").format(text)
        assert reward(Trace(prompt="", completion=completion, gold=gold, finish="length")) == 0.0


EQUAL = {
    "forms of a number": [
        ("1000", "1e3"),
        ("3", "3."),
        ("3/2", "1 1/2"),
        ("7", "\\approx 7"),
        ("5", "5 dollars"),
        ("5", "\\$5"),
    ],
    "small numbers": [("\\frac1{2004!}", "\\frac{2005}{2005!}"), ("10^{-7}", "0.0000001")],
    "brackets": [("(1,2)", "(x,y)=(1,2)"), ("(-\\infty,3)", "x<3"), ("\\{1,2\\}", "2,1")],
    "equations": [("7", "x=7"), ("11", "x=5+6=11"), ("2x+y=3", "4x+2y=6"), ("7", "1+6=7")],
    "bases and units": [("101_2", "101_{2}"), ("5\\text{ cm}", "5"), ("90^\\circ", "90")],
    "letters and words": [("\\text{(A)}", "A"), ("\\text{Monday}", "monday"), ("x^2-1", "(x-1)(x+1)")],
    "boxes": [("5", "\\boxed{5}")],
}
UNEQUAL = {
    "forms of a number": [("1/3", "0.333333"), ("50\\%", "50"), ("12", "1 2"), ("0.5", "5"), ("3", "3.0000001")],
    "small numbers": [
        ("\\frac1{2004!}", "\\frac1{2006!}"),
        ("6.6e-34", "1.6e-19"),
        ("0", "10^{-9}"),
        ("x10^{-20}", "x10^{-21}"),
    ],
    "brackets": [("(1,2)", "1,2"), ("2,3", "(2,3)"), ("7", "[7,7]"), ("[0,1)", "[0,1]"), ("(1,2)", "\\{1,2\\}")],
    "equations": [("7", "8=7"), ("11", "x=5+5+1=7=11"), ("7", "2x=7"), ("7", "x\\le 7"), ("7", "x=6,x=7")],
    "bases and units": [("101_2", "101_3"), ("101_2", "5"), ("5\\text{ cm}", "5\\text{ m}"), ("90^\\circ", "\\pi/2")],
    "letters and words": [
        ("x", "X"),
        ("AB", "BA"),
        ("2c", "2"),
        ("\\text{abc}", "\\text{cba}"),
        ("7", "7\\text{ or more}"),
    ],
    "boxes": [("5", "\\boxed{6}\\boxed{5}"), ("5", "5\\boxed{6}")],
}


@pytest.mark.parametrize("entry", ["score"])
def test_a_reward_that_no_training_can_count_is_not_judged(entry):
    for value in (1e19, -1e308, float("inf"), float("nan"), None, "1.0", [1.0]):
        odd = reward(pure=True)(lambda trace, value=value: value)
        told = score([Trace(prompt="", completion="x", gold="x")], {"odd": odd})
        assert not told.judged.any(), value
        assert "odd returned" in told.message
    fine = reward(pure=True)(lambda trace: -1e6)
    assert score([Trace(prompt="", completion="x", gold="x")], {"fine": fine}).total[0] == -1e6


def equivalent(gold, answer):
    return MathEquivalence(answer=("tag:a",))(Trace(prompt="", completion=f"<a>{answer}</a>", gold=gold)) == 1.0


@pytest.mark.parametrize("kind", EQUAL)
@pytest.mark.parametrize("entry", ["MathEquivalence"])
def test_equal_mathematics_is_paid(entry, kind):
    assert [pair for pair in EQUAL[kind] if not equivalent(*pair)] == []


@pytest.mark.parametrize("kind", UNEQUAL)
@pytest.mark.parametrize("entry", ["MathEquivalence"])
def test_unequal_mathematics_is_not_paid(entry, kind):
    assert [pair for pair in UNEQUAL[kind] if equivalent(*pair)] == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_hostile_answer_is_answered_at_once(entry):
    skip_what_hangs(entry)
    start = time.process_time()
    for text in (
        "((9!)!)!",
        "(" * 190,
        "1," * 190,
        "9" * 390,
        "2^" * 190 + "1",
        "\\frac{" * 60,
        "\\boxed{" * 50,
        "$" * 300,
        "1/" * 190,
    ):
        assert not ENTRIES[entry](text, "7")
    assert time.process_time() - start < 2.0


def solved(tmp_path, name):
    options = {} if name == "gsm8k" else {"train": 20, "test": 4, "demonstrations": 4}
    if name == "gsm8k":
        rows = [{"question": f"What is {n}?", "answer": f"It is {n}.\n#### {n:,}"} for n in (1234, 72, -3, 5600000)]
        for part, chosen in (("train", rows[:3]), ("test", rows[3:])):
            (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, chosen)))
        options["folder"] = str(tmp_path)
    task = tasks.load_task(name, options)
    return task, [*task.train, *task.test]


@pytest.mark.parametrize("entry", tasks.BUILT_IN)
def test_every_gold_answer_earns_its_own_reward(tmp_path, entry):
    task, examples = solved(tmp_path, entry)
    right = score([e.trace(e.solution) for e in examples], task.rewards)
    assert right.values.min() == 1.0
    assert right.judged.all()


@pytest.mark.parametrize("entry", tasks.BUILT_IN)
def test_no_other_answer_earns_it(tmp_path, entry):
    task, examples = solved(tmp_path, entry)
    for change in (lambda s: s + "9", lambda s: "", lambda s: s[:-1], lambda s: s + " or 7", lambda s: s + "/0"):
        wrong = score([e.trace(change(e.solution)) for e in examples], task.rewards)
        assert wrong.values.max() == 0.0


@pytest.mark.parametrize("entry", ["read_score"])
def test_a_judge_s_score_is_read_as_it_was_written(entry):
    language = pytest.importorskip("operant.language")
    said = {
        "Score: −2": -2.0,
        "Score: .5": 0.5,
        "Score: 7/10": 7.0,
        "**Score: 7.5**": 7.5,
        "Score: ½": 0.5,
        "Score - 7": 7.0,
    }
    assert {text: language.read_score(text) for text in said} == said
    for text in ("Score: 7,5", "Score: 50%", "Score: 7 or 8", "Score: 1e999", "Score: 5-7"):
        with pytest.raises(language.JudgeError):
            language.read_score(text)
