import pytest

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.language.text.conversation import Encoded, Encoder, check_padding, check_template
from reference.tiny_language import NOT_PREFIX_PRESERVING, TEMPLATE, tiny_tokenizer

TALK = [
    {"role": "system", "content": "be nice"},
    {"role": "user", "content": "what is 1 + 1?"},
    {"role": "assistant", "content": "The answer is 2."},
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "yes"},
]
UNMARKED = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def encoder(tokenizer):
    return Encoder(tokenizer=tokenizer, length=200)


def learnt(tokenizer, example):
    """The acted tokens as texts, one for each stretch."""
    stretches, before = [], False
    for token, acted in zip(example.tokens[1:], example.acted, strict=True):
        if acted:
            stretches = stretches if before else [*stretches, []]
            stretches[-1].append(token)
        before = acted
    return [tokenizer.decode(s) for s in stretches]


@pytest.mark.parametrize("template", [TEMPLATE, UNMARKED])
def test_masks_of_a_conversation(template):
    """With the template's own marks, and without any."""
    tokenizer = tiny_tokenizer(template)
    encoder = Encoder(tokenizer=tokenizer, length=200)
    assistant, completion, everything = (
        encoder.conversation(TALK, learn=learn) for learn in ("assistant", "completion", "all")
    )
    assert learnt(tokenizer, assistant) == ["The answer is 2.<end>", "yes<end>"]
    assert learnt(tokenizer, completion) == ["yes<end>"]
    assert all(everything.acted)
    assert assistant.tokens == completion.tokens == everything.tokens
    assert tokenizer.decode(everything.tokens).startswith("<system>be nice<end><user>what")
    assert tokenizer.decode(completion.tokens[: completion.prompt]).endswith("<user>sure?<end><assistant>")


def test_plain_texts(encoder, tokenizer):
    e = encoder.completion("The sum of 1 and 2 is", " 3", where="here")
    assert learnt(tokenizer, e) == [" 3<eos>"]
    assert e.where == "here"
    joined = encoder.completion("the ans", "wer")  # "answer" has a token of its own that spans both
    assert list(joined.tokens[: joined.prompt]) == encoder.prompt("the ans")
    whole = encoder.text("hello")
    assert all(whole.acted)
    assert whole.tokens[-1] == tokenizer.eos_token_id


def test_of_several_answers_the_assistants_are_learnt(encoder, tokenizer):
    e = encoder.completion(TALK[:2], TALK[2:])
    assert learnt(tokenizer, e) == ["The answer is 2.<end>", "yes<end>"]
    assert learnt(tokenizer, encoder.completion(TALK[:2], "four")) == ["four<end>"]


def test_cuts(tokenizer):
    encoder = Encoder(tokenizer=tokenizer, length=30)
    e = encoder.conversation(TALK, learn="assistant")
    assert len(e.tokens) == 30
    assert any(e.acted)
    with pytest.raises(ConfigError, match=r"f:7: cut at 30 tokens, nothing to learn from is left .* raise the length"):
        encoder.conversation(TALK, learn="completion", where="f:7")
    with pytest.raises(ConfigError, match="f:8: no token to learn from"):
        encoder.conversation(TALK[:2], learn="assistant", where="f:8")
    with pytest.raises(ConfigError, match="the last message is not the assistant's"):
        encoder.conversation(TALK[:2], learn="completion")


def test_a_template_that_changes_what_was_said(tokenizer):
    check_template(tokenizer)
    changed = tiny_tokenizer(NOT_PREFIX_PRESERVING)
    with pytest.raises(ConfigError, match="not prefix-preserving: what stands before turn 1 changes at the end"):
        check_template(changed)
    bare = tiny_tokenizer(NOT_PREFIX_PRESERVING.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    for template in (changed, bare):  # marks make what a sampler never saw no better
        with pytest.raises(ConfigError, match=r"changes earlier turns.* Set algo\.learn = completion"):
            Encoder(tokenizer=template, length=200).conversation(TALK, learn="assistant")
    assert learnt(bare, Encoder(tokenizer=bare, length=200).conversation(TALK, learn="completion")) == ["yes<end>"]
    with pytest.raises(ConfigError, match="no chat template"):
        check_template(tiny_tokenizer(None))


def test_a_template_that_drops_thoughts():
    """As public ones do: an answer's thoughts go once something follows."""
    drops = UNMARKED.replace(
        "{{ message['content'] }}<end>{% else %}",
        "{{ message['content'] if loop.last else message['content'].split('</think>')[-1] }}<end>{% else %}",
    )
    with pytest.raises(ConfigError, match="not prefix-preserving"):
        check_template(tiny_tokenizer(drops))


def test_padding(tokenizer):
    check_padding(tokenizer)
    for change, message in (
        ({"pad_token": "<eos>"}, "one token for padding and for the end"),
        ({"pad_token": None}, "no padding token"),
        ({"eos_token": None}, "no end token"),
    ):
        other = tiny_tokenizer()
        for name, value in change.items():
            setattr(other, name, value)
        with pytest.raises(ConfigError, match=message):
            Encoder(tokenizer=other, length=10)


def test_masks_and_tokens_fit():
    with pytest.raises(ValueError, match="x: 3 tokens need one mask fewer, got 3"):
        Encoded(tokens=(1, 2, 3), acted=(True, True, True), where="x")
