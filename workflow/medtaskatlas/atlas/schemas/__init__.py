"""Columns of each table: their types, ranges and meanings."""
