// The listening part of the report: clips to choose from, what was measured of their versions, and the keys.
const listen = { clips: [], index: -1 };

function startPlayer() {
  const notes = JSON.parse($("notes").textContent);
  listen.clips = [...document.querySelectorAll("script.clip")];
  const missing = notes.left_out ? ` ${notes.left_out} clips were left out to keep this file small.` : "";
  if (!listen.clips.length) {
    $("sound-note").textContent = `There are no clips in this page.${missing}`;
    return;
  }
  $("sound-note").textContent =
    `Versions play in step: switch at any time, the position stays. All of them, the original too, are Opus files at about ` +
    `${notes.kbps} kbps per channel, cut to the loudest ${notes.seconds} s, to keep this page small; spectrograms and numbers come ` +
    `from the uncompressed samples of the systems.${missing}`;
  const groups = Map.groupBy ? Map.groupBy(listen.clips, (clip) => clip.dataset.domain) : new Map();
  if (!groups.size) for (const clip of listen.clips) groups.set(clip.dataset.domain, [...(groups.get(clip.dataset.domain) ?? []), clip]);
  for (const [domain, members] of groups) {
    const option = (clip) => make("option", { value: listen.clips.indexOf(clip) }, clip.dataset.name);
    $("clip").append(make("optgroup", { label: domain }, members.map(option)));
  }
  listen.clips = [...$("clip").options].map((option) => listen.clips[option.value]); // in the order of the list
  [...$("clip").options].forEach((option, i) => (option.value = i));
  $("clip").onchange = () => openClip(+$("clip").value);
  $("previous").onclick = () => openClip(listen.index - 1);
  $("next").onclick = () => openClip(listen.index + 1);
  $("match").onchange = () => deck.setMatched($("match").checked);
  $("keys").append(keySign("space", "play"), keySign("0", "original"), keySign("1…9", "systems"), keySign("↑ ↓", "version above, below"),
    keySign("← →", "1 s back, on"), keySign("P N", "clip before, after"), keySign("drag", "on a spectrogram: loop that part"),
    keySign("esc", "end the loop"));
  document.addEventListener("keydown", onKey);
  $("deck").hidden = false;
  openClip(0);
  startTransport();
}

function openClip(index) {
  closeBlind();
  const goesOn = deck.playing;
  listen.index = (index + listen.clips.length) % listen.clips.length;
  insertClip(JSON.parse(listen.clips[listen.index].textContent), $("versions"));
  $("clip").value = listen.index;
  drawVersions();
  if (goesOn) togglePlay();
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
    const signs = [make("kbd", {}, KEYS[i]?.toUpperCase() ?? "·"), mark];
    return drawRow(clip, i, signs, about, () => choose(i), () => choose(i));
  });
  $("versions").replaceChildren(...rows);
  markChosen();
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
  const act = blindKey(name) ?? playerKey(name) ?? listenKey(name);
  if (!act) return;
  event.preventDefault();
  act();
}

function listenKey(name) {
  if (blind.open) return null;
  const n = player.clip.versions.length;
  const step = { arrowup: -1, arrowdown: 1 }[name];
  if (step) return () => (choose((deck.chosen + step + n) % n), $("versions").children[deck.chosen].scrollIntoView({ block: "nearest" }));
  if (name === "p" && KEYS.indexOf("p") >= n) return () => openClip(listen.index - 1);
  if (name === "n") return () => openClip(listen.index + 1);
  return versionKey(name);
}
