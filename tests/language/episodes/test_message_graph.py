"""What was fed and sampled is what is trained: the rows of a graph, a history within its budget, odd templates."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from hypothesis import given, settings
from hypothesis import strategies as st

from operant.config.errors import OperantError
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.history import Past, fitting, messages_of, noted
from operant.language.episodes.message_graph import MessageGraph
from operant.language.model.language_model import LanguageModel
from reference.tiny_language import NOT_PREFIX_PRESERVING, TEMPLATE, tiny_model, tiny_tokenizer


def policy(template: str | None = TEMPLATE) -> LanguageModel:
    return LanguageModel(tiny_model("llama", positions=256), tiny_tokenizer(template))


def test_turns_share_a_row_exactly_where_the_prompt_extends_the_tokens_before():
    graph = MessageGraph()
    leaf = graph.sampled(graph.prompt([5, 6], 0), 0, [7, 8], [-1.0, -2.0], [0.0, 0.0])
    leaf = graph.forced(leaf, 0, [9])
    leaf = graph.sampled(graph.prompt([5, 6, 7, 8, 9, 10], 1), 1, [11], [-3.0], [0.0])
    other = graph.prompt([5, 6, 7, 10], 2)  # the first tokens, but not all of them
    graph.sampled(other, 2, [12], [-4.0], [0.0])
    first, second = graph.rows()
    assert first.prompt == (5, 6)
    assert first.tokens == (7, 8, 9, 10, 11)
    assert first.sampled == (True, True, False, False, True)
    assert first.logp == (-1.0, -2.0, 0.0, 0.0, -3.0)
    assert first.turn == (0, 0, -1, -1, 1)
    assert (second.prompt, second.tokens, second.turn) == ((5, 6, 7, 10), (12,), (2,))
    graph.check(4)
    with pytest.raises(OperantError, match="hold 4 sampled tokens of 5"):
        graph.check(5)


def test_each_turn_is_a_row_where_nothing_is_merged():
    graph = MessageGraph()
    graph.sampled(graph.prompt([5], 0), 0, [7], [-1.0], [0.0])
    graph.sampled(graph.prompt([5, 7, 9], 1, merge=False), 1, [8], [-1.0], [0.0])
    assert [row.prompt for row in graph.rows()] == [(5,), (5, 7, 9)]
    graph.check(2)


Tokens = st.lists(st.integers(0, 9), min_size=1, max_size=4)


@given(st.lists(st.tuples(st.booleans(), Tokens, Tokens), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_sampled_token_stands_in_one_row_once_behind_what_was_fed(turns: list[tuple[bool, list[int], list[int]]]):
    graph, fed, whole = MessageGraph(), list[tuple[tuple[int, ...], tuple[int, ...]]](), list[int]()
    for number, (goes_on, more, said) in enumerate(turns):
        prompt = [*whole, *more] if goes_on else [99, *more]
        leaf = graph.prompt(prompt, number)
        assert graph.tokens(leaf) == tuple(prompt)
        leaf = graph.sampled(leaf, number, said, [-1.0] * len(said), [0.0] * len(said))
        fed.append((tuple(prompt), tuple(said)))
        whole = [*prompt, *said]
    graph.check(sum(len(said) for _, said in fed))
    for row in graph.rows():
        tokens = row.prompt + row.tokens
        for number in {t for t in row.turn if t >= 0}:
            own = [len(row.prompt) + i for i, t in enumerate(row.turn) if t == number]
            assert (tokens[: own[0]], tokens[own[0] : own[-1] + 1]) == fed[number]


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "chat"])
def test_what_follows_an_answer_makes_what_a_fresh_prompt_would_be(template: str | None):
    dialogue = Dialogue(policy(template))
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "2+3?"}]
    more = dialogue.behind(messages, "add", "= <end> 5", strict=True)
    assert more is not None
    grown = [*dialogue.prompt(messages), *dialogue.answer("add"), *more]
    told = [*messages, {"role": "assistant", "content": "add"}, {"role": "user", "content": "= <end> 5"}]
    assert grown == dialogue.prompt(told)
    assert dialogue.text(dialogue.answer("add")) == "add"
    assert grown.count(dialogue.end) == dialogue.prompt(messages).count(dialogue.end) + (1 if template is None else 2)


def test_a_template_that_rewrites_earlier_answers_is_noticed_and_not_appended_to():
    messages = [{"role": "user", "content": "2+3?"}]
    assert Dialogue(policy(NOT_PREFIX_PRESERVING)).behind(messages, "answer", "so", strict=True) is None
    kept = "{{ message['content'] if loop.last else message['content'].split('|')[-1] }}<end>{% endgen"
    thinks = Dialogue(policy(TEMPLATE.replace("{{ message['content'] }}<end>{% endgen", kept)))
    assert thinks.behind(messages, "hm|add", "so", strict=True) is None  # the thought would be dropped
    assert thinks.behind(messages, "hm|add", "so", strict=False) == thinks.behind(messages, "add", "so", strict=True)


PAST = [Past(f"shown {i}", f"do {i}", f"effect {i}\nmore") for i in range(5)]


def test_a_history_tells_all_or_the_last_turns_or_a_line_for_each_or_what_was_noted():
    full = messages_of("full", "S", "task", PAST, "now")
    assert [m["role"] for m in full] == ["system"] + ["user", "assistant"] * 5 + ["user"]
    assert full[1]["content"] == "task\nshown 0"
    last = messages_of("last", "", "task", PAST, "now", left_out=3)
    assert [m["content"] for m in last] == [
        "task\n(3 earlier turns left out)\nshown 3",
        "do 3",
        "shown 4",
        "do 4",
        "now",
    ]
    lines = messages_of("lines", "", "task", PAST[:2], "now")
    assert [m["content"] for m in lines] == ["task\ndo 0 → effect 0 more\ndo 1 → effect 1 more\nnow"]
    memory = messages_of("memory", "", "task", PAST, "now", memory="key under mat")
    assert [m["content"] for m in memory] == ["task\nMemory: key under mat\nnow"]
    for shown in ("the task: task", "task\nroom", "Goal: task\npage"):
        assert messages_of("full", "", "task", [], shown)[0]["content"] == shown


def test_a_page_that_repeats_the_instruction_does_not_hide_that_it_is_the_users():
    for page in ('Page:\n[1] link "Pay Bo"', "Page:\nPay Bo", "Pay Bob", "a page: b Goal: Pay Bo", "x\nGoal: Pay Bo"):
        for kind in ("full", "last", "lines", "memory"):
            assert messages_of(kind, "", "Pay Bo", [], page)[0]["content"].startswith("Pay Bo\n"), (kind, page)


def test_a_note_is_taken_out_of_an_action_and_the_last_one_stays():
    assert noted("<memory>a</memory> go <memory>b</memory>", "x") == ("go", "b")
    assert noted("go", "x") == ("go", "x")


def encode(messages: list[dict[str, str]]) -> list[int]:
    return [0] * sum(len(m["content"]) for m in messages)


@pytest.mark.parametrize("kind", ["full", "last", "lines", "memory"])
@pytest.mark.parametrize("budget", [10, 40, 80, 200, 1000])
def test_a_prompt_is_within_its_budget_or_there_is_none(kind, budget):
    found = fitting(
        kind, "", "task", PAST, "now " * 10, memory="m" * 30, last=2, left_out=0, budget=budget, encode=encode
    )
    again = fitting(
        kind, "", "task", PAST, "now " * 10, memory="m" * 30, last=2, left_out=0, budget=budget, encode=encode
    )
    assert found == again
    if budget == 1000:
        assert found is not None
        assert found[2] == (3 if kind == "last" else 0)
    if found is not None:
        assert len(found[1]) <= budget
        assert found[0][0]["content"].startswith("task")


def test_the_oldest_turns_go_first_and_then_the_end_of_what_is_shown():
    found = fitting("full", "", "task", PAST * 3, "now", memory="", last=3, left_out=0, budget=120, encode=encode)
    assert found is not None
    assert found[2] == 11  # three quarters of the budget, so that the next turns fit
    assert found[0][-1]["content"] == "now"
    cut = fitting("full", "", "task", PAST, "x" * 500, memory="", last=3, left_out=0, budget=80, encode=encode)
    assert cut is not None
    assert cut[2] == 5
    assert cut[0][-1]["content"].endswith("[…]")
