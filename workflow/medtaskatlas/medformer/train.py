"""Train one arm on one set, or on all, with one seed and one share of the labels; evaluate it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import write_json
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.multitask import SCHEMA, write_multitask_predictions
from medtaskatlas.formats.multitask_training import CONFIG_FORMAT, write_cost, write_history
from medtaskatlas.learning.checkpoint import Checkpoint, load_tensors, save_tensors
from medtaskatlas.learning.cost import Cost
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.history import History
from medtaskatlas.learning.machine import pick_device, set_up_torch
from medtaskatlas.medformer.adaptation import (
    AdaptationObjective,
    Network,
    forward_of,
    freeze,
    merge,
)
from medtaskatlas.medformer.baselines import Baseline
from medtaskatlas.medformer.model import Medformer, Who
from medtaskatlas.medformer.options import (
    REGRESSIONS,
    Arm,
    NetworkOptions,
    percent,
    system_of,
    wrong_latents,
)
from medtaskatlas.medformer.options import Medformer as Section
from medtaskatlas.medformer.regression import FEATURES, Features, Regression
from medtaskatlas.medformer.sets import Labelled, Learned
from medtaskatlas.medformer.training import engine_options, fingerprint
from medtaskatlas.problems.evaluate import Forward, Rows, evaluate
from medtaskatlas.problems.images import refuse_shared


@dataclass(frozen=True)
class Job:
    """An arm on some sets.

    Attributes
    ----------
    options, name
        The section, and which of its arms.
    targets
        Set to the names of its targets; of one set, or of all.
    share
        Of the training labels.
    seed, split_seed
        The training's, and the run's, which decides what is labelled.
    """

    options: Section
    name: str
    targets: Mapping[str, Sequence[str]]
    share: float
    seed: int
    split_seed: int

    @classmethod
    def of(cls, job: Mapping[str, Any], *, seed: int, split_seed: int) -> Job:
        """Job from what a rule hands to its script; see ``run.medformer``."""
        options = Section.model_validate(job["options"])
        return cls(options, job["name"], job["targets"], job["share"], seed, split_seed)

    @property
    def arm(self) -> Arm:
        """Options of the arm."""
        return self.options.arms[self.name]

    @cached_property
    def network(self) -> NetworkOptions:
        """Options of the transformer."""
        own = {key: getattr(self.options, key) for key in NetworkOptions.model_fields}
        return NetworkOptions.model_validate(
            own | {"latents": self.arm.latents or self.options.latents}
        )

    @property
    def steps(self) -> int:
        """Steps of the training."""
        return self.options.steps_of(self.name, len(self.targets))

    def sets(self, paths: Sequence[str | Path]) -> list[Labelled]:
        """Sets of prepared files, in the order of :attr:`targets`.

        Raises
        ------
        DataError
            If one tests subjects that another one trains on.
        """
        sets = [
            Labelled.of(
                path,
                targets,
                seed=self.seed,
                split_seed=self.split_seed,
                batch_size=self.options.batch_size,
                flips=self.options.flips,
                labelled=self.share,
                own_stem=self.arm.stems == "set",
            )
            for path, targets in zip(paths, self.targets.values(), strict=True)
        ]
        train, test = (
            {one.name: one.data.images.subjects(split)[one.name] for one in sets}
            for split in ("train", "test")
        )
        try:
            refuse_shared(train, test)
        except DataError as error:
            said = f"arm {self.name} on all sets: {error.problem}"
            raise DataError(said, "name one of them in medformer.sets, or drop the arm") from None
        return sets

    def model(self, sets: Sequence[Labelled], start: Mapping[str, torch.Tensor] | None) -> Network:
        """Network of the arm with its initial weights; those of ``start`` where it has them."""
        model = network_of(self.arm.model, self.network, sets, self.seed)
        if start is not None:
            assert isinstance(model, Medformer)
            new = start_from(model, start)
            if self.arm.adapt != "full" and new:
                raise DataError(
                    f"the arm {self.name} trains no stem (adapt: {self.arm.adapt}), and the "
                    f"weights of {self.arm.start} have none of its images: {', '.join(new)}",
                    "pre-train on a set of such images too, or set `adapt: full`",
                )
        return model


def network_of(kind: str, options: NetworkOptions, sets: Sequence[Learned], seed: int) -> Network:
    """Network of a ``model`` for sets, with drawn weights."""
    first = sets[0]
    heads = {one.name: [one.head(t) for t in one.targets] for one in sets}
    if kind != "medformer":
        return Baseline(
            kind, first.shape, first.size, heads=heads[first.name], options=options, seed=seed
        )
    model = Medformer(options, seed)
    for one in sets:
        model.add(one.shape, [one.who(t) for t in one.targets], heads[one.name])
    return model


def start_from(model: Medformer, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Take over all weights that the model has too, of the same shape.

    A latent of a task that is new starts as the mean of those that were learned.

    Returns
    -------
    list of str
        Stems of the model that stay as they were drawn, in part or as a whole.
    """
    own = model.state_dict()
    taken = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    prefix = "latents.of.task."
    learned = [v for k, v in tensors.items() if k.startswith(prefix)]
    if learned:
        mean = torch.stack(learned).mean(dim=0)
        taken |= {k: mean for k in own if k.startswith(prefix) and k not in tensors}
    model.load_state_dict(own | taken)
    return sorted({k.split(".")[1] for k in own.keys() - taken.keys() if k.startswith("stems.")})


