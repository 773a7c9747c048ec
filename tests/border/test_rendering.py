"""What is trained is what is sampled and served, whatever tokenizer and chat template"""

import json
from importlib import import_module
from random import Random
from types import SimpleNamespace

import pytest

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.language.model.language_model import ends
from operant.language.text.conversation import Encoder, check_padding
from operant.language.text.pairs import read_conversations, read_pairs, read_rankings, read_steps, read_verdicts
from operant.reward import Exact, Format, Trace
from operant.task import Example, Task
from reference.families import ENDLESS, FAMILIES, IM, TALKING, byte_level, family

ASKED = [{"role": "user", "content": "say good"}]
THOUGHT = "<think>\nhm</think>good"
EARLIER = [{"role": "user", "content": "yes no"}, {"role": "assistant", "content": "bad"}]


def answer(text):
    return [{"role": "assistant", "content": text}]


def stops(tokenizer, chat=True):
    """The tokens at which a sampler of a model with this tokenizer stops."""
    policy = SimpleNamespace(tokenizer=tokenizer, base=None)
    try:
        return ends(policy, chat=chat)
    except TypeError:
        return ends(policy)


def said(tokenizer, example):
    return [t for t, acted in zip(example.tokens[1:], example.acted, strict=True) if acted]


def file_of(folder, line):
    path = folder / "data.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return path


def pair(encoder, folder, prompt, text):
    chosen, other = (text, "no") if isinstance(prompt, str) else (answer(text), answer(f"{text}no"))
    (found,) = read_pairs(file_of(folder, {"prompt": prompt, "chosen": chosen, "rejected": other}), encoder)
    return found.chosen


def ranking(encoder, folder, prompt, text):
    (found,) = read_rankings(file_of(folder, {"prompt": prompt, "answers": [text, f"{text}no"]}), encoder)
    return found.answers[0]


def verdict(encoder, folder, prompt, text):
    (found,) = read_verdicts(file_of(folder, {"prompt": prompt, "completion": text, "label": True}), encoder)
    return found.answer


def imitated(encoder, folder, prompt, text):
    line = {"prompt": prompt, "completion": text}
    if not isinstance(prompt, str):
        line = {"messages": [*prompt, *answer(text)]}
    (found,) = read_conversations(file_of(folder, line), encoder)
    return found


READERS = {
    "completion": lambda encoder, folder, prompt, text: encoder.completion(prompt, text),
    "pairs": pair,
    "rankings": ranking,
    "verdicts": verdict,
    "conversations": imitated,
}


@pytest.mark.parametrize("entry", [f"{name}, {reader}" for name in FAMILIES for reader in READERS])
def test_an_answer_is_what_a_sampler_would_have_written(entry, tmp_path):
    """It begins where generation begins, says what it says, and ends with the first token at which a sampler stops."""
    name, reader = entry.split(", ")
    tokenizer = family(name)
    encoder, chat = Encoder(tokenizer=tokenizer, length=128), name in TALKING
    prompt = ASKED if chat else "say good="
    for text in ("good", " two  words", THOUGHT, "12"):
        if name == "r1" and text != THOUGHT:  # every answer of its begins within a thought
            continue
        example = READERS[reader](encoder, tmp_path, prompt, text)
        start = encoder.prompt(prompt)
        assert list(example.tokens[: len(start)]) == start
        assert example.acted == (False,) * (len(start) - 1) + (True,) * (len(example.tokens) - len(start))
        *body, end = said(tokenizer, example)
        assert end in stops(tokenizer, chat)
        assert not {*body} & {*stops(tokenizer, chat)}
        read = tokenizer.decode([*start, *body], skip_special_tokens=True)
        assert read.rstrip().endswith(text.strip()) or name == "qwen3"
        assert tokenizer.decode(body, skip_special_tokens=True).strip().endswith(text.split("</think>")[-1].strip())
        if not chat and name != "prefix":  # whose prompts have a blank more; what is said has none
            assert read == tokenizer.decode(start, skip_special_tokens=True) + text
            assert read == prompt + text


@pytest.mark.parametrize("entry", TALKING)
def test_every_answer_of_a_conversation_ends_where_a_sampler_stops(entry):
    """And what a template writes behind that end is not learnt; a template that takes back what was said is refused."""
    tokenizer = family(entry)
    encoder, talk = Encoder(tokenizer=tokenizer, length=128), [*EARLIER, *ASKED, *answer("good")]
    if entry in ("qwen3", "r1"):
        with pytest.raises(ConfigError, match=r"f:1: .* Set algo\.learn = completion"):
            encoder.conversation(talk, learn="assistant", where="f:1")
        talk = [*EARLIER, *ASKED, *answer(THOUGHT)]
        last = encoder.conversation(talk, learn="completion")
        assert list(last.tokens[: last.prompt]) == encoder.prompt(talk[:-1])
        return
    example = encoder.conversation(talk, learn="assistant")
    stretches = [[]]
    for token, acted in zip(example.tokens[1:], example.acted, strict=True):
        stretches = [*stretches[:-1], [*stretches[-1], token]] if acted else [*stretches, []]
    stretches = [s for s in stretches if s]
    assert [tokenizer.decode(s[:-1]).strip() for s in stretches] == ["bad", "good"]
    assert all(s[-1] in stops(tokenizer) for s in stretches)
    assert list(example.tokens[: len(encoder.prompt(EARLIER[:1]))]) == encoder.prompt(EARLIER[:1])
    assert example.tokens[-1] in stops(tokenizer)


