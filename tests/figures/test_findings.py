"""The page of findings."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from medtaskatlas.figures.findings import findings

VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Text of a page; notes elements that are not closed, and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.kinds = [], "", [], set()

    def handle_starttag(self, tag, attrs):
        self.kinds.add(tag)
        self.links += [value for key, value in attrs if key in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(path):
    page = Page()
    page.feed(path.read_text())
    assert page.open == []
    return page


def of_page(tables, names=("summary", "controls", "datasets", "tasks", "identification")):
    """Tables of the page."""
    return {name: tables[name] for name in names}


@pytest.fixture(scope="module")
def page(tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "findings.html"
    findings(path, parts=["atlas"], **of_page(tables))
    return read(path)


def test_every_finding_is_there_with_its_number_and_verdict(page):
    assert "70 % of pairs" in page.text
    assert "0.70 [0.64, 0.75]" in page.text
    assert "n = 120 pairs, 9 groups, 3 datasets" in page.text
    assert "not supported" in page.text
    assert "too few groups" in page.text
    assert "shuffled labels: passed" in page.text


def test_controls_say_what_came_out(page):
    for word in ("passed", "failed", "not run", "duplicated task"):
        assert word in page.text


def test_datasets_say_what_is_derived_and_held_out(page):
    assert "derived, not ground truth" in page.text
    assert "CC0-1.0" in page.text
    assert "cells d" in page.text


def test_text_of_tables_is_escaped_and_nothing_is_fetched(page):
    assert "<b>well</b>" in page.text  # as text, so it was escaped
    assert "Set <ct_a>" in page.text
    assert "chance & no better" in page.text
    assert page.links == []
    assert not page.kinds & {"b", "script", "img", "link"}


def test_supported_findings_come_first(page):
    assert page.text.index("70 % of pairs") < page.text.index("found again by clustering")


def test_a_run_without_findings_or_controls(tables, tmp_path):
    paths = of_page(tables)
    for name in ("summary", "controls"):
        paths[name] = tmp_path / f"{name}.parquet"
        pd.read_parquet(tables[name]).iloc[:0].to_parquet(paths[name])
    findings(tmp_path / "f.html", parts=["atlas"], **paths)
    assert "no findings" in read(tmp_path / "f.html").text


def test_the_page_begins_with_what_the_run_has(tables, page, tmp_path):
    assert page.text.count("What the atlas of tasks shows") == 2
    assert "encoder learns" in page.text
    alone = of_page(tables, ("summary", "datasets", "tasks"))
    findings(tmp_path / "f.html", parts=["medformer"], **alone)
    text = read(tmp_path / "f.html").text
    assert "one transformer for the pictures and volumes" in text
    for word in ("atlas", "encoder learns", "Multi-task", "Controls", "How well each encoder"):
        assert word not in text, word
    findings(tmp_path / "f.html", parts=["atlas", "multitask"], **of_page(tables))
    assert "Multi-task systems" in read(tmp_path / "f.html").text