def train_arm(
    paths: Sequence[str | Path],
    model_path: str | Path,
    *,
    job: Job,
    run: str,
    start: str | Path | None,
    states: str | Path,
    threads: int,
) -> None:
    """Train an arm and write its files.

    Test images are read after training. What was cut off goes on from its checkpoint.

    Parameters
    ----------
    paths
        Prepared images or volumes of the sets, in the order of ``job.targets``.
    model_path
        model.safetensors; config.json, history.parquet, predictions.parquet and cost.json stand
        next to it.
    job
        The arm and its sets.
    run
        Name of the run.
    start
        Weights that it starts from; None: drawn ones.
    states
        Folder in which the state is kept.
    threads
        Threads of torch.

    Raises
    ------
    DataError
        If a set cannot be learned; names set, target and remedy.
    DivergedError
        If the loss is no number.
    SystemExit
        After SIGTERM, once the state is saved.
    """
    set_up_torch(threads)
    sets, out = job.sets(paths), Path(model_path).parent
    state = Path(states) / "state.safetensors"
    weights, told = (None, {}) if start is None else load_tensors(start)
    if job.arm.model in REGRESSIONS:
        history, cost = History(job.name), Cost()
        tensors: dict[str, torch.Tensor] = {}
        features = FEATURES[job.arm.model]()
        forwards = {one.name: _regression(job.name, one, features) for one in sets}
        network: Network | None = None
    else:
        network = job.model(sets, weights)
        files = [*paths, *([] if start is None else [start])]
        history, cost = _fit(job, sets, network, files, state)
        merge(network)
        tensors = network.state_dict()
        network.to(pick_device()).eval()
        whole = partial(forward_of, network, mirrored=job.options.flips)
        forwards = {one.name: whole(one) for one in sets}
    parts = []
    for one in sets:
        one.data.open_test()
        for split in ("val", "test"):
            rows = evaluate(one.data, split, forwards[one.name])
            parts.append(_predictions(job, run, one.name, rows))
        for name, who in _wrong(job, one, sets):
            rows = evaluate(one.data, "test", whole(one, who))
            parts.append(_predictions(job, run, one.name, rows, name))
    facts = {one.name: {t: target.facts() for t, target in one.targets.items()} for one in sets}
    config = {
        "format": CONFIG_FORMAT,
        "arm": job.name,
        "options": job.arm.model_dump(mode="json"),
        "network": job.network.model_dump(mode="json"),
        "sets": {
            one.name: {
                "targets": facts[one.name],
                "shape": asdict(one.shape),
                "size": list(one.data.size),
                "labelled": {t: one.data.count("train", t) for t in one.targets},
                **one.data.images.preparation(),
            }
            for one in sets
        },
        "share": job.share,
        "mirrored": job.options.flips,
        "steps": max(history.scores, key=lambda s: (history.scores[s], -s), default=0),
        "seed": job.seed,
        "notes": {one.name: one.data.notes() for one in sets},
        "torch": torch.__version__,
    }
    write_json(out / "config.json", config)
    training = engine_options(job.options, job.steps)
    table = history.table(training, "val_score")
    names = [one.key(target) for one in sets for target in one.targets]
    write_history(
        out / "history.parquet", [(names, -1, table)], {"seed": job.seed, "arm": job.name}
    )
    copies = {one.name: one.copy_of for one in sets if one.copy_of}
    write_multitask_predictions(
        out / "predictions.parquet",
        pa.concat_tables(parts),
        {"run": run, "targets_of": facts, "copies": copies},
    )
    write_cost(
        out / "cost.json",
        total=asdict(cost),
        trainings=[{"targets": list(job.targets), "fold": -1, **asdict(cost)}],
        tuning=asdict(Cost()),
        pretraining=told.get("cost"),
    )
    save_tensors(
        Path(model_path), tensors, {"arm": job.name, "seed": job.seed, "cost": asdict(cost)}
    )
    state.unlink(missing_ok=True)


