// What an agent sees of a page, and where it points. Injected before any script of the page runs.
(() => {
  if (window.__operant) return;
  const NONE = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "HEAD", "META", "LINK", "TITLE", "BR", "DEFS"]);
  const TAGS = {
    BUTTON: "button", TEXTAREA: "textbox", OPTION: "option", IMG: "img", CANVAS: "canvas", TABLE: "table", TR: "row",
    TD: "cell", TH: "columnheader", UL: "list", OL: "list", LI: "listitem", FORM: "form", DIALOG: "dialog",
    NAV: "navigation", MAIN: "main", SUMMARY: "button", IFRAME: "iframe", VIDEO: "video", PROGRESS: "progressbar",
  };
  const INPUTS = {
    checkbox: "checkbox", radio: "radio", button: "button", submit: "button", reset: "button", image: "button",
    range: "slider", number: "spinbutton", search: "searchbox",
  };
  const PRESSED = new Set(["button", "link", "checkbox", "radio", "textbox", "searchbox", "combobox", "listbox", "option",
    "slider", "spinbutton", "tab", "menuitem", "switch", "canvas"]);
  const NAMED = new Set(["button", "link", "option", "heading", "cell", "columnheader", "tab", "menuitem", "text"]);
  const SHAPES = /^(rect|circle|ellipse|polygon|polyline|path|line)$/;
  const listened = new WeakSet(), listen = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (kind, ...rest) {
    if (this instanceof Element && /^(click|mousedown|mouseup|pointerdown)$/.test(kind)) listened.add(this);
    return listen.call(this, kind, ...rest);
  };

  let ids = new WeakMap(), known = new Map(), changes = 0;
  new MutationObserver(() => { changes++; }).observe(
    document, { subtree: true, childList: true, attributes: true, characterData: true });
  const refOf = (el) => {
    if (!ids.has(el)) { ids.set(el, known.size + 1); known.set(known.size + 1, new WeakRef(el)); }
    return ids.get(el);
  };
  const plain = (text) => (text || "").slice(0, 2000).replace(/\s+/g, " ").trim().slice(0, 300);

  const roleOf = (el) => {
    const own = el.getAttribute("role"), tag = el.tagName.toUpperCase();
    if (own && own !== "presentation" && own !== "none") return own.split(" ")[0].slice(0, 20);
    if (tag === "INPUT") return INPUTS[el.type] || "textbox";
    if (tag === "SELECT") return el.multiple || el.size > 1 ? "listbox" : "combobox";
    if (tag === "A") return el.hasAttribute("href") ? "link" : "generic";
    if (/^H[1-6]$/.test(tag)) return "heading";
    if (el.isContentEditable && !el.parentElement?.isContentEditable) return "textbox";
    if (SHAPES.test(el.tagName)) return el.tagName;
    return TAGS[tag] || "generic";
  };
  const nameOf = (el, role) => {
    const by = (el.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id)?.textContent);
    const button = el.tagName === "INPUT" && role === "button" ? el.value : "";
    const label = el.labels ? [...el.labels].map((one) => one.textContent).join(" ") : "";
    return plain(el.getAttribute("aria-label")) || plain(by.join(" ")) || plain(button) || plain(label) ||
      plain(el.getAttribute("alt")) || (NAMED.has(role) ? plain(el.textContent) : "") ||
      plain(el.getAttribute("title")) || plain(el.getAttribute("placeholder"));
  };
  const valueOf = (el, role) => {
    if (el.tagName === "SELECT") return plain([...el.selectedOptions].map((one) => one.label).join(", "));
    if (el.tagName === "INPUT" && /^(checkbox|radio|button)$/.test(role)) return "";
    if ("value" in el && /^(INPUT|TEXTAREA)$/.test(el.tagName)) return plain(el.value);
    return role === "textbox" ? plain(el.textContent) : plain(el.getAttribute("aria-valuenow"));
  };
  const statesOf = (el) => {
    const aria = (name) => el.getAttribute(`aria-${name}`) === "true";
    return Object.entries({
      checked: el.checked || aria("checked"), disabled: el.matches(":disabled") || aria("disabled"),
      expanded: aria("expanded"), focused: el === document.activeElement && el !== document.body,
      pressed: aria("pressed"), readonly: !!el.readOnly, required: !!el.required,
      selected: (el.tagName === "OPTION" && el.selected) || aria("selected"),
    }).filter(([, holds]) => holds).map(([state]) => state);
  };

  const walk = (skip, limit) => {
    const nodes = [];
    let seen = 0;
    const visit = (el, depth, pointed, named) => {
      if (nodes.length >= limit || ++seen > 20 * limit || NONE.has(el.tagName.toUpperCase())) return;
      if ((skip && el.matches(skip)) || el.getAttribute("aria-hidden") === "true") return;
      const style = getComputedStyle(el), option = el.tagName === "OPTION";
      if (style.display === "none" || (+style.opacity < 0.05 && el.tagName !== "INPUT")) return;
      const box = el.getBoundingClientRect(), shown = style.visibility === "visible";
      const children = [...(el.shadowRoot || el).childNodes];
      const readable = shown && parseFloat(style.fontSize) > 0;
      let role = roleOf(el);
      const control = el.tagName === "LABEL" && el.control ? nameOf(el.control, "") : "";
      const clickable = !control && el !== document.body && el !== document.documentElement && (PRESSED.has(role) ||
        SHAPES.test(role) || !!el.onclick || listened.has(el) || (style.cursor === "pointer" && !pointed));
      const leaf = readable && role === "generic" && !children.some((one) => one instanceof Element && one.tagName !== "BR") &&
        plain(el.textContent) !== "";
      if (leaf && !control) role = "text";
      const name = nameOf(el, role) || (clickable && role === "generic" ? plain(el.getAttribute("class") || el.id) : "");
      const repeated = role === "text" && !clickable && named.includes(name);
      const sized = (box.width > 0 && box.height > 0) || option;
      if (shown && sized && !repeated && (role !== "generic" || clickable)) {
        const inside = box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight;
        nodes.push({
          ref: `e${refOf(el)}`, role, name, value: valueOf(el, role), states: statesOf(el), depth, clickable,
          box: [box.x, box.y, box.width, box.height].map(Math.round), visible: inside || option, tag: el.tagName.toLowerCase(),
        });
        depth++;
        if (NAMED.has(role)) named = name;
      }
      if (control) named = control;
      if (leaf || role === "textbox") return;
      for (const child of children) {
        if (child instanceof Element) visit(child, depth, pointed || style.cursor === "pointer", named);
        else if (child instanceof Text && readable && nodes.length < limit) {
          const text = plain(child.data);
          if (!text || named.includes(text) || el.tagName === "SELECT") continue;
          const range = document.createRange();
          range.selectNodeContents(child);
          const at = range.getBoundingClientRect();
          if (!at.width || !at.height) continue;
          const inside = at.right > 0 && at.bottom > 0 && at.left < innerWidth && at.top < innerHeight;
          nodes.push({ ref: "", role: "text", name: text, value: "", states: [], depth, clickable: false,
            box: [at.x, at.y, at.width, at.height].map(Math.round), visible: inside, tag: "" });
        }
      }
    };
    visit(document.documentElement, 0, false, "");
    return nodes;
  };

  // a browser that draws many pages is late with frames: what takes longer than one counts as one, but where the page
  // itself waits for a frame
  const waiting = new Set(), draw = window.requestAnimationFrame.bind(window), drop = window.cancelAnimationFrame.bind(window);
  window.requestAnimationFrame = (next) => {
    const id = draw((now) => { waiting.delete(id); next(now); });
    waiting.add(id);
    return id;
  };
  window.cancelAnimationFrame = (id) => { waiting.delete(id); drop(id); };
  const frame = (next) => {
    let waits = true;
    const go = () => { if (waits) { waits = false; next(); } };
    draw(go);
    setTimeout(() => { if (!waiting.size) go(); }, 14);  // longer than the 13 between two steps of an old animation
  };
  // after an action: until a frame has passed without a change, at most `cap` milliseconds
  const settle = (cap) => new Promise((done) => {
    const began = performance.now();
    let before = changes;
    const tick = () => {
      if (changes === before || performance.now() - began > cap) return done();
      before = changes;
      frame(tick);
    };
    frame(tick);
  });
  // pictures that rules of style name are fetched before they are needed: an element that comes to be shown has its size at once
  const fetched = [];
  const fetchPictures = async () => {
    for (const sheet of document.styleSheets) {
      const rules = !sheet.href || new URL(sheet.href).origin === location.origin ? [...sheet.cssRules] : [];
      for (const [, at] of rules.flatMap((one) => [...one.cssText.matchAll(/url\(["']?([^"')]+)/g)])) {
        const base = sheet.href || document.baseURI, url = URL.canParse(at, base) ? new URL(at, base) : null;
        if (url?.origin === location.origin) fetched.push(Object.assign(new Image(), { src: url.href }));
      }
    }
    await Promise.allSettled(fetched.map((one) => one.decode()));
  };
  // whether this document is being left for another one: what is shown then is not what came of the action
  let fetching, left = -Infinity;
  window.navigation?.addEventListener("navigate", (told) => {
    if (!told.hashChange && !told.destination.sameDocument && told.downloadRequest === null) left = performance.now();
  });
  window.navigation?.addEventListener("navigateerror", () => { left = -Infinity; });
  // it is told some milliseconds after a form was sent or a link was followed, and a look may come between
  addEventListener("submit", (told) => {
    if (!told.defaultPrevented && told.target.method !== "dialog") left = performance.now();
  });
  addEventListener("click", (told) => {
    const link = told.defaultPrevented ? null : told.target.closest?.("a[href]:not([download]):not([target])");
    const [to, within] = link ? link.href.split("#") : [];
    const stays = within !== undefined && to === location.href.split("#")[0];
    if (link && /^https?:$/.test(link.protocol) && !stays) left = performance.now();
  });
  const read = () => new Promise((done) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done, { once: true });
    else done();
  });
  const look = async ({ skip, limit, cap, globals }) => {
    await Promise.race([read(), new Promise((done) => setTimeout(done, cap))]);
    await Promise.race([fetching ??= fetchPictures().catch(() => {}), new Promise((done) => setTimeout(done, cap))]);
    await settle(cap);
    return { nodes: walk(skip, limit), globals: globals.map((name) => window[name]), title: plain(document.title),
      leaving: performance.now() - left < cap };
  };

  const kindOf = (el) => {
    if (el.tagName === "SELECT") return "select";
    if (el.readOnly) return "none";
    if (el.tagName === "INPUT") {
      if (/^(range|date|time|month|week|color|datetime-local)$/.test(el.type)) return "set";
      return /^(checkbox|radio|button|submit|reset|image|file|hidden)$/.test(el.type) ? "none" : "text";
    }
    return el.tagName === "TEXTAREA" || el.isContentEditable ? "text" : "none";
  };
  const onTop = (el) => {
    let other = null;
    for (const rect of [...el.getClientRects()].slice(0, 3)) {
      const left = Math.max(0, rect.left), top = Math.max(0, rect.top);
      const width = Math.min(innerWidth, rect.right) - left, height = Math.min(innerHeight, rect.bottom) - top;
      if (width <= 0 || height <= 0) continue;
      for (const fy of [0.5, 0.2, 0.8]) for (const fx of [0.5, 0.2, 0.8]) {
        const x = left + fx * width, y = top + fy * height;
        let hit = document.elementFromPoint(x, y);
        while (hit?.shadowRoot?.elementFromPoint(x, y) && hit.shadowRoot.elementFromPoint(x, y) !== hit)
          hit = hit.shadowRoot.elementFromPoint(x, y);
        if (hit && (el.contains(hit) || hit.closest("label")?.control === el)) return { x, y };
        other ??= hit;
      }
    }
    return { other };
  };
  // where a click on a node lands, the first of nine points in its box that belong to it, or why it lands nowhere
  const aim = (n) => {
    const el = known.get(n)?.deref();
    if (!known.has(n)) return { error: "UNKNOWN_REF" };
    if (!el?.isConnected) return { error: "STALE_REF" };
    if (el.matches(":disabled") || el.getAttribute("aria-disabled") === "true") return { error: "DISABLED" };
    if (el.tagName === "OPTION") return { kind: "option" };
    const style = getComputedStyle(el);
    if (!el.getClientRects().length || style.visibility !== "visible") return { error: "HIDDEN" };
    let at = onTop(el);
    if (at.x === undefined) {
      el.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
      at = onTop(el);
    }
    if (at.x !== undefined) return { kind: kindOf(el), x: at.x, y: at.y };
    let other = at.other;
    if (!other || other.contains(el)) return { error: "HIDDEN" };
    while (roleOf(other) === "generic" && !ids.has(other) && other.parentElement) other = other.parentElement;
    const role = roleOf(other);
    return { error: "COVERED", role, name: nameOf(other, role), ref: `e${refOf(other)}` };
  };
  const choose = (n, text) => {
    const el = known.get(n)?.deref(), fire = (on) => {
      for (const kind of ["input", "change"]) on.dispatchEvent(new Event(kind, { bubbles: true }));
    };
    const wanted = text.trim().toLowerCase();
    const select = el.tagName === "OPTION" ? el.closest("select") : el.tagName === "SELECT" ? el : null;
    if (select) {
      const option = el.tagName === "OPTION" ? el : [...select.options].find(
        (one) => one.label.trim().toLowerCase() === wanted || one.value.trim().toLowerCase() === wanted);
      if (!option) return "NO_OPTION";
      option.selected = select.multiple && el.tagName === "OPTION" ? !option.selected : true;
      fire(select);
      return "";
    }
    el.value = text;
    fire(el);
    return el.value === text ? "" : "BAD_VALUE";
  };
  const mark = (n) => {
    const el = known.get(n).deref();
    el.focus();
    if (el.select) el.select();
    else getSelection().selectAllChildren(el);
  };
  const forget = () => { ids = new WeakMap(); known = new Map(); };
  Object.defineProperty(window, "__operant", { value: Object.freeze({ look, aim, choose, mark, forget }) });
})();
