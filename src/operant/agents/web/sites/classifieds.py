"""The classifieds: what people offer, questions about it, letters to them, and offers of one's own."""

from __future__ import annotations

from operant.agents.cases import money
from operant.agents.store import like
from operant.agents.web.sites.database import CITIES, ME
from operant.agents.web.sites.server import (
    Leads,
    Problem,
    Request,
    area,
    choice,
    field,
    form,
    heading,
    line,
    link,
    name_of,
    page,
    paged,
    picture,
    route,
    span,
    words,
)  # fmt: skip

SORTS = {"by title": "title", "cheapest first": "l.price, l.id"}
ANY = "everywhere"


@route("GET", "/classifieds")
def offers(r: Request) -> str:
    """What is offered, in a city, with words in its title, sorted."""
    query, city, sort = r.text("q", needed=False), r.fields.get("city", ""), r.fields.get("sort", "")
    where, values = "status = 'open' AND title LIKE ? ESCAPE '\\'", [like(query)]
    if city in CITIES:
        where, values = f"{where} AND city = ?", [*values, city]
    order = SORTS.get(sort, SORTS["by title"])
    sql = f"SELECT l.*, p.city FROM listings l JOIN people p ON p.id = l.person_id WHERE {where} ORDER BY {order}"
    rows, more = paged(r, "/classifieds", sql, *values)
    asked = form(
        "/classifieds", "Search", field("q", "Search the classifieds", query),
        choice("city", "City", (ANY, *CITIES), city), choice("sort", "Sort", SORTS, sort), method="get",
    )  # fmt: skip
    shown = [line(picture(r.site, row), link(f"/classifieds/offer/{row['id']}", row["title"]),
                  span(money(row["price"])), span(row["city"])) for row in rows]  # fmt: skip
    return page(r.site, "Harbour Classifieds", heading("Classifieds"), asked,
                *(shown or [words("Nothing was found.")]), more)  # fmt: skip


@route("GET", "/classifieds/offer/#")
def offer(r: Request) -> str:
    """An offer, whose it is, and what was asked."""
    row = r.row("listings")
    here, seller = f"/classifieds/offer/{row['id']}", r.store.get("people", row["person_id"])
    assert seller is not None
    whose = line(span("Offered by"), link(f"/classifieds/person/{seller['id']}", seller["name"]), span(seller["email"]))
    asked = r.store.rows("SELECT * FROM questions WHERE listing_id = ? ORDER BY id", row["id"])
    said = [words(f"{name_of(r, q['person_id'])}, {q['title']}: {q['text']}") for q in asked]
    return page(
        r.site, row["title"], heading(row["title"]), picture(r.site, row),
        words(f"Price: {money(row['price'])}"), words(row["text"]), whose, form(f"{here}/save", "Save offer"), *said,
        form(f"{here}/ask", "Post comment", field("title", "Comment title"), field("text", "Comment")),
        form(f"{here}/write", "Send letter", area("text", "Letter to the seller")),
    )  # fmt: skip


@route("POST", "/classifieds/offer/#/save")
def save(r: Request) -> Leads:
    """Keep an offer among those that are saved, once."""
    row = r.row("listings")
    if r.store.row("SELECT id FROM saved WHERE listing_id = ?", row["id"]) is None:
        r.store.insert("saved", listing_id=row["id"])
    return Leads("/classifieds/mine")


@route("POST", "/classifieds/offer/#/ask")
def ask(r: Request) -> Leads:
    """Comment on an offer, for all to read."""
    row = r.row("listings")
    r.store.insert("questions", listing_id=row["id"], person_id=ME, title=r.text("title"), text=r.text("text"))
    return Leads(f"/classifieds/offer/{row['id']}")


@route("POST", "/classifieds/offer/#/write")
def write(r: Request) -> Leads:
    """Write to whoever offers."""
    row = r.row("listings")
    r.store.insert("letters", listing_id=row["id"], person_id=row["person_id"], text=r.text("text"))
    return Leads(f"/classifieds/offer/{row['id']}")


@route("GET", "/classifieds/person/#")
def person(r: Request) -> str:
    """Somebody, and what they offer."""
    row = r.row("people")
    rows = r.store.rows("SELECT * FROM listings WHERE person_id = ? AND status = 'open' ORDER BY title", row["id"])
    shown = [line(link(f"/classifieds/offer/{one['id']}", one["title"]), span(money(one["price"]))) for one in rows]
    return page(r.site, row["name"], heading(row["name"]), words(f"{row['city']}, {row['email']}"), *shown)


@route("GET", "/classifieds/mine")
def mine(r: Request) -> str:
    """What the user offers and saved, and a form for a new offer."""
    own = r.store.rows("SELECT * FROM listings WHERE person_id = ? ORDER BY id", ME)
    shown = [line(link(f"/classifieds/mine/{row['id']}", row["title"]), span(money(row["price"])), span(row["status"]))
             for row in own]  # fmt: skip
    sql = "SELECT l.id, l.title FROM saved s JOIN listings l ON l.id = s.listing_id ORDER BY s.id"
    kept = [line(span("Saved:"), link(f"/classifieds/offer/{row['id']}", row["title"])) for row in r.store.rows(sql)]
    inputs = field("title", "Title"), field("price", "Price in dollars"), area("text", "Description")
    return page(r.site, "My offers", heading("My offers"), *shown, *kept, form("/classifieds/new", "Offer", *inputs))


@route("POST", "/classifieds/new")
def new(r: Request) -> Leads:
    """Offer something."""
    said = {"title": r.text("title"), "price": 100 * r.number("price", 1, 100_000), "text": r.text("text")}
    return Leads(f"/classifieds/mine/{r.store.insert('listings', person_id=ME, look='', status='open', **said)}")


@route("GET", "/classifieds/mine/#")
def own(r: Request) -> str:
    """An offer of one's own, to change."""
    row, here = r.row("listings"), f"/classifieds/mine/{r.numbers[0]}"
    price = form(f"{here}/price", "Save price", field("price", "Price in dollars", str(row["price"] // 100)))
    pieces = words(f"{row['status'].capitalize()} for {money(row['price'])}: {row['text']}"), price
    return page(r.site, row["title"], heading(row["title"]), *pieces, form(f"{here}/sold", "Mark as sold"))


@route("POST", "/classifieds/mine/#/price")
def price(r: Request) -> Leads:
    """Ask another price."""
    return _changed(r, price=100 * r.number("price", 1, 100_000))


@route("POST", "/classifieds/mine/#/sold")
def sold(r: Request) -> Leads:
    """Say that it is sold."""
    return _changed(r, status="sold")


def _changed(r: Request, **values: int | str) -> Leads:
    row = r.row("listings")
    if row["person_id"] != ME:
        raise Problem(422, "The offer is not yours")
    r.store.update("listings", row["id"], **values)
    return Leads(f"/classifieds/mine/{row['id']}")
