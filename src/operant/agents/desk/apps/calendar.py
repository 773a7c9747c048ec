"""Events and their guests."""

from __future__ import annotations

from datetime import date, datetime

from operant.agents.desk.endpoints import ApiError, Desk, endpoint, filled
from operant.agents.store import Row, like

ALL = "SELECT id, title, day, start, minutes, place, status FROM events"
SOONEST = "ORDER BY day, start, id"


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ApiError(422, f"{text[:20]!r} is no day: write YYYY-MM-DD") from None


def _start(text: str) -> str:
    try:
        return datetime.strptime(text, "%H:%M").strftime("%H:%M")
    except ValueError:
        raise ApiError(422, f"{text[:20]!r} is no time: write HH:MM") from None


def _minutes(minutes: int) -> int:
    if not 5 <= minutes <= 1440:
        raise ApiError(422, "minutes must be from 5 to 1440")
    return minutes


@endpoint("calendar")
def list_(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """All events from the first to the last."""
    return desk.page(f"{ALL} {SOONEST}", page=page, limit=limit)


@endpoint("calendar")
def on(desk: Desk, day: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Events on a day, YYYY-MM-DD."""
    return desk.page(f"{ALL} WHERE day = ? {SOONEST}", _day(day), page=page, limit=limit)


@endpoint("calendar")
def search(desk: Desk, query: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Events whose title or place holds a text."""
    sql = f"{ALL} WHERE title LIKE ? ESCAPE '\\' OR place LIKE ? ESCAPE '\\' {SOONEST}"
    return desk.page(sql, like(query), like(query), page=page, limit=limit)


@endpoint("calendar")
def get(desk: Desk, id: int) -> Row:
    """One event with its guests' addresses."""
    found = desk.need("events", id, "event")
    guests = desk.store.rows("SELECT email FROM guests WHERE event_id = ? ORDER BY email", id)
    return found | {"guests": [row["email"] for row in guests]}


@endpoint("calendar")
def create(desk: Desk, title: str, day: str, start: str, minutes: int = 60, place: str = "") -> Row:
    """Enter an event: day YYYY-MM-DD, start HH:MM."""
    values = {"title": filled(title, "title"), "day": _day(day), "start": _start(start), "minutes": _minutes(minutes)}
    return {"message": "entered", "id": desk.store.insert("events", **values, place=place, status="accepted")}


@endpoint("calendar")
def update(
    desk: Desk,
    id: int,
    title: str | None = None,
    day: str | None = None,
    start: str | None = None,
    minutes: int | None = None,
    place: str | None = None,
) -> Row:
    """Change an event; what is not given stays."""
    desk.need("events", id, "event")
    values: dict[str, str | int] = {}
    values |= {} if title is None else {"title": filled(title, "title")}
    values |= {} if day is None else {"day": _day(day)}
    values |= {} if start is None else {"start": _start(start)}
    values |= {} if minutes is None else {"minutes": _minutes(minutes)}
    values |= {} if place is None else {"place": place}
    if not values:
        raise ApiError(422, "give what is to change: title, day, start, minutes, place")
    desk.store.update("events", id, **values)
    return {"message": "changed"}


@endpoint("calendar")
def delete(desk: Desk, id: int) -> Row:
    """Delete an event."""
    desk.need("events", id, "event")
    desk.store.delete("events", id)
    return {"message": "deleted"}


@endpoint("calendar")
def invitations(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Events that wait for an answer."""
    return desk.page(f"{ALL} WHERE status = 'invited' {SOONEST}", page=page, limit=limit)


@endpoint("calendar")
def accept(desk: Desk, id: int) -> Row:
    """Accept an invitation."""
    return _answered(desk, id, "accepted")


@endpoint("calendar")
def decline(desk: Desk, id: int) -> Row:
    """Decline an invitation."""
    return _answered(desk, id, "declined")


def _answered(desk: Desk, id: int, status: str) -> Row:
    if desk.need("events", id, "event")["status"] != "invited":
        raise ApiError(409, f"event {id} does not wait for an answer")
    desk.store.update("events", id, status=status)
    return {"message": status}


@endpoint("calendar")
def invite(desk: Desk, id: int, email: str) -> Row:
    """Invite an address to an event."""
    desk.need("events", id, "event")
    if "@" not in email or any(c.isspace() for c in email):
        raise ApiError(422, f"{email[:60]!r} is no mail address: contacts.search gives them")
    if desk.store.row("SELECT id FROM guests WHERE event_id = ? AND email = ?", id, email):
        raise ApiError(409, "this address is invited already")
    desk.store.insert("guests", event_id=id, email=email)
    return {"message": "invited"}


@endpoint("calendar")
def uninvite(desk: Desk, id: int, email: str) -> Row:
    """Take back an invitation to an event."""
    found = desk.store.row("SELECT id FROM guests WHERE event_id = ? AND email = ?", id, email)
    if found is None:
        raise ApiError(404, f"{email[:60]!r} is not invited to event {id}")
    desk.store.delete("guests", found["id"])
    return {"message": "done"}
