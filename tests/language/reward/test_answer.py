from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.reward import Numeric, RelativeAccuracy, Trace, boxed, extract, last_number, number, tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("+12", 12), ("-12", -12), ("−12", -12), ("- 12", -12), (" 12. ", 12), ("12.50", Fraction(25, 2)),
        (".5", Fraction(1, 2)), ("1,234", 1234), ("1,234,567.5", Fraction(2469135, 2)), ("$5", 5),
        ("-$5", -5), ("$-5", -5), (r"\$5", 5),
        ("€ 1,000", 1000), ("3/4", Fraction(3, 4)), ("-3/4", Fraction(-3, 4)), ("1 1/2", Fraction(3, 2)),
        ("-1 1/2", Fraction(-3, 2)), (r"\frac{3}{4}", Fraction(3, 4)), (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        ("$12$", 12),
        ("45%", Fraction(9, 20)), (r"45\%", Fraction(9, 20)), ("1e3", 1000), ("2.5E-1", Fraction(1, 4)), ("007", 7),
        ("3 cm", 3), ("3cm", 3), ("3 CM", 3), ("0", 0), ("-0", 0),
        ("1,23", Fraction(123, 100)), ("12,3456", Fraction(123456, 10000)), ("1{,}000", 1000), (r"1\,000", 1000),
        (r"12,\! 345", 12345), ("1 000", 1000), ("1'000", 1000), ("1.000,50", Fraction(2001, 2)), ("1.000.000", 10**6),
        ("12,34,567", 1234567), ("0,5", Fraction(1, 2)), ("1000,99", Fraction(100099, 100)), ("½", Fraction(1, 2)),
        ("1½", Fraction(3, 2)), (r"2\frac12", Fraction(5, 2)), ("−1/2", Fraction(-1, 2)), ("-1/-2", Fraction(1, 2)),
        ("-(1/2)", Fraction(-1, 2)), ("1.5/3", Fraction(1, 2)), ("2^{10}", 1024), ("2**10", 1024),
        ("10⁻²", Fraction(1, 100)),
        ("3×10^5", 3 * 10**5), (r"1.5\cdot10^{-1}", Fraction(3, 20)), ("5!", 120), ("2 million", 2 * 10**6),
        ("5 percent", Fraction(1, 20)), ("1/2%", Fraction(1, 200)), ("٣", 3), (r"\(12\)", 12), (r"\text{12}", 12),
        ("**12**", 12), (r"\boxed{12}", 12), ("(12)", 12), ("USD 5", 5), ("¥5", 5), (r"3\text{ cm}", None),
        ("", None), ("-", None), (".", None), (",123", None), ("1,2,3", None), ("(1,2)", None), ("5..", None),
        ("1-1/2", None), ("5-", None), ("3 5/4", None), ("9^9999", None), ("0^0", None), ("1.5!", None), ("401!", None),
        ("1 2", None),
        ("1.2.3", None), ("--1", None), ("1/0", None), ("1/2/3", None), ("1e9999", None), ("1e", None), ("12 km", None),
        ("cm", None), ("3 cm cm", None), ("x", None), ("12x", None), ("nan", None), ("inf", None), ("0x10", None),
        ("1_000", None), ("１２", 12), ("9" * 65, None), ("12 = 12", None), ("%", None), ("5%%", None), ("$", None),
    ],
)  # fmt: skip
def test_number(text: str, value: object):
    assert number(text, ("cm",)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12 dollars", 12), ("5€", 5), ("5 €", 5), ("1,000.99$", Fraction(100099, 100)), ("90°", 90), (r"90^\circ", 90),
        (r"12\text{ cm}", 12), (r"12\mbox{ cm}^2", 12), ("12 km^2", 12), ("12 square miles", 12), ("60 km/h", 60),
        ("12 apples", None), ("12 or 13", None), ("5x", None), ("5m", None), ("5 m", 5), ("5k", None), ("cm", None),
    ],
)  # fmt: skip
def test_a_common_unit_may_follow_where_none_is_named(text: str, value: object):
    assert number(text) == value
    assert number(text, strict=True) is None  # nor is it guessed in a gold answer


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_a_decimal_is_read_exactly(whole: int, places: int):
    value = Fraction(whole, 10**places)
    text = f"{abs(whole) // 10**places:,}" + (f".{abs(whole) % 10**places:0{places}d}" if places else "")
    assert number(("-" if whole < 0 else "") + text) == value
    assert number(f"{value.numerator}/{value.denominator}") == value
    assert last_number(f"so x={text} at last") == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 and 2", "2"), ("x=-3.", "-3"), ("3-4", None), ("12+34", None), ("12+34=46", "46"), ("1,234.5 apples",
        "1,234.5"), ("1,2,3", "3"),
        ("50%", "50%"), ("none", None), ("", None), ("costs $5.50.", "5.50"), ("(-7)", "-7"), ("is −3.", "−3"),
        ("is – 3", "– 3"),
        ("so x = - 3", "- 3"), ("3/4.", "3/4"), (r"\frac{3}{4}.", r"\frac{3}{4}"), ("1 1/2 cups", "1 1/2"),
        (r"is 50 \%.", r"50 \%"),
        ("2^{10}", "2^{10}"), ("1{,}000", "1{,}000"), ("is 1 000", "1 000"), ("is 12 cm^2", "12"), ("12 m2", "12"),
        ("H2O", None),
        ("7 and x_2", "7"), ("7 and x/2", None), (r"\sqrt{2}", None), ("sqrt(2)", None), ("f(2)", None),
        ("log 2", None), ("12 km/h^2", "12"),
        ("12:30", None),
        ("1.2.3", None), ("0x10", None), ("5/0", None), ("2pi", None), (r"2\pi", None), ("101_2", None),
        ("7 and Covid-19", "7"),
        ("12.\n\nQuestion 2", "12"), ("12. (Step 3)", "12"), ("the error is in step 3", "3"), ("- 3\n- 5", "5"),
        ("is *12*", "12"),
        ("> 5", "5"), (r"\approx7", "7"), ("| 5 |", "5"), ("|-5|", None), ("1e400", "1e400"), ("3.14...", None),
        ("5...", "5"),
    ],
)  # fmt: skip
def test_last_number(text: str, found: str | None):
    assert last_number(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\boxed{1}", "1"), (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"), (r"\boxed{1} \boxed{2}", "2"),
        (r"\boxed{1", None),
        (r"\boxed{1} \boxed", None), (r"\boxed 1", "1"), ("", None), (r"\boxed{}", ""), (r"\boxed{a}}", "a"),
        (r"$\boxed 12$.", "12"), (r"\boxed5", "5"), (r"$\boxed\frac12$ it is", r"\frac12"), (r"\boxed 5 apples", None),
        (r"\fbox{5}", "5"), (r"\boxed{\boxed{5}}", "5"), (r"\boxed{\{ 5 \right.}", r"\{ 5 \right."), (r"\boxedx", None),
    ],
)  # fmt: skip
def test_boxed(text: str, found: str | None):
    assert boxed(text) == found


