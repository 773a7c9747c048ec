"""Notes with tags."""

from __future__ import annotations

from operant.agents.desk.endpoints import ApiError, Desk, endpoint, filled
from operant.agents.store import Row, like

ALL = "SELECT id, title, at, pinned FROM notes"
FULL = 20_000
"""Characters of a note."""
NEWEST = "ORDER BY at DESC, id DESC"


def _shown(row: Row) -> Row:
    return row | {"pinned": bool(row["pinned"])}


@endpoint("notes")
def list_(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Titles of all notes, newest first; notes.get gives the text."""
    return [_shown(r) for r in desk.page(f"{ALL} {NEWEST}", page=page, limit=limit)]


@endpoint("notes")
def search(desk: Desk, query: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Titles of notes whose title or text holds a text, newest first."""
    sql = f"{ALL} WHERE title LIKE ? ESCAPE '\\' OR body LIKE ? ESCAPE '\\' {NEWEST}"
    return [_shown(r) for r in desk.page(sql, like(query), like(query), page=page, limit=limit)]


@endpoint("notes")
def get(desk: Desk, id: int) -> Row:
    """One note: title, body, tags."""
    found = _shown(desk.need("notes", id, "note"))
    tags = desk.store.rows("SELECT tag FROM tags WHERE note_id = ? ORDER BY tag", id)
    return found | {"tags": [row["tag"] for row in tags]}


@endpoint("notes")
def create(desk: Desk, title: str, body: str = "") -> Row:
    """Write a note."""
    id = desk.store.insert("notes", title=filled(title, "title"), body=body, at=desk.store.now)
    return {"message": "written", "id": id}


@endpoint("notes")
def append(desk: Desk, id: int, text: str) -> Row:
    """Add a line to the end of a note."""
    body = desk.need("notes", id, "note")["body"]
    if len(body) + len(text) > FULL:
        raise ApiError(409, f"the note is full: it holds {FULL:,} characters at most")
    desk.store.update("notes", id, body=f"{body}\n{filled(text, 'text')}" if body else text)
    return {"message": "added"}


@endpoint("notes")
def update(desk: Desk, id: int, title: str | None = None, body: str | None = None) -> Row:
    """Change a note's title or body; what is not given stays."""
    desk.need("notes", id, "note")
    values = {key: value for key, value in {"title": title, "body": body}.items() if value is not None}
    if not values:
        raise ApiError(422, "give a title or a body")
    desk.store.update("notes", id, **values)
    return {"message": "changed"}


@endpoint("notes")
def delete(desk: Desk, id: int) -> Row:
    """Delete a note."""
    desk.need("notes", id, "note")
    desk.store.delete("notes", id)
    return {"message": "deleted"}


@endpoint("notes")
def pin(desk: Desk, id: int, pinned: bool = True) -> Row:
    """Pin a note, or unpin it with pinned=False."""
    desk.need("notes", id, "note")
    desk.store.update("notes", id, pinned=int(pinned))
    return {"message": "done"}


@endpoint("notes")
def pinned(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """Titles of pinned notes, newest first."""
    return [_shown(r) for r in desk.page(f"{ALL} WHERE pinned = 1 {NEWEST}", page=page, limit=limit)]


@endpoint("notes")
def tags(desk: Desk) -> list[str]:
    """All tags."""
    return [row["tag"] for row in desk.store.rows("SELECT DISTINCT tag FROM tags ORDER BY tag")]


@endpoint("notes")
def tagged(desk: Desk, tag: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Titles of notes with a tag, newest first."""
    sql = f"{ALL} WHERE id IN (SELECT note_id FROM tags WHERE tag = ?) {NEWEST}"
    return [_shown(r) for r in desk.page(sql, tag, page=page, limit=limit)]


@endpoint("notes")
def add_tag(desk: Desk, id: int, tag: str) -> Row:
    """Give a note a tag."""
    desk.need("notes", id, "note")
    if desk.store.row("SELECT id FROM tags WHERE note_id = ? AND tag = ?", id, tag):
        raise ApiError(409, "the note has this tag already")
    desk.store.insert("tags", note_id=id, tag=filled(tag, "tag"))
    return {"message": "added"}


@endpoint("notes")
def remove_tag(desk: Desk, id: int, tag: str) -> Row:
    """Take a tag from a note."""
    found = desk.store.row("SELECT id FROM tags WHERE note_id = ? AND tag = ?", id, tag)
    if found is None:
        raise ApiError(404, f"note {id} has no tag {tag[:40]!r}")
    desk.store.delete("tags", found["id"])
    return {"message": "removed"}
