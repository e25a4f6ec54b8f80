"""The training engine: one loop for all that learns; see engine.fit."""
