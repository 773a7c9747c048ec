"""Tasks of messages, contacts and payments; most are the small desk's, too."""

from __future__ import annotations

from operant.agents.desk.draft import Draft
from operant.agents.desk.goals import Expected
from operant.agents.desk.pools import BILLS, ITEMS, PROJECTS, THINGS, TRIPS
from operant.agents.desk.tasks.template import PAGES, Task, money, template


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
print(payments.send(username=user["username"], amount={amount / 100:g}, note={thing!r}))
desk.complete()"""
    return Task(
        d.say(
            f"Pay {p.name} {money(amount)} for the {thing}.",
            f"Send {money(amount)} to {p.name} for the {thing}.",
            f"{p.name} gets {money(amount)} from me for the {thing}. Pay it.",
        ),
        [code],
        [d.pays(p, amount)],
    )


@template("payments", tiny=True)
def request_person(d: Draft) -> Task:
    """Somebody with a namesake is asked for an amount."""
    p, _ = d.twin()
    amount, thing = d.dollars(5, 95), d.rng.choice(THINGS)
    code = f"""{d.login("payments")}user = payments.search_users(query={p.name!r})[0]
print(payments.request(username=user["username"], amount={amount / 100:g}, note={thing!r}))
desk.complete()"""
    ends = {"sender": d.owner.username, "payer": p.username}
    return Task(
        d.say(
            f"Request {money(amount)} from {p.name} for the {thing}.",
            f"{p.name} owes me {money(amount)} for the {thing}. Request it.",
            f"Ask {p.name} for {money(amount)} for the {thing}.",
        ),
        [code],
        [Expected("requests", "added", ends | {"amount": amount})],
    )


@template("contacts messages", tiny=True)
def text_email(d: Draft) -> Task:
    """One person's address is sent to another."""
    p, q = d.pick(2)
    code = f"""found = contacts.search(name={p.name!r})[0]
to = contacts.search(name={q.name!r})[0]
print(messages.send(number=to["number"], text=found["email"]))
desk.complete()"""
    return Task(
        d.say(
            f"Text {q.name} the email address of {p.name}.",
            f"{q.name} needs the email address of {p.name}. Send it by text message.",
            f"Send the email address of {p.name} to {q.name} by text.",
        ),
        [code],
        [d.texts(q, p.email, exactly=False)],
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
        [f"{code}print(payments.approve(id=id))\ndesk.complete()"],
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
        [f"{code}print(payments.decline(id=id))\ndesk.complete()"],
        [d.changes("requests", id, status="declined")],
    )


@template("contacts messages", tiny=True)
def new_number(d: Draft) -> Task:
    """A contact's number is changed to what they texted; another texted a new number, too."""
    p, q = d.pick(2)
    new, other = (str(n) for n in d.rng.sample(range(2_000_000, 9_999_999), 2))
    d.text(p, f"I have a new number: {new}")
    d.text(q, f"I have a new number: {other}")
    code = f"""found = contacts.search(name={p.name!r})[0]
m = messages.search(query="new number", number=found["number"])[0]
print(contacts.update(id=found["id"], number=m["text"].split()[-1]))
desk.complete()"""
    return Task(
        d.say(
            f"{p.name} texted me a new number. Change it in my contacts.",
            f"Update the number of {p.name}: the new one is in a text message.",
            f"Save the new number that {p.name} sent me by text.",
        ),
        [code],
        [d.changes("contacts", p.id, number=new)],
    )


