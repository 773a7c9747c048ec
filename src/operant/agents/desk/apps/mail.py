"""Electronic mail in folders."""

from __future__ import annotations

from operant.agents.desk.endpoints import ApiError, Desk, endpoint, filled
from operant.agents.store import Row, like

ALL = "SELECT id, folder, sender, recipient, subject, at, unread, flagged FROM mails"
NEWEST = "ORDER BY at DESC, id DESC"
FOLDERS = ("inbox", "sent", "archive", "trash")


def _shown(row: Row) -> Row:
    return row | {"unread": bool(row["unread"]), "flagged": bool(row["flagged"])}


def _address(text: str) -> str:
    name, at, host = text.partition("@")
    if not (name and at and "." in host) or any(c.isspace() for c in text):
        raise ApiError(422, f"{text[:60]!r} is no mail address: contacts.search gives them")
    return text


@endpoint("mail")
def login(desk: Desk, password: str) -> dict[str, str]:
    """Log in; the other calls of this app need it."""
    return desk.login("mail", password)


@endpoint("mail", locked=True)
def folder(desk: Desk, name: str = "inbox", page: int = 0, limit: int = 5) -> list[Row]:
    """Mails in a folder (inbox, sent, archive, trash) without their text, newest first."""
    if name not in FOLDERS:
        raise ApiError(404, f"there is no folder {name[:40]!r}: {', '.join(FOLDERS)}")
    return [_shown(r) for r in desk.page(f"{ALL} WHERE folder = ? {NEWEST}", name, page=page, limit=limit)]


@endpoint("mail", locked=True)
def search(desk: Desk, query: str = "", sender: str = "", page: int = 0, limit: int = 5) -> list[Row]:
    """Mails in all folders whose subject or text holds the query, of a sender's address if given, newest first."""
    where, values = "WHERE (subject LIKE ? ESCAPE '\\' OR body LIKE ? ESCAPE '\\')", [like(query)] * 2
    if sender:
        where, values = where + " AND sender = ?", [*values, sender]
    return [_shown(r) for r in desk.page(f"{ALL} {where} {NEWEST}", *values, page=page, limit=limit)]


@endpoint("mail", locked=True)
def get(desk: Desk, id: int) -> Row:
    """One mail with its text."""
    return _shown(desk.need("mails", id, "mail"))


@endpoint("mail", locked=True)
def unread(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Mails of the inbox that are not read, newest first."""
    sql = f"{ALL} WHERE unread = 1 AND folder = 'inbox' {NEWEST}"
    return [_shown(r) for r in desk.page(sql, page=page, limit=limit)]


@endpoint("mail", locked=True)
def flagged(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Mails with a flag, newest first."""
    return [_shown(r) for r in desk.page(f"{ALL} WHERE flagged = 1 {NEWEST}", page=page, limit=limit)]


@endpoint("mail", locked=True)
def send(desk: Desk, to: str, subject: str, body: str) -> Row:
    """Write a mail to an address."""
    mine = desk.store.rows("SELECT email FROM me")[0]["email"]
    values = {"folder": "sent", "sender": mine, "recipient": _address(to), "subject": filled(subject, "subject")}
    return {"message": "sent", "id": desk.store.insert("mails", **values, body=body, at=desk.store.now)}


@endpoint("mail", locked=True)
def reply(desk: Desk, id: int, body: str) -> Row:
    """Answer a mail."""
    found = desk.need("mails", id, "mail")
    return send(desk, found["sender"], f"Re: {found['subject']}", filled(body, "body"))


@endpoint("mail", locked=True)
def forward(desk: Desk, id: int, to: str) -> Row:
    """Send a mail on to an address."""
    found = desk.need("mails", id, "mail")
    return send(desk, to, f"Fwd: {found['subject']}", found["body"])


@endpoint("mail", locked=True)
def move(desk: Desk, id: int, folder: str) -> Row:
    """Move a mail to a folder: inbox, archive, trash."""
    desk.need("mails", id, "mail")
    if folder not in ("inbox", "archive", "trash"):
        raise ApiError(422, "folder must be inbox, archive or trash")
    desk.store.update("mails", id, folder=folder)
    return {"message": "moved"}


@endpoint("mail", locked=True)
def mark_read(desk: Desk, id: int, read: bool = True) -> Row:
    """Mark a mail as read, or as unread with read=False."""
    desk.need("mails", id, "mail")
    desk.store.update("mails", id, unread=int(not read))
    return {"message": "done"}


@endpoint("mail", locked=True)
def flag(desk: Desk, id: int, flagged: bool = True) -> Row:
    """Flag a mail, or take the flag away with flagged=False."""
    desk.need("mails", id, "mail")
    desk.store.update("mails", id, flagged=int(flagged))
    return {"message": "done"}


@endpoint("mail", locked=True)
def delete(desk: Desk, id: int) -> Row:
    """Delete a mail for good."""
    desk.need("mails", id, "mail")
    desk.store.delete("mails", id)
    return {"message": "deleted"}
