"""Tasks of messages and contacts; most are the small desk's, too."""

from __future__ import annotations

from operant.agents.cases import Task
from operant.agents.desk.draft import Draft
from operant.agents.desk.pools import PROJECTS, THINGS
from operant.agents.desk.tasks.template import PAGES, template, turns
from operant.agents.goals import Expected


@template("contacts messages", tiny=True)
def text_email(d: Draft) -> Task:
    """One person's address is sent to another."""
    p, q = d.pick(2)
    code = f"""found = contacts.search(name={p.name!r})[0]
to = contacts.search(name={q.name!r})[0]
print(found, to)
---
print(messages.send(number=to["number"], text=found["email"]))
desk.complete()"""
    return Task(
        d.say(
            f"Text {q.name} the email address of {p.name}.",
            f"{q.name} needs the email address of {p.name}. Send it by text message.",
            f"Send the email address of {p.name} to {q.name} by text.",
        ),
        turns(code),
        [d.texts(q, p.email, exactly=False)],
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
print(m)
---
print(contacts.update(id=found["id"], number=m["text"].split()[-1]))
desk.complete()"""
    return Task(
        d.say(
            f"{p.name} texted me a new number. Change it in my contacts.",
            f"Update the number of {p.name}: the new one is in a text message.",
            f"Save the new number that {p.name} sent me by text.",
        ),
        turns(code),
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
print(m)
---
desk.complete(answer=float(m["text"].split()[-2]))"""
    return Task(
        d.say(
            f"How much does the {thing} cost, as {p.name} texted me? Answer with the number.",
            f"{p.name} texted me the price of the {thing}. What is it? Answer with the number.",
            f"What did {p.name} write that the {thing} costs? Answer with the number.",
        ),
        turns(code),
        answer=first,
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
print(m)
---
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
        turns(f'{code}print(messages.delete(id=m["id"]))\ndesk.complete()'),
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
        turns(f'{code}print(messages.star(id=m["id"]))\ndesk.complete()'),
        [d.changes("messages", id, starred=1)],
    )


@template("contacts messages")
def text_group(d: Draft) -> Task:
    """Everybody in a group, which takes two pages, gets the same text."""
    project = d.rng.choice(PROJECTS)
    group = d.rng.sample(d.people, d.rng.randrange(6, 9))
    d.store.fill("members", [{"label": f"{project} team", "contact_id": p.id} for p in group])
    text = f"We meet at {d.rng.randrange(7, 20)}:{d.rng.randrange(10, 60)} in room {d.rng.randrange(100, 400)}"
    code = f"""{PAGES}
group = list(pages(contacts.group, name={f"{project} team"!r}))
print([person["name"] for person in group])
---
for person in group:
    messages.send(number=person["number"], text={text!r})
desk.complete()"""
    return Task(
        d.say(
            f'Text everybody in my group "{project} team": {text}',
            f'Send this text to all contacts of the group "{project} team": {text}',
            f'All of the "{project} team" must know by text message: {text}',
        ),
        turns(code),
        [d.texts(p, text) for p in group],
    )
