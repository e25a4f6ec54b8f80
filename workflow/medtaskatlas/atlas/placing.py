"""Where an encoder places tasks that it has never seen: among which tasks, in which family."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import Embedding, load_embedding, unit
from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.neighbours import nearest, vote
from medtaskatlas.atlas.roles import GALLERY, QUERY_SETS
from medtaskatlas.errors import DataError

K = 20


@dataclass(frozen=True)
class Placed:
    """Held-out pairs of tasks that were held out, fold by fold, and what their neighbours are.

    Attributes
    ----------
    name, kind, role
        The encoder.
    tasks
        All tasks, sorted.
    family
        [T] their families.
    frame
        One row a query of any fold, sorted by ``pair_id``, with the column ``inside``: whether its
        dataset was trained on.
    shares
        float32 [N, T]: of the k nearest gallery pairs of each query, the share of each task. 0 for
        all tasks of the query's own fold.
    named
        [N] family that the neighbours name.
    """

    name: str
    kind: str
    role: str
    tasks: list[str]
    family: np.ndarray
    frame: pd.DataFrame
    shares: np.ndarray
    named: np.ndarray

    def only(self, mask: np.ndarray) -> Placed:
        """Some of the queries.

        Parameters
        ----------
        mask
            [N] bool.

        Returns
        -------
        Placed
            Queries where it holds.
        """
        return Placed(
            self.name,
            self.kind,
            self.role,
            self.tasks,
            self.family,
            self.frame.loc[mask].reset_index(drop=True),
            self.shares[mask],
            self.named[mask],
        )

    def votes(self) -> np.ndarray:
        """Shares of each task, averaged over pairs, then over datasets.

        Returns
        -------
        numpy.ndarray
            float64 [T, T], rows are the tasks asked; NaN for a task without a query.
        """
        cells = pd.DataFrame(self.shares).assign(
            task=self.frame["task"].to_numpy(), dataset=self.frame["dataset"].to_numpy()
        )
        means = cells.groupby(["task", "dataset"]).mean().groupby("task").mean()
        return means.reindex(self.tasks).to_numpy(dtype=float)


def place_folds(
    fold_paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    run: str | None = None,
) -> dict[str, list[tuple[Embedding, list[str]]]]:
    """Read the embeddings of the folds, and which tasks each held out.

    Parameters
    ----------
    fold_paths
        results/<run>/studies/unseen_tasks/<encoder>_fold<i>/embeddings.parquet.
    heldout_datasets
        Datasets kept out of training.
    run
        The run that they must be of.

    Returns
    -------
    dict
        Encoder to its folds: embedding, and the tasks that it was not trained on.

    Raises
    ------
    DataError
        If a file is of another run, or a fold held out nothing.
    """
    folds: dict[str, list[tuple[Embedding, list[str]]]] = {}
    for path in fold_paths:
        plain = load_embedding(path, heldout_datasets, run=run, scaled=False)
        hidden = sorted(set(plain.frame["task"]) - set(plain.facts["trained_tasks"]))
        if not hidden:
            raise DataError(f"{path}: no task was held out", f"delete {Path(path).parent}")
        held = plain.holding_out(heldout_datasets, hidden)
        folds.setdefault(plain.name, []).append((held, hidden))
    return folds


def place(folds: Iterable[tuple[Embedding, list[str]]], k: int = K) -> Placed:
    """Find the neighbours of all held-out pairs of held-out tasks of one encoder.

    Parameters
    ----------
    folds
        Embedding of each fold, its roles made with the tasks of the fold held out, and these tasks.
    k
        Neighbours.

    Returns
    -------
    Placed
        Queries of all folds together.
    """
    parts = []
    # One fold in memory at a time, where they are made as they are asked for.
    for first, hidden in folds:
        family_of = dict(zip(first.frame["task"], first.frame["family"], strict=True))
        tasks = sorted(family_of)
        family = np.array([family_of[task] for task in tasks], dtype=object)
        parts.append(_of_fold(first, hidden, tasks, family, k))
    frame = pd.concat([part[0] for part in parts], ignore_index=True)
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    return Placed(
        first.name,
        str(first.facts["kind"]),
        str(first.facts["role"]),
        tasks,
        family,
        frame.iloc[order].reset_index(drop=True),
        np.concatenate([part[1] for part in parts])[order],
        np.concatenate([part[2] for part in parts])[order],
    )


def _of_fold(
    embedding: Embedding, hidden: list[str], tasks: list[str], family: np.ndarray, k: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Queries of a fold, the shares of the tasks among their neighbours, and the family named."""
    gallery = embedding.only(embedding.role == GALLERY)
    asked = np.isin(embedding.role, QUERY_SETS) & embedding.frame["task"].isin(hidden).to_numpy()
    queries = embedding.only(asked)
    codes = np.searchsorted(tasks, gallery.frame["task"].to_numpy(dtype=str))
    families, family_code = np.unique(family.astype(str), return_inverse=True)
    shares = np.zeros((len(queries.frame), len(tasks)), np.float32)
    named = np.empty(len(queries.frame), dtype=object)
    for part, rows, cosine in nearest(unit(queries.vectors), unit(gallery.vectors), k):
        near = codes[rows]
        flat = near + len(tasks) * np.arange(len(near))[:, None]
        count = np.bincount(flat.ravel(), minlength=len(tasks) * len(near))
        shares[part] = count.reshape(len(near), -1) / rows.shape[1]
        named[part] = families[vote(family_code[near], cosine, len(families))]
    inside = set(gallery.frame["dataset"])
    frame = queries.frame.assign(inside=queries.frame["dataset"].isin(inside))
    return frame, shares, named


def placed_right(votes: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Whether most of a task's neighbours are of its own family.

    Parameters
    ----------
    votes
        float [T, T] of :meth:`Placed.votes`.
    family
        int [..., T] codes of the families of the tasks; leading axes are permutations.

    Returns
    -------
    numpy.ndarray
        bool [..., T].
    """
    member = family[..., None, :] == np.arange(family.max() + 1)[:, None]
    score = np.einsum("tu,...fu->...tf", votes, member)
    return score.argmax(axis=-1) == family


def placement_test(
    votes: np.ndarray, family: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> tuple[int, float, float]:
    """Test whether more tasks fall to their own family than chance would send there.

    Under the null the families are names dealt out over the tasks: they are permuted, for the tasks
    asked and for their neighbours alike.

    Parameters
    ----------
    votes
        float [T, T] of :meth:`Placed.votes`, without NaN.
    family
        int [T] codes of the families.
    rng
        Generator.
    n_permutations
        Number of permutations.

    Returns
    -------
    int
        Tasks placed in their own family.
    float
        Mean of the same under the null.
    float
        One-sided p.
    """
    right = int(placed_right(votes, family).sum())
    shuffled = rng.permuted(np.broadcast_to(family, (n_permutations, len(family))), axis=1)
    null = placed_right(votes, shuffled).sum(axis=-1)
    return right, float(null.mean()), permutation_p(right, null.astype(float))
