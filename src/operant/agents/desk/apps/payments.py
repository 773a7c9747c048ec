"""Money from friend to friend."""

from __future__ import annotations

from typing import Any

from operant.agents.desk.endpoints import ApiError, Desk, cents, endpoint
from operant.agents.store import Row, like

USERS = "SELECT username, name, number, friend FROM users"
PAID = "SELECT id, sender, receiver, amount, note, at, liked FROM transactions"
ASKED = "SELECT id, sender, payer, amount, note, at, status FROM requests"


def shown(row: Row) -> Row:
    """A transaction, a request or a user as it is answered: money in whole units, flags as such."""
    money: dict[str, Any] = {"amount": row["amount"] / 100} if "amount" in row else {}
    return row | money | {key: bool(row[key]) for key in ("friend", "liked") if key in row}


def _me(desk: Desk) -> str:
    found = desk.store.rows("SELECT username FROM me")
    return found[0]["username"]


def balance_of(desk: Desk) -> int:
    """What the owner has, in cents."""
    me, total = _me(desk), "SELECT COALESCE(SUM(amount), 0) AS n FROM transactions"
    start = desk.store.rows("SELECT balance AS n FROM me")[0]["n"]
    got = desk.store.rows(f"{total} WHERE receiver = ?", me)[0]["n"]
    return start + got - desk.store.rows(f"{total} WHERE sender = ?", me)[0]["n"]


def _other(desk: Desk, username: str) -> str:
    if desk.store.row("SELECT id FROM users WHERE username = ?", username) is None:
        raise ApiError(404, f"there is no user {username[:40]!r}: payments.search_users finds usernames")
    return username


@endpoint("payments")
def login(desk: Desk, password: str) -> dict[str, str]:
    """Log in; the other calls of this app need it."""
    return desk.login("payments", password)


@endpoint("payments", locked=True)
def balance(desk: Desk) -> float:
    """How much money the owner has."""
    return balance_of(desk) / 100


@endpoint("payments", locked=True)
def search_users(desk: Desk, query: str, page: int = 0, limit: int = 5) -> list[Row]:
    """Users whose name, username or phone number holds a text."""
    where = "WHERE name LIKE ?1 ESCAPE '\\' OR username LIKE ?1 ESCAPE '\\' OR number LIKE ?1 ESCAPE '\\'"
    sql = f"{USERS} {where.replace('?1', '?')} ORDER BY name, id"
    return [shown(r) for r in desk.page(sql, *[like(query)] * 3, page=page, limit=limit)]


@endpoint("payments", locked=True)
def user(desk: Desk, username: str) -> Row:
    """One user."""
    return shown(desk.store.rows(f"{USERS} WHERE username = ?", _other(desk, username))[0])


@endpoint("payments", locked=True)
def send(desk: Desk, username: str, amount: float, note: str = "") -> Row:
    """Pay a user."""
    whole = cents(amount)
    _other(desk, username)
    if whole > balance_of(desk):
        raise ApiError(409, f"the balance of {balance_of(desk) / 100:.2f} is not enough: payments.deposit adds to it")
    at = desk.store.now
    values = {"sender": _me(desk), "receiver": username, "amount": whole, "note": note, "at": at}
    return {"message": f"{whole / 100:.2f} sent to {username}", "id": desk.store.insert("transactions", **values)}


@endpoint("payments", locked=True)
def request(desk: Desk, username: str, amount: float, note: str = "") -> Row:
    """Ask a user for money."""
    whole = cents(amount)
    values = {"sender": _me(desk), "payer": _other(desk, username), "amount": whole, "note": note}
    id = desk.store.insert("requests", **values, at=desk.store.now, status="open")
    return {"message": f"{whole / 100:.2f} requested from {username}", "id": id}


@endpoint("payments", locked=True)
def transactions(desk: Desk, username: str = "", page: int = 0, limit: int = 5) -> list[Row]:
    """Payments of the owner, with one user if a username is given, newest first."""
    where, values = ("WHERE sender = ? OR receiver = ?", [username] * 2) if username else ("", [])
    sql = f"{PAID} {where} ORDER BY at DESC, id DESC"
    return [shown(r) for r in desk.page(sql, *values, page=page, limit=limit)]


@endpoint("payments", locked=True)
def transaction(desk: Desk, id: int) -> Row:
    """One payment."""
    return shown(desk.need("transactions", id, "transaction"))