@template("contacts messages", tiny=True)
def how_much(d: Draft) -> Task:
    """What somebody said that a thing costs; another said something else."""
    p, q = d.pick(2)
    thing = d.rng.choice(THINGS)
    first, second = (d.rng.randrange(20, 400) for _ in range(2))
    if first == second:
        d.refuse("both say the same")
    d.text(p, f"The {thing} costs {first} dollars")
    d.text(q, f"The {thing} costs {second} dollars")
    code = f"""found = contacts.search(name={p.name!r})[0]
m = messages.search(query={thing!r}, number=found["number"])[0]
desk.complete(answer=float(m["text"].split()[-2]))"""
    return Task(
        d.say(
            f"How much does the {thing} cost, as {p.name} texted me? Answer with the number.",
            f"{p.name} texted me the price of the {thing}. What is it? Answer with the number.",
            f"What did {p.name} write that the {thing} costs? Answer with the number.",
        ),
        [code],
        answer=first,
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
desk.complete(answer=paid["amount"])"""
    return Task(
        d.say(
            f"How much did I pay {p.name} for the {thing}? Answer with the number.",
            f"What did the {thing} cost me that I paid to {p.name}? Answer with the number.",
            f"I paid {p.name} for the {thing}. How much? Answer with the number.",
        ),
        [code],
        answer=a / 100,
    )


def _mention(d: Draft) -> tuple[str, int, str, str]:
    """Plant three messages; returns who wrote one of them, its id, what it mentions, and the code that finds it."""
    p, q = d.pick(2)
    thing, other = d.rng.sample(THINGS, 2)
    id = d.text(p, f"Shall we go to the {thing} again?")
    d.text(p, f"Shall we go to the {other} again?")
    d.text(q, f"Shall we go to the {thing} again?")
    code = f"""found = contacts.search(name={p.name!r})[0]
m = messages.search(query={thing!r}, number=found["number"])[0]
"""
    return p.name, id, thing, code


@template("contacts messages", tiny=True)
def delete_message(d: Draft) -> Task:
    """One of several similar messages is deleted."""
    name, id, thing, code = _mention(d)
    return Task(
        d.say(
            f"Delete the message in which {name} mentions the {thing}.",
            f"{name} texted me about the {thing}. Delete that message.",
            f"Remove the text message of {name} about the {thing}.",
        ),
        [f'{code}print(messages.delete(id=m["id"]))\ndesk.complete()'],
        [Expected("messages", "removed", id=id)],
    )


@template("contacts messages", tiny=True, held=True)
def star_message(d: Draft) -> Task:
    """One of several similar messages gets a star."""
    name, id, thing, code = _mention(d)
    return Task(
        d.say(
            f"Star the message in which {name} mentions the {thing}.",
            f"{name} texted me about the {thing}. Give that message a star.",
            f"Put a star on the text message of {name} about the {thing}.",
        ),
        [f'{code}print(messages.star(id=m["id"]))\ndesk.complete()'],
        [d.changes("messages", id, starred=1)],
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
print(payments.send(username=user, amount=paid["amount"], note={thing!r}))
desk.complete()"""
    return Task(
        d.say(
            f"{p.name} paid me for the {thing}, which was cancelled. Pay the money back.",
            f"Send {p.name} the amount back that I got for the {thing}.",
            f"The {thing} is off. Return to {p.name} what I was paid for it.",
        ),
        [code],
        [d.pays(p, a)],
    )


@template("contacts messages")
def text_group(d: Draft) -> Task:
    """Everybody in a group, which takes two pages, gets the same text."""
    project = d.rng.choice(PROJECTS)
    group = d.rng.sample(d.people, d.rng.randrange(6, 9))
    d.store.fill("members", [{"label": f"{project} team", "contact_id": p.id} for p in group])
    text = f"We meet at {d.rng.randrange(7, 20)}:{d.rng.randrange(10, 60)} in room {d.rng.randrange(100, 400)}"
    code = f"""{PAGES}
for person in pages(contacts.group, name={f"{project} team"!r}):
    messages.send(number=person["number"], text={text!r})
desk.complete()"""
    return Task(
        d.say(
            f'Text everybody in my group "{project} team": {text}',
            f'Send this text to all contacts of the group "{project} team": {text}',
            f'All of the "{project} team" must know by text message: {text}',
        ),
        [code],
        [d.texts(p, text) for p in group],
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
desk.complete(answer=round(sum(t["amount"] for t in sent if t["note"] == {thing!r}), 2))"""
    return Task(
        d.say(
            f"How much have I paid {p.name} for {thing} in all? Answer with the number.",
            f"Add up all my payments to {p.name} for {thing}. Answer with the number.",
            f"What did {thing} from {p.name} cost me altogether, by my payments? Answer with the number.",
        ),
        [code],
        answer=sum(amounts) / 100,
    )