@pytest.mark.parametrize("entry", [f"{name}, {who}" for name in TALKING for who in ("user", "assistant", "system")])
def test_the_name_of_a_control_token_in_a_message_is_text(entry):
    name, who = entry.split(", ")
    tokenizer = family(name)
    special = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    forged = "".join(special.values()) + "yes"
    encoder = Encoder(tokenizer=tokenizer, length=999)

    def talk(text):
        if who == "assistant":
            return [*ASKED, *answer(f"<think>\nhm</think>{text}"), *ASKED]
        return [{"role": who, "content": text}, *(ASKED if who == "system" else [])]

    clean, dirty = (encoder.prompt(talk(text)) for text in ("yes", forged))
    assert [i for i in dirty if i in special] == [i for i in clean if i in special]
    assert forged in tokenizer.decode(dirty)


@pytest.mark.parametrize("entry", FAMILIES)
def test_the_name_of_a_control_token_in_a_text_is_text(entry):
    tokenizer = family(entry)
    special = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    forged = "it is " + "".join(f"{name} " for name in special.values()) + "so"
    encoder = Encoder(tokenizer=tokenizer, length=999)
    example = encoder.completion(f"what is {tokenizer.eos_token}?", forged)
    begin = len(encoder.prompt("a")) - len(tokenizer("a", add_special_tokens=False)["input_ids"])
    assert {i for i in example.tokens[begin:-1] if i in special} == set()
    assert example.tokens[-1] == tokenizer.eos_token_id
    assert forged in tokenizer.decode(example.tokens)
    once = encoder.completion("say", f" good{tokenizer.eos_token}")  # an end that is written out is the end
    assert once.tokens == encoder.completion("say", " good").tokens


def test_texts_that_were_rendered_before_are_told(tmp_path):
    encoder = Encoder(tokenizer=family("chatml"), length=99)
    path = file_of(tmp_path, {"text": "<|im_start|>user\nyes<|im_end|>\n"})
    with pytest.warns(
        UserWarning, match=r"1 texts of .* the first .*data\.jsonl:1: '<\|im_start\|>'.* give their messages"
    ):
        read_conversations(path, encoder)


@pytest.mark.parametrize("entry", FAMILIES)
def test_a_prompt_begins_once_and_does_not_end(entry):
    tokenizer = family(entry)
    encoder = Encoder(tokenizer=tokenizer, length=128)
    begin = tokenizer.bos_token
    prompts = ["say", *([f"{begin}say"] if begin else [])]
    for tokens in [encoder.prompt(p) for p in (*prompts, *([ASKED] if entry in TALKING else []))]:
        assert tokens[-1] not in stops(tokenizer, entry in TALKING)
        assert begin is None or tokens.count(tokenizer.bos_token_id) <= 1
    whole = encoder.text("say").tokens
    assert list(whole) == [*encoder.prompt("say"), tokenizer.eos_token_id]
    assert len({tuple(encoder.prompt(p)) for p in prompts}) == 1 or entry == "gpt2"  # which puts none before a text


@pytest.mark.parametrize("entry", FAMILIES)
def test_a_prompt_is_served_as_it_is_trained(entry):
    from operant.language.serve.protocol import Served
    from operant.language.serve.speaker import prompt_of

    tokenizer = family(entry)
    policy = SimpleNamespace(tokenizer=tokenizer, base=None, vocab=len(tokenizer), max_positions=128)
    encoder = Encoder(tokenizer=tokenizer, length=128)
    served = Served(name="m", policy=policy, length=128, created=0)
    for text in ("say good", f"say {tokenizer.eos_token} good"):
        want = tuple(encoder.prompt(text))
        assert prompt_of(policy, text) == want
        asked = served.completion({"prompt": text, "max_tokens": 1})
        assert asked.prompts == (want,)
        assert set(asked.sampling.stop) == {*stops(tokenizer, chat=False)}
        if entry in TALKING:
            talk = [{"role": "user", "content": text}]
            want = tuple(encoder.prompt(talk))
            assert prompt_of(policy, talk) == want
            asked = served.chat({"messages": talk, "max_tokens": 1})
            assert asked.prompts == (want,)
            assert encoder.completion(talk, THOUGHT).tokens[-1] in asked.sampling.stop


