"""Kinds of targets: losses, statistics, facts."""

import json
import re

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from medtaskatlas.core.errors import ConfigError, DataError, TaskError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.problems.annotations import annotations_in
from medtaskatlas.problems.scores import SCORES
from medtaskatlas.problems.targets import load_kinds, target_of
from medtaskatlas.problems.targets.dose import dose_statistics, metric_names
from medtaskatlas.problems.targets.map import Map
from medtaskatlas.problems.targets.objects import Objects, matched, peaks
from medtaskatlas.problems.targets.ordinal import Ordinal
from medtaskatlas.problems.targets.picture import ssim
from medtaskatlas.problems.targets.target import Part

NAMES = {
    "segmentation": "mask",
    "class": "label",
    "map": "map.dose",
    "value": "value.area",
    "objects": "objects",
    "plane": "plane",
    "picture": "denoising_gaussian",
}
RNG = np.random.default_rng(0)


def part_of(path):
    images = ImageSet(path)
    return Part(annotations_in(images), images, np.arange(len(images)))


def fitted(dataset, kind, **changes):
    """Target of a kind, and the truths of some rows."""
    part = part_of(dataset(**changes))
    cls, name = load_kinds()[kind], NAMES.get(kind, kind if kind == "labels" else "label")
    there = part.rows[cls.there(name, part.images, part.rows)]
    target = cls.fit(name, [Part(part.annotations, part.images, there)])
    if kind == "picture":
        return target, torch.rand(4, 1, 32, 32), part
    return target, torch.from_numpy(target.truths(part.images, there[:8])), part


def special(kind):
    if kind == "labels":
        findings = [(i % 2 == 0, i % 3 == 0) for i in range(40)]
        return {"labels": findings, "label": None,
                "meta": {"findings": ["a", "b"], "label_kind": "multi_label"}}  # fmt: skip
    return {"meta": {"label_kind": "ordinal"}} if kind == "ordinal" else {}


@pytest.mark.parametrize("kind", load_kinds())
def test_descending_the_loss_reaches_the_best_score(dataset, kind):
    """Outputs that are optimised freely, without a network, come to score as well as may be."""
    target, truth, _ = fitted(dataset, kind, **special(kind))
    shape = (32, 32) if target.layout == "pixels" else ()
    output = torch.zeros(len(truth), target.channels, *shape, requires_grad=True)
    optimiser = torch.optim.Adam([output], lr=0.2)
    primary = SCORES[target.statistics_kind][0]
    before = primary.compute(target.statistics(output, truth))[0]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    for _ in range(300):
        optimiser.zero_grad()
        loss = target.loss(output, truth)
        assert loss.shape == ()
        loss.backward()
        optimiser.step()
        schedule.step()
    statistics = target.statistics(output, truth)
    assert statistics.dtype == np.float32
    assert statistics.shape[0] == len(truth)
    after = primary.compute(statistics)[0]
    assert after > before or np.isnan(before)
    assert after > 0.97


@pytest.mark.parametrize("kind", load_kinds())
def test_a_target_is_its_facts(dataset, kind):
    target, _, part = fitted(dataset, kind, **special(kind))
    assert target_of(json.loads(json.dumps(target.facts()))) == target
    assert target.name in {offer.target for offer in type(target).offers(part.annotations)}


def test_statistics_of_a_mask_count_its_pixels(dataset):
    target, truth, _ = fitted(dataset, "segmentation")
    output = torch.randn(8, 3, 32, 32)
    predicted = output.argmax(1).numpy()
    found = target.statistics(output, truth)
    for row, p, t in zip(found, predicted, truth.numpy(), strict=True):
        for c in (1, 2):
            counts = [((p == c) & (t == c)).sum(), (p == c).sum(), (t == c).sum()]
            assert row[[c - 1, c + 1, c + 3]].tolist() == counts


