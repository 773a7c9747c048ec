"""Tasks of the shop."""

from __future__ import annotations

from operant.agents.cases import Task, money
from operant.agents.goals import Expected
from operant.agents.store import Row
from operant.agents.web.sites.database import KINDS, MATERIALS, ME, SIZES
from operant.agents.web.sites.pictures import COLOURS
from operant.agents.web.sites.tasks.template import (
    Draft,
    Step,
    added,
    answered,
    click,
    done,
    fill,
    stop,
    template,
    ware,
)  # fmt: skip


def _cart(row: Row, quantity: int = 1, size: str = "") -> Expected:
    return added("cart", product_id=row["id"], size=size or row["sizes"].partition(" ")[0], quantity=quantity)


@template()
def shop_add(d: Draft) -> Task:
    """So many of a ware are put into the cart."""
    row, n = d.one("products", "sizes = ''"), d.rng.randrange(2, 10)
    ask = d.say(f"Put {n} of the {row['name']} into my cart.", f"Add the {row['name']} to the cart, {n} times.")
    return done(ask, [*ware(row["name"]), fill("Quantity", str(n)), click("Add to cart")], _cart(row, n))


@template()
def shop_cheapest(d: Draft) -> Task:
    """The cheapest ware of a category with a rating is put into the cart."""
    category, rating = d.rng.choice([c for c in KINDS if c != "clothes"]), d.rng.choice((3, 3.5, 4))
    rows = sorted(d.rows("products", "category = ? AND rating >= ?", category, rating), key=lambda row: row["price"])
    if len(rows) < 2 or rows[0]["price"] == rows[1]["price"]:
        d.refuse("there is no one cheapest ware")
    ask = d.say(
        f"Put the cheapest ware in the category {category} that is rated {rating} or better into my cart.",
        f"Of the {category} wares with a rating of at least {rating}, add the cheapest one to my cart.",
    )
    look = [fill("Category", category), fill("Sort", "cheapest first"), click("Search")]
    return done(ask, [*look, click(rows[0]["name"]), click("Add to cart")], _cart(rows[0]))


def _sized(d: Draft, there: bool) -> Task:
    """Something to wear is put into the cart in a size that there is, or is not."""
    row, size = d.one("products", "sizes <> ''"), d.rng.choice(SIZES.split()[1:])
    ask = d.say(
        f"Put the {row['name']} in size {size} into my cart.", f"Add a {row['name']}, size {size}, to the cart."
    )
    if there:
        return done(ask, [*ware(row["name"]), fill("Size", size), click("Add to cart")], _cart(row, size=size))
    d.set("products", row, sizes=" ".join(s for s in SIZES.split() if s != size))
    return d.missing(ask, ware(row["name"]))


@template()
def shop_size(d: Draft) -> Task:
    """Something to wear is put into the cart in a size."""
    return _sized(d, there=True)


@template("unanswerable")
def shop_size_missing(d: Draft) -> Task:
    """There is no such size."""
    return _sized(d, there=False)


@template()
def shop_order(d: Draft) -> Task:
    """A ware is ordered to an address."""
    row, to = d.one("products", "sizes = ''"), d.rng.choice(("home", "work"))
    ask = d.say(
        f"Order one {row['name']}, delivered to {to}.", f"Buy the {row['name']}. It should be delivered to {to}."
    )
    steps = [*ware(row["name"]), click("Add to cart"), fill("Deliver to", to), click("Place order")]
    item = added("items", product_id=row["id"], quantity=1, price=row["price"])
    return done(ask, steps, added("orders", status="ordered", total=row["price"], address=to), item)


@template()
def shop_review(d: Draft) -> Task:
    """A ware is reviewed."""
    row, stars, text = d.one("products"), d.rng.randrange(1, 6), f"Lasted {d.rng.randrange(2, 40)} days"
    ask = d.say(f'Review the {row["name"]}: {stars} stars and the text "{text}".',
                f'Write a review of the {row["name"]} with {stars} stars. Its text is "{text}".')  # fmt: skip
    steps = [*ware(row["name"]), fill("Stars", str(stars)), fill("Your review", text), click("Post review")]
    return done(ask, steps, added("reviews", product_id=row["id"], person_id=ME, stars=stars, text=text))


