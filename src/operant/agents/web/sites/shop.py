"""The shop: wares with reviews, a cart, orders, a wish list, an account."""

from __future__ import annotations

from operant.agents.cases import money
from operant.agents.store import like
from operant.agents.web.sites.database import KINDS, ME
from operant.agents.web.sites.server import (
    Leads,
    Problem,
    Request,
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

SORTS = {"by name": "name", "cheapest first": "price, id", "best rated first": "rating DESC, id"}
ANY = "all wares"


@route("GET", "")
@route("GET", "/shop")
def wares(r: Request) -> str:
    """What there is, of a category, with words in its name, sorted."""
    sort, category, query = r.fields.get("sort", ""), r.fields.get("category", ""), r.text("q", needed=False)
    where, values = "name LIKE ? ESCAPE '\\'", [like(query)]
    if category in KINDS:
        where, values = f"{where} AND category = ?", [*values, category]
    order = SORTS.get(sort, SORTS["by name"])
    rows, more = paged(r, "/shop", f"SELECT * FROM products WHERE {where} ORDER BY {order}", *values)
    asked = form(
        "/shop", "Search", field("q", "Search the shop", query),
        choice("category", "Category", (ANY, *KINDS), category), choice("sort", "Sort", SORTS, sort), method="get",
    )  # fmt: skip
    shown = [
        line(picture(r.site, row), link(f"/shop/product/{row['id']}", row["name"]),
             span(money(row["price"])), span(f"rated {row['rating']}"))
        for row in rows
    ]  # fmt: skip
    return page(r.site, "Harbour Shop", heading("Shop"), asked, *(shown or [words("Nothing was found.")]), more)


@route("GET", "/shop/product/#")
def product(r: Request) -> str:
    """A ware, and what people said of it."""
    row = r.row("products")
    here = f"/shop/product/{row['id']}"
    facts = [f"Price: {money(row['price'])}", f"Rating: {row['rating']}"]
    facts += [f"Weight: {row['weight']} g"] if row["weight"] else []
    facts += [f"Material: {row['material']}"] if row["material"] else []
    size = [choice("size", "Size", row["sizes"].split())] if row["sizes"] else []
    reviews = r.store.rows("SELECT * FROM reviews WHERE product_id = ? ORDER BY id", row["id"])
    said = [words(f"{name_of(r, v['person_id'])}, {v['stars']} stars: {v['text']}") for v in reviews]
    return page(
        r.site, row["name"], heading(row["name"]), picture(r.site, row), *map(words, facts),
        form(f"{here}/cart", "Add to cart", *size, field("quantity", "Quantity", "1")),
        form(f"{here}/wish", "Add to wish list"), *said,
        form(f"{here}/review", "Post review", choice("stars", "Stars", "54321"), field("text", "Your review")),
    )  # fmt: skip


@route("POST", "/shop/product/#/cart")
def add(r: Request) -> Leads:
    """Put a ware into the cart, on top of what is there."""
    row, quantity = r.row("products"), r.number("quantity", 1, 99)
    sizes = row["sizes"].split()
    size = r.text("size") if sizes else ""
    if sizes and size not in sizes:
        raise Problem(422, f"There is no size {size[:20]}")
    found = r.store.row("SELECT * FROM cart WHERE product_id = ? AND size = ?", row["id"], size)
    if found is None:
        r.store.insert("cart", product_id=row["id"], size=size, quantity=quantity)
    else:
        r.store.update("cart", found["id"], quantity=found["quantity"] + quantity)
    return Leads("/shop/cart")


@route("POST", "/shop/product/#/wish")
def wish(r: Request) -> Leads:
    """Put a ware on the wish list, once."""
    row = r.row("products")
    if r.store.row("SELECT id FROM wishes WHERE product_id = ?", row["id"]) is None:
        r.store.insert("wishes", product_id=row["id"])
    return Leads("/shop/wishes")


@route("POST", "/shop/product/#/review")
def review(r: Request) -> Leads:
    """Say what one thinks of a ware."""
    row, stars, text = r.row("products"), r.number("stars", 1, 5), r.text("text")
    r.store.insert("reviews", product_id=row["id"], person_id=ME, stars=stars, text=text)
    return Leads(f"/shop/product/{row['id']}")


@route("GET", "/shop/cart")
def cart(r: Request) -> str:
    """What is in the cart, and the way to order it."""
    sql = "SELECT c.*, p.name, p.price FROM cart c JOIN products p ON p.id = c.product_id ORDER BY c.id"
    rows = r.store.rows(sql)
    shown = [
        line(link(f"/shop/product/{row['product_id']}", row["name"]),
             span(f"{row['quantity']} of it{' in ' * bool(row['size'])}{row['size']}"),
             span(money(row["quantity"] * row["price"])))
        + form(f"/shop/cart/{row['id']}/remove", f"Remove {row['name']}")
        for row in rows
    ]  # fmt: skip
    total = money(sum(row["quantity"] * row["price"] for row in rows))
    order = form("/shop/order", "Place order", choice("address", "Deliver to", ("home", "work")))
    end = [words(f"Total: {total}"), order] if rows else [words("Your cart is empty.")]
    return page(r.site, "Cart", heading("Cart"), *shown, *end)


@route("POST", "/shop/cart/#/remove")
def remove(r: Request) -> Leads:
    """Take a line out of the cart."""
    r.store.delete("cart", r.row("cart")["id"])
    return Leads("/shop/cart")


@route("POST", "/shop/order")
def order_all(r: Request) -> Leads:
    """Order what is in the cart."""
    rows = r.store.rows("SELECT c.*, p.price FROM cart c JOIN products p ON p.id = c.product_id ORDER BY c.id")
    address = r.text("address")
    if not rows or address not in ("home", "work"):
        raise Problem(422, "Orders go home or to work, and are not empty")
    total = sum(row["quantity"] * row["price"] for row in rows)
    order = r.store.insert("orders", at=r.store.now, status="ordered", total=total, address=address)
    for row in rows:
        bought = {key: row[key] for key in ("product_id", "size", "quantity", "price")}
        r.store.insert("items", order_id=order, **bought)
        r.store.delete("cart", row["id"])
    return Leads(f"/shop/order/{order}")


@route("GET", "/shop/orders")
def orders(r: Request) -> str:
    """All orders, the last one first."""
    rows, more = paged(r, "/shop/orders", "SELECT * FROM orders ORDER BY at DESC, id")
    shown = [line(link(f"/shop/order/{row['id']}", f"Order {row['id']}"), span(row["at"][:10]), span(row["status"]))
             for row in rows]  # fmt: skip
    return page(r.site, "Orders", heading("Orders"), *shown, more)


@route("GET", "/shop/order/#")
def order(r: Request) -> str:
    """An order with what is in it."""
    row = r.row("orders")
    sql = "SELECT i.*, p.name FROM items i JOIN products p ON p.id = i.product_id WHERE order_id = ? ORDER BY i.id"
    shown = [
        line(link(f"/shop/product/{item['product_id']}", item["name"]),
             span(f"{item['quantity']} of it{' in ' * bool(item['size'])}{item['size']}"), span(money(item["price"])))
        for item in r.store.rows(sql, row["id"])
    ]  # fmt: skip
    facts = f"{row['status'].capitalize()}, delivered to {row['address']}. Paid in total: {money(row['total'])}"
    cancel = [form(f"/shop/order/{row['id']}/cancel", "Cancel order")] if row["status"] == "ordered" else []
    return page(r.site, "Order", heading(f"Order {row['id']}"), words(facts), *shown, *cancel)


@route("POST", "/shop/order/#/cancel")
def cancel(r: Request) -> Leads:
    """Cancel an order that is not delivered yet."""
    row = r.row("orders")
    if row["status"] != "ordered":
        raise Problem(422, f"The order is {row['status']}")
    r.store.update("orders", row["id"], status="cancelled")
    return Leads(f"/shop/order/{row['id']}")


@route("GET", "/shop/wishes")
def wishes(r: Request) -> str:
    """The wish list."""
    rows = r.store.rows("SELECT w.id, p.name, p.id AS of FROM wishes w JOIN products p ON p.id = w.product_id")
    shown = [line(link(f"/shop/product/{row['of']}", row["name"])) + form(f"/shop/wish/{row['id']}/remove",
             f"Remove {row['name']}") for row in rows]  # fmt: skip
    return page(r.site, "Wish list", heading("Wish list"), *shown)


@route("POST", "/shop/wish/#/remove")
def unwish(r: Request) -> Leads:
    """Take a ware off the wish list."""
    r.store.delete("wishes", r.row("wishes")["id"])
    return Leads("/shop/wishes")


@route("GET", "/shop/account")
def account(r: Request) -> str:
    """Who the user is, and what can be changed of it."""
    me, own = r.store.get("people", ME), r.store.get("account", 1)
    assert me is not None
    assert own is not None
    inputs = field("phone", "Phone", own["phone"]), field("home", "Home address", own["home"])
    news = choice("newsletter", "Newsletter", ("no", "yes"), "yes" if own["newsletter"] else "no")
    saved = form("/shop/account", "Save account", *inputs, field("work", "Work address", own["work"]), news)
    return page(r.site, "Account", heading("Account"), words(f"{me['name']}, {me['email']}, {me['city']}"), saved)


@route("POST", "/shop/account")
def save(r: Request) -> Leads:
    """Change the account."""
    news = int(r.text("newsletter") == "yes")
    r.store.update("account", 1, phone=r.text("phone"), home=r.text("home"), work=r.text("work"), newsletter=news)
    return Leads("/shop/account")
