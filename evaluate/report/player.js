// One player for all that is on a page: the versions of a clip in step, their rows and spectrograms.
const KEYS = "0123456789qwertyuiop";
const deck = new Deck();
const player = { clip: null, list: null, ready: null };

/** Play, loop and volume, which every page with a player has; `onstate` is called when it plays or stops. */
function startTransport(onstate = () => {}) {
  deck.loop = $("loop").checked;
  $("play").onclick = togglePlay;
  $("loop").onchange = () => deck.setLoop($("loop").checked);
  $("volume").oninput = () => deck.setVolume($("volume").value ** 2);
  deck.onstate = () => {
    $("play").textContent = deck.playing ? "Pause" : "Play";
    $("play").setAttribute("aria-pressed", String(deck.playing));
    onstate();
  };
  requestAnimationFrame(showPosition);
}

/** Puts in a clip, which stands at its beginning; `list` is the element with its rows. */
function insertClip(clip, list) {
  [player.clip, player.list, player.ready] = [clip, list, null];
  deck.stop();
  deck.loading = null;
  deck.buffers = [];
  deck.duration = clip.seconds;
  deck.offset = 0;
  deck.region = null;
  deck.chosen = Math.min(deck.chosen, clip.versions.length - 1);
  $("sound-error").hidden = true;
}

/** Decodes the open clip, once; the first call comes from a key or a click, as browsers ask for. */
function decode() {
  player.ready ??= deck.load(player.clip).catch((error) => {
    $("sound-error").textContent =
      `This browser cannot decode the sound of this page (Ogg Opus): ${error.message}. Chrome, Edge, Firefox and Safari from 18.4 can.`;
    $("sound-error").hidden = false;
    player.ready = null;
    return false;
  });
  return player.ready;
}

async function togglePlay() {
  if (deck.playing) return deck.stop();
  if (await decode()) await deck.play();
}

/** The row of version i: a button with `signs` before its name and `about` below, and its spectrogram. */
function drawRow(clip, i, signs, about, onclick, pick) {
  const version = clip.versions[i];
  const button = make("button", { type: "button", class: "version", "aria-pressed": "false", onclick },
    signs, make("span", { class: "name", title: version.label }, version.label), make("span", { class: "values" }, about));
  return make("li", {}, button, drawPicture(clip, version, pick));
}

/** A spectrogram: a click, after `pick`, goes there, a drag loops a part. */
function drawPicture(clip, version, pick) {
  const marks = version.marks ?? [];
  const said = marks.map(([start, end, text]) => `; ${text} from ${seconds(start)} to ${seconds(end)}`).join("");
  const image = make("img", { src: `data:image/png;base64,${version.picture}`, alt: `Spectrogram of ${version.label}${said}`, draggable: "false" });
  const place = (x) => `${(100 * x) / clip.seconds}%`;
  const parts = marks.map(([start, end, text]) =>
    make("span", { class: "part", title: text, style: { left: place(start), width: place(end - start) }, "aria-hidden": "true" }, text));
  const ticks = clip.ticks.map(([text, place]) => make("span", { class: "tick", style: { bottom: `${100 * place}%` }, "aria-hidden": "true" }, text));
  const region = make("div", { class: "region", hidden: true });
  const picture = make("div", { class: "picture" }, image, parts, ticks, region, make("div", { class: "head" }));
  let from = null;
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return clip.seconds * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const span = (event) => [Math.min(from, at(event)), Math.max(from, at(event))];
  const long = ([start, end]) => end - start > Math.max(0.1, clip.seconds * 0.02);
  const mark = (chosen) => markRegion(chosen, picture.closest(".versions"), clip.seconds);
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = at(event);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (from !== null && long(span(event))) mark(span(event));
  });
  picture.addEventListener("pointercancel", () => {
    from = null;
    mark(clip === player.clip ? deck.region : null);
  });
  picture.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const chosen = span(event);
    from = null;
    pick();
    if (long(chosen)) {
      $("loop").checked = true;
      deck.loop = true;
      deck.setRegion(chosen);
    } else deck.seek(chosen[0]);
    mark(deck.region);
  });
  return picture;
}

function choose(i) {
  if (i < 0 || i >= player.clip.versions.length) return;
  deck.choose(i);
  markChosen();
}

function markChosen() {
  [...player.list.children].forEach((row, i) => {
    row.classList.toggle("chosen", i === deck.chosen);
    row.firstChild.setAttribute("aria-pressed", String(i === deck.chosen));
  });
}

function markRegion(region, list = player.list, length = player.clip.seconds) {
  for (const part of list.querySelectorAll(".region")) {
    part.hidden = !region;
    if (!region) continue;
    part.style.setProperty("--from", (100 * region[0]) / length);
    part.style.setProperty("--to", (100 * region[1]) / length);
  }
}

let shown = null;
function showPosition() {
  const at = deck.position;
  if (at !== shown) {
    shown = at;
    $("time").textContent = `${at.toFixed(1)} / ${seconds(player.clip.seconds)}`;
    for (const part of [player.list, ...document.querySelectorAll("#abx .track")]) {
      part.style.setProperty("--at", ((100 * at) / player.clip.seconds).toFixed(3));
    }
  }
  requestAnimationFrame(showPosition);
}

/** What a key does in every page's player, if anything. */
function playerKey(name) {
  const found = {
    " ": togglePlay,
    arrowleft: () => deck.seek(Math.max(deck.position - 1, 0)),
    arrowright: () => deck.seek(Math.min(deck.position + 1, player.clip.seconds)),
    escape: deck.region ? () => (deck.setRegion(null), markRegion(null)) : null,
  };
  return found[name] ?? null;
}

/** The version that a digit or letter stands for. */
function versionKey(name) {
  const i = name.length === 1 ? KEYS.indexOf(name) : -1;
  return i >= 0 && i < player.clip.versions.length ? () => choose(i) : null;
}

const keySign = (name, text) => make("span", {}, make("kbd", {}, name), ` ${text}`);
