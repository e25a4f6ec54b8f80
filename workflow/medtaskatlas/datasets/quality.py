"""The rows of tables/datasets.parquet: what the prepared images of a run are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtaskatlas.formats.images import SPLITS, ImageSet

if TYPE_CHECKING:
    import pandas as pd


def datasets_table(images: Sequence[str | Path]) -> pd.DataFrame:
    """Rows of tables/datasets.parquet from files images/<dataset>.arrow: one a dataset."""
    import pandas as pd

    return pd.DataFrame([_row(ImageSet(path)) for path in images])


def _row(images: ImageSet) -> dict[str, object]:
    """Row of one dataset."""
    meta, quality = images.meta, images.meta["quality"]
    split = images.numpy("split")
    groups = images.numpy("group_id")
    facts = ("dataset", "source", "title", "modality", "body_part", "licence", "citation")
    empty = quality["empty_masks"]
    return {
        **{name: meta[name] for name in facts},
        "annotation": meta["annotation"],
        "annotation_note": meta["annotation_note"],
        "provides": ", ".join(meta["provides"]),
        "classes": ", ".join(meta["classes"]),
        "overlaps": ", ".join(meta["overlaps"]),
        "group_note": meta["group_note"],
        "group_source": ", ".join(sorted(set(images.numpy("group_source")))),
        "image_size": int(images.images.shape[1]),
        "n_images": len(images),
        "n_groups": len(np.unique(groups.astype(str))),
        **{f"n_{s}": int((split == s).sum()) for s in SPLITS},
        **{f"groups_{s}": len(set(groups[split == s])) for s in SPLITS},
        "n_found": int(quality["found"]),
        "n_excluded": int(sum(quality["excluded"].values())),
        "excluded": json.dumps(quality["excluded"], sort_keys=True),
        "empty_masks": float("nan") if empty is None else float(empty),
        "n_repaired": int(quality["repaired"]),
        "n_joined": int(quality["joined"]),
        "near_duplicates_across_splits": int(quality["torn"]),
        "native_px_min": int(quality["sizes_px"][0]),
        "native_px_max": int(quality["sizes_px"][1]),
        "intensity_min": int(quality["intensity"][0]),
        "intensity_max": int(quality["intensity"][1]),
        "manifest_sha256": meta["manifest_sha256"],
        "content_sha256": meta["content_sha256"],
    }
