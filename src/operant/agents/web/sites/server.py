"""What answers the requests of one episode: routes to pages, and what a page may be made of.

Every piece of HTML comes from the functions here, which escape what they are given; the sites have no script, and their
pages forbid any. A POST changes the database and leads to a page; a GET changes nothing.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from operant.agents.store import Row, Store, Value
from operant.agents.web.sites.pictures import drawn
from operant.agents.web.tabs import Answer

LONGEST = 2_000
"""Characters of a field."""
LARGEST = 20_000
"""Bytes of a form."""
PAGE = 8
"""Rows of a page."""
HEAD = (
    "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=Content-Security-Policy "
    "content=\"default-src 'self'; img-src data:; style-src 'unsafe-inline'\"><style>body{font:15px sans-serif;"
    "margin:12px;max-width:900px}form{display:contents}div,p{margin:5px 0}a,span{margin-right:8px}"
    "img{height:48px;width:48px;vertical-align:middle}</style>"
)
NAV = {"Shop": "/shop", "Cart": "/shop/cart", "Orders": "/shop/orders", "Wish list": "/shop/wishes",
       "Account": "/shop/account", "Forum": "/forum", "Classifieds": "/classifieds",
       "My offers": "/classifieds/mine"}  # fmt: skip


class Problem(Exception):
    """What is answered instead: 404 there is none, 422 it cannot be taken."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: the numbers in its path, the fields of its query or form, and the site that is asked."""

    site: Harbour
    numbers: Sequence[int]
    fields: Mapping[str, str]

    @property
    def store(self) -> Store:
        """The database."""
        return self.site.store

    def text(self, name: str, *, needed: bool = True) -> str:
        """A field without blanks at its ends. Raises Problem 422 where it is empty and needed."""
        found = self.fields.get(name, "").strip()
        if needed and not found:
            raise Problem(422, f"{name.capitalize()} must not be empty")
        return found[:LONGEST]

    def number(self, name: str, low: int, high: int) -> int:
        """A field that is a whole number. Raises Problem 422 where it is none in [low, high]."""
        found = self.fields.get(name, "").strip()
        if not re.fullmatch(r"\d{1,9}", found, re.ASCII) or not low <= int(found) <= high:
            raise Problem(422, f"{name.capitalize()} is a number from {low} to {high}")
        return int(found)

    def row(self, table: str, at: int = 0) -> Row:
        """The row that a number of the path names. Raises Problem 404 where there is none."""
        found = self.store.get(table, self.numbers[at])
        if found is None:
            raise Problem(404, "There is no such page")
        return found


@dataclass(frozen=True, slots=True)
class Leads:
    """The answer of a form: where to go."""

    path: str


