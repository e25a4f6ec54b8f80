"""Figures: one file a family, tables and images in, SVG and PNG out."""
