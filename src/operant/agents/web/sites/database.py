"""The database of the three sites from a seed: a shop's wares, a forum's posts, what people offer, and whose it all is.

Person 1 is the user, who is logged in everywhere. What a thing looks like (`look`) is on its picture and in no text.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache

from operant.agents.store import Store, Value
from operant.agents.web.sites.pictures import COLOURS

NOW = "2026-05-18 09:00"
SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT, about TEXT);
CREATE TABLE account (id INTEGER PRIMARY KEY, phone TEXT, home TEXT, work TEXT, newsletter INTEGER);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, look TEXT, price INTEGER, rating REAL,
  weight INTEGER, material TEXT, sizes TEXT);
CREATE TABLE reviews (id INTEGER PRIMARY KEY, product_id INTEGER, person_id INTEGER, stars INTEGER, text TEXT);
CREATE TABLE cart (id INTEGER PRIMARY KEY, product_id INTEGER, size TEXT, quantity INTEGER);
CREATE TABLE wishes (id INTEGER PRIMARY KEY, product_id INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, status TEXT, total INTEGER, address TEXT);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product_id INTEGER, size TEXT, quantity INTEGER,
  price INTEGER);
CREATE TABLE boards (id INTEGER PRIMARY KEY, name TEXT, about TEXT);
CREATE TABLE follows (id INTEGER PRIMARY KEY, board_id INTEGER);
CREATE TABLE posts (id INTEGER PRIMARY KEY, board_id INTEGER, person_id INTEGER, title TEXT, text TEXT, score INTEGER);
CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER, person_id INTEGER, text TEXT, score INTEGER);
CREATE TABLE votes (id INTEGER PRIMARY KEY, kind TEXT, voted_id INTEGER, value INTEGER);
CREATE TABLE listings (id INTEGER PRIMARY KEY, person_id INTEGER, title TEXT, look TEXT, price INTEGER, text TEXT,
  status TEXT DEFAULT 'open');
CREATE TABLE questions (id INTEGER PRIMARY KEY, listing_id INTEGER, person_id INTEGER, title TEXT, text TEXT);
CREATE TABLE saved (id INTEGER PRIMARY KEY, listing_id INTEGER);
CREATE TABLE letters (id INTEGER PRIMARY KEY, listing_id INTEGER, person_id INTEGER, text TEXT);
CREATE TABLE ads (id INTEGER PRIMARY KEY, text TEXT);
"""
ME = 1
KINDS = {"music": ("guitar", "drum"), "home": ("lamp", "mug", "chair"), "outdoors": ("tent", "bicycle"),
         "clothes": ("shirt", "hat", "scarf")}  # fmt: skip
OFFERED = ("palette", "guitar", "bicycle", "lamp", "chair", "hat")
MAKES = (
    "Aurora", "Beacon", "Cobalt Bay", "Dune", "Ember", "Fjord", "Glacier", "Harvest", "Isle", "Juniper", "Kestrel",
    "Lagoon", "Mistral", "Northway", "Orbit", "Pioneer", "Quill", "Ridge", "Starlight", "Tundra", "Umbra", "Vesper",
    "Willow", "Zephyr",
)  # fmt: skip
FIRST = (
    "Ada", "Bruno", "Chiara", "Dario", "Edith", "Fatima", "Gustav", "Hana", "Ivan", "Julia", "Karim", "Lena", "Milan",
    "Nora", "Oscar", "Priya", "Ravi", "Sofia", "Tomas", "Ursula", "Viktor", "Wei", "Yusuf", "Zita",
)  # fmt: skip
LAST = (
    "Adler", "Bianchi", "Costa", "Dumas", "Eriksen", "Ferrari", "Gruber", "Haas", "Ivanov", "Jensen", "Kumar", "Larsen",
    "Moreau", "Nagy", "Okafor", "Pereira", "Ruiz", "Sato", "Tran", "Urban", "Varga", "Wolf", "Yilmaz", "Zhang",
)  # fmt: skip
CITIES = ("Bergen", "Genoa", "Porto", "Riga", "Split", "Trieste")
MATERIALS = ("ash", "bamboo", "cotton", "felt", "linen", "oak", "steel", "wool")
SIZES = "S M L XL"
BOARDS = {"Boats": "All that floats", "Gardening": "Beds, pots and balconies", "Cooking": "What is for dinner",
          "Cycling": "Two wheels"}  # fmt: skip
TOPICS = (
    "A question for beginners", "What I learnt this year", "Which tool do you use?", "My first attempt",
    "Is it worth it?", "A small success", "Help, it broke", "Plans for summer", "How often do you practise?",
    "An odd sound at night", "Photos of last weekend", "The best place in town", "Cheap and good",
    "Thoughts on the new rules", "A map of it all", "Before and after", "Looking for company",
    "Do not do what I did", "A tip for rainy days", "Found in the cellar",
)  # fmt: skip
TALK = (
    "I agree.", "Not my experience.", "Thank you for this.", "Works for me.", "Can you say more?", "Same here.",
    "I would wait.", "That made my day.", "It depends.", "I tried, and it went well.",
)  # fmt: skip
SAID = ("As described.", "It broke after a week.", "Would buy again.", "Good value.", "Arrived late.", "Rather small.")


