"""Opens a report in a real headless Chromium and uses it.

    python tests/evaluate/report/browser_check.py index.html [--shots DIR]

Exits 0 when all holds, 1 naming what does not, and 3 where there is no Chromium. The versions of its clips must be
sounds that have nothing in common and never pause, as those of `test_report.py`. Needs only the standard library: it
speaks the DevTools protocol over a pipe.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import itertools
import json
import math
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
NO_BROWSER = 3
PATIENCE_S = 60.0
KEY_CODES = {" ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Escape": 27}

# A second of sound around a switch, taken where it leaves the page: where its head lies in the buffer played before,
# where its tail lies in the one played after, and its quietest 5 ms.
SWITCH = """
(async (from, to) => {
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const n = 32768, context = deck.context, analyser = context.createAnalyser();
  analyser.fftSize = n;
  deck.voices.master.connect(analyser);
  choose(from);
  await sleep(500);
  const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  key(KEYS[to]);
  const switched = context.currentTime;
  while (context.currentTime < switched + 0.25) await sleep(10);
  const heard = new Float32Array(n);
  analyser.getFloatTimeDomainData(heard);
  const end = deck.position;
  const place = (part, buffer, around) => {
    const data = buffer.getChannelData(0), channels = buffer.numberOfChannels;
    const other = channels > 1 ? buffer.getChannelData(1) : data;
    const [first, last] = [Math.max(0, around - 9600), Math.min(data.length - part.length, around + 9600)];
    let best = { correlation: -2, at: -1 };
    for (let at = first; at <= last; at++) {
      let [xy, xx, yy] = [0, 0, 0];
      for (let i = 0; i < part.length; i += 1) {
        const x = (data[at + i] + other[at + i]) / 2;
        xy += x * part[i]; xx += x * x; yy += part[i] * part[i];
      }
      const correlation = xy / Math.sqrt(xx * yy + 1e-30);
      if (correlation > best.correlation) best = { correlation, at, gain: xy / xx };
    }
    return best;
  };
  const size = 1024, tail = Math.round(end * 48000) - size;
  const after = place(heard.subarray(n - size), deck.buffers[to], tail);
  const before = place(heard.subarray(0, size), deck.buffers[from], tail - n + size);
  const powers = [];
  const power = (part) => part.reduce((sum, x) => sum + x * x, 0) / part.length;
  for (let i = 0; i + 240 <= n; i += 240) powers.push(power(heard.subarray(i, i + 240)));
  return { before, after, apart: after.at - before.at - (n - size), quietest: Math.min(...powers),
    mean: powers.reduce((a, b) => a + b) / powers.length };
})(FROM, TO)
"""


class Browser:
    """A Chromium with one page; what it says on its console, and what it fetches, is kept."""

    def __init__(self, program: str, folder: str):
        to_child, from_us = os.pipe()
        to_us, from_child = os.pipe()
        # away from 3 and 4, where the child wants them
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_child, from_child)]
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--remote-debugging-pipe"]
        flags += [f"--user-data-dir={folder}", "--no-first-run", "--disable-dev-shm-usage", "about:blank"]

        def as_three_and_four() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=as_three_and_four,
        )
        for fd in (to_child, from_child, *high):
            os.close(fd)
        self._write, self._read, self._buffer = from_us, to_us, b""
        self._ids = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"id": next(self._ids), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page, awaited."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression[:80]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until the JavaScript is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise RuntimeError(f"never came true: {condition}")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key as a person presses it, which counts as a gesture: sound may start."""
        code = KEY_CODES.get(key, ord(key[0].upper()))
        common = {"key": key, "windowsVirtualKeyCode": code}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str, x: float = 0.5, *, to: float | None = None) -> None:
        """On an element, `x` of its width from its left; with `to`, drags there."""
        # getting there is instant, or the click would chase a page that still scrolls
        script = "element.scrollIntoView({ block: 'center', behavior: 'instant' })"
        box = self.evaluate(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)}); {script};"
            "const box = element.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })()"
        )
        place = {"x": box[0] + x * box[2], "y": box[1] + box[3] / 2}
        self.call("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **place)
        if to is not None:
            place["x"] = box[0] + to * box[2]
            self.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **place)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **place)

    def resize(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        time.sleep(0.3)

    def shoot(self, path: Path, *, whole: bool = False) -> None:
        parameters: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **parameters)["data"]))

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for fd in (self._write, self._read):
            os.close(fd)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], PATIENCE_S)[0]:
                raise RuntimeError("the browser does not answer")
            part = os.read(self._read, 1 << 16)
            if not part:
                raise RuntimeError("the browser has gone")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        method, about = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
            self.fetched.append(about["request"]["url"])


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def check_tables(browser: Browser) -> None:
    """Headings sort, numbers as numbers; curves have marks and speak when pointed at."""
    column = "[...document.querySelectorAll('#table tbody tr')].map((row) => parseFloat(row.cells[1].textContent))"
    for direction in (1, -1):
        browser.click("#table th button[data-name='payload_kbps']")
        values = browser.evaluate(column)
        demand(values == sorted(values, reverse=direction < 0) and len(set(values)) > 1, f"rates not sorted: {values}")
    demand(browser.evaluate("document.querySelectorAll('#charts .mark').length > 2"), "curves without marks")
    said = (
        "[...document.querySelectorAll('#remarks li')].filter((li) => li.checkVisibility()).map((li) => li.textContent)"
    )
    demand(browser.evaluate(said) == browser.evaluate("DATA.remarks"), "not all remarks are shown, or others")
    browser.evaluate("document.querySelector('#charts svg').focus()")
    browser.press("ArrowRight")
    demand("kbps" in browser.evaluate("$('tip').hidden ? '' : $('tip').textContent"), "a curve's point says nothing")
    browser.press("Escape")
    demand(browser.evaluate("$('tip').hidden"), "a curve's point speaks on")


