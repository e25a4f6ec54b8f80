"""The baseline that learned images with their captions, and where its weights are."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PlainSerializer

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.strict_model import Folder
from medtaskatlas.encoders.kind import EncoderKind

if TYPE_CHECKING:
    from torch import nn

MODEL = "openai/clip-vit-base-patch32"
FILES = ("config.json", "model.safetensors")
# Where `medtaskatlas weights clip` puts weights and a run looks for them.
WEIGHTS = Path("data/weights")


class Clip(EncoderKind):
    """Frozen vision network of CLIP with its projection; sides seen apart.

    Nothing is downloaded in a run: the weights are a folder, or lie in data/weights/ or the cache
    of Hugging Face.
    """

    kind: Literal["clip"] = Field("clip", description="trained on captioned images, frozen")
    # Serialised as text: options are written as JSON.
    weights: Annotated[Folder, PlainSerializer(str)] | None = Field(
        None, description="folder with config.json and model.safetensors; empty: by `model`"
    )
    model: str = Field(
        MODEL,
        pattern=r"^\w[\w.-]*/\w[\w.-]*$",
        description="name at Hugging Face, looked for in data/weights/ and its cache on this disk",
    )
    resolution: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="side that images are resized to, pixels; empty: the model's own",
    )

    def missing(self) -> str | None:
        """Where its weights were looked for, and the command that gets them."""
        if find_spec("transformers") is None:
            return "it needs transformers, not installed here; pip install transformers"
        if self.folder() is not None:
            return None
        if self.weights is not None:
            absent = " and ".join(f for f in FILES if not (self.weights / f).is_file())
            return (
                f"`weights`: {self.weights} has no {absent}; get them with "
                f"`{self._command()} --folder {self.weights}`"
            )
        return (
            f"no weights of {self.model} in {WEIGHTS / self.model} or the cache of Hugging Face; "
            f"get them with `{self._command()}`, or copy {' and '.join(FILES)} to a folder and "
            "name it as `weights`"
        )

    def _command(self) -> str:
        """Command that gets the weights."""
        return "medtaskatlas weights clip" + f" --model {self.model}" * (self.model != MODEL)

    def folder(self) -> Path | None:
        """Folder with the weights: ``weights``, data/weights/<model> or the cache of Hugging Face.

        Only looks at files; None where there is none.
        """
        if self.weights is not None:
            places = [self.weights]
        else:
            places = [WEIGHTS / self.model, *_cached(self.model)]
        return next((p for p in places if all((p / f).is_file() for f in FILES)), None)

    def sources(self) -> list[str]:
        """Files with its weights."""
        folder = self.folder()
        return [] if folder is None else [(folder / name).as_posix() for name in FILES]

    def network(self, seed: int) -> nn.Module:
        """Make the network, [B, 6, H, W] to [B, 3 * projection_dim]; the seed is of no effect."""
        from medtaskatlas.encoders.clip_network import clip

        folder = self.folder()
        if folder is None:
            raise DataError(f"encoder kind clip: {self.missing()}", "get them and start again")
        return clip(folder, self.resolution)


def _cached(model: str) -> list[Path]:
    """Copies of a model in the cache of Hugging Face, its main branch first."""
    share = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or share / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    place = cache / f"models--{model.replace('/', '--')}"
    main = place / "refs" / "main"
    first = main.read_text().strip() if main.is_file() else ""
    found = sorted(place.glob("snapshots/*"), key=lambda p: (p.name != first, p.name))
    return [p for p in found if p.is_dir()]
