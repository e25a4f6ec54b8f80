"""The page in a real browser: a reader's mouse and keys, pixels, colours, and no network."""

from __future__ import annotations

import json

import pytest
from interactive.browser import Browser
from interactive.small import EVIL

from medtaskatlas.figures.interactive.page import interactive_atlas

pytestmark = pytest.mark.system


@pytest.fixture
def atlas(browser: Browser, page) -> Browser:
    """The page, freshly opened."""
    browser.resize(1280, 800)
    browser.scheme("light")
    browser.open(page)
    return browser


def drawn(browser, selector):
    """Share of a canvas's pixels that differ from its most frequent one."""
    return browser.js(f"""(() => {{
      const c = document.querySelector({json.dumps(selector)}), n = c.width * c.height;
      const p = new Uint32Array(
        c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
      const seen = new Map();
      for (const v of p) seen.set(v, (seen.get(v) ?? 0) + 1);
      return 1 - Math.max(...seen.values()) / n; }})()""")


def ink(browser):
    """All pixels of the map as one string."""
    return browser.js("document.querySelector('#map').toDataURL()")


def find_dot(browser):
    """Move the mouse to a dot; its place in the window."""
    browser.box("#map")
    spot = browser.js("""(() => {
      const map = document.querySelector("#map"), tip = document.querySelector("#tip");
      const { left, top, width, height } = map.getBoundingClientRect();
      const point = (x, y) => map.dispatchEvent(
        new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
      for (let y = top + 10; y < top + height - 10; y += 5) {
        for (let x = left + 10; x < left + width - 10; x += 5) {
          point(x, y);
          if (!tip.hidden) { point(left, top); return [x, y]; }
        }
      } })()""")
    assert spot, "no dot was found"
    browser.move(*spot)
    return spot


def counted(browser):
    """How many pairs the page says it shows."""
    return int(browser.text("#counts").split()[1].replace(",", ""))


def test_it_opens_without_errors_and_asks_nothing_of_a_network(atlas):
    find_dot(atlas)
    atlas.wait("document.querySelector('#tip canvas').dataset.drawn === 'yes'")
    events = atlas.drain()
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    assert [e for e in events if e["method"] in bad] == []


def test_the_policy_stops_what_would_leave_the_page(atlas):
    refused = atlas.js("""fetch("http://127.0.0.1:9/x").then(() => "sent", () => "refused")""")
    assert refused == "refused"
    atlas.js("""(() => { window.broken = []; document.addEventListener("securitypolicyviolation",
        (e) => window.broken.push(e.violatedDirective));
        document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" }));
        const s = document.createElement("script"); s.textContent = "window.ran = 1";
        document.body.append(s); })()""")
    atlas.wait("window.broken.length >= 2")
    assert set(atlas.js("window.broken")) == {"img-src", "script-src-elem"}
    assert atlas.js("window.ran") is None


def test_text_of_users_is_only_text(atlas):
    assert EVIL in atlas.text("h1")
    assert EVIL in atlas.js("document.title")
    assert atlas.js("document.images.length") == 0
    find_dot(atlas)
    assert "<b>" in atlas.text("#tip")
    assert atlas.js("document.querySelectorAll('#tip b').length") == 0


def test_map_and_heatmap_are_drawn_and_change_with_the_choices(atlas):
    assert drawn(atlas, "#map") > 0.003
    assert drawn(atlas, "#heat") > 0.1
    seen = [ink(atlas)]
    for colour in ("task", "dataset", "modality", "split", "verdict"):
        atlas.choose("#colour", colour)
        seen.append(ink(atlas))
    atlas.choose("#encoder", "1")
    seen.append(ink(atlas))
    atlas.scheme("dark")
    atlas.settle()
    seen.append(ink(atlas))
    assert len(set(seen)) == len(seen)
    legend = atlas.text("#legend")
    assert "right task" in legend


def test_a_dot_shows_its_pair_and_a_click_keeps_it(atlas):
    find_dot(atlas)
    card = atlas.text("#tip")
    for word in ("named by kNN", "severity", "held-out", "main/"):
        assert word in card
    assert atlas.js("document.querySelectorAll('#tip canvas').length") == 2
    atlas.wait("[...document.querySelectorAll('#tip canvas')].every(c => c.dataset.drawn)")
    assert drawn(atlas, "#tip canvas") > 0.2
    left, top, width, height = atlas.box("#tip")
    assert left >= 0
    assert top >= 0
    assert left + width <= 1280
    assert top + height <= 800
    pair = card.split("main/")[1].split()[0]
    x, y = find_dot(atlas)
    atlas.click(x, y)
    atlas.move(5, 5)
    assert atlas.js("document.querySelector('#tip').hidden")
    assert "main/" + pair in atlas.text("#pin")
    atlas.press("#unpin")
    assert "main/" not in atlas.text("#pin")


