"""What the interactive atlas holds, and that data cannot become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest
from interactive.small import EVIL, HELDOUT, TASKS, transfer_rows

from medtaskatlas.core.errors import DataError
from medtaskatlas.figures.interactive.data import gather
from medtaskatlas.figures.interactive.distances import DISC, around, leaves, nearest_first, places
from medtaskatlas.figures.interactive.encoding import packed, script_json, styles_of
from medtaskatlas.figures.interactive.page import interactive_atlas
from medtaskatlas.figures.interactive.sprites import ACROSS, TILE, Tiles, sheets_of
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import SIDES, PairSet

TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "f32": "<f4"}


def unpacked(value):
    return np.frombuffer(base64.b64decode(value["data"]), TYPES[value["type"]])


def decoded(sheets):
    """Pixels of all tiles."""
    tiles = []
    for data in sheets.data:
        raw = np.frombuffer(base64.b64decode(data), np.uint8)
        sheet = cv2.cvtColor(cv2.imdecode(raw, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        rows = sheet.reshape(-1, TILE, ACROSS, TILE, 3).swapaxes(1, 2)
        tiles.append(rows.reshape(-1, TILE, TILE, 3))
    return np.concatenate(tiles)


class Page(HTMLParser):
    """Elements, addresses and scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.styles, self.words = [], [], [], [], []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self._inside = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        {"script": self.scripts, "style": self.styles}.get(self._inside, self.words).append(data)


@pytest.fixture(scope="module")
def content(small):
    return gather(**small.arguments)


@pytest.fixture(scope="module")
def text(page):
    return page.read_text(encoding="utf-8")


def test_pictures_are_the_pixels_of_their_pairs(small, content):
    assert content.sheets.quality == "lossless"
    tiles = decoded(content.sheets)
    images = {path.stem: ImageSet(path) for path in small.images}
    rows = {
        pair: (PairSet(path, images[dataset]), row)
        for (_, dataset), path in small.pairs.items()
        for row, pair in enumerate(PairSet(path, images[dataset]).numpy("pair_id"))
    }
    for i, pair in enumerate(content.payload["pair_id"]):
        pairs, row = rows[pair]
        for side in SIDES:
            wanted = cv2.resize(
                np.ascontiguousarray(pairs.side(side, row)),
                (TILE, TILE),
                interpolation=cv2.INTER_NEAREST,
            )
            np.testing.assert_array_equal(tiles[unpacked(content.payload[side])[i]], wanted)
        severity = unpacked(content.payload["severity"])[i]
        assert severity == pytest.approx(pairs.numpy("severity")[row], nan_ok=True)


def test_only_held_out_pairs_are_shown_and_the_cap_is_kept(small, content):
    pairs = [pair.split("/") for pair in content.payload["pair_id"]]
    assert {task for _, task, _, _ in pairs} == set(TASKS)
    assert content.n_shown == content.n_heldout == len(pairs)
    few = gather(**small.arguments, max_pairs=20)
    assert few.n_shown == 20
    assert few.n_heldout == content.n_heldout
    per_cell = pd.Series([tuple(p.split("/")[1:3]) for p in few.payload["pair_id"]]).value_counts()
    assert len(per_cell) == 9
    assert per_cell.max() - per_cell.min() <= 1


def test_predictions_are_those_of_the_first_seed_of_each_encoder(small, content):
    assert [(e["name"], e["seed"], e["n_seeds"]) for e in content.payload["encoders"]] == [
        ("taco", 0, 2),
        ("pixels", 0, 1),
    ]
    task = next(d for d in content.payload["dimensions"] if d["name"] == "task")["values"]
    frames = [pd.read_parquet(path) for path in small.arguments["prediction_paths"][:2]]
    frames = [frame[frame["method"] == "knn"].set_index("pair_id") for frame in frames]
    taco, ids = content.payload["encoders"][0], content.payload["pair_id"]
    named = [task[code].replace(" ", "_") for code in unpacked(taco["predicted"])]
    assert named == frames[0].loc[ids, "predicted"].tolist()
    right = sum(frame.loc[ids, "correct"].to_numpy() for frame in frames)
    np.testing.assert_array_equal(unpacked(taco["n_right"]), right)
    np.testing.assert_array_equal(
        unpacked(taco["verdict"]) == 0, frames[0].loc[ids, "correct"] == 1
    )


def test_places_fill_the_unit_square_on_one_scale(content):
    for encoder in content.payload["encoders"]:
        spots = np.stack([unpacked(encoder["x"]), unpacked(encoder["y"])])
        assert spots.min() >= 0
        assert spots.max() <= 1
        extent = np.ptp(spots, axis=1)
        assert extent.max() == pytest.approx(1)
        np.testing.assert_allclose(spots.min(axis=1) + extent / 2, 0.5, atol=1e-6)


