"""Completions written together are those that `Engine` writes, and none depends on another."""

import contextlib
import threading
import time
import warnings

import pytest
import torch

from language.serve.helpers import PATIENCE, Heard
from operant.config.errors import ConfigError
from operant.language.cpu import numba_decoder as compiled
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.serve.detokenize import decode
from operant.language.serve.scheduler import Ask, FullError, Scheduler
from operant.language.serve.speaker import compile_ahead
from reference import tiny

HOW = (
    Sampling(max_tokens=20, stop=(7, 8)),
    Sampling(temperature=0.0, max_tokens=9, stop=(1,)),
    Sampling(temperature=0.7, top_k=20, top_p=0.9, max_tokens=30, stop=(1,)),
    Sampling(temperature=1.3, min_p=0.05, max_tokens=5, stop=()),
)


@pytest.fixture(scope="module", params=["qwen3", "gpt2", "gemma", "mistral"])
def model(request):
    pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = LanguageModel(tiny.model_of(request.param), tiny.tokenizer())
    compile_ahead(made)
    return made


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """How what can be decoded by compiled code is decoded."""
    if request.param == "torch":
        monkeypatch.setattr(compiled, "obstacle", lambda policy: "a test")
    return request.param


def test_rows_that_come_and_go_are_those_of_the_engine(model, way):
    if model.whole is not None and way == "compiled":
        pytest.skip("goes through transformers either way")
    prompts = [tuple(row.tolist()) for row in tiny.rows((5, 1, 9, 20, 12, 3), seed=4)]
    asks = [Heard(p, HOW[i % len(HOW)], seed=11, id=i, samples=1 + i % 3, top=i % 2 * 2) for i, p in enumerate(prompts)]
    with Scheduler(model, slots=3) as scheduler:
        for heard in asks:
            scheduler.submit(heard.ask)
        found = [heard.all() for heard in asks]
    for i, (prompt, deltas) in enumerate(zip(prompts, found, strict=True)):
        engine = Engine(model, seed=11, slots=2)
        wanted = engine.generate([Prompt(id=i, tokens=prompt)], HOW[i % len(HOW)], samples=1 + i % 3)
        for c in wanted:
            told = [t for d in deltas[c.sample] for t in d.tokens]
            assert tuple(t.id for t in told) == c.tokens
            assert torch.allclose(torch.tensor([t.logp for t in told]), torch.tensor(c.logp), atol=1e-4)
            assert torch.allclose(torch.tensor([t.kept for t in told]), torch.tensor(c.kept), atol=1e-4)
            assert deltas[c.sample][-1].finish == c.finish
            assert [t.end for t in told] == [t in HOW[i % len(HOW)].stop for t in c.tokens]
            for t in told:
                assert len(t.top) == i % 2 * 2
                assert dict(t.top).get(t.id, t.logp) == pytest.approx(t.logp, abs=1e-4)
                assert all(logp >= t.logp - 1e-4 for _, logp in t.top) or t.id in dict(t.top)


def test_memory_grows_under_rows_that_go_on(way, monkeypatch):
    monkeypatch.setattr(compiled, "ROOM", 20)
    policy, sampling = LanguageModel(tiny.model_of("qwen3"), tiny.tokenizer()), Sampling(max_tokens=80)
    prompts = [tuple(row.tolist()) for row in tiny.rows((3, 40, 1, 45), seed=4)]
    compile_ahead(policy)
    with Scheduler(policy, slots=4) as scheduler:
        asks = [Heard(p, sampling, seed=2, id=i, samples=1 + i % 2) for i, p in enumerate(prompts)]
        for heard in asks:
            before = scheduler._decoding.slots.at.clone()
            scheduler.submit(heard.ask)
            end = time.monotonic() + 20
            while scheduler._rows and int(scheduler._decoding.slots.at.max()) < int(before.max()) + 15:
                assert time.monotonic() < end
                time.sleep(0.001)
        found = [heard.tokens() for heard in asks]
        end = time.monotonic() + 20
        while sum(x.numel() if way == "torch" else x.size for x in scheduler._decoding.cache):
            assert time.monotonic() < end, "memory is given back when no row is left"
            time.sleep(0.001)
    for i, prompt in enumerate(prompts):
        wanted = Engine(policy, seed=2).generate([Prompt(id=i, tokens=prompt)], sampling, samples=1 + i % 2)
        assert [found[i][c.sample] for c in wanted] == [c.tokens for c in wanted]


def test_a_seeded_sample_is_the_same_in_any_company(policy, way):
    prompt, sampling = tuple(policy.tokenizer("the quick")["input_ids"]), Sampling(max_tokens=40)

    def heard():
        return Heard(prompt, sampling, seed=5, samples=2)

    with Scheduler(policy, slots=8) as scheduler:
        first = heard()
        scheduler.submit(first.ask)
        alone = first.tokens()
        others = [Heard(prompt[: 1 + i % 3], Sampling(max_tokens=60), seed=i) for i in range(7)]
        for other in others[:4]:
            scheduler.submit(other.ask)
        again = heard()
        scheduler.submit(again.ask)
        for other in others[4:]:
            scheduler.submit(other.ask)
        assert again.tokens() == alone
        assert len({*(o.tokens()[0] for o in others)}) == 7
    assert alone[0] != alone[1]