def check_playing(browser: Browser) -> None:
    """Space plays, arrows seek, a drag loops, digits switch without a gap at the same place and loudness."""
    browser.click("#listen-title")
    browser.press(" ")
    browser.wait("deck.playing && deck.position > 0.2")
    for start, to in ((0, 1), (1, 2), (2, 0)):
        # a machine under load may be late to look: the head is then no longer of the version before
        for _ in range(4):
            found = browser.evaluate(SWITCH.replace("FROM", str(start), 1).replace("TO", str(to), 1))
            if min(found["before"]["correlation"], found["after"]["correlation"]) > 0.99:
                break
        demand(found["before"]["correlation"] > 0.99, f"before the switch {start} to {to}, not {start} heard: {found}")
        demand(found["after"]["correlation"] > 0.99, f"after the switch {start} to {to}, not {to} heard: {found}")
        demand(found["apart"] == 0, f"the switch {start} to {to} moved by {found['apart']} samples")
        demand(found["quietest"] > 0.02 * found["mean"], f"a gap at the switch {start} to {to}: {found}")
        gain = browser.evaluate(f"deck.levels[{to}]")
        demand(abs(found["after"]["gain"] / gain - 1) < 0.02, f"version {to} is not at its level {gain}: {found}")
    browser.press("ArrowDown")
    demand(browser.evaluate("deck.chosen") == 1, "an arrow down does not choose the next version")
    browser.press("0")
    demand(browser.evaluate("deck.chosen") == 0, "0 does not choose the original")
    browser.press(" ")
    browser.wait("!deck.playing")
    browser.evaluate("deck.seek(0)")
    browser.press("ArrowRight")
    demand(abs(browser.evaluate("deck.position") - 1) < 0.01, "an arrow to the right is not a second")
    browser.press("ArrowLeft")
    demand(browser.evaluate("deck.position") == 0, "an arrow to the left is not a second back")
    browser.click("#versions li:nth-child(2) .picture", 0.4, to=0.6)
    length = browser.evaluate("player.clip.seconds")
    region = browser.evaluate("deck.region")
    demand(region is not None and abs(region[0] / length - 0.4) < 0.02, f"a drag gave the region {region} of {length}")
    browser.press(" ")
    browser.wait("deck.playing")
    positions = []
    while len(positions) < 100 and not any(later < earlier for earlier, later in itertools.pairwise(positions)):
        positions.append(browser.evaluate("deck.position"))
        demand(region[0] - 0.01 <= positions[-1] <= region[1] + 0.01, f"{positions[-1]} is outside the loop {region}")
        time.sleep(0.05)
    demand(len(positions) < 100, f"the loop {region} does not go round: {positions[-1]}")
    browser.press("Escape")
    browser.press(" ")
    demand(browser.evaluate("deck.region === null && !deck.playing"), "Escape does not end the loop")
    browser.click("#loop")
    browser.evaluate("document.activeElement.blur()")  # to a checkbox the space bar is its own
    browser.evaluate("deck.seek(deck.duration - 0.3)")
    browser.press(" ")
    browser.wait("!deck.playing && deck.position === 0")
    browser.click("#loop")


