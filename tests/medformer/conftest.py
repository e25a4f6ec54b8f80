"""Fixtures of annotated images."""

from annotated import dataset  # noqa: F401
from official import official  # noqa: F401
