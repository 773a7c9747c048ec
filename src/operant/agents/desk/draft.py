"""A world from a seed: the owner, people with namesakes, and what their apps hold; a task adds its own rows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from operant.agents import cases
from operant.agents.desk.pools import (
    CATEGORIES,
    CHAT,
    EVENTS,
    FIRST,
    GROUPS,
    LAST,
    MAILS,
    MAKES,
    NOTES,
    PLACES,
    PRODUCTS,
    REASONS,
    RELATIONS,
)  # fmt: skip
from operant.agents.desk.schema import SCHEMA
from operant.agents.goals import Expected, Holds
from operant.agents.store import MINUTE, Store, Value

NOW = "2026-05-18 09:00"
TODAY = date(2026, 5, 18)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the owner knows."""

    id: int
    name: str
    number: str
    email: str
    username: str
    relation: str
    birthday: str

    @property
    def first(self) -> str:
        """The first name, which a namesake shares."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows of each kind a world begins with."""

    people: int
    strangers: int
    messages: int
    transactions: int
    requests: int
    rest: int  # notes, orders; twice as many events, four times as many mails and products


FULL = Sizes(people=18, strangers=8, messages=70, transactions=24, requests=4, rest=12)
TINY = Sizes(people=7, strangers=2, messages=12, transactions=8, requests=2, rest=0)


@dataclass(frozen=True, slots=True)
class Base:
    """A world before any task: its database as bytes, and who is in it."""

    snapshot: bytes
    owner: Person
    people: tuple[Person, ...]


def _people(rng: random.Random, n: int) -> list[Person]:
    """The owner and n people; the last three, or in a small world the last one, share a first name with others."""
    twins = 3 if n > 8 else 1
    first = rng.sample(FIRST, n + 1 - twins)
    first += first[1 : 1 + twins]
    last = rng.sample(LAST, len(first))
    numbers = rng.sample(range(2_000_000, 9_999_999), len(first))
    found: list[Person] = []
    for i, (a, b, number) in enumerate(zip(first, last, numbers, strict=True)):
        born = date(1960, 1, 1) + timedelta(days=rng.randrange(16_000))
        mail = f"{a}.{b}@{rng.choice(('post.example', 'mail.example', 'letters.example'))}".lower()
        user = f"{a}_{b[:3]}{rng.randrange(10, 99)}".lower()
        found.append(Person(i, f"{a} {b}", str(number), mail, user, rng.choice(RELATIONS), born.isoformat()))
    return found


@lru_cache(maxsize=64)
def base(seed: int, sizes: Sizes) -> Base:
    """The world of a seed."""
    rng, store = random.Random(f"desk/{seed}"), Store(SCHEMA)
    owner, *people = _people(rng, sizes.people)
    store.begin()
    me: dict[str, Value] = {"name": owner.name, "number": owner.number, "email": owner.email}
    store.fill("me", [me | {"username": owner.username, "balance": 100_000}])
    words = [f"{rng.choice(FIRST)}{rng.randrange(1000, 9999)}".lower() for _ in range(3)]
    store.fill(
        "passwords", [{"app": a, "password": w} for a, w in zip(("payments", "mail", "shop"), words, strict=True)]
    )
    names = ("id", "name", "number", "email", "relation", "birthday")
    store.fill("contacts", [{key: getattr(p, key) for key in names} for p in people])
    friends = [{"username": p.username, "name": p.name, "number": p.number, "friend": 1} for p in people]
    known = {p.name for p in people} | {owner.name}
    for p in _people(random.Random(f"strangers/{seed}"), sizes.strangers + 3)[: sizes.strangers]:
        if p.name not in known:
            friends.append({"username": f"{p.username}x", "name": p.name, "number": p.number, "friend": 0})
    rng.shuffle(friends)
    store.fill("users", friends)
    _phone(rng, store, owner, people, sizes)
    if sizes.rest:
        _office(rng, store, owner, people, sizes.rest)
    store.end()
    snapshot = store.snapshot()
    store.close()
    return Base(snapshot, owner, tuple(people))


def _ago(rng: random.Random, most: int = 120, least: int = 2) -> str:
    return (datetime.strptime(NOW, MINUTE) - timedelta(minutes=rng.randrange(least * 1440, most * 1440))).strftime(
        MINUTE
    )


