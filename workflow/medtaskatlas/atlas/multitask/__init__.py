"""The tables of multi-task systems."""
