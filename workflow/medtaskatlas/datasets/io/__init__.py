"""Readers of medical files; each yields frames (see frame.py)."""