def test_an_empty_mask_has_a_loss_without_dice(dataset):
    target, _, _ = fitted(dataset, "segmentation")
    output, none = torch.randn(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    expected = functional.cross_entropy(output, none.long())
    torch.testing.assert_close(target.loss(output, none), expected)


class Operations(TorchDispatchMode):
    """Records what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.overloadpacket._qualified_op_name, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", load_kinds())
def test_a_loss_has_no_operation_that_deterministic_torch_refuses_on_a_gpu(dataset, kind):
    """Of those in its note on `use_deterministic_algorithms`; CPUs have them all."""
    target, truth, _ = fitted(dataset, kind, **special(kind))
    shape = (32, 32) if target.layout == "pixels" else ()
    output = torch.zeros(len(truth), target.channels, *shape, requires_grad=True)
    with Operations() as recorded:
        target.loss(output, truth).backward()
    assert recorded.calls
    for name, args in recorded.calls:
        # Its fourth argument is the reduction, where 0 is none.
        assert name != "aten::nll_loss2d_forward" or args[3] == 0
        assert name not in {"aten::cumsum", "aten::histc", "aten::bincount", "aten::put_"}


def test_classes_count_alike_in_the_loss(dataset):
    target, _, part = fitted(dataset, "class")
    labels = torch.from_numpy(target.truths(part.images, part.rows))
    output = torch.zeros(40, 3, requires_grad=True)
    target.loss(output, labels).backward()
    pull = [-output.grad[labels == c, c].sum().item() for c in range(3)]
    np.testing.assert_allclose(pull, pull[0], rtol=1e-5)


def test_probabilities_of_grades_sum_to_one_whatever_the_thresholds_say():
    target = Ordinal(name="label", channels=3, classes=tuple("abcd"), counts=(1, 1, 1, 1))
    probabilities = target.probabilities(torch.randn(50, 3) * 5)
    assert (probabilities >= 0).all()
    assert torch.allclose(probabilities.sum(1), torch.ones(50))
    sure = torch.tensor([[9.0, 9, -9]])
    assert target.probabilities(sure).argmax() == 2
    far, near = (target.loss(sure, torch.tensor([g])) for g in (0, 1))
    assert far > near > target.loss(sure, torch.tensor([2]))


def test_a_map_is_measured_where_it_is_valid(dataset):
    target, truth, part = fitted(dataset, "map")
    output = torch.rand(8, 1, 32, 32) * 3 - 1
    width = target.high - target.low
    said = target.low + width * output[:, 0].clamp(0, 1).double().numpy()
    for row, s, t in zip(target.statistics(output, truth), said, range(8), strict=True):
        dose, valid = part.images.numpy("map.dose")[t], part.images.numpy("valid.dose")[t] > 0
        error = (s - dose)[valid]
        baseline = np.abs(dose[valid] - target.median).mean()
        expected = [np.abs(error).mean(), baseline, np.sqrt((error**2).mean()), width]
        np.testing.assert_allclose(row, expected, rtol=1e-4)
    changed = truth.clone()
    changed[:, 0][changed[:, 1] == 0] = 7
    assert target.loss(output, changed) == target.loss(output, truth)


def test_a_picture_has_colour_where_the_first_images_alone_are_grey(dataset):
    part = part_of(dataset(colour=True))
    pixels = part.images.images[:].copy()
    pixels[:16] = pixels[:16].mean(axis=3, keepdims=True).astype(np.uint8)
    mixed = part_of(dataset("mixed", image=pixels))
    kind = load_kinds()["picture"]
    assert kind.fit(NAMES["picture"], [mixed]).channels == 3


def test_the_range_of_a_map_is_that_of_all_pixels_and_not_of_those_of_the_median(
    dataset, monkeypatch
):
    monkeypatch.setattr("medtaskatlas.problems.targets.map._PIXELS", 100)
    target, _, part = fitted(dataset, "map")
    doses = part.images.numpy("map.dose")[part.images.numpy("valid.dose") > 0]
    assert (target.low, target.high) == (doses.min(), doses.max())


def test_dose_statistics_are_those_of_openkbp():
    """Against its definitions, structure by structure, with masks that leave one out."""
    structures = ("PTV70 (target, 70 Gy)", "cord", "larynx")
    shape = (3, 20, 20)
    dose, true = RNG.random((2, *shape)) * 70
    possible = RNG.random(shape) < 0.8
    mask = RNG.integers(0, 3, shape)
    found = dose_statistics(dose, true, possible, mask, structures=structures, voxel_mm3=8.0)
    dose, true = dose * possible, true * possible
    assert found["dose"][0] == pytest.approx(np.abs(dose - true).sum() / possible.sum(), rel=1e-5)
    expected = []
    for percentile in (1, 5, 99):
        a, b = (np.percentile(d[mask == 1], percentile) for d in (dose, true))
        expected.append(abs(a - b))
    cord = dose[mask == 2], true[mask == 2]
    expected.append(abs(cord[0].mean() - cord[1].mean()))
    share = 100 - round(100 / 8) / len(cord[0]) * 100
    expected.append(abs(np.percentile(cord[0], share) - np.percentile(cord[1], share)))
    np.testing.assert_allclose(found["dvh"][:5], expected, rtol=1e-5)
    assert np.isnan(found["dvh"][5:]).all()
    assert [m for _, m in metric_names(structures)] == ["D99", "D95", "D1", *["mean", "D0.1cc"] * 2]
    unknown = dose_statistics(dose, true, possible, mask, structures=structures, voxel_mm3=None)
    assert np.isnan(unknown["dvh"][4])
    np.testing.assert_array_equal(unknown["dvh"][:4], found["dvh"][:4])


def test_a_map_in_another_unit_is_no_dose(dataset):
    meta = {"maps": {"dose": {"unit": "mm", "low": 0.0, "high": 40.0}}}
    target, truth, part = fitted(dataset, "map", meta=meta)
    assert (
        target.group_statistics(torch.rand(8, 1, 32, 32), truth, part.images, part.rows[:8]) == {}
    )
    dose, _, _ = fitted(dataset, "map")
    assert dose.group_statistics(
        torch.rand(8, 1, 32, 32), truth, part.images, part.rows[:8]
    ).keys() == {"dose", "dvh"}


def test_centres_are_found_within_the_radius(dataset):
    target, truth, _ = fitted(dataset, "objects")
    assert isinstance(target, Objects)
    perfect = torch.logit(truth[:, :1].clamp(1e-4, 1 - 1e-4)) + np.log(target.weight)
    statistics = target.statistics(perfect, truth)
    assert (statistics == statistics[:, [2]]).all()
    # A disc on each, a square on every second one.
    assert statistics[:, 2].tolist() == [1, 2] * 4
    nothing = target.statistics(torch.full((8, 1, 32, 32), -9.0), truth)
    assert not nothing[:, :2].any()
    assert matched(np.array([[0, 0], [0, 1]]), np.array([[0, 0.5]]), 3) == 1
    assert matched(np.array([[0, 0]]), np.array([[0, 4]]), 3) == 0
    # The middle one is within reach of both: a greedy match would find two.
    assert matched(np.array([[0, 0], [0, 3]]), np.array([[0, 2], [0, 5]]), 2.5) == 2
    assert len(peaks(np.zeros((8, 8)), 2)) == 0


def test_structural_similarity_is_that_of_skimage():
    first, second = RNG.random((2, 3, 2, 24, 20))
    ours = ssim(torch.from_numpy(first), torch.from_numpy(second))
    for i in range(3):
        theirs = structural_similarity(
            first[i], second[i], channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        assert ours[i].item() == pytest.approx(theirs, abs=1e-10)
    psnr = next(s for s in SCORES["picture"] if s.name == "psnr")
    square = ((first[0] - second[0]) ** 2).mean()
    expected = peak_signal_noise_ratio(first[0], second[0], data_range=1)
    assert psnr.compute(np.array([[0, square]]))[0] == pytest.approx(expected)


def test_a_transformation_is_the_same_on_every_image(dataset):
    part = part_of(dataset())
    picture = load_kinds()["picture"]
    turned = picture.fit("rotation", [part])
    assert turned.input == "image"
    image = part.images.images[0]
    pairs = [turned.pair(image, np.random.default_rng(s))[1] for s in (0, 1)]
    np.testing.assert_array_equal(*pairs)
    noise = picture.fit("denoising_gaussian", [part])
    assert noise.input == noise.name
    noisy = [noise.pair(image, np.random.default_rng(s))[0] for s in (0, 1)]
    assert not np.array_equal(*noisy)


def test_values_that_do_not_fit_their_names_are_errors(dataset):
    for kind, changes, message in (
        ("class", {"label": [5] * 40}, "labels are 5 to 5, but there are 3 names"),
        ("segmentation", {"mask": np.full((40, 32, 32), 7, np.uint8)}, "value 7"),
        ("map", {"map.dose": np.full((40, 32, 32), np.nan, np.float32)}, "NaN"),
    ):
        with pytest.raises(DataError, match=message):
            fitted(dataset, kind, **changes)


PAGE = REPOSITORY / "docs" / "targets.md"
OWN = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]


def test_a_target_of_ones_own_is_one_file(tmp_path, dataset):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "share.py").write_text(OWN)
    kinds = load_kinds(folder)
    assert set(kinds) == {*load_kinds(), "share"}
    part = part_of(dataset())
    target = kinds["share"].fit("share", [part])
    truth = target.truths(part.images, part.rows)
    np.testing.assert_allclose([truth.mean(), truth.std()], [0, 1], atol=1e-5)
    assert target_of(target.facts(), kinds) == target


def test_the_page_names_every_kind_and_score():
    page = PAGE.read_text()
    kinds = load_kinds()
    assert [name for name in kinds if f"| `{name}` |" not in page] == []
    scores = {score.name for kind in SCORES.values() for score in kind}
    assert [name for name in scores if f"`{name}`" not in page] == []


def test_mistakes_in_files_of_ones_own_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"targets_dir: .* is no folder"):
        load_kinds(tmp_path / "none")
    (tmp_path / "broken.py").write_text("\nimport nothing_of_this_name\n")
    with pytest.raises(TaskError, match=r"broken.py: line 2") as error:
        load_kinds(tmp_path)
    assert f"medtaskatlas targets --targets-dir {tmp_path}" in error.value.remedy
    (tmp_path / "broken.py").write_text(OWN.replace('"share"', '"value"', 1))
    with pytest.raises(ConfigError, match="two kinds of targets are called value"):
        load_kinds(tmp_path)


def test_the_range_of_a_map_is_that_of_its_valid_pixels(dataset):
    target, _, part = fitted(dataset, "map")
    assert isinstance(target, Map)
    pixels = part.images.numpy("map.dose")[part.images.numpy("valid.dose") > 0]
    assert (target.low, target.high) == (pixels.min(), pixels.max())
    assert target.median == pytest.approx(np.median(pixels))
