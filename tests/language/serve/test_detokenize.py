"""Texts made of tokens as they come: no character is cut, and stop texts do not depend on tokens."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operant.language.serve.detokenize import UNSURE, Pieces, Spelling, Words, decode

SETTINGS = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bytewise(tokenizer, text):
    """Every byte a token of its own."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    known = bytes_to_unicode()
    return [tokenizer.convert_tokens_to_ids(known[b]) for b in text.encode()]


def pushed(tokenizer, tokens):
    pieces = Pieces(tokenizer)
    return [pieces.push(t) for t in tokens], pieces.end()


@pytest.fixture(scope="module")
def fallback():
    """A tokenizer that writes unknown characters as bytes, and spaces as ▁, as those of Llama 2 and Gemma do."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "▁": 3, "▁hello": 4, "wor": 5, "ld": 6}
    words |= {f"<0x{b:02X}>": 7 + b for b in range(256)}
    merges = []
    core = Tokenizer(models.BPE(words, merges, unk_token="<unk>", byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                      decoders.Strip(" ", 1, 0)])  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


@pytest.mark.parametrize("text", ["naïve €5", "😀😀 日本語", "a\u0301 👩‍👩‍👧", "\ufffd and more", "tail €"])
def test_a_character_is_given_whole_or_not_at_all(tokenizer, text):
    tokens = bytewise(tokenizer, text)
    pieces, end = pushed(tokenizer, tokens)
    assert "".join(pieces) + end == text
    if UNSURE not in text:
        assert not any(UNSURE in p for p in pieces)
        given = [p for p in pieces if p]
        assert len(given) == len(text), "each character as soon as it is whole"


@SETTINGS
@given(data=st.data())
def test_pieces_of_any_tokens_are_their_text(tokenizer, data):
    tokens = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    pieces, end = pushed(tokenizer, tokens)
    assert "".join(pieces) + end == decode(tokenizer, tokens)


@SETTINGS
@given(raw=st.binary(max_size=40))
def test_pieces_of_any_bytes_are_their_text(tokenizer, raw):
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    known = bytes_to_unicode()
    tokens = [tokenizer.convert_tokens_to_ids(known[b]) for b in raw]
    pieces, end = pushed(tokenizer, tokens)
    assert "".join(pieces) + end == raw.decode("utf-8", "replace")
    assert all(len(piece.encode()) <= 60 for piece in pieces)


def test_bytes_that_are_no_text_do_not_hold_back_for_ever(tokenizer):
    tokens = bytewise(tokenizer, "é")[:1] * 50
    pieces, end = pushed(tokenizer, tokens)
    assert "".join(pieces) + end == UNSURE * 50
    assert len("".join(pieces)) >= 40


@pytest.fixture(scope="module")
def across():
    """A tokenizer whose tokens end within characters: é in two halves, with a space between two of them."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    known = bytes_to_unicode()
    words = ["\xc3", "\xa9 \xc3", "\xa9!", "\xff", "\xa9 \xf0", "a"]
    core = Tokenizer(models.BPE({"".join(known[ord(c)] for c in word): i for i, word in enumerate(words)}, []))
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_tokens_that_end_within_characters_do_not_hold_back_for_ever(across):
    pieces, end = pushed(across, [0, *[1] * 40, 2])
    assert "".join(pieces) + end == "é " * 40 + "é!"
    assert len("".join(pieces[:-1])) > 70
    assert not any(UNSURE in piece for piece in pieces)


@SETTINGS
@given(tokens=st.lists(st.sampled_from([0, 1, 1, 1, 1, 2, 3, 4, 4, 5]), max_size=60))
def test_pieces_of_tokens_that_end_within_characters_are_their_text(across, tokens):
    pieces, end = pushed(across, tokens)
    assert "".join(pieces) + end == decode(across, tokens)


def test_spaces_and_bytes_of_a_tokenizer_with_fallback(fallback):
    euro = [7 + b for b in "€".encode()]
    tokens = [4, 3, 5, 6, *euro, 4]
    pieces, end = pushed(fallback, tokens)
    assert "".join(pieces) + end == decode(fallback, tokens) == "hello world€ hello"
    assert pieces[4:7] == ["", "", "€"]
    spell = Spelling(fallback)
    assert [spell(t) for t in (4, 5, 1)] == [" hello", "wor", "<eos>"]
    assert UNSURE in spell(euro[0])


def said(tokenizer, tokens, stops):
    words, text = Words(tokenizer, stops), ""
    for token in tokens:
        text += words.push(token)
        assert words.length == len(text)
        if words.stopped:
            return text, True
    text += words.end()
    return text, words.stopped


def by_character(text, stops):
    """What a stop text leaves: the text before the one that is complete first."""
    for end in range(1, len(text) + 1):
        met = [s for s in stops if text[:end].endswith(s)]
        if met:
            return text[: end - max(map(len, met))], True
    return text, False


@SETTINGS
@given(
    text=st.text(alphabet="ab\n€", max_size=30),
    stops=st.lists(st.text(alphabet="ab\n€", min_size=1, max_size=4), max_size=3),
    data=st.data(),
)
def test_a_stop_text_is_met_wherever_tokens_end(tokenizer, text, stops, data):
    whole = data.draw(st.booleans())
    tokens = tokenizer(text)["input_ids"] if whole else bytewise(tokenizer, text)
    assert said(tokenizer, tokens, stops) == by_character(text, stops)


def test_what_may_become_a_stop_text_is_held_back(tokenizer):
    words = Words(tokenizer, ["END"])
    given = [words.push(t) for t in bytewise(tokenizer, "xENxEND!")]
    assert given == ["x", "", "", "ENx", "", "", "", ""]
    assert words.stopped
    assert words.end() == ""
