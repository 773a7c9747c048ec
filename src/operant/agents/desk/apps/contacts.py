"""People whom the owner knows."""

from __future__ import annotations

from operant.agents.desk.endpoints import ApiError, Desk, endpoint, filled
from operant.agents.store import Row, like

ALL = "SELECT id, name, number, email, relation, birthday FROM contacts"


@endpoint("contacts")
def list_(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """All contacts by name."""
    return desk.page(f"{ALL} ORDER BY name, id", page=page, limit=limit)


@endpoint("contacts")
def search(desk: Desk, name: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Contacts whose name holds a text."""
    return desk.page(f"{ALL} WHERE name LIKE ? ESCAPE '\\' ORDER BY name, id", like(name), page=page, limit=limit)


@endpoint("contacts")
def get(desk: Desk, id: int) -> Row:
    """One contact."""
    return desk.need("contacts", id, "contact")


@endpoint("contacts")
def by_number(desk: Desk, number: str) -> Row:
    """The contact with a phone number."""
    return _one(desk, "number", number)


@endpoint("contacts")
def by_email(desk: Desk, email: str) -> Row:
    """The contact with an email address."""
    return _one(desk, "email", email)


def _one(desk: Desk, column: str, value: str) -> Row:
    found = desk.store.row(f"{ALL} WHERE {column} = ?", value)
    if found is None:
        raise ApiError(404, f"no contact has the {column} {value[:60]!r}")
    return found


@endpoint("contacts")
def by_relation(desk: Desk, relation: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Contacts of a relation: friend, colleague, family, neighbour."""
    return desk.page(f"{ALL} WHERE relation = ? ORDER BY name, id", relation.lower(), page=page, limit=limit)


@endpoint("contacts")
def add(desk: Desk, name: str, number: str, email: str = "", relation: str = "friend") -> Row:
    """Add a contact."""
    values = {"name": filled(name, "name"), "number": filled(number, "number"), "email": email, "relation": relation}
    return {"message": "added", "id": desk.store.insert("contacts", **values, birthday="")}


@endpoint("contacts")
def update(desk: Desk, id: int, name: str | None = None, number: str | None = None, email: str | None = None) -> Row:
    """Change a contact's name, number or email; what is not given stays."""
    desk.need("contacts", id, "contact")
    given = {"name": name, "number": number, "email": email}
    values = {key: filled(value, key) for key, value in given.items() if value is not None}
    if not values:
        raise ApiError(422, "give a name, a number or an email")
    desk.store.update("contacts", id, **values)
    return {"message": "changed"}


@endpoint("contacts")
def delete(desk: Desk, id: int) -> Row:
    """Delete a contact."""
    desk.need("contacts", id, "contact")
    desk.store.delete("contacts", id)
    return {"message": "deleted"}


@endpoint("contacts")
def groups(desk: Desk) -> list[str]:
    """The names of all groups."""
    return [row["label"] for row in desk.store.rows("SELECT DISTINCT label FROM members ORDER BY label")]


@endpoint("contacts")
def group(desk: Desk, name: str, page: int = 0, limit: int = 5) -> list[Row]:
    """The contacts in a group, by name."""
    where = "WHERE id IN (SELECT contact_id FROM members WHERE label = ?) ORDER BY name, id"
    return desk.page(f"{ALL} {where}", name, page=page, limit=limit)


@endpoint("contacts")
def add_to_group(desk: Desk, id: int, name: str) -> Row:
    """Put a contact into a group; a new name makes a new group."""
    desk.need("contacts", id, "contact")
    if desk.store.row("SELECT id FROM members WHERE label = ? AND contact_id = ?", name, id):
        raise ApiError(409, "the contact is in this group already")
    desk.store.insert("members", label=filled(name, "name"), contact_id=id)
    return {"message": "added"}


@endpoint("contacts")
def remove_from_group(desk: Desk, id: int, name: str) -> Row:
    """Take a contact out of a group."""
    found = desk.store.row("SELECT id FROM members WHERE label = ? AND contact_id = ?", name, id)
    if found is None:
        raise ApiError(404, f"contact {id} is not in a group {name[:40]!r}")
    desk.store.delete("members", found["id"])
    return {"message": "removed"}