def test_tagged():
    assert tagged("a<x>1</x>b", "x") == "1"
    for text in ("", "<x>1", "1</x>", "</x>1<x>", "<x>1</x><x>2</x>", "<x><x>1</x></x>", "<y>1</y>"):
        assert tagged(text, "x") is None


def test_the_first_place_that_is_there_decides_even_when_it_holds_no_answer():
    places = ("tag:answer", "boxed", "after:####", "last_number")
    assert extract(r"5 <answer> 1 </answer> \boxed{2} #### 3", places) == "1"
    assert extract(r"5 \boxed{2} #### 3", places) == "2"
    assert extract("5 #### 3 \nand 4", places) == "3"
    assert extract("5 and 4", places) == "4"
    assert extract("none", places) is None
    assert extract("none", (*places, "whole")) == "none"
    for spoilt in (
        "<answer>1 and 5",
        "5</answer>",
        "<answer>1</answer><answer>2</answer> 5",
        r"\boxed{ 5",
        "5 \\boxed",
    ):
        assert extract(spoilt, places) is None
    assert extract("#### \n5", places) == ""


def test_tolerances_are_exact_at_their_edge():
    def given(completion: str, **how: object) -> float:
        return Numeric(**how)(Trace(prompt="", completion=completion, gold="-100"))  # type: ignore[arg-type]

    assert [given(x, absolute=0.5) for x in ("-100.5", "-99.5", "-100.51", "100")] == [1, 1, 0, 0]
    assert [given(x, relative=0.25) for x in ("-125", "-75", "-125.0001", "125")] == [1, 1, 0, 0]
    assert [given(x) for x in ("-100.0", "-1e2", "-99.9999999999999999")] == [1, 1, 0]


def test_relative_accuracy_counts_the_thresholds_that_are_passed():
    def given(completion: str, gold: object = 100) -> float:
        return RelativeAccuracy()(Trace(prompt="", completion=completion, gold=gold))

    # off by 0.3: passes 1 - θ in {0.5, 0.45, 0.4, 0.35, 0.3}; at exactly 0.3 it does
    assert [given(x) for x in ("100", "104.9", "105", "105.1", "70", "130")] == [1, 1, 1, 0.9, 0.5, 0.5]
    assert [given(x) for x in ("50", "49.9", "-100", "1e9")] == [0.1, 0, 0, 0]
    assert [given("0", 0), given("0.001", 0)] == [1, 0]
    assert given("-70", -100) == 0.5
