
// ------------------------------------------------------------------------------------------------------------ bins

const binUrl = (name) => {
  const home = captures.bins.find((bin) => bin.default)?.name;
  return `${location.origin}/${!name || name === home ? "" : encodeURIComponent(name)}`;
};

async function loadBins() {
  const { bins, newest } = await api("bins");
  captures.bins = bins;
  captures.newestCounted = newest;
  const select = $("bin");
  const total = bins.reduce((sum, bin) => sum + bin.request_count, 0);
  const options = [["", `All bins (${total.toLocaleString()})`], ...bins.map((bin) => [bin.name, `${bin.name} (${bin.request_count.toLocaleString()})${bin.response ? ` → ${bin.response.status}` : ""}`])];
  if (JSON.stringify(options) !== select.dataset.options) {
    select.dataset.options = JSON.stringify(options);
    select.replaceChildren(...options.map(([value, words]) => h("option", { value }, words)));
    select.value = captures.bin;
  }
  $("captures-count").textContent = total.toLocaleString();
  $("captures-count").hidden = total === 0;
  captures.total = total;
  showTitle();
}

async function clearBin() {
  await loadBins();
  // Captures that arrive while the dialog is open are kept.
  const until = captures.newestCounted;
  const bins = captures.bin ? [captures.bin] : captures.bins.map((bin) => bin.name);
  const where = captures.bin ? `bin ${captures.bin}` : bins.length === 1 ? `bin ${bins[0]}` : `all ${bins.length} bins`;
  const count = captures.bins.filter((bin) => bins.includes(bin.name)).reduce((sum, bin) => sum + bin.request_count, 0);
  if (count === 0) return say("There is nothing to clear.");
  if (!(await confirmed(`Clear ${where}?`, `This deletes ${plural(count, "capture", "captures")} pinned ones too, and cannot be undone.`, `Delete ${plural(count, "capture", "captures")}`))) return;
  let deleted = 0;
  for (const bin of bins) deleted += (await api(`bins/${encodeURIComponent(bin)}/captures?until=${until}`, { method: "DELETE" })).deleted;
  captures.capture = null;
  captureList.show([]);
  captureList.forget();
  go("captures", null);
  await loadCaptures();
  say(`Deleted ${plural(deleted, "capture", "captures")}`);
  await loadBins();
}

async function newBin() {
  const name = h("input", { class: "control", id: "bin-name", required: true, maxlength: "64", pattern: "[A-Za-z0-9_\\-]+", placeholder: "orders", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
  await ask("New bin", "Create", [h("p", {}, "Requests whose path begins with the name are captured in the bin. Letters, digits, - and _."), h("label", { class: "stack" }, "Name", name)], async () => {
    if (captures.bins.some((bin) => bin.name === name.value)) throw new Refusal(`There is a bin ${name.value} already.`);
    await api(`bins/${encodeURIComponent(name.value)}`, { method: "PUT", body: { response: null } });
    await loadBins();
    selectBin(name.value);
  });
}

/** The bin that "Response…" is about: the selected one, else the default one. */
const responseBin = () => captures.bins.find((bin) => (captures.bin ? bin.name === captures.bin : bin.default));

async function editResponse() {
  await loadBins();
  const { name, response } = responseBin();
  const field = (tag, id, value, attributes) => {
    const element = h(tag, { class: "control", id, spellcheck: "false", autocomplete: "off", ...attributes });
    element.value = value;
    return element;
  };
  const status = field("input", "response-status", response?.status ?? 200, { type: "number", min: "200", max: "599", required: true });
  const delay = field("input", "response-delay", response?.delay_ms ?? 0, { type: "number", min: "0", max: "600000", required: true });
  const headers = field("textarea", "response-headers", (response?.headers ?? [["Content-Type", "text/plain"]]).map(([name, value]) => `${name}: ${value}`).join("\n"), { rows: "3" });
  const body = field("textarea", "response-body", response?.body ?? "ok", { rows: "6" });
  const save = (response) => api(`bins/${encodeURIComponent(name)}`, { method: "PUT", body: { response } });
  const label = (words, element) => h("label", { class: "stack" }, words, element);
  const reset = async () => {
    await save(null);
    $("dialog").close("");
    await loadBins();
    say(`${name} has the response of the listener's options again`);
  };
  await ask(
    `Response of ${name}`,
    "Save",
    [
      h("p", {}, "For requests that are captured in this bin. It is stored in the journal. ", h("code", {}, "--respond"), ", ", h("code", {}, "--route"), " and ", h("code", {}, "--forward-to"), " take precedence."),
      h("div", { class: "columns" }, label("Status", status), label("Delay in milliseconds", delay)),
      label("Headers, one per line", headers),
      label("Body", body),
      response ? h("button", { class: "button quiet", type: "button", id: "response-reset", onclick: pressed(reset) }, "Use the listener's response") : null,
    ],
    async () => {
      const lines = headers.value.split("\n").filter((line) => line.trim() !== "");
      const pairs = lines.map((line) => {
        const colon = line.indexOf(":");
        if (colon < 1) throw new Refusal(`Not a header: ${line}. Write it as Name: value.`);
        return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
      });
      await save({ status: Number(status.value), headers: pairs, body: body.value, delay_ms: Number(delay.value) });
      await loadBins();
      say(`${name} responds with ${status.value} now`);
    },
  );
}

function selectBin(name) {
  captures.bin = $("bin").value = name;
  captures.capture = null;
  captureList.forget();
  history.replaceState(null, "", "#/captures");
  refilter().catch(complain);
}
