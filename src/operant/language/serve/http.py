"""A language model over HTTP, as OpenAI's servers speak: for this machine alone.

There is no password. What keeps others out: the socket is bound to the loopback interface; the Host of a request must
be a name of it (a page of another site that has its name resolve to 127.0.0.1 keeps its own name there); a request of
another site's page (its Origin) is refused; and a body must be JSON by its type, which pages of other sites cannot
send without asking first.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from operant.config.errors import ConfigError
from operant.config.streams import say
from operant.language.serve.client import derived
from operant.language.serve.guard import Guard, failed
from operant.language.serve.hurried import Hurried
from operant.language.serve.protocol import RequestError, Served, Wanted, parse
from operant.language.serve.recorder import Recorder
from operant.language.serve.responses import Answer, ChatAnswer, CompletionAnswer
from operant.language.serve.scheduler import Ask, Delta, FullError, Scheduler

LARGEST = 4 * 2**20
"""Bytes of a request's body."""
GRACE = 0.3
"""Seconds that the step under way has when the server ends."""
CONNECTIONS = 256
"""Connections at once; more are answered that there are too many."""

Read = Callable[[Any], Wanted]


def application(served: Served, scheduler: Scheduler, *, seed: int, recorder: Recorder | None = None) -> Starlette:
    """The server's answers.

    Args:
        served: the model.
        scheduler: writes with it.
        seed: of requests that name none.
        recorder: keeps what is asked and answered under /episodes/NUMBER/v1.
    """
    asked = Asked(served, scheduler, seed, recorder)
    chat = partial(asked.answer, served.chat, ChatAnswer)
    completion = partial(asked.answer, served.completion, CompletionAnswer)
    card = {"id": served.name, "object": "model", "created": served.created, "owned_by": "operant"}

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [card]})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name != served.name:
            raise RequestError(f"The model {name!r} does not exist", status=404, param="model", code="model_not_found")
        return JSONResponse(card)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        return failed(error)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        where = f"{request.method} {request.url.path}"
        there = "there are /v1/models, /v1/chat/completions and /v1/completions"
        found = RequestError(f"{where}: {error.detail.lower()}; {there}", status=error.status_code)
        return failed(found, error.headers)

    async def broken(request: Request, error: Exception) -> Response:
        say("".join(traceback.format_exception(error)))
        return failed(RequestError(f"{type(error).__name__}: {error}", status=500))

    places = ["/v1"] if recorder is None else ["/v1", "/episodes/{episode:int}/v1"]
    app = Starlette(
        routes=[
            route
            for at in places
            for route in (
                Route(f"{at}/models", models),
                Route(f"{at}/models/{{name:path}}", model),
                Route(f"{at}/chat/completions", chat, methods=["POST"]),
                Route(f"{at}/completions", completion, methods=["POST"]),
            )
        ],
        exception_handlers={RequestError: refused, HTTPException: unknown, Exception: broken},
    )
    app.add_middleware(Guard)
    return app


class Asked:
    """What is asked of a server, and answered.

    Args:
        served, scheduler, seed, recorder: as in `application`.
    """

    def __init__(self, served: Served, scheduler: Scheduler, seed: int, recorder: Recorder | None) -> None:
        self.served, self.scheduler, self.seed, self.recorder = served, scheduler, seed, recorder
        self._count = itertools.count()

    async def answer(self, read: Read, shape: type[Answer], request: Request) -> Response:
        """Read a request, write what it asks for, and keep it where it belongs to an episode."""
        body = await _body(request)
        wanted = await asyncio.to_thread(lambda: read(parse(body)))  # long texts take a while to read
        made, episode = shape(self.served, wanted), request.path_params.get("episode")
        keep, fresh = None, partial(self._fresh, self.seed, self._count)
        if self.recorder is not None and episode is not None:
            keep = partial(_record, self.recorder, episode)
            own = derived(self.seed, episode, self.recorder.turn(episode))
            fresh = partial(self._fresh, own, itertools.count())
        writing = Writing(wanted, self.scheduler, fresh)
        if wanted.stream:
            return StreamingResponse(_events(made, writing, keep), media_type="text/event-stream")
        return await _whole(made, writing, request, keep)

    @staticmethod
    def _fresh(seed: int, count: Iterator[int]) -> tuple[int, int]:
        return seed, next(count)


