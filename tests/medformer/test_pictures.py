"""What is shown of weights of Medformer."""

import numpy as np
import pytest
import torch
from cubes import write_cubes
from medformer.test_training import OPTIONS, Run

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.medformer_pictures import LatentVectors, Occlusions, Reconstructions
from medtaskatlas.formats.volumes import write_volumes
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.medformer.model import Medformer, from_cells, to_cells
from medtaskatlas.medformer.options import Medformer as Section
from medtaskatlas.medformer.pictures.occlude import occluded
from medtaskatlas.medformer.pictures.planes import flat
from medtaskatlas.medformer.pictures.reconstruct import Answer, answer_of, reconstruction
from medtaskatlas.medformer.pictures.write import write_pictures
from medtaskatlas.medformer.pretexts import pretext_of
from medtaskatlas.medformer.sets import Unlabelled

OUTS = ("reconstructions", "occlusions", "latents")


@pytest.fixture
def sets(tmp_path, dataset):
    """Colour pictures and volumes, of other sides."""
    return [dataset(n=40, colour=True, side=24), write_cubes(tmp_path / "cubes.arrow")]


def params(options, arm, targets):
    return {"options": options.model_dump(mode="json"), "name": arm, "share": 1.0, "seed": 0,
            "targets": {name: ["label"] for name in targets}}  # fmt: skip


def shown(tmp_path, sets):
    """A pre-training, a model for both sets that starts from it, and arms on each."""
    arms = OPTIONS["arms"] | {"ssl_multi": {"start": "unlabelled", "sets": "all"}}
    run = Run(tmp_path, sets, arms=arms)
    start = run.pretrain()
    names, alone, weights = ["shapes", "cubes"], [], []
    for which, name in enumerate(names):
        for arm in ("single", "ssl"):
            first = start if arm == "ssl" else None
            weights.append(run.train(arm, (which,), first, out=name) / "model.safetensors")
            alone.append(params(run.options, arm, [name]))
    together = run.train("ssl_multi", (0, 1), start) / "model.safetensors"
    before = {"name": "unlabelled", "sets": names, "seed": 0}
    before["options"] = run.options.model_dump(mode="json")
    what = {"pretraining": before, "together": [params(run.options, "ssl_multi", names)]}
    files = {"pretraining": [start], "together": [together], "alone": weights}
    return what | {"alone": alone}, files


def write(folder, sets, what, files):
    outs = {name: folder / f"{name}.arrow" for name in OUTS}
    write_pictures(sets, files, outs, shown=what, split_seed=0, threads=1)
    kinds = (Reconstructions, Occlusions, LatentVectors)
    return [kind(path) for kind, path in zip(kinds, outs.values(), strict=True)]


def test_all_three_are_written_of_the_images_that_a_rule_chose(tmp_path, sets):
    what, files = shown(tmp_path, sets)
    masked, hidden, latents = write(tmp_path, sets, what, files)
    for file, split in ((masked, "val"), (hidden, "test")):
        of = dict(zip(("shapes", "cubes"), map(ArrowFile, sets), strict=True))
        assert file.numpy("dataset").tolist() == ["shapes"] * 3 + ["cubes"] * 3
        for dataset, image in zip(file.numpy("dataset"), file.numpy("image_id"), strict=True):
            column = "volume_id" if dataset == "cubes" else "image_id"
            row = of[dataset].column(column).to_pylist().index(image)
            assert of[dataset].column("split")[row].as_py() == split
        assert file.numpy("image").shape == (6, 24, 24, 3)
    # The image itself: a picture as it is, the middle slice of a volume with pixels repeated.
    row = of["shapes"].column("image_id").to_pylist().index(masked.numpy("image_id")[0])
    assert np.array_equal(masked.numpy("image")[0], of["shapes"].numpy("image")[row])
    assert hidden.meta["arms"] == ["single", "ssl"]
    for arm in ("single", "ssl"):
        said = hidden.numpy(f"probability.{arm}")
        assert ((said > 0) & (said < 1)).all()
        assert hidden.numpy(f"fall.{arm}").shape == (6, 24, 24)
        assert np.abs(hidden.numpy(f"fall.{arm}")).max() > 0
    assert set(hidden.column("true").to_pylist()) <= {"none", "one", "two", "left", "right"}
    named = set(zip(latents.numpy("kind"), latents.numpy("name"), strict=True))
    assert named == {
        ("modality", "CT"), ("modality", "MR"), ("body_part", "none"), ("body_part", "brain"),
        ("task", "shapes.label"), ("task", "cubes.label"),
        ("pretext", "masked"), ("pretext", "turns"),
    }  # fmt: skip
    vector = latents.numpy("vector")[latents.numpy("name").tolist().index("masked")]
    learned = load_tensors(files["pretraining"][0])[0]["latents.of.task.of_masked"]
    assert np.array_equal(vector, learned.flatten().numpy())


