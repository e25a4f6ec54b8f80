"""Encoders of pairs: task-contrastive networks, baselines and controls."""
