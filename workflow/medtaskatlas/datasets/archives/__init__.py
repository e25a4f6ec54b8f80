"""Archives that never write outside of their folder."""
