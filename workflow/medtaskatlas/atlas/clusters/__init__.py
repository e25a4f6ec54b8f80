"""Clusters: whether tasks fall into families, told or not."""
