"""The client: what it asks, when it asks again, and what it makes of answers."""

import os
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("httpx2")

from language.serve.helpers import Heard, Script, failure, running, said
from operant.config.errors import ConfigError
from operant.language.reward.trace import Trace
from operant.language.serve.client import Client, ServerError, derived
from operant.language.serve.judge import Judge


@pytest.fixture
def script():
    made = Script()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_what_is_asked(script):
    script.answers = [(200, said("a", "b"))]
    with script.client() as client:
        found = client.generate(["p"], samples=2, temperature=0.5, max_tokens=7, stop=["\n"], seed=3, top_p=0.9)
    assert [(r.prompt, r.sample, r.text, r.finish) for r in found] == [(0, 0, "a", "stop"), (0, 1, "b", "stop")]
    wanted = {"model": "m", "prompt": "p", "n": 2, "temperature": 0.5, "max_tokens": 7, "stop": ["\n"], "top_p": 0.9}
    assert script.asked == [("/v1/completions", wanted | {"seed": derived(3, 0, 0)})]
    assert found[0].logp is None
    assert found[0].tokens is None


def test_prompts_and_samples_have_seeds_of_their_own(script):
    with script.client(together=1) as client:
        client.generate(["p", "p"], samples=2, seed=3)
    seeds = [body["seed"] for _, body in script.asked]
    assert len({*seeds}) == len(seeds) == 4


def test_a_server_that_does_not_know_n_is_asked_again_and_once_only(script):
    script.answers = [(200, said("a")), (200, said("b")), (200, said("c")), (200, said("d"))]
    with script.client(together=1) as client:
        assert [r.text for r in client.generate(["p"], samples=3)] == ["a", "b", "c"]
        assert [r.text for r in client.generate(["p"], samples=2)] == ["d", "x"]
    assert ["n" in body for _, body in script.asked] == [True, False, False, False, False]
    script.asked.clear()
    script.answers = [failure(422, "n?")]
    with script.client() as client:
        assert [r.text for r in client.generate(["p"], samples=2)] == ["x", "x"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(script, status):
    script.answers = [failure(status), failure(status), (200, said("ok"))]
    with script.client() as client:
        assert client.generate(["p"])[0].text == "ok"
        assert (client.asked, client.again, client.failed) == (1, 2, 0)


def test_the_server_says_how_long_to_wait(script):
    script.answers = [failure(429, "slow", ("Retry-After", "0.3")), (200, said("ok"))]
    with script.client(wait=20.0) as client:
        began = time.monotonic()
        assert client.generate(["p"])[0].text == "ok"
        assert 0.25 < time.monotonic() - began < 10


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_a_refusal_is_final_and_says_why(script, status):
    script.answers = [failure(status, "because\nof this", ("Location", script.url + "/elsewhere"))]
    with script.client() as client:
        with pytest.raises(ServerError, match="because of this") as caught:
            client.generate(["p"])
        assert caught.value.status == status
        assert (client.asked, client.again, client.failed) == (1, 0, 1)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [b"<html>", {}, {"choices": []}, {"choices": [{"index": 0}]}, {"choices": [{"index": 0, "text": 3}]}, [], "hello"],
)
def test_what_is_no_answer_is_an_error(script, answer):
    script.answers = [(200, answer)]
    with script.client() as client, pytest.raises(ServerError):
        client.generate(["p"])


def test_tries_and_time_are_limited(script):
    script.answers = [failure(503)] * 9
    with script.client(tries=3) as client, pytest.raises(ServerError, match="503"):
        client.generate(["p"])
    assert len(script.asked) == 3
    with script.client(tries=9, wait=10.0, limit=0.5) as client, pytest.raises(ServerError, match="503"):
        client.generate(["p"])
    assert len(script.asked) == 4
    script.answers = [lambda body: (time.sleep(0.5), 200, said("late"))[1:]] * 2
    with script.client(tries=2, timeout=0.1) as client, pytest.raises(ServerError, match="no answer in time"):
        client.generate(["p"])


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with Client(url, "m", tries=2, wait=0.01) as client, pytest.raises(ServerError, match="cannot be reached"):
            client.generate(["p"])


def test_one_that_fails_of_many_is_not_hidden(script):
    script.answers = [(200, said("a")), failure(400, "bad"), (200, said("c"))]
    with script.client(together=1) as client, pytest.raises(ServerError, match="bad"):
        client.generate(["p", "q", "r"])


