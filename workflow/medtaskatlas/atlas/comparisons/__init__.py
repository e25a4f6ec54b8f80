"""Comparisons: which encoder is better, and whether two agree on what is alike."""
