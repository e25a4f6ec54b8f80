"""Figures of Medformer: every arm, set and latent is there; nothing to draw is told."""

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.core.errors import DataError
from medtaskatlas.figures.medformer.gains import medformer_gains
from medtaskatlas.figures.medformer.labels import medformer_labels
from medtaskatlas.figures.medformer.latents import medformer_latents, plane_of
from medtaskatlas.figures.medformer.occlusion import coloured, medformer_occlusion
from medtaskatlas.figures.medformer.reconstructions import medformer_reconstructions
from medtaskatlas.formats.arrow import write_arrow

BASE = {"model": "medformer", "start": "scratch", "sets": "one", "matched": None}
ARMS = {
    "pixels": BASE | {"model": "pixels"},
    "small": BASE | {"model": "resnet18"},
    "single": BASE,
    "single_longer": BASE | {"matched": "unlabelled"},
    "multi": BASE | {"sets": "all"},
    "ssl": BASE | {"start": "unlabelled"},
}
SETS = ("breast", "blood_cells")
N = {"n_images": 120, "n_groups": 60, "n_subjects": 60, "n_datasets": 1}
SCORES = {"accuracy": 0.7, "macro_auc": 0.8}


def saved(folder, name, rows):
    path = folder / f"{name}.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def number(rng, middle=0.0, spread=0.05):
    x = middle + spread * rng.normal()
    return {"estimate": x, "ci_low": x - spread, "ci_high": x + spread}


def scores(folder, shares=(10, 100)):
    """Tables of scores and labels."""
    rng = np.random.default_rng(0)
    rows = [
        {"set": name, "arm": arm, "labels": labels, "seed": None, "split": split,
         "target": "label", "score": score, **number(rng, middle), **N}
        for name in SETS for arm in (*ARMS, "multi_wrong_latents") for labels in shares
        for split in ("val", "test") for score, middle in SCORES.items()
    ]  # fmt: skip
    # One number without an interval, and an arm of a single share.
    rows[2] |= {"ci_low": np.nan, "ci_high": np.nan}
    means = [
        {"set": "all", "arm": arm, "reference": None, "measure": "score", "labels": labels,
         "seed": None, "split": "test", "target": "label", "score": score, "p": None,
         **number(rng, middle), **N}
        for arm in ARMS for labels in shares for score, middle in SCORES.items()
    ]  # fmt: skip
    tables = {"medformer_scores": rows, "medformer_labels": means}
    kept = {
        name: [row for row in made if row["arm"] != "pixels" or row["labels"] == shares[-1]]
        for name, made in tables.items()
    }
    return tuple(saved(folder, name, made) for name, made in kept.items())


def gains(folder):
    rng = np.random.default_rng(1)
    pairs = [
        ("ssl", "single_longer", "matched"), ("single_longer", "single", "matched"),
        ("ssl", "single", "start"), ("multi", "single", "sets"), ("ssl", "small", "model"),
        ("ssl", "pixels", "model"), ("multi", "multi_wrong_latents", "wrong_latents"),
    ]  # fmt: skip
    rows = [
        {"set": name, "arm": arm, "reference": reference, "differs": differs, "labels": labels,
         "seed": None, "target": "label", "score": score, "duplicates": "kept", **number(rng), **N}
        for name in ("all", *SETS) for arm, reference, differs in pairs for labels in (10, 50, 100)
        for score in SCORES
    ]  # fmt: skip
    rows.append(rows[0] | {"arm": "copied", "score": "macro_auc", "duplicates": "left_out"})
    return saved(folder, "medformer_gains", rows)


def reconstructions(folder, n=3):
    images = np.random.default_rng(2).integers(0, 255, (len(SETS) * n, 20, 20, 3)).astype(np.uint8)
    columns = {
        "dataset": pa.array([name for name in SETS for _ in range(n)], pa.string()),
        "image_id": pa.array([f"i{i}" for i in range(len(images))], pa.string()),
        "image": images, "masked": images // 2, "reconstruction": 255 - images,
    }  # fmt: skip
    write_arrow(folder / "reconstructions.arrow", columns, {"seed": 0})
    return folder / "reconstructions.arrow"


def occlusions(folder, arms=("single", "ssl"), n=3):
    rng = np.random.default_rng(3)
    images = np.repeat(np.linspace(40, 200, 20)[None, None, :, None], 20, axis=1).repeat(3, axis=3)
    columns = {
        "dataset": pa.array([name for name in SETS for _ in range(n)], pa.string()),
        "image_id": pa.array([f"i{i}" for i in range(len(SETS) * n)], pa.string()),
        "image": images.repeat(len(SETS) * n, axis=0).astype(np.uint8),
        "true": pa.array(["malignant tumour", "benign", "normal"][:n] * len(SETS), pa.string()),
    }
    for arm in arms:
        fall = np.zeros((len(SETS) * n, 20, 20), np.float32)
        fall[:, 5:10, 5:10], fall[:, 12:15, 12:15] = 0.4, -0.2
        columns[f"fall.{arm}"] = fall
        columns[f"probability.{arm}"] = rng.random(len(fall)).astype(np.float32)
    write_arrow(folder / "occlusions.arrow", columns, {"arms": list(arms), "seed": 0})
    return folder / "occlusions.arrow"


LATENTS = {
    "modality": ["CT", "MR"],
    "body_part": ["chest", "brain"],
    "task": ["breast.label", "blood_cells.label"],
    "pretext": ["masked", "deblurring"],
}


def latents(folder, kinds=tuple(LATENTS)):
    named = [(kind, name) for kind in kinds for name in LATENTS[kind]]
    columns = {
        "kind": pa.array([kind for kind, _ in named], pa.string()),
        "name": pa.array([name for _, name in named], pa.string()),
        "vector": np.random.default_rng(4).normal(size=(len(named), 16)).astype(np.float32),
    }
    write_arrow(folder / "latents.arrow", columns, {"arm": "ssl_multi", "seed": 0})
    return folder / "latents.arrow"