Handler = Callable[[Request], str | Leads]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Answer requests of a path, in which `#` stands for a number, by a function."""

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, re.compile(path.replace("#", r"(\d{1,9})"), re.ASCII), handler))
        return handler

    return register


class Harbour:
    """The three sites over one episode's database.

    Args:
        store: the database.
        told: whether the pictures' descriptions say what is on them.

    Attributes:
        asked: every request, "POST /shop/cart".
    """

    origin = "http://harbour.test"

    def __init__(self, store: Store, *, told: bool = False) -> None:
        self.store, self.told = store, told
        self.asked: list[str] = []
        self._closed = False

    def close(self) -> None:
        """Forget the database; what a page still asks for is gone."""
        self._closed = True
        self.store.close()

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """A page, or where a form leads."""
        if self._closed:
            return 410, "text/plain", b""
        try:
            parts = urlsplit(path)
            pairs = body.decode("utf-8", "replace") if method == "POST" else parts.query
            if len(body) > LARGEST:
                raise Problem(413, "The form is too large")
            fields = dict(parse_qsl(pairs, keep_blank_values=True, max_num_fields=50))
        except (ValueError, Problem) as error:
            return 400, "text/html; charset=utf-8", page(self, "Error", heading(str(error))).encode()
        self.asked.append(f"{method} {parts.path}")
        try:
            made = self._made(method, parts.path, {k: v.encode("utf-8", "replace").decode() for k, v in fields.items()})
        except Problem as error:
            shown = page(self, "Error", heading("Error"), words(str(error)))
            return error.status, "text/html; charset=utf-8", shown.encode()
        if isinstance(made, Leads):
            return 303, "text/html", made.path.encode()
        return 200, "text/html; charset=utf-8", made.encode()

    def _made(self, method: str, path: str, fields: Mapping[str, str]) -> str | Leads:
        for verb, pattern, handler in ROUTES:
            if verb == method and (found := pattern.fullmatch(path.rstrip("/"))):
                return handler(Request(self, [int(n) for n in found.groups()], fields))
        raise Problem(404, "There is no such page")


# ---------------------------------------------------------------------------------------------- pieces of a page
def page(site: Harbour, title: str, *pieces: str) -> str:
    """A page of these pieces between the links that all have and what others advertise."""
    ads = (words(f"Advertisement: {row['text']}") for row in site.store.rows("SELECT text FROM ads ORDER BY id"))
    links = line(*(link(path, name) for name, path in NAV.items()))
    return f"{HEAD}<title>{escape(title)}</title></head><body>{links}{''.join(pieces)}{''.join(ads)}</body></html>"


def heading(text: str) -> str:
    """The heading of a page."""
    return f"<h1>{escape(text)}</h1>"


def words(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def link(path: str, text: str) -> str:
    """A link."""
    return f'<a href="{escape(path)}">{escape(text)}</a>'


def span(text: str) -> str:
    """A few words of a line."""
    return f"<span>{escape(text)}</span>"


def line(*pieces: str) -> str:
    """Pieces beside one another."""
    return f"<div>{''.join(pieces)}</div>"


def picture(site: Harbour, row: Row) -> str:
    """The picture of a thing, if it has one, in the page itself; in words, too, where the site tells."""
    if not row["look"]:
        return ""
    alt = f"a {' '.join(reversed(row['look'].split(' ')))}" if site.told else "picture"
    return f'<img src="data:image/png;base64,{b64encode(drawn(row["look"])).decode()}" alt="{escape(alt)}">'


def form(path: str, button: str, *inputs: str, method: str = "post") -> str:
    """A form with its inputs and its button in a line."""
    end = f"<button>{escape(button)}</button>"
    return line(f'<form action="{escape(path)}" method={method}>{"".join(inputs)}{end}</form>')


def field(name: str, label: str, value: str = "") -> str:
    """A line to type into."""
    return f'<input name={name} aria-label="{escape(label)}" placeholder="{escape(label)}" value="{escape(value)}">'


def area(name: str, label: str, value: str = "") -> str:
    """Lines to type into."""
    return f'<textarea name={name} aria-label="{escape(label)}">{escape(value)}</textarea>'


def choice(name: str, label: str, options: Iterable[str], chosen: str = "") -> str:
    """A list to choose from."""
    made = "".join(f"<option{' selected' * (one == chosen)}>{escape(one)}</option>" for one in options)
    return f'<select name={name} aria-label="{escape(label)}">{made}</select>'


def paged(r: Request, path: str, sql: str, *values: Value) -> tuple[list[Row], str]:
    """A page of a query's rows, and a line that leads to the next and the one before."""
    number = r.number("page", 1, 1000) if r.fields.get("page") else 1
    rows = r.store.rows(f"{sql} LIMIT ? OFFSET ?", *values, PAGE + 1, PAGE * (number - 1))
    kept = "&".join(f"{key}={quote(value)}" for key, value in r.fields.items() if key != "page" and value)
    turns = [("Previous page", number - 1)] if number > 1 else []
    turns += [("Next page", number + 1)] if len(rows) > PAGE else []
    return rows[:PAGE], line(*(link(f"{path}?{kept}{'&' * bool(kept)}page={k}", name) for name, k in turns))


def name_of(r: Request, person: Any) -> str:
    """Whose it is."""
    return str((r.store.get("people", person) or {"name": "somebody"})["name"])
