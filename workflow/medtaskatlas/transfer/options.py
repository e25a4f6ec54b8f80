"""Options of the section `transfer`; no torch, since Snakemake reads them."""

from __future__ import annotations

from pydantic import Field

from medtaskatlas.core.strict_model import StrictModel


class Transfer(StrictModel):
    """How tasks are compared as functions of an image, and what is measured between them."""

    fitted_pairs: int = Field(
        40, ge=2, description="pairs of a cell that its function is fitted to, of training images"
    )
    asked_pairs: int = Field(
        20, ge=2, description="pairs of a cell that functions are asked about, of test images"
    )
