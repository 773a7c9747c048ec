"""Tasks of mail and notes."""

from __future__ import annotations

from operant.agents.cases import Task
from operant.agents.desk.draft import Draft
from operant.agents.desk.pools import ITEMS, PROJECTS, THINGS, TRIPS
from operant.agents.desk.tasks.template import PAGES, template, turns
from operant.agents.goals import Expected


@template("contacts mail")
def reply_mail(d: Draft) -> Task:
    """One of several similar mails is answered with given words."""
    p, q = d.pick(2)
    project, other = d.rng.sample(PROJECTS, 2)
    d.mail(p, f"Project {project}", "Can you come on Monday?")
    d.mail(p, f"Project {other}", "Can you come on Monday?")
    d.mail(q, f"Project {project}", "Can you come on Monday?")
    words = f"I will bring {d.rng.randrange(2, 60)} copies"
    code = f"""{d.login("mail")}sender = contacts.search(name={p.name!r})[0]["email"]
m = mail.search(query={f"Project {project}"!r}, sender=sender)[0]
print(m)
---
print(mail.reply(id=m["id"], body={words!r}))
desk.complete()"""
    return Task(
        d.say(
            f'Reply to the mail of {p.name} about project {project}: "{words}"',
            f'{p.name} wrote a mail about project {project}. Answer it with "{words}".',
            f'Answer "{words}" to the mail about project {project} from {p.name}.',
        ),
        turns(code),
        [d.mails(p.email, f"Re: Project {project}", words)],
    )


@template("contacts mail")
def archive_mails(d: Draft) -> Task:
    """All mails of somebody in the inbox, which take two pages, are archived."""
    p = d.one()
    for _ in range(d.rng.randrange(5, 8)):
        d.mail(p, "Weekly summary", "All is well.")
    d.mail(p, "Old", "All was well.", folder="trash")
    code = f"""{d.login("mail")}{PAGES}
sender = contacts.search(name={p.name!r})[0]["email"]
found = [m["id"] for m in pages(mail.search, sender=sender) if m["folder"] == "inbox"]
print(found)
---
for id in found:
    mail.move(id=id, folder="archive")
desk.complete()"""
    ids = d.store.rows("SELECT id FROM mails WHERE folder = 'inbox' AND sender = ?", p.email)
    return Task(
        d.say(
            f"Archive all mails from {p.name} in my inbox.",
            f"Move every mail of {p.name} from the inbox to the archive.",
            f"My inbox should hold no mail from {p.name} any more: archive them all.",
        ),
        turns(code),
        [d.changes("mails", row["id"], folder="archive") for row in ids],
    )


@template("contacts mail", held=True)
def forward_mail(d: Draft) -> Task:
    """One of several similar mails is sent on to somebody."""
    p, q, to = d.pick(3)
    project, other = d.rng.sample(PROJECTS, 2)
    body = f"The plan has {d.rng.randrange(10, 99)} pages."
    d.mail(p, f"Plan of {project}", body)
    d.mail(p, f"Plan of {other}", "It is not ready yet.")
    d.mail(q, f"Plan of {project}", "I have not seen it.")
    code = f"""{d.login("mail")}sender = contacts.search(name={p.name!r})[0]["email"]
to = contacts.search(name={to.name!r})[0]["email"]
m = mail.search(query={f"Plan of {project}"!r}, sender=sender)[0]
print(m)
---
print(mail.forward(id=m["id"], to=to))
desk.complete()"""
    return Task(
        d.say(
            f"Forward the plan of {project} that {p.name} mailed me to {to.name}.",
            f"{to.name} needs the mail of {p.name} with the plan of {project}. Forward it.",
            f"Send the mail with the plan of {project}, from {p.name}, on to {to.name}.",
        ),
        turns(code),
        [d.mails(to.email, f"Fwd: Plan of {project}", body)],
    )


@template("contacts mail")
def sum_invoices(d: Draft) -> Task:
    """The sum of what somebody's invoices, whose texts must be opened, come to."""
    p, q = d.pick(2)
    amounts = [d.rng.randrange(20, 900) for _ in range(d.rng.randrange(3, 7))]
    for k, amount in enumerate(amounts):
        d.mail(p, f"Invoice {d.rng.randrange(100, 999)}{k}", f"It comes to {amount} dollars.")
    d.mail(q, f"Invoice {d.rng.randrange(1000, 9999)}", f"It comes to {d.rng.randrange(20, 900)} dollars.")
    code = f"""{d.login("mail")}{PAGES}
sender = contacts.search(name={p.name!r})[0]["email"]
found = [mail.get(id=m["id"])["body"] for m in pages(mail.search, query="Invoice", sender=sender)]
print(found)"""
    return Task(
        d.say(
            f"What do the invoices that {p.name} mailed me come to in all? Answer with the number.",
            f"Add up the invoices in the mails of {p.name}. Answer with the number.",
            f"{p.name} mailed me invoices. What is their sum? Answer with the number.",
        ),
        [code, "desk.complete(answer=sum(float(text.split()[-2]) for text in found))"],
        answer=sum(amounts),
    )


