"""The forum: boards, posts, comments, votes, people."""

from __future__ import annotations

from operant.agents.store import like
from operant.agents.web.sites.database import ME
from operant.agents.web.sites.server import (
    Leads,
    Problem,
    Request,
    area,
    choice,
    field,
    form,
    heading,
    line,
    link,
    name_of,
    page,
    paged,
    route,
    span,
    words,
)  # fmt: skip

SORTS = {"oldest first": "id", "highest score first": "score DESC, id"}
VOTES = {"up": 1, "down": -1}


@route("GET", "/forum")
def boards(r: Request) -> str:
    """All boards, and a search of posts."""
    shown = [line(link(f"/forum/board/{row['id']}", row["name"]), span(row["about"]))
             for row in r.store.rows("SELECT * FROM boards ORDER BY name")]  # fmt: skip
    asked = form("/forum/search", "Search", field("q", "Search the forum"), method="get")
    return page(r.site, "Harbour Forum", heading("Forum"), asked, *shown)


@route("GET", "/forum/search")
def search(r: Request) -> str:
    """Posts with words in their titles."""
    sql = "SELECT * FROM posts WHERE title LIKE ? ESCAPE '\\' ORDER BY id"
    rows, more = paged(r, "/forum/search", sql, like(r.text("q")))
    shown = [line(link(f"/forum/post/{row['id']}", row["title"])) for row in rows]
    return page(r.site, "Search", heading("Posts found"), *(shown or [words("Nothing was found.")]), more)


@route("GET", "/forum/board/#")
def board(r: Request) -> str:
    """The posts of a board, and a form for a new one."""
    row = r.row("boards")
    here, sort = f"/forum/board/{row['id']}", r.fields.get("sort", "")
    order = SORTS.get(sort, SORTS["oldest first"])
    rows, more = paged(r, here, f"SELECT * FROM posts WHERE board_id = ? ORDER BY {order}", row["id"])
    shown = [line(link(f"/forum/post/{post['id']}", post["title"]), span(f"by {name_of(r, post['person_id'])}"),
                  span(f"score {post['score']}")) for post in rows]  # fmt: skip
    follows = r.store.row("SELECT id FROM follows WHERE board_id = ?", row["id"])
    follow = form(f"{here}/follow", "Follow" if follows is None else "Stop following")
    new = form(f"{here}/post", "Post", field("title", "Title"), area("text", "Text"))
    sorting = form(here, "Sort", choice("sort", "Order", SORTS, sort), method="get")
    return page(r.site, row["name"], heading(row["name"]), words(row["about"]), follow, sorting, *shown, more, new)


@route("POST", "/forum/board/#/follow")
def follow(r: Request) -> Leads:
    """Follow a board, or no longer."""
    row = r.row("boards")
    found = r.store.row("SELECT id FROM follows WHERE board_id = ?", row["id"])
    if found is None:
        r.store.insert("follows", board_id=row["id"])
    else:
        r.store.delete("follows", found["id"])
    return Leads(f"/forum/board/{row['id']}")


@route("POST", "/forum/board/#/post")
def new(r: Request) -> Leads:
    """Write a post."""
    said = {"title": r.text("title"), "text": r.text("text")}
    id = r.store.insert("posts", board_id=r.row("boards")["id"], person_id=ME, score=1, **said)
    return Leads(f"/forum/post/{id}")


@route("GET", "/forum/post/#")
def post(r: Request) -> str:
    """A post with its comments."""
    row = r.row("posts")
    here = f"/forum/post/{row['id']}"
    author = name_of(r, row["person_id"])
    head = line(link(f"/forum/person/{row['person_id']}", author), span(f"score {row['score']}"))
    said = [
        line(link(f"/forum/person/{c['person_id']}", name_of(r, c["person_id"])), span(c["text"]),
             span(f"score {c['score']}"))
        + _votes(f"/forum/comment/{c['id']}", f"comment {k}")
        for k, c in enumerate(r.store.rows("SELECT * FROM comments WHERE post_id = ? ORDER BY id", row["id"]), 1)
    ]  # fmt: skip
    own = [form(f"{here}/delete", "Delete post")] if row["person_id"] == ME else []
    write = form(f"{here}/comment", "Comment", field("text", "Your comment"))
    pieces = head, words(row["text"]), _votes(here, "post"), *own, *said, write
    return page(r.site, row["title"], heading(row["title"]), *pieces)


def _votes(path: str, what: str) -> str:
    return form(f"{path}/up", f"Vote {what} up") + form(f"{path}/down", f"Vote {what} down")


@route("POST", "/forum/post/#/comment")
def comment(r: Request) -> Leads:
    """Write a comment."""
    row = r.row("posts")
    r.store.insert("comments", post_id=row["id"], person_id=ME, text=r.text("text"), score=1)
    return Leads(f"/forum/post/{row['id']}")


@route("POST", "/forum/post/#/delete")
def delete(r: Request) -> Leads:
    """Delete a post of one's own."""
    row = r.row("posts")
    if row["person_id"] != ME:
        raise Problem(422, "The post is not yours")
    r.store.delete("posts", row["id"])
    return Leads(f"/forum/board/{row['board_id']}")


def _voted(kind: str, way: str) -> None:
    """Answer votes of a kind and a way; a vote again is none, and the other way takes its place."""

    @route("POST", f"/forum/{kind}/#/{way}")
    def vote(r: Request) -> Leads:
        row = r.row(f"{kind}s")
        found = r.store.row("SELECT * FROM votes WHERE kind = ? AND voted_id = ?", kind, row["id"])
        if found is None:
            r.store.insert("votes", kind=kind, voted_id=row["id"], value=VOTES[way])
        elif found["value"] != VOTES[way]:
            r.store.update("votes", found["id"], value=VOTES[way])
        return Leads(f"/forum/post/{row['post_id' if kind == 'comment' else 'id']}")


for _kind in ("post", "comment"):
    for _way in VOTES:
        _voted(_kind, _way)


@route("GET", "/forum/person/#")
def person(r: Request) -> str:
    """Somebody, what they say of themselves, and their posts."""
    row = r.row("people")
    posts = r.store.rows("SELECT id, title FROM posts WHERE person_id = ? ORDER BY id", row["id"])
    shown = [line(link(f"/forum/post/{post['id']}", post["title"])) for post in posts]
    return page(r.site, row["name"], heading(row["name"]), words(f"About: {row['about']}"), *shown)
