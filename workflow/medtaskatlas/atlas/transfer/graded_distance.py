"""The table `graded_distance`: how well the graded code of one task does another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.inference import bootstrap_interval, no_interval, over_seeds
from medtaskatlas.atlas.resampling import DRAWS, draw_seeds
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.transfer.functional_distance import ALL, IDS, ONE_DATASET, ROUNDING, about
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "How well does the graded code of one task do another task, without training on the two? The "
    "mean code of pairs of the source steers the network of the encoder on held-out pairs of the "
    "target.",
    ("run", "encoder", "target_trained", "dataset", "source", "target"),
    (
        columns.RUN,
        columns.ENCODER,
        columns.yes(
            "target_trained",
            "whether the encoder was trained on the target; false: on other tasks alone, in the "
            "study `unseen_tasks` or since the run holds the target out",
        ),
        columns.text("dataset", "dataset of the pairs; all: every dataset that has both, alike"),
        columns.text("source", "task whose code it is"),
        columns.text("target", "task that is to be done"),
        columns.text("source_family", "family of the source"),
        columns.text("target_family", "family of the target"),
        columns.yes("source_trained", "whether the encoder was trained on the source"),
        *columns.ESTIMATE,
        columns.number("error", "mean square error by the source's code, grey levels 0 to 1", 0),
        columns.number("own_error", "that by the target's own code", 0),
        columns.number("apart", "distance of the two mean codes; symmetric", 0),
        columns.yes("images_apart", "whether codes are of other images than were asked"),
        *columns.N,
        columns.NOTE,
    ),
)


@dataclass(frozen=True)
class _Trained:
    """What one training says of the tasks of every dataset."""

    encoder: str
    seed: int
    tasks: frozenset[str]  # that it was trained on
    facts: dict[str, dict[str, dict[str, Any]]]  # dataset, task
    error: dict[str, np.ndarray]  # dataset to float64 [T, T], in the order of its facts
    apart: dict[str, np.ndarray]  # the same, symmetric


def graded_distance(
    error_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    fold_paths: Iterable[str | Path] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `graded_distance`.

    ``estimate`` is the log of the error by the source's code over that by the target's own code: 0
    of a task itself, and the larger the less the source does for the target. It is directed.

    Parameters
    ----------
    error_paths
        results/<run>/transfer/graded/<encoder>/seed<k>.safetensors of all graded encoders.
    out
        results/<run>/tables/graded_distance.parquet.
    fold_paths
        The same of the study `unseen_tasks`, of whose trainings the tasks count that were held out
        of them.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws of datasets and training seeds.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another run.
    """
    made = [_read(Path(path), run) for path in error_paths]
    rows: list[dict[str, Any]] = []
    for encoder in dict.fromkeys(one.encoder for one in made):
        own = sorted((one for one in made if one.encoder == encoder), key=lambda one: one.seed)
        rows += _rows(own, _tasks(own), seed, n_draws)
    for fold in (_read(Path(path), run) for path in fold_paths):
        known = {task for one in made if one.encoder == fold.encoder for task in one.tasks}
        # What the run itself holds out is placed by its own trainings, of all seeds.
        targets = [t for t in _tasks([fold]) if t in known and t not in fold.tasks]
        rows += _rows([fold], targets, seed, n_draws)
    frame = [{"run": run, **row} for row in rows]
    write_table("graded_distance", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _read(path: Path, run: str) -> _Trained:
    """A file of :func:`medtaskatlas.transfer.graded.cross_errors`."""
    from scipy.spatial.distance import cdist

    from medtaskatlas.learning.checkpoint import load_tensors

    remedy = f"delete {path} and start the run again"
    try:
        tensors, facts = load_tensors(path)
    except (ValueError, OSError) as problem:
        raise DataError(str(problem), remedy) from problem
    if facts.get("run") != run:
        raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy)
    code = {name: tensors[f"{name}.code"].numpy() for name in facts["of"]}
    return _Trained(
        facts["encoder"],
        facts["seed"],
        frozenset(facts["trained_tasks"]),
        facts["of"],
        {name: np.maximum(tensors[f"{name}.error"].numpy(), ROUNDING) for name in facts["of"]},
        {name: cdist(own, own) for name, own in code.items()},
    )


def _tasks(made: Sequence[_Trained]) -> list[str]:
    """All tasks of some trainings."""
    return sorted({task for one in made for facts in one.facts.values() for task in facts})


def _rows(
    made: Sequence[_Trained], targets: Sequence[str], seed: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of every source and some targets, by trainings of several seeds on the same tasks."""
    facts, S = made[0].facts, len(made)
    rng = generator(seed, "graded distance", made[0].encoder)
    seeds = draw_seeds(rng, S, n_draws)
    # Errors and distances of codes of each dataset, [S, T, T], tasks in the order of the facts.
    error = {name: np.stack([one.error[name] for one in made]) for name in facts}
    apart = {name: np.stack([one.apart[name] for one in made]) for name in facts}
    place = {name: {task: i for i, task in enumerate(of)} for name, of in facts.items()}
    for target in targets:
        for source in _tasks(made):
            having = [name for name, of in facts.items() if source in of and target in of]
            common = {
                "encoder": made[0].encoder,
                "target_trained": target in made[0].tasks,
                "source_trained": source in made[0].tasks,
            }
            each = []
            for name in having:
                s, t = place[name][source], place[name][target]
                own = facts[name][target]
                values = np.log(error[name][:, s, t] / error[name][:, t, t])
                numbers = (error[name][:, s, t], error[name][:, t, t], apart[name][:, s, t])
                each.append((values, *(float(number.mean()) for number in numbers)))
                yield {
                    **common,
                    "dataset": name,
                    **about(source, target, facts[name][source], own),
                    **over_seeds(values),
                    **_numbers(each[-1:]),
                    "images_apart": bool(own["apart"]),
                    **vars(no_interval(ONE_DATASET)),
                    "n_pairs": own["n_pairs"],
                    **{f"n_{name.removesuffix('_id')}s": len(own[name]) for name in IDS},
                    "n_datasets": 1,
                }
            if len(facts) < 2 or not having:
                continue
            own_facts = [facts[name][target] for name in having]
            D, by_seed = len(having), np.array([values for values, *_ in each])
            subjects = {name for fact in own_facts for name in fact["subject_id"]}
            n = {"n_subjects": len(subjects), "n_datasets": D}
            interval = no_interval(ONE_DATASET)
            if D > 1:
                weight = rng.multinomial(D, np.full(D, 1 / D), n_draws) / D
                drawn = np.einsum("bd,ds,bs->b", weight, by_seed, seeds)
                interval = bootstrap_interval(drawn, float(by_seed.mean()), n, n_seeds=S)
            yield {
                **common,
                "dataset": ALL,
                **about(source, target, facts[having[0]][source], own_facts[0]),
                **over_seeds(by_seed.mean(axis=0)),
                **_numbers(each),
                "images_apart": all(fact["apart"] for fact in own_facts),
                **vars(interval),
                "n_pairs": sum(fact["n_pairs"] for fact in own_facts),
                "n_images": sum(len(fact["image_id"]) for fact in own_facts),
                "n_groups": sum(len(fact["group_id"]) for fact in own_facts),
                **n,
            }


def _numbers(each: Sequence[tuple[Any, float, float, float]]) -> dict[str, float]:
    """Errors and distance of codes, means over datasets."""
    names = ("error", "own_error", "apart")
    return {name: float(np.mean([one[k + 1] for one in each])) for k, name in enumerate(names)}
