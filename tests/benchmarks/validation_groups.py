"""The comparison of encoders again, on the validation groups instead of the test groups.

``python tests/benchmarks/validation_groups.py`` after `make atlas`. The network of
config/embedded.yaml was chosen by looking at the test groups, so the comparison there is not an
untouched one. No choice was made on the validation groups.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.atlas.comparisons import comparisons
from medtaskatlas.atlas.predict import predict
from medtaskatlas.plan import plan_run

RESULTS = Path("results/embedded")
SWAPPED = {"val": "test", "test": "val", "train": "train"}
SHOWN = ["method", "other", "other_method", "measure", "estimate", "ci_low", "ci_high", "p"]


def swap_splits(source: Path, out: Path) -> Path:
    """Write an embedding file in which validation and test have changed places."""
    table = pq.read_table(source)
    splits = pa.array([SWAPPED[split] for split in table["split"].to_pylist()])
    out.parent.mkdir(parents=True, exist_ok=True)
    at = table.schema.get_field_index("split")
    swapped = table.set_column(at, "split", splits)
    pq.write_table(swapped.replace_schema_metadata(table.schema.metadata), out)
    return out


def main() -> None:
    plan = plan_run(json.loads((RESULTS / "config.json").read_text()))
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for encoder, seed in plan.encoder_runs:
            name = f"{encoder}/seed{seed}.parquet"
            embedding = swap_splits(RESULTS / "embeddings" / name, Path(folder, "e", name))
            made.append(Path(folder, "p", name))
            predict(embedding, made[-1], heldout_datasets=plan.heldout, seed=plan.config.seed)
        out = Path(folder, "comparisons.parquet")
        comparisons(made, out, run=plan.config.run, seed=plan.config.seed)
        frame = pd.read_parquet(out)
    chosen = frame[(frame["split"] == "groups") & (frame["contrast"] != "pair")]
    counts = chosen[["n_pairs", "n_groups", "n_datasets"]].iloc[0].to_dict()
    print(chosen[["encoder", *SHOWN]].to_string(index=False, float_format="%.3f"))
    print(counts)


if __name__ == "__main__":
    main()
