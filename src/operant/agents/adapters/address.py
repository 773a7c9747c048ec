"""Servers that worlds live in: where they are, this machine unless another is named, and JSON to and from them."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlsplit

from operant.config.bounded import LARGEST, loads
from operant.config.errors import ConfigError, EnvError
from operant.language.serve.client import LOOPBACK


def address(url: str, port: int, world: str) -> str:
    """The address of a server, without what may stand at its end; of this machine and `port` where none is named.

    Raises:
        ConfigError: if it is none.
    """
    if not url:
        return f"http://127.0.0.1:{port}"
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.username
        _ = parts.port
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{url!r} is no address of a server: write it as {world}/http://127.0.0.1:{port}")
    return url.rstrip("/")


def is_here(url: str) -> bool:
    """Whether an address is of this machine."""
    return urlsplit(url).hostname in LOOPBACK


class Post:
    """A server that is asked and answers in JSON.

    Args:
        url: its address.
        timeout: seconds of one request.

    Raises:
        ConfigError: if what asks is not installed.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ConfigError(f'asking a server needs a package ({error}): pip install "operant[serve]"') from None
        self.url = url
        self._faults: tuple[type[Exception], ...] = (httpx2.RequestError,)
        # no proxy stands between this machine and itself, and nobody is sent elsewhere
        self._http = httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=not is_here(url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers.

        Raises:
            EnvError: if it cannot be reached, refuses, or answers what is no JSON: a fault of the world.
        """
        where, content = f"{self.url}/{path}", b""
        try:
            async with self._http.stream(method, where, json=body) as answer:
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > LARGEST:
                        raise EnvError(f"{where}: an answer of more than {LARGEST:,} bytes")
                status = answer.status_code
        except self._faults as error:
            raise EnvError(f"{where}: cannot be reached ({error or type(error).__name__})") from error
        if not 200 <= status < 300:
            said = " ".join(content[:300].decode("utf-8", "replace").split())
            raise EnvError(f"{where}: {status} {said}")
        try:
            return loads(content)
        except ValueError as error:
            raise EnvError(f"{where}: an answer that is not JSON ({error})") from None
