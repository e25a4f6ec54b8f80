"""The answer as one page: the run's interactive atlas with the user's pairs drawn in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from medtaskatlas.atlas.knn import nearest
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.figures.frames import html_table, plain
from medtaskatlas.figures.interactive.encoding import packed, script_json
from medtaskatlas.figures.interactive.page import policy
from medtaskatlas.figures.interactive.sprites import ACROSS, Tiles, sheets_of
from medtaskatlas.figures.interactive.static_files import STYLE
from medtaskatlas.figures.projection import medoid
from medtaskatlas.place.nearest import Space
from medtaskatlas.place.pairs import OwnPairs

YOURS = "your pairs"
# A star, larger than what else is on the map.
_STAR = "M" + "L".join(
    f"{radius * np.sin(turn * np.pi / 5):.2f},{-radius * np.cos(turn * np.pi / 5):.2f}"
    for turn, radius in enumerate((2.2, 0.95) * 5)
)
_LOOK = {"light": "#000000", "dark": "#FFFFFF", "shape": f"{_STAR}Z"}
_NEIGHBOURS = 5  # of a pair on the map, among which its place is chosen
_SPREAD = 0.012  # of the map, by which pairs at one place are moved apart
_SHOWN = 12  # pairs as thumbnails
_KINDS = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "f32": "<f4"}
_STYLE = """
.answer { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem .8rem; margin-top: .5rem; }
.answer h2 { margin: .7rem 0 .2rem; } .answer h2:first-child { margin-top: 0; }
.answer ul.note { padding-left: 1.6rem; }
.answer p, .answer ul { margin: .2rem 0; max-width: 75rem; }
.thumbs { display: flex; flex-wrap: wrap; gap: .5rem; } .thumbs img { width: 64px; height: 64px;
  image-rendering: pixelated; } .columns { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; }
