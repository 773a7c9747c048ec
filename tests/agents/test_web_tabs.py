"""A browser that acts: where clicks land, what is refused, and what breaks."""

import asyncio
from pathlib import Path

import pytest

from operant.agents.web.action import action_of
from operant.agents.web.browser import browser, browser_path
from operant.agents.web.nodes import rendered
from operant.config.errors import EnvError
from operant.language.episodes.world import SharedFault

pytest.importorskip("playwright", reason="playwright is not installed")
if browser_path() is None:
    pytest.skip("no browser is installed", allow_module_level=True)

PAGE = """<html><title>T</title><body><h1>Shop</h1><label><input type=checkbox>Agree</label>
<label for=q>Query</label><input id=q value=old><select><option>red<option>blue</select>
<a href="/next">Next page</a><span onclick="alert('hi')">word</span> loose <b>bold</b>
<button style="position:absolute;left:200px;top:200px">ONE</button>
<button style="position:absolute;left:190px;top:190px;width:80px;height:50px">TWO</button>
<a href="http://evil.example/x">out</a><a href="/pop" target=_blank>pop</a><a href="/file">file</a>
<button disabled>off</button><p style="opacity:0">obey</p><p style="font-size:0">obey</p>
<button onclick="let k = 0; const step = () => {
  document.title = ++k < 20 ? k : 'done'; if (k < 20) requestAnimationFrame(step) }; step()">move</button>
<button onclick="for (;;);">hang</button><button style="position:absolute;top:2000px">far</button></body></html>"""
TREE = """\
[1] heading "Shop"
[2] checkbox "Agree"
[3] textbox "Query" value="old"
[4] combobox value="red"
\t[5] option "red" selected
\t[6] option "blue"
[7] link "Next page"
[8] StaticText "word"
StaticText "loose"
[9] StaticText "bold"
[10] button "ONE"
[11] button "TWO"
[12] link "out"
[13] link "pop"
[14] link "file"
[15] button "off" disabled
[16] button "move"
[17] button "hang"
[18] button "far\""""


class Site:
    """Answers every path with the same page, but for a file."""

    origin = "http://site.test"

    def __init__(self):
        self.asked = []

    def answer(self, method, path, body):
        self.asked.append(path)
        return (200, "application/zip", b"PK") if path == "/file" else (200, "text/html", PAGE.encode())


def with_tabs(play, page=None):
    """What `play(tabs, act, site)` returns, on the browser's loop; `act` does an action, looks, and returns both."""
    from operant.agents.web.tabs import Tabs

    async def work():
        site = page or Site()
        tabs = await Tabs(browser(), site, width=332, height=300).open()

        async def act(verb, **arguments):
            return await tabs.act(action_of(verb, arguments)), await tabs.look()

        try:
            await tabs.goto("/")
            await tabs.look()
            return await play(tabs, act, site)
        finally:
            await tabs.close()

    return browser().do(work, 60)


def test_what_is_seen_and_where_clicks_land():
    async def play(tabs, act, site):
        seen = await tabs.look()
        assert rendered(seen.nodes, "tree", 4000) == TREE
        assert (await act("click", ref="e10"))[0] == 'COVERED by button "TWO" (e11)'
        assert (await act("click", ref="e11"))[0] is None
        told = [(await act("click", ref=f"e{n}"))[0] for n in (15, 99)]
        assert [one.split()[0] for one in told] == ["DISABLED", "UNKNOWN_REF"]
        assert (await act("type", ref="e1", text="x"))[0].startswith("NOT_EDITABLE e1")
        assert (await act("type", ref="e4", text="green"))[0].startswith("NO_OPTION e4")
        _, seen = await act("type", ref="e4", text="Blue")
        assert seen.nodes[3].value == "blue"
        _, seen = await act("type", ref="e3", text="new")
        assert (seen.nodes[2].value, seen.nodes[2].states) == ("new", ("focused",))
        assert "checked" in (await act("click", ref="e2"))[1].nodes[1].states
        assert not seen.nodes[-1].visible
        assert (await act("click", ref="e18"))[0] is None  # it is scrolled to
        await act("goto", url="http://site.test/other")
        assert (await act("click", ref="e77"))[0].startswith("UNKNOWN_REF")

    with_tabs(play)


def test_a_page_is_looked_at_when_it_has_come_to_rest():
    async def play(_, act, site):
        assert (await act("click", ref="e16"))[1].title == "done"
        assert (await act("click", ref="e7"))[1].url == "http://site.test/next"

    with_tabs(play)


def test_dialogs_tabs_downloads_and_other_places():
    async def play(tabs, act, site):
        assert (await act("click", ref="e8"))[1].told == ['dialog alert "hi" accepted']
        _, seen = await act("click", ref="e12")
        assert (seen.told, seen.url) == (['NAV_BLOCKED "http://evil.example/x"'], "http://site.test/")
        for address in ("http://evil.test/", "http://site.test@evil.test/", "file:///etc/passwd", "http://[", "x"):
            assert (await act("goto", url=address))[0].startswith("NAV_BLOCKED")
        assert (await act("close_tab"))[0] == "NO_TAB the last tab stays open"
        assert [(await act("new_tab"))[0] for _ in range(8)][-1].startswith("NO_TAB there are 8")
        assert (await act("tab_focus", index=0))[1].url == "http://site.test/"
        assert (await act("tab_focus", index=8))[0].startswith("NO_TAB 8")
        while len(tabs.pages) > 1:
            await act("close_tab")
        await tabs.goto("/")
        await tabs.look()
        await act("click", ref="e14")
        assert (await tabs.look()).url == "http://site.test/"  # nothing is downloaded, and the page stays
        await act("click", ref="e13")
        for _ in range(20):
            if len(tabs.pages) > 1:
                break
            await asyncio.sleep(0.05)
        assert (await tabs.look()).url == "http://site.test/pop"
        assert not any("evil" in path for path in site.asked)

    with_tabs(play)


def test_a_page_that_hangs_and_a_browser_that_dies_are_faults_and_the_next_context_is_a_new_one(monkeypatch):
    from operant.agents.web import tabs as module

    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "bench"))
    from _processes import killed

    monkeypatch.setattr(module, "ACTING", 2.0)

    async def hang(tabs, act, site):
        with pytest.raises(EnvError, match="hangs"):
            await act("click", ref="e17")
        assert not tabs.ok

    async def die(tabs, act, site):
        assert tabs.fit
        killed(browser().path)
        with pytest.raises(SharedFault, match="browser"):
            await act("click", ref="e2")
        assert not tabs.connected

    async def wait(tabs, act, site):
        """A context that waits for its next episode does not outlive its browser."""
        killed(browser().path)
        while tabs.connected:
            await asyncio.sleep(0.01)
        assert tabs.ok
        assert not tabs.fit

    with_tabs(hang)
    monkeypatch.setattr(module, "ACTING", 10.0)
    with_tabs(die)
    with_tabs(wait)
    with_tabs(lambda tabs, act, site: act("click", ref="e2"))


def test_a_page_of_ten_megabytes_is_looked_at():
    class Large(Site):
        def answer(self, method, path, body):
            grow = "const p = document.createElement('p'); p.title = 'word '.repeat(500); p.append('and');"
            grow += " document.body.append(p)"
            return 200, "text/html", f"<body><script>for (let k = 0; k < 4000; k++) {{ {grow} }}</script>".encode()

    async def play(tabs, act, site):
        seen = await tabs.look()
        assert len(seen.nodes) == 2000
        assert len(rendered(seen.nodes, "tree", 3000)) < 3100

    with_tabs(play, Large())
