// The listening part: clips to choose from, their versions with spectrograms, and the keys.
const KEYS = "0123456789qwertyuiop";
const deck = new Deck();
const player = { clips: [], index: -1, clip: null, ready: null };

function startPlayer() {
  const notes = JSON.parse($("notes").textContent);
  player.clips = [...document.querySelectorAll("script.clip")];
  const missing = notes.left_out ? ` ${notes.left_out} clips were left out to keep this file small.` : "";
  if (!player.clips.length) {
    $("sound-note").textContent = `There are no clips in this page.${missing}`;
    return;
  }
  $("sound-note").textContent =
    `Versions play in step: switch at any time, the position stays. All of them, the original too, are Opus files at about ` +
    `${notes.kbps} kbps per channel, cut to the loudest ${notes.seconds} s, to keep this page small; spectrograms and numbers come ` +
    `from the uncompressed samples of the systems.${missing}`;
  const groups = Map.groupBy ? Map.groupBy(player.clips, (clip) => clip.dataset.domain) : new Map();
  if (!groups.size) for (const clip of player.clips) groups.set(clip.dataset.domain, [...(groups.get(clip.dataset.domain) ?? []), clip]);
  for (const [domain, members] of groups) {
    const option = (clip) => make("option", { value: player.clips.indexOf(clip) }, clip.dataset.name);
    $("clip").append(make("optgroup", { label: domain }, members.map(option)));
  }
  player.clips = [...$("clip").options].map((option) => player.clips[option.value]); // in the order of the list
  [...$("clip").options].forEach((option, i) => (option.value = i));
  $("clip").onchange = () => openClip(+$("clip").value);
  $("previous").onclick = () => openClip(player.index - 1);
  $("next").onclick = () => openClip(player.index + 1);
  $("play").onclick = togglePlay;
  $("loop").onchange = () => deck.setLoop($("loop").checked);
  $("match").onchange = () => deck.setMatched($("match").checked);
  $("volume").oninput = () => deck.setVolume($("volume").value ** 2);
  deck.onstate = () => {
    $("play").textContent = deck.playing ? "Pause" : "Play";
    $("play").setAttribute("aria-pressed", String(deck.playing));
  };
  const key = (name, text) => make("span", {}, make("kbd", {}, name), ` ${text}`);
  $("keys").append(key("space", "play"), key("0", "original"), key("1…9", "systems"), key("↑ ↓", "version above, below"),
    key("← →", "1 s back, on"), key("P N", "clip before, after"), key("drag", "on a spectrogram: loop that part"), key("esc", "end the loop"));
  document.addEventListener("keydown", onKey);
  $("deck").hidden = false;
  openClip(0);
  requestAnimationFrame(showPosition);
}

function openClip(index) {
  closeBlind();
  const goesOn = deck.playing;
  player.index = (index + player.clips.length) % player.clips.length;
  player.clip = JSON.parse(player.clips[player.index].textContent);
  player.ready = null;
  deck.stop();
  deck.buffers = [];
  deck.duration = player.clip.seconds;
  deck.offset = 0;
  deck.region = null;
  deck.chosen = Math.min(deck.chosen, player.clip.versions.length - 1);
  $("clip").value = player.index;
  $("sound-error").hidden = true;
  drawVersions();
  if (goesOn) togglePlay();
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
  const offset = deck.offset;
  const region = deck.region;
  const first = !deck.buffers.length;
  if (!(await decode())) return;
  if (first) [deck.offset, deck.region] = [offset, region];
  await deck.play();
}

function drawVersions() {
  const { clip } = player;
  const rows = clip.versions.map((version, i) => {
    const mean = DATA.means.find((x) => x.label === version.label);
    const mark = mean ? swatch(mean.family) : make("span");
    const values = Object.entries(version.values).filter(([name]) => name !== "kbps");
    const part = (value, text) => make("span", {}, make("b", {}, value), text);
    const parts = values.map(([name, value]) => part(withUnit(value, name), name === "payload_kbps" ? "" : ` ${COLUMNS[name].title}`));
    if (version.remark) parts.push(part(version.remark, ""));
    const raised = Math.abs(version.gain_db) >= 0.1;
    if (raised) parts.push(part(`${version.gain_db > 0 ? "+" : "−"}${Math.abs(version.gain_db).toFixed(1)} dB`, " to match"));
    const cut = clip.whole - clip.seconds > 0.05 ? ` from ${seconds(clip.start)} of ${seconds(clip.whole)}` : "";
    const about = i ? parts : [`${seconds(clip.seconds)}${cut}`];
    const button = make("button", { type: "button", class: "version", "aria-pressed": "false", onclick: () => choose(i) },
      make("kbd", {}, KEYS[i]?.toUpperCase() ?? "·"), mark, make("span", { class: "name", title: version.label }, version.label),
      make("span", { class: "values" }, about));
    return make("li", {}, button, drawPicture(clip, version, i));
  });
  $("versions").replaceChildren(...rows);
  markChosen();
}