def _phone(rng: random.Random, store: Store, owner: Person, people: list[Person], sizes: Sizes) -> None:
    """Messages, groups and payments."""
    messages: list[Mapping[str, Value]] = []
    for id, p in zip(_ids(rng, sizes.messages), rng.choices(people, k=sizes.messages), strict=True):
        way = rng.choice(("in", "in", "out"))
        flags = {"unread": int(way == "in" and rng.random() < 0.2), "starred": int(rng.random() < 0.05)}
        messages.append(
            {"id": id, "number": p.number, "direction": way, "text": rng.choice(CHAT), "at": _ago(rng), **flags}
        )
    store.fill("messages", messages)
    for label in GROUPS[: 3 if sizes.rest else 1]:
        store.fill("members", [{"label": label, "contact_id": p.id} for p in rng.sample(people, rng.randrange(3, 6))])
    paid: list[Mapping[str, Value]] = []
    for id, p in zip(_ids(rng, sizes.transactions), rng.choices(people, k=sizes.transactions), strict=True):
        sender, receiver = (p.username, owner.username)[:: rng.choice((1, -1))]
        values = {"amount": rng.randrange(300, 9_000), "note": rng.choice(REASONS), "at": _ago(rng)}
        paid.append({"id": id, "sender": sender, "receiver": receiver, **values})
    store.fill("transactions", paid)
    for id, p in zip(_ids(rng, sizes.requests), rng.sample(people, sizes.requests), strict=True):
        values = {"amount": rng.randrange(500, 6_000), "note": rng.choice(REASONS), "at": _ago(rng)}
        ends = {"sender": p.username, "payer": owner.username}
        store.fill("requests", [{"id": id, "status": "open", **ends, **values}])
    for kind in ("credit", "debit"):
        store.fill("cards", [{"kind": kind, "last4": str(rng.randrange(1000, 9999)), "limit_": 500_000}])


def _office(rng: random.Random, store: Store, owner: Person, people: list[Person], n: int) -> None:
    """Notes, mails, the shop and the calendar."""
    for id, title in zip(_ids(rng, n), rng.sample(NOTES, n), strict=True):
        values = {"title": title, "body": rng.choice(CHAT), "at": _ago(rng), "pinned": int(rng.random() < 0.2)}
        store.fill("notes", [{"id": id, **values}])
        store.fill("tags", [{"note_id": id, "tag": rng.choice(("home", "work", "ideas"))}])
    mails: list[Mapping[str, Value]] = []
    for id, p in zip(_ids(rng, 4 * n), rng.choices(people, k=4 * n), strict=True):
        sent = rng.random() < 0.2
        ends = {"sender": owner.email, "recipient": p.email} if sent else {"sender": p.email, "recipient": owner.email}
        flags = {"unread": int(not sent and rng.random() < 0.3), "flagged": int(rng.random() < 0.1)}
        said = {"subject": rng.choice(MAILS), "body": rng.choice(CHAT), "at": _ago(rng)}
        mails.append({"id": id, "folder": "sent" if sent else "inbox", **ends, **said, **flags})
    store.fill("mails", mails)
    _shop(rng, store, people, n)
    for id in _ids(rng, 2 * n):
        day, start = (TODAY + timedelta(days=rng.randrange(1, 40))).isoformat(), f"{rng.randrange(8, 19):02}:00"
        rest = {"minutes": rng.choice((30, 60, 90)), "place": rng.choice(PLACES)}
        status = rng.choice(("accepted", "accepted", "invited"))
        values = {"title": rng.choice(EVENTS), "day": day, "start": start, "status": status, **rest}
        store.fill("events", [{"id": id, **values}])
        guests = rng.sample(people, rng.randrange(0, 3))
        store.fill("guests", [{"event_id": id, "email": p.email} for p in guests])