def _ordered(d: Draft, row: Row, status: str, quantity: int = 1) -> int:
    """An order of a ware, newer than all others; returns its id."""
    at, total = f"2026-05-{d.rng.randrange(10, 18)} 10:00", quantity * row["price"]
    order = d.add("orders", at=at, status=status, total=total, address="home")
    bought = {"size": row["sizes"].partition(" ")[0], "quantity": quantity, "price": row["price"]}
    d.add("items", order_id=order, product_id=row["id"], **bought)
    return order


def _unbought(d: Draft, where: str = "1") -> Row:
    return d.one("products", f"id NOT IN (SELECT product_id FROM items) AND {where}")


@template("memory")
def shop_cancel(d: Draft) -> Task:
    """One of two open orders is cancelled, which the ware that is in it names."""
    row = _unbought(d)
    order = _ordered(d, row, "ordered")
    _ordered(d, d.one("products", "id <> ?", row["id"]), "ordered")
    ask = d.say(
        f"Cancel my order of the {row['name']}.", f"I no longer want the {row['name']} that I ordered. Cancel it."
    )
    steps = [click("Orders"), click(f"Order {order}"), click("Cancel order")]
    return done(ask, steps, d.changes("orders", order, status="cancelled"))


@template()
def shop_paid(d: Draft) -> Task:
    """What was paid for an order, of several of a ware, when its price was another."""
    row, n = _unbought(d, "sizes = ''"), d.rng.randrange(2, 6)
    order = _ordered(d, row, "delivered", n)
    d.set("products", row, price=row["price"] + 150)
    ask = d.say(f"How much did I pay in total when I ordered the {row['name']}? Answer in dollars.",
                f"What was the total of my order of the {row['name']}, in dollars?")  # fmt: skip
    return answered(ask, [click("Orders"), click(f"Order {order}")], n * row["price"] / 100)


@template()
def shop_wish(d: Draft) -> Task:
    """A ware is put on the wish list."""
    row = d.one("products")
    ask = d.say(f"Put the {row['name']} on my wish list.", f"My wish list should have the {row['name']}.")
    return done(ask, [*ware(row["name"]), click("Add to wish list")], added("wishes", product_id=row["id"]))


@template(held=True)
def shop_unwish(d: Draft) -> Task:
    """One of several wares is taken off the wish list."""
    rows = d.rng.sample(d.rows("products"), 3)
    ids = [d.add("wishes", product_id=row["id"]) for row in rows]
    name = rows[1]["name"]
    ask = d.say(f"Take the {name} off my wish list.", f"Remove the {name} from the wish list.")
    return done(ask, [click("Wish list"), click(f"Remove {name}")], Expected("wishes", "removed", id=ids[1]))


@template()
def shop_remove(d: Draft) -> Task:
    """One of several wares is taken out of the cart."""
    rows = d.rng.sample(d.rows("products", "sizes = ''"), 3)
    ids = [d.add("cart", product_id=row["id"], size="", quantity=1) for row in rows]
    name = rows[1]["name"]
    ask = d.say(f"Take the {name} out of my cart and leave the rest.", f"Remove only the {name} from my cart.")
    return done(ask, [click("Cart"), click(f"Remove {name}")], Expected("cart", "removed", id=ids[1]))


@template()
def shop_phone(d: Draft) -> Task:
    """The number in the account is changed."""
    phone = str(d.rng.randrange(2_000_000, 9_999_999))
    ask = d.say(f"My new phone number is {phone}. Change it in my account.", f"Set the phone of my account to {phone}.")
    steps = [click("Account"), fill("Phone", phone), click("Save account")]
    return done(ask, steps, d.changes("account", 1, phone=phone))


