"""The page of an answer in a real browser."""

import json

import pytest
from interactive.browser import opened

pytestmark = pytest.mark.system


def test_pairs_are_drawn_into_the_map_and_nothing_is_asked_of_a_network(mine, place, tmp_path):
    found = place(mine())
    with opened(tmp_path / "profile") as browser:
        browser.resize(1280, 1400)
        browser.open(found.out / "place.html")
        browser.screenshot(tmp_path / "page.png", whole=True)
        shown = int(browser.text("#counts").split()[1].replace(",", ""))
        payload = json.loads(browser.js("document.querySelector('#payload').textContent"))
        assert shown == len(payload["pair_id"])
        own = [name for name in payload["pair_id"] if name.startswith("your pairs/")]
        assert len(own) == found.n_pairs
        browser.js("document.querySelector('#search').value = 'your pairs'")
        browser.js("document.querySelector('#search').dispatchEvent(new Event('input'))")
        assert f"{found.n_pairs} of {found.n_pairs} matches" in browser.text("#found")
        browser.js("document.querySelector('#controls').requestSubmit()")
        browser.settle()
        assert "your pairs" in browser.text("#pin")
        assert "not known" in browser.text("#pin")
        bad = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        events = browser.drain()
        assert [e for e in events if e["method"] in bad] == []
        asked = [
            e["params"]["request"]["url"]
            for e in events
            if e["method"] == "Network.requestWillBeSent"
        ]
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_without_an_atlas_the_page_says_how_to_make_it(mine, place, copy, tmp_path):
    (copy / "atlas.html").unlink()
    found = place(mine(), in_run=copy)
    with opened(tmp_path / "profile") as browser:
        browser.open(found.out / "place.html")
        assert "snakemake" in browser.text(".answer")
        assert "atlas.html" in browser.text(".answer")
        assert browser.js("document.querySelectorAll('.thumbs img').length") == 24
