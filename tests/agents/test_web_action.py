"""Actions in a browser in three grammars: what is written is read again, and what is malformed is told in one line."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.agents.web.action import ARGUMENTS, Malformed, action_of, keys_of
from operant.agents.web.codecs import CODECS, schemas

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = {
    "ref": st.integers(0, 999).map("e{}".format), "text": TEXT, "enter": st.booleans(), "answer": TEXT,
    "keys": st.sampled_from(["Enter", "Control+a", "Shift+Tab", "+", "Control++", "`", "ArrowDown", "é"]),
    "direction": st.sampled_from(["up", "down"]), "url": TEXT.filter(str.strip), "index": st.integers(0, 99),
}  # fmt: skip
ACTIONS = st.sampled_from(list(ARGUMENTS)).flatmap(
    lambda verb: st.fixed_dictionaries({n: VALUES[n] for n in ARGUMENTS[verb]}).map(lambda a: action_of(verb, a))
)


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=120, deadline=None)
@given(action=ACTIONS, thought=st.sampled_from(["", "I see [3] and click(4).\n", "So:\n\n"]))
def test_what_is_written_is_read_again(name, action, thought):
    codec = CODECS[name]
    try:
        said = codec.write(action)
    except Malformed:
        said = None
    assert (said is None) == (name == "brackets" and "```" in action.text)  # the one text without a form
    assert said is None or codec.read(thought + said) == action


def broken(said, draw):
    """A text that differs from a right one in some places."""
    signs = list(said)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(signs) + 1)
        what = draw.choice(["[", "]", "(", ")", "{", "}", '"', "'", ",", "\\", "\x00", "\ud800", "\n", "```", "9" * 30])
        signs[at : at + draw.randint(0, 3)] = [what]
    return "".join(signs)


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_two_hundred_malformed_actions_of_each_verb_are_actions_or_one_line(verb):
    draw = random.Random(verb)
    values = {"ref": "e12", "text": "a b", "enter": True, "keys": "Control+a", "direction": "down", "url": "http://a/",
              "index": 1, "answer": "42"}  # fmt: skip
    action, refused = action_of(verb, {name: values[name] for name in ARGUMENTS[verb]}), 0
    for codec in CODECS.values():
        for _ in range(200):
            said = broken(codec.write(action), draw)
            try:
                told = codec.read(said).verb
            except Malformed as error:
                refused, told = refused + 1, str(error)
            assert told in ARGUMENTS or told.startswith(("PARSE ", "BAD_KEY "))
            assert "\n" not in told
            assert len(told) < 300
    assert refused > 200


@pytest.mark.parametrize(
    ("name", "said", "wanted"),
    [
        ("brackets", "In summary, ```click [12]``` and not ```click [13]```", ("click", {"ref": "e12"})),
        ("brackets", "click [e7]", ("click", {"ref": "e7"})),
        ("brackets", "```type [3] [red [large]]```", ("type", {"ref": "e3", "text": "red [large]", "enter": True})),
        ("brackets", "```type [3] [a] [press_enter_after=0]```", ("type", {"ref": "e3", "text": "a"})),
        ("brackets", "```tab_close```", ("close_tab", {})),
        ("brackets", "```clear [4]```", ("type", {"ref": "e4", "text": ""})),
        ("brackets", "scroll down", ("scroll", {"direction": "down"})),
        ("brackets", "```press [Ctrl+v]```", ("press", {"keys": "Control+v"})),
        ("calls", "fill(bid='a'[0:1], value=1)", None),
        ("calls", "__import__('os').system('x')", None),
        ("calls", "fill('12', 'x')", ("type", {"ref": "e12", "text": "x"})),
        ("calls", "select_option('12', 'red')", ("type", {"ref": "e12", "text": "red"})),
        ("calls", "press('12', 'Enter')", ("press", {"keys": "Enter"})),
        ("calls", "scroll(0, -40.5)", ("scroll", {"direction": "up"})),
        ("calls", "report_infeasible('no')", ("stop", {"answer": "N/A"})),
        ("tools", '<tool_call>{"name": "stop"}</tool_call>', ("stop", {})),
        ("tools", '{"function": {"name": "click", "arguments": "{\\"ref\\": 3}"}}', ("click", {"ref": "e3"})),
        ("tools", "[" * 100_000, None),
        ("tools", '{"name": "click", "arguments": {"ref": "e12", "force": true}}', None),
    ],
)
def test_forms_of_each_grammar(name, said, wanted):
    if wanted is None:
        with pytest.raises(Malformed, match="PARSE"):
            CODECS[name].read(said)
    else:
        assert CODECS[name].read(said) == action_of(*wanted)


def test_keys_that_are_none_and_schemas():
    with pytest.raises(Malformed, match="BAD_KEY 'Hyper"):
        keys_of("Hyper+x")
    assert [tool["function"]["name"] for tool in schemas()] == list(ARGUMENTS)
