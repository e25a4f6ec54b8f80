"""Pairs: planned, made, gone wrong, written, and made again."""
