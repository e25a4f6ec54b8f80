"""Trajectories: what a task done more and more strongly does to the embedding."""
