"""Tasks of the shop."""

from __future__ import annotations

from operant.agents.cases import Task, money
from operant.agents.desk.draft import Draft
from operant.agents.desk.tasks.template import PAGES, template, turns
from operant.agents.goals import Expected
from operant.agents.store import Row


def _products(d: Draft) -> list[Row]:
    return d.store.rows("SELECT * FROM products ORDER BY name, id")


@template("shop")
def cheapest(d: Draft) -> Task:
    """So many of the cheapest product of a category with a rating are put into the cart."""
    category = d.rng.choice(sorted({row["category"] for row in _products(d)}))
    rating, many = d.rng.choice((2.5, 3, 3.5)), d.rng.randrange(1, 8)
    fits = sorted((r["price"], r["id"]) for r in _products(d) if r["category"] == category and r["rating"] >= rating)
    if not fits or fits[0][0] in [price for price, _ in fits[1:]]:
        d.refuse("there is no one cheapest product")
    code = f"""{d.login("shop")}{PAGES}
fits = [p for p in pages(shop.search, category={category!r}) if p["rating"] >= {rating}]
best = min(fits, key=lambda p: p["price"])
print(best)
---
print(shop.add_to_cart(product_id=best["id"], quantity={many}))
desk.complete()"""
    return Task(
        d.say(
            f"Put {many} of the cheapest product among the {category} with a rating of at least {rating} into my cart.",
            f"Of the {category} rated {rating} or better, add the cheapest to the cart, {many} of it.",
            f"Into the cart: {many} of the {category}, all of the cheapest kind that has at least {rating} in rating.",
        ),
        turns(code),
        [Expected("cart", "added", {"product_id": fits[0][1], "quantity": many})],
    )


@template("payments shop")
def order_product(d: Draft) -> Task:
    """So many of a product are ordered, paid by one of two cards."""
    product, many, card = d.rng.choice(_products(d)), d.rng.randrange(1, 8), d.rng.randrange(2)
    kind = ("credit", "debit")[card]
    code = f"""{d.login("payments", "shop")}card = next(c["id"] for c in payments.cards() if c["kind"] == {kind!r})
product = next(p for p in shop.search(query={product["name"]!r}) if p["name"] == {product["name"]!r})
print(card, product)
---
shop.add_to_cart(product_id=product["id"], quantity={many})
print(shop.checkout(card_id=card))
desk.complete()"""
    total = many * product["price"]
    if total > 500_000:
        d.refuse("the card cannot pay it")
    item = {"product_id": product["id"], "quantity": many, "price": product["price"]}
    return Task(
        d.say(
            f"Order {many} × {product['name']} and pay with my {kind} card.",
            f"Buy {many} of the product {product['name']} in the shop, with the {kind} card.",
            f"I need {many} × {product['name']}. Order it by {kind} card.",
        ),
        turns(code),
        [
            Expected("orders", "added", {"status": "ordered", "total": total, "card_id": card + 1}),
            Expected("items", "added", item),
        ],
    )


def _ordered(d: Draft, at: str, status: str) -> tuple[Row, int, int]:
    """An order of a product that was not ordered before: the product, and the ids of order and item."""
    known = {row["product_id"] for row in d.store.rows("SELECT product_id FROM items")}
    product = d.rng.choice([row for row in _products(d) if row["id"] not in known])
    order = d.add("orders", at=at, status=status, total=product["price"], card_id=1)
    item = d.add("items", order_id=order, product_id=product["id"], quantity=1, price=product["price"])
    return product, order, item


def _find_item(d: Draft, name: str) -> str:
    return f"""{d.login("shop")}{PAGES}
for row in pages(shop.orders):
    order = shop.order(id=row["id"])
    item = next((i for i in order["items"] if i["name"] == {name!r}), None)
    if item:
        break
print(order)
---
"""


