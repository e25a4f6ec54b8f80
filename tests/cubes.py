"""Generated volumes with a label."""

import numpy as np

from medtaskatlas.formats.volumes import write_volumes

CYCLE = ["train", "train", "val", "train", "test"]


def write_cubes(path, n=30, side=16, name="cubes", copy_of=None, cycle=CYCLE):
    """A bright ball, on the left or on the right: the label."""
    places = np.indices((side, side, side))
    label = [i % 2 for i in range(n)]
    centres = [(side / 2, side / 2, side / 4 + k * side / 2) for k in label]
    far = [sum((p - c) ** 2 for p, c in zip(places, at, strict=True)) for at in centres]
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 60, (n, side, side, side))
    columns = {
        "volume_id": [f"v{i}" for i in range(n)],
        "subject_id": [f"{copy_of or name}/{i // 2}" for i in range(n)],
        "group_id": [f"g{i // 2}" for i in range(n)],
        "group_source": ["published"] * n,
        "split": [cycle[i // 2 % 5] for i in range(n)],
        "volume": (grain + 150 * (np.stack(far) < side)).astype(np.uint8),
        "label": label,
    }
    meta = {
        "dataset": name,
        "source": "test",
        "modality": "MR",
        "body_part": "brain",
        "licence": "CC0-1.0",
        "annotation": "ground_truth",
        "manifest_sha256": "0" * 64,
        "classes": [],
        "labels": ["left", "right"],
        "label_kind": "binary",
        "findings": [],
        "values": {},
        "volume_size": side,
    }
    meta |= {"copy_of": copy_of} if copy_of else {}
    write_volumes(path, columns, meta)
    return path
