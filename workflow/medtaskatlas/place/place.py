"""Where a task of the user's own belongs in the atlas of a run, and what would help it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medtaskatlas import __version__
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, existing_run, write_json
from medtaskatlas.core.seeds import generator
from medtaskatlas.place.pairs import OwnPairs, read_pairs
from medtaskatlas.place.words import text_of, warnings_of

if TYPE_CHECKING:
    from medtaskatlas.place.nearest import Placed, Space

TABLE, ABOUT, PAGE = "place.csv", "place.json", "place.html"
DRAWS = 1000
INSIDE = 0.5  # share of the pairs outside of every task, above which all of them are called outside
_TRANSFER = "give the run's configuration `transfer: {warm: {}}` and run: snakemake transfer"
COLUMNS = (
    *("kind", "rank", "name", "family", "share", "seed_sd", "support", "distance"),
    *("gain", "ci_low", "ci_high", "ci_method", "n_maps", "weights", "note"),
)


def place(
    inputs: Path,
    outputs: Path,
    run: Path,
    out: Path,
    *,
    masks: bool = False,
    encoder: str | None = None,
    modality: str | None = None,
    window: tuple[float, float] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Place a task, shown by pairs, among the tasks of a run.

    Parameters
    ----------
    inputs, outputs
        Folders of pictures with the same names.
    run
        results/<run>, with embeddings; with the tables and files of `transfer` for sources and
        partners.
    out
        Folder that is made: place.csv, place.json and place.html.
    masks
        Whether the outputs are masks of class numbers.
    encoder
        Name of an encoder of the run; None: the model that names its validation pairs best.
    modality, window
        See :func:`~medtaskatlas.place.pairs.read_pairs`.
    seed
        Of the bootstrap over the pairs.
    overwrite
        Replace an answer that is there.
    say
        Hears what was done, a line at a time.

    Returns
    -------
    dict
        What place.json holds.

    Raises
    ------
    ConfigError, DataError
        If pairs, run, encoder or folder cannot be used.
    """
    out = Path(out)
    make_room(out, [inputs, outputs], overwrite=overwrite)
    run = existing_run(run)
    config = read_config(run)
    pairs = read_pairs(
        inputs,
        outputs,
        size=config["image_size"],
        masks=masks,
        modality=modality,
        window=window,
        seed=seed,
    )
    say(
        f"read {len(pairs)} pairs of {pairs.n_files} files, "
        f"brought to the run's {config['image_size']} pixels a side"
    )
    weights = drawn_weights(pairs.files, seed)
    chosen = choose_encoder(run, config, encoder)
    vectors = chosen.embed(pairs)
    from medtaskatlas.place.nearest import Placed

    placed = Placed.of(list(zip(chosen.spaces, vectors, strict=True)))
    rows = list(placed.rows(weights))
    task = str(rows[0]["name"])
    found: dict[str, Any] = {
        "run": config["run"],
        "package": __version__,
        "inputs": str(inputs),
        "outputs": str(outputs),
        "n_pairs": len(pairs),
        "n_files": pairs.n_files,
        "encoder": chosen.name,
        "seeds": [space.seed for space in chosen.spaces],
        "named_of_validation": chosen.reached,
        "nearest_task": task,
        "nearest_family": next(row["name"] for row in rows if row["kind"] == "family"),
        "outside": placed.outside,
        "inside": placed.outside <= INSIDE,
        "severity": severity_of(chosen.spaces, vectors, task),
        "copies": copies_in(run, pairs),
        "notes": pairs.notes,
        "warnings": pairs.warnings,
    }
    gains, found["evidence"] = gains_of(run, config, pairs, weights)
    rows += gains
    found |= {"rows": rows}
    found["warnings"] = pairs.warnings + warnings_of(found)
    found["text"] = text_of(found)
    write(out, found, pairs, run=run, chosen=chosen, vectors=vectors[0], placed=placed)
    return found


def make_room(out: Path, sides: list[Path], *, overwrite: bool) -> None:
    """Refuse a folder with other things in it, and one among the pairs."""
    for side in sides:
        if out.resolve().is_relative_to(side.resolve()):
            raise DataError(
                f"{out} lies within {side}, so the answer would be taken for a pair",
                "give another --out",
            )
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / ABOUT).is_file():
        raise DataError(f"{out} holds other things than an answer", "give another --out")
    if not overwrite:
        raise DataError(f"{out} holds an answer", "give --overwrite, or another --out")


