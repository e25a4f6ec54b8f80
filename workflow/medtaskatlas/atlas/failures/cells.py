"""The failures and right pairs of one query set: which belong together, and their draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.failures.scores import Scored
from medtaskatlas.atlas.resampling import Design, draw, draw_seeds, no_draws
from medtaskatlas.core.seeds import generator
from medtaskatlas.tasks.failure import FAILURES

ALL = "all"


class FailureCells:
    """What all encoders of one query set share.

    Parameters
    ----------
    frame
        One row a failure or right pair of the run; see
        :func:`~medtaskatlas.atlas.failures.scores.score`.
    here
        bool, its rows of this query set.
    tasks
        Names that predictions count from 0.
    split
        ``groups`` or ``datasets``.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Attributes
    ----------
    names, kinds
        Tasks that fail, and kinds of failure with ``all`` as the last.
    wrong
        (task, kind) to positions of its failures.
    right
        Task to positions of its right pairs.
    family, known
        Task to its family, and to whether the gallery holds it.
    group
        int [N], group of each row in the draws.
    draws, as_is
        The bootstrap, and the data as they are.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        here: np.ndarray,
        tasks: list[str],
        *,
        split: str,
        seed: int,
        n_draws: int,
    ) -> None:
        self.here, self.tasks = here, tasks
        self.frame = frame[here].reset_index(drop=True)
        design = Design.of(self.frame.rename(columns={"of": "task"}))
        self.group = design.group
        rng = generator(seed, "bootstrap", split)
        self.draws = draw(design, rng, n_draws, fixed_datasets=len(design.datasets) == 1)
        self.as_is = no_draws(design)
        self._key = (seed, split, n_draws)
        self._counted: dict[bytes, Counts] = {}
        kind = self.frame["failure_kind"].to_numpy(dtype=object)
        of = self.frame["of"].to_numpy(dtype=object)
        fails = np.array([k is not None for k in kind])
        self.names = sorted(set(of[fails]))
        # Kinds of a newer or older bank are shown too, after ours.
        made = set(kind[fails])
        self.kinds = [*FAILURES, *sorted(made - set(FAILURES)), ALL]
        self.wrong = {
            (task, k): np.flatnonzero(fails & (of == task) & ((kind == k) | (k == ALL)))
            for task in self.names
            for k in self.kinds
        }
        self.right = {task: np.flatnonzero(~fails & (of == task)) for task in self.names}
        self.family = dict(zip(of, self.frame["family"], strict=True))
        self.known = dict(zip(of[fails], self.frame["known"][fails], strict=True))

    def n(self, wrong: np.ndarray, right: np.ndarray) -> dict[str, Any]:
        """What a number rests on.

        Parameters
        ----------
        wrong, right
            Positions of failures and of right pairs.

        Returns
        -------
        dict
            Counts of the failures, and ``n_right``.
        """
        key = wrong.tobytes()
        if key not in self._counted:  # the same for every encoder
            mask = np.zeros(len(self.frame), bool)
            mask[wrong] = True
            self._counted[key] = counts(self.frame, mask)
        return {**self._counted[key], "n_right": len(right)}

    def seed_weights(self, encoder: Scored) -> np.ndarray:
        """Bootstrap weights of an encoder's seeds.

        Parameters
        ----------
        encoder
            The encoder.

        Returns
        -------
        numpy.ndarray
            float [B, S].
        """
        seed, split, n_draws = self._key
        rng = generator(seed, "bootstrap seeds", split, encoder.name)
        return draw_seeds(rng, len(encoder.seeds), n_draws)
