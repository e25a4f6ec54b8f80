"""Graded codes: a pair becomes a code from which its task can be done on another image."""