def test_matrices_are_symmetric_and_say_what_is_missing(content):
    tables = content.payload["encoders"][0]["distances"]
    assert [t["name"] for t in tables] == [
        "held-out groups: 1 − cosine of centroids",
        "held-out datasets: 1 − cosine of centroids",
    ]
    value = unpacked(tables[0]["value"]).reshape(3, 3)
    np.testing.assert_array_equal(value, value.T)
    # In the order of families: segmentation, denoising, rotation.
    np.testing.assert_allclose(value[0], [0, 1.25, np.nan], equal_nan=True)
    assert sorted(tables[0]["near"]) == tables[0]["tasks"] == tables[0]["columns"] == [0, 1, 2]
    assert tables[0]["near_name"] == "tree"
    assert unpacked(tables[0]["low"]).reshape(3, 3)[1, 2] == pytest.approx(0.15)


def test_a_held_out_task_is_beside_every_task_nearest_first(heldout):
    payload = gather(**heldout.arguments).payload
    tasks = next(d for d in payload["dimensions"] if d["name"] == "task")["values"]
    table = pd.read_parquet(heldout.arguments["task_distances_path"])
    rows = table[
        (table["encoder"] == "taco")
        & (table["split"] == "tasks")
        & (table["metric"] == "centroid_cosine")
    ]
    others = rows["task_a"].where(rows["task_b"] == "rotation", rows["task_b"])
    wanted = rows.assign(other=others).sort_values("estimate")["other"].str.replace("_", " ")
    matrix = next(
        m for m in payload["encoders"][0]["distances"] if m["name"].startswith("held-out tasks: 1")
    )
    assert [tasks[k] for k in matrix["columns"]] == ["rotation"]
    assert [tasks[k] for k in matrix["near"]] == ["rotation", *wanted]
    assert matrix["near_name"] == "nearest first"
    value = unpacked(matrix["value"]).reshape(3, 3)
    assert np.isfinite(value[2]).all()
    assert np.isnan(value[0, 1])  # two tasks of the gallery: not the question


def test_the_nearest_stand_first_and_the_unknown_last():
    apart = np.array([[0.5, np.nan], [np.nan, np.nan], [0.0, 0.2], [0.4, 0.5]])
    assert nearest_first(apart) == [2, 3, 0, 1]


def test_leaves_bring_near_tasks_together():
    apart = np.array([[0, 9, 1, np.nan], [9, 0, 9, 1], [1, 9, 0, 9], [np.nan, 1, 9, 0]])
    order = leaves(apart)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert leaves(apart[:2, :2]) == [0, 1]


def test_equal_input_gives_an_equal_file(small, text, tmp_path):
    interactive_atlas(**small.arguments, out=tmp_path / "again.html", run=EVIL)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_text_of_users_cannot_become_markup(text):
    page = Page(text)
    words = "".join(page.words)
    assert words.count(EVIL) == 3 + 2  # a title a dataset, and the run twice
    assert "Somebody <a@b>" in words
    assert page.tags.count("script") == 1 + 1 + text.count('<script type="text/plain"')
    assert "img" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on")]
    payload = json.loads(page.scripts[0])
    assert any("<b>" in image for image in payload["image_id"])
    assert not set("<>&") & set(page.scripts[0])


def test_no_address_leads_out_and_the_policy_fits_the_page(text):
    page = Page(text)
    links = [a for a in page.attributes if a[1] in ("src", "href", "srcset", "action", "data")]
    assert links == [("link", "href", "data:,")]
    assert not re.search(r"https?:|//[a-z]+\.[a-z]", "".join(page.scripts[-1:] + page.styles))
    policy = next(a[2] for a in page.attributes if a[1] == "content" and "default-src" in a[2])
    assert policy.startswith("default-src 'none'; ")
    for kind, code in (("script", page.scripts[-1]), ("style", page.styles[0])):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_page_says_its_limits(text):
    words = "".join(Page(text).words)
    for part in (
        "A projection is a picture, not a number", "t-SNE", "PCA to 30 dimensions",
        "held-out pairs are shown, the same ones for every encoder", "(lossless)",
        "CC0-1.0", "3 tasks, 3 datasets, 3 modalities",
    ):  # fmt: skip
        assert part in words


def test_a_few_pairs_are_shown_without_a_projection(small, tmp_path):
    out = tmp_path / "few.html"
    interactive_atlas(**small.arguments, out=out, run="few", max_pairs=4)
    assert "there is no projection" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "keep", "problem"),
    [
        ("pair_paths", 1, "no pairs file of"),
        ("image_paths", 1, "no images file of"),
        ("prediction_paths", 2, "embeddings of pixels but no predictions"),
    ],
)
def test_missing_files_are_named(small, tmp_path, name, keep, problem):
    arguments = {**small.arguments, name: small.arguments[name][:keep]}
    with pytest.raises(DataError, match=problem):
        interactive_atlas(**arguments, out=tmp_path / "atlas.html", run="x")
    assert not list(tmp_path.iterdir())


