
// -------------------------------------------------------------------------------------------------------- captures

const PAGE = 50;
const MOST_ROWS = 2000;

const captures = {
  bin: "",
  total: 0,
  // How many arrived while the page was hidden.
  arrived: 0,
  follow: false,
  bins: [],
  // What the list was loaded with.
  query: null,
  // The list holds captures from `newest` down to `more`, where the next page begins; null at the end.
  newest: 0,
  more: null,
  loaded: false,
  unseen: 0,
  behind: false,
  capture: null,
  view: null,
  reveal: false,
  // How bodies are shown: those of complete captures, and those of malformed ones.
  body: { complete: "pretty", malformed: "raw" },
};

const kindOf = (capture) => (capture.malformed ? "malformed" : "complete");

const captureTitle = (capture) =>
  capture.type ? `${capture.type}.${capture.action}` : `${capture.method || "unreadable request"} ${capture.path || ""}`.trim();

function contentType(capture) {
  const header = capture.headers.findLast(([name]) => name.toLowerCase() === "content-type");
  return header ? header[1].split(";")[0].trim() : "";
}

const queryOf = ({ query }) => (query.length === 0 ? "" : "?" + query.map(([name, value]) => (value === "" ? name : `${name}=${value}`)).join("&"));

const responseStatus = (response) => (response.status === null || response.status === undefined ? "no response" : String(response.status));

/** How far a capture was forwarded, by the status of its deliveries. */
const FORWARD_WORDS = { delivered: "forwarded", pending: "to be forwarded", failed: "not forwarded", interrupted: "not forwarded" };
const FORWARD_TONE = { delivered: "good", pending: "warn", failed: "bad", interrupted: "bad" };

const forwardedOf = (forwards) => ["failed", "interrupted", "pending", "delivered"].find((status) => forwards.some((delivery) => delivery.status === status));

const captureList = new Picker($("list"), {
  row: (capture) => [
    h("span", { class: "first" }, h("span", { class: "method" }, ...shown(capture.method || "?")), " ", ...shown(capture.path || "(unreadable)"), h("span", { class: "query" }, ...shown(queryOf(capture)))),
    h("span", { class: `right status ${tone(capture.response.status)}` }, responseStatus(capture.response)),
    h(
      "span",
      { class: "second" },
      capture.malformed
        ? h("span", { class: "badge warn" }, "malformed")
        : capture.secret_ok === false
          ? h("span", { class: "badge bad" }, "wrong secret")
          : capture.signature?.verified === false
            ? h("span", { class: "badge bad" }, "invalid signature")
            : capture.signature?.verified
              ? h("span", { class: "badge good" }, "signed")
              : null,
      capture.malformed || capture.secret_ok === false || capture.signature ? " " : null,
      capture.handshake ? [h("span", { class: "badge" }, capture.handshake === "cors" ? "preflight" : "handshake"), " "] : null,
      capture.forwarded ? [h("span", { class: `badge ${FORWARD_TONE[capture.forwarded]}` }, FORWARD_WORDS[capture.forwarded]), " "] : null,
      capture.pinned ? [h("span", { class: "badge pinned" }, "pinned"), " "] : null,
      capture.note ? [h("span", { class: "noted" }, ...shown(capture.note)), " "] : null,
      capture.type
        ? h("span", { class: "event" }, ...shown(`${capture.type}.${capture.action}`))
        : h("span", {}, ...shown([contentType(capture), bytes(capture.body_size)].filter(Boolean).join(", "))),
    ),
    h("span", { class: "right" }, h("span", { class: "id" }, `#${capture.id} · `), when(capture.received_at)),
  ],
  chosen: (id, how) => {
    // Who looks at an older capture does not want to be taken away from it.
    if (!how.follow && id !== captureList.items[0]?.id) follow(false);
    go("captures", id, how);
  },
  extended: (a, b) => compareCaptures(a, b),
});

/** Whether each new capture is selected when it arrives. */
function follow(on) {
  captures.follow = on;
  $("follow").setAttribute("aria-pressed", String(on));
  if (on && captureList.items.length > 0) captureList.choose(captureList.items[0].id, { follow: true });
}