def _fit(
    job: Job,
    sets: Sequence[Labelled],
    network: Network,
    files: Sequence[str | Path],
    state: Path,
) -> tuple[History, Cost]:
    """Train a network in place."""
    drawn = int(generator(job.seed, "medformer adapt", job.name).integers(2**62))
    freeze(network, job.arm, drawn)
    objective = AdaptationObjective(
        network, sets, seed=job.seed, steps=job.steps, aligned=job.arm.align == "coral"
    )
    facts = [
        job.options.model_dump(mode="json", exclude={"arms", "seeds"}),
        job.arm.model_dump(mode="json"),
        {name: list(targets) for name, targets in job.targets.items()},
        [job.share, job.seed, job.split_seed],
    ]
    return fit(
        objective,
        engine_options(job.options, job.steps),
        Checkpoint(state, fingerprint(facts, files, [__name__])),
        seed=job.seed,
        title=f"{job.name} on {'all sets' if len(sets) > 1 else sets[0].name}, "
        f"{percent(job.share)} % of the labels, seed {job.seed}",
    )


def _wrong(job: Job, one: Labelled, sets: Sequence[Labelled]) -> Iterator[tuple[str, Who]]:
    """Names and latents of the controls: those of the next set that has other ones."""
    if job.arm.model != "medformer" or len(sets) < 2 or job.network.latents != "all":
        return
    place = list(sets).index(one)
    own = one.who(next(iter(one.targets)))
    for other in [*sets[place + 1 :], *sets[:place]]:
        whose = other.who(next(iter(other.targets)))
        if (whose.modality, whose.body_part) != (own.modality, own.body_part):
            yield wrong_latents(job.name), whose
            return


def _regression(arm: str, one: Labelled, features: Features) -> Forward:
    """Outputs of logistic regressions on features, one a target."""
    fits = {
        name: Regression(arm, target, features).fit(
            *(_described(one, split, name, features) for split in ("train", "val"))
        )
        for name, target in one.targets.items()
    }

    def forward(images: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: fits[name].output(images[own]) for name, own in rows.items() if len(own)}

    return forward


def _described(
    one: Labelled, split: str, target: str, features: Features
) -> tuple[np.ndarray, np.ndarray]:
    """Features of all images of a split with a target, as they are, and its truths."""
    found, truths = np.empty((0, 0), np.float32), list[int]()
    for batch in one.data.evaluation(split, [target]):
        part = features(batch.images[batch.rows[target]])
        if not truths:
            found = np.empty((one.data.count(split, target), part.shape[1]), part.dtype)
        # In one place: small arrays that stay among large ones would leave holes in memory.
        found[len(truths) : len(truths) + len(part)] = part
        truths += batch.truths[target].tolist()
    return found, np.array(truths)


def _predictions(job: Job, run: str, name: str, rows: Rows, arm: str | None = None) -> pa.Table:
    """Statistics of a split of a set; the system is ``arm@percent``."""
    n = len(rows["target"])
    constant: dict[str, Any] = {
        "run": run,
        "problem": name,
        "system": system_of(arm or job.name, percent(job.share)),
        "weighting": "equal",
        "seed": job.seed,
        "fold": -1,
    }
    columns = {key: [value] * n for key, value in constant.items()} | rows
    columns["beside"] = [None] * n
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in SCHEMA})
