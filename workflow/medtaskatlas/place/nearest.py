"""Among which tasks of a run an encoder places pairs of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import open_pairs
from medtaskatlas.atlas.knn import K, nearest, tally
from medtaskatlas.atlas.vectors import Scale, l2_normalize
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.errors import nearest as nearest_names
from medtaskatlas.formats.embeddings import read_facts
from medtaskatlas.pairs.roles import GALLERY, KNOWN_TASKS, VAL

LEVEL = 0.95  # of a task's own pairs that lie inside
# Sets of held-out pairs that say how far a task's own pairs lie, the first that a task has.
OWN = (*KNOWN_TASKS, VAL)
MOST_VAL = 1000  # validation pairs that are named to choose an encoder


@dataclass(frozen=True)
class Space:
    """The pairs of a run in the space of one encoder and seed."""

    path: Path
    frame: pd.DataFrame  # one row a pair, with its `severity`
    vectors: np.ndarray  # float32 [N, D], scaled where the encoder asks for it
    scale: Scale | None
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path, run: str) -> Space:
        """Read an embeddings file of a run."""
        pairs = open_pairs(path, run=run)
        found, scale = pairs.read()
        severity = pairs.file.columns(["severity"])["severity"].to_numpy()[pairs.order]
        frame = found.frame.assign(severity=severity)
        if not (frame["role"] == GALLERY).any():
            raise DataError(
                f"{path} has no gallery: the run trained on nothing",
                "give a run with training images: `heldout` leaves none in this one",
            )
        return cls(path, frame, found.vectors, scale, found.facts)

    @property
    def seed(self) -> int:
        """Seed of the encoder."""
        return int(self.facts["seed"])

    @cached_property
    def family_of(self) -> dict[str, str]:
        """Family of every task of the gallery, tasks in order of their names."""
        known = self.frame[self.known].drop_duplicates("task").sort_values("task")
        return dict(zip(known["task"], known["family"], strict=True))

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks of the gallery."""
        return list(self.family_of)

    @cached_property
    def known(self) -> np.ndarray:
        """Which pairs are the gallery, bool [N]."""
        return (self.frame["role"] == GALLERY).to_numpy()

    @cached_property
    def gallery(self) -> np.ndarray:
        """The gallery's vectors, of length 1."""
        return l2_normalize(self.vectors[self.known])

    @cached_property
    def codes(self) -> np.ndarray:
        """Number of the task of each pair of the gallery."""
        return np.searchsorted(self.tasks, self.frame["task"][self.known].to_numpy(dtype=str))

    @cached_property
    def centroids(self) -> np.ndarray:
        """Mean of every task over datasets of the mean over its training pairs, of length 1."""
        dataset = self.frame["dataset"][self.known].to_numpy(dtype=str)
        vectors, means = self.vectors[self.known], []
        for t in range(len(self.tasks)):
            own = self.codes == t
            each = [vectors[own & (dataset == d)].mean(axis=0) for d in np.unique(dataset[own])]
            means.append(np.mean(each, axis=0))
        return l2_normalize(np.stack(means))

    def scaled(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of other pairs on the scale of the run's."""
        return vectors if self.scale is None else self.scale.apply(vectors)

    def shares(self, vectors: np.ndarray, k: int = K) -> np.ndarray:
        """Of the k nearest training pairs of each of [Q, D] the share of each task, [Q, T]."""
        T = len(self.tasks)
        found = np.zeros((len(vectors), T), np.float32)
        for part, rows, _ in nearest(vectors, self.gallery, k):
            query = np.repeat(np.arange(len(rows)), rows.shape[1])
            near = self.codes[rows].ravel()
            found[part] = tally(query, near, (len(rows), T)) / rows.shape[1]
        return found

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """Cosine distance of each of [Q, D] to the centroid of each task, [Q, T]."""
        return np.asarray(1 - l2_normalize(vectors) @ self.centroids.T)

    @cached_property
    def reach(self) -> np.ndarray:
        """Distance from its centroid within which 95 % of a task's held-out pairs lie, [T].

        The centroid is of training pairs alone. NaN of a task without held-out pairs.
        """
        found = np.full(len(self.tasks), np.nan)
        role, task = (self.frame[name].to_numpy(dtype=str) for name in ("role", "task"))
        for t, name in enumerate(self.tasks):
            sets = (np.flatnonzero((role == of) & (task == name)) for of in OWN)
            own = next((rows for rows in sets if len(rows)), None)
            if own is not None:
                apart = 1 - l2_normalize(self.vectors[own]) @ self.centroids[t]
                found[t] = np.quantile(apart, LEVEL)
        return found

    def beyond(self, distances: np.ndarray) -> np.ndarray:
        """Whether pairs, by their distances [Q, T], lie outside of the reach of every task."""
        return np.asarray((distances > np.nan_to_num(self.reach, nan=np.inf)).all(axis=1))

    def severity(self, vectors: np.ndarray, task: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Severity of pairs of a task, [Q], and errors of such numbers on its held-out pairs.

        The mean of the 20 nearest of the task's training pairs. None of a task without degrees.
        """
        severity = self.frame["severity"].to_numpy(float)
        own = (self.frame["task"] == task).to_numpy() & np.isfinite(severity)
        known = np.flatnonzero(own & self.known)
        if not len(known):
            return None
        gallery = l2_normalize(self.vectors[known])

        def told(queries: np.ndarray) -> np.ndarray:
            found = np.empty(len(queries))
            for part, rows, _ in nearest(queries, gallery, K):
                found[part] = severity[known][rows].mean(axis=1)
            return found

        sets = (np.flatnonzero(own & (self.frame["role"] == of).to_numpy()) for of in OWN)
        asked = next((rows for rows in reversed(list(sets)) if len(rows)), np.empty(0, int))
        return told(vectors), told(self.vectors[asked]) - severity[asked]


def embedding_files(run: Path) -> dict[str, list[Path]]:
    """Embeddings of main pairs of every encoder of a run, by seed; a DataError if there is none."""
    found: dict[str, dict[int, Path]] = {}
    for path in run.glob("embeddings/*/seed*.parquet"):
        number = path.stem.removeprefix("seed")
        if number.isdigit():
            found.setdefault(path.parent.name, {})[int(number)] = path
    if not found:
        raise DataError(f"{run} has no embeddings", "make them: snakemake embeddings --cores all")
    return {name: [own[s] for s in sorted(own)] for name, own in sorted(found.items())}


def files_of(run: Path, encoder: str) -> list[Path]:
    """Embeddings of one encoder; an error that names those that there are."""
    files = embedding_files(run)
    if encoder not in files:
        raise ConfigError(
            f"--encoder: {run} has no embeddings of {encoder!r}",
            f"{nearest_names(encoder, files)} Or give it to `encoders` in the configuration and "
            "run: snakemake embeddings --cores all",
        )
    return files[encoder]


def naming(space: Space, seed: int) -> float | None:
    """Share of validation pairs whose task most of their neighbours have, cells counting alike.

    None without a validation pair.
    """
    rows = np.flatnonzero((space.frame["role"] == VAL) & space.frame["task"].isin(space.tasks))
    if not len(rows):
        return None
    from medtaskatlas.core.seeds import generator

    rows = np.sort(generator(seed, "place", "validation").permutation(rows)[:MOST_VAL])
    frame = space.frame.iloc[rows]
    named = np.array(space.tasks)[space.shares(space.vectors[rows]).argmax(axis=1)]
    right = pd.Series(named == frame["task"].to_numpy(dtype=str), index=frame.index)
    return float(right.groupby([frame["task"], frame["dataset"]]).mean().mean())


def best_encoder(
    run: Path, name: str, seed: int, usable: Callable[[str], bool]
) -> tuple[list[Path], dict[str, float | None], Space]:
    """Files of the encoder that names validation pairs best, what each reached, its first space.

    Models are asked, and baselines where there is none; by their first seed. Those that are not
    ``usable`` here are passed over.
    """
    files = embedding_files(run)
    role = {encoder: read_facts(own[0])["role"] for encoder, own in files.items()}
    for wanted in ("model", "baseline"):
        reached: dict[str, float | None] = {}
        best: Space | None = None
        for encoder in (one for one in files if role[one] == wanted and usable(one)):
            space = Space.read(files[encoder][0], name)
            reached[encoder] = naming(space, seed)
            if best is None or (reached[encoder] or 0) > (reached[best.path.parent.name] or 0):
                best = space
        if best is not None:
            return files[best.path.parent.name], reached, best
    raise DataError(
        f"{run} has no embeddings of a model or baseline that can be used here",
        "make them: snakemake embeddings --cores all",
    )


@dataclass(frozen=True)
class Placed:
    """Where pairs lie among tasks; means over the seeds of the encoder."""

    tasks: list[str]
    family: np.ndarray  # [T]
    shares: np.ndarray  # float [S, N, T], of the neighbours, a seed each
    distance: np.ndarray  # float [S, T], of the mean pair from each task
    beyond: np.ndarray  # float [N], share of seeds in which a pair is outside of every task

    @classmethod
    def of(cls, spaces: Sequence[tuple[Space, np.ndarray]]) -> Placed:
        """Of every seed's space and the vectors of the pairs in it."""
        first = spaces[0][0]
        pairwise = [space.distances(own) for space, own in spaces]
        return cls(
            first.tasks,
            np.array([first.family_of[task] for task in first.tasks], dtype=object),
            np.stack([space.shares(own) for space, own in spaces]),
            np.stack([space.distances(own.mean(axis=0)[None])[0] for space, own in spaces]),
            np.mean(
                [space.beyond(d) for (space, _), d in zip(spaces, pairwise, strict=True)], axis=0
            ),
        )

    def of_families(self) -> tuple[list[str], np.ndarray]:
        """Families and their shares, [S, N, F]."""
        names = sorted(set(self.family))
        return names, np.stack(
            [self.shares[:, :, self.family == name].sum(axis=2) for name in names], axis=2
        )

    @property
    def outside(self) -> float:
        """Share of the pairs that lie outside of every task."""
        return float((self.beyond > 0.5).mean())

    def rows(self, weights: np.ndarray | None) -> Iterator[dict[str, Any]]:
        """A row a task and a family, those with the largest share first.

        ``weights`` [B, N] say how often each pair was drawn; None where nothing can be resampled.
        """
        names, of_families = self.of_families()
        listed: tuple[tuple[str, Sequence[str], np.ndarray], ...] = (
            ("task", self.tasks, self.shares),
            ("family", names, of_families),
        )
        for kind, known, shares in listed:
            mean = shares.mean(axis=(0, 1))
            each = shares.mean(axis=1)
            support = np.full(len(known), np.nan)
            if weights is not None:
                drawn = (weights @ shares.mean(axis=0)).argmax(axis=1)
                support = np.bincount(drawn, minlength=len(known)) / len(drawn)
            for rank, t in enumerate(np.argsort(-mean, kind="stable"), 1):
                yield {
                    "kind": kind,
                    "name": known[t],
                    "family": self.family[t] if kind == "task" else known[t],
                    "rank": rank,
                    "share": float(mean[t]),
                    "seed_sd": float(each[:, t].std(ddof=1)) if len(each) > 1 else None,
                    "support": None if np.isnan(support[t]) else float(support[t]),
                    "distance": float(self.distance[:, t].mean()) if kind == "task" else None,
                }