function drawPicture(clip, version, i) {
  const image = make("img", { src: `data:image/png;base64,${version.picture}`, alt: `Spectrogram of ${version.label}`, draggable: "false" });
  const ticks = clip.ticks.map(([text, place]) => make("span", { class: "tick", style: { bottom: `${100 * place}%` }, "aria-hidden": "true" }, text));
  const region = make("div", { class: "region", hidden: true });
  const picture = make("div", { class: "picture" }, image, ticks, region, make("div", { class: "head" }));
  let from = null;
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return clip.seconds * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const span = (event) => [Math.min(from, at(event)), Math.max(from, at(event))];
  const long = ([start, end]) => end - start > Math.max(0.1, clip.seconds * 0.02);
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = at(event);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (from !== null && long(span(event))) markRegion(span(event));
  });
  picture.addEventListener("pointercancel", () => {
    from = null;
    markRegion(deck.region);
  });
  picture.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const chosen = span(event);
    from = null;
    choose(i);
    if (long(chosen)) {
      $("loop").checked = true;
      deck.loop = true;
      deck.setRegion(chosen);
    } else deck.seek(chosen[0]);
    markRegion(deck.region);
  });
  return picture;
}

function choose(i) {
  if (i < 0 || i >= player.clip.versions.length) return;
  deck.choose(i);
  markChosen();
}

function markChosen() {
  [...$("versions").children].forEach((row, i) => {
    row.classList.toggle("chosen", i === deck.chosen);
    row.firstChild.setAttribute("aria-pressed", String(i === deck.chosen));
  });
}

function markRegion(region) {
  for (const part of document.querySelectorAll(".region")) {
    part.hidden = !region;
    if (!region) continue;
    part.style.setProperty("--from", (100 * region[0]) / player.clip.seconds);
    part.style.setProperty("--to", (100 * region[1]) / player.clip.seconds);
  }
}

let shown = null;
function showPosition() {
  const at = deck.position;
  if (at !== shown) {
    shown = at;
    $("time").textContent = `${at.toFixed(1)} / ${seconds(player.clip.seconds)}`;
    for (const part of document.querySelectorAll("#versions, #abx .track")) {
      part.style.setProperty("--at", ((100 * at) / player.clip.seconds).toFixed(3));
    }
  }
  requestAnimationFrame(showPosition);
}

/** Keys belong to the player while it plays or fills the middle of the window, and never to a field being edited. */
function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  const box = $("listen").getBoundingClientRect();
  if (!deck.playing && (box.top > innerHeight / 2 || box.bottom < innerHeight / 2)) return;
  const { target } = event;
  if (target.matches("select, input[type=range]") && (event.key.startsWith("Arrow") || event.key.length === 1)) return;
  if (event.key === " " && target.matches("input, button:not(.version, .choice, #play), a, summary")) return;
  const name = event.key.toLowerCase();
  const act = blindKey(name) ?? playerKey(name);
  if (!act) return;
  event.preventDefault();
  act();
}

function playerKey(name) {
  const common = {
    " ": togglePlay,
    arrowleft: () => deck.seek(Math.max(deck.position - 1, 0)),
    arrowright: () => deck.seek(Math.min(deck.position + 1, player.clip.seconds)),
    escape: () => (deck.setRegion(null), markRegion(null)),
  };
  if (common[name]) return name === "escape" && !deck.region ? null : common[name];
  if (blind.open) return null;
  const n = player.clip.versions.length;
  const step = { arrowup: -1, arrowdown: 1 }[name];
  if (step) return () => (choose((deck.chosen + step + n) % n), $("versions").children[deck.chosen].scrollIntoView({ block: "nearest" }));
  if (name === "p" && KEYS.indexOf("p") >= n) return () => openClip(player.index - 1);
  if (name === "n") return () => openClip(player.index + 1);
  const i = KEYS.indexOf(name);
  return i >= 0 && i < n && name.length === 1 ? () => choose(i) : null;
}