def _shop(rng: random.Random, store: Store, people: list[Person], n: int) -> None:
    """Products, reviews and orders."""
    names = [(f"{a} {b}", c) for c in CATEGORIES for b in PRODUCTS[c] for a in rng.sample(MAKES, 2)]
    prices = [rng.randrange(500, 30_000) for _ in names]
    products: list[Mapping[str, Value]] = []
    ids = _ids(rng, len(names))
    for id, (name, category), price in zip(ids, names, prices, strict=True):
        rest = {"rating": rng.randrange(20, 51) / 10, "stock": rng.randrange(8, 40)}
        products.append({"id": id, "name": name, "category": category, "price": price, **rest})
    store.fill("products", products)
    for _ in range(2 * n):
        text = rng.choice(("Good.", "As described.", "It broke.", "Would buy again."))
        values = {"product_id": rng.choice(ids), "stars": rng.randrange(1, 6), "text": text}
        store.fill("reviews", [{"author": rng.choice(people).name, **values}])
    for id, k in zip(_ids(rng, n // 2), rng.sample(range(len(ids)), n // 2), strict=True):
        status = rng.choice(("ordered", "delivered"))
        store.fill("orders", [{"id": id, "at": _ago(rng), "status": status, "total": prices[k], "card_id": 1}])
        store.fill("items", [{"order_id": id, "product_id": ids[k], "quantity": 1, "price": prices[k]}])


def _ids(rng: random.Random, n: int) -> list[int]:
    """Ids that say nothing of what a row is."""
    return rng.sample(range(100, 1000), n)


class Draft(cases.Draft):
    """A world of the desk to which a task adds its rows.

    Attributes:
        locks: whether apps ask for passwords.
    """

    def __init__(self, base: Base, rng: random.Random, *, locks: bool) -> None:
        super().__init__(Store(base.snapshot), rng)
        self.owner, self.people, self.locks = base.owner, base.people, locks

    def pick(self, n: int) -> list[Person]:
        """n people with different first names."""
        found = self.rng.sample(self.people, n)
        if len({p.first for p in found}) < n:
            return self.pick(n)
        return found

    def one(self) -> Person:
        """Somebody."""
        return self.rng.choice(self.people)

    def twin(self) -> tuple[Person, Person]:
        """Two people of one first name."""
        pairs = [(a, b) for a in self.people for b in self.people if a.first == b.first and a.id != b.id]
        return self.rng.choice(pairs)

    def login(self, *apps: str) -> str:
        """The line of code that logs in, for the beginning of an oracle's block."""
        return "".join(f"{app}.login(password=desk.passwords()[{app!r}])\n" for app in apps) if self.locks else ""

    def ago(self, most: int = 20, least: int = 0) -> str:
        """A minute of the last days."""
        return _ago(self.rng, most, least)

    def day(self, within: int = 40) -> date:
        """A day to come."""
        return TODAY + timedelta(days=self.rng.randrange(1, within))

    def dollars(self, least: int, most: int, *, multiple: int = 1) -> int:
        """An amount in cents, of whole units."""
        return 100 * multiple * self.rng.randrange(-(-least // multiple), most // multiple + 1)

    def text(self, person: Person, text: str, at: str | None = None) -> int:
        """A text message from somebody."""
        return self.add("messages", number=person.number, direction="in", text=text, at=at or self.ago(), unread=0)

    def mail(self, person: Person, subject: str, body: str, **flags: Value) -> int:
        """A mail from somebody, in the inbox."""
        ends: dict[str, Value] = {"folder": "inbox", "sender": person.email, "recipient": self.owner.email}
        return self.add("mails", **(ends | {"subject": subject, "body": body, "at": self.ago()} | flags))

    def note(self, title: str, body: str) -> int:
        """A note."""
        return self.add("notes", title=title, body=body, at=self.ago())

    def event(self, title: str, day: date, start: str, **values: Value) -> int:
        """An event."""
        rest: dict[str, Value] = {"minutes": 60, "place": self.rng.choice(PLACES), "status": "accepted"}
        return self.add("events", **({"title": title, "day": day.isoformat(), "start": start} | rest | values))

    def paid(self, person: Person, amount: int, note: str, *, by_owner: bool, at: str | None = None) -> int:
        """A payment between somebody and the owner."""
        ends = (self.owner.username, person.username)[:: 1 if by_owner else -1]
        values: dict[str, Value] = {"amount": amount, "note": note, "at": at or self.ago()}
        return self.add("transactions", sender=ends[0], receiver=ends[1], **values)

    def asked(self, person: Person, amount: int, note: str) -> int:
        """A request of somebody that the owner pay."""
        values: dict[str, Value] = {"amount": amount, "note": note, "at": self.ago(), "status": "open"}
        return self.add("requests", sender=person.username, payer=self.owner.username, **values)

    # --- what a task asks for ---

    def pays(self, person: Person, amount: int) -> Expected:
        """The owner pays somebody so many cents."""
        ends = {"sender": self.owner.username, "receiver": person.username}
        return Expected("transactions", "added", ends | {"amount": amount})

    def texts(self, person: Person, text: str, *, exactly: bool = True) -> Expected:
        """The owner sends somebody a text, or one that holds it."""
        wanted: Any = text if exactly else Holds((text,))
        return Expected("messages", "added", {"number": person.number, "direction": "out", "text": wanted})

    def mails(self, email: str, subject: str, body: str) -> Expected:
        """The owner writes a mail."""
        return Expected("mails", "added", {"folder": "sent", "recipient": email, "subject": subject, "body": body})
