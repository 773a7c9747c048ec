"""The line of every key, in every way TOML has of writing one."""

from __future__ import annotations

import tomllib
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operant.config.locate import key_lines
from operant.config.write import toml_key, toml_value


def lines(text: str) -> dict[str, int]:
    return {".".join(path): line for path, line in key_lines(dedent(text).lstrip("\n")).items()}


def test_plain_keys_and_tables():
    assert lines(
        """
        # a comment with [brackets] and a = 1
        seed = 1

        [algo]   # trailing
        lr = 3e-4
          clip=0.2
        [ policy . deep ]
        hidden = [64, 64]
        """
    ) == {
        "seed": 2,
        "algo": 4,
        "algo.lr": 5,
        "algo.clip": 6,
        "policy": 7,
        "policy.deep": 7,
        "policy.deep.hidden": 8,
        "policy.deep.hidden.0": 8,
        "policy.deep.hidden.1": 8,
    }


def test_dotted_quoted_and_inline_keys():
    found = lines(
        """
        env.id = "Pendulum-v1"
        env."num" = 3
        [env.kwargs]
        'a.b' = {c = 1, "d\\u0041" = {e.f = [1, {g = 2}]}}
        """
    )
    assert found["env.id"] == 1
    assert found["env.num"] == 2
    assert found["env.kwargs"] == 3
    assert found["env.kwargs.a.b.c"] == 4
    assert found["env.kwargs.a.b.dA.e.f.1.g"] == 4


def test_values_that_look_like_keys_are_skipped():
    found = lines(
        '''
        a = """
        b = 1
        [c]
        \\""" still inside """
        d = \'\'\'
        e = 2\'\'\'
        f = "[g] # \\" h = 3"
        i = 'j = "'
        k = [
          1, # l = 4 ]
          "m = 5]",
          [6,
           7],
        ]
        n = 1979-05-27 07:32:00
        o = 8'''
    )
    assert {key: line for key, line in found.items() if "." not in key} == {
        "a": 1,
        "d": 5,
        "f": 7,
        "i": 8,
        "k": 9,
        "n": 15,
        "o": 16,
    }
    assert found["k.2.1"] == 13


def test_arrays_of_tables_count_their_items():
    found = lines(
        """
        [[rows]]
        x = 1
        [[rows]]
        x = 2
        [rows.inner]
        y = 3
        """
    )
    assert (found["rows.0.x"], found["rows.1.x"], found["rows.1.inner.y"]) == (2, 4, 6)


def test_a_quote_may_stand_before_the_closing_three():
    text = "a = \"\"\"say \"b = 1\"\"\"\"\nc = '''it is 'd''''\ne = 2\n"
    assert tomllib.loads(text) == {"a": 'say "b = 1"', "c": "it is 'd'", "e": 2}
    assert key_lines(text) == {("a",): 1, ("c",): 2, ("e",): 3}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_newlines(newline: str):
    assert key_lines(newline.join(["", "a = 1", "", "b = 2"])) == {("a",): 2, ("b",): 4}


KEYS = st.text(st.sampled_from('ab.-_ "#[='), min_size=1, max_size=4)
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.text(st.sampled_from("a=[]{}#,\"'\\ "), max_size=6), st.booleans()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_every_key_of_any_document_is_found_on_its_line(tree: dict[str, object]):
    text = "".join(f"# {n}\n{toml_key((key,))} = {toml_value(value)}\n" for n, (key, value) in enumerate(tree.items()))
    assert tomllib.loads(text) == tree
    found = key_lines(text)

    def check(value: object, path: tuple[str, ...], line: int) -> None:
        assert found[path] == line
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, item in items:
            check(item, (*path, str(name)), line)

    for n, (key, value) in enumerate(tree.items()):
        check(value, (key,), 2 * n + 2)