def test_equal_pictures_are_kept_once_and_sheets_obey_the_budget():
    rng = np.random.default_rng(0)
    # Noise, which is hard to compress, and flat pictures, of two sheets together.
    noise = rng.integers(0, 256, (300, TILE, TILE, 3), dtype=np.uint8)
    noise[40:, 1:] = 0
    tiles = Tiles()
    assert [tiles.add(image) for image in noise] == list(range(300))
    assert tiles.add(noise[7]) == 7
    assert len(tiles.pixels) == 300
    assert len(sheets_of(tiles).data) == 2
    budget = 250_000
    poorer = sheets_of(tiles, budget)
    assert poorer.quality.startswith("WebP, quality")
    assert sum(len(base64.b64decode(data)) for data in poorer.data) <= budget
    with pytest.raises(DataError, match="300 pictures"):
        sheets_of(tiles, 1000)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f4"])
def test_packing_keeps_numbers(kind):
    values = np.array([0, 1, 255, 17]).astype(kind)
    np.testing.assert_array_equal(unpacked(packed(values)), values)
    big = values.astype(f">{kind}")
    assert packed(big) == packed(values)


def test_json_for_scripts_is_json_and_holds_no_markup():
    value = {"a": EVIL, "b": ["<!--", "]]>", "\u2028"]}
    assert json.loads(script_json(value)) == value
    assert not set("<>&\u2028") & set(script_json(value))
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json(float("nan"))


def test_looks_differ_where_colours_repeat():
    for dimension in ("task", "family", "modality"):
        looks = styles_of(dimension, [f"unknown {k}" for k in range(6)])
        assert len({(look["light"], look["shape"]) for look in looks}) == 6
    assert len({(a["light"], a["shape"]) for a in styles_of("task", ["t"] * 48)}) == 48


def test_what_works_alike_has_a_direction_and_a_map_of_its_own(content):
    assert [one["name"] for one in content.payload["encoders"]] == ["taco", "pixels"]
    (alike,) = content.payload["alike"]
    assert alike["sense"] == "maps"
    every, one = alike["distances"]
    assert [every["name"], one["name"]] == ["all datasets", "ct_a"]
    tasks = content.payload["dimensions"][1]["values"]
    value = unpacked(every["value"]).reshape(3, 3)
    at = {tasks[task]: k for k, task in enumerate(every["tasks"])}
    for row in transfer_rows(["all"]):
        s, t = (at[row[side].replace("_", " ")] for side in ("source", "target"))
        assert value[s, t] == pytest.approx(row["estimate"])
    assert not np.allclose(value, value.T)
    assert np.isnan(unpacked(one["low"])).all()
    x, y = unpacked(alike["x"]), unpacked(alike["y"])
    task = unpacked(content.payload["codes"]["task"])
    middle = {k: np.array([x[task == k].mean(), y[task == k].mean()]) for k in set(task)}
    far = {k: np.hypot(x[task == k] - m[0], y[task == k] - m[1]).max() for k, m in middle.items()}
    assert max(far.values()) < 2.5 * DISC


def test_graded_codes_name_nothing_and_are_the_first_that_work_alike(small, tmp_path):
    path = tmp_path / "graded_distance.parquet"
    trained = [row | {"target_trained": True} for row in transfer_rows(encoder="taco")]
    unseen = [row | {"target_trained": False, "estimate": 7.0} for row in trained]
    pd.DataFrame(unseen + trained).to_parquet(path)
    payload = gather(**small.arguments, graded_distance_path=path).payload
    assert [one["name"] for one in payload["encoders"]] == ["pixels"]
    codes, maps = payload["alike"]
    assert (codes["name"], codes["sense"], maps["sense"]) == ("codes of taco", "codes", "maps")
    # By the training that knew the target, as maps have it here.
    assert codes["distances"] == maps["distances"]


def test_without_tables_of_transfer_tasks_are_only_named(small):
    arguments = {**small.arguments, "functional_distance_path": None}
    assert gather(**arguments).payload["alike"] == []


def test_tasks_are_placed_by_their_distances_and_pairs_around_them():
    place = dict(zip(TASKS, places(pd.DataFrame(transfer_rows()), TASKS), strict=True))
    far = {t: np.hypot(*(place["rotation"] - place[t])) for t in TASKS}
    assert far["denoising_gaussian"] < far["segmentation"]
    spots = around(np.repeat([[0.0, 0.0], [4.0, 0.0]], 50, axis=0), np.repeat(["a", "b"], 50))
    assert np.hypot(*spots[:50].T).max() <= DISC * 4
    assert len(np.unique(spots.round(6), axis=0)) == 100


def test_held_out_datasets_are_marked(content):
    assert [d["dataset"] for d in content.datasets if d["heldout"]] == HELDOUT
