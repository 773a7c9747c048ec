"""What the tests of this room share: one who listens, a server in a thread, and a server that follows a script."""

import contextlib
import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 300.0
"""Seconds after which a test gives up: the first of a process may wait until its kernels are compiled."""


class Heard:
    """What an ask was told."""

    def __init__(self, tokens, sampling, **rest):
        from operant.language.serve.scheduler import Ask

        self.news = queue.SimpleQueue()
        self.ask = Ask(tokens=tuple(tokens), sampling=sampling, tell=self.news.put, **rest)

    def all(self):
        """Deltas by sample, until each has ended."""
        found = {k: [] for k in range(self.ask.samples)}
        while not all(deltas and deltas[-1].finish for deltas in found.values()):
            delta = self.news.get(timeout=PATIENCE)
            found[delta.sample].append(delta)
        return found

    def tokens(self):
        return {k: tuple(t.id for d in deltas for t in d.tokens) for k, deltas in self.all().items()}


@contextlib.contextmanager
def running(policy, **rest):
    """A server in a thread."""
    from operant.language.serve.http import Server, served

    server = Server(served("tiny", policy), port=0, **rest)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server
    finally:
        server.stop()
        thread.join()


class Script:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self):
        self.asked, self.headers, self.answers = [], [], []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                script.asked.append((self.path, body))
                script.headers.append(dict(self.headers))
                answer = script.answers.pop(0) if script.answers else (200, said("x"))
                if callable(answer):
                    answer = answer(body)
                status, content, *headers = answer
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers:
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def client(self, **rest):
        from operant.language.serve.client import Client

        return Client(self.url, "m", **{"wait": 0.01, "timeout": 2.0} | rest)


def said(*texts, **rest):
    return {"choices": [{"index": i, "text": t, "finish_reason": "stop", **rest} for i, t in enumerate(texts)]}


def failure(status, message="no", *headers):
    return (status, {"error": {"message": message}}, *headers)
