"""What a schema is made of, and the columns that many tables share."""

from __future__ import annotations

from dataclasses import dataclass

from medtaskatlas.pairs.roles import QUERY_SETS


@dataclass(frozen=True)
class Column:
    """One column of a table, with its pandas type."""

    name: str
    dtype: str
    description: str
    nullable: bool = False
    low: float | None = None  # inclusive bounds
    high: float | None = None
    values: tuple[str, ...] = ()  # the only ones allowed, if any


@dataclass(frozen=True)
class TableSpec:
    """One table: what it answers, the columns that together name a row, and all of them."""

    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def text(name: str, description: str, *values: str, nullable: bool = False) -> Column:
    """A column of strings; with `values`, only those."""
    return Column(name, "str", description, nullable, values=values)


def number(
    name: str,
    description: str,
    low: float | None = None,
    high: float | None = None,
    *,
    nullable: bool = True,
) -> Column:
    """A column of floats within bounds."""
    return Column(name, "float64", description, nullable, low, high)


def count(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of whole numbers from 0 on."""
    return Column(name, "Int64", description, nullable, low=0)


def yes(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of truth values."""
    return Column(name, "boolean" if nullable else "bool", description, nullable)


RUN = text("run", "name of the run")
ENCODER = text("encoder", "name of the encoder")
KIND = text("kind", "kind of the encoder")
ROLE = text(
    "role",
    "model: learns from tasks; ablation: with a part taken away; control: learns from what must "
    "not suffice; baseline: never saw our tasks",
    "model",
    "ablation",
    "control",
    "baseline",
)
SEED = Column("seed", "Int64", "training seed; null: over all seeds", nullable=True)
SPLIT = text(
    "split",
    "query set: groups = test groups of trained datasets, of subjects that training has not seen; "
    "regions = of subjects that it has; datasets = datasets kept out of training; tasks = tasks "
    "kept out of training",
    *QUERY_SETS,
)
ESTIMATE = (
    number("estimate", "the number; null where `note` says why"),
    number("seed_sd", "standard deviation over seeds; null with one seed", 0),
    number("ci_low", "lower end of the 95 % interval; null where `note` says why"),
    number("ci_high", "upper end of the 95 % interval"),
    text("ci_method", "how the interval was made", nullable=True),
)
N = (
    count("n_pairs", "pairs that the number rests on"),
    count("n_images", "distinct images among them"),
    count("n_groups", "distinct groups (patients, volumes, regions) among them"),
    count("n_subjects", "distinct persons or specimens among them, over all datasets"),
    count("n_datasets", "distinct datasets among them"),
)
NOTE = text("note", "reason of a null, or a caution", nullable=True)
P = (
    number("p", "p of the test; null: no test", 0, 1),
    number("p_adjusted", "p after Benjamini-Hochberg within `p_family`", 0, 1),
    text("p_family", "tests that are adjusted together", nullable=True),
)
# Which rows, and what each measured one ends with.
WHO = (RUN, ENCODER, SEED, SPLIT)
MEASURED = (*ESTIMATE, *N, NOTE)
TESTED = (*ESTIMATE, *P, *N, NOTE)