def test_curves_have_a_panel_a_set_and_one_of_their_mean(tmp_path):
    files = scores(tmp_path)
    words = ["mean over sets", "breast", "blood cells", "macro AUC", "10 %", "100 %",
             "single_longer", "ssl", "small", "120 images, 60 subjects"]  # fmt: skip
    text = text_of(lambda *out: medformer_labels(*files, *out, arms=ARMS), tmp_path, words)
    # An arm of one share is no curve, and wrong latents are no arm.
    assert "pixels" not in text
    assert "wrong" not in text
    assert "accuracy" not in text
    draw = lambda *out: medformer_labels(files[0], tmp_path / "x.parquet", *out, arms=ARMS)  # noqa: E731
    refuses_a_bad_table(draw, tmp_path / "x.parquet")


def test_a_single_share_of_the_labels_is_no_curve(tmp_path):
    files = scores(tmp_path, (100,))
    medformer_labels(*files, tmp_path / "a.svg", tmp_path / "a.png", arms=ARMS)
    assert "there is no curve" in (tmp_path / "a.svg").read_text()


def test_gains_have_a_line_a_comparison_under_what_it_is_of(tmp_path):
    path = gains(tmp_path)
    words = ["mean over sets", "breast", "blood cells", "ssl − single_longer",
             "ssl − small", "multi − multi_wrong_latents", "10 % of the labels",
             "100 % of the labels", "macro AUC, points", "120 images, 60 subjects"]  # fmt: skip
    text = text_of(lambda *out: medformer_gains(path, *out, arms=ARMS), tmp_path, words)
    # Of two baselines the residual network is shown; middle shares are in the table.
    assert "ssl − pixels" not in text
    assert "50 % of the labels" not in text
    assert "copied" not in text
    order = ["pre-trained, against as many more steps", "ssl − single_longer",
             "as many more steps as pre-training", "single_longer − single"]  # fmt: skip
    places = [text.index(f"<!-- {word} -->") for word in order]
    assert places == sorted(places)


def test_reconstructions_show_three_pictures_of_every_image(tmp_path):
    path = reconstructions(tmp_path)
    draw = lambda *out: medformer_reconstructions(path, *out)  # noqa: E731
    text = text_of(draw, tmp_path, ["breast", "blood cells"])
    assert [text.count(f"<!-- {word} -->") for word in ("image", "as seen", "reconstruction")] == [
        3
    ] * 3
    assert text.count("<image ") == 2 * 3 * 3
    path.write_bytes(b"no pictures")
    with pytest.raises(DataError, match=r"reconstructions\.arrow is damaged"):
        draw(tmp_path / "a.svg", tmp_path / "a.png")


def test_occlusion_shows_both_arms_with_what_they_say(tmp_path):
    path = occlusions(tmp_path)
    words = ["breast", "blood cells", "full colour: 0.40", "malignant tumour", "single", "ssl"]
    text = text_of(lambda *out: medformer_occlusion(path, *out), tmp_path, words)
    assert text.count("<!-- p = ") == 2 * 3 * 2
    assert text.count("<image ") == 2 * 3 * 3


def test_colours_are_red_where_the_probability_falls_and_none_where_nothing_changes():
    image = np.full((2, 2, 3), 100, np.uint8)
    red, blue, none, _ = coloured(image, np.array([[1.0, -1.0], [0.0, 0.0]])).reshape(4, 3)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert none.tolist() == [100] * 3


def test_latents_are_all_named_and_the_atlas_stands_beside_them(tmp_path, tables):
    path = latents(tmp_path)
    words = [
        "CT",
        "chest",
        "breast.label",
        "masked",
        "pretext",
        "Cosines of the latents of ssl_multi",
    ]
    alone = text_of(lambda *out: medformer_latents(path, *out, encoder=None), tmp_path, words)
    assert "Atlas" not in alone
    kw = {"encoder": "taco", "task_distances": tables["task_distances"]}
    both = text_of(
        lambda *out: medformer_latents(path, *out, **kw), tmp_path,
        [*words, "Atlas: tasks of taco", "semantic"],
    )  # fmt: skip
    assert len(both) > len(alone)


def test_a_plane_is_where_the_points_were():
    points = np.random.default_rng(0).normal(size=(12, 2)) * (3, 1)
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    for products in (points @ points.T, -0.5 * apart**2):
        found, share = plane_of(products)
        near = np.hypot(*(found[:, None] - found[None]).transpose(2, 0, 1))
        assert np.allclose(near, apart)
        assert share == pytest.approx(1)


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda f, *out: medformer_gains(saved(f, "g", none()), *out, arms=ARMS), "no two arms"),
        (
            lambda f, *out: medformer_reconstructions(reconstructions(f, 0), *out),
            "nothing was pre-",
        ),
        (lambda f, *out: medformer_occlusion(occlusions(f, (), 0), *out), "no arm on single sets"),
        (lambda f, *out: medformer_latents(latents(f, ()), *out, encoder=None), "no model for all"),
    ],
)
def test_a_figure_without_content_says_so(tmp_path, draw, told):
    draw(tmp_path, tmp_path / "a.svg", tmp_path / "a.png")
    assert told in (tmp_path / "a.svg").read_text()
    assert cv2.imread(str(tmp_path / "a.png")).std() > 1


def none():
    return [{"estimate": np.nan, "score": "macro_auc", "target": "label", "differs": "start",
             "reference": "single", "labels": 100, "arm": "ssl"}]  # fmt: skip
