"""Any server that speaks OpenAI's protocol as a sampler: prompts in, texts out, and log-probabilities if it tells them.

Known to work with `operant serve` and `transformers serve`. What a server does not answer is never an empty text: it
is an error, after a few tries.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

from operant.config.bounded import LARGEST, loads
from operant.config.errors import ConfigError, OperantError
from operant.config.text import whole

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""What a machine calls itself."""
AGAIN = (408, 409, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""
LONGEST = 30.0
"""Seconds between two tries, at most."""

Message = Mapping[str, str]


class ServerError(OperantError):
    """A server that cannot be reached, refuses, or answers what is no answer.

    Args:
        message: what, where, and what it said.
        status: of its answer; None if there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One completion."""

    prompt: int  # index of the prompt
    sample: int
    text: str
    finish: str  # "stop", "length", or what else the server says
    tokens: tuple[str, ...] | None = None  # as text; None where the server tells none
    logp: tuple[float, ...] | None = None  # of each token, as the server means it
    top: tuple[Mapping[str, float], ...] = ()  # the most probable tokens at each


class Client:
    """A server, and the model that it is asked for.

    Args:
        url: of the API, as in http://127.0.0.1:8000/v1.
        model: the name it has there; the first that the server lists if None.
        key: the name of the environment variable with the key; no key is sent if None. A key is sent to https, or to
            this machine, only.
        timeout: seconds for one try.
        tries: of one request, where the server is busy or broken.
        wait: seconds before the second try; twice as many before each next one, unless the server says how many.
        limit: seconds for all tries of one request.
        together: requests under way at once.

    Attributes:
        asked, failed, again: requests, those that failed for good, and tries that were repeated.

    Raises:
        ConfigError: if the address is none, the variable is not set, or the key would travel in the open.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        tries: int = 5,
        wait: float = 0.5,
        limit: float = 300.0,
        together: int = 16,
    ) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ConfigError(f'asking a server needs a package ({error}): pip install "operant[serve]"') from None
        host = _host(url)
        headers: dict[str, str] = {}
        if key is not None:
            if not (secret := os.environ.get(key, "").strip()):
                raise ConfigError(f"the environment variable {key} is not set: put the key for {url} into it")
            if not (secret.isascii() and secret.isprintable()):
                raise ConfigError(f"the environment variable {key} holds what is no key: put the key for {url} into it")
            if not url.startswith("https://") and host not in LOOPBACK:
                raise ConfigError(f"{url} is not https: the key in {key} would travel in the open")
            headers["Authorization"] = f"Bearer {secret}"
        if tries < 1 or together < 1:
            raise ConfigError(f"tries is {tries} and together {together}: give at least 1 of each")
        self.url, self.model, self.together = url, model, together
        self.tries, self.wait, self.limit = tries, wait, limit
        self.asked = self.failed = self.again = 0
        self._errors: tuple[type[Exception], ...] = (httpx2.RequestError,)
        self._late: type[Exception] = httpx2.TimeoutException
        self._http = httpx2.Client(
            headers=headers, timeout=timeout, follow_redirects=False,
            trust_env=host not in LOOPBACK,  # no proxy stands between this machine and itself
            limits=httpx2.Limits(max_connections=together),
        )  # fmt: skip
        self._several = True  # whether the server understands n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def models(self) -> list[str]:
        """The models that the server lists.

        Raises:
            ServerError: if it does not.
        """
        found = self._ask("GET", "models", None)
        try:
            return [str(card["id"]) for card in found["data"]]
        except (KeyError, TypeError, IndexError) as error:
            raise ServerError(f"{self.url}/models: no list of models ({error!r})") from error

    def generate(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        samples: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 256,
        seed: int | None = None,
        stop: Sequence[str] = (),
        logprobs: bool = False,
        top: int = 0,
        **rest: Any,
    ) -> list[Reply]:
        """`samples` completions of each prompt, prompt by prompt.

        Args:
            prompts: texts to go on from (/completions), or messages to answer (/chat/completions).
            samples: of each prompt.
            temperature, max_tokens, stop: as OpenAI's; `top_p` and whatever else the server knows may follow.
            seed: of all draws. Each prompt and request gets a seed of its own from it, so that prompts are independent.
            logprobs: ask for the log-probabilities of the tokens.
            top: ask for so many of the most probable tokens, too.

        Raises:
            ServerError: if one cannot be had, after all tries; what was asked before it is lost.
        """
        body = {"temperature": temperature, "max_tokens": max_tokens, **rest}
        if stop:
            body["stop"] = list(stop)

        def ask(i: int) -> list[Reply]:
            prompt = prompts[i]
            chat = not isinstance(prompt, str)
            given: dict[str, Any] = {"messages": [dict(m) for m in prompt]} if chat else {"prompt": prompt}
            if chat and (logprobs or top):
                given |= {"logprobs": True, "top_logprobs": top}
            elif logprobs or top:
                given["logprobs"] = top
            return self._samples("chat/completions" if chat else "completions", body | given, i, samples, seed)

        if self.model is None:
            self.model = self._first()
        if len(prompts) == 1:
            return ask(0)
        pool = ThreadPoolExecutor(self.together)
        try:
            return [reply for found in pool.map(ask, range(len(prompts))) for reply in found]
        finally:
            pool.shutdown(cancel_futures=True)

    def _first(self) -> str:
        names = self.models()
        if not names:
            raise ServerError(f"{self.url} lists no model: name one, as in Client(url, model)")
        return names[0]

    def _samples(self, path: str, body: dict[str, Any], prompt: int, samples: int, seed: int | None) -> list[Reply]:
        """Samples of one prompt, in as few requests as the server can do."""
        found: list[Reply] = []
        while len(found) < samples:
            left = samples - len(found)
            asked = body | {"model": self.model}
            if self._several and left > 1:
                asked["n"] = min(left, 128)
            if seed is not None:
                asked["seed"] = derived(seed, prompt, len(found))
            try:
                choices = self._choices(path, self._ask("POST", path, asked))
            except ServerError as error:
                if "n" not in asked or error.status not in (400, 422):
                    raise
                self._several = False  # perhaps it is n that it does not like; if not, it will say so again
                continue
            self._several = self._several and (left == 1 or len(choices) > 1)
            try:
                found += [_reply(c, prompt, len(found) + k) for k, c in enumerate(choices[:left])]
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                raise ServerError(f"{self.url}/{path}: log-probabilities of another form ({error!r})") from error
        return found

    def _choices(self, path: str, answer: Any) -> list[Mapping[str, Any]]:
        try:
            choices = sorted(answer["choices"], key=lambda c: c["index"])
            for choice in choices:
                if not isinstance(_text(choice), str):
                    raise TypeError("a choice without text")
            if choices:
                return choices
        except (KeyError, TypeError, AttributeError) as error:
            raise ServerError(f"{self.url}/{path}: an answer without choices ({error!r})") from error
        raise ServerError(f"{self.url}/{path}: an answer without choices")

    def _ask(self, method: str, path: str, body: Any) -> Any:
        """One request, tried again where that may help."""
        self.asked += 1
        end, why = time.monotonic() + self.limit, ServerError("")
        for attempt in range(self.tries):
            pause = min(self.wait * 2**attempt, LONGEST)
            try:
                status, headers, content = self._answer(method, path, body, end)
            except self._errors as error:
                late = isinstance(error, self._late)
                what = "no answer in time" if late else "cannot be reached"
                why = ServerError(f"{self.url}/{path}: {what} ({error})")
            else:
                if 200 <= status < 300:
                    try:
                        return loads(content)
                    except ValueError as error:
                        self.failed += 1
                        raise ServerError(f"{self.url}/{path}: an answer that is not JSON ({error})") from None
                why = ServerError(f"{self.url}/{path}: {status} {_said(content)}", status=status)
                if status not in AGAIN:
                    break
                pause = min(_seconds(headers.get("retry-after"), pause), LONGEST)
            if attempt + 1 == self.tries or time.monotonic() + pause > end:
                break
            self.again += 1
            time.sleep(pause)
        self.failed += 1
        raise why

    def _answer(self, method: str, path: str, body: Any, end: float) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one answer, of which no more is read than an answer may have, and no longer."""
        content = b""
        with self._http.stream(method, f"{self.url.rstrip('/')}/{path}", json=body) as answer:
            for part in answer.iter_bytes():
                content += part
                if len(content) > LARGEST or time.monotonic() > end:
                    self.failed += 1
                    what = f"more than {LARGEST:,} bytes" if len(content) > LARGEST else "no end in time"
                    raise ServerError(f"{self.url}/{path}: an answer of {what}")
            return answer.status_code, answer.headers, content


def derived(seed: int, *index: int) -> int:
    """A seed in [0, 2³¹) for one of many requests."""
    text = "/".join(map(str, (seed, *index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") % 2**31


def _reply(choice: Mapping[str, Any], prompt: int, sample: int) -> Reply:
    told = choice.get("logprobs") or {}
    tokens = logp = None
    top: list[Mapping[str, float]] = []
    if told.get("content") is not None:
        entries = cast("list[Mapping[str, Any]]", told["content"])
        tokens, logp = tuple(str(e["token"]) for e in entries), tuple(float(e["logprob"]) for e in entries)
        top = [{str(t["token"]): float(t["logprob"]) for t in e.get("top_logprobs") or ()} for e in entries]
    elif told.get("tokens") is not None and told.get("token_logprobs") is not None:
        tokens, logp = tuple(map(str, told["tokens"])), tuple(float(x) for x in told["token_logprobs"])
        top = [dict(each or {}) for each in told.get("top_logprobs") or ()]
    return Reply(
        prompt=prompt, sample=sample, text=whole(_text(choice)), finish=str(choice.get("finish_reason")), tokens=tokens,
        logp=logp, top=tuple(top) if any(top) else (),
    )  # fmt: skip


def _text(choice: Mapping[str, Any]) -> Any:
    """A model that only called tools has said nothing: null."""
    return (choice["message"]["content"] or "") if "message" in choice else choice["text"]


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        host = scheme = None
    if not host or scheme not in ("http", "https"):
        raise ConfigError(f"{url!r} is no address of a server: write it as http://127.0.0.1:8000/v1")
    return host


def _said(content: bytes) -> str:
    """What a server says went wrong, in one line."""
    try:
        body = loads(content)
        error = body.get("error", body.get("detail", body))
        text = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = content[:300].decode("utf-8", "replace")
    return " ".join(str(text).split())[:300]


def _seconds(header: str | None, otherwise: float) -> float:
    try:
        return otherwise if header is None or math.isnan(seconds := float(header)) else max(seconds, 0.0)
    except ValueError:
        return otherwise
