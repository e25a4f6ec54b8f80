"""Folder datasets: your own images, described by a dataset.yaml."""