class Writing:
    """The completions of one request, as they are made.

    Args:
        wanted: the request.
        scheduler: writes them.
        fresh: gives a seed and an id where the request names none.
    """

    def __init__(self, wanted: Wanted, scheduler: Scheduler, fresh: Callable[[], tuple[int, int]]) -> None:
        self.news: asyncio.Queue[tuple[int, Delta]] = asyncio.Queue()
        self.left = len(wanted.prompts) * wanted.samples
        self._loop = asyncio.get_running_loop()
        self._asks: list[Ask] = []
        for i, prompt in enumerate(wanted.prompts):
            seed, name = fresh() if wanted.seed is None else (wanted.seed, i)
            ask = Ask(
                tokens=prompt, sampling=wanted.sampling, seed=seed, id=name, samples=wanted.samples,
                stops=wanted.stops, top=wanted.top or 0,
                score=wanted.score or (wanted.echo and wanted.top is not None),
                write=wanted.write, follows=wanted.follows, tell=partial(self._tell, i * wanted.samples),
            )  # fmt: skip
            self._submit(scheduler, ask)

    async def __aiter__(self) -> AsyncIterator[tuple[int, Delta]]:
        """Choice by choice what is new, until all have ended.

        Raises:
            RequestError: if the model fails.
        """
        while self.left:
            choice, delta = await self.news.get()
            if delta.error:
                raise RequestError(delta.error, status=503 if delta.finish == "cancelled" else 500)
            self.left -= delta.finish is not None
            yield choice, delta

    def cancel(self) -> None:
        """Write no more."""
        for ask in self._asks:
            ask.cancel()

    def _submit(self, scheduler: Scheduler, ask: Ask) -> None:
        try:
            scheduler.submit(ask)
        except FullError as error:
            self.cancel()
            raise RequestError(str(error), status=429, code="rate_limit_exceeded") from None
        except ConfigError as error:
            self.cancel()
            raise RequestError(str(error), status=503) from None
        self._asks.append(ask)

    def _tell(self, first: int, delta: Delta) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self.news.put_nowait, (first + delta.sample, delta))


Keep = Callable[[Answer], None]


def _record(recorder: Recorder, episode: int, answer: Answer) -> None:
    """Keep an answer that was written to its end."""
    for choice, tokens in enumerate(answer.sampled):
        prompt = answer.wanted.prompts[choice // answer.wanted.samples]
        recorder.add(episode, prompt, tokens, cut=answer.finish[choice] == "length")


async def _events(answer: Answer, writing: Writing, keep: Keep | None) -> AsyncIterator[str]:
    """Server-sent events, the last of which is [DONE]; a client that has gone ends the writing."""
    try:
        async for choice, delta in writing:
            for chunk in answer.chunks(choice, delta):
                yield _event(chunk)
        if keep is not None:
            keep(answer)
        for chunk in answer.last():
            yield _event(chunk)
        yield "data: [DONE]\n\n"
    except RequestError as error:
        yield _event(error.body)
    finally:
        writing.cancel()


async def _whole(answer: Answer, writing: Writing, request: Request, keep: Keep | None) -> Response:
    """The answer once it is complete; a client that has gone ends the writing."""

    async def collect() -> Response:
        async for choice, delta in writing:
            answer.add(choice, delta)
        if keep is not None:
            keep(answer)
        return JSONResponse(answer.whole())

    async def gone() -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return Response(status_code=499)

    tasks = [asyncio.ensure_future(each) for each in (collect(), gone())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return await next(task for task in tasks if task in done)
    finally:
        writing.cancel()
        for task in tasks:
            task.cancel()


async def _body(request: Request) -> bytes:
    """The body, as long as it is not too long."""
    found = b""
    try:
        async for part in request.stream():
            found += part
            if len(found) > LARGEST:
                raise RequestError(f"the body has more than {LARGEST:,} bytes", status=413)
    except ClientDisconnect:
        raise RequestError("the client has gone", status=499) from None
    return found


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, allow_nan=False)}\n\n"


class _Ending(uvicorn.Server):
    """A server that ends what is being written before it closes connections."""

    def __init__(self, settings: uvicorn.Config, scheduler: Scheduler) -> None:
        super().__init__(settings)
        self._scheduler = scheduler

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell everyone that nothing follows, then close."""
        self._scheduler.close(0.0)
        await super().shutdown(sockets)


class Server:
    """A model, its scheduler, and a socket on the loopback interface.

    Args:
        served: the model.
        port: where to listen; 0 takes a free one.
        slots: completions written together.
        recorder, seed: as in `application`; a seed of its own if None.

    Attributes:
        url: where it is.

    Raises:
        ConfigError: if the port is taken.
    """

    def __init__(
        self, served: Served, *, port: int = 8000, slots: int = 16, recorder: Recorder | None = None,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind(("127.0.0.1", port))
        except OSError as error:
            self.socket.close()
            raise ConfigError(f"port {port} cannot be had ({error.strerror}): name another with --port") from None
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        self.scheduler = Scheduler(served.policy, slots=slots, length=served.length)
        seed = secrets.randbelow(2**31) if seed is None else seed
        app = application(served, self.scheduler, seed=seed, recorder=recorder)
        settings = uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=0, ws="none",
            server_header=False, http=Hurried, limit_concurrency=CONNECTIONS,
        )  # fmt: skip
        self._server = _Ending(settings, self.scheduler)

    def run(self) -> None:
        """Answer until it is interrupted or `stop` is called; what is being written then is told that it ends here."""
        try:
            self._server.run(sockets=[self.socket])
        finally:
            self.scheduler.close(GRACE)
            self.socket.close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether it answers."""
        return self._server.started


def served(name: str, policy: Any, length: int | None = None) -> Served:
    """What is served, with a length of at most 8192 tokens unless one is given.

    Raises:
        ConfigError: if the length is beyond the model's positions.
    """
    if length is not None and length > policy.max_positions:
        raise ConfigError(f"--length is {length}, but the model has {policy.max_positions} positions")
    return Served(name=name, policy=policy, length=length or min(policy.max_positions, 8192), created=int(time.time()))
