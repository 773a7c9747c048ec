"""The owner's own data, the documentation of all apps, and the end of a task."""

from __future__ import annotations

from typing import Any

from operant.agents.desk.endpoints import ApiError, Desk, Endpoint, endpoint
from operant.agents.store import Row

DOES = {
    "desk": "the owner's profile, passwords and clock, and the end of the task",
    "api_docs": "what every app can do",
    "messages": "text messages of the phone",
    "contacts": "people whom the owner knows, and their groups",
    "payments": "money from friend to friend",
    "notes": "notes with tags",
    "mail": "electronic mail in folders",
    "shop": "products, cart, orders, reviews",
    "calendar": "events and their guests",
}


@endpoint("desk")
def profile(desk: Desk) -> Row:
    """The owner's name, number, email and payments username."""
    me = desk.store.rows("SELECT name, number, email, username FROM me")
    return me[0]


@endpoint("desk")
def passwords(desk: Desk) -> dict[str, str]:
    """The owner's password for every app that needs a login."""
    return {row["app"]: row["password"] for row in desk.store.rows("SELECT app, password FROM passwords ORDER BY app")}


@endpoint("desk")
def now(desk: Desk) -> str:
    """Date and time of this world, YYYY-MM-DD HH:MM."""
    return desk.store.now


@endpoint("desk")
def complete(desk: Desk, answer: object | None = None) -> dict[str, str]:
    """Say that the task is done; answer only where it asks for one. Nothing can be done after it."""
    desk.completed, desk.answer = True, answer  # type: ignore[assignment]
    return {"message": "the task is complete"}


@endpoint("api_docs")
def apps(desk: Desk) -> dict[str, str]:
    """The apps, and what each is for."""
    return {app: DOES[app] for app in dict.fromkeys(e.app for e in desk.offered.values())}


@endpoint("api_docs")
def app(desk: Desk, name: str) -> dict[str, str]:
    """The calls of an app: signature and what it does."""
    found = {e.signature: e.doc for e in desk.offered.values() if e.app == name}
    if not found:
        raise ApiError(404, f"there is no app {name[:40]!r}: api_docs.apps() lists them")
    desk.read.update(e.full for e in desk.offered.values() if e.app == name)
    return found


@endpoint("api_docs")
def call(desk: Desk, name: str) -> Row:
    """All about one call, named like "payments.send"."""
    found = desk.offered.get(name)
    if found is None:
        raise ApiError(404, f"there is no call {name[:60]!r}: api_docs.app(name) lists those of an app")
    desk.read.add(name)
    return _described(desk, found)


@endpoint("api_docs")
def search(desk: Desk, query: str, limit: int = 5) -> list[Row]:
    """Calls whose name or description holds all words of the query."""
    words = query.lower().split()
    if not 1 <= limit <= 20:
        raise ApiError(422, "limit must be from 1 to 20")
    found = [e for e in desk.offered.values() if all(w in f"{e.full} {e.doc}".lower() for w in words)][:limit]
    desk.read.update(e.full for e in found)
    return [_described(desk, e) for e in found]


def _described(desk: Desk, found: Endpoint) -> Row:
    parameters: list[Any] = [str(p) for p in found.parameters]
    needs = desk.locks and found.locked
    return {"call": found.full, "does": found.doc, "parameters": parameters, "needs_login": needs}
