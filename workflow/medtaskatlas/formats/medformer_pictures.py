"""The contracts of medformer/pictures/*.arrow: what figures show of Medformer's weights.

A row of the first two is an image, the middle slice of a volume; S is the largest side of all.

======================= ============== =========================================================
reconstructions.arrow   uint8
``dataset, image_id``   string
``image``               [S, S, 3]
``masked``              [S, S, 3]      hidden cells are grey
``reconstruction``      [S, S, 3]      what pre-training makes of the hidden cells
occlusions.arrow
``dataset, image_id``   string
``image``               uint8 [S, S, 3]
``true``                string         the true class
``probability.<arm>``   float32        that an arm gives it
``fall.<arm>``          float32 [S, S] by how much it falls where that place is hidden
latents.arrow
``kind``                string         ``modality``, ``body_part``, ``task`` or ``pretext``
``name``                string
``vector``              float32 [d]    all tokens of a latent
======================= ============== =========================================================

Metadata: ``pretraining`` and ``seed`` of reconstructions, ``arms`` of occlusions, ``arm``,
``labels`` and ``seed`` of latents. A file has no rows where a run has no such weights.
"""

from __future__ import annotations

from typing import ClassVar

from medtaskatlas.formats.arrow import ArrowFile


class Reconstructions(ArrowFile):
    """A file reconstructions.arrow."""

    required: ClassVar[tuple[str, ...]] = ("dataset", "image", "masked", "reconstruction")


class Occlusions(ArrowFile):
    """A file occlusions.arrow."""

    required: ClassVar[tuple[str, ...]] = ("dataset", "image", "true")


class LatentVectors(ArrowFile):
    """A file latents.arrow."""

    required: ClassVar[tuple[str, ...]] = ("kind", "name", "vector")