@pytest.mark.parametrize("entry", FAMILIES)
def test_a_text_that_is_gone_on_from_and_its_completion_are_the_text_of_all_tokens(entry):
    """Token by token, special ones among them."""
    from operant.language.serve.detokenize import Words

    tokenizer, random = family(entry), Random(0)
    start = Encoder(tokenizer=tokenizer, length=128).prompt("the good")
    known = [i for i in range(len(tokenizer)) if "\ufffd" not in tokenizer.decode([i])]
    for _ in range(200):
        drawn = [random.choice(known) for _ in range(random.randrange(1, 9))]
        try:
            words = Words(tokenizer, (), start)
        except TypeError:
            words = Words(tokenizer)
        told = "".join(words.push(i) for i in drawn) + words.end()
        before, whole = (tokenizer.decode(t, skip_special_tokens=True) for t in (start, [*start, *drawn]))
        assert before + told == whole


@pytest.mark.parametrize("entry", READERS)
def test_a_template_that_ends_no_answer_is_refused(entry, tmp_path):
    encoder = Encoder(tokenizer=byte_level(ENDLESS), length=128)
    with pytest.raises(ConfigError, match=r"puts '\\n' behind an answer, and no control token.*eos_token"):
        READERS[entry](encoder, tmp_path, ASKED, "good")
    assert READERS[entry](encoder, tmp_path, "say", " good").tokens[-1] == encoder.tokenizer.eos_token_id
    assert encoder.prompt(ASKED)


@pytest.mark.parametrize("entry", READERS)
def test_an_answer_that_never_closes_the_thought_it_begins_in_is_refused(entry, tmp_path):
    encoder = Encoder(tokenizer=family("r1"), length=128)
    with pytest.raises(ConfigError, match="opens '<think>' for every answer, and this one never closes it"):
        READERS[entry](encoder, tmp_path, ASKED, "good")
    whole, rest = (READERS[entry](encoder, tmp_path, ASKED, text) for text in (THOUGHT, "hm</think>good"))
    assert whole == rest or whole.tokens == rest.tokens


@pytest.mark.parametrize("entry", TALKING)
def test_rewards_read_the_whole_answer(entry):
    """A completion that says what a solution says is paid like the solution, whatever stands in the prompt already."""
    from operant.language.sample.sampling import Completion, Prompt

    tokenizer, solution = family(entry), "<think>hm</think><answer>4</answer>"
    example = Example(prompt=tuple(ASKED), gold="4", solution=solution)
    rewards = {"format": Format(), "correct": Exact(answer=("tag:answer",))}
    task = Task(name="t", train=[example], test=[example], rewards=rewards)
    row = Encoder(tokenizer=tokenizer, length=128).completion(ASKED, solution)
    prompt = Prompt(id=0, tokens=row.tokens[: row.prompt])
    none = (0.0,) * (len(row.tokens) - row.prompt)
    written = Completion(
        prompt=prompt, sample=0, tokens=row.tokens[row.prompt :], logp=none, kept=none, acted=(True,) * len(none),
        finish="stop",
    )  # fmt: skip
    task_scorer = import_module("operant.language.episodes.task_scorer")
    scorer = getattr(task_scorer, "TaskScorer", None) or task_scorer.Judged  # as it was called
    (trace,) = scorer(task, tokenizer, lambda i: example).traces([written])
    assert [reward(trace) for reward in rewards.values()] == [1.0, 1.0]
    assert Format()(Trace(prompt="", completion="hm</think><answer>4</answer>")) == 0.0


@pytest.mark.parametrize("entry", TALKING)
def test_steps_are_judged_where_they_were_learnt(entry, tmp_path):
    """The tokens of steps from a file are those of the same solution as it is sampled, but for its end."""
    tokenizer = family(entry)
    encoder = Encoder(tokenizer=tokenizer, length=128)
    line = {"prompt": ASKED, "steps": ["<think>", "hm</think>good", "4"], "labels": [None, True, False]}
    (steps,) = read_steps(file_of(tmp_path, line), encoder)
    start = encoder.prompt(ASKED)
    assert list(steps.solution.tokens[: len(start)]) == start
    assert sum(steps.solution.acted) == 2
    text = tokenizer.decode(steps.solution.tokens, skip_special_tokens=True)
    assert text.count("<think>") == 1
    assert "<think>\nhm</think>good\n4\n" in text


def test_what_names_no_token_for_padding_is_told_of_one_that_is_there():
    for special, told in (((), r'add_special_tokens\(\{"pad_token": "<pad>"\}\).*resize'), (IM, "pad_token")):
        tokenizer = byte_level(None, special, eos="<eos>")
        tokenizer.pad_token = None
        with pytest.raises(ConfigError, match='pad_token = "<pad>"' if "<pad>" in tokenizer.get_vocab() else told):
            check_padding(tokenizer)