@template(held=True)
def shop_address(d: Draft) -> Task:
    """The home address in the account is changed, and the one at work is not."""
    home = f"{d.rng.randrange(100, 999)} Harbour Road"
    ask = d.say(f"I moved to {home}. Change my account.", f"Set the home address of my account to {home}.")
    steps = [click("Account"), fill("Home address", home), click("Save account")]
    return done(ask, steps, d.changes("account", 1, home=home))


def _material(d: Draft, there: bool) -> Task:
    """What a ware is made of, which its page says, or does not."""
    row, material = d.one("products"), d.rng.choice(MATERIALS)
    d.set("products", row, material=material if there else "")
    ask = d.say(f"What is the {row['name']} made of?", f"Which material is the {row['name']}? One word.")
    return answered(ask, ware(row["name"]), material) if there else d.missing(ask, ware(row["name"]))


@template()
def shop_material(d: Draft) -> Task:
    """What a ware is made of."""
    return _material(d, there=True)


@template("unanswerable")
def shop_material_missing(d: Draft) -> Task:
    """Nobody says what it is made of."""
    return _material(d, there=False)


@template("memory")
def shop_lighter(d: Draft) -> Task:
    """The lighter one of two wares, whose pages tell their weights, is put into the cart."""
    rows = d.rng.sample(d.rows("products", "sizes = ''"), 2)
    light, heavy = sorted(rows, key=lambda row: row["weight"])
    if light["weight"] == heavy["weight"]:
        d.refuse("both weigh the same")
    a, b = (row["name"] for row in rows)
    ask = d.say(f"Put the {a} or the {b} into my cart, whichever weighs less.",
                f"Which weighs less, the {a} or the {b}? Add that one to my cart.")  # fmt: skip
    return done(ask, [*ware(heavy["name"]), *ware(light["name"]), click("Add to cart")], _cart(light))


@template()
def shop_critic(d: Draft) -> Task:
    """Who gave a ware one star."""
    row, person = d.one("products"), d.other()
    for one in d.rows("reviews", "product_id = ? AND person_id = ?", row["id"], person["id"]):
        d.refuse(f"they reviewed it already: {one['id']}")
    d.add("reviews", product_id=row["id"], person_id=person["id"], stars=1, text="Never again.")
    ask = d.say(f"Who gave the {row['name']} only one star? Answer with the name.",
                f"What is the name of the person who rated the {row['name']} with 1 star?")  # fmt: skip
    return answered(ask, ware(row["name"]), person["name"])


def _seen(d: Draft) -> tuple[Row, str, str, list[Step]]:
    """A ware, what it is and its colour, and the way to where all of its kind are shown."""
    row = d.one("products")
    kind, colour = row["look"].split(" ")
    return row, kind, colour, [fill("Search the shop", kind, enter=True)]


@template("visual")
def shop_red_guitar(d: Draft) -> Task:
    """A ware of a colour, which only its picture shows, is put into the cart."""
    row, kind, colour, look = _seen(d)
    ask = d.say(f"Put the {colour} {kind} into my cart.", f"Add the {kind} that is {colour} to my cart.")
    return done(ask, [*look, click(row["name"]), click("Add to cart")], _cart(row))


@template("visual", "unanswerable")
def shop_red_guitar_missing(d: Draft) -> Task:
    """No picture shows one of that colour."""
    _, kind, _, look = _seen(d)
    there = {row["look"] for row in d.rows("products")}
    colour = d.rng.choice([c for c in COLOURS if f"{kind} {c}" not in there])
    ask = d.say(f"Put the {colour} {kind} into my cart.", f"Add the {kind} that is {colour} to my cart.")
    return d.missing(ask, look)


@template("visual", held=True)
def shop_colour(d: Draft) -> Task:
    """What a ware costs that only its picture tells from others."""
    row, kind, colour, look = _seen(d)
    ask = d.say(f"What does the {colour} {kind} cost, in dollars?", f"How many dollars is the {kind} that is {colour}?")
    return Task(ask, [*look, stop(money(row["price"]))], answer=row["price"] / 100)
