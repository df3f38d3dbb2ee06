"""Opens a gallery in a real headless Chromium and uses it.

    python -m tests.evaluate.gallery.browser_check gallery.html [--shots DIR]

Exits as the report's check does. Needs only the standard library.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.evaluate.report.browser_check import Browser, check_layout, demand, main


def check_rows(browser: Browser) -> None:
    """Every list has its rows, with pictures that are drawn; sections can be reached from the top."""
    drawn = browser.evaluate("""Promise.all(lists.map(async ({ clip, rows }) => {
        const images = [...rows.querySelectorAll("img")];
        await Promise.all(images.map((image) => image.decode()));
        return clip.versions.length === images.length && images.every((image) => image.naturalWidth > 0 && image.alt);
    }))""")
    demand(drawn and all(drawn), f"lists without rows, or pictures: {drawn}")
    links = "[...document.querySelectorAll('nav a')].map((a) => Boolean(document.querySelector(a.hash)))"
    titles = browser.evaluate("document.querySelectorAll('section h2').length")
    demand(browser.evaluate(links) == [True] * titles, "a section is not linked from the top")
    marked = "lists.flatMap(({ clip }) => clip.versions).reduce((sum, version) => sum + version.marks.length, 0)"
    demand(browser.evaluate(f"document.querySelectorAll('.part').length === {marked}"), "marks are not all shown")


def check_playing(browser: Browser) -> None:
    """A row plays, another one of its list goes on at the same place, one of another list begins; all lists decode."""
    n_lists = browser.evaluate("lists.length")
    for i in range(n_lists):
        browser.click(f"#rows{i} li:first-child button")
        browser.wait(f"deck.playing && player.list.id === 'rows{i}' && deck.position > 0.05")
        durations = browser.evaluate("deck.buffers.map((buffer) => buffer.duration)")
        length = browser.evaluate("player.clip.seconds")
        demand(all(abs(x - length) < 0.05 for x in durations), f"list {i} of {length} s holds {durations}")
        pressed = browser.evaluate("[...document.querySelectorAll('.version[aria-pressed=true]')].length")
        demand(pressed == 1, f"{pressed} rows say that they play")
    before = browser.evaluate("deck.position")
    browser.press("1")
    demand(browser.evaluate("deck.chosen") == 1, "1 does not choose the second sound")
    demand(browser.evaluate("deck.playing && deck.position") >= before, "a switch begins anew")
    browser.click(f"#rows{n_lists - 1} li:nth-child(2) button")
    demand(not browser.evaluate("deck.playing"), "the row that plays cannot be stopped")
    # elsewhere, while nothing plays: goes there, and plays from there
    browser.click("#rows0 li:nth-child(2) .picture", 0.5)
    demand(browser.evaluate("player.list.id === 'rows0' && deck.chosen === 1"), "a spectrogram does not choose")
    half = browser.evaluate("player.clip.seconds") / 2
    demand(abs(browser.evaluate("deck.position") - half) < 0.1, "a spectrogram does not go to where it is clicked")
    browser.click("#play")
    browser.wait("deck.playing && deck.buffers.length")
    demand(browser.evaluate("deck.position") >= half - 0.1, "play begins elsewhere than it stood")
    browser.press("Escape")
    # what is still being decoded does not play once another list is in the player
    browser.evaluate("(deck.stop(), press(lists[1], 0), pick(lists[0], 0))")
    time.sleep(0.5)
    demand(browser.evaluate("!deck.playing && !deck.buffers.length"), "a list plays that is no longer in the player")
    browser.click("#rows0 li:first-child .picture", 0.2, to=0.4)
    demand(browser.evaluate("deck.region !== null && $('loop').checked"), "a drag does not loop")
    browser.press("Escape")
    demand(browser.evaluate("deck.region === null"), "Escape does not end the loop")
    browser.click("#loop")
    browser.evaluate("document.activeElement.blur()")
    browser.evaluate("deck.seek(deck.duration - 0.1)")
    browser.wait("!deck.playing")


def check_keyboard(browser: Browser) -> None:
    """A row that has the focus is pressed by the space bar, and space belongs to the page while nothing plays."""
    browser.evaluate("document.querySelector('#rows0 li:nth-child(2) button').focus()")
    browser.press(" ")
    browser.wait("deck.playing && deck.chosen === 1")
    browser.press(" ")
    browser.wait("!deck.playing")


def check_copying(browser: Browser) -> None:
    """A command's button copies its text, or marks it where it may not."""
    browser.click(".command button")
    browser.wait("document.querySelector('.command button').textContent !== 'Copy'")
    if browser.evaluate("document.querySelector('.command button').textContent") == "Marked":
        text = browser.evaluate("document.querySelector('.command pre').textContent")
        demand(browser.evaluate("getSelection().toString()") == text, f"not marked: {json.dumps(text)}")


def check_gallery(browser: Browser, shots: Path | None) -> None:
    check_rows(browser)
    check_playing(browser)
    check_keyboard(browser)
    check_copying(browser)
    check_layout(browser, shots, ("h2", ".note", ".command pre", ".version .name", ".version .values"))


if __name__ == "__main__":
    sys.exit(main(check_gallery, __doc__))