/** What is to be listed: the captures of the chosen bin that match the filter. */
function captureQuery() {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (captures.bin) query.set("bin", captures.bin);
  const filter = $("filter").value.trim();
  if (filter) query.set("q", filter);
  return `captures?${query}`;
}

/** Loads the newest captures, or with `more` the next page. A filter may take several requests: each reads a part of the journal. */
const loadCaptures = latest(async (signal, { more = false, fresh = false } = {}) => {
  const filtered = $("filter").value.trim() !== "";
  const query = captureQuery();
  // The list of another bin or filter is not continued.
  if (captures.query !== query) more = fresh = false;
  const known = { items: captureList.items, ...captures };
  const wanted = more ? known.items.length + PAGE : PAGE;
  let items = more ? known.items : [];
  let rest = more ? known.more : null;
  let newest = more ? known.newest : null;
  do {
    const found = await api(rest === null ? query : `${query}&before=${rest}`, { signal });
    newest ??= found.newest;
    items = items.concat(found.captures);
    rest = found.more;
    if (fresh && rest !== null && rest <= known.newest) {
      // The list reaches down to the known one. Without that there is a gap, and it starts over.
      items = items.concat(known.items.filter((item) => item.id < rest));
      rest = known.more;
      break;
    }
    if (rest !== null && filtered && items.length < wanted) showCaptures(query, items, rest, newest, { fresh, searching: true });
  } while (filtered && rest !== null && items.length < wanted);
  showCaptures(query, items, rest, newest, { fresh });
});

function showCaptures(query, items, more, newest, { fresh, searching = false }) {
  Object.assign(captures, { query, more, newest, loaded: true, full: items.length > MOST_ROWS });
  captureList.show(items.slice(0, MOST_ROWS), { fresh });
  if (searching) $("list-foot").replaceChildren(`Searching, back to #${more.toLocaleString()}…`);
  else showCapturesFoot();
  watchCapturesEnd();
  showStart();
}

const watchCapturesEnd = whenInView($("list-foot"), () => $("more")?.click());

function showCapturesFoot() {
  const foot = $("list-foot");
  const filtered = $("filter").value.trim() !== "";
  if (captures.more !== null && captureList.items.length < MOST_ROWS) {
    const older = pressed(() => loadCaptures({ more: true }));
    foot.replaceChildren(h("button", { class: "button", type: "button", id: "more", onclick: older }, "Load older"));
  } else if (captures.more !== null || captures.full) foot.replaceChildren("Filter or choose a bin to find older captures.");
  else if (captureList.items.length === 0) foot.replaceChildren(filtered ? "No captures match the filter." : "No captures yet.");
  else foot.replaceChildren(plural(captureList.items.length, "capture", "captures"));
}

function showStart() {
  if (captures.capture !== null || !captures.loaded || $("captures").hidden) return;
  const filtered = $("filter").value.trim() !== "";
  if (captureList.items.length > 0 || filtered) {
    if (!narrow.matches && captureList.items.length > 0 && !filtered) return go("captures", captureList.items[0].id, { quiet: true });
    fillDetail($("detail"), "none", [h("div", { class: "blank" }, h("p", {}, "Select a capture."))]);
    return;
  }
  const url = binUrl(captures.bin);
  fillDetail($("detail"), "start", [
    h(
      "div",
      { class: "blank" },
      flame(),
      h("h2", {}, "Waiting for the first request"),
      h("p", {}, "Requests to this address are stored byte for byte and appear here at once."),
      h(
        "div",
        { class: "try" },
        command(url, "plain"),
        h("h3", {}, "Fire a 3scale event"),
        command(`${program} fire application created --url ${url}`),
        h("h3", {}, "Or send anything"),
        command(`curl -d 'hello' ${url}`),
      ),
      h("p", { class: "keys" }, h("kbd", {}, "↑"), " ", h("kbd", {}, "↓"), " move, ", h("kbd", {}, "/"), " search, ", h("kbd", {}, "?"), " all keys"),
    ),
  ]);
}

