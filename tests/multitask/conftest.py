"""Fixtures of annotated images."""

from annotated import dataset  # noqa: F401