@lru_cache(maxsize=64)
def base(seed: int) -> bytes:
    """A snapshot of the world of a seed."""
    rng, store = random.Random(f"harbour/{seed}"), Store(SCHEMA)
    store.begin()
    names = [f"{a} {b}" for a, b in zip(rng.sample(FIRST, 13), rng.sample(LAST, 13), strict=True)]
    people = range(ME, ME + len(names))
    for id, name in zip(people, names, strict=True):
        email = f"{name.replace(' ', '.')}{rng.randrange(10, 100)}@{rng.choice(('post', 'mail', 'letters'))}.example"
        about: dict[str, Value] = {"city": rng.choice(CITIES), "about": rng.choice(TALK)}
        store.fill("people", [{"id": id, "name": name, "email": email.lower()} | about])
    phone = str(rng.randrange(2_000_000, 9_999_999))
    home, work = (
        f"{rng.randrange(1, 90)} {street} Street" for street in rng.sample(("Elm", "Mill", "Quay", "Park"), 2)
    )
    store.fill("account", [{"id": 1, "phone": phone, "home": home, "work": work, "newsletter": rng.randrange(2)}])
    _shop(rng, store, people)
    _forum(rng, store, people)
    _classifieds(rng, store, people)
    store.end()
    try:
        return store.snapshot()
    finally:
        store.close()


def _ids(rng: random.Random, n: int) -> list[int]:
    """Ids that say nothing of what a row is."""
    return rng.sample(range(100, 1000), n)


def _shop(rng: random.Random, store: Store, people: range) -> None:
    """Three products of each kind, in three colours, with reviews; orders of the past."""
    kinds = [(category, kind) for category, own in KINDS.items() for kind in own]
    ids = iter(_ids(rng, 3 * len(kinds)))
    products: list[Mapping[str, Value]] = []
    for category, kind in kinds:
        for make, colour in zip(rng.sample(MAKES, 3), rng.sample([*COLOURS], 3), strict=True):
            about = {"price": 50 * rng.randrange(10, 600), "rating": rng.randrange(20, 51) / 10}
            more = {"weight": 10 * rng.randrange(10, 500), "material": rng.choice(MATERIALS)}
            sizes = SIZES if category == "clothes" else ""
            what: dict[str, Value] = {"id": next(ids), "name": f"{make} {kind}", "category": category, "sizes": sizes}
            products.append(what | about | more | {"look": f"{kind} {colour}"})
    rng.shuffle(products)
    store.fill("products", products)
    for product in products:
        for person in rng.sample(people[1:], rng.randrange(0, 3)):
            said: dict[str, Value] = {"stars": rng.randrange(2, 5), "text": rng.choice(SAID)}
            store.fill("reviews", [{"product_id": product["id"], "person_id": person} | said])
    for id, product in zip(_ids(rng, 4), rng.sample(products, 4), strict=True):
        at = f"2026-0{rng.randrange(1, 5)}-{rng.randrange(10, 28)} 12:00"
        bought = {"size": str(product["sizes"]).split(" ")[0], "quantity": 1, "price": product["price"]}
        store.fill(
            "orders", [{"id": id, "at": at, "status": "delivered", "total": product["price"], "address": "home"}]
        )
        store.fill("items", [{"order_id": id, "product_id": product["id"]} | bought])


def _forum(rng: random.Random, store: Store, people: range) -> None:
    """Four boards with five posts each, some with comments."""
    boards = _ids(rng, len(BOARDS))
    store.fill("boards", [{"id": i, "name": n, "about": a} for i, (n, a) in zip(boards, BOARDS.items(), strict=True)])
    scores = rng.sample(range(3, 200), len(TOPICS))
    topics = rng.sample(TOPICS, len(TOPICS))
    for k, id in enumerate(_ids(rng, len(topics))):
        post: dict[str, Value] = {"person_id": rng.choice(people[1:]), "title": topics[k], "text": rng.choice(TALK)}
        store.fill("posts", [{"id": id, "board_id": boards[k % len(boards)], "score": scores[k]} | post])
        for person in rng.sample(people[1:], rng.randrange(0, 3)):
            said: dict[str, Value] = {"text": rng.choice(TALK), "score": rng.randrange(0, 9)}
            store.fill("comments", [{"post_id": id, "person_id": person} | said])


def _classifieds(rng: random.Random, store: Store, people: range) -> None:
    """Three things of each kind that people offer, in three colours."""
    rows: list[dict[str, Value]] = []
    ids = iter(_ids(rng, 3 * len(OFFERED)))
    prices = iter(rng.sample(range(5, 300), 3 * len(OFFERED)))
    for kind in OFFERED:
        for make, colour in zip(rng.sample(MAKES, 3), rng.sample([*COLOURS], 3), strict=True):
            about: dict[str, Value] = {
                "price": 100 * next(prices),
                "text": rng.choice(("Used.", "As new.", "Pick it up.")),
            }
            whose = {"id": next(ids), "person_id": rng.choice(people[1:])}
            rows.append(whose | {"title": f"{make} {kind}", "look": f"{kind} {colour}"} | about)
    rng.shuffle(rows)
    store.fill("listings", rows)
