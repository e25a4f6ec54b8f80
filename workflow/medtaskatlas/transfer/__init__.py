"""Transfer between tasks: what they have in common as functions of an image, and what they gain."""
