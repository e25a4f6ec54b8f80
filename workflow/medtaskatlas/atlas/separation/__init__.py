"""Separation: what arranges the embedding, the task, the family, the dataset or the modality."""
