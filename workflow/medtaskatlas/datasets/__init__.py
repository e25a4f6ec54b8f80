"""Datasets: the catalogue, fetching, reading and preparing."""
