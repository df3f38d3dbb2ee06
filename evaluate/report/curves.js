// Rate-distortion curves, drawn as SVG.
const curves = { domain: DATA.domains[0], rate: "payload_kbps", metrics: new Set(DATA.metrics.slice(0, DATA.n_first)), hidden: new Set() };

/** The curves of a metric: [{family, classic, points: [{mean, kbps, value, low, high}]}], by rising rate. */
function curvesOf(metric) {
  const found = DATA.curves[metric][curves.domain] || {};
  return DATA.families
    .filter(({ name }) => found[name] && !curves.hidden.has(name))
    .map(({ name, classic }) => ({
      family: name,
      classic,
      points: found[name]
        .map(([i, low, high]) => ({
          mean: DATA.means[i],
          kbps: DATA.means[i].values[curves.rate],
          value: DATA.means[i].values[metric],
          low,
          high,
        }))
        .filter((point) => point.kbps > 0 && point.value !== null)
        .sort((a, b) => a.kbps - b.kbps),
    }))
    .filter((curve) => curve.points.length);
}

function niceTicks(low, high, n) {
  const rough = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return { ticks, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** Round rates inside an interval, more of them where it is short. */
function rateTicks(low, high) {
  const ticks = (mantissas) => {
    const found = [];
    for (let power = 0.01; power <= high; power *= 10) for (const x of mantissas) found.push(+(x * power).toPrecision(3));
    return found.filter((x) => x >= low && x <= high);
  };
  return [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 6, 8]].map(ticks).find((found) => found.length >= 4) || ticks([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]);
}

function drawChart(figure, metric) {
  const found = curvesOf(metric);
  const column = COLUMNS[metric];
  const caption = make("figcaption", {}, `${column.title} ${arrow(metric)} `, make("span", {}, [column.unit, column.meaning].filter(Boolean).join(" · ")));
  const points = found.flatMap((curve) => curve.points.map((point) => ({ ...point, family: curve.family })));
  if (!points.length) return figure.replaceChildren(caption, make("p", { class: "note" }, "Nothing to draw."));
  const [width, height] = [Math.max(figure.clientWidth, 260), 290];
  const [left, right, top, bottom] = [46, 14, 12, 42];
  const scaled = (value) => value * column.scale;
  const values = points.flatMap((p) => [p.value, p.low ?? p.value, p.high ?? p.value]).map(scaled);
  const margin = (Math.max(...values) - Math.min(...values)) * 0.06 || 1;
  const [y0, y1] = [Math.min(...values) - margin, Math.max(...values) + margin];
  const rates = points.map((p) => p.kbps);
  const [x0, x1] = [Math.min(...rates) / 1.12, Math.max(...rates) * 1.12];
  const px = (kbps) => left + ((width - left - right) * Math.log(kbps / x0)) / Math.log(x1 / x0);
  const py = (value) => top + ((height - top - bottom) * (y1 - scaled(value))) / (y1 - y0);
  const at = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;

  const vertical = niceTicks(y0, y1, 5);
  const grid = vertical.ticks.map((tick) => {
    const y = py(tick / column.scale);
    return make("g", {}, make("line", { class: "grid", x1: left, x2: width - right, y1: y, y2: y }),
      make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, tick.toFixed(vertical.decimals).replace("-", "−")));
  });
  let last = -Infinity;
  for (const tick of rateTicks(x0, x1)) {
    const x = px(tick);
    grid.push(make("line", { class: "grid", x1: x, x2: x, y1: top, y2: height - bottom }));
    if (x - last < 30) continue;
    grid.push(make("text", { x, y: height - bottom + 18, "text-anchor": "middle" }, String(tick)));
    last = x;
  }
  const unit = curves.rate === "kbps" ? "kbps, whole file" : "kbps, coded audio";
  grid.push(make("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, unit));

  const layers = found.map((curve) => {
    const sure = curve.points.filter((p) => p.low !== null && p.high !== null);
    const line = curve.points.map((p) => at(px(p.kbps), py(p.value))).join("L");
    const band = [...sure.map((p) => at(px(p.kbps), py(p.high))), ...sure.map((p) => at(px(p.kbps), py(p.low))).reverse()].join("L");
    const mark = shape(curve.family);
    return make("g", { style: { "--colour": colour(curve.family) } },
      sure.length > 1 ? make("path", { class: "band", d: `M${band}z` }) : null,
      sure.length === 1 ? make("line", { class: "bar", x1: px(sure[0].kbps), x2: px(sure[0].kbps), y1: py(sure[0].low), y2: py(sure[0].high) }) : null,
      curve.points.length > 1 ? make("path", { class: curve.classic ? "line classic" : "line", d: `M${line}` }) : null,
      curve.points.map((p) => make("path", { class: "mark", d: mark(px(p.kbps), py(p.value)) })));
  });
  const ring = make("circle", { class: "ring", r: 8, cx: -99, cy: -99 });
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img",
    "aria-label": `${column.title} against rate for ${found.map((curve) => curve.family).join(", ")}; arrow keys read the points` }, grid, layers, ring);
  const ordered = [...points].sort((a, b) => FAMILIES.indexOf(a.family) - FAMILIES.indexOf(b.family) || a.kbps - b.kbps);
  let current = -1;
  const point = (i) => {
    current = i;
    const p = ordered[i];
    if (!p) return hideTip(ring);
    ring.setAttribute("cx", px(p.kbps));
    ring.setAttribute("cy", py(p.value));
    const box = svg.getBoundingClientRect();
    showTip(box.left + (px(p.kbps) * box.width) / width, box.top + (py(p.value) * box.height) / height, p, metric);
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
    const distances = ordered.map((p) => Math.hypot(px(p.kbps) - x, py(p.value) - y));
    const best = distances.indexOf(Math.min(...distances));
    point(distances[best] < 36 ? best : -1);
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointerleave", () => point(-1));
  svg.addEventListener("blur", () => point(-1));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") point(-1);
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    point(current < 0 && step < 0 ? ordered.length - 1 : (current + step + ordered.length) % ordered.length);
  });
  figure.replaceChildren(caption, svg);
}

