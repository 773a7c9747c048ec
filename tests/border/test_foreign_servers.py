"""What servers of others answer: no text, another form, halves of characters, a wire that breaks"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from operant.config.errors import ConfigError
from operant.language.serve import client
from operant.language.serve.client import Client, ServerError

GOOD = {"index": 0, "message": {"content": "go"}, "finish_reason": "stop"}


def one(**other):
    return {"choices": [GOOD | other]}


NONSENSE = {
    "nothing": b"", "no JSON": b"<html>", "null": b"null", "a list": [], "no choices": {}, "choices as a text": {
        "choices": "ab"}, "a choice as a text": {"choices": ["x"]}, "indices of two kinds": {"choices": [
        GOOD | {"index": "a"}, GOOD]},
    "no message": one(message=None), "content as a number": one(message={"content": 3}),
    "log-probabilities as a list": one(logprobs=[1]), "as a number": one(logprobs={"content": 3}), "as a text": one(
        logprobs={"content": [{"token": "a", "logprob": "x"}]}), "null among them": one(
        logprobs={"tokens": ["a"], "token_logprobs": [None]}),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, body = self.server.answer
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def asked(server, status, headers, body, monkeypatch):
    """What a client says to an answer; waits are noted and not waited for."""
    waits = []
    monkeypatch.setattr(client.time, "sleep", waits.append)
    server.answer = status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()
    with Client(f"http://127.0.0.1:{server.server_port}/v1", "m", tries=2) as its:
        try:
            return its.generate([[{"role": "user", "content": "?"}]])[0].text, waits
        except ServerError as error:
            return error, waits


@pytest.mark.parametrize("body", NONSENSE)
def test_an_answer_of_another_form_is_an_error_with_its_address(body, server, monkeypatch):
    found, _ = asked(server, 200, {}, NONSENSE[body], monkeypatch)
    assert isinstance(found, ServerError)
    assert "/v1/chat/completions: " in str(found)


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_what_is_not_packed_as_it_says_is_an_error(packed, server, monkeypatch):
    found, _ = asked(server, 200, {"content-encoding": packed}, b"not packed", monkeypatch)
    assert isinstance(found, ServerError)


@pytest.mark.parametrize("after", ["nan", "inf", "-5", "1e300", "soon"])
def test_a_wait_that_is_no_time_is_a_time(after, server, monkeypatch):
    _, waits = asked(server, 429, {"retry-after": after}, b"", monkeypatch)
    assert len(waits) == 1
    assert 0 <= waits[0] <= client.LONGEST


def test_half_of_a_character_is_replaced_and_can_be_sent_on(server, monkeypatch):
    found, _ = asked(server, 200, {}, b'{"choices": [{"index": 0, "message": {"content": "a\\ud800b"}}]}', monkeypatch)
    assert found == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://", "ftp://x", "http://["])
def test_an_address_that_is_none_is_told_at_once(url):
    with pytest.raises(ConfigError, match="is no address"):
        Client(url)


@pytest.mark.parametrize("key", ["a\nb: c", "é"])
def test_a_key_that_no_header_holds_is_told_and_not_shown(key, monkeypatch):
    monkeypatch.setenv("KEY", key)
    with pytest.raises(ConfigError, match="what is no key") as found:
        Client("http://127.0.0.1:1/v1", key="KEY")
    assert key not in str(found.value)