@template("notes")
def add_to_note(d: Draft) -> Task:
    """A line is added to one of two similar notes."""
    thing, other = d.rng.sample(THINGS, 2)
    first, second, item = d.rng.sample(ITEMS, 3)
    id = d.note(f"Shopping for the {thing}", f"{first}\n{second}")
    d.note(f"Shopping for the {other}", second)
    code = f"""note = notes.search(query={f"Shopping for the {thing}"!r})[0]
print(note)
---
print(notes.append(id=note["id"], text={item!r}))
desk.complete()"""
    return Task(
        d.say(
            f'Add {item} as a new line to my note "Shopping for the {thing}".',
            f'My note "Shopping for the {thing}" lacks {item}. Append it as a line.',
            f'Put {item} at the end of the note "Shopping for the {thing}", on a line of its own.',
        ),
        turns(code),
        [d.changes("notes", id, body=f"{first}\n{second}\n{item}")],
    )


@template("notes", held=True)
def sum_note(d: Draft) -> Task:
    """The sum of the costs that stand in a note."""
    trip, other = d.rng.sample(TRIPS, 2)
    trip, other = f"{trip} {d.rng.randrange(2010, 2026)}", f"{other} {d.rng.randrange(2010, 2026)}"
    costs = {item: d.rng.randrange(5, 300) for item in d.rng.sample(ITEMS, 5)}
    d.note(f"Costs of {trip}", "\n".join(f"{item}: {cost}" for item, cost in costs.items()))
    d.note(f"Costs of {other}", "salt: 17")
    code = f"""note = notes.get(id=notes.search(query={f"Costs of {trip}"!r})[0]["id"])
print(note["body"])
---
desk.complete(answer=sum(float(line.split(": ")[1]) for line in note["body"].splitlines()))"""
    return Task(
        d.say(
            f'What do the costs in my note "Costs of {trip}" add up to? Answer with the number.',
            f'Add up all lines of the note "Costs of {trip}". Answer with the number.',
            f"How much did {trip} cost, by the note about its costs? Answer with the number.",
        ),
        turns(code),
        answer=sum(costs.values()),
    )


@template("contacts messages notes")
def note_from_text(d: Draft) -> Task:
    """What somebody texted becomes a note."""
    p, q = d.pick(2)
    trip = d.rng.choice(TRIPS)
    text = f"For {trip} pack {', '.join(d.rng.sample(ITEMS, 3))}"
    d.text(p, text)
    d.text(q, f"For {trip} pack {', '.join(d.rng.sample(ITEMS, 4))}")
    code = f"""number = contacts.search(name={p.name!r})[0]["number"]
m = messages.search(query={f"For {trip}"!r}, number=number)[0]
print(m)
---
print(notes.create(title={f"Packing for {trip}"!r}, body=m["text"]))
desk.complete()"""
    return Task(
        d.say(
            f'Write a note titled "Packing for {trip}" with the text that {p.name} sent me about packing for {trip}.',
            f'{p.name} texted me what to pack for {trip}. Copy the text into a note titled "Packing for {trip}".',
            f'Keep the text message of {p.name} about packing as a note with the title "Packing for {trip}".',
        ),
        turns(code),
        [Expected("notes", "added", {"title": f"Packing for {trip}", "body": text})],
    )


@template("notes")
def tag_notes(d: Draft) -> Task:
    """All notes about a project, which take two pages, get a tag."""
    project, other = d.rng.sample(PROJECTS, 2)
    ids = [d.note(f"{project} {k}", "to do") for k in range(d.rng.randrange(5, 8))]
    d.note(f"{other} 1", "to do")
    tag = d.rng.choice(ITEMS)
    code = f"""{PAGES}
found = list(pages(notes.search, query={project!r}))
print(found)
---
for note in found:
    notes.add_tag(id=note["id"], tag={tag!r})
desk.complete()"""
    return Task(
        d.say(
            f'Give all my notes about {project} the tag "{tag}".',
            f'Tag every note that mentions {project} with "{tag}".',
            f'The notes about {project} should all have the tag "{tag}".',
        ),
        turns(code),
        [Expected("tags", "added", {"note_id": id, "tag": tag}) for id in ids],
    )