function showTip(x, y, point, metric) {
  const { values, label, clips } = point.mean;
  const limits = point.low === null ? "" : ` (${show(point.low, metric)} to ${show(point.high, metric)})`;
  $("tip").replaceChildren(
    make("b", {}, label),
    `${COLUMNS[metric].title} ${withUnit(point.value, metric)}${limits}`,
    make("br"),
    `${withUnit(values.payload_kbps, "payload_kbps")}, file ${withUnit(values.kbps, "kbps")}`,
    make("br"),
    `${clips} clip${clips === 1 ? "" : "s"}`,
  );
  $("tip").hidden = false;
  const { width, height } = $("tip").getBoundingClientRect();
  $("tip").style.left = `${Math.max(6, Math.min(x + 14, innerWidth - width - 6))}px`;
  $("tip").style.top = `${y - height - 14 > 6 ? y - height - 14 : y + 18}px`;
}

function hideTip(ring) {
  $("tip").hidden = true;
  ring.setAttribute("cx", -99);
}

function drawCharts() {
  $("tip").hidden = true;
  const figures = DATA.metrics.filter((name) => curves.metrics.has(name)).map((name) => make("figure", { "data-metric": name }));
  $("charts").replaceChildren(...figures);
  for (const figure of figures) drawChart(figure, figure.dataset.metric);
}

/** Buttons that stay down, one for each name; `set` holds those that are down, or up where `inverted`. */
function chips(parent, names, content, set, inverted) {
  parent.replaceChildren(
    ...names.map((name) => {
      const button = make("button", { type: "button", "aria-pressed": String(set.has(name) !== inverted), onclick: () => {
        if (!set.delete(name)) set.add(name);
        button.setAttribute("aria-pressed", String(set.has(name) !== inverted));
        drawCharts();
      } }, content(name));
      return button;
    }),
  );
}
