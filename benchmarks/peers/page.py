"""The page of the benchmark, from what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import geometric_mean

from medtaskatlas.tasks.task import Task

from .timing import IMAGES, OURS, OURS_REPEATED, SEVERITY, Measured, effect_of
from .way import Peer

# Task, side, whether in colour.
Cells = Mapping[tuple[str, int, bool], list[Measured]]
KINDS = {False: "grey", True: "RGB"}


def page(cells: Cells, peers: Sequence[Peer], tasks: Sequence[Task], rounds: int) -> str:
    """The whole page, Markdown without a date.

    Parameters
    ----------
    cells
        What :func:`peers.timing.measure` found.
    peers
        The libraries, in the order of the columns.
    tasks
        Our tasks, in the order of the rows.
    rounds
        How many turns each contender had.

    Returns
    -------
    str
        The page.
    """
    kinds = sorted({key[1:] for key in cells})
    same = {key: found for key, found in cells.items() if _fastest(found)}
    parts = [
        _head(peers, rounds),
        "## Summary\n",
        _summary(same, kinds),
        _slower(same),
        *(_table(same, peers, tasks, side, colour) for side, colour in kinds),
        "## Simpler relatives\n",
        _simpler(cells, tasks, kinds),
        "## What was called\n",
        _ways(cells, peers, tasks),
        "## How much each changes the image\n",
        _changes(cells, peers, tasks),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _processor() -> str:
    """Name of the processor, as far as the system tells."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _head(peers: Sequence[Peer], rounds: int) -> str:
    packages = [p.package for p in peers] + ["torch", "numpy", "opencv-python-headless"]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"""# The task bank beside its peers

Made by `make bench-tasks`; do not edit. Images a second, the same images for all, one thread each,
all in one process.

- Machine: {_processor()}, {platform.system()}, Python {platform.python_version()}.
- Versions: {versions}.
- Ours is `draw` and `apply` of a task: parameters are drawn anew for every image, and the pair is
  made. Severity is {SEVERITY} where a task has a ladder; the peers are set to the same effect, as
  far as they let one choose it (last table).
- Every library works on single images in its own format, already in memory: ours, albumentations
  and scikit-image on uint8 arrays, MONAI, TorchIO and kornia on float32 tensors. The latter are
  spared the rounding to 8 bits that ours does, and so is scikit-image where it returns floats.
  Grey is one plane for all.
- Classes are made once and called directly, an image at a time. Where a library has a random and a
  fixed form, the random one is taken, since ours draws too; of kornia the functions, which are
  quicker on one image than its classes and draw nothing. Where a library has several ways, all are
  timed and the fastest counts. Borders are reflected wherever that can be chosen. Of
  movements ours puts in half-way pixels by Lanczos of eight and takes a cubic kernel on the finer
  image; albumentations is given Lanczos of eight pixels; MONAI, TorchIO, kornia and scikit-image
  have none and take a cubic one, which is less work. What does another, simpler thing than ours is
  timed too, but stands apart.
- {IMAGES} images in turn; each contender has {rounds} slices of about 30 ms, in turn with the
  others. Rates are medians over the slices, in processor time, so that other processes of the
  machine do not count; a ratio is the median of the ratios within a round.
- A pairs job adds to ours the pair's own generator, JSON, the checks of the contract and the
  writing of the file; a peer would need the same.
"""


def _fastest(found: Iterable[Measured]) -> dict[str, Measured]:
    """Each peer's fastest way to do the same as ours."""
    best: dict[str, Measured] = {}
    for measured in found:
        if measured.who in (OURS, OURS_REPEATED) or measured.simpler:
            continue
        if measured.who not in best or measured.rate > best[measured.who].rate:
            best[measured.who] = measured
    return best


def _hardest(found: Iterable[Measured]) -> Measured:
    """The peer that ours beats by least."""
    return min(_fastest(found).values(), key=lambda m: m.ratio)


