"""Text messages of the phone."""

from __future__ import annotations

from operant.agents.desk.endpoints import ApiError, Desk, endpoint, filled
from operant.agents.store import Row, like

ALL = "SELECT id, number, direction, text, at, unread, starred FROM messages"
NEWEST = "ORDER BY at DESC, id DESC"


def shown(row: Row) -> Row:
    """A message as it is answered."""
    return row | {"unread": bool(row["unread"]), "starred": bool(row["starred"])}


@endpoint("messages")
def search(desk: Desk, query: str = "", number: str = "", page: int = 0, limit: int = 5) -> list[Row]:
    """Messages whose text holds the query, from or to a number if one is given, newest first."""
    where, values = "WHERE text LIKE ? ESCAPE '\\'", [like(query)]
    if number:
        where, values = where + " AND number = ?", [*values, number]
    return [shown(r) for r in desk.page(f"{ALL} {where} {NEWEST}", *values, page=page, limit=limit)]


@endpoint("messages")
def conversations(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Numbers one has written with, and how many messages; the latest first."""
    sql = "SELECT number, COUNT(*) AS messages, MAX(at) AS latest FROM messages GROUP BY number"
    return desk.page(f"{sql} ORDER BY latest DESC, number", page=page, limit=limit)


@endpoint("messages")
def thread(desk: Desk, number: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Messages from and to a number, newest first."""
    return [shown(r) for r in desk.page(f"{ALL} WHERE number = ? {NEWEST}", number, page=page, limit=limit)]


@endpoint("messages")
def unread(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Messages that are not read yet, newest first."""
    return [shown(r) for r in desk.page(f"{ALL} WHERE unread = 1 {NEWEST}", page=page, limit=limit)]


@endpoint("messages")
def starred(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Messages with a star, newest first."""
    return [shown(r) for r in desk.page(f"{ALL} WHERE starred = 1 {NEWEST}", page=page, limit=limit)]


@endpoint("messages")
def get(desk: Desk, id: int) -> Row:
    """One message."""
    return shown(desk.need("messages", id, "message"))


@endpoint("messages")
def send(desk: Desk, number: str, text: str) -> Row:
    """Send a text to a phone number."""
    if not number.isdecimal() or len(number) != 7:
        raise ApiError(422, "number must be seven digits, as contacts.search gives it")
    at = desk.store.now
    id = desk.store.insert("messages", number=number, direction="out", text=filled(text, "text"), at=at)
    return {"message": "sent", "id": id}


def _flag(desk: Desk, id: int, **values: int) -> Row:
    desk.need("messages", id, "message")
    desk.store.update("messages", id, **values)
    return {"message": "done"}


@endpoint("messages")
def mark_read(desk: Desk, id: int) -> Row:
    """Mark a message as read."""
    return _flag(desk, id, unread=0)


@endpoint("messages")
def mark_unread(desk: Desk, id: int) -> Row:
    """Mark a message as not read."""
    return _flag(desk, id, unread=1)


@endpoint("messages")
def star(desk: Desk, id: int) -> Row:
    """Give a message a star."""
    return _flag(desk, id, starred=1)


@endpoint("messages")
def unstar(desk: Desk, id: int) -> Row:
    """Take a message's star away."""
    return _flag(desk, id, starred=0)


@endpoint("messages")
def delete(desk: Desk, id: int) -> Row:
    """Delete a message."""
    desk.need("messages", id, "message")
    desk.store.delete("messages", id)
    return {"message": "deleted"}
