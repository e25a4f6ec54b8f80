"""Figures of transfer between tasks."""
