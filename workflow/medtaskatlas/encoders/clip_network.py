"""The vision network of CLIP as a frozen network, from files as Hugging Face lays them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.encoders.frozen import Frozen
from medtaskatlas.encoders.network import seeded
from medtaskatlas.networks.frozen import Prepared
from medtaskatlas.networks.pickled import only_tensors

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig

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


def clip(folder: Path, resolution: int | None) -> nn.Module:
    """Vision network of CLIP with its projection: [B, 6, H, W] in -1..1 to [B, 3 * projection_dim].

    At another ``resolution`` than its own the position embedding is interpolated. Raises DataError
    if a file is missing, damaged or of another architecture, or the resolution does not fit.
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
    """Shape of the vision network in config.json; raises DataError naming the file and the key."""
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
    """Write the vision network of a pytorch_model.bin as safetensors; runs nothing in it."""
    from safetensors.torch import save

    tensors = only_tensors(file, f"delete {file} and give another `model`")
    kept = {name: tensors[name].contiguous() for name in _vision_only(list(tensors))}
    with atomic_write(out) as part:
        part.write_bytes(save(kept, metadata={"format": "pt"}))


def _vision_only(names: Sequence[str]) -> list[str]:
    """Names of the vision network in a CLIP, but for running numbers of positions in old files."""
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
