"""Failures: whether wrong ways of a task lie far from right ways."""
