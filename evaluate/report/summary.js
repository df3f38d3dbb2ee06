// The tables: means that sort, and BD-rates.
const summary = { domain: DATA.domains[0], sort: { name: "payload_kbps", direction: 1 }, untouched: true };

function drawTable() {
  const { name, direction } = summary.sort;
  const rows = DATA.means.filter((mean) => mean.domain === summary.domain);
  const key = (mean) => (name === "label" ? mean.label : mean.values[name]);
  if (!summary.untouched) {
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null); // what is missing goes last
      return direction * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
    });
  }
  const head = (id, title, unit, meaning) => {
    const sorted = !summary.untouched && id === name;
    const attributes = { scope: "col", "aria-sort": sorted ? (direction > 0 ? "ascending" : "descending") : null };
    const pressed = () => {
      const again = !summary.untouched && summary.sort.name === id;
      const first = id === "label" || COLUMNS[id].better < 0 ? 1 : -1; // the best on top
      summary.sort = { name: id, direction: again ? -direction : first };
      summary.untouched = false;
      drawTable();
      $("table").querySelector(`button[data-name="${id}"]`).focus();
    };
    const button = make("button", { type: "button", "data-name": id, title: meaning, onclick: pressed });
    button.append(title.replace(/ /g, "\n"), make("span", { class: "unit" }, unit || "\u00a0"));
    return make("th", attributes, button);
  };
  const columns = DATA.columns.map((c) => head(c.name, `${c.title}\u00a0${arrow(c.name)}`, c.unit, c.meaning));
  const body = rows.map((mean) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", title: `${mean.label}: ${mean.clips} clips` }, swatch(mean.family), mean.label.replace(" level ", " level\u00a0")),
      DATA.columns.map((c) => make("td", {}, show(mean.values[c.name], c.name))),
    ),
  );
  $("table").replaceChildren(
    make("thead", {}, make("tr", {}, head("label", "system", "", "name"), columns)),
    make("tbody", {}, body),
  );
}

function drawRates() {
  const metric = $("bd-metric").value;
  const found = new Map(DATA.bd[metric].map((entry) => [`${entry.test}\n${entry.anchor}`, entry]));
  const percent = (x) => `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(Math.abs(x) < 10 ? 1 : 0)}`;
  const say = (entry) => {
    const limits = entry.low === null ? "" : ` (95 % interval ${percent(entry.low)} to ${percent(entry.high)} %)`;
    const name = COLUMNS[metric].title;
    return entry.percent === null
      ? `${entry.test} against ${entry.anchor}: ${entry.remark}.`
      : `${entry.test} needs ${percent(entry.percent)} % rate for the ${name} of ${entry.anchor}${limits}` +
          `${entry.remark ? `; ${entry.remark}` : ""}.`;
  };
  const standing =
    "Row against column: mean change of the payload rate at equal quality (Bjøntegaard delta), over all clips. Negative: " +
    "the row's system needs less; coloured where the 95 % interval leaves no doubt. A dash: the curves cannot be compared. " +
    "Point at a cell for the reason, or for what a * limits.";
  const cell = (test, anchor) => {
    const entry = found.get(`${test}\n${anchor}`);
    if (!entry) return make("td", {}, test === anchor ? "" : "–");
    const listen = { onpointerenter: () => ($("bd-remark").textContent = say(entry)), onclick: null };
    listen.onclick = listen.onpointerenter;
    if (entry.percent === null) return make("td", { title: entry.remark, ...listen }, "–");
    const sure = entry.low !== null && entry.low * entry.high > 0; // coloured where the sign is sure
    const limits = entry.low === null ? "" : `${percent(entry.low)} … ${percent(entry.high)}`;
    return make(
      "td",
      { class: !sure ? null : entry.percent < 0 ? "saves" : "costs", ...listen },
      `${percent(entry.percent)} %${entry.remark ? "*" : ""}`,
      make("small", {}, limits || "\u00a0"),
    );
  };
  const heads = FAMILIES.map((name) => make("th", { scope: "col" }, `vs ${name}`));
  $("bd").replaceChildren(
    make("thead", {}, make("tr", {}, make("td", {}), heads)),
    make(
      "tbody",
      { onpointerleave: () => ($("bd-remark").textContent = standing) },
      FAMILIES.map((test) =>
        make("tr", {}, make("th", { scope: "row" }, swatch(test), test), FAMILIES.map((anchor) => cell(test, anchor))),
      ),
    ),
  );
  $("bd-remark").textContent = standing;
}