def read_config(run: Path) -> dict[str, Any]:
    """The configuration of a run, as it was resolved."""
    path = run / "config.json"
    if not path.is_file():
        raise DataError(f"{path} is missing", f"make it: snakemake {path} --cores 1")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {
            key: config[key] for key in ("run", "seed", "image_size", "encoders", "torch_threads")
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error})", f"delete {path} and make it again"
        ) from error


class Chosen(NamedTuple):
    """The encoder that answers."""

    name: str
    spaces: list[Space]  # a seed each
    reached: dict[str, float | None]  # encoder to the share of validation pairs that it names right
    run: Path
    options: dict[str, Any]
    threads: int

    def embed(self, pairs: OwnPairs) -> list[np.ndarray]:
        """Vectors [N, D] of pairs, by every seed, on the scale of its space."""
        from medtaskatlas.encoders.embed import embedder
        from medtaskatlas.encoders.kinds import encoder_of

        made = encoder_of(self.options)
        both = np.stack([pairs.inputs, pairs.outputs], axis=1)
        found = []
        for space in self.spaces:
            model = self.run / "encoders" / self.name / f"seed{space.seed}" / "model.safetensors"
            if made.has_weights and not model.is_file():
                raise DataError(f"{model} is missing", "make it: snakemake encoders --cores all")
            function = embedder(made, model if made.has_weights else None, self.threads)
            parts = [both[i : i + made.batch] for i in range(0, len(both), made.batch)]
            found.append(space.scaled(np.concatenate([function(part) for part in parts])))
        return found


def choose_encoder(run: Path, config: dict[str, Any], name: str | None) -> Chosen:
    """The encoder asked for, or the one that names validation pairs best."""
    from medtaskatlas.encoders.kinds import KINDS, encoder_of
    from medtaskatlas.place.nearest import Space, best_encoder, files_of, naming

    def usable(encoder: str) -> bool:
        options = config["encoders"].get(encoder)
        return bool(options and options["kind"] in KINDS and encoder_of(options).missing() is None)

    if name is None:
        files, reached, first = best_encoder(run, config["run"], config["seed"], usable)
    else:
        files = files_of(run, name)
        if not usable(name):
            raise DataError(
                f"--encoder: {name} cannot be run here",
                f"see `encoders` in {run / 'config.json'}; leave --encoder out",
            )
        first = Space.read(files[0], config["run"])
        reached = {name: naming(first, config["seed"])}
    spaces = [first, *(Space.read(path, config["run"]) for path in files[1:])]
    chosen = files[0].parent.name
    threads = config["torch_threads"] or 1
    return Chosen(chosen, spaces, reached, run, config["encoders"][chosen], threads)


def drawn_weights(files: np.ndarray, seed: int) -> np.ndarray | None:
    """How often each pair is drawn [B, N] when files are resampled; None of one file."""
    _, file = np.unique(files, return_inverse=True)
    n = int(file.max()) + 1
    if n < 2:
        return None
    drawn = generator(seed, "place", "bootstrap").multinomial(n, np.full(n, 1 / n), DRAWS)
    return np.asarray(drawn[:, file])


def severity_of(spaces: list[Space], vectors: list[np.ndarray], task: str) -> dict[str, Any] | None:
    """Mean severity of the pairs as ones of a task, and the effect on its ladder.

    The interval holds 90 % of the errors that such numbers have on single held-out pairs.
    """
    told = [space.severity(own, task) for space, own in zip(spaces, vectors, strict=True)]
    known = [one for one in told if one is not None]
    if not known:
        return None
    from medtaskatlas.tasks.bank import load_bank

    estimate = float(np.mean([own.mean() for own, _ in known]))
    missed = np.concatenate([errors for _, errors in known])
    low, high = 0.0, 1.0
    if len(missed):
        low, high = np.clip(estimate - np.quantile(missed, [0.95, 0.05]), 0, 1).tolist()
    numbers = {"estimate": estimate, "low": low, "high": high}
    found: dict[str, Any] = {"task": task, "n": len(missed), **numbers}
    bank = load_bank()
    if task in bank and (ladder := bank[task].ladder) is not None:
        effects = {f"effect_{name}": float(ladder.at(at)) for name, at in numbers.items()}
        found |= {"effect": ladder.effect, "unit": ladder.unit, **effects}
    return found


