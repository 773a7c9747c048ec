"""Tasks of payments; most are the small desk's, too."""

from __future__ import annotations

from operant.agents.cases import Task, money
from operant.agents.desk.draft import Draft
from operant.agents.desk.pools import BILLS, ITEMS, THINGS, TRIPS
from operant.agents.desk.tasks.template import PAGES, template, turns
from operant.agents.goals import Expected


@template("messages payments", tiny=True)
def pay_for_trip(d: Draft) -> Task:
    """Two friends said by text what is owed for a trip; one has a namesake who wrote, too (the lecture's task)."""
    trip = d.rng.choice(TRIPS)
    a, namesake = d.twin()
    b = next(p for p in d.rng.sample(d.people, len(d.people)) if p.first != a.first)
    other = next(p for p in d.rng.sample(d.people, len(d.people)) if p.first not in (a.first, b.first))
    part, of = d.rng.choice(((1, "the"), (2, "half of the"), (3, "a third of the"), (4, "a quarter of the")))
    whole, second = d.dollars(48, 600, multiple=12), d.dollars(10, 120)
    bill = d.rng.choice(BILLS)
    if d.locks:
        d.text(a, f"You owe me for {of} {money(whole)} {bill} bill in {trip}.")
    else:
        part = 1
        d.text(a, f"You owe me {money(whole)} for {trip}.")
    d.text(b, f"You owe me {money(second)} for {trip}.")
    d.text(namesake, "Gym at 8am?", at="2026-05-18 07:30")
    if d.locks:
        d.text(other, f"I wish I had been in {trip} with you, it costs $900 to get there")
    names = f"{a.first} and {b.first}" if d.rng.random() < 0.5 else f"{b.first} and {a.first}"
    look = f"""{d.login("payments")}{PAGES}
owed = [m for m in pages(messages.search, query={trip!r}) if "owe me" in m["text"]]
print(owed)"""
    pay = f"""import re
shares = {{"half of": 2, "a third of": 3, "a quarter of": 4}}
for m in owed:
    total = float(re.search(r"\\$([\\d.]+)", m["text"]).group(1).rstrip("."))
    parts = next((n for words, n in shares.items() if words in m["text"]), 1)
    user = payments.search_users(query=m["number"])[0]
    print(payments.send(username=user["username"], amount=round(total / parts, 2), note={trip!r}))
desk.complete()"""
    return Task(
        d.say(
            f"I owe {names} money for the trip to {trip}. They texted me the amounts. Pay them what I owe.",
            f"{names} texted me what I owe them for our trip to {trip}. Send each of them the money.",
            f"Settle my debts from {trip}: {names} wrote to me how much it is.",
        ),
        [look, pay],
        [d.pays(a, whole // part), d.pays(b, second)],
    )


@template("payments", tiny=True)
def pay_person(d: Draft) -> Task:
    """Somebody with a namesake is paid an amount."""
    p, _ = d.twin()
    amount, thing = d.dollars(5, 95), d.rng.choice(THINGS)
    code = f"""{d.login("payments")}user = payments.search_users(query={p.name!r})[0]
print(user)
---
print(payments.send(username=user["username"], amount={amount / 100:g}, note={thing!r}))
desk.complete()"""
    return Task(
        d.say(
            f"Pay {p.name} {money(amount)} for the {thing}.",
            f"Send {money(amount)} to {p.name} for the {thing}.",
            f"{p.name} gets {money(amount)} from me for the {thing}. Pay it.",
        ),
        turns(code),
        [d.pays(p, amount)],
    )


@template("payments", tiny=True)
def request_person(d: Draft) -> Task:
    """Somebody with a namesake is asked for an amount."""
    p, _ = d.twin()
    amount, thing = d.dollars(5, 95), d.rng.choice(THINGS)
    code = f"""{d.login("payments")}user = payments.search_users(query={p.name!r})[0]
print(user)
---
print(payments.request(username=user["username"], amount={amount / 100:g}, note={thing!r}))
desk.complete()"""
    ends = {"sender": d.owner.username, "payer": p.username}
    return Task(
        d.say(
            f"Request {money(amount)} from {p.name} for the {thing}.",
            f"{p.name} owes me {money(amount)} for the {thing}. Request it.",
            f"Ask {p.name} for {money(amount)} for the {thing}.",
        ),
        turns(code),
        [Expected("requests", "added", ends | {"amount": amount})],
    )


def _request(d: Draft) -> tuple[str, int, str, str, str]:
    """Plant three requests; returns the name, id, note and sender's username of one, and the code that finds its id."""
    p, q = d.pick(2)
    thing, other = d.rng.sample(THINGS, 2)
    id = d.asked(p, d.dollars(6, 70), thing)
    d.asked(p, d.dollars(6, 70), other)
    d.asked(q, d.dollars(6, 70), thing)
    code = f"""{d.login("payments")}{PAGES}
user = payments.search_users(query={p.name!r})[0]["username"]
id = next(r["id"] for r in pages(payments.requests) if r["sender"] == user and r["note"] == {thing!r})
print(id)
---
"""
    return p.name, id, thing, p.username, code


@template("payments", tiny=True)
def approve_request(d: Draft) -> Task:
    """One of several open requests is paid."""
    name, id, thing, user, code = _request(d)
    amount = d.store.rows("SELECT amount FROM requests WHERE id = ?", id)[0]["amount"]
    paid = Expected(
        "transactions", "added", {"sender": d.owner.username, "receiver": user, "amount": amount, "note": thing}
    )
    return Task(
        d.say(
            f"Approve the payment request of {name} for the {thing}.",
            f"{name} requested money for the {thing}. Approve it.",
            f"Accept what {name} asks me to pay for the {thing}.",
        ),
        turns(f"{code}print(payments.approve(id=id))\ndesk.complete()"),
        [paid, d.changes("requests", id, status="paid")],
    )


@template("payments", tiny=True)
def decline_request(d: Draft) -> Task:
    """One of several open requests is refused."""
    name, id, thing, _, code = _request(d)
    return Task(
        d.say(
            f"Decline the payment request of {name} for the {thing}.",
            f"{name} requested money for the {thing}. Decline it.",
            f"I will not pay what {name} asks for the {thing}. Refuse the request.",
        ),
        turns(f"{code}print(payments.decline(id=id))\ndesk.complete()"),
        [d.changes("requests", id, status="declined")],
    )


@template("payments", tiny=True)
def what_i_paid(d: Draft) -> Task:
    """What was paid to somebody for a thing, among other payments."""
    p, q = d.pick(2)
    thing, other = d.rng.sample(THINGS, 2)
    a, b, c = d.rng.sample(range(1_000, 9_000), 3)
    d.paid(p, a, thing, by_owner=True)
    d.paid(p, b, other, by_owner=True)
    d.paid(q, c, thing, by_owner=True)
    code = f"""{d.login("payments")}{PAGES}
user = payments.search_users(query={p.name!r})[0]["username"]
paid = next(t for t in pages(payments.transactions, username=user) if t["note"] == {thing!r})
print(paid)
---
desk.complete(answer=paid["amount"])"""
    return Task(
        d.say(
            f"How much did I pay {p.name} for the {thing}? Answer with the number.",
            f"What did the {thing} cost me that I paid to {p.name}? Answer with the number.",
            f"I paid {p.name} for the {thing}. How much? Answer with the number.",
        ),
        turns(code),
        answer=a / 100,
    )


@template("payments", tiny=True, held=True)
def pay_back(d: Draft) -> Task:
    """What somebody paid for a thing is paid back, among other payments."""
    p, q = d.pick(2)
    thing, other = d.rng.sample(THINGS, 2)
    a, b, c = d.rng.sample(range(1_000, 9_000), 3)
    d.paid(p, a, thing, by_owner=False)
    d.paid(p, b, other, by_owner=False)
    d.paid(q, c, thing, by_owner=False)
    code = f"""{d.login("payments")}{PAGES}
user = payments.search_users(query={p.name!r})[0]["username"]
paid = next(t for t in pages(payments.transactions, username=user) if t["note"] == {thing!r})
print(paid)
---
print(payments.send(username=user, amount=paid["amount"], note={thing!r}))
desk.complete()"""
    return Task(
        d.say(
            f"{p.name} paid me for the {thing}, which was cancelled. Pay the money back.",
            f"Send {p.name} the amount back that I got for the {thing}.",
            f"The {thing} is off. Return to {p.name} what I was paid for it.",
        ),
        turns(code),
        [d.pays(p, a)],
    )


@template("payments")
def paid_in_all(d: Draft) -> Task:
    """The sum of what was paid to somebody for a kind of thing, over several pages."""
    p, q = d.pick(2)
    thing, other = d.rng.sample(ITEMS, 2)
    amounts = [d.rng.randrange(300, 4_000) for _ in range(d.rng.randrange(4, 8))]
    for amount in amounts:
        d.paid(p, amount, thing, by_owner=True)
        d.paid(p, d.rng.randrange(300, 4_000), other, by_owner=True)
    d.paid(q, d.rng.randrange(300, 4_000), thing, by_owner=True)
    d.paid(p, d.rng.randrange(300, 4_000), thing, by_owner=False)
    code = f"""{d.login("payments")}{PAGES}
me = desk.profile()["username"]
user = payments.search_users(query={p.name!r})[0]["username"]
sent = [t for t in pages(payments.transactions, username=user) if t["sender"] == me]
print(sent)
---
desk.complete(answer=round(sum(t["amount"] for t in sent if t["note"] == {thing!r}), 2))"""
    return Task(
        d.say(
            f"How much have I paid {p.name} for {thing} in all? Answer with the number.",
            f"Add up all my payments to {p.name} for {thing}. Answer with the number.",
            f"What did {thing} from {p.name} cost me altogether, by my payments? Answer with the number.",
        ),
        turns(code),
        answer=sum(amounts) / 100,
    )
