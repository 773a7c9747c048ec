"""The server, spoken to as programs do."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest

httpx2 = pytest.importorskip("httpx2")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from language.serve.helpers import PATIENCE, running  # noqa: E402
from operant.language.cpu import numba_decoder as compiled  # noqa: E402
from operant.language.sample.sampling import Sampling  # noqa: E402
from operant.language.serve.detokenize import decode  # noqa: E402
from operant.language.serve.http import Server, served  # noqa: E402


@pytest.fixture(scope="module")
def server(policy):
    with running(policy) as made:
        yield made


@pytest.fixture(scope="module")
def client(server):
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as made:
        yield made


def events(client, path, body):
    """The objects of a stream, which must end with [DONE]."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


ASKED = {"prompt": "the quick", "max_tokens": 40, "seed": 3}


def test_models(client):
    (card,) = client.get("models").json()["data"]
    assert (card["id"], card["object"]) == ("tiny", "model")
    assert client.get("models/tiny").json() == card
    assert client.get("models/other").json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("compiles", [True, False])
def test_a_completion_is_what_the_engine_writes(client, policy, compiles):
    from operant.language.model.language_model import ends
    from operant.language.sample.engine import Engine, Prompt

    tokens = tuple(policy.tokenizer("the quick")["input_ids"])
    sampling = Sampling(max_tokens=40, stop=ends(policy))
    engine = Engine(policy, seed=3)
    assert engine.compiles, "as the server does"
    engine.compiles = compiles
    (wanted,) = engine.generate([Prompt(id=0, tokens=tokens)], sampling)
    answer = client.post("completions", json=ASKED | {"model": "tiny"}).json()
    (choice,) = answer["choices"]
    assert choice["text"] == decode(policy.tokenizer, wanted.tokens)
    assert choice["finish_reason"] == wanted.finish
    assert choice["logprobs"] is None
    assert (answer["object"], answer["model"]) == ("text_completion", "tiny")
    used = {"prompt_tokens": len(tokens), "completion_tokens": len(wanted.tokens)}
    assert answer["usage"] == used | {"total_tokens": sum(used.values())}


