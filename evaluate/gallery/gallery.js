// The gallery: all lists of sounds at once, one of which is in the player.
const SIGNS = { play: "▶", pause: "❚❚" };
const lists = [...document.querySelectorAll("script.clip")].map((script) => ({
  clip: JSON.parse(script.textContent),
  rows: $(script.id.replace("clip", "rows")),
}));

/** Puts a list into the player and makes its version i the one that is heard. */
function pick({ clip, rows }, i) {
  if (player.clip !== clip) {
    const goesOn = deck.playing;
    if (player.list) {
      player.list.style.setProperty("--at", 0);
      markRegion(null);
      for (const row of player.list.children) row.classList.remove("chosen");
    }
    insertClip(clip, rows);
    if (goesOn) togglePlay();
  }
  choose(i);
  showPlaying();
}

/** A click on a row: plays it from where its list stands, or stops it. */
function press(list, i) {
  const heard = deck.playing && player.clip === list.clip && deck.chosen === i;
  pick(list, i);
  if (heard || !deck.playing) togglePlay();
}

function showPlaying() {
  for (const { clip, rows } of lists) {
    [...rows.children].forEach((row, i) => {
      const heard = deck.playing && player.clip === clip && deck.chosen === i;
      row.firstChild.setAttribute("aria-pressed", String(heard));
      row.firstChild.firstChild.textContent = heard ? SIGNS.pause : SIGNS.play;
    });
  }
  $("now").textContent = `${player.clip.clip}: ${player.clip.versions[deck.chosen].label}`;
}

/** Keys belong to the player while it plays, and never to what the focus is on if that has a use for them. */
function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  if (event.key !== "Escape" && (!deck.playing || event.target.matches("select, input"))) return;
  if (event.key === " " && event.target.matches("button, a")) return;
  const name = event.key.toLowerCase();
  const act = playerKey(name) ?? versionKey(name);
  if (!act) return;
  event.preventDefault();
  act();
  showPlaying();
}

function copyButton(text) {
  const button = make("button", { type: "button", class: "copy", "aria-live": "polite", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // where a page may not write there, what is to be copied is marked
      button.textContent = "Marked";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  } }, "Copy");
  return button;
}

for (const list of lists) {
  const { clip, rows } = list;
  const drawn = clip.versions.map((version, i) => {
    const about = [`${seconds(version.seconds)}`, version.about].filter(Boolean).map((text) => make("span", {}, text));
    const signs = [make("span", { class: "sign", "aria-hidden": "true" }, SIGNS.play), make("kbd", {}, KEYS[i].toUpperCase())];
    return drawRow(clip, i, signs, about, () => press(list, i), () => pick(list, i));
  });
  rows.append(...drawn);
}
for (const text of document.querySelectorAll(".command pre")) text.after(copyButton(text));
$("sections").append(...[...document.querySelectorAll("section")].map((section) =>
  make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
$("keys").append(keySign("space", "pause"), keySign("0…9", "sounds of the list"), keySign("← →", "1 s back, on"),
  keySign("drag", "on a spectrogram: loop that part"), keySign("esc", "end the loop"));
document.addEventListener("keydown", onKey);
$("deck").hidden = false;
insertClip(lists[0].clip, lists[0].rows);
deck.chosen = 0;
startTransport(showPlaying);
choose(0);
showPlaying();
