"""Tasks for which a fact of one site is needed in another."""

from __future__ import annotations

from operant.agents.cases import Task, money
from operant.agents.goals import Holds
from operant.agents.web.sites.database import ME
from operant.agents.web.sites.tasks.template import (
    Draft,
    added,
    answered,
    click,
    done,
    fill,
    offer,
    post,
    template,
    ware,
)  # fmt: skip


@template("memory")
def across_recommended(d: Draft) -> Task:
    """A post recommends a ware, which is put into the cart."""
    row, board, n = d.one("products", "sizes = ''"), d.one("boards"), d.rng.randrange(10, 99)
    title = f"What I would buy, part {n}"
    about = {"text": f"Get the {row['name']}, nothing else.", "score": 4}
    d.add("posts", board_id=board["id"], person_id=d.other()["id"], title=title, **about)
    ask = d.say(f'Put what the forum post "{title}" recommends into my cart.',
                f'The post "{title}" in the forum recommends a ware of the shop. Add one to my cart.')  # fmt: skip
    steps = [*post(title), *ware(row["name"]), click("Add to cart")]
    return done(ask, steps, added("cart", product_id=row["id"], quantity=1))


@template("memory")
def across_price(d: Draft) -> Task:
    """The user's offer is to cost what the shop asks for a ware."""
    row, n = d.one("products", "price % 100 = 0"), d.rng.randrange(10, 99)
    about = {"title": f"My spare thing {n}", "look": "", "text": "As new.", "status": "open"}
    id = d.add("listings", person_id=ME, price=row["price"] + 700, **about)
    ask = d.say(f'Set the price of my offer "My spare thing {n}" to what the shop asks for the {row["name"]}.',
                f'My offer "My spare thing {n}" should cost as much as the {row["name"]} in the shop.')  # fmt: skip
    price = str(row["price"] // 100)
    steps = [*ware(row["name"]), click("My offers"), click(f"My spare thing {n}"), fill("Price in dollars", price),
             click("Save price")]  # fmt: skip
    return done(ask, steps, d.changes("listings", id, price=row["price"]))


@template("memory")
def across_phone(d: Draft) -> Task:
    """A seller gets the number that stands in the user's account."""
    row, phone = d.one("listings"), d.rows("account")[0]["phone"]
    ask = d.say(f"Write the seller of the {row['title']} a letter with my phone number, which is in my account.",
                f"Send my phone number, as my account has it, to whoever offers the {row['title']}.")  # fmt: skip
    steps = [
        click("Account"),
        *offer(row["title"]),
        fill("Letter to the seller", f"Call {phone}"),
        click("Send letter"),
    ]
    return done(ask, steps, added("letters", listing_id=row["id"], text=Holds((phone,))))


@template("memory")
def across_cheaper(d: Draft) -> Task:
    """The difference of two prices, one in the shop, one in the classifieds."""
    row, other = d.one("products", "price % 100 = 0"), d.one("listings")
    if row["price"] == other["price"]:
        d.refuse("both cost the same")
    gap = abs(row["price"] - other["price"]) // 100
    ask = d.say(
        f"By how many dollars do the prices of the {row['name']} in the shop and the {other['title']} in the "
        "classifieds differ?",
        f"What is the difference in dollars between the shop's {row['name']} and the {other['title']} that somebody "
        "offers in the classifieds?",
    )
    return answered(ask, [*ware(row["name"]), *offer(other["title"])], gap)


@template("memory", "visual")
def across_same(d: Draft) -> Task:
    """The ware that looks like what is on the picture of an offer is put into the cart (a lecture's example)."""
    both = {row["look"]: row for row in d.rows("products", "sizes = ''")}
    row = d.rng.choice([row for row in d.rows("listings") if row["look"] in both] or [d.refuse("nothing looks alike")])
    same = both[row["look"]]
    ask = d.say(f"Put the ware that looks the same as the picture of the offer {row['title']} into my cart.",
                f"Find in the shop what the picture of the offer {row['title']} shows. Add it to my cart.")  # fmt: skip
    find = [click("Shop"), fill("Search the shop", same["look"].split(" ")[0], enter=True), click(same["name"])]
    steps = [*offer(row["title"]), *find, click("Add to cart")]
    return done(ask, steps, added("cart", product_id=same["id"], quantity=1))


@template("memory", held=True)
def across_told(d: Draft) -> Task:
    """What a ware costs is written under a post that asks for it."""
    row, board, n = d.one("products"), d.one("boards"), d.rng.randrange(10, 99)
    about = {"text": f"What does the {row['name']} cost?", "score": 1}
    title = f"A price, please {n}"
    id = d.add("posts", board_id=board["id"], person_id=d.other()["id"], title=title, **about)
    ask = d.say(f'The forum post "{title}" asks for a price of the shop. Comment there with the price.',
                f'Somebody asks in the post "{title}" what a ware costs. Write the price as a comment.')  # fmt: skip
    price = money(row["price"])
    steps = [*post(title), *ware(row["name"]), *post(title), fill("Your comment", price), click("Comment")]
    return done(ask, steps, added("comments", post_id=id, person_id=ME, text=Holds((price.strip("$"),))))