def test_a_stream_is_the_whole_answer_in_parts_and_cuts_no_character(client):
    whole = client.post("completions", json=ASKED | {"n": 3, "logprobs": 2}).json()
    parts = events(client, "completions", ASKED | {"n": 3, "logprobs": 2, "stream_options": {"include_usage": True}})
    assert len({part["id"] for part in parts}) == 1
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [c for p in parts for c in p["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        assert [c["finish_reason"] for c in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]
        for key, values in choice["logprobs"].items():
            assert [x for c in mine if c["logprobs"] for x in c["logprobs"][key]] == values
    assert len({c["text"] for c in whole["choices"]}) == 3


def test_chat(client, policy):
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 30, "seed": 1, "logprobs": True}
    body["top_logprobs"] = 2
    answer = client.post("chat/completions", json=body).json()
    (choice,) = answer["choices"]
    prompt = policy.tokenizer("user: hello\nassistant: ")["input_ids"]
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert choice["message"] == {"role": "assistant", "content": choice["message"]["content"], "refusal": None}
    parts = [p["choices"][0] for p in events(client, "chat/completions", body)]
    assert parts[0]["delta"]["role"] == "assistant"
    assert "".join(p["delta"].get("content", "") for p in parts) == choice["message"]["content"]
    assert parts[-1]["finish_reason"] == choice["finish_reason"]
    for entry in choice["logprobs"]["content"]:
        assert len(entry["top_logprobs"]) == 2
        assert entry["bytes"] is None or bytes(entry["bytes"]).decode() == entry["token"]
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    split = client.post(
        "chat/completions",
        json=body | {"messages": [{"role": "user", "content": parts}]},
    ).json()
    assert split["choices"] == answer["choices"]


def test_a_stop_text_ends_an_answer_and_is_not_in_it(client):
    free = client.post("completions", json=ASKED).json()["choices"][0]["text"]
    stop = free[5:8]
    for body in (ASKED | {"stop": stop}, ASKED | {"stop": ["never seen", stop]}):
        (choice,) = client.post("completions", json=body).json()["choices"]
        assert (choice["text"], choice["finish_reason"]) == (free[: free.index(stop)], "stop")
        parts = events(client, "completions", body)
        assert "".join(c["text"] for p in parts for c in p["choices"]) == choice["text"]


def test_several_prompts_texts_or_tokens(client, policy):
    texts = ["the quick", "hello"]
    answer = client.post("completions", json=ASKED | {"prompt": texts, "n": 2}).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    tokens = [policy.tokenizer(t)["input_ids"] for t in texts]
    same = client.post("completions", json=ASKED | {"prompt": tokens, "n": 2}).json()
    assert same["choices"] == answer["choices"]
    one = client.post("completions", json=ASKED | {"prompt": tokens[0]}).json()
    assert one["choices"][0]["text"] == answer["choices"][0]["text"]


def test_echo_scores_a_text(client, policy):
    import torch

    text = "the quick brown fox"
    body = {"prompt": text, "echo": True, "max_tokens": 0, "logprobs": 1}
    (choice,) = client.post("completions", json=body).json()["choices"]
    tokens = torch.tensor([policy.tokenizer(text)["input_ids"]])
    logp = policy.evaluate(tokens, torch.ones(1, tokens.shape[1] - 1, dtype=torch.bool))[0][0].tolist()
    scored = choice["logprobs"]
    assert choice["text"] == "".join(scored["tokens"]) == text
    assert scored["token_logprobs"][0] is None
    assert scored["top_logprobs"][0] is None
    assert scored["token_logprobs"][1:] == pytest.approx(logp, abs=1e-4)
    assert scored["text_offset"] == [len("".join(scored["tokens"][:i])) for i in range(len(scored["tokens"]))]
    (choice,) = client.post("completions", json=ASKED | {"echo": True}).json()["choices"]
    assert choice["text"] == "the quick" + client.post("completions", json=ASKED).json()["choices"][0]["text"]


def test_requests_without_a_seed_differ_and_with_one_do_not(client):
    free = {k: v for k, v in ASKED.items() if k != "seed"}
    assert len({client.post("completions", json=free).json()["choices"][0]["text"] for _ in range(4)}) == 4
    with httpx2.Client(base_url=client.base_url, timeout=PATIENCE) as other:
        alone = client.post("completions", json=ASKED).json()["choices"]
        noise = threading.Thread(target=lambda: other.post("completions", json=free | {"n": 12}))
        noise.start()
        beside = client.post("completions", json=ASKED).json()["choices"]
        noise.join()
    assert beside == alone


BAD = [
    ({"temperatur": 1}, 400, "temperatur", "Did you mean 'temperature'"),
    ({"model": "gpt-9"}, 404, "model", "does not exist"),
    ({"temperature": "warm"}, 400, "temperature", "valid number"),
    ({"temperature": 3}, 400, "temperature", "less than or equal"),
    ({"top_p": 0}, 400, "top_p", "greater than 0"),
    ({"n": 0}, 400, "n", "greater than or equal"),
    ({"n": True}, 400, "n", "valid integer"),
    ({"prompt": ["a"] * 5, "n": 128}, 400, "n", "ask in parts"),
    ({"max_tokens": 999}, 400, "prompt", "maximum context length is 256"),
    ({"max_tokens": 0}, 400, "max_tokens", "nothing to do"),
    ({"stop": [1]}, 400, "stop", "valid string"),
    ({"stop": ""}, 400, "stop", "empty"),
    ({"stop": ["a"] * 17}, 400, "stop", "at most 16"),
    ({"seed": 2**63}, 400, "seed", "less than"),
    ({"presence_penalty": 0.5}, 400, "presence_penalty", "leave it out"),
    ({"logit_bias": {"5": 1}}, 400, "logit_bias", "leave it out"),
    ({"prompt": ""}, 400, "prompt", "nothing to go on from"),
    ({"prompt": []}, 400, "prompt", "at least 1"),
    ({"prompt": [[9999]]}, 400, "prompt", "outside"),
    ({"prompt": [-1]}, 400, "prompt", "outside"),
    ({"prompt": {"a": 1}}, 400, "prompt", "valid list"),
    ({"prompt": None}, 400, "prompt", "is missing"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options", "stream: true"),
]


@pytest.mark.parametrize(("change", "status", "param", "words"), BAD, ids=[f"{b[2]}-{i}" for i, b in enumerate(BAD)])
def test_a_bad_field_is_named(client, change, status, param, words):
    answer = client.post("completions", json=ASKED | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "at least 1"),
        ({"messages": [{"role": "poet", "content": "a"}]}, "role"),
        ({"messages": [{"role": "user"}]}, "content: is missing"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "text"),
        ({"tools": [{"type": "function"}]}, "calls no tools"),
        ({"response_format": {"type": "json_object"}}, "no format"),
        ({"top_logprobs": 2}, "needs logprobs"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "give one"),
    ],
)
def test_a_bad_chat_is_refused(client, change, words):
    answer = client.post("chat/completions", json={"messages": [{"role": "user", "content": "a"}]} | change)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_model_without_a_template_says_so(policy, server, client, monkeypatch):
    monkeypatch.setattr(policy.tokenizer, "chat_template", None)
    answer = client.post("chat/completions", json={"messages": [{"role": "user", "content": "a"}]})
    assert answer.status_code == 400
    assert "/v1/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"prompt": NaN}', "NaN is no number"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
        (b'{"model": "\\uDFFF", "prompt": "a"}', "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_a_body_that_is_no_request(client, raw, words):
    answer = client.post("completions", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_who_may_ask(client, server):
    json_type = {"Content-Type": "application/json"}
    port = server.url.split(":")[2].split("/")[0]
    ask = lambda **headers: client.get("models", headers=headers).status_code  # noqa: E731
    assert [ask(Host=h) for h in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "")] == [403] * 4
    assert [ask(Host=h) for h in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}")] == [200] * 3
    assert ask(Origin="http://evil.example") == ask(Origin="null") == 403
    assert ask(Origin=f"http://localhost:{port}") == 200
    answer = client.post("completions", content=json.dumps(ASKED), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert client.post("completions", content=b" " * (4 * 2**20 + 1), headers=json_type).status_code == 413
    assert client.get("nothing").status_code == 404
    wrong = client.get("completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "error" in wrong.json()


def test_it_listens_on_the_loopback_interface_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    from operant.config.errors import ConfigError

    with pytest.raises(ConfigError, match="--port"):
        Server(served("again", server.scheduler.policy), port=server.socket.getsockname()[1])


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def slow(policy, monkeypatch):
    """A server whose steps take a while, so that nothing ends by itself."""
    with running(policy, slots=2) as made:
        step = made.scheduler._decoding.advance
        made.steps = 0

        def slowly(steps):
            time.sleep(0.02)
            made.steps += 1
            step(steps)

        monkeypatch.setattr(made.scheduler._decoding, "advance", slowly)
        yield made


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_ends_the_writing(slow, stream):
    place = ("127.0.0.1", int(slow.url.split(":")[2].split("/")[0]))
    body = json.dumps({"prompt": "the", "max_tokens": 250, "n": 5, "stream": stream, "seed": 4}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"  # noqa: E501
    with socket.create_connection(place) as mine:
        mine.sendall(head.encode() + body)
        if stream:
            assert mine.recv(64).startswith(b"HTTP/1.1 200")
        wait_for(lambda: len(slow.scheduler._rows) == 2)
    wait_for(lambda: not slow.scheduler._rows and not slow.scheduler._waiting)
    assert slow.steps < 240, "it did not write to the end"


def test_too_many_wait(slow, policy):
    async def ask():
        async with httpx2.AsyncClient(base_url=slow.url, timeout=PATIENCE) as client:
            first = asyncio.create_task(
                client.post("completions", json={"prompt": ["the"] * 4, "n": 128, "max_tokens": 200})
            )
            await asyncio.sleep(0.3)
            answer = await client.post("completions", json={"prompt": "the", "n": 128})
            first.cancel()
            return answer

    answer = asyncio.run(ask())
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_failure_of_the_model_is_told(policy, monkeypatch):
    with running(policy) as made, httpx2.Client(base_url=made.url, timeout=PATIENCE) as client:

        def fail(steps):
            raise RuntimeError("out of memory")

        monkeypatch.setattr(made.scheduler._decoding, "advance", fail)
        answer = client.post("completions", json=ASKED)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        monkeypatch.setattr(made.scheduler._decoding, "advance", fail)
        with client.stream("POST", "completions", json=ASKED | {"stream": True}) as stream:
            (line,) = [line for line in stream.iter_lines() if line]
        assert "out of memory" in json.loads(line[6:])["error"]["message"]
        assert client.post("completions", json=ASKED).status_code == 200


def test_a_stop_token_is_counted_and_not_shown(policy, monkeypatch):
    monkeypatch.setattr(compiled, "obstacle", lambda policy: "a test")
    with running(policy) as made, httpx2.Client(base_url=made.url, timeout=PATIENCE) as client:
        head, calls = policy.decoder.head, []

        def ending(hidden):
            logits = head(hidden)
            calls.append(1)
            if len(calls) == 5:
                logits[:, policy.tokenizer.eos_token_id] = 1e4
            return logits

        monkeypatch.setattr(policy.decoder, "head", ending)
        answer = client.post("completions", json=ASKED | {"logprobs": 1}).json()
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 5
    assert len(choice["logprobs"]["tokens"]) == 4
    assert "<eos>" not in choice["text"]


def test_a_server_that_ends_does_not_wait_for_long_answers(policy):
    heard = []
    with running(policy) as made:
        step = made.scheduler._decoding.advance
        made.scheduler._decoding.advance = lambda *a: (time.sleep(0.05), step(*a))[1]

        def ask():
            with contextlib.suppress(httpx2.HTTPError):
                heard.append(httpx2.post(made.url + "/completions", json=ASKED | {"max_tokens": 200}, timeout=PATIENCE))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: made.scheduler._rows)
        before = time.monotonic()
    thread.join()
    assert time.monotonic() - before < 8


def test_the_client_of_openai(server):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    assert [m.id for m in client.models.list()] == ["tiny"]
    messages = [{"role": "user", "content": "hello"}]
    asked = {"model": "tiny", "messages": messages, "max_completion_tokens": 12, "seed": 1}
    whole = client.chat.completions.create(**asked, n=2, logprobs=True, top_logprobs=1)
    assert len(whole.choices) == 2
    assert whole.choices[0].logprobs.content[0].top_logprobs[0].logprob <= 0
    parts = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(p.choices[0].delta.content or "" for p in parts) == whole.choices[0].message.content
    text = client.completions.create(model="tiny", prompt="the", max_tokens=5, seed=1, stop=["\n"])
    assert text.usage.completion_tokens <= 5
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt="the")
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        client.completions.create(model="tiny", prompt="the", max_tokens=1000)
