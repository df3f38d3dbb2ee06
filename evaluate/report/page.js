// Puts the page together: tables and curves at once, sound when all of the file is there.
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const nSystems = new Set(DATA.means.map((mean) => mean.label)).size;
$("facts").textContent = `${plural(nSystems, "system")} · ${plural(DATA.clips, "clip")} · ${seconds(DATA.seconds)} of audio`;

for (const select of document.querySelectorAll("select.domain")) {
  select.append(...DATA.domains.map((name) => make("option", { value: name }, name === "overall" ? "all" : name)));
  select.closest("label").hidden = DATA.domains.length < 2;
  select.onchange = () => {
    summary.domain = curves.domain = select.value;
    for (const other of document.querySelectorAll("select.domain")) other.value = select.value;
    drawTable();
    drawCharts();
  };
}
$("rate").onchange = () => ((curves.rate = $("rate").value), drawCharts());
chips($("metrics"), DATA.metrics, (name) => COLUMNS[name].title, curves.metrics, false);
chips($("legend"), FAMILIES, (name) => [swatch(name), name], curves.hidden, true);
$("bd-metric").append(...DATA.metrics.map((name) => make("option", { value: name }, COLUMNS[name].title)));
$("bd-metric").onchange = drawRates;
$("rates").hidden = FAMILIES.length < 2;
document.querySelector('nav a[href="#rates"]').hidden = FAMILIES.length < 2;
$("remarks").append(...DATA.remarks.map((line) => make("li", {}, line)));
$("remarks").hidden = !DATA.remarks.length;

drawTable();
drawRates();
drawCharts();
let drawnWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== drawnWidth) drawCharts(); // a phone's address bar changes only the height
  drawnWidth = innerWidth;
});
addEventListener("scroll", () => ($("tip").hidden = true), { passive: true });
document.addEventListener("DOMContentLoaded", () => {
  $("blind").onclick = openBlind;
  startPlayer();
});