def test_the_key_comes_from_the_environment_and_goes_nowhere_in_the_open(script, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame")
    with script.client(key="MY_KEY") as client:
        client.generate(["p"])
    assert script.headers[-1]["Authorization"] == "Bearer sesame"
    with script.client() as client:
        client.generate(["p"])
    assert "Authorization" not in script.headers[-1]
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        script.client(key="NO_SUCH_KEY")
    with pytest.raises(ConfigError, match="in the open"):
        Client("http://example.org/v1", key="MY_KEY")
    for bad in ("example.org/v1", "ftp://example.org", "http://", "http://[::1"):
        with pytest.raises(ConfigError, match="no address"):
            Client(bad)


def test_no_proxy_stands_before_this_machine(script, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with script.client() as client:
        assert client.generate(["p"])[0].text == "x"


def test_our_own_server(policy):
    pytest.importorskip("starlette")
    import torch

    from operant.language.serve.detokenize import UNSURE

    with running(policy) as made, Client(made.url) as client:
        assert client.models() == ["tiny"]
        prompts = ["the quick", [{"role": "user", "content": "hello"}], "the quick"]
        found = client.generate(prompts, samples=3, max_tokens=12, seed=5, logprobs=True, top=2)
        again = client.generate(prompts, samples=3, max_tokens=12, seed=5, logprobs=True, top=2)
        with pytest.raises(ServerError, match="maximum context length"):
            client.generate(["the"], max_tokens=1000)
    assert [(r.text, r.tokens, r.finish) for r in found] == [(r.text, r.tokens, r.finish) for r in again]
    assert [(r.prompt, r.sample) for r in found] == [(i, k) for i in range(3) for k in range(3)]
    assert len({r.text for r in found}) == 9
    for reply in found:
        assert reply.finish in ("stop", "length")
        assert len(reply.tokens) == len(reply.logp) == len(reply.top)
        for token, logp, top in zip(reply.tokens, reply.logp, reply.top, strict=True):
            assert UNSURE in token or token not in top or top[token] == pytest.approx(logp)
    reply = found[0]
    prompt = policy.tokenizer("the quick")["input_ids"]
    whole = torch.tensor([[*prompt, *policy.tokenizer(reply.text)["input_ids"]]])
    if "".join(reply.tokens) == reply.text and len(whole[0]) == len(prompt) + len(reply.tokens):
        acted = torch.zeros(1, whole.shape[1] - 1, dtype=torch.bool)
        acted[0, len(prompt) - 1 :] = True
        logp = policy.evaluate(whole, acted)[0][0, len(prompt) - 1 :]
        assert reply.logp == pytest.approx(logp.tolist(), abs=1e-4)


def test_transformers_serve(policy, tmp_path):
    for package in ("fastapi", "uvicorn", "openai", "typer"):
        pytest.importorskip(package)
    folder = tmp_path / "tiny"
    policy.save(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "hub").mkdir()
    rest = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}
    code = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--device", "cpu"], env=os.environ | rest, stdout=log, stderr=log)
    try:
        with Client(f"http://127.0.0.1:{port}/v1", str(folder), tries=60, wait=0.5, limit=60.0) as client:
            prompts = ["the quick", [{"role": "user", "content": "hello"}]]
            found = client.generate(prompts, samples=2, temperature=0.0, max_tokens=8, logprobs=True)
        judge = Judge(url=client.url, model=str(folder), max_tokens=8)
        (verdict,) = judge.many([Trace(prompt="q", completion="a")])
        assert "the judge gave no score" in verdict, "it answers, and has no opinion"
    finally:
        process.terminate()
        process.wait(60)
    assert [(r.prompt, r.sample) for r in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(r.logp is None for r in found), "it tells none"
    from operant.language.model.language_model import ends
    from operant.language.sample.sampling import Sampling
    from operant.language.serve.scheduler import Scheduler

    texts = ["the quick", "user: hello\nassistant: "]
    with Scheduler(policy) as scheduler:
        for text, reply in zip(texts, found[::2], strict=True):
            tokens = policy.tokenizer(text)["input_ids"]
            heard = Heard(tokens, Sampling(temperature=0.0, max_tokens=8, stop=ends(policy)))
            scheduler.submit(heard.ask)
            assert reply.text.strip() == "".join(d.text for d in heard.all()[0]).strip()
