"""Tasks of the forum."""

from __future__ import annotations

from operant.agents.cases import Task
from operant.agents.goals import Expected
from operant.agents.store import Row
from operant.agents.web.sites.database import CITIES, ME
from operant.agents.web.sites.tasks.template import Draft, added, answered, click, done, fill, post, template

FORUM = "/forum"


@template(start=FORUM)
def forum_comment(d: Draft) -> Task:
    """A comment is written."""
    row, text = d.one("posts"), f"See you at gate {d.rng.randrange(10, 99)}"
    ask = d.say(f'Comment "{text}" on the post "{row["title"]}".', f'Under the post "{row["title"]}" write: {text}')
    steps = [*post(row["title"]), fill("Your comment", text), click("Comment")]
    return done(ask, steps, added("comments", post_id=row["id"], person_id=ME, text=text))


@template(start=FORUM)
def forum_vote(d: Draft) -> Task:
    """A post is voted up or down."""
    row, way = d.one("posts"), d.rng.choice(("up", "down"))
    ask = d.say(f'Vote the post "{row["title"]}" {way}.', f'Give the post "{row["title"]}" a vote {way}.')
    steps = [*post(row["title"]), click(f"Vote post {way}")]
    return done(ask, steps, added("votes", kind="post", voted_id=row["id"], value=1 if way == "up" else -1))


@template(start=FORUM)
def forum_vote_comment(d: Draft) -> Task:
    """One of several comments is voted up, which its author names."""
    row = d.one("posts", "id IN (SELECT post_id FROM comments)")
    person = d.one("people", f"id <> {ME} AND id NOT IN (SELECT person_id FROM comments WHERE post_id = ?)", row["id"])
    id = d.add("comments", post_id=row["id"], person_id=person["id"], text="I see it otherwise.", score=1)
    number = [c["id"] for c in d.rows("comments", "post_id = ?", row["id"])].index(id) + 1
    ask = d.say(f'Vote up the comment of {person["name"]} under the post "{row["title"]}".',
                f'{person["name"]} commented on "{row["title"]}". Vote that comment up.')  # fmt: skip
    steps = [*post(row["title"]), click(f"Vote comment {number} up")]
    return done(ask, steps, added("votes", kind="comment", voted_id=id, value=1))


@template(start=FORUM)
def forum_follow(d: Draft) -> Task:
    """A board is followed."""
    row = d.one("boards")
    ask = d.say(f"Follow the board {row['name']}.", f"I want to follow {row['name']} in the forum.")
    return done(ask, [click("Forum"), click(row["name"]), click("Follow")], added("follows", board_id=row["id"]))


@template(start=FORUM)
def forum_post(d: Draft) -> Task:
    """A post is written."""
    row, n = d.one("boards"), d.rng.randrange(100, 999)
    title, text = f"Meeting {n}", f"We meet in room {d.rng.randrange(100, 400)}"
    ask = d.say(f'Write a post on the board {row["name"]} with the title "{title}" and the text "{text}".',
                f'Post "{text}" under the title "{title}" on {row["name"]}.')  # fmt: skip
    steps = [click("Forum"), click(row["name"]), fill("Title", title), fill("Text", text), click("Post")]
    return done(ask, steps, added("posts", board_id=row["id"], person_id=ME, title=title, text=text))


@template(start=FORUM)
def forum_delete(d: Draft) -> Task:
    """One of the user's posts is deleted."""
    board = d.one("boards")
    titles = [f"Lost umbrella {n}" for n in d.rng.sample(range(10, 99), 2)]
    ids = [d.add("posts", board_id=board["id"], person_id=ME, title=t, text="Found?", score=1) for t in titles]
    ask = d.say(f'Delete my post "{titles[0]}".', f'My post "{titles[0]}" is no longer needed. Delete it.')
    return done(ask, [*post(titles[0]), click("Delete post")], Expected("posts", "removed", id=ids[0]))


def _board(d: Draft) -> tuple[Row, list[Row]]:
    row = d.one("boards")
    return row, sorted(d.rows("posts", "board_id = ?", row["id"]), key=lambda post: -post["score"])


@template(start=FORUM)
def forum_best(d: Draft) -> Task:
    """The title of the post with the highest score of a board."""
    row, posts = _board(d)
    ask = d.say(f"Which post of the board {row['name']} has the highest score? Answer with its title.",
                f"What is the title of the best rated post on {row['name']}?")  # fmt: skip
    look = [click("Forum"), click(row["name"]), fill("Order", "highest score first"), click("Sort")]
    return answered(ask, look, posts[0]["title"])


def _about(d: Draft, there: bool) -> Task:
    """Where the author of a post lives, which their own page says, or does not."""
    row, city = d.one("posts"), d.rng.choice(CITIES)
    person = d.person(row)
    d.set("people", person, about=f"I live in {city}." if there else "I say little of myself.")
    ask = d.say(f'In which city does the author of the post "{row["title"]}" say that they live?',
                f'Which city is home to whoever wrote "{row["title"]}", as their own page says?')  # fmt: skip
    steps = [*post(row["title"]), click(person["name"])]
    return answered(ask, steps, city) if there else d.missing(ask, steps)


@template("memory", start=FORUM)
def forum_author(d: Draft) -> Task:
    """Where the author of a post lives."""
    return _about(d, there=True)


@template("memory", "unanswerable", start=FORUM)
def forum_author_missing(d: Draft) -> Task:
    """The author does not say where."""
    return _about(d, there=False)


@template(start=FORUM)
def forum_count(d: Draft) -> Task:
    """How many comments somebody wrote under a post."""
    row, n = d.one("posts"), d.rng.randrange(2, 6)
    person = d.one("people", f"id <> {ME} AND id NOT IN (SELECT person_id FROM comments WHERE post_id = ?)", row["id"])
    for k in range(n):
        d.add("comments", post_id=row["id"], person_id=person["id"], text=f"Point {k + 1}.", score=1)
    ask = d.say(f'How many comments did {person["name"]} write under the post "{row["title"]}"?',
                f'Count the comments of {person["name"]} on "{row["title"]}".')  # fmt: skip
    return answered(ask, post(row["title"]), n)


@template("memory", start=FORUM, held=True)
def forum_place(d: Draft) -> Task:
    """What one post says is written under another."""
    board, (a, b) = d.one("boards"), d.rng.sample(range(10, 99), 2)
    place = f"room {d.rng.randrange(100, 400)}"
    author = d.other()
    d.add("posts", board_id=board["id"], person_id=author["id"], title=f"Where club {a} meets", text=place, score=2)
    where = f"Who comes to club {b}?"
    id = d.add("posts", board_id=board["id"], person_id=author["id"], title=where, text="And where?", score=2)
    ask = d.say(f'The post "Where club {a} meets" names a room. Write that text as a comment under "{where}".',
                f'Comment on "{where}" with exactly the text of the post "Where club {a} meets".')  # fmt: skip
    steps = [*post(f"Where club {a} meets"), *post(where), fill("Your comment", place), click("Comment")]
    return done(ask, steps, added("comments", post_id=id, person_id=ME, text=place))
