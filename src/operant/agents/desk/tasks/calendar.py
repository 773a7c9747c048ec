"""Tasks of the calendar, which are the split of the held-out app."""

from __future__ import annotations

from datetime import date, timedelta

from operant.agents.cases import Task, money
from operant.agents.desk.draft import TODAY, Draft
from operant.agents.desk.pools import PROJECTS, THINGS
from operant.agents.desk.tasks.template import PAGES, template, turns
from operant.agents.goals import Expected


def _time(d: Draft) -> str:
    return f"{d.rng.randrange(7, 20):02}:{d.rng.choice((0, 15, 30, 45)):02}"


@template("contacts calendar")
def enter_event(d: Draft) -> Task:
    """An event is entered and somebody invited."""
    p, thing, day, start = d.one(), d.rng.choice(THINGS), d.day().isoformat(), _time(d)
    code = f"""email = contacts.search(name={p.name!r})[0]["email"]
print(email)
---
id = calendar.create(title={thing!r}, day={day!r}, start={start!r})["id"]
print(calendar.invite(id=id, email=email))
desk.complete()"""
    return Task(
        d.say(
            f'Enter an event "{thing}" on {day} at {start} and invite {p.name}.',
            f'Put "{thing}" into my calendar for {day}, {start}, with {p.name} as a guest.',
            f'I go to an event called "{thing}" on {day} at {start}. Enter it and invite {p.name}.',
        ),
        turns(code),
        [
            Expected("events", "added", {"title": thing, "day": day, "start": start}),
            Expected("guests", "added", {"email": p.email}),
        ],
    )


@template("calendar")
def move_event(d: Draft) -> Task:
    """One of two similar events is moved to another day."""
    project = d.rng.choice(PROJECTS)
    old, other, new = (d.day().isoformat() for _ in range(3))
    if old == new:
        d.refuse("it is there already")
    id = d.event(f"{project} meeting", date.fromisoformat(old), _time(d))
    d.event(f"{project} dinner", date.fromisoformat(other), _time(d))
    code = f"""event = calendar.search(query={f"{project} meeting"!r})[0]
print(event)
---
print(calendar.update(id=event["id"], day={new!r}))
desk.complete()"""
    return Task(
        d.say(
            f'Move the event "{project} meeting" to {new}, at the same time of day.',
            f'The "{project} meeting" takes place on {new} now. Change my calendar.',
            f'Change the day of the "{project} meeting" to {new}.',
        ),
        turns(code),
        [d.changes("events", id, day=new)],
    )


@template("calendar")
def decline_day(d: Draft) -> Task:
    """All invitations on a day are declined; those of other days, and what was accepted, stay."""
    day = d.day(200) + timedelta(days=50)
    titles = d.rng.sample(THINGS, 4)
    invited = [d.event(title, day, _time(d), status="invited") for title in titles[: d.rng.randrange(2, 4)]]
    d.event(titles[3], day, _time(d))
    d.event(titles[3], day + timedelta(days=1), _time(d), status="invited")
    code = f"""{PAGES}
found = [e for e in pages(calendar.on, day={day.isoformat()!r}) if e["status"] == "invited"]
print(found)
---
for event in found:
    calendar.decline(id=event["id"])
desk.complete()"""
    return Task(
        d.say(
            f"Decline all invitations for {day}.",
            f"I am away on {day}. Decline every invitation of that day.",
            f"Say no to whatever I am invited to on {day}.",
        ),
        turns(code),
        [d.changes("events", id, status="declined") for id in invited],
    )


@template("contacts calendar")
def enter_birthday(d: Draft) -> Task:
    """Somebody's next birthday becomes an event."""
    p, start = d.one(), _time(d)
    born = date.fromisoformat(p.birthday)
    if (born.month, born.day) in ((2, 29), (TODAY.month, TODAY.day)):
        d.refuse("the next birthday is not clear")
    day = born.replace(year=TODAY.year)
    day = day if day > TODAY else day.replace(year=TODAY.year + 1)
    title = f"Birthday of {p.name}"
    code = f"""born = contacts.search(name={p.name!r})[0]["birthday"]
today = desk.now()[:10]
print(born, today)
---
day = today[:4] + born[4:]
if day < today:
    day = str(int(today[:4]) + 1) + born[4:]
print(calendar.create(title={title!r}, day=day, start={start!r}))
desk.complete()"""
    return Task(
        d.say(
            f'Enter the next birthday of {p.name} into my calendar as "{title}" at {start}.',
            f'When {p.name} has birthday next, I want an event "{title}" at {start} in my calendar.',
            f'Add an event "{title}" at {start} on the day of {p.name}\'s next birthday, as my contacts have it.',
        ),
        turns(code),
        [Expected("events", "added", {"title": title, "day": day.isoformat(), "start": start})],
    )


