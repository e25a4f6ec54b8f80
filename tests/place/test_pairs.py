"""Folders of pairs: read as a run reads images, and refused with the file and the remedy."""

import subprocess
import sys

import numpy as np
import pytest
from place.conftest import write_png

from folders import head, write_nifti
from generated import make_sample
from medfiles import write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import Sample
from medtaskatlas.place.pairs import read_pairs
from medtaskatlas.tasks.bank import load_bank


def picture(seed=0, side=40, colour=False):
    image = make_sample(side, colour=colour, seed=seed).image
    return image if colour else image[..., 0]


def pairs_in(folder, n=10, after=lambda i, image: 255 - image, before=picture):
    """A folder of n pairs, PNG files."""
    for i in range(n):
        image = before(i)
        write_png(folder / "input" / f"p{i:02d}.png", image)
        write_png(folder / "output" / f"p{i:02d}.png", after(i, image))
    return folder


def read(folder, **options):
    return read_pairs(folder / "input", folder / "output", size=32, **options)


def test_pairs_are_square_and_of_one_size_whatever_their_suffixes(tmp_path):
    folder = pairs_in(tmp_path, before=lambda i: picture(i, 40 + i))
    import cv2

    image = cv2.imread(str(folder / "output" / "p00.png"))
    cv2.imwrite(str(folder / "output" / "p00.tif"), image)
    (folder / "output" / "p00.png").unlink()
    found = read(folder)
    assert found.inputs.shape == found.outputs.shape == (10, 32, 32, 3)
    assert found.names[0] == "p00"
    assert any("10 sizes" in note for note in found.notes)
    assert np.abs(found.inputs.astype(int) + found.outputs - 255).max() <= 1
    assert not found.warnings


def unpaired(folder):
    (folder / "output" / "p03.png").rename(folder / "output" / "p03_mask.png")


def other_size(folder):
    write_png(folder / "output" / "p04.png", picture(4, 48))


def identical(folder):
    pairs_in(folder, after=lambda i, image: image)


def constant(folder):
    pairs_in(folder, after=lambda i, image: np.full_like(image, 200))


def black_inputs(folder):
    pairs_in(folder, before=lambda i: np.zeros((40, 40), np.uint8), after=lambda i, x: picture(i))


def class_numbers(folder):
    pairs_in(folder, after=lambda i, image: (image > 120).astype(np.uint8))