def test_the_text_is_that_of_the_tokens_and_stops_cut_it(policy):
    prompt = tuple(policy.tokenizer("the quick")["input_ids"])
    free = Heard(prompt, Sampling(max_tokens=60), seed=3)
    with Scheduler(policy) as scheduler:
        scheduler.submit(free.ask)
        deltas = free.all()[0]
        text, tokens = "".join(d.text for d in deltas), [t.id for d in deltas for t in d.tokens]
        assert text == decode(policy.tokenizer, tokens)
        free_begins = [t.begin for d in deltas for t in d.tokens]
        stop = text[20:24]
        cut = Heard(prompt, Sampling(max_tokens=60), seed=3, stops=(stop,))
        scheduler.submit(cut.ask)
        deltas = cut.all()[0]
    found = "".join(d.text for d in deltas)
    assert found == text[: text.index(stop)]
    assert deltas[-1].finish == "stop"
    kept = [t.id for d in deltas for t in d.tokens]
    assert tokens[: len(kept)] == kept
    assert decode(policy.tokenizer, kept).startswith(found)
    assert all(t.begin < len(found) for d in deltas for t in d.tokens), "what begins at the cut is not told"
    assert free_begins[len(kept)] >= len(found), "what begins before it is"


def test_the_most_probable_tokens(policy, way):
    prompt = tuple(policy.tokenizer("the quick")["input_ids"])
    heard = Heard(prompt, Sampling(temperature=0.0, max_tokens=4), top=3)
    with Scheduler(policy) as scheduler:
        scheduler.submit(heard.ask)
        told = [t for d in heard.all()[0] for t in d.tokens]
    tokens = torch.tensor([[*prompt, *(t.id for t in told)]])
    acted = torch.zeros(1, tokens.shape[1] - 1, dtype=torch.bool)
    acted[0, len(prompt) - 1 :] = True
    logp = policy.evaluate(tokens, acted)[0][0, len(prompt) - 1 :]
    assert torch.allclose(torch.tensor([t.logp for t in told]), logp.detach(), atol=1e-4)
    for t in told:
        assert len(t.top) == 3
        assert t.top[0][0] == t.id
        assert t.top[0][1] == pytest.approx(t.logp, abs=1e-5)
        assert [p for _, p in t.top] == sorted((p for _, p in t.top), reverse=True)


def test_cancelled_asks_make_room(policy, monkeypatch):
    prompt = tuple(policy.tokenizer("the")["input_ids"])
    with Scheduler(policy, slots=1) as scheduler:
        begun, told, steps, step = threading.Event(), [], [], scheduler._decoding.advance

        def slowly(count):
            time.sleep(0.01)
            steps.append(1)
            step(count)

        def tell(delta):
            told.append(delta)
            begun.set()

        monkeypatch.setattr(scheduler._decoding, "advance", slowly)
        long = Ask(tokens=prompt, sampling=Sampling(max_tokens=250), tell=tell, samples=3)
        scheduler.submit(long)
        assert begun.wait(PATIENCE)
        long.cancel()
        before = len(told)
        short = Heard(prompt, Sampling(max_tokens=3))
        scheduler.submit(short.ask)
        assert len(short.tokens()[0]) == 3
    assert len(told) <= before + 1, "the step that was under way"
    assert len(steps) < 240


def test_too_many_and_too_long_are_refused(policy):
    with Scheduler(policy, slots=1, length=50, waiting=5) as scheduler:
        with pytest.raises(ConfigError, match="positions"):
            scheduler.submit(Heard((5,), Sampling(max_tokens=50)).ask)
        with pytest.raises(FullError, match="ask again later"):
            scheduler.submit(Heard((5,), Sampling(max_tokens=49), samples=6).ask)
    with pytest.raises(ConfigError, match="closed"):
        scheduler.submit(Heard((5,), Sampling(max_tokens=2)).ask)


def test_a_failure_is_told_and_the_next_ask_is_served(policy, monkeypatch):
    with Scheduler(policy, slots=2) as scheduler:

        def fail(steps):
            raise RuntimeError("out of memory")

        monkeypatch.setattr(scheduler._decoding, "advance", fail)
        heard = Heard((5, 6), Sampling(max_tokens=3))
        scheduler.submit(heard.ask)
        (delta,) = heard.all()[0]
        assert (delta.finish, delta.error) == ("failed", "RuntimeError: out of memory")
        after = Heard((5, 6), Sampling(max_tokens=3))
        scheduler.submit(after.ask)
        assert len(after.tokens()[0]) == 3


