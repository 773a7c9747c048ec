"""Tasks of the classifieds; among them the lectures' (the e-mail of the seller of the red palette; a USB-C cable?)."""

from __future__ import annotations

from operant.agents.cases import Task
from operant.agents.goals import Holds
from operant.agents.store import Row
from operant.agents.web.sites.database import CITIES, ME, OFFERED
from operant.agents.web.sites.pictures import COLOURS
from operant.agents.web.sites.tasks.template import Draft, added, answered, click, done, fill, offer, template

HERE = "/classifieds"


@template("visual", start="/classifieds?q=palette")
def classifieds_palette(d: Draft) -> Task:
    """The address of whoever sells a palette of a colour that only its picture shows (a lecture's example)."""
    row = d.one("listings", "look LIKE 'palette %'")
    colour = row["look"].split(" ")[1]
    ask = d.say(f"What is the email of the seller of the {colour} palette on this page?",
                f"Which email address has the person who sells the {colour} palette on this page?")  # fmt: skip
    return answered(ask, [click(row["title"])], d.person(row)["email"])


@template("visual", "unanswerable", start="/classifieds?q=palette")
def classifieds_palette_missing(d: Draft) -> Task:
    """No palette has that colour."""
    there = {row["look"].split(" ")[1] for row in d.rows("listings", "look LIKE 'palette %'")}
    colour = d.rng.choice([c for c in COLOURS if c not in there])
    ask = d.say(f"What is the email of the seller of the {colour} palette on this page?",
                f"Which email address has the person who sells the {colour} palette on this page?")  # fmt: skip
    return d.missing(ask, [])


@template(start=HERE)
def classifieds_ask(d: Draft) -> Task:
    """A comment with a title is written on an offer (a lecture's example)."""
    row, thing = d.one("listings"), d.rng.choice(("a USB-C cable", "a receipt", "the key", "a spare part", "a bag"))
    text = f"Do you have {thing}?"
    ask = d.say(f'Comment on the offer {row["title"]} with the title "Interested" and the text "{text}".',
                f'Ask the seller of the {row["title"]} in a comment titled "Interested": {text}')  # fmt: skip
    steps = [*offer(row["title"]), fill("Comment title", "Interested"), fill("Comment", text), click("Post comment")]
    return done(ask, steps, added("questions", listing_id=row["id"], person_id=ME, title="Interested", text=text))


def _cheapest(d: Draft, there: bool) -> Task:
    """Whose the cheapest thing of a kind in a city is, where there is one, or none."""
    kind, city = d.rng.choice(OFFERED), d.rng.choice(CITIES)
    own = "title LIKE ? AND person_id IN (SELECT id FROM people WHERE city = ?)"
    rows = sorted(d.rows("listings", own, f"% {kind}", city), key=lambda row: row["price"])
    if bool(rows) is not there:
        d.refuse("there is one" if rows else "there is none")
    ask = d.say(f"What is the email of whoever sells the cheapest {kind} in {city}?",
                f"In {city}, who offers the cheapest {kind}? Answer with the email address.")  # fmt: skip
    look = [fill("City", city), fill("Sort", "cheapest first"), fill("Search the classifieds", kind, enter=True)]
    if not there:
        return d.missing(ask, look)
    return answered(ask, [*look, click(rows[0]["title"])], d.person(rows[0])["email"])


@template("memory", start=HERE)
def classifieds_cheapest(d: Draft) -> Task:
    """Whose the cheapest thing of a kind in a city is."""
    return _cheapest(d, there=True)


@template("memory", "unanswerable", start=HERE)
def classifieds_cheapest_missing(d: Draft) -> Task:
    """Nobody offers one in that city."""
    return _cheapest(d, there=False)


@template(start=HERE)
def classifieds_save(d: Draft) -> Task:
    """An offer is saved."""
    row = d.one("listings")
    ask = d.say(f"Save the offer {row['title']}.", f"Keep the {row['title']} of the classifieds among my saved offers.")
    return done(ask, [*offer(row["title"]), click("Save offer")], added("saved", listing_id=row["id"]))


def _mine(d: Draft) -> list[Row]:
    """Two offers of the user's."""
    for n in d.rng.sample(range(10, 99), 2):
        about = {"look": "", "text": "Hardly used.", "status": "open"}
        d.add("listings", person_id=ME, title=f"Box of books {n}", price=100 * d.rng.randrange(5, 60), **about)
    return d.rows("listings", "person_id = ?", ME)


@template(start=HERE)
def classifieds_price(d: Draft) -> Task:
    """The price of one of the user's offers is changed."""
    row, price = d.rng.choice(_mine(d)), d.rng.randrange(61, 99)
    ask = d.say(f"Change the price of my offer {row['title']} to ${price}.", f"My {row['title']} should cost ${price}.")
    steps = [click("My offers"), click(row["title"]), fill("Price in dollars", str(price)), click("Save price")]
    return done(ask, steps, d.changes("listings", row["id"], price=100 * price))


@template(start=HERE)
def classifieds_sold(d: Draft) -> Task:
    """One of the user's offers is sold."""
    row = d.rng.choice(_mine(d))
    ask = d.say(f"I sold the {row['title']}. Mark it as sold.", f"Mark my offer {row['title']} as sold.")
    steps = [click("My offers"), click(row["title"]), click("Mark as sold")]
    return done(ask, steps, d.changes("listings", row["id"], status="sold"))


@template(start=HERE)
def classifieds_new(d: Draft) -> Task:
    """Something is offered."""
    thing, price = d.rng.choice(("rowing boat", "ladder", "desk", "piano stool")), d.rng.randrange(5, 200)
    text = f"Pick it up on pier {d.rng.randrange(2, 40)}"
    ask = d.say(f'Offer a {thing} in the classifieds: title "{thing}", price ${price}, description "{text}".',
                f'Put a new offer into the classifieds: "{thing}", for ${price}, described as "{text}".')  # fmt: skip
    steps = [click("My offers"), fill("Title", thing), fill("Price in dollars", str(price)), fill("Description", text),
             click("Offer")]  # fmt: skip
    return done(ask, steps, added("listings", person_id=ME, title=thing, price=100 * price, text=text))


@template(start=HERE)
def classifieds_letter(d: Draft) -> Task:
    """A letter with a price is written to a seller."""
    row, price = d.one("listings"), d.rng.randrange(100, 999)
    ask = d.say(f"Write the seller of the {row['title']} a letter that I offer ${price}.",
                f"Send a letter to whoever sells the {row['title']}: my offer is ${price}.")  # fmt: skip
    steps = [*offer(row["title"]), fill("Letter to the seller", f"I offer ${price}."), click("Send letter")]
    return done(ask, steps, added("letters", listing_id=row["id"], text=Holds((f"${price}",))))


@template("memory", start=HERE, held=True)
def classifieds_others(d: Draft) -> Task:
    """How many things whoever offers something offers in all."""
    row = d.one("listings")
    n = len(d.rows("listings", "person_id = ? AND status = 'open'", row["person_id"]))
    ask = d.say(f"How many offers does the seller of the {row['title']} have in all?",
                f"Count all offers of whoever sells the {row['title']}.")  # fmt: skip
    return answered(ask, [*offer(row["title"]), click(d.person(row)["name"])], n)
