// Numbers and colours: what the other parts of the report share.
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLUMNS = Object.fromEntries(DATA.columns.map((column) => [column.name, column]));
const FAMILIES = DATA.families.map((family) => family.name);

/** A value in its column's unit, as the printed table shows it. */
function show(value, name) {
  if (value === null || value === undefined) return "–";
  const { unit, decimals, scale } = COLUMNS[name];
  const x = value * scale;
  const text = unit !== "×" ? x.toFixed(decimals) : x >= 10000 ? `${(x / 1000).toFixed(0)}k` : x.toFixed(x >= 10 ? 0 : 1);
  return text.replace("-", "−");
}

const withUnit = (value, name) => `${show(value, name)}${COLUMNS[name].unit ? ` ${COLUMNS[name].unit}` : ""}`;
const arrow = (name) => (COLUMNS[name].better > 0 ? "↑" : "↓");
const colour = (family) => `var(--c${Math.max(FAMILIES.indexOf(family), 0) % 10})`;

// families differ in shape as well as in colour
const MARKS = [
  (x, y) => `M${x - 4.5},${y}a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z`,
  (x, y) => `M${x - 4},${y - 4}h8v8h-8z`,
  (x, y) => `M${x},${y - 5.5}l5.2,9.2h-10.4z`,
  (x, y) => `M${x},${y - 5.8}l5.8,5.8l-5.8,5.8l-5.8,-5.8z`,
  (x, y) => `M${x},${y + 5.5}l5.2,-9.2h-10.4z`,
];
const shape = (family) => MARKS[Math.max(FAMILIES.indexOf(family), 0) % MARKS.length];
const swatch = (family) =>
  make("svg", { class: "swatch", viewBox: "0 0 14 14", style: { "--colour": colour(family) }, "aria-hidden": "true" },
    make("path", { class: "mark", d: shape(family)(7, 7) }));