def test_filters_and_legend_leave_what_is_asked_for(atlas):
    everything = counted(atlas)
    family = "#filters details:first-child"
    atlas.press(f"{family} button:nth-child(2)")
    assert counted(atlas) == 0
    assert "0/3" in atlas.text(f"{family} summary")
    atlas.press(f"{family} label")
    some = counted(atlas)
    assert 0 < some < everything
    assert str(some) in atlas.text(f"{family} label")
    atlas.press(f"{family} button:first-child")
    assert counted(atlas) == everything
    atlas.press("#legend button")
    assert counted(atlas) == some
    assert atlas.js("document.querySelector('#legend button').ariaPressed") == "true"
    atlas.press("#legend button")
    assert counted(atlas) == everything


def test_pointing_at_the_legend_lights_up_dots(atlas):
    before = ink(atlas)
    x, y, w, h = atlas.box("#legend button")
    atlas.move(x + w / 2, y + h / 2)
    assert ink(atlas) != before
    atlas.move(2, 2)
    assert ink(atlas) == before


def test_search_finds_and_pins_one_after_the_other(atlas):
    atlas.press("#search")
    atlas.type("Rotation us")
    number = int(atlas.text("#found").split()[0])
    assert number > 1
    atlas.key("Enter")
    first = atlas.text("#pin")
    assert "main/rotation/us_b/" in first
    assert "number 1" in atlas.text("#found")
    atlas.key("Enter")
    assert atlas.text("#pin") != first
    assert "number 2" in atlas.text("#found")
    atlas.type(" nothing")
    assert atlas.text("#found").startswith("0 of 0")


def test_a_cell_says_its_distance_and_lights_up_both_tasks(atlas):
    atlas.choose("#order", "tasks")
    before = ink(atlas)
    x, y, _, h = atlas.box("#heat")
    side = (h - 34) / 3
    atlas.move(x + 118 + 2.5 * side, y + 1.5 * side)
    assert atlas.text("#heat-read") == (
        "denoising gaussian and rotation: 0.25 [0.15, 0.35], from 40 pairs."
    )
    assert ink(atlas) != before
    atlas.move(x + 118 + 1.5 * side, y + 0.5 * side)
    assert atlas.text("#heat-read") == "segmentation and denoising gaussian: 1.25, from 40 pairs."
    atlas.click(x + 118 + 2.5 * side, y + 0.5 * side)
    assert atlas.text("#heat-read") == "segmentation and rotation: not measured."
    atlas.move(2, 2)
    assert "not measured" in atlas.text("#heat-read")  # a click keeps it
    atlas.js("document.querySelector('#heat').focus()")
    atlas.key("Escape")
    assert ink(atlas) == before


def test_the_switch_changes_map_distances_and_nearest_tasks(atlas):
    before, named = ink(atlas), atlas.text("#nearest")
    atlas.choose("#nearest-task", "0")
    assert atlas.text("#nearest-title") == "Nearest to"
    assert "little about what helps what" in atlas.text("#sense")
    assert not atlas.js("document.querySelector('#measure-row').checkVisibility()")
    atlas.press("#alike")
    assert ink(atlas) != before
    assert atlas.text("#nearest-title") == "Does most for"
    assert atlas.text("#nearest").splitlines() == [
        "denoising gaussian 1.00 [0.00, 9.00]", "rotation 3.00 [0.00, 9.00]",
    ]  # fmt: skip
    assert "likeness for transfer" in atlas.text("#sense")
    assert atlas.text("#heat-read").startswith("Rows are sources")
    atlas.choose("#order", "tasks")
    x, y, _, h = atlas.box("#heat")
    side = (h - 34) / 3
    atlas.move(x + 118 + 2.5 * side, y + 0.5 * side)
    assert atlas.text("#heat-read").startswith("segmentation for rotation: 4.50 [")
    atlas.press("#apart")
    atlas.move(2, 2)
    assert ink(atlas) == before
    assert atlas.text("#nearest") == named