@template("shop")
def cancel_order(d: Draft) -> Task:
    """The order that holds a product is cancelled."""
    product, order, _ = _ordered(d, d.ago(60, 2), "ordered")
    name = product["name"]
    return Task(
        d.say(
            f"Cancel my order of the {name}.",
            f"I no longer want the {name} that I ordered. Cancel the order.",
            f"Cancel the order in which there is a {name}.",
        ),
        turns(f'{_find_item(d, name)}print(shop.cancel_order(id=order["id"]))\ndesk.complete()'),
        [d.changes("orders", order, status="cancelled")],
    )


@template("shop")
def return_product(d: Draft) -> Task:
    """A product that was delivered is sent back."""
    product, _, item = _ordered(d, d.ago(60, 2), "delivered")
    name = product["name"]
    return Task(
        d.say(
            f"Return the {name} that I bought.",
            f"The {name} from the shop does not please me. Send it back.",
            f"Send the {name} of my orders back to the shop.",
        ),
        turns(f'{_find_item(d, name)}print(shop.return_item(item_id=item["id"]))\ndesk.complete()'),
        [d.changes("items", item, returned=1)],
    )


@template("shop")
def review_last(d: Draft) -> Task:
    """The product that was ordered last is reviewed."""
    product, _, _ = _ordered(d, "2026-05-18 08:00", "delivered")
    stars, text = d.rng.randrange(1, 6), f"Lasted {d.rng.randrange(2, 40)} days"
    code = f"""{d.login("shop")}last = shop.order(id=shop.orders(limit=1)[0]["id"])
print(last)
---
print(shop.add_review(product_id=last["items"][0]["product_id"], stars={stars}, text={text!r}))
desk.complete()"""
    return Task(
        d.say(
            f'Review the product that I ordered last: {stars} stars, "{text}".',
            f'My latest order deserves a review of its product with {stars} stars and the text "{text}".',
            f'Give the product of my last order {stars} stars and write "{text}".',
        ),
        turns(code),
        [Expected("reviews", "added", {"product_id": product["id"], "stars": stars, "text": text})],
    )


@template("notes shop", held=True)
def wishes_of_note(d: Draft) -> Task:
    """All products that a note names are put on the wish list."""
    p = d.one()
    wanted = d.rng.sample(_products(d), d.rng.randrange(2, 5))
    d.note(f"Presents for {p.name}", "\n".join(row["name"] for row in wanted))
    d.note("Presents for nobody", d.rng.choice(_products(d))["name"])
    code = f"""{d.login("shop")}note = notes.get(id=notes.search(query={f"Presents for {p.name}"!r})[0]["id"])
print(note["body"])
---
for name in note["body"].splitlines():
    product = next(p for p in shop.search(query=name) if p["name"] == name)
    shop.wish(product_id=product["id"])
desk.complete()"""
    return Task(
        d.say(
            f'Put every product in my note "Presents for {p.name}" on my wish list.',
            f"My note lists presents for {p.name}. Add all of them to the wish list of the shop.",
            f'The wish list should have all that the note "Presents for {p.name}" names.',
        ),
        turns(code),
        [Expected("wishes", "added", {"product_id": row["id"]}) for row in wanted],
    )


@template("contacts messages shop", held=True)
def text_total(d: Draft) -> Task:
    """What an order cost is texted to somebody."""
    product, order, _ = _ordered(d, d.ago(60, 2), "delivered")
    p, name = d.one(), product["name"]
    total = d.store.rows("SELECT total FROM orders WHERE id = ?", order)[0]["total"]
    code = f"""{_find_item(d, name)}to = contacts.search(name={p.name!r})[0]
print(messages.send(number=to["number"], text=f"${{order['total']:.2f}}"))
desk.complete()"""
    return Task(
        d.say(
            f"Text {p.name} what my order of the {name} cost.",
            f"{p.name} wants to know how much I paid in total for the {name}. Text it.",
            f"Send {p.name} a text with the total of my order of the {name}.",
        ),
        turns(code),
        [d.texts(p, money(total).strip("$"), exactly=False)],
    )