def once(monkeypatch, thing, name, ready):
    """A method that raises at its first call after `ready` is set, and not again."""
    real, failed = getattr(thing, name), []

    def call(*args):
        if ready.is_set() and not failed:
            failed.append(1)
            raise RuntimeError("out of memory")
        return real(*args)

    monkeypatch.setattr(thing, name, call)


def test_a_failing_step_fails_its_rows_and_no_one_who_waits(policy, monkeypatch):
    with Scheduler(policy, slots=1) as scheduler:
        ready = threading.Event()
        once(monkeypatch, scheduler._decoding, "advance", ready)
        first = Heard((5, 6), Sampling(max_tokens=100, stop=()), samples=2)
        second = Heard((7, 8), Sampling(max_tokens=3, stop=()))
        scheduler.submit(first.ask)
        scheduler.submit(second.ask)
        ready.set()
        assert len(second.tokens()[0]) == 3
        told = first.all()
    assert (told[0][-1].finish, told[0][-1].error) == ("failed", "RuntimeError: out of memory")
    assert told[1][-1].finish == "length", "the sample that had no row yet"


def test_a_prompt_that_cannot_be_read_fails_alone(policy, monkeypatch):
    with Scheduler(policy, slots=2) as scheduler:
        begun, ready = threading.Event(), threading.Event()
        first = Heard((5, 6), Sampling(max_tokens=100, stop=()))
        step = scheduler._decoding.advance

        def slowly(*args):
            begun.set()
            ready.wait(PATIENCE)
            return step(*args)

        monkeypatch.setattr(scheduler._decoding, "advance", slowly)
        once(monkeypatch, scheduler._decoding, "begin", begun)
        scheduler.submit(first.ask)
        assert begun.wait(PATIENCE)
        second = Heard((7, 8), Sampling(max_tokens=3, stop=()), samples=2)
        third = Heard((9, 10), Sampling(max_tokens=3, stop=()))
        scheduler.submit(second.ask)
        scheduler.submit(third.ask)
        ready.set()
        told = second.all()
        assert {told[k][-1].error for k in (0, 1)} == {"RuntimeError: out of memory"}
        assert len(third.tokens()[0]) == 3
        assert len(first.tokens()[0]) == 100


def test_a_model_that_is_broken_fails_each_and_a_thread_that_ends_leaves_nobody_waiting(policy, monkeypatch):
    def broken(*args):
        raise RuntimeError("the device is lost")

    with Scheduler(policy, slots=1) as scheduler:
        monkeypatch.setattr(type(scheduler._decoding), "advance", broken)
        asks = [Heard((5, 6), Sampling(max_tokens=3)) for _ in range(3)]
        for heard in asks:
            scheduler.submit(heard.ask)
        assert {heard.all()[0][-1].error for heard in asks} == {"RuntimeError: the device is lost"}
        monkeypatch.setattr(scheduler._engine, "open", broken)
        monkeypatch.setattr(threading, "excepthook", lambda args: None)
        asks = [Heard((5, 6), Sampling(max_tokens=3), samples=2) for _ in range(2)]
        with contextlib.suppress(ConfigError):  # it was closed already
            for heard in asks:
                scheduler.submit(heard.ask)
        told = asks[0].all()
        assert (told[0][-1].finish, told[1][-1].finish) == ("cancelled", "cancelled")
        scheduler._thread.join(20)
        with pytest.raises(ConfigError, match="closed"):
            scheduler.submit(asks[0].ask)


@pytest.mark.parametrize("write", [True, False])
def test_a_prompt_is_scored_once_for_all_its_samples(policy, monkeypatch, write):
    with Scheduler(policy) as scheduler:
        score, calls = scheduler._score, []
        monkeypatch.setattr(scheduler, "_score", lambda ask: calls.append(1) or score(ask))
        heard = Heard((5, 6, 7), Sampling(max_tokens=3, stop=()), samples=3, score=True, write=write)
        scheduler.submit(heard.ask)
        told = heard.tokens()
    assert len(calls) == 1
    assert [told[k][:3] for k in range(3)] == [(5, 6, 7)] * 3
    assert [len(told[k]) for k in range(3)] == [6 if write else 3] * 3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_probabilities_that_are_no_numbers_fail_aloud(policy, monkeypatch, temperature, way):
    with Scheduler(policy, slots=2) as scheduler:
        if way == "compiled":
            scheduler._decoding.weights.head[:] = float("nan")
        else:
            head = policy.decoder.head
            monkeypatch.setattr(policy.decoder, "head", lambda hidden: head(hidden) * float("nan"))
        heard = Heard((5, 6), Sampling(max_tokens=3, temperature=temperature))
        scheduler.submit(heard.ask)
        (delta,) = heard.all()[0]
    assert delta.finish == "failed"
    assert "not numbers" in delta.error


def test_closing_tells_those_who_wait(policy):
    scheduler = Scheduler(policy, slots=1)
    heard = Heard((5, 6), Sampling(max_tokens=250), samples=3)
    scheduler.submit(heard.ask)
    scheduler.close()
    assert {deltas[-1].finish for deltas in heard.all().values()} <= {"cancelled", "length", "stop"}
