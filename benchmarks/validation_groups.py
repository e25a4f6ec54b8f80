"""The comparison of encoders on the validation groups: what choices are made on.

``python benchmarks/validation_groups.py [RUN]`` after the run, by default `make atlas`. To
compare networks, give them as encoders of a run of its own and look here, not at its tables::

    snakemake --cores 2 embeddings --config run=coordinates "seeds=[0]" \\
        "encoders={difference: {kind: taco, coordinates: difference, ...}, ...}"
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa

from medtaskatlas.atlas.comparisons.table import comparisons
from medtaskatlas.atlas.predict import predict
from medtaskatlas.formats.parquet import read_parquet, write_parquet
from medtaskatlas.run.plan import plan_run

SWAPPED = {"val": "groups", "groups": "val"}
SHOWN = ["method", "other", "other_method", "measure", "estimate", "ci_low", "ci_high", "p"]


def swap_roles(source: Path, out: Path) -> Path:
    """Write an embedding file in which validation and test groups have changed places."""
    table, facts = read_parquet(source)
    roles = pa.array([SWAPPED.get(role, role) for role in table["role"].to_pylist()])
    swapped = table.set_column(table.schema.get_field_index("role"), "role", roles)
    write_parquet(out, swapped, facts)
    return out


def main() -> None:
    results = Path("results") / (sys.argv[1] if len(sys.argv) > 1 else "embedded")
    plan = plan_run(json.loads((results / "config.json").read_text()))
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for encoder, seed in plan.encoder_runs:
            name = f"{encoder}/seed{seed}.parquet"
            embedding = swap_roles(results / "embeddings" / name, Path(folder, "e", name))
            made.append(Path(folder, "p", name))
            predict(embedding, made[-1], seed=plan.config.seed)
        out = Path(folder, "comparisons.parquet")
        comparisons(made, out, run=plan.config.run, seed=plan.config.seed)
        frame = pd.read_parquet(out)
    chosen = frame[(frame["split"] == "groups") & (frame["contrast"] != "pair")]
    counts = chosen[["n_pairs", "n_groups", "n_subjects", "n_datasets"]].iloc[0].to_dict()
    print(chosen[["encoder", *SHOWN]].to_string(index=False, float_format="%.3f"))
    print(counts)


if __name__ == "__main__":
    main()
