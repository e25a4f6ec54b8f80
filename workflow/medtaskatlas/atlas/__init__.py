"""From embeddings to tables: what the space of tasks looks like, with intervals and controls."""
