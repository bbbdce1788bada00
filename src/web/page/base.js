"use strict";

// ---------------------------------------------------------------------------------------------- elements and text

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** An element with properties, listeners (`onclick`) and children; strings become text. */
function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

const flame = () => document.querySelector(".brand svg").cloneNode(true);

// Characters that could hide or reorder text; newline and tab are allowed.
const DECEPTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]/g;

/** Outside text as nodes, with deceptive characters written as escapes. */
function shown(text) {
  const nodes = [];
  let from = 0;
  const all = String(text);
  for (const match of all.matchAll(DECEPTIVE)) {
    if (match[0] === "\r" && all[match.index + 1] === "\n") continue;
    if (nodes.length > 4000) break;
    if (match.index > from) nodes.push(all.slice(from, match.index));
    nodes.push(h("span", { class: "esc" }, "\\u{" + match[0].codePointAt(0).toString(16) + "}"));
    from = match.index + 1;
  }
  nodes.push(from === 0 ? all : all.slice(from));
  return nodes;
}

/** The same as a string, for attributes and announcements. */
const plain = (text) => String(text).replace(DECEPTIVE, (c) => "\\u{" + c.codePointAt(0).toString(16) + "}");

const plural = (n, one, many) => `${n.toLocaleString()} ${n === 1 ? one : many}`;
const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
const millis = (ms) => (ms === null || ms === undefined ? "" : ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);
const clock = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

function ago(iso) {
  const seconds = Math.max(0, Math.floor((Date.now() - new Date(iso)) / 1000));
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

const when = (iso) => h("time", { datetime: iso, title: clock(iso) }, ago(iso));

setInterval(() => {
  for (const time of document.querySelectorAll(".panes:not([hidden]) time[datetime]:not(.full)")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}, 15000);

const SUCCESS = (status) => status >= 200 && status < 300;
const tone = (status) => (status === null || status === undefined ? "" : SUCCESS(status) ? "good" : "bad");

// ----------------------------------------------------------------------------------------------------- the API

const token = document.querySelector('meta[name="hookfire-token"]').content;
/** Whether the page was opened with a read token: elements with `data-changes` are hidden. */
const readOnly = token === "";
document.body.classList.toggle("read-only", readOnly);
$("read-only").hidden = !readOnly;
/** `hookfire` with the options that commands for pasting need. */
const program = decodeURIComponent(document.querySelector('meta[name="hookfire-program"]').content);
const withProgram = (hint) => hint.replaceAll("`hookfire ", "`" + program + " ");

class Refusal extends Error {
  constructor(words, hints = []) {
    super(words);
    this.hints = hints;
  }
}

async function api(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (method !== "GET") headers["x-hookfire-token"] = token;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch("/_hookfire/api/" + path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("hookfire does not respond. Is `hookfire listen` still running?");
  }
  const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
  const content = isJson ? await response.json() : await response.text();
  if (!response.ok) {
    if (response.status === 403 && method !== "GET") await reloadIfRestarted();
    const { message, hints } = isJson ? content.error : { message: content.trim() };
    throw new Refusal(message || `hookfire responded with status ${response.status}`, hints);
  }
  return content;
}

let instance = null;

/** A page of an earlier listener at this address has a token that is no longer valid. */
async function reloadIfRestarted() {
  const now = await api("instance");
  if (instance !== null && now !== instance) location.reload();
  instance = now;
}

let toastTimer;
function say(words, hints = []) {
  $("toast").replaceChildren(words, ...hints.map((hint) => h("span", { class: "hint" }, plain(withProgram(hint)))));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").replaceChildren(), 4000 + 4000 * hints.length);
}

const complain = (error) => {
  if (error.name !== "AbortError") say(error.message, error.hints);
};

/** Handles a click: disables the button meanwhile and shows a failure. */
const pressed = (run) => async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    await run(event);
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
};

async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, only this machine's pages may use the clipboard API.
    const area = h("textarea", { class: "sr", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Refusal("The browser does not allow this page to copy.");
  }
  say(words);
}

// -------------------------------------------------------------------------------------------------------- dialogs

/** Shows a dialog; resolves when it is closed. */
function open(title, ...content) {
  const dialog = $("dialog");
  dialog.className = "";
  dialog.replaceChildren(h("h2", { id: "dialog-title" }, ...shown(title)), ...content);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

async function confirmed(title, words, verb, tone = "danger") {
  $("dialog").returnValue = "";
  const close = (value) => () => $("dialog").close(value);
  const choice = await open(
    title,
    h("p", {}, words),
    h(
      "div",
      { class: "buttons" },
      h("button", { class: "button", type: "button", autofocus: true, onclick: close("") }, "Cancel"),
      h("button", { class: `button ${tone}`, type: "button", id: "confirm", onclick: close("yes") }, verb),
    ),
  );
  return choice === "yes";
}

/** Shows a form. `submit` may throw: then its error is shown, and the form stays open. */
function ask(title, verb, content, submit) {
  const error = h("div", { class: "result", role: "alert", hidden: true });
  const send = h("button", { class: "button primary", type: "submit" }, verb);
  const cancel = h("button", { class: "button", type: "button", onclick: () => $("dialog").close("") }, "Cancel");
  const form = h("form", {}, ...content.filter(Boolean), error, h("div", { class: "buttons" }, cancel, send));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await submit();
      $("dialog").close("yes");
    } catch (failure) {
      error.hidden = false;
      error.replaceChildren(...refusalNodes(failure));
    } finally {
      send.disabled = false;
    }
  });
  return open(title, form);
}