def test_a_run_without_such_weights_has_files_without_rows(tmp_path, sets):
    none = {"pretraining": None, "together": [], "alone": []}
    for file in write(tmp_path, sets, none, {part: [] for part in none}):
        assert len(file) == 0


@pytest.mark.parametrize("black_and_white", [False, True])
def test_reconstructions_are_what_the_loss_is_of(tmp_path, sets, black_and_white):
    options = Section.model_validate(OPTIONS)
    if black_and_white:
        sets[1] = thresholded(tmp_path, sets[1])
    masked = pretext_of("masked")
    for path in sets[1:] if black_and_white else sets:
        one = Unlabelled(path)
        model = Medformer(options, 0)
        model.add(one.shape, [one.who("masked")], masked.heads(one.shape))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0, 0.1, generator=torch.Generator().manual_seed(0))
        rng = generator(0, "test")
        drawn = masked.draw(one.batch(4, rng), model.grid(one.shape, one.size), rng)
        found = answer_of(model, masked, one.shape, one.who("masked"), drawn)
        assert found.binary == black_and_white
        cells = to_cells(found.shown, model.grid(one.shape, one.size), model.pitch(one.shape))
        assert bool((cells[found.hides > 0] == 0.5).all())
        assert torch.equal(cells[found.hides == 0], found.true[found.hides == 0])
        if found.binary:
            loss = torch.nn.functional.binary_cross_entropy_with_logits
            error = loss(found.said, found.true, reduction="none")
        else:
            spread = (found.true.var(dim=2, keepdim=True) + 1e-3).sqrt()
            error = (found.said - (found.true - found.true.mean(dim=2, keepdim=True)) / spread) ** 2
        mine = (error.mean(dim=2) * found.hides).sum() / found.hides.sum()
        with torch.no_grad():
            its = masked.loss(model, one.shape, one.who("masked"), drawn)
        assert mine == pytest.approx(float(its), rel=1e-5)
        whole = reconstruction(
            found, model.grid(one.shape, one.size), model.pitch(one.shape), one.size
        )
        assert whole.shape == drawn["images"].shape


def thresholded(folder, path):
    """The same volumes, black and white."""
    file = ArrowFile(path)
    columns = {name: file.column(name) for name in file.columns} | {
        "volume": np.where(file.numpy("volume") > 100, 255, 0).astype(np.uint8)
    }
    write_volumes(folder / "white.arrow", columns, file.meta)
    return folder / "white.arrow"


def test_a_perfect_answer_is_the_image(tmp_path):
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    true = to_cells(images, (4, 4), 4)
    hides = torch.zeros(2, 16)
    hides[:, 5] = 1
    spread = (true.var(dim=2, keepdim=True) + 1e-3).sqrt()
    said = (true - true.mean(dim=2, keepdim=True)) / spread
    right = Answer(said, true, hides, images, binary=False)
    assert torch.allclose(reconstruction(right, (4, 4), 4, (16, 16)), images, atol=1e-5)
    # What is hidden comes from the answer, the rest from the image.
    grey = reconstruction(right._replace(said=0 * said), (4, 4), 4, (16, 16))
    changed = ((grey - images).abs() > 1e-6).float()
    assert torch.equal(to_cells(changed, (4, 4), 4).amax(dim=2) > 0, hides > 0)
    assert from_cells(true, (4, 4), 4).shape == images.shape


@pytest.mark.parametrize("size", [(20, 20), (9, 9, 9)])
def test_a_place_counts_where_it_is_hidden(size):
    """What is said is the pixel at one place: it changes where that place is hidden, only there."""
    image = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    at = (0, *[3] * len(size))
    found = occluded(image, lambda some: some[(slice(None), *at)].numpy())
    mean = float(image.mean())
    there = np.isclose(found, mean, atol=1e-6)
    assert there[at[1:]]
    assert np.allclose(found[~there], float(image[at]))
    assert there.sum() < there.size / 50


def test_a_volume_is_shown_by_its_middle_slice():
    volume = torch.zeros(1, 8, 8, 8)
    volume[0, 4, 2, 3] = 1
    picture = flat(volume)
    assert picture.shape == (8, 8, 3)
    assert picture[2, 3].tolist() == [255, 255, 255]
    assert picture.sum() == 3 * 255