def _summary(cells: Cells, kinds: Sequence[tuple[int, bool]]) -> str:
    """Geometric means."""
    lines = [
        "| images | operations | ours to the fastest peer, geometric mean | at least as fast in | "
        "ours to MONAI, geometric mean | operations of MONAI |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for kind in [*kinds, None]:
        chosen = [found for key, found in cells.items() if kind is None or key[1:] == kind]
        if not chosen:
            continue
        hardest = [_hardest(found).ratio for found in chosen]
        monai = [best["MONAI"].ratio for found in chosen if "MONAI" in (best := _fastest(found))]
        name = "all" if kind is None else f"{kind[0]} px, {KINDS[kind[1]]}"
        mean = f"{geometric_mean(monai):.1f}" if monai else ""
        lines.append(
            f"| {name} | {len(chosen)} | {geometric_mean(hardest):.1f} | "
            f"{sum(r >= 1 for r in hardest)} | {mean} | {len(monai)} |"
        )
    repeated = [m.ratio for found in cells.values() for m in found if m.who == OURS_REPEATED]
    if repeated:
        lines.append(
            "\nImage files hold grey pictures in three equal channels. On these ours makes "
            f"{100 / geometric_mean(repeated):.0f} % of its rate on one plane (geometric mean)."
        )
    return "\n".join(lines)


def _slower(cells: Cells) -> str:
    """Where ours is behind, in words."""
    behind = [
        f"- {name}, {side} px {KINDS[colour]}: {hard.ratio:.2f} of {hard.who} {hard.call}"
        for (name, side, colour), found in cells.items()
        if (hard := _hardest(found)).ratio < 1
    ]
    if not cells:
        return "\nNothing was compared.\n"
    if not behind:
        return "\nOurs is behind in no operation.\n"
    return "\n".join(["\nOurs is behind in:\n", *behind, ""])


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _table(
    cells: Cells, peers: Sequence[Peer], tasks: Sequence[Task], side: int, colour: bool
) -> str:
    """Rates of one kind of image."""
    names = [peer.name for peer in peers]
    lines = [
        f"## {side} px, {KINDS[colour]}: images a second\n",
        f"| task | ours | {' | '.join(names)} | ours to the fastest peer | ours to MONAI |",
        "|---|" + "--:|" * (len(names) + 3),
    ]
    for task in tasks:
        found = cells.get((task.name, side, colour))
        if not found:
            continue
        best = _fastest(found)
        rates = [_number(best[name].rate) if name in best else "" for name in names]
        monai = f"{best['MONAI'].ratio:.1f}" if "MONAI" in best else ""
        lines.append(
            f"| {task.name} | {_number(found[0].rate)} | {' | '.join(rates)} | "
            f"{_hardest(found).ratio:.2f} | {monai} |"
        )
    return "\n".join([*lines, ""])


def _simpler(cells: Cells, tasks: Sequence[Task], kinds: Sequence[tuple[int, bool]]) -> str:
    """What does less than ours: our rate over theirs."""
    names = [f"{side} px, {KINDS[colour]}" for side, colour in kinds]
    lines = [
        "Our rate over that of what does a simpler thing; it counts nowhere above.\n",
        f"| task | function | {' | '.join(names)} |",
        "|---|---|" + "--:|" * len(kinds),
    ]
    for task in tasks:
        ratios: dict[str, dict[tuple[int, bool], float]] = {}
        for kind in kinds:
            for m in cells.get((task.name, *kind), ()):
                if m.simpler:
                    ratios.setdefault(f"{m.who} {m.call}", {})[kind] = m.ratio
        for call, of in ratios.items():
            values = [f"{of[kind]:.2f}" if kind in of else "" for kind in kinds]
            lines.append(f"| {task.name} | {call} | {' | '.join(values)} |")
    return "\n".join([*lines, ""])


def _ways(cells: Cells, peers: Sequence[Peer], tasks: Sequence[Task]) -> str:
    """The functions, and what they do more or less than ours."""
    names = {name for name, _, _ in cells}
    lines = [f"| task | {' | '.join(p.name for p in peers)} |", "|---|" + "---|" * len(peers)]
    for task in (t for t in tasks if t.name in names):
        entries = [
            "; ".join(
                f"{way.call} ({way.does})" if way.does else way.call
                for way in peer.ways.get(task.name, ())
            )
            for peer in peers
        ]
        lines.append(f"| {task.name} | {' | '.join(entries)} |")
    alone = [t.name for t in tasks if t.name not in names]
    if alone:
        lines.append(f"\nNo peer has: {', '.join(alone)}.")
    return "\n".join([*lines, ""])


def _changes(cells: Cells, peers: Sequence[Peer], tasks: Sequence[Task]) -> str:
    """Root mean square change on the smallest colour images: are the effects alike?"""
    lines = [
        "Root mean square of result minus image in grey levels, 64 px RGB: whether the peers do "
        "as much as ours.\n",
        f"| task | effect | ours | {' | '.join(p.name for p in peers)} |",
        "|---|---|--:|" + "--:|" * len(peers),
    ]
    for task in tasks:
        found = cells.get((task.name, 64, True))
        if not found or task.family == "semantic":
            continue
        best = _fastest(found)
        ladder = task.ladder
        effect = f"{ladder.effect} {effect_of(task):.3g}" if ladder else ""
        if ladder and ladder.unit != "1":
            effect += f" ({ladder.unit})"
        values = [f"{best[p.name].change:.1f}" if p.name in best else "" for p in peers]
        lines.append(f"| {task.name} | {effect} | {found[0].change:.1f} | {' | '.join(values)} |")
    return "\n".join([*lines, ""])