/**
 * Makes only the latest of overlapping calls count: each call aborts the one before, which then ends together with its
 * successor. `run` gets the signal to pass to `api`, then the arguments.
 */
function latest(run) {
  let controller = null;
  let last = null;
  return (...args) => {
    controller?.abort();
    controller = new AbortController();
    const call = run(controller.signal, ...args).catch((error) => {
      if (error.name !== "AbortError") throw error;
      return last === call ? undefined : last;
    });
    last = call;
    return call;
  };
}

/** Calls `load` when the end of a list comes into view. Call the returned function whenever the list has changed. */
function whenInView(end, load) {
  const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && load(), { root: end.parentElement, rootMargin: "300px" });
  return () => {
    observer.unobserve(end);
    observer.observe(end);
  };
}

/** Runs `run`, which deletes the item that `state` shows: meanwhile live updates do not ask for that item. */
async function whileDeleting(state, run) {
  state.deleting = true;
  try {
    return await run();
  } finally {
    state.deleting = false;
  }
}

// ------------------------------------------------------------------------------------------------- selectable lists

/** A listbox of items with an `id`. Keeps the selection and updates only changed rows. */
class Picker {
  constructor(list, { row, chosen, extended }) {
    this.list = list;
    this.row = row;
    this.chosen = chosen;
    // Called instead of `chosen` for a click with the shift key.
    this.extended = extended;
    this.items = [];
    this.rows = new Map();
    this.selected = null;
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.choose(Number(row.dataset.id), { open: true, shift: event.shiftKey });
    });
    list.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
      if (event.key in steps) this.move(steps[event.key]);
      else if (event.key === "Enter" || event.key === " ") this.choose(this.selected, { open: true, focus: true });
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  show(items, { fresh = false } = {}) {
    this.items = items;
    const kept = new Map();
    let place = this.list.firstElementChild;
    for (const item of items) {
      const signature = JSON.stringify(item);
      let known = this.rows.get(item.id);
      if (!known || known.signature !== signature) {
        const element = h("li", { role: "option", id: `${this.list.id}-${item.id}`, class: "item", "data-id": item.id }, ...this.row(item));
        if (fresh && !known) element.classList.add("fresh");
        if (known) {
          if (known.element === place) place = place.nextElementSibling;
          known.element.remove();
        }
        known = { element, signature };
      }
      if (known.element === place) place = place.nextElementSibling;
      else this.list.insertBefore(known.element, place);
      kept.set(item.id, known);
    }
    while (place) {
      const next = place.nextElementSibling;
      place.remove();
      place = next;
    }
    this.rows = kept;
    this.mark();
  }

  mark() {
    for (const [id, { element }] of this.rows) {
      const selected = String(id === this.selected);
      if (element.getAttribute("aria-selected") !== selected) element.setAttribute("aria-selected", selected);
    }
    const row = this.rows.get(this.selected);
    if (row) this.list.setAttribute("aria-activedescendant", row.element.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  choose(id, how = {}) {
    if (id === null || id === undefined) return;
    if (how.shift && this.extended && this.selected !== null && id !== this.selected) return this.extended(this.selected, id);
    this.selected = id;
    this.mark();
    this.rows.get(id)?.element.scrollIntoView({ block: "nearest" });
    this.chosen(id, how);
  }

  forget() {
    this.selected = null;
    this.mark();
  }

  move(by) {
    if (this.items.length === 0) return;
    const at = this.items.findIndex((item) => item.id === this.selected);
    const to = at < 0 ? 0 : Math.min(this.items.length - 1, Math.max(0, at + by));
    if (to !== at) this.choose(this.items[to].id);
  }

  /** The item to select when this one is deleted. */
  neighbour(id) {
    const at = this.items.findIndex((item) => item.id === id);
    return at < 0 ? null : (this.items[at + 1] || this.items[at - 1] || null)?.id ?? null;
  }
}

const narrow = matchMedia("(max-width: 820px)");

// ------------------------------------------------------------------------------------------------- shown as code

const COLOURED_AT_MOST = 150000;
const SHOWN_AT_MOST = 300000;

const TOKENS = {
  xml: /(<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[[\s\S]*?\]\]>)|(<\/?)([^\s\/>]+)((?:[^>"']|"[^"]*"|'[^']*')*)(>)/g,
  json: /("(?:[^"\\]|\\.)*")(\s*:)?|([{}\[\],:])/g,
};

function coloured(text, language) {
  const pattern = TOKENS[language];
  if (!pattern || text.length > COLOURED_AT_MOST) return shown(text);
  const nodes = [];
  const put = (kind, part) => part && nodes.push(kind ? h("span", { class: kind }, ...shown(part)) : h("span", {}, ...shown(part)));
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    put("", text.slice(from, match.index));
    if (language === "xml") {
      if (match[1]) put("p", match[1]);
      else {
        put("p", match[2]);
        put("t", match[3]);
        put("a", match[4]);
        put("p", match[5]);
      }
    } else if (match[1]) {
      put(match[2] ? "t" : "s", match[1]);
      put("p", match[2]);
    } else put("p", match[3]);
    from = match.index + match[0].length;
  }
  put("", text.slice(from));
  return nodes;
}

/** A block of code. Very long ones are shortened until the user asks for the rest. */
function code(text, language) {
  const block = h("pre", { class: "code", tabindex: "0" });
  const fill = (part) => block.replaceChildren(...coloured(part, language));
  if (text.length <= SHOWN_AT_MOST) {
    fill(text);
    return block;
  }
  fill(text.slice(0, SHOWN_AT_MOST));
  const rest = h("button", { class: "button quiet", type: "button" }, `Show all ${text.length.toLocaleString()} characters`);
  rest.addEventListener("click", () => {
    fill(text);
    rest.remove();
  });
  return h("div", {}, block, rest);
}

const FOLDED_AT_MOST = 5000;

/** Formatted XML or JSON, whose elements and objects can be collapsed. */
function folded(text, language) {
  const lines = text.split("\n");
  if (text.length > COLOURED_AT_MOST || lines.length > FOLDED_AT_MOST) return code(text, language);
  const depth = (line) => line.length - line.trimStart().length;
  const root = h("div", { class: "code folded", tabindex: "0" });
  const open = [{ depth: -1, block: root }];
  lines.forEach((line, at) => {
    const own = depth(line);
    while (open.at(-1).depth >= own) open.pop();
    const { block } = open.at(-1);
    const content = coloured(line, language);
    if (at + 1 < lines.length && depth(lines[at + 1]) > own) {
      const fold = h("details", { open: true }, h("summary", {}, ...content));
      block.append(fold);
      open.push({ depth: own, block: fold });
    } else block.append(h("div", {}, ...content));
  });
  return root;
}

function hexDump(base64) {
  const binary = atob(base64.slice(0, 1368));
  const [lines, width] = [[], narrow.matches ? 8 : 16];
  for (let at = 0; at < Math.min(binary.length, 1024); at += width) {
    const row = [...binary.slice(at, at + width)].map((c) => c.charCodeAt(0));
    const hex = row.map((b) => b.toString(16).padStart(2, "0")).join(" ").padEnd(3 * width - 1);
    const text = row.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${text}`);
  }
  return lines.join("\n");
}

const part = (title, count, controls, ...content) =>
  h(
    "section",
    { class: "part", "aria-label": title },
    h("header", {}, h("h3", {}, title, ...(count === null ? [] : [" ", h("span", { class: "n" }, String(count))])), ...controls),
    h("div", { class: "sheet" }, ...content),
  );

const pairs = (list) =>
  h(
    "dl",
    { class: "pairs" },
    ...list.map(([name, value]) =>
      h("div", {}, h("dt", {}, ...shown(name)), h("dd", { class: value === "***" ? "mask" : null }, ...shown(value))),
    ),
  );

function segments(label, choices, chosen, choose) {
  const buttons = choices.map(([value, words]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, words),
  );
  return h("div", { class: "segments", role: "group", "aria-label": label }, ...buttons);
}

const command = (text, how) =>
  h(
    "div",
    { class: how === "plain" ? "command plain" : "command" },
    h("code", {}, text),
    h("button", { class: "button quiet", type: "button", "aria-label": `Copy: ${text}`, onclick: pressed(() => copy(text, "Copied")) }, "Copy"),
  );

const backButton = (to) => h("button", { class: "button quiet back", type: "button", onclick: () => go(to, null) }, "‹ Back");

/** Fills a detail pane. It keeps its scroll position if it shows the same item as before. */
function fillDetail(pane, about, content) {
  const same = pane.dataset.about === about;
  const top = same ? pane.scrollTop : 0;
  pane.dataset.about = about;
  pane.classList.toggle("start", about === "start");
  pane.replaceChildren(...content);
  pane.scrollTop = top;
}

/** Whether a pane shows this already: then selection, open details and focus in it are kept. */
const isSame = (pane, about, before, now) => pane.dataset.about === about && JSON.stringify(before) === JSON.stringify(now);
