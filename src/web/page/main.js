
// --------------------------------------------------------------------------------------------- navigation and keys

/** Shows a tab and an item through the URL, so that reloads, links and the back button work. */
function go(tab, id, how = {}) {
  const address = `#/${tab}${id === null ? "" : `/${id}`}`;
  if (location.hash !== address) {
    if (narrow.matches && !how.quiet) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }
  arrive(how);
}

function place() {
  const [, tab, id] = location.hash.match(/^#\/(captures|deliveries)(?:\/(\d+))?$/) || [];
  return { tab: tab || "captures", id: id ? Number(id) : null };
}

/** Counts in the title; in front, captures that arrived while the page was hidden. */
function showTitle() {
  const unseen = captures.arrived > 0 ? `(${captures.arrived.toLocaleString()}) ` : "";
  const count = place().tab === "captures" ? plural(captures.total, "capture", "captures") : `${deliveries.failed.toLocaleString()} failed`;
  document.title = `${unseen}${count} · hookfire`;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  captures.arrived = 0;
  showTitle();
});

const KEYS = [
  ["↑ ↓", "Select the previous or next row"],
  ["Enter", "Go to the details"],
  ["/", "Search"],
  ["Esc", "Back to the list"],
  ["f", "Follow: select each new capture"],
  ["c", "Compare the capture with another; also a click with Shift"],
  ["p", "Pin or unpin the capture"],
  ["?", "This list"],
];

function showKeys() {
  const keys = KEYS.filter(([key]) => !(readOnly && key === "p"));
  const rows = keys.map(([keys, words]) => h("div", {}, h("dt", {}, ...keys.split(" ").flatMap((key) => [h("kbd", {}, key), " "])), h("dd", {}, words)));
  open("Keyboard shortcuts", h("dl", { class: "shortcuts" }, ...rows), h("div", { class: "buttons" }, h("button", { class: "button", type: "button", autofocus: true, onclick: () => $("dialog").close("") }, "Close")));
}

/** What a single letter does. */
function shortcut(key) {
  if (key === "?") return showKeys();
  if (place().tab !== "captures") return;
  if (key === "f") follow(!captures.follow);
  else if (key === "c" && captures.capture !== null) compareCaptures(captures.capture);
  else if (key === "p" && !readOnly && captures.view !== null) pin().catch(complain);
}

function arrive(how = {}) {
  const { tab, id } = place();
  for (const name of ["captures", "deliveries"]) {
    const here = name === tab;
    const button = $(`tab-${name}`);
    const changed = here && $(name).hidden;
    button.setAttribute("aria-selected", String(here));
    button.tabIndex = here ? 0 : -1;
    $(name).hidden = !here;
    $(name).classList.toggle("open", here && id !== null);
    if (changed && name === "deliveries") Promise.all([loadDeliveries(), loadOutcomes()]).catch(complain);
  }
  showTitle();
  if (tab === "captures") {
    if (id !== null) {
      if (id !== captures.capture || how.focus || how.open) showCapture(id, how);
    } else {
      captures.capture = null;
      captureList.forget();
      showStart();
    }
  } else if (id !== null) {
    if (id !== deliveries.delivery || how.focus || how.open) showDelivery(id, how);
  } else {
    deliveries.delivery = null;
    deliveryList.forget();
    showDeliveryStart();
  }
}

const picker = () => (place().tab === "captures" ? captureList : deliveryList);

for (const name of ["captures", "deliveries"]) {
  const selected = () => (name === "captures" ? captures.capture : deliveries.delivery);
  $(`tab-${name}`).addEventListener("click", () => go(name, narrow.matches ? null : selected()));
  $(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = $(name === "captures" ? "tab-deliveries" : "tab-captures");
    other.click();
    other.focus();
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog").open) return;
  const writing = event.target.closest?.("input, select, textarea, [role=tablist], pre, .code");
  if (event.key === "Escape" && !event.target.matches?.("[type=search]")) {
    if (narrow.matches) go(place().tab, null);
    picker().list.focus();
  } else if (writing) return;
  else if (event.key === "/") {
    const { tab } = place();
    if (narrow.matches) go(tab, null);
    const box = $(tab === "captures" ? "filter" : "delivery-filter");
    box.focus();
    box.select();
    event.preventDefault();
  } else if (["?", "f", "c", "p"].includes(event.key)) {
    shortcut(event.key);
    event.preventDefault();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    picker().list.focus();
    picker().move(event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  }
});

/** A search box above a list: `search` runs while the user types. */
function searchBox(box, list, search) {
  let timer;
  const start = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(() => search().catch(complain), pause);
  };
  box.addEventListener("input", () => start(120));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (box.value !== "") {
        box.value = "";
        start(0);
      }
      list.list.focus();
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      list.list.focus();
      if (list.items.length > 0) list.choose(list.items[0].id);
      event.preventDefault();
    }
  });
}

