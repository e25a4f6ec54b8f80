"""Figures of Medformer."""
