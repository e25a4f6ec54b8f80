"""TaCo, the encoder that is trained by contrast between tasks."""