async function refilter() {
  hideNews();
  await loadCaptures();
  $("list").parentElement.scrollTop = 0;
  if ($("filter").value.trim() !== "") $("announce").textContent = `${plural(captureList.items.length, "capture", "captures")}${captures.more !== null ? " or more" : ""} shown`;
}

searchBox($("filter"), captureList, refilter);
searchBox($("delivery-filter"), deliveryList, async () => {
  await loadDeliveries();
  $("delivery-list").parentElement.scrollTop = 0;
  if ($("delivery-filter").value.trim() !== "") $("announce").textContent = `${plural(deliveryList.items.length, "delivery", "deliveries")}${deliveries.more !== null ? " or more" : ""} shown`;
});

$("bin").addEventListener("change", () => selectBin($("bin").value));
$("new-bin").addEventListener("click", () => newBin());
$("response").addEventListener("click", () => editResponse().catch(complain));
$("follow").addEventListener("click", () => follow(!captures.follow));
$("help").addEventListener("click", () => showKeys());
$("copy-url").addEventListener("click", pressed(() => copy(binUrl(captures.bin), `Copied ${binUrl(captures.bin)}`)));
$("clear").addEventListener("click", pressed(clearBin));
$("retry-all").addEventListener("click", () => {
  if (deliveries.running === null) retryAll().catch(complain);
});
$("delete-all").addEventListener("click", pressed(deleteAll));
for (const button of $("which").children) {
  button.addEventListener("click", () => {
    deliveries.list = button.dataset.list;
    for (const other of $("which").children) other.setAttribute("aria-pressed", String(other === button));
    $("bulk").hidden = deliveries.list !== "failed";
    deliveries.delivery = null;
    deliveryList.forget();
    history.replaceState(null, "", "#/deliveries");
    loadDeliveries().catch(complain);
  });
}
addEventListener("hashchange", () => arrive());
addEventListener("popstate", () => arrive());

// ------------------------------------------------------------------------------------------------------------ live

function live(state, words) {
  $("live").className = `live ${state}`;
  if ($("live").textContent !== words) $("live").textContent = words;
}

/** Runs at most once in `pause` milliseconds, and once more if it was called meanwhile. */
function paced(pause, run) {
  let [timer, again] = [null, false];
  const start = async () => {
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        start();
      }
    }, pause);
    try {
      await run();
    } catch (error) {
      complain(error);
    }
  };
  return () => (timer === null ? start() : (again = true));
}

const refreshBins = paced(1000, loadBins);
const refreshDeliveries = paced(1000, async () => {
  const { tab, id } = place();
  const reading = deliveryList.items.length > PAGE;
  if (tab === "deliveries" && deliveries.running === null && !reading) {
    await Promise.all([loadDeliveries(), loadOutcomes()]);
    if (id !== null && id === deliveries.delivery && !deliveries.deleting) await showDelivery(id);
  } else showCounts(await api("deliveries?list=failed&limit=1"));
});

const announce = paced(5000, () => {
  if (captures.unsaid === 0) return;
  $("announce").textContent = captures.unsaid === 1 ? "A new capture" : `${captures.unsaid} new captures`;
  captures.unsaid = 0;
});
captures.unsaid = 0;

const refreshCaptures = paced(250, async () => {
  // The list does not move while the user has scrolled down.
  if (captures.follow && captures.unseen > 0) $("list").parentElement.scrollTop = 0;
  captures.behind = $("list").parentElement.scrollTop > 120;
  if (captures.behind) {
    if (captures.unseen > 0) showNews();
  } else {
    hideNews();
    await loadCaptures({ fresh: true });
    announce();
    const newest = captureList.items[0]?.id;
    if (captures.follow && newest !== captures.capture && !narrow.matches && !$("dialog").open) captureList.choose(newest, { follow: true });
  }
  await refreshShown();
});