"""
_PARTS = {
    "payload": re.compile(r'(?<=id="payload">).*?(?=</script>)', re.S),
    "style": re.compile(r"(?<=<style>).*?(?=</style>)", re.S),
    "script": re.compile(r"(?<=<script>).*?(?=</script>)", re.S),
    "policy": re.compile(r'(?<=Content-Security-Policy" content=").*?(?=">)', re.S),
    "title": re.compile(r"(?<=<title>).*?(?=</title>)", re.S),
    "header": re.compile(r"</header>"),
}


def with_map(
    atlas: Path,
    answer: str,
    pairs: OwnPairs,
    *,
    space: Space,
    vectors: np.ndarray,
    named: list[str],
) -> str | None:
    """The run's page with pairs drawn in; None where the encoder is not on it.

    The map is as the run drew it: a pair takes the place of that of its five nearest pairs there
    which is nearest to the others. ``named`` is the task that each pair's neighbours name.
    """
    text = atlas.read_text(encoding="utf-8")
    found = {name: pattern.search(text) for name, pattern in _PARTS.items()}
    if absent := [name for name, part in found.items() if part is None]:
        raise DataError(
            f"{atlas} is of another version: it has no {absent[0]}",
            f"make it again: snakemake {atlas} --cores 1 --forcerun interactive_atlas",
        )
    payload = json.loads(_part(text, "payload"))
    encoder = space.path.parent.name
    own = [one for one in payload["encoders"] if one["name"] == encoder]
    if not own or own[0]["seed"] != space.seed:
        return None
    n_sheets = len(re.findall(r'id="sheet-\d+"', text))
    tiles = Tiles()
    numbers = {
        side: np.array([tiles.add(image) for image in pixels]) + n_sheets * ACROSS**2
        for side, pixels in (("input", pairs.inputs), ("output", pairs.outputs))
    }
    places = np.stack([_unpacked(own[0][axis]) for axis in "xy"], axis=1)
    spots = _spots(payload["pair_id"], places, space, vectors)
    _draw_in(payload, own[0], pairs, numbers, spots=spots, named=named)
    style, script = _part(text, "style") + _STYLE, _part(text, "script")
    how = (
        "Stars on the map are your pairs. The map is the run's own: each star takes the place of "
        f"that one of the {_NEIGHBOURS} nearest pairs there which lies in their middle."
    )
    sheets = "\n".join(
        f'<script type="text/plain" id="sheet-{n_sheets + k}">{data}</script>'
        for k, data in enumerate(sheets_of(tiles).data)
    )
    parts = {
        "payload": script_json(payload),
        "style": style,
        "policy": policy(style, script),
        "title": _title(space.facts.get("run")),
        "header": f'</header>\n{answer}\n<p class="small">{escape(how)}</p>\n{sheets}',
    }
    for name, part in parts.items():
        start, end = _where(text, name)
        text = text[:start] + part + text[end:]
    return text


def without_map(answer: str, run: str) -> str:
    """The answer alone, in the same style."""
    style = STYLE.read_text(encoding="utf-8") + _STYLE
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style, "")}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_title(run)}</title><link rel="icon" href="data:,"><style>{style}</style></head>'
        f"<body><h1>{_title(run)}</h1>\n{answer}</body></html>\n"
    )


def answer_html(found: dict[str, Any], pairs: OwnPairs) -> str:
    """The answer in words and tables, with pictures of some pairs."""
    rows = found["rows"]
    tasks = [row for row in rows if row["kind"] == "task"]
    said = [f"<h2>Your {len(pairs)} pairs among the tasks of run {escape(found['run'])}</h2>"]
    said += [f"<p>{escape(line)}</p>" for line in found["text"]]
    if found["warnings"]:
        lines = "".join(f"<li>{escape(line)}</li>" for line in found["warnings"])
        said.append(f'<ul class="note">{lines}</ul>')
    shown = [
        [escape(plain(r["name"])), escape(r["family"]), *map(_number, _of(r, _TASK))]
        for r in tasks[:8]
    ]
    heads = ["task", "family", "share of neighbours", "support", "distance"]
    tables = [_panel("Nearest tasks", html_table(heads, shown, {2, 3, 4}))]
    for kind, title in (("source", "Pre-train on"), ("partner", "Train together with")):
        own = [row for row in rows if row["kind"] == kind][:8]
        if own:
            shown_gains = _GAIN if "gain" in own[0] else _GAIN[:1]
            heads = ["task", *("functional distance", "expected gain", "from", "to")]
            cells = [[escape(plain(r["name"])), *map(_number, _of(r, shown_gains))] for r in own]
            heads = heads[: 1 + len(shown_gains)]
            tables.append(_panel(title, html_table(heads, cells, {1, 2, 3, 4})))
    said.append(f'<div class="columns">{"".join(tables)}</div>')
    pictures = "".join(
        f'<figure><img alt="input of {escape(name)}" src="{_png(one)}"> → '
        f'<img alt="output of {escape(name)}" src="{_png(two)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, one, two in list(zip(pairs.names, pairs.inputs, pairs.outputs, strict=True))[
            :_SHOWN
        ]
    )
    more = f" (the first {_SHOWN})" if len(pairs) > _SHOWN else ""
    said.append(f'<h2>Pairs as they were read{more}</h2><div class="thumbs">{pictures}</div>')
    return f'<section class="answer">{"".join(said)}</section>'


_TASK = ("share", "support", "distance")
_GAIN = ("distance", "gain", "ci_low", "ci_high")


def _of(row: dict[str, Any], names: Sequence[str]) -> list[float | None]:
    """Some numbers of a row."""
    return [row.get(name) for name in names]


def _number(value: float | None) -> str:
    """A number in a cell."""
    return "" if value is None else f"{value:.2f}"


def _panel(title: str, table: str) -> str:
    """A table under its title."""
    return f"<div><h2>{title}</h2>{table}</div>"


def _title(run: object) -> str:
    """Title of the page."""
    return f"Your pairs in the atlas of tasks, run {escape(str(run))}"


def _where(text: str, name: str) -> tuple[int, int]:
    """Where a part of the page, which has it, begins and ends."""
    found = _PARTS[name].search(text)
    assert found is not None
    return found.span()


def _part(text: str, name: str) -> str:
    """A part of the page, which has it."""
    return text[slice(*_where(text, name))]


def _png(image: np.ndarray) -> str:
    """A picture as an address of its own."""
    data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def _unpacked(values: dict[str, str]) -> np.ndarray:
    """What :func:`packed` has packed."""
    return np.frombuffer(base64.b64decode(values["data"]), _KINDS[values["type"]])


def _longer(values: dict[str, str], more: np.ndarray) -> dict[str, str]:
    """Packed values with more at their end."""
    known = _unpacked(values)
    return packed(np.concatenate([known, np.asarray(more).astype(known.dtype)]))


def _draw_in(
    payload: dict[str, Any],
    encoder: dict[str, Any],
    pairs: OwnPairs,
    numbers: dict[str, np.ndarray],
    *,
    spots: np.ndarray,
    named: list[str],
) -> None:
    """Put pairs into what the page holds, as a task, family and dataset of their own."""
    n, first = len(pairs), len(payload["pair_id"])
    dimensions = {one["name"]: one for one in payload["dimensions"]}
    words = [plain(task) for task in named]
    tasks = dimensions["task"]["values"]
    named_codes = np.array([tasks.index(word) if word in tasks else 0 for word in words])
    payload["task_family"].append(len(dimensions["family"]["values"]))
    for name, one in dimensions.items():
        one["values"].append("not known" if name == "verdict" else YOURS)
        one["looks"].append(_LOOK)
        new = np.full(n, len(one["values"]) - 1)
        if name == "verdict":
            encoder["verdict"] = _longer(encoder["verdict"], new)
        else:
            payload["codes"][name] = _longer(payload["codes"][name], new)
    payload["pair_id"] += [f"{YOURS}/{name}" for name in pairs.names]
    payload["image_id"] += pairs.names
    payload["severity"] = _longer(payload["severity"], np.full(n, np.nan))
    for side, number in numbers.items():
        payload[side] = _longer(payload[side], number)
    encoder["predicted"] = _longer(encoder["predicted"], named_codes)
    encoder["n_right"] = _longer(encoder["n_right"], np.zeros(n))
    for k, axis in enumerate("xy"):
        encoder[axis] = _longer(encoder[axis], spots[:, k])
    encoder["middles"].insert(0, [len(tasks) - 1, first + medoid(spots)])
    payload["encoders"] = [encoder]
    payload["alike"] = []  # other spaces, in which the pairs have no place


def _spots(
    shown: Sequence[str], places: np.ndarray, space: Space, vectors: np.ndarray
) -> np.ndarray:
    """Places of pairs among those that are on the map, [N, 2]."""
    row_of = {pair: row for row, pair in enumerate(space.frame["pair_id"])}
    there = np.array([i for i, pair in enumerate(shown) if pair in row_of])
    known = l2_normalize(space.vectors[[row_of[shown[i]] for i in there]])
    spots = np.empty((len(vectors), 2))
    for part, rows, _ in nearest(vectors, known, _NEIGHBOURS):
        near = places[there[rows]]
        spots[part] = [one[medoid(one)] for one in near]
    # By the golden angle, so that none hides another.
    turn = np.arange(len(spots)) * np.pi * (3 - np.sqrt(5))
    far = _SPREAD * np.sqrt((np.arange(len(spots)) + 0.5) / len(spots))
    return np.asarray(spots + far[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
