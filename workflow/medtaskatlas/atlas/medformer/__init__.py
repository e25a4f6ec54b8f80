"""Tables of Medformer."""