def damaged(folder):
    (folder / "input" / "p02.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def twice(folder):
    write_png(folder / "input" / "p01.jpg", picture(1))


def no_folder(folder):
    (folder / "output").rename(folder / "outputs")


def no_image(folder):
    for path in (folder / "input").iterdir():
        path.rename(path.with_suffix(".txt"))


BAD = {
    unpaired: r"1 of .*input have no partner.*p03; 1 of .*p03_mask(.|\n)*the same name",
    other_size: r"output/p04.png is 48 x 48 pixels, .*input/p04.png is 40 x 40(.|\n)*resample",
    identical: r"every output in .*output is the same as its input(.|\n)*copies of each other",
    constant: r"every output in .*output has pixels of one value(.|\n)*--masks",
    black_inputs: r"input: no pair is left whose input shows anything",
    class_numbers: r"outputs in .*output hold whole numbers up to 31(.|\n)*--masks",
    damaged: r"input/p02.png is damaged(.|\n)*take the pair out of both folders",
    twice: r"p01.*have one name(.|\n)*rename",
    no_folder: r"there is no folder .*output(.|\n)*outputs",
    no_image: r"input holds no image",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_used_is_named_with_what_to_do(tmp_path, spoil):
    spoil(pairs_in(tmp_path))
    with pytest.raises(DataError, match=BAD[spoil]):
        read(tmp_path)


def test_single_pairs_that_say_nothing_are_warned_of_by_name(tmp_path):
    def after(i, image):
        return image if i == 2 else np.zeros_like(image) if i == 3 else 255 - image

    folder = pairs_in(tmp_path, n=12, after=after)
    write_png(folder / "input" / "p05.png", np.full((40, 40), 7, np.uint8))
    found = read(folder)
    assert len(found) == 11
    said = "\n".join(found.warnings)
    assert "p05.png is left out: its pixels are all the same" in said
    assert "1 outputs are the same as their inputs: p02" in said
    assert "1 outputs have pixels of one value: p03" in said


def test_grey_beside_colour_is_a_task_between_sides_and_a_warning_within_one(tmp_path):
    colourful = pairs_in(tmp_path / "a", after=lambda i, image: picture(i, 40, colour=True))
    assert not read(colourful).warnings
    mixed = pairs_in(tmp_path / "b", before=lambda i: picture(i, 40, colour=i < 2))
    assert "inputs are of two kinds: 2 are in colour, the rest are not: p00, p01" in "\n".join(
        read(mixed).warnings
    )


def test_black_and_white_of_16_bits_are_the_inputs_so_that_brightness_stays(tmp_path):
    def deep(i):
        return (picture(i).astype(np.uint16) * 12) + 500

    folder = pairs_in(
        tmp_path,
        before=deep,
        after=lambda i, image: np.minimum(image * 1.3, 65535).astype(np.uint16),
    )
    found = read(folder)
    assert found.outputs.mean() > found.inputs.mean() + 20
    assert "black and white of the outputs are those of the inputs" in found.notes
    # A map of its own has a ramp of its own.
    other = pairs_in(
        tmp_path / "map",
        before=deep,
        after=lambda i, image: (image > 1800).astype(np.uint16) * 60000,
    )
    found = read(other)
    assert set(np.unique(found.outputs[:, 16, 16])) <= set(range(256))
    assert found.outputs.max() == 255
    assert "black and white of the outputs are their own" in found.notes


def test_slices_of_volumes_are_pairs_of_one_file(tmp_path):
    for i in range(3):
        values = head((40, 44, 24)) + i
        write_nifti(tmp_path / "input" / f"v{i}.nii.gz", values)
        write_nifti(tmp_path / "output" / f"v{i}.nii.gz", (values * 0.8).astype(np.int16))
    found = read(tmp_path, modality="MR")
    assert found.n_files == 3
    assert len(found) == 12
    assert found.outputs.max() < found.inputs.max()
    write_nifti(tmp_path / "output" / "v1.nii.gz", head((40, 44, 20)))
    with pytest.raises(DataError, match=r"v1.nii.gz is 40 x 44 x 20 pixels, .* 40 x 44 x 24"):
        read(tmp_path)


def test_ct_of_dicom_has_the_window_of_ct(tmp_path):
    for i in range(2):
        hounsfield = (picture(i).astype(np.int16) - 120) * 8
        for side, values in (("input", hounsfield), ("output", hounsfield + 60)):
            (tmp_path / side).mkdir(exist_ok=True)
            write_dicom(tmp_path / side / f"s{i}.dcm", values, Modality="CT")
    found = read(tmp_path)
    assert found.n_files == 2
    assert found.outputs.mean() > found.inputs.mean() + 5


def test_masks_are_drawn_as_the_run_draws_them(tmp_path):
    bank = load_bank()
    for i in range(10):
        sample = make_sample(32, seed=i)
        write_png(tmp_path / "scans" / f"{i}.png", sample.image)
        write_png(tmp_path / "classes" / f"{i}.png", sample.mask)
        write_png(tmp_path / "binary" / f"{i}.png", (sample.mask > 0).astype(np.uint8) * 255)
    for folder, name in (("classes", "multiclass_segmentation"), ("binary", "segmentation")):
        found = read_pairs(tmp_path / "scans", tmp_path / folder, size=32, masks=True)
        for i in range(10):
            sample = make_sample(32, seed=i)
            sample = Sample(sample.image, sample.mask, n_classes=2)
            np.testing.assert_array_equal(found.outputs[i], bank[name].apply(sample, {})[1])


def test_mistakes_in_pairs_are_told_before_torch_is_loaded(tmp_path):
    folder = pairs_in(tmp_path / "mine", n=2)
    (folder / "output" / "p01.png").unlink()
    run = tmp_path / "results" / "r"
    run.mkdir(parents=True)
    (run / "config.json").write_text(
        '{"run": "r", "seed": 0, "image_size": 32, "encoders": {}, "torch_threads": 1}'
    )
    code = (
        "import sys; from medtaskatlas.cli import main\n"
        f"sys.argv = ['medtaskatlas', 'place', {str(folder)!r}, '--run', {str(run)!r}]\n"
        "try: main()\n"
        "except SystemExit as left: print(left.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.split() == ["1", "False"]
    assert "have no partner" in done.stderr
    assert not (tmp_path / "placed").exists()


def test_folder_or_images_and_masks(tmp_path, monkeypatch, capsys):
    from medtaskatlas.cli import main

    monkeypatch.chdir(tmp_path)
    for words in ([], ["mine", "--images", "a"], ["--images", "a"]):
        monkeypatch.setattr(sys, "argv", ["medtaskatlas", "place", *words])
        with pytest.raises(SystemExit):
            main()
        assert "give FOLDER, with input/ and output/ in it" in capsys.readouterr().err