@endpoint("payments", locked=True)
def like_transaction(desk: Desk, id: int) -> Row:
    """Like a payment."""
    desk.need("transactions", id, "transaction")
    desk.store.update("transactions", id, liked=1)
    return {"message": "liked"}


@endpoint("payments", locked=True)
def note_transaction(desk: Desk, id: int, note: str) -> Row:
    """Change the note of a payment that the owner made."""
    if desk.need("transactions", id, "transaction")["sender"] != _me(desk):
        raise ApiError(409, "this payment is not the owner's")
    desk.store.update("transactions", id, note=note)
    return {"message": "changed"}


@endpoint("payments", locked=True)
def requests(desk: Desk, status: str = "open", page: int = 0, limit: int = 5) -> list[Row]:
    """What others ask the owner to pay, newest first; status is open, paid or declined."""
    sql = f"{ASKED} WHERE payer = ? AND status = ? ORDER BY at DESC, id DESC"
    return [shown(r) for r in desk.page(sql, _me(desk), status, page=page, limit=limit)]


@endpoint("payments", locked=True)
def my_requests(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """What the owner asks others to pay, newest first."""
    sql = f"{ASKED} WHERE sender = ? ORDER BY at DESC, id DESC"
    return [shown(r) for r in desk.page(sql, _me(desk), page=page, limit=limit)]


def _open(desk: Desk, id: int, side: str) -> Row:
    found = desk.need("requests", id, "request")
    if found[side] != _me(desk) or found["status"] != "open":
        raise ApiError(409, f"request {id} is not open to the owner")
    return found


@endpoint("payments", locked=True)
def approve(desk: Desk, id: int) -> Row:
    """Pay what a request asks for."""
    found = _open(desk, id, "payer")
    answer = send(desk, found["sender"], found["amount"] / 100, found["note"])
    desk.store.update("requests", id, status="paid")
    return answer


@endpoint("payments", locked=True)
def decline(desk: Desk, id: int) -> Row:
    """Refuse a request."""
    _open(desk, id, "payer")
    desk.store.update("requests", id, status="declined")
    return {"message": "declined"}


@endpoint("payments", locked=True)
def cancel(desk: Desk, id: int) -> Row:
    """Take back a request of the owner."""
    _open(desk, id, "sender")
    desk.store.delete("requests", id)
    return {"message": "cancelled"}


@endpoint("payments", locked=True)
def friends(desk: Desk, page: int = 0, limit: int = 5) -> list[Row]:
    """The owner's friends, by name."""
    return [shown(r) for r in desk.page(f"{USERS} WHERE friend = 1 ORDER BY name, id", page=page, limit=limit)]


def _befriend(desk: Desk, username: str, friend: int) -> Row:
    found = desk.store.rows("SELECT id FROM users WHERE username = ?", _other(desk, username))
    desk.store.update("users", found[0]["id"], friend=friend)
    return {"message": "done"}


@endpoint("payments", locked=True)
def add_friend(desk: Desk, username: str) -> Row:
    """Make a user a friend."""
    return _befriend(desk, username, 1)


@endpoint("payments", locked=True)
def remove_friend(desk: Desk, username: str) -> Row:
    """Make a friend none."""
    return _befriend(desk, username, 0)


@endpoint("payments", locked=True)
def cards(desk: Desk) -> list[Row]:
    """The owner's cards, and how much each can still pay."""
    found = desk.store.rows("SELECT id, kind, last4, limit_ FROM cards")
    return [{"id": r["id"], "kind": r["kind"], "last4": r["last4"], "limit": r["limit_"] / 100} for r in found]


@endpoint("payments", locked=True)
def deposit(desk: Desk, card_id: int, amount: float) -> Row:
    """Add money to the balance from a card."""
    card, whole = desk.need("cards", card_id, "card"), cents(amount)
    if whole > card["limit_"]:
        raise ApiError(409, f"the card can pay at most {card['limit_'] / 100:.2f}")
    desk.store.update("cards", card_id, limit_=card["limit_"] - whole)
    values = {"sender": f"card {card['last4']}", "receiver": _me(desk), "amount": whole, "note": "deposit"}
    return {"message": "added", "id": desk.store.insert("transactions", **values, at=desk.store.now)}