def check_blind_test(browser: Browser) -> None:
    """Counts right answers, gives the binomial p-value, and tells nothing before."""
    browser.click("#blind")
    browser.wait("blind.open")
    demand(browser.evaluate("getComputedStyle($('versions')).display") == "none", "spectrograms show in the blind test")
    browser.click("#abx-start")
    drawn = []
    for trial in range(16):
        demand(
            f"Trial {trial + 1} of 16" in browser.evaluate("$('abx-count').textContent"),
            f"trial {trial + 1} miscounted",
        )
        browser.press("1")
        demand(browser.evaluate("blind.answers.length") == trial, "an answer counts although X was not heard")
        seen = (
            browser.evaluate("[0, 1].map((x) => { blind.x = x; hear(2); return $('abx').outerHTML })")
            if trial == 0
            else ""
        )
        demand(not seen or seen[0] == seen[1], "the page tells what X is")
        browser.press("x")
        demand(browser.evaluate("deck.chosen === blind.versions[blind.x]"), "X is not what is heard")
        drawn.append(browser.evaluate("blind.x"))
        right = trial not in (3, 9)
        browser.press("21"[drawn[-1] == (0 if right else 1)])
    demand(len(set(drawn)) == 2, f"X was the same in 16 trials: {drawn}")
    p = sum(math.comb(16, k) for k in range(14, 17)) / 2**16
    score = browser.evaluate("$('abx-score').textContent")
    demand(score == f"14 of 16 right, p = {p:.3f}", f"14 of 16 right gave {score!r}")
    for right, n in ((0, 8), (5, 8), (8, 8), (12, 24)):
        exact = sum(math.comb(n, k) for k in range(right, n + 1)) / 2**n
        demand(abs(browser.evaluate(f"chance({right}, {n})") - exact) < 1e-12, f"the p-value of {right} of {n}")
    browser.click("#blind")
    demand(browser.evaluate("!blind.open && $('abx').hidden"), "the blind test does not end")


def check_layout(
    browser: Browser, shots: Path | None, texts: tuple[str, ...] = ("h2", ".note", "td", ".version .name")
) -> None:
    """Nothing is wider than the window, on a phone either; text stands out in light and dark."""
    for name, width, height, dark in (
        ("light", 1280, 900, False),
        ("dark", 1280, 900, True),
        ("phone", 360, 740, True),
    ):
        browser.resize(width, height, dark=dark, phone=name == "phone")
        wide = browser.evaluate("document.documentElement.scrollWidth")
        demand(wide <= width, f"{name}: the page is {wide} wide in a window of {width}")
        measure = """(() => {
            const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((x) => x / 255)
                .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
                .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
            const back = light(getComputedStyle(document.querySelector("section")).backgroundColor);
            return TEXTS.map((selector) => {
                const text = light(getComputedStyle(document.querySelector(selector)).color);
                return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
            });
        })()"""
        contrast = browser.evaluate(measure.replace("TEXTS", json.dumps(texts)))
        demand(min(contrast) >= 4.5, f"{name}: contrast of text {contrast}")
        if shots:
            browser.shoot(shots / f"{name}.png", whole=True)


def check_report(browser: Browser, shots: Path | None) -> None:
    check_tables(browser)
    check_playing(browser)
    check_blind_test(browser)
    check_layout(browser, shots)


def main(check: Callable[[Browser, Path | None], None], description: str | None = __doc__) -> int:
    """Opens the page that is named in the arguments, and checks it; the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("page", type=Path)
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    options = parser.parse_args()
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print("no Chromium here")
        return NO_BROWSER
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            browser.resize(1280, 900)
            address = options.page.resolve().as_uri()
            browser.call("Page.navigate", url=address)
            browser.wait("document.readyState === 'complete'")
            check(browser, options.shots)
            demand(browser.complaints == [], f"the console complains: {browser.complaints}")
            demand(set(browser.fetched) <= {address}, f"the page fetches {browser.fetched}")
        except (AssertionError, RuntimeError) as error:
            print(f"error: {error}", file=sys.stderr)
            if options.shots:
                browser.shoot(options.shots / "failed.png")
            return 1
        finally:
            browser.close()
    print("all holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(check_report))
