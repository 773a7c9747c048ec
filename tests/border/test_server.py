"""Requests that are too large, too deep, too slow, or never end"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

httpx2 = pytest.importorskip("httpx2")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from operant.language.serve import client as client_module  # noqa: E402
from operant.language.serve import http  # noqa: E402
from operant.language.serve.client import Client, ServerError  # noqa: E402
from operant.language.serve.protocol import ChatRequest, CompletionRequest  # noqa: E402
from reference.bounds import bounded  # noqa: E402
from reference.tiny_language import tiny_language  # noqa: E402

GOOD = {"/v1/completions": {"prompt": "the", "max_tokens": 1}}
GOOD["/v1/chat/completions"] = {"messages": [{"role": "user", "content": "the"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def server():
    made = http.Server(http.served("tiny", tiny_language("llama")), port=0)
    thread = threading.Thread(target=made.run)
    thread.start()
    while not made.started:
        time.sleep(0.01)
    assert post(made, "/v1/completions", GOOD["/v1/completions"]).status_code == 200  # the kernels are compiled
    yield made
    made.stop()
    thread.join()


@pytest.fixture(autouse=True)
def within(server):
    with bounded(60):
        yield


def port(server):
    return int(server.url.split(":")[2].partition("/")[0])


def post(server, path, data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    url = server.url.removesuffix("/v1") + path
    return httpx2.post(url, content=data, headers={"content-type": "application/json"}, timeout=300)


LARGE = {
    "nested 900 deep": b'{"metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "lists 900 deep": b'{"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "lists without an end": b'{"x":' + b"[" * 10**6,
    "half a million unknown names": ("{" + ",".join(f'"k{i}":1' for i in range(250_000)) + "}").encode(),
    "a million wrong messages": b'{"messages":[' + b"1," * 10**6 + b'1],"prompt":"x"}',
    "a number of 4,000 digits": b'{"max_tokens":1' + b"0" * 4000 + b',"prompt":"x"}',
    "a number of 5,000 digits": b'{"max_tokens":1' + b"0" * 5000 + b',"prompt":"x"}',
    "a stop text of 100,000 letters": json.dumps({"prompt": "x", "stop": ["a" * 100_000]}).encode(),
    "half a character": b'{"prompt":"\\ud800","messages":[{"role":"user","content":"\\ud800"}]}',
    "infinity": b'{"temperature":1e999}',
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("entry", GOOD)
def test_what_is_too_large_or_too_deep_is_refused_in_words(entry, kind, server):
    start = time.monotonic()
    answer = post(server, entry, LARGE[kind])
    assert answer.status_code == 400, answer.text[:300]
    assert answer.json()["error"]["message"]
    assert len(answer.content) < 10_000
    assert time.monotonic() - start < 5.0
    assert post(server, entry, GOOD[entry]).status_code == 200


@pytest.mark.parametrize("entry", GOOD)
def test_a_text_that_cannot_fit_is_refused_before_it_is_made_tokens_of(entry, server):
    text = " " * 4_000_000
    change = {"prompt": text} if "prompt" in GOOD[entry] else {"messages": [{"role": "user", "content": text}]}
    start = time.monotonic()
    answer = post(server, entry, GOOD[entry] | change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert time.monotonic() - start < 2.0


@pytest.mark.parametrize("entry", GOOD)
def test_a_temperature_that_no_logit_can_be_divided_by_is_refused(entry, server):
    answer = post(server, entry, GOOD[entry] | {"temperature": 1e-40})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "temperature"
    assert post(server, entry, GOOD[entry] | {"temperature": 1e-5}).status_code == 200


def fields():
    """Every field of a request that holds a number, a text or a list: (request, name, field)."""
    for kind in (ChatRequest, CompletionRequest):
        yield from ((kind, name, field) for name, field in kind.model_fields.items())


@pytest.mark.parametrize("entry", [f"{kind.__name__}.{name}" for kind, name, _ in fields()])
def test_every_field_is_bounded(entry):
    """Numbers and lists have a largest; texts are bounded by the body, which has `http.LARGEST` bytes."""
    kind, name = entry.split(".")
    schema = {"ChatRequest": ChatRequest, "CompletionRequest": CompletionRequest}[kind].model_json_schema()
    spec = schema["properties"][name]
    for branch in spec.get("anyOf", [spec]):
        if branch.get("type") in ("integer", "number") and "const" not in branch:
            assert "maximum" in branch or "exclusiveMaximum" in branch
        if branch.get("type") == "array":
            assert "maxItems" in branch or "maxItems" in spec
        if branch.get("type") == "object":
            assert "maxProperties" in branch or "maxProperties" in spec


def hurry(monkeypatch, **limits):
    """Let the server have less patience than a person's; an older one has no such limits."""
    if Path(http.__file__).with_name("hurried.py").is_file():
        from operant.language.serve import hurried

        for name, value in limits.items():
            monkeypatch.setattr(hurried, name, value)