/** How long after a request a command may begin to run for it. */
const RUN_WAIT_MS = 60_000;

/** Whether a command may run for the shown capture, or runs. */
const awaitsRun = ({ capture, runs }) =>
  runs.length === 0 ? Date.now() - Date.parse(capture.received_at) < RUN_WAIT_MS : runs.some((run) => run.duration_ms === null);

/** Fetches the shown capture again if it was deleted, got its response or a reason for its signature, or may have got a run. */
async function refreshShown() {
  const { capture, view } = captures;
  if (capture === null || captures.deleting) return;
  const row = captureList.items.find(({ id }) => id === capture);
  const known = view?.capture.id === capture ? view.capture : null;
  const isForwarding = known !== null && view.forwards.some(({ status }) => status === "pending");
  const isOpen = known === null || known.response.status === null || isForwarding || awaitsRun(view);
  const differs = (key) => JSON.stringify(row[key]) !== JSON.stringify(known[key]);
  if (isOpen || !row || differs("response") || differs("signature") || row.forwarded !== forwardedOf(view.forwards)) await showCapture(capture);
}

$("list").parentElement.addEventListener("scroll", () => {
  if (captures.behind && $("list").parentElement.scrollTop <= 120) refreshCaptures();
});

function showNews() {
  $("news").textContent = plural(captures.unseen, "new capture", "new captures");
  $("news").hidden = false;
}

function hideNews() {
  captures.unseen = 0;
  $("news").hidden = true;
}

$("news").addEventListener("click", () => {
  $("list").parentElement.scrollTop = 0;
  refreshCaptures();
  $("list").focus();
});

function watch() {
  const events = new EventSource("/_hookfire/events");
  events.addEventListener("hello", () => {
    live("on", "Live");
    $("asking").hidden = true;
    reloadIfRestarted().catch(complain);
    refreshBins();
    refreshCaptures();
    refreshDeliveries();
  });
  events.addEventListener("capture", (event) => {
    const { bin } = JSON.parse(event.data);
    refreshBins();
    if (captures.bin && bin !== captures.bin) return;
    captures.unseen += 1;
    captures.unsaid += 1;
    if (document.hidden) captures.arrived += 1;
    refreshCaptures();
  });
  events.addEventListener("lagged", () => {
    refreshBins();
    refreshCaptures();
  });
  // By another listener on the same journal, or by a command.
  events.addEventListener("changed", () => {
    refreshBins();
    refreshCaptures();
    refreshDeliveries();
  });
  events.addEventListener("error", () => {
    live("off", $("asking").hidden ? "Reconnecting…" : "Waiting for the token");
    if (events.readyState !== EventSource.CLOSED) return;
    // Browsers give up when a stream is refused.
    askForToken();
    setTimeout(watch, 2000);
  });
}

/** A listener that requires a token has a new one each time it starts. */
async function askForToken() {
  const response = await fetch("/_hookfire/api/instance").catch(() => null);
  const asked = response !== null && response.status === 401;
  if (asked) live("off", "Waiting for the token");
  if (asked && $("asking").hidden) $("asked-token").value = "";
  $("asking").hidden = !asked;
}

$("asking").addEventListener("submit", async (event) => {
  event.preventDefault();
  const parameters = new URLSearchParams({ token: $("asked-token").value.trim() });
  const response = await fetch("/_hookfire/api/instance?" + parameters).catch(() => null);
  if (response === null || !response.ok) return say(response?.status === 401 ? "Wrong token." : "hookfire does not respond.");
  if (captures.bin) parameters.set("bin", captures.bin);
  location.assign("/_hookfire/?" + parameters + location.hash);
});

async function start() {
  const address = new URL(location.href);
  if (address.searchParams.has("token") && address.pathname.startsWith("/_hookfire/")) {
    // The cookie replaces it, and the URL can be shown and stored.
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  await Promise.all([reloadIfRestarted(), loadBins()]);
  const first = decodeURIComponent(location.pathname.split("/")[1] || "");
  const asked = first === "_hookfire" || first === "" ? new URLSearchParams(location.search).get("bin") : first;
  if (asked && captures.bins.some((bin) => bin.name === asked)) captures.bin = $("bin").value = asked;
  arrive();
  await loadCaptures();
  watch();
}

start().catch((error) => {
  live("off", "Not connected");
  complain(error);
});
