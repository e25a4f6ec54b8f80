"""Where an encoder places tasks that it has never seen: among which tasks, in which family."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import Pairs, open_pairs
from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.knn import K, nearest, tally, vote
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.embeddings import open_embedding
from medtaskatlas.pairs.roles import GALLERY, NO_ROLE, QUERY_SETS, VAL, query_sets


@dataclass(frozen=True)
class Placed:
    """Held-out pairs of tasks that were held out, fold by fold, and what their neighbours are."""

    name: str  # of the encoder
    kind: str
    role: str
    tasks: list[str]  # all of them, sorted
    family: np.ndarray  # [T], theirs
    # One row a query of any fold, by pair_id; `where`: its query set if its task were known.
    frame: pd.DataFrame
    # float32 [N, T], of the k nearest gallery pairs of each query the share of each task; 0 for all
    # tasks of the query's own fold.
    shares: np.ndarray
    named: np.ndarray  # [N], family that the neighbours name

    def only(self, mask: np.ndarray) -> Placed:
        """Queries where a mask [N] holds."""
        return replace(
            self,
            frame=self.frame.loc[mask].reset_index(drop=True),
            shares=self.shares[mask],
            named=self.named[mask],
        )

    def votes(self) -> np.ndarray:
        """Shares [T, T] of each task, averaged over pairs, then over datasets.

        Rows are the tasks asked; NaN for a task without a query.
        """
        cells = pd.DataFrame(self.shares).assign(
            task=self.frame["task"].to_numpy(), dataset=self.frame["dataset"].to_numpy()
        )
        means = cells.groupby(["task", "dataset"]).mean().groupby("task").mean()
        return means.reindex(self.tasks).to_numpy(dtype=float)


@dataclass(frozen=True)
class Fold:
    """An embedding from whose gallery some tasks are taken."""

    path: Path
    hidden: list[str]  # the tasks
    # Tasks that no fold was trained on: in no gallery either, but asked in one fold only.
    absent: tuple[str, ...] = ()


def folds_of(fold_paths: Iterable[str | Path]) -> dict[str, list[Fold]]:
    """Folds of each encoder, with the tasks that they were not trained on."""
    folds: dict[str, list[Fold]] = {}
    trained: dict[str, set[str]] = {}
    for path in map(Path, fold_paths):
        file = open_embedding(path)
        known = set(file.facts["trained_tasks"])
        hidden = sorted(set(file.frame["task"]) - known)
        if not hidden:
            raise DataError(f"{path}: no task was held out", f"delete {path.parent}")
        encoder = str(file.facts["encoder"])
        folds.setdefault(encoder, []).append(Fold(path, hidden))
        trained.setdefault(encoder, set()).update(known)
    for encoder, its in folds.items():
        absent = tuple(sorted({task for fold in its for task in fold.hidden} - trained[encoder]))
        folds[encoder] = [replace(fold, absent=absent) for fold in its]
    return folds


def place(folds: Iterable[Fold], run: str | None = None, k: int = K) -> Placed:
    """Find the k neighbours of all held-out pairs of held-out tasks of one encoder.

    One fold is in memory at a time.
    """
    folds = list(folds)
    family_of: dict[str, str] = {}
    # Tasks that none was trained on are embedded with one fold only.
    for path in dict.fromkeys(fold.path for fold in folds):
        known = open_embedding(path).frame[["task", "family"]].drop_duplicates()
        family_of |= dict(zip(known["task"], known["family"], strict=True))
    tasks = sorted(family_of)
    family = np.array([family_of[task] for task in tasks], dtype=object)
    parts = []
    for fold in folds:
        pairs = open_pairs(fold.path, run=run)
        facts = pairs.file.facts
        # The gallery of a baseline holds all tasks: it never trained on any.
        hidden = pairs.frame["task"].isin([*fold.hidden, *fold.absent])
        taken = hidden & (pairs.frame["role"] == GALLERY)
        left = pairs.frame.assign(role=pairs.frame["role"].mask(taken, NO_ROLE))
        parts.append(_of_fold(replace(pairs, frame=left), fold.hidden, tasks, family, k))
    frame = pd.concat([part[0] for part in parts], ignore_index=True)
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    shares, named = (np.concatenate([part[i] for part in parts])[order] for i in (1, 2))
    name, kind, role = (str(facts[key]) for key in ("encoder", "kind", "role"))
    return Placed(
        name, kind, role, tasks, family, frame.iloc[order].reset_index(drop=True), shares, named
    )


def _of_fold(
    pairs: Pairs, hidden: list[str], tasks: list[str], family: np.ndarray, k: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Queries of a fold, the shares of the tasks among their neighbours, and the family named."""
    role, task = pairs.frame["role"], pairs.frame["task"]
    asked = np.flatnonzero(role.isin(QUERY_SETS) & task.isin(hidden))
    known = np.flatnonzero(role == GALLERY)
    kept, _ = pairs.read(lambda _: np.concatenate([known, asked]))
    M = len(known)
    known_vectors = l2_normalize(kept.vectors[:M], inplace=True)
    gallery, queries = kept.frame.iloc[:M], kept.frame.iloc[M:].reset_index(drop=True)
    codes = np.searchsorted(tasks, gallery["task"].to_numpy(dtype=str))
    families, family_code = np.unique(family.astype(str), return_inverse=True)
    shares = np.zeros((len(queries), len(tasks)), np.float32)
    named = np.empty(len(queries), dtype=object)
    for part, rows, cosine in nearest(kept.vectors[M:], known_vectors, k):
        near = codes[rows]
        query = np.repeat(np.arange(len(near)), near.shape[1])
        shares[part] = tally(query, near.ravel(), (len(near), len(tasks))) / rows.shape[1]
        named[part] = families[vote(family_code[near], cosine, len(families))]
    seen = set(pairs.frame["subject_id"][role.isin([GALLERY, VAL])])
    where = query_sets(
        queries["dataset"].isin(set(gallery["dataset"])).to_numpy(),
        queries["subject_id"].isin(seen).to_numpy(),
    )
    frame = queries.assign(where=where)
    return frame, shares, named


def placed_right(votes: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Whether most of a task's neighbours are of its own family, bool [..., T].

    From ``votes`` [T, T] and codes of the families of the tasks [..., T], whose leading axes are
    permutations.
    """
    member = family[..., None, :] == np.arange(family.max() + 1)[:, None]
    score = np.einsum("tu,...fu->...tf", votes, member)
    return score.argmax(axis=-1) == family


def placement_test(
    votes: np.ndarray, family: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> tuple[int, float, float]:
    """Test whether more tasks fall to their own family than chance would send there.

    Under the null the families [T] are names dealt out over the tasks: they are permuted, for the
    tasks asked and for their neighbours alike. Returns the tasks placed in their own family, the
    mean of the same under the null, and the one-sided p.
    """
    right = int(placed_right(votes, family).sum())
    shuffled = rng.permuted(np.broadcast_to(family, (n_permutations, len(family))), axis=1)
    null = placed_right(votes, shuffled).sum(axis=-1)
    return right, float(null.mean()), permutation_p(right, null.astype(float))