def closed(connection, seconds):
    """Whether the other side closes it within so many seconds."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


HEAD = (
    "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)


@pytest.mark.parametrize("entry", ["nothing is sent", "half a head", "a byte now and then", "after an answer"])
def test_a_connection_on_which_nothing_comes_is_closed(entry, server, monkeypatch):
    hurry(monkeypatch, PATIENCE=0.5)
    with socket.create_connection(("127.0.0.1", port(server)), 5) as connection:
        if entry == "half a head":
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: loc")
        elif entry == "a byte now and then":
            connection.sendall(HEAD.format(1000).encode())
            with suppress(OSError):
                for _ in range(20):
                    connection.sendall(b" ")
                    time.sleep(0.1)
        elif entry == "after an answer":
            body = json.dumps(GOOD["/v1/completions"]).encode()
            connection.sendall(HEAD.format(len(body)).encode() + body)
        assert closed(connection, 7.0)


@pytest.mark.parametrize("entry", ["an answer that is not read"])
def test_a_connection_whose_answer_is_not_read_is_closed(entry, server, monkeypatch):
    hurry(monkeypatch, UNREAD=0.5)
    body = {"prompt": "the", "max_tokens": 200, "temperature": 2, "n": 64, "stream": True, "logprobs": 20}
    data = json.dumps(body).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", port(server)))
    connection.sendall(HEAD.format(len(data)).encode() + data)
    waited = time.monotonic()
    while server._server.server_state.connections and time.monotonic() - waited < 20:
        time.sleep(0.1)
    assert not server._server.server_state.connections
    connection.close()
    assert post(server, "/v1/completions", GOOD["/v1/completions"]).status_code == 200


@pytest.mark.parametrize("entry", ["a large request in pieces"])
def test_a_request_that_takes_its_time_is_answered(entry, server, monkeypatch):
    hurry(monkeypatch, PATIENCE=0.5, PACE=1000)
    body = json.dumps(GOOD["/v1/completions"] | {"user": "x" * 9000}).encode()
    with socket.create_connection(("127.0.0.1", port(server)), 5) as connection:
        connection.sendall(HEAD.format(len(body)).encode())
        for i in range(0, len(body), 1000):
            connection.sendall(body[i : i + 1000])
            time.sleep(0.15)
        connection.settimeout(10)
        assert connection.recv(12) == b"HTTP/1.1 200"


@contextmanager
def answering(chunks, pause=0.0):
    """A server of another make, that answers with these bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                    for chunk in chunks():
                        connection.sendall(chunk)
                        time.sleep(pause)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    listener.close()


def endless():
    while True:
        yield b" " * 65536


def dripping():
    while True:
        yield b" "


@pytest.mark.parametrize("entry", ["without an end", "a byte now and then", "nested 900 deep"])
def test_an_answer_of_a_server_is_bounded(entry, monkeypatch):
    monkeypatch.setattr(client_module, "LARGEST", 2**20, raising=False)
    chunks = {"without an end": endless, "a byte now and then": dripping}.get(entry, lambda: [b"[" * 900 + b"]" * 900])
    with answering(chunks, 0.05 if entry.startswith("a byte") else 0.0) as url:
        start = time.monotonic()
        with pytest.raises(ServerError), Client(url, "m", tries=1, limit=1.0) as client:
            client.generate(["x"])
        assert time.monotonic() - start < 5.0


@pytest.mark.parametrize("entry", ["idle", "while it writes"])
def test_an_interrupt_ends_the_server_in_a_second_with_130(entry, tmp_path):
    tiny_language("llama").save(tmp_path / "model")
    command = [sys.executable, "-m", "operant", "serve", str(tmp_path / "model"), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        line = next(line for line in process.stderr if "http://" in line)
        where = int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", where), 1):
                break
        if entry == "while it writes":
            body = json.dumps({"prompt": "the", "max_tokens": 400, "n": 16, "stream": True, "temperature": 2}).encode()
            connection = socket.create_connection(("127.0.0.1", where), 10)
            connection.sendall(HEAD.format(len(body)).encode() + body)
            assert connection.recv(12) == b"HTTP/1.1 200"
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - start < 1.0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
