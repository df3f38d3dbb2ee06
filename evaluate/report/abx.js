// The blind test: which of two versions is X? A double-blind forced choice between two (Clark, 1982).
const blind = { open: false, versions: [0, 1], n: 16, answers: [], x: 0, heard: new Set(), playing: 0, past: [] };

/** The probability of at least `right` of `n` right answers by guessing. */
function chance(right, n) {
  let [term, sum] = [0.5 ** n, 0]; // term: n over k, over 2^n
  for (let k = 0; k <= n; k++) {
    if (k >= right) sum += term;
    term *= (n - k) / (k + 1);
  }
  return Math.min(sum, 1);
}

const probability = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(p < 0.1 ? 3 : 2)}`);

async function openBlind() {
  if (blind.open) return closeBlind();
  if (!(await decode())) return;
  blind.open = true;
  $("abx").hidden = false;
  $("versions").hidden = true; // its spectrograms and marks would tell
  $("keys").hidden = true;
  $("blind").setAttribute("aria-expanded", "true");
  $("blind").textContent = "End blind test";
  const n = player.clip.versions.length;
  const other = deck.chosen > 0 ? deck.chosen : n - 1;
  blind.versions = [0, Math.max(other, 0)];
  setUpBlind();
}

function closeBlind() {
  if (!blind.open) return;
  blind.open = false;
  $("abx").hidden = true;
  $("versions").hidden = $("keys").hidden = false;
  $("blind").setAttribute("aria-expanded", "false");
  $("blind").textContent = "Blind test";
  choose(Math.min(deck.chosen, player.clip.versions.length - 1));
}

function setUpBlind() {
  blind.answers = null;
  const options = (selected) => player.clip.versions.map((version, i) => make("option", { value: i, selected: i === selected }, version.label));
  const a = make("select", { id: "abx-a" }, options(blind.versions[0]));
  const b = make("select", { id: "abx-b" }, options(blind.versions[1]));
  const n = make("select", { id: "abx-n" }, [8, 12, 16, 24].map((x) => make("option", { value: x, selected: x === blind.n }, String(x))));
  const start = make("button", { type: "button", class: "primary", id: "abx-start", onclick: () => {
    blind.versions = [+a.value, +b.value];
    blind.n = +n.value;
    blind.answers = [];
    drawTrial();
    nextTrial();
  } }, "Start");
  const differ = () => (start.disabled = a.value === b.value);
  a.onchange = b.onchange = differ;
  differ();
  const past = blind.past.map(({ text }) => make("li", {}, text));
  $("abx").replaceChildren(
    make("h3", {}, "Blind test (A/B/X)"),
    make("p", {}, "X is secretly A or B, drawn anew for each trial. Listen to all three as often as you like, then say which it is. " +
      "The score comes after the last trial, so that it cannot steer you."),
    make("div", { class: "row" }, make("label", {}, "A", a), make("label", {}, "B", b), make("label", {}, "Trials", n), start),
    past.length ? make("ol", { "aria-label": "Tests so far" }, past) : null,
  );
  start.focus({ preventScroll: true });
}

function drawTrial() {
  const sides = ["A", "B", "X"].map((name, i) =>
    make("button", { type: "button", class: "choice", id: `abx-play-${name}`, "aria-pressed": "false", onclick: () => hear(i) }, name, make("kbd", {}, name)));
  const answers = ["A", "B"].map((name, i) =>
    make("button", { type: "button", class: "answer", id: `abx-is-${name}`, onclick: () => answer(i) }, `X is ${name} `, make("kbd", {}, String(i + 1))));
  const track = make("div", { class: "track", "aria-hidden": "true", onclick: (event) => {
    const box = track.getBoundingClientRect();
    deck.seek((player.clip.seconds * (event.clientX - box.left)) / box.width);
  } }, make("i"));
  const labels = blind.versions.map((i) => player.clip.versions[i].label);
  $("abx").replaceChildren(
    make("h3", { id: "abx-count", "aria-live": "polite" }),
    make("p", {}, `A is ${labels[0]}, B is ${labels[1]}.`),
    make("div", { class: "row", role: "group", "aria-label": "Listen" }, sides),
    track,
    make("div", { class: "row", role: "group", "aria-label": "Answer" }, answers,
      make("button", { type: "button", id: "abx-stop", onclick: finish }, "Stop here")),
  );
}

function nextTrial() {
  blind.x = crypto.getRandomValues(new Uint8Array(1))[0] & 1;
  blind.heard.clear();
  $("abx-count").textContent = `Trial ${blind.answers.length + 1} of ${blind.n}`;
  hear(0); // X begins unheard, so that passing from one trial's X to the next tells nothing
  deck.play();
}

function hear(side) {
  blind.playing = side;
  blind.heard.add(side);
  deck.choose(blind.versions[side === 2 ? blind.x : side]);
  ["A", "B", "X"].forEach((name, i) => $(`abx-play-${name}`).setAttribute("aria-pressed", String(i === side)));
  for (const name of ["A", "B"]) $(`abx-is-${name}`).disabled = !blind.heard.has(2);
}

function answer(side) {
  if (!blind.heard.has(2)) return;
  blind.answers.push(side === blind.x);
  if (blind.answers.length < blind.n) nextTrial();
  else finish();
}

function finish() {
  const n = blind.answers.length;
  if (!n) return setUpBlind();
  deck.stop();
  const right = blind.answers.filter(Boolean).length;
  const p = chance(right, n);
  const labels = blind.versions.map((i) => player.clip.versions[i].label);
  const early = n < blind.n ? ` Stopped after ${n} of ${blind.n} trials: p holds for a number of trials fixed beforehand.` : "";
  const verdict = p < 0.05
    ? "Guessing would seldom do as well: you very likely hear a difference."
    : "Guessing does as well often enough: this test shows no audible difference, nor that there is none.";
  blind.past.push({ text: `${player.clip.clip}: ${labels.join(" against ")}, ${right} of ${n} right, ${probability(p)}` });
  blind.answers = null;
  $("abx").replaceChildren(
    make("h3", {}, `${labels[0]} against ${labels[1]}`),
    make("p", { class: "score", id: "abx-score", role: "status" }, `${right} of ${n} right, ${probability(p)}`),
    make("p", {}, `${verdict} p is the binomial probability of at least ${right} right answers by guessing.${early}`),
    make("div", { class: "row" },
      make("button", { type: "button", class: "primary", id: "abx-again", onclick: setUpBlind }, "Another test"),
      make("button", { type: "button", onclick: closeBlind }, "Close")),
  );
  $("abx-again").focus({ preventScroll: true });
}

function blindKey(name) {
  if (!blind.open || !blind.answers) return null;
  const side = { a: 0, b: 1, x: 2 }[name];
  if (side !== undefined) return () => hear(side);
  return { 1: () => answer(0), 2: () => answer(1) }[name] ?? null;
}
