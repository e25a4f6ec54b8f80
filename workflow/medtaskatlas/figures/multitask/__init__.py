"""Figures of multi-task systems."""