def test_a_held_out_task_is_beside_every_task(browser, heldout):
    page = heldout.folder / "atlas.html"
    interactive_atlas(**heldout.arguments, out=page, run="small")
    browser.resize(1280, 800)
    browser.scheme("light")
    browser.open(page)
    names = browser.js("[...document.querySelector('#matrix').options].map((o) => o.text)")
    assert browser.js("document.querySelector('#order').options[0].text") == "tree"
    at = names.index("held-out tasks: 1 − cosine of centroids")
    browser.choose("#matrix", str(at))
    assert browser.js("document.querySelector('#order').options[0].text") == "nearest first"
    browser.choose("#order", "tasks")
    x, y, w, h = browser.box("#heat")
    side = (h - 34 - 18) / 3
    for row, other in enumerate(("segmentation", "denoising gaussian")):
        browser.move(x + 118 + 10, y + 18 + (row + 0.5) * side)
        assert browser.text("#heat-read").startswith(f"{other} and rotation: ")
        assert "pairs." in browser.text("#heat-read")
    browser.move(x + 118 + 10, y + 18 + 2.5 * side)
    assert browser.text("#heat-read") == "rotation: 0 to itself."
    browser.move(x + w - 3, y + 18 + 0.5 * side)  # beside the column
    assert browser.text("#heat-read").startswith("Hover or arrow keys")
    browser.js("document.querySelector('#heat').focus()")
    browser.key("ArrowDown")
    browser.key("ArrowRight")  # there is one column
    assert browser.text("#heat-read").startswith("segmentation and rotation: ")
    assert [e for e in browser.drain() if e["method"] == "Runtime.exceptionThrown"] == []


def test_everything_can_be_reached_by_keys(atlas):
    reached = []
    for _ in range(60):
        atlas.key("Tab")
        reached.append(atlas.js("document.activeElement.id || document.activeElement.tagName"))
    for name in (
        "encoder",
        "colour",
        "search",
        "map",
        "heat",
        "matrix",
        "order",
        "reset",
        "labels",
    ):
        assert name in reached
    atlas.js("document.querySelector('#map').focus()")
    assert atlas.js("document.querySelector('#tip').hidden")
    cards = set()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowDown"):
        atlas.key(key)
        cards.add(atlas.text("#tip"))
    assert len(cards) > 2
    card = atlas.text("#tip")
    atlas.key("Enter")
    assert card.split("main/")[1] in atlas.text("#pin")
    atlas.key("Escape")
    assert "main/" not in atlas.text("#pin")
    before = ink(atlas)
    atlas.key("+")
    assert ink(atlas) != before
    atlas.key("0")
    assert ink(atlas) == before


def test_every_field_has_a_name(atlas):
    nameless = atlas.js("""[...document.querySelectorAll("input, select, button, canvas[tabindex]")]
      .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim()))
      .map((e) => e.outerHTML.slice(0, 80))""")
    assert nameless == []


def test_wheel_and_drag_move_the_map(atlas):
    x, y, w, h = atlas.box("#map")
    before = ink(atlas)
    atlas.mouse("mouseWheel", x + w / 2, y + h / 2, deltaX=0, deltaY=-300)
    atlas.settle()
    near = ink(atlas)
    assert near != before
    atlas.mouse("mousePressed", x + w / 2, y + h / 2, button="left", buttons=1, clickCount=1)
    atlas.mouse("mouseMoved", x + w / 2 + 60, y + h / 2, button="left", buttons=1)
    atlas.mouse("mouseReleased", x + w / 2 + 60, y + h / 2, button="left", clickCount=1)
    atlas.settle()
    assert ink(atlas) != near
    assert "main/" not in atlas.text("#pin")  # a drag is no click
    atlas.press("#reset")
    atlas.move(2, 2)
    assert ink(atlas) == before


@pytest.mark.parametrize("width", [1280, 900, 360])
def test_nothing_is_wider_than_the_window(atlas, width):
    atlas.resize(width, 800)
    atlas.settle()
    assert atlas.js("document.documentElement.scrollWidth") <= width
    assert atlas.js("document.querySelector('#map').clientHeight") >= 250


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(atlas, scheme):
    atlas.scheme(scheme)
    atlas.settle()
    ratios = atlas.js("""(() => {
      const rgb = (e, what) => getComputedStyle(e)[what].match(/[\\d.]+/g).slice(0, 3).map(Number);
      const part = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
      const light = (c) => .2126 * part(c[0]) + .7152 * part(c[1]) + .0722 * part(c[2]);
      const panel = light(rgb(document.querySelector(".panel"), "backgroundColor"));
      return ["h2", ".small", "#legend button", "#filters label", "header summary"].map((s) => {
        const text = light(rgb(document.querySelector(s), "color"));
        return (Math.max(text, panel) + .05) / (Math.min(text, panel) + .05); });
    })()""")
    assert min(ratios) > 4.5
