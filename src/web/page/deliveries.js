
// ------------------------------------------------------------------------------------------------------ deliveries

const deliveries = { list: "failed", failed: 0, query: null, more: null, delivery: null, view: null, hours: 24, running: null };

const STATUS_TONE = { delivered: "good", failed: "bad", interrupted: "warn", pending: "", ignored: "" };
const inFailedList = (delivery) => delivery.status === "failed" || delivery.status === "interrupted";

const isScheduled = (delivery) => delivery.status === "pending" && delivery.next_attempt_at !== null;
/** `application.created`; if nothing names the payload, its method and the capture that it forwards. */
function deliveryName({ type, action, method, capture_id }) {
  if (type !== null) return action === null ? type : `${type}.${action}`;
  return capture_id === null ? method : `${method} capture #${capture_id}`;
}
/** The endpoint's name and its URL, without the scheme. */
const destination = ({ endpoint, url }) => (endpoint ? `${endpoint}: ` : "") + url.replace(/^https?:\/\//, "");

const deliveryList = new Picker($("delivery-list"), {
  row: (delivery) => [
    h("span", { class: "event" }, ...shown(deliveryName(delivery))),
    h("span", { class: "right" }, h("span", { class: `badge ${STATUS_TONE[delivery.status]}` }, delivery.status)),
    h("span", { class: "second" }, ...shown(destination(delivery))),
    h("span", { class: "right" }, h("span", { class: "id" }, `#${delivery.id} · `), when(delivery.finished_at || delivery.created_at)),
    delivery.last_error && delivery.status !== "delivered"
      ? h("span", { class: "second third" }, ...shown(delivery.last_error.message), isScheduled(delivery) ? `, next attempt at ${new Date(delivery.next_attempt_at).toLocaleTimeString()}` : null)
      : null,
  ],
  chosen: (id, how) => go("deliveries", id, how),
});

const loadDeliveries = latest(async (signal, { more = false } = {}) => {
  const filter = $("delivery-filter").value.trim();
  const query = `deliveries?${new URLSearchParams({ list: deliveries.list, limit: String(PAGE), q: filter })}`;
  // The list of another filter is not continued.
  if (deliveries.query !== query) more = false;
  let items = more ? deliveryList.items : [];
  let rest = more ? deliveries.more : null;
  const wanted = items.length + PAGE;
  do {
    const found = await api(rest === null ? query : `${query}&before=${encodeURIComponent(rest)}`, { signal });
    items = items.concat(found.deliveries);
    rest = found.more;
    showCounts(found);
  } while (filter !== "" && rest !== null && items.length < wanted);
  Object.assign(deliveries, { query, more: rest });
  deliveryList.show(items.slice(0, MOST_ROWS));
  showDeliveriesFoot();
  watchDeliveriesEnd();
  showDeliveryStart();
});

const watchDeliveriesEnd = whenInView($("delivery-foot"), () => $("more-deliveries")?.click());

function showCounts({ failed, scheduled }) {
  $("failed-count").textContent = failed.toLocaleString();
  $("failed-count").hidden = failed === 0;
  $("failed-count").setAttribute("aria-label", `${failed} failed`);
  $("scheduled-count").textContent = scheduled === 0 ? "" : ` ${scheduled.toLocaleString()}`;
  deliveries.failed = failed;
  showTitle();
  $("retry-all").disabled = $("delete-all").disabled = failed === 0 || deliveries.running !== null;
}

const NO_DELIVERIES = { failed: "No failed deliveries.", scheduled: "No scheduled deliveries.", all: "No deliveries yet." };

function showDeliveriesFoot() {
  const foot = $("delivery-foot");
  if (deliveries.more && deliveryList.items.length < MOST_ROWS) {
    foot.replaceChildren(h("button", { class: "button", type: "button", id: "more-deliveries", onclick: pressed(() => loadDeliveries({ more: true })) }, "Load older"));
  } else if (deliveryList.items.length === 0) foot.replaceChildren($("delivery-filter").value.trim() ? "No deliveries match." : NO_DELIVERIES[deliveries.list]);
  else foot.replaceChildren(plural(deliveryList.items.length, "delivery", "deliveries"));
}

function showDeliveryStart() {
  if (deliveries.delivery !== null || $("deliveries").hidden) return;
  if (deliveryList.items.length > 0) {
    if (!narrow.matches) return go("deliveries", deliveryList.items[0].id, { quiet: true });
    fillDetail($("delivery"), "none", [h("div", { class: "blank" }, h("p", {}, "Select a delivery."))]);
    return;
  }
  if ($("delivery-filter").value.trim()) return fillDetail($("delivery"), "none", [h("div", { class: "blank" }, h("p", {}, "No deliveries match."))]);
  const explained = {
    failed: "Failed deliveries are listed here until they are retried or deleted.",
    scheduled: "Deliveries that wait for their next attempt are listed here. `hookfire retry --due` makes the attempts.",
    all: "Every payload is recorded here before it is sent.",
  };
  fillDetail($("delivery"), "start", [
    h(
      "div",
      { class: "blank" },
      flame(),
      h("h2", {}, NO_DELIVERIES[deliveries.list].slice(0, -1)),
      h("p", {}, explained[deliveries.list]),
      h("div", { class: "try" }, h("h3", {}, "Fire one"), command(`${program} fire application created --url https://staging.example.com/hook`)),
    ),
  ]);
}

const showDelivery = latest(async (signal, id, how = {}) => {
  deliveries.delivery = id;
  deliveryList.selected = id;
  deliveryList.mark();
  try {
    const view = await api(`deliveries/${id}`, { signal });
    if (!isSame($("delivery"), `delivery ${id}`, deliveries.view, view)) {
      deliveries.view = view;
      renderDelivery();
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    deliveries.view = null;
    fillDetail($("delivery"), `gone ${id}`, [backButton("deliveries"), h("div", { class: "blank" }, h("h2", {}, `#${id}`), h("p", {}, error.message))]);
    return;
  }
  if (how.focus) $("delivery").querySelector("h2")?.focus();
});

function renderDelivery() {
  const { delivery, pretty } = deliveries.view;
  const { id, attempts } = delivery;
  fillDetail($("delivery"), `delivery ${id}`, [
    backButton("deliveries"),
    h(
      "div",
      { class: "head" },
      h(
        "div",
        { class: "what" },
        h("h2", { tabindex: "-1", title: plain(deliveryName(delivery)) }, ...shown(deliveryName(delivery)), " ", h("span", { class: `badge ${STATUS_TONE[delivery.status]}` }, delivery.status)),
        h(
          "p",
          { class: "facts" },
          h("span", {}, `#${id}`),
          delivery.endpoint ? h("span", {}, "to ", ...shown(delivery.endpoint)) : null,
          delivery.capture_id
            ? h("span", {}, "forwards ", h("a", { href: `#/captures/${delivery.capture_id}` }, `capture #${delivery.capture_id}`), delivery.in_order ? " in order" : "")
            : null,
          h("span", {}, plural(delivery.attempt_count, "attempt", "attempts")),
          h("span", {}, `accepted ${clock(delivery.created_at)}`),
          delivery.next_attempt_at ? h("span", {}, `next attempt ${clock(delivery.next_attempt_at)}`) : null,
        ),
      ),
      inFailedList(delivery)
        ? h(
            "div",
            { class: "actions" },
            h("button", { class: "button primary", type: "button", id: "retry", "data-changes": true, onclick: pressed(() => retryOne(id)) }, "Retry"),
            h("button", { class: "button danger", type: "button", id: "delete-delivery", "data-changes": true, onclick: pressed(() => deleteDelivery(delivery)) }, "Delete"),
          )
        : isScheduled(delivery)
          ? h(
              "div",
              { class: "actions" },
              h("button", { class: "button primary", type: "button", id: "retry-now", "data-changes": true, onclick: pressed(() => retryOne(id, true)) }, "Retry now"),
              h("button", { class: "button", type: "button", id: "cancel-delivery", "data-changes": true, onclick: pressed(() => cancelDelivery(delivery)) }, "Cancel"),
            )
          : null,
    ),
    h("div", { class: "exchange mono" }, h("p", {}, h("b", {}, ...shown(delivery.method)), " ", ...shown(delivery.url))),
    part("Attempts", attempts.length, [], attempts.length ? h("ol", { class: "timeline" }, ...attempts.map(attemptItem)) : h("p", { class: "none" }, delivery.ignored_by ? `Not sent: disabled by the switch ${delivery.ignored_by}.` : "None yet.")),
    payloadPart(delivery, pretty),
    part("Identity", null, [], pairs([["webhook-id", delivery.uuid], ["in a terminal", `${program} journal show ${id}`]])),
  ].filter(Boolean));
}

/** The event, or the body of another payload. */
function payloadPart(delivery, pretty) {
  const isEvent = delivery.event !== undefined;
  const [title, text] = isEvent ? ["Event", delivery.event] : ["Body", delivery.body];
  const language = isEvent ? "xml" : "json";
  const size = pretty === null ? null : bytes(pretty.length);
  if (delivery.body_encoding === "base64") {
    const note = h("p", { class: "none" }, "The first kilobyte at most. To save the body in a terminal: ", h("code", {}, `${program} journal show ${delivery.id} --body > body.bin`));
    return part(title, delivery.content_type, [], code(hexDump(text), ""), note);
  }
  const copyButton = h("button", { class: "button quiet", type: "button", onclick: pressed(() => copy(text, `${title} copied`)) }, `Copy ${title.toLowerCase()}`);
  return part(title, isEvent ? size : delivery.content_type, [copyButton], pretty === null ? code(text, isEvent ? "xml" : "") : folded(pretty, language));
}

function attemptItem(attempt) {
  const good = attempt.error === null && attempt.http_status !== null;
  const words = attempt.error ? attempt.error.message : attempt.http_status !== null ? `${attempt.http_status}` : "under way";
  const remarks = [
    attempt.maybe_received ? "the endpoint may have received it" : null,
    attempt.note,
    attempt.sent_to ? `sent to ${attempt.sent_to}` : null,
    attempt.insecure ? "certificates were not checked" : null,
  ].filter(Boolean);
  return h(
    "li",
    { class: good ? "good" : attempt.error ? "bad" : "" },
    h(
      "div",
      { class: "line" },
      h("span", { class: `words status ${good ? "good" : attempt.error ? "bad" : ""}` }, h("span", { class: "sr" }, `Attempt ${attempt.number}: `), ...shown(words)),
      h("span", { class: "when" }, `${clock(attempt.started_at)}${attempt.duration_ms === null ? "" : `, ${millis(attempt.duration_ms)}`}`),
    ),
    ...remarks.map((remark) => h("p", { class: "remark" }, ...shown(remark))),
    attempt.response_headers?.length
      ? h("details", {}, h("summary", {}, `Response headers, ${attempt.response_headers.length}`), pairs(attempt.response_headers))
      : null,
    attempt.response_body
      ? h("details", {}, h("summary", {}, `Response, ${bytes(new Blob([attempt.response_body]).size)}`), h("pre", {}, ...shown(attempt.response_body.slice(0, 65536))))
      : null,
  );
}

async function retryOne(id, scheduled = false) {
  const { results, error } = await api("deliveries/retry", { method: "POST", body: { ids: [id], scheduled } });
  const delivery = results.find((result) => result.id === id);
  if (delivery?.next_attempt_at) say(`#${id} was not delivered: ${plain(delivery.last_error?.message ?? "")}. Next attempt ${clock(delivery.next_attempt_at)}`);
  else if (delivery) say(delivery.status === "delivered" ? `#${id} delivered` : `#${id} ${delivery.status}: ${plain(delivery.last_error?.message ?? "")}`);
  else if (error) say(plain(error.message), error.hints);
  else say(`#${id} was not sent`);
  await Promise.all([showDelivery(id), loadDeliveries(), loadOutcomes()]);
}

/** Moves a scheduled delivery to the failed list. */
async function cancelDelivery({ id, attempt_count: attempts }) {
  const { cancelled } = await api("deliveries/cancel", { method: "POST", body: { seen: [{ id, attempts }] } });
  say(cancelled ? `#${id} is in the failed list now` : `#${id} was sent meanwhile`);
  await Promise.all([showDelivery(id), loadDeliveries(), loadOutcomes()]);
}

async function deleteDelivery(delivery) {
  const { id, attempt_count: attempts } = delivery;
  if (!(await confirmed(`Delete delivery #${id}?`, "This deletes the event and its attempts and cannot be undone.", "Delete"))) return;
  const next = deliveryList.neighbour(id);
  const { deleted } = await whileDeleting(deliveries, () => api("deliveries/delete", { method: "POST", body: { seen: [{ id, attempts }] } }));
  say(deleted ? `Deleted #${id}` : `#${id} was retried meanwhile and is kept`);
  if (deleted) {
    deliveries.delivery = null;
    deliveryList.show(deliveryList.items.filter((item) => item.id !== id));
    if (next === null || narrow.matches) {
      deliveryList.forget();
      go("deliveries", null);
    } else deliveryList.choose(next);
  }
  $("delivery-list").focus();
  await Promise.all([loadDeliveries(), loadOutcomes()]);
}

/** All failed deliveries, oldest first. Bulk actions keep to this snapshot. */
async function wholeFailedList() {
  const seen = [];
  let before = null;
  do {
    const query = new URLSearchParams({ list: "failed", limit: "500" });
    if (before) query.set("before", before);
    const found = await api(`deliveries?${query}`);
    seen.push(...found.deliveries.map(({ id, attempt_count: attempts }) => ({ id, attempts })));
    before = found.more;
  } while (before);
  return seen.reverse();
}

const AT_ONCE = 5;

async function retryAll() {
  const seen = await wholeFailedList();
  if (seen.length === 0) return say("No failed deliveries.");
  if (!(await confirmed(`Retry ${plural(seen.length, "failed delivery", "failed deliveries")}?`, "Each is sent once more, oldest first. Delivered ones leave the list.", "Retry all", "primary"))) return;
  const button = $("retry-all");
  const run = { stop: false };
  deliveries.running = run;
  button.textContent = "Stop";
  button.onclick = () => (run.stop = true);
  button.disabled = false;
  $("delete-all").disabled = true;
  let [done, delivered, words] = [0, 0, ""];
  try {
    for (; done < seen.length && !run.stop; ) {
      const batch = seen.slice(done, done + AT_ONCE);
      const { results, error } = await api("deliveries/retry", { method: "POST", body: { ids: batch.map(({ id }) => id) } });
      done += batch.length;
      delivered += results.filter((result) => result.status === "delivered").length;
      say(`Retrying: ${done.toLocaleString()} of ${seen.length.toLocaleString()}, ${delivered.toLocaleString()} delivered`);
      if (results.length > 0 && results.every((result) => result.status !== "delivered" && result.last_error && result.last_error.http_status === null)) {
        words = ", stopped because the endpoint does not respond";
        break;
      }
      if (results.length === 0 && error) {
        words = `, stopped: ${plain(error.message)}`;
        break;
      }
    }
  } finally {
    deliveries.running = null;
    button.textContent = "Retry all…";
    button.onclick = null;
  }
  say(`${plural(delivered, "delivery", "deliveries")} of ${seen.length.toLocaleString()} delivered${words}`);
  await Promise.all([loadDeliveries(), loadOutcomes(), deliveries.delivery === null ? null : showDelivery(deliveries.delivery)]);
}

async function deleteAll() {
  const seen = await wholeFailedList();
  if (seen.length === 0) return say("No failed deliveries.");
  const many = plural(seen.length, "failed delivery", "failed deliveries");
  if (!(await confirmed(`Delete ${many}?`, "This deletes the events and their attempts and cannot be undone.", `Delete ${many}`))) return;
  let deleted = 0;
  for (let at = 0; at < seen.length; at += 500) {
    deleted += (await api("deliveries/delete", { method: "POST", body: { seen: seen.slice(at, at + 500) } })).deleted;
  }
  deliveries.delivery = null;
  deliveryList.show([]);
  deliveryList.forget();
  go("deliveries", null);
  say(`Deleted ${plural(deleted, "delivery", "deliveries")}`);
  await Promise.all([loadDeliveries(), loadOutcomes()]);
}

const RANGES = [[1, "1h", "hour"], [24, "24h", "24 hours"], [168, "7d", "7 days"]];

async function loadOutcomes() {
  drawChart(await api(`outcomes?hours=${deliveries.hours}`));
}

function drawChart({ buckets, from, to, cut }) {
  const total = (name) => buckets.reduce((sum, bucket) => sum + bucket[name], 0);
  const [delivered, failed, open] = ["delivered", "failed", "pending"].map(total);
  const range = RANGES.find(([hours]) => hours === deliveries.hours)[2];
  const most = Math.max(1, ...buckets.map((bucket) => bucket.delivered + bucket.failed + bucket.pending));
  const [height, step] = [60, 10];
  const bars = buckets.flatMap((bucket, n) => {
    let bottom = height;
    return [["good", bucket.delivered], ["bad", bucket.failed], ["open", bucket.pending]].flatMap(([tone, count]) => {
      if (count === 0) return [];
      const tall = Math.max(2, (count / most) * (height - 4));
      bottom -= tall;
      return [svg("rect", { class: tone, x: n * step + 1, y: bottom, width: step - 2, height: tall })];
    });
  });
  const words = `Deliveries accepted in the last ${range}: ${delivered} delivered, ${failed} failed, ${open} pending`;
  const drawing = svg("svg", { viewBox: `0 0 ${buckets.length * step} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words });
  drawing.append(svg("line", { class: "axis", x1: 0, x2: buckets.length * step, y1: height, y2: height }), ...bars);
  const rows = buckets.filter((bucket) => bucket.delivered + bucket.failed + bucket.pending > 0);
  $("chart").replaceChildren(
    h(
      "figcaption",
      {},
      h("span", { class: "key good" }, `${delivered.toLocaleString()} delivered`),
      h("span", { class: "key bad" }, `${failed.toLocaleString()} failed`),
      open > 0 ? h("span", { class: "key" }, `${open.toLocaleString()} pending`) : "",
      segments("Time shown", RANGES.map(([hours, label]) => [hours, label]), deliveries.hours, (hours) => {
        deliveries.hours = hours;
        loadOutcomes().then(() => $("chart").querySelector('[aria-pressed="true"]').focus()).catch(complain);
      }),
    ),
    drawing,
    h("div", { class: "ends", "aria-hidden": "true" }, ...[from, new Date((new Date(from).getTime() + new Date(to).getTime()) / 2)].map((time) => h("span", {}, ...shown(axisLabel(time)))), h("span", {}, "now")),
    cut ? h("p", { class: "cut" }, "Only the newest 20,000 deliveries are counted.") : "",
    // Inside a div, because a table ignores the size that hides it.
    h(
      "div",
      { class: "sr" },
      h(
        "table",
        {},
        h("caption", {}, words),
        h("tr", {}, ...["From", "Delivered", "Failed", "Pending"].map((title) => h("th", { scope: "col" }, title))),
        ...rows.map((row) => h("tr", {}, h("th", { scope: "row" }, clock(row.start)), ...[row.delivered, row.failed, row.pending].map((n) => h("td", {}, String(n))))),
      ),
    ),
  );
}

const AXIS_LABELS = {
  1: { timeStyle: "short" },
  24: { weekday: "short", hour: "numeric", minute: "2-digit" },
  168: { weekday: "short", month: "short", day: "numeric" },
};
const axisLabel = (time) => new Date(time).toLocaleString(undefined, AXIS_LABELS[deliveries.hours]);