@template("contacts mail calendar")
def event_from_mail(d: Draft) -> Task:
    """Day and time that somebody mailed become an event."""
    p, q = d.pick(2)
    project, day, start = d.rng.choice(PROJECTS), d.day(200).isoformat(), _time(d)
    d.mail(p, f"Meeting about {project}", f"Let us meet on {day} at {start}")
    d.mail(q, f"Meeting about {project}", f"Let us meet on {d.day(200).isoformat()} at {_time(d)}")
    code = f"""{d.login("mail")}sender = contacts.search(name={p.name!r})[0]["email"]
m = mail.search(query={f"Meeting about {project}"!r}, sender=sender)[0]
words = mail.get(id=m["id"])["body"].split()
print(words)
---
print(calendar.create(title={f"{project} meeting"!r}, day=words[-3], start=words[-1]))
desk.complete()"""
    return Task(
        d.say(
            f'{p.name} mailed me when we meet about {project}. Enter it as "{project} meeting".',
            f'Put the meeting about {project} that {p.name} wrote of into my calendar, as "{project} meeting".',
            f'Enter an event "{project} meeting" at the time that the mail of {p.name} about {project} names.',
        ),
        turns(code),
        [Expected("events", "added", {"title": f"{project} meeting", "day": day, "start": start})],
    )


@template("calendar")
def when_is_event(d: Draft) -> Task:
    """The day of one of two similar events."""
    project, day = d.rng.choice(PROJECTS), d.day(200)
    d.event(f"{project} meeting", day, _time(d))
    d.event(f"{project} dinner", day + timedelta(days=d.rng.randrange(1, 9)), _time(d))
    code = f"""event = calendar.search(query={f"{project} meeting"!r})[0]
print(event)
---
desk.complete(answer=event["day"])"""
    return Task(
        d.say(
            f'On what day is the "{project} meeting"? Answer as YYYY-MM-DD.',
            f'When is my "{project} meeting"? Answer with the day as YYYY-MM-DD.',
            f'Look up the day of the "{project} meeting" and answer with it as YYYY-MM-DD.',
        ),
        turns(code),
        answer=day,
    )


@template("contacts payments calendar")
def split_bill(d: Draft) -> Task:
    """The guests of an event are each asked for their share of what it cost."""
    thing, group = d.rng.choice(THINGS), d.pick(d.rng.choice((2, 3, 4)))
    whole = d.dollars(60, 480, multiple=60)
    id = d.event(f"{thing} night", TODAY - timedelta(days=d.rng.randrange(1, 9)), "19:00")
    d.store.fill("guests", [{"event_id": id, "email": p.email} for p in group])
    d.event(f"{thing} day", TODAY - timedelta(days=3), "11:00")
    code = f"""{d.login("payments")}event = calendar.get(id=calendar.search(query={f"{thing} night"!r})[0]["id"])
print(event)
---
share = round({whole / 100:g} / (len(event["guests"]) + 1), 2)
for email in event["guests"]:
    person = contacts.by_email(email=email)
    user = payments.search_users(query=person["number"])[0]["username"]
    payments.request(username=user, amount=share, note={thing!r})
desk.complete()"""
    share = whole // (len(group) + 1)
    ends = [{"sender": d.owner.username, "payer": p.username, "amount": share} for p in group]
    return Task(
        d.say(
            f'I paid {money(whole)} for the "{thing} night" in my calendar. Request an equal share from each guest; '
            "I bear one, too.",
            f'The guests of the "{thing} night" and I share its cost of {money(whole)} equally. Request from each '
            "guest their part.",
            f'Split {money(whole)} equally among me and the guests of the event "{thing} night": request each share.',
        ),
        turns(code),
        [Expected("requests", "added", values) for values in ends],
    )