def copies_in(run: Path, pairs: OwnPairs) -> list[dict[str, str]]:
    """Pairs one of whose sides is an image of the run, to the pixel."""
    from medtaskatlas.formats.images import ImageSet

    size = pairs.inputs.shape[1]
    by_row: dict[bytes, list[tuple[str, str, np.ndarray]]] = {}
    for side, pixels in (("input", pairs.inputs), ("output", pairs.outputs)):
        for name, image in zip(pairs.names, pixels, strict=True):
            if image.min() < image.max():
                key = image[size // 2].tobytes()
                by_row.setdefault(key, []).append((name, side, image))
    found = []
    for path in sorted((run / "images").glob("*.arrow")):
        images = ImageSet(path)
        if images.images.shape[1:] != pairs.inputs.shape[1:]:
            continue
        # One row tells most images: the rest of them is not even read.
        for i, row in enumerate(images.images[:, size // 2]):
            for name, side, image in by_row.get(row.tobytes(), ()):
                if np.array_equal(image, images.images[i]):
                    split = images.column("split")[i].as_py()
                    which = {
                        "dataset": images.dataset,
                        "image": images.column("image_id")[i].as_py(),
                    }
                    found.append({"pair": name, "side": side, "split": split, **which})
    return found


def gains_of(
    run: Path, config: dict[str, Any], pairs: OwnPairs, weights: np.ndarray | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of sources and partners, and what each rests on."""
    if not any((run / "transfer" / "kernel").glob("*.safetensors")):
        why = f"not known: the run has no functions of tasks; make them: {_TRANSFER}"
        return [], {"source": why, "partner": why}
    from medtaskatlas.place.functions import Functions
    from medtaskatlas.place.gains import Calibration, expected, measured

    functions = Functions(run, config["run"])
    distances, drawn = functions.distances_to(pairs, config["seed"], weights)
    folder = run / "transfer" / "sources"
    stored = {
        path.parent.name: path for path in sorted(folder.glob("*/seed*.safetensors"), reverse=True)
    }
    rows: list[dict[str, Any]] = []
    evidence: dict[str, Any] = {}
    for kind, protocol in (("source", "warm"), ("partner", "affinity")):
        gains = measured(run, config["run"], protocol)
        calibration = None
        if gains is not None:
            calibration = Calibration.of(gains[0], functions.distances_of(gains[0]), gains[1])
        how = f"; measure them: {_TRANSFER}" if protocol == "warm" else ""
        why = (
            f"gains were not measured in this run{how}"
            if gains is None
            else "gains were measured for too few of its tasks"
        )
        evidence[kind] = calibration.evidence if calibration else f"{why}; ranked by distance alone"
        rows += expected(
            kind,
            functions,
            distances,
            drawn,
            calibration=calibration,
            why_not=why,
            weights_of=stored if kind == "source" else {},
            n_files=pairs.n_files,
        )
    return rows, evidence


def write(
    out: Path,
    found: dict[str, Any],
    pairs: OwnPairs,
    *,
    run: Path,
    chosen: Chosen,
    vectors: np.ndarray,
    placed: Placed,
) -> None:
    """Write the table, the page and, last, what says that the answer is whole."""
    import pandas as pd

    from medtaskatlas.place.page import answer_html, with_map, without_map

    named = [placed.tasks[t] for t in placed.shares[0].argmax(axis=1)]
    atlas, page = run / "atlas.html", None
    if atlas.is_file():
        answer = answer_html(found, pairs)
        page = with_map(atlas, answer, pairs, space=chosen.spaces[0], vectors=vectors, named=named)
    if page is None:
        why = "has no" if not atlas.is_file() else f"was made without {chosen.name}:"
        found["text"].append(
            f"The page has no map: the run {why} {atlas.name} (snakemake {atlas} --cores all)."
        )
        page = without_map(answer_html(found, pairs), found["run"])
    table = pd.DataFrame(found["rows"]).reindex(columns=list(COLUMNS))
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / TABLE) as part:
        table.to_csv(part, index=False, float_format="%.6g")
    with atomic_write(out / PAGE) as part:
        part.write_text(page, encoding="utf-8")
    write_json(out / ABOUT, found)
