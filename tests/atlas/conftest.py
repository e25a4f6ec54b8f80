"""A small synthetic run for the tests of the atlas."""

from __future__ import annotations

import pytest

from atlas_synthetic import make_frame, make_vectors, with_mismatched, with_roles, write_embedding


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A small run: a good encoder of three seeds, a weak `pixels`, noise as `random`."""
    from medtaskatlas.atlas.predict import predict

    folder = tmp_path_factory.mktemp("run")
    frame = with_mismatched(with_roles(make_frame(), ["d4"]))
    kinds = {
        "taco": ([0, 1, 2], {"task": 1.0, "noise": 1.0}),
        "pixels": ([0], {"task": 0.5, "dataset": 1.0, "noise": 1.5}),
        "random": ([0, 1, 2], {"task": 0.0, "family": 0.0, "dataset": 1.0, "noise": 1.0}),
    }
    embeddings, predictions = [], []
    for kind, (seeds, structure) in kinds.items():
        for seed in seeds:
            path = folder / "embeddings" / kind / f"seed{seed}.parquet"
            vectors = make_vectors(frame, seed=seed + 10 * len(kind), **structure)
            embeddings.append(
                write_embedding(
                    path, frame, vectors, kind, seed, kind, standardise=kind == "pixels"
                )
            )
            out = folder / "predictions" / kind / f"seed{seed}.parquet"
            predict(path, out, seed=0)
            predictions.append(out)
    return {"folder": folder, "embeddings": embeddings, "predictions": predictions, "frame": frame}
