"""A real browser that nobody looks at, and what it can say of a page."""

import shutil
from contextlib import contextmanager

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
UNREADABLE = """() => {
  const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const c = channels(getComputedStyle(node).backgroundColor);
      if (c.length === 3 || c[3] > 0.9) return c;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let text; (text = texts.nextNode());) {
    const node = text.parentElement, style = getComputedStyle(node);
    if (!text.data.trim() || !node.getClientRects().length || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const [ink, paper] = [light(channels(style.color)), light(ground(node))].map(v => v + 0.05);
    const contrast = Math.max(ink, paper) / Math.min(ink, paper);
    if (contrast < 4.5) found.push(`${contrast.toFixed(1)} ${text.data.trim().slice(0, 40)}`);
  }
  return found;
}"""
"""Texts whose contrast with what lies behind them is below 4.5, the bound of WCAG 2.1 AA (1.4.3) for small text."""


@contextmanager
def chromium():
    """The machine's own browser; a test is skipped where there is none."""
    where = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if where is None:
        pytest.skip("no browser is installed: chromium or google-chrome")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=where, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def page(browser, address, *, width=1280, scheme="light"):
    """A page of that width and colour scheme; what it complains of and asks the network for is kept on it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.complaints, opened.asked = [], []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(address)
    yield opened
    context.close()
