"""Task-contrastive encoders."""
