"""What keeps others out of a server without a password: names of this machine, pages of others, and types of bodies."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from operant.language.serve.client import LOOPBACK
from operant.language.serve.protocol import RequestError


class Guard:
    """Lets pass what comes from this machine and not from another site's page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or 415, or hand on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refused: RequestError | None = None
        if _name(f"//{request.headers.get('host', '')}") not in LOOPBACK:
            refused = RequestError("this server answers to 127.0.0.1 and localhost only", status=403)
        elif (origin := request.headers.get("origin")) is not None and _name(origin) not in LOOPBACK:
            refused = RequestError(f"pages of {origin} may not ask this server", status=403)
        elif request.method == "POST" and _kind(request) != "application/json":
            refused = RequestError("the body must be application/json (Content-Type)", status=415)
        answer = self.app if refused is None else failed(refused)
        await answer(scope, receive, send)


def failed(error: RequestError, headers: Any = None) -> JSONResponse:
    """The answer that tells of a mistake."""
    retry = {"Retry-After": "1"} if error.status in (429, 503) else {}
    return JSONResponse(error.body, error.status, {**(headers or {}), **retry})


def _name(address: str) -> str | None:
    """The host of an address, without its port."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