const showCapture = latest(async (signal, id, how = {}) => {
  if (captures.capture !== id) captures.reveal = false;
  captures.capture = id;
  captureList.selected = id;
  captureList.mark();
  try {
    const view = await api(`captures/${id}${captures.reveal ? "?reveal=1" : ""}`, { signal });
    if (!isSame($("detail"), `capture ${id}`, captures.view, view)) {
      captures.view = view;
      renderCapture();
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    captures.view = null;
    fillDetail($("detail"), `gone ${id}`, [backButton("captures"), h("div", { class: "blank" }, h("h2", {}, `#${id}`), h("p", {}, error.message))]);
    return;
  }
  if (how.focus) $("detail").querySelector("h2")?.focus();
});

function renderCapture() {
  const { capture, hidden, credentials } = captures.view;
  const { id, response } = capture;
  const target = capture.path + queryOf(capture);
  const reveal = async (on) => {
    captures.reveal = on;
    await showCapture(id);
    $("reveal")?.focus();
  };
  const revealing = hidden || captures.reveal
    ? [h("button", { class: "button quiet", type: "button", id: "reveal", "aria-pressed": String(captures.reveal), onclick: pressed(() => reveal(!captures.reveal)) }, captures.reveal ? "Hide secret values" : "Show secret values")]
    : [];
  fillDetail($("detail"), `capture ${id}`, [
    backButton("captures"),
    h(
      "div",
      { class: "head" },
      h(
        "div",
        { class: "what" },
        h("h2", { tabindex: "-1", title: plain(captureTitle(capture)) }, ...shown(captureTitle(capture))),
        h(
          "p",
          { class: "facts" },
          h("span", {}, `#${id}`),
          h("span", {}, "in ", ...shown(capture.bin)),
          h("time", { class: "full", datetime: capture.received_at, title: capture.received_at }, clock(capture.received_at)),
          h("span", {}, `from ${capture.remote_addr}`),
          h("span", {}, bytes(capture.body_size)),
        ),
      ),
      h(
        "div",
        { class: "actions" },
        // A malformed request cannot be sent again.
        capture.malformed ? null : h("button", { class: "button", type: "button", id: "copy-curl", onclick: pressed(() => copyCurl(id)) }, "Copy as curl"),
        capture.malformed ? null : h("button", { class: "button", type: "button", id: "send-again", "data-changes": true, onclick: () => sendAgain(capture, credentials) }, "Send again to…"),
        h("button", { class: "button", type: "button", id: "compare", onclick: () => compareCaptures(id) }, "Compare…"),
        h("button", { class: "button", type: "button", id: "pin", "data-changes": true, "aria-pressed": String(Boolean(capture.pinned)), onclick: pressed(pin) }, capture.pinned ? "Unpin" : "Pin"),
        h("button", { class: "button", type: "button", id: "note", "data-changes": true, onclick: editNote }, capture.note ? "Edit note…" : "Note…"),
        h("button", { class: "button danger", type: "button", id: "delete", "data-changes": true, onclick: pressed(() => deleteCapture(id)) }, "Delete"),
      ),
    ),
    capture.note ? h("p", { class: "note" }, ...shown(capture.note)) : null,
    h(
      "div",
      { class: "exchange mono" },
      h("p", {}, h("b", {}, ...shown(capture.method || "?")), " ", ...shown(target || "(unreadable)")),
      h(
        "p",
        { class: "response" },
        h("span", { class: "sr" }, "Response: "),
        h("span", { "aria-hidden": "true" }, "→ "),
        h("span", { class: `status ${tone(response.status)}` }, responseStatus(response)),
        ` after ${millis(response.duration_ms)}`,
        response.note && !capture.malformed ? [", ", ...shown(response.note)] : null,
        capture.secret_ok === true ? ", secret correct" : null,
        capture.signature?.verified ? `, ${capture.signature.scheme} signature valid` : null,
      ),
    ),
    capture.malformed
      ? h("p", { class: "notice" }, "Malformed: ", ...shown(response.note || "the request is incomplete"), ". The bytes that were received are below.")
      : null,
    capture.handshake
      ? h("p", { class: "notice" }, capture.handshake === "cors" ? "A CORS preflight, which was answered." : `A handshake (${capture.handshake}), which was answered.`)
      : null,
    capture.secret_ok === false ? h("p", { class: "notice bad" }, "The secret was wrong or missing.") : null,
    capture.signature?.verified === false && !capture.malformed
      ? h("p", { class: "notice bad" }, `The ${capture.signature.scheme} signature is not valid: `, ...shown(capture.signature.detail), ". ", `${capture.signature.hint[0].toUpperCase()}${capture.signature.hint.slice(1)}.`)
      : null,
    ...(capture.query.length ? [part("Query", capture.query.length, revealing, pairs(capture.query))] : []),
    part("Headers", capture.headers.length, capture.query.length ? [] : revealing, capture.headers.length ? pairs(capture.headers) : h("p", { class: "none" }, "No readable headers.")),
    captures.view.forwards?.length ? forwardsPart(captures.view.forwards) : null,
    captures.view.runs?.length ? runsPart(captures.view.runs) : null,
    bodyPart(),
  ].filter(Boolean));
}

/** The deliveries that forward the capture. */
function forwardsPart(forwards) {
  const row = (delivery) => {
    const next = delivery.next_attempt_at ? `, next attempt ${clock(delivery.next_attempt_at)}` : "";
    const error = delivery.status !== "delivered" && delivery.last_error ? [": ", ...shown(delivery.last_error.message)] : [];
    const sends = delivery.status !== "delivered" && delivery.status !== "ignored";
    const again = async () => {
      await retryOne(delivery.id, delivery.status === "pending");
      await showCapture(captures.capture);
    };
    return h("p", { class: "forward" },
      h("span", { class: `badge ${FORWARD_TONE[delivery.status] ?? ""}` }, delivery.status), " ",
      h("a", { href: `#/deliveries/${delivery.id}` }, `#${delivery.id}`), " to ", ...shown(delivery.url), ", ",
      plural(delivery.attempt_count, "attempt", "attempts"), ...error, next, " ",
      sends ? h("button", { class: "button quiet", type: "button", "data-changes": true, onclick: pressed(again) }, "Send now") : null);
  };
  return part("Forwarded", forwards.length, [], h("div", {}, ...forwards.map(row)));
}

/** The commands that `listen --exec` ran for the capture. */
function runsPart(runs) {
  const outcome = (run) =>
    run.error ?? (run.exit_code === null ? "not ended: it is running, or hookfire was killed" : `exit code ${run.exit_code}`);
  const rows = runs.map((run) => [
    h("p", {}, h("span", { class: `badge ${run.error === null && run.exit_code === 0 ? "good" : "bad"}` }, ...shown(outcome(run))), " ", ...shown(run.command), run.duration_ms === null ? null : ` after ${millis(run.duration_ms)}`),
    run.stderr === "" ? null : h("pre", { class: "mono" }, ...shown(run.stderr)),
  ]);
  return part("Runs", runs.length, [], h("div", {}, ...rows.flat().filter(Boolean)));
}

function bodyPart() {
  const { capture, pretty, language, raw, whole, raw_whole, pretty_whole, decoded_size, not_decoded, not_pretty } = captures.view;
  const choose = (view) => {
    captures.body[kindOf(capture)] = view;
    renderCapture();
    $("detail").querySelector(`#body .segments button[aria-pressed="true"]`)?.focus();
  };
  const view = captures.body[kindOf(capture)];
  const binary = capture.body_encoding === "base64";
  const type = contentType(capture).toLowerCase();
  const file = `/_hookfire/api/captures/${capture.id}/body`;
  const download = (words, query, id) =>
    h("a", { class: "button quiet", id, href: file + query, download: `capture-${capture.id}${query === "" && decoded_size !== null ? "-encoded" : ""}.${extension(type, language)}` }, words);
  const controls = [
    segments("How the body is shown", [["pretty", type.startsWith("multipart/") ? "Parts" : binary ? "Bytes" : "Pretty"], ["raw", "Raw request"]], view, choose),
    binary || !whole || capture.body_size === 0 ? null : h("button", { class: "button quiet", type: "button", onclick: pressed(() => copy(capture.body, "Body copied")) }, "Copy body"),
    capture.body_size === 0 ? null : download(decoded_size === null ? "Download" : "Download as received", "", "download"),
    decoded_size === null ? null : download("Download", "?decoded=1", "download-decoded"),
  ].filter(Boolean);
  let content;
  if (view === "raw") content = [code(raw, "")];
  else if (capture.body_size === 0) content = [h("p", { class: "none" }, "Empty.")];
  else if (type.startsWith("multipart/")) content = [multipart(capture, file)];
  else if (type === "application/x-www-form-urlencoded" && pretty === null && whole) content = [pairs([...new URLSearchParams(capture.body)])];
  else if (binary) content = [code(hexDump(capture.body), ""), h("p", { class: "none" }, "The first kilobyte at most. To save the body in a terminal: ", h("code", {}, `${program} captured show ${capture.id} --body > body.bin`))];
  else content = [pretty === null ? code(capture.body, "") : folded(pretty, language)];
  const remarks = [
    not_decoded === null ? null : `The body is shown as received: ${not_decoded}.`,
    view === "raw" || not_pretty === null ? null : `Not formatted: ${not_pretty}.`,
    (view === "raw" ? raw_whole : pretty === null ? whole : pretty_whole) ? null : "Only the beginning of this large body is shown.",
  ].filter(Boolean);
  content.push(...remarks.map((remark) => h("p", { class: "none remark" }, ...shown(remark))));
  const kind = pretty ? ` of ${language.toUpperCase()}` : "";
  const size = decoded_size === null ? `${bytes(capture.body_size)}${kind}` : `${bytes(decoded_size)}${kind}, ${bytes(capture.body_size)} as received`;
  const section = part("Body", capture.body_size === 0 ? null : size, controls, ...content);
  section.id = "body";
  return section;
}

const EXTENSIONS = { xml: "xml", json: "json", text: "txt", binary: "bin" };
const extension = (type, language) => (type.startsWith("multipart/") ? "multipart" : EXTENSIONS[language]);

const MOST_SPLIT = 16e6;

/** The parts of a multipart body, read from the journal when they are shown. */
function multipart(capture, file) {
  const parts = h("div", { class: "parts" }, h("p", { class: "none" }, "Reading the parts…"));
  const whole = capture.headers.findLast(([name]) => name.toLowerCase() === "content-type")[1];
  const split = async () => {
    if (capture.body_size > MOST_SPLIT) throw new Error(`it is longer than ${bytes(MOST_SPLIT)}`);
    const body = await (await fetch(`${file}?decoded=1`)).arrayBuffer();
    const form = await new Response(body, { headers: { "content-type": whole } }).formData();
    return Promise.all([...form].map(async ([name, value]) => formPart(name, value, await new Response(value).arrayBuffer())));
  };
  split().then(
    (found) => parts.replaceChildren(...found),
    () => parts.replaceChildren(code(capture.body_encoding === "base64" ? hexDump(capture.body) : capture.body, ""), h("p", { class: "none remark" }, "Not split into parts: only complete multipart/form-data can be split.")),
  );
  return parts;
}

function formPart(name, value, buffer) {
  const file = value instanceof File ? value : null;
  const content = new Uint8Array(buffer);
  let text = null;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    // Shown as bytes.
  }
  const save = () => {
    const url = URL.createObjectURL(new Blob([content]));
    h("a", { href: url, download: file?.name || name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const facts = [file?.name, file?.type, bytes(content.length)].filter(Boolean).join(", ");
  return h(
    "section",
    { class: "form-part", "aria-label": `Part ${plain(name)}` },
    h("header", {}, h("h4", {}, ...shown(name)), h("span", { class: "facts" }, ...shown(facts)), h("button", { class: "button quiet", type: "button", "aria-label": `Download ${plain(name)}`, onclick: save }, "Download")),
    content.length === 0 ? h("p", { class: "none" }, "Empty.") : code(text ?? hexDump(btoa(String.fromCharCode(...content.subarray(0, 1024)))), ""),
  );
}

/** Saves whether the shown capture is pinned, and its note. */
async function annotate(changes) {
  const { id, pinned, note } = captures.view.capture;
  await api(`captures/${id}/note`, { method: "PUT", body: { pinned: Boolean(pinned), note: note ?? "", ...changes } });
  await Promise.all([showCapture(id), loadCaptures({ fresh: true })]);
}

async function pin() {
  const pinned = !captures.view.capture.pinned;
  await annotate({ pinned });
  $("pin")?.focus();
  say(pinned ? "Pinned: it is kept when the bin has more captures than --keep" : "Unpinned");
}

function editNote() {
  const note = h("textarea", { class: "control", id: "note-text", rows: "4", maxlength: "2000" });
  note.value = captures.view.capture.note ?? "";
  ask(`Note on #${captures.view.capture.id}`, "Save", [h("label", { class: "stack" }, "Note", note)], () => annotate({ note: note.value }));
}

/** The differences of two captures besides their bodies, as listed: method, path, query and headers. */
function requestDifferences(a, b) {
  const fields = (capture) => {
    const all = new Map([["method", [capture.method]], ["path", [capture.path]]]);
    const add = (name, value) => all.set(name, [...(all.get(name) ?? []), value]);
    capture.query.forEach(([name, value]) => add(`query ${name}`, value));
    capture.headers.forEach(([name, value]) => add(`header ${name.toLowerCase()}`, value));
    return all;
  };
  const [left, right] = [fields(a), fields(b)];
  const words = (values) => values?.join(", ") ?? null;
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((path) => ({ path, a: words(left.get(path)), b: words(right.get(path)) }))
    .filter((difference) => difference.a !== difference.b);
}

function differenceTable(differences, a, b) {
  const cell = (value) => h("td", {}, value === null ? h("span", { class: "absent" }, "absent") : shown(value));
  return h(
    "div",
    { class: "differences", tabindex: "0" },
    h("table", {}, h("tr", {}, ...["Where", `#${a}`, `#${b}`].map((title) => h("th", { scope: "col" }, title))), ...differences.map((one) => h("tr", {}, h("th", { scope: "row" }, ...shown(one.path)), cell(one.a), cell(one.b)))),
  );
}

/** Shows how two captures differ. Without `other`, the older neighbour is preselected. */
function compareCaptures(id, other = null) {
  const others = captureList.items.filter((item) => item.id !== id);
  if (others.length === 0) return say("There is no other capture in the list.");
  const option = (item) => h("option", { value: item.id }, `#${item.id} ${plain(item.method || "?")} ${plain(item.path || "")}`.slice(0, 80));
  const select = h("select", { class: "control", id: "compare-with" }, ...others.map(option));
  select.value = other ?? (others.find((item) => item.id < id) ?? others[0]).id;
  const result = h("div", { class: "compared", role: "status" });
  const compare = async () => {
    const with_ = Number(select.value);
    const [one, two, bodies] = await Promise.all([api(`captures/${id}`), api(`captures/${with_}`), api(`captures/${id}/diff/${with_}`)]);
    const request = requestDifferences(one.capture, two.capture);
    const verdict = bodies.kind === null ? "The bodies are equal, byte by byte." : bodies.differences.length === 0 ? "The bodies are equivalent: only their bytes differ." : `The bodies differ in ${plural(bodies.differences.length, "place", "places")}${bodies.truncated ? " or more" : ""}.`;
    result.replaceChildren(
      h("h3", {}, verdict),
      bodies.differences.length > 0 ? differenceTable(bodies.differences, id, with_) : "",
      h("h3", {}, request.length === 0 ? "Method, path, query and headers are equal." : "Method, path, query and headers:"),
      request.length > 0 ? differenceTable(request, id, with_) : "",
      one.hidden || two.hidden ? h("p", { class: "hint" }, "Hidden values are not compared.") : "",
    );
  };
  const run = () => compare().catch((error) => result.replaceChildren(...refusalNodes(error)));
  select.addEventListener("change", run);
  run();
  open(`Compare #${id}`, h("label", { class: "stack" }, "With", select), result, h("div", { class: "buttons" }, h("button", { class: "button", type: "button", onclick: () => $("dialog").close("") }, "Close")));
  $("dialog").className = "wide";
}

async function copyCurl(id) {
  const text = await api(`captures/${id}/curl${captures.reveal ? "?reveal=1" : ""}`);
  await copy(text, captures.view?.hidden && !captures.reveal ? "Copied as curl without secret values" : "Copied as curl");
}

async function deleteCapture(id) {
  if (!(await confirmed(`Delete capture #${id}?`, "This cannot be undone.", "Delete"))) return;
  const next = captureList.neighbour(id);
  await whileDeleting(captures, () => api(`captures/${id}`, { method: "DELETE" }));
  captureList.show(captureList.items.filter((item) => item.id !== id));
  captures.capture = null;
  showCapturesFoot();
  if (next === null || narrow.matches) {
    captureList.forget();
    go("captures", null);
  } else captureList.choose(next);
  $("list").focus();
  say(`Deleted #${id}`);
  loadBins().catch(complain);
}

function sendAgain(capture, carried) {
  const url = h("input", { class: "control", id: "send-to", type: "url", required: true, placeholder: "https://staging.example.com/hook", spellcheck: "false", autocomplete: "off" });
  url.value = localStorage.getItem("hookfire.send-to") || "";
  const credentials = h("input", { type: "checkbox", id: "send-credentials" });
  const result = h("div", { class: "result", role: "status", hidden: true });
  const send = h("button", { class: "button primary", type: "submit" }, "Send");
  const form = h(
    "form",
    { method: "dialog" },
    h("p", {}, "Sends the captured method, headers and body. A URL without a path gets the captured path."),
    h("label", { class: "stack" }, "To", url),
    carried.length > 0 ? h("label", { class: "check" }, credentials, h("span", {}, "Also send the captured ", ...shown(new Intl.ListFormat("en").format(carried)), " to another host")) : null,
    result,
    h("div", { class: "buttons" }, h("button", { class: "button", type: "button", onclick: () => $("dialog").close("") }, "Close"), send),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    result.hidden = false;
    result.replaceChildren("Sending…");
    try {
      const sent = await api(`captures/${capture.id}/replay`, { method: "POST", body: { url: url.value, send_credentials: credentials.checked } });
      // Without the path, which may be secret: another program may use this origin later.
      if (sent.result) localStorage.setItem("hookfire.send-to", new URL(url.value).origin);
      result.replaceChildren(...replayResult(sent));
    } catch (error) {
      result.replaceChildren(...refusalNodes(error));
    } finally {
      send.disabled = false;
      send.textContent = "Send again";
    }
  });
  open(`Send capture #${capture.id} again`, form);
}

const refusalNodes = (error) => [
  h("p", { class: "status bad" }, ...shown(error.message)),
  ...(error.hints || []).map((hint) => h("p", { class: "hint" }, ...shown(withProgram(hint)))),
];

function replayResult({ result, error }) {
  if (!result) return refusalNodes(error || new Refusal("Nothing was sent."));
  const words = result.error ? result.error.message : `status ${result.http_status}`;
  const remarks = [result.maybe_received ? "The endpoint may have received it." : null, result.note];
  const text = result.response_body_encoding === "base64" ? hexDump(result.response_body) : result.response_body || "";
  return [
    h("p", {}, h("span", { class: `status ${result.error ? "bad" : tone(result.http_status)}` }, ...shown(words)), ` after ${millis(result.duration_ms)}`),
    h("p", { class: "hint" }, ...shown(result.url)),
    ...remarks.filter(Boolean).map((remark) => h("p", { class: "hint" }, ...shown(remark))),
    ...(text ? [h("pre", { tabindex: "0" }, ...shown(text.slice(0, 20000)))] : []),
  ];
}
